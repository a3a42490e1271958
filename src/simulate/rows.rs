//! Sessions, views and orders as they wait to be exported: numbers, and no text.

use super::person::{Person, Purchase, SLOTS, View, Visit};
use super::spool::{Bytes, Waiting};

/// A session on its way into the export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SessionRow {
    pub(super) arrives_at: i64,
    pub(super) number: u64,
    pub(super) at: i64,
    pub(super) user: User,
    pub(super) channel: u8,
    pub(super) campaign: u8,
    pub(super) page: u8,
    pub(super) seconds: u32,
    pub(super) pages: u16,
    pub(super) interactions: u16,
    /// Whether it is recorded without its origin.
    pub(super) typed: bool,
    pub(super) device: Option<u8>,
    pub(super) country: u8,
    pub(super) variant: u8,
}

/// A view of an advertisement on its way into the export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ViewRow {
    pub(super) number: u64,
    pub(super) at: i64,
    pub(super) user: User,
    pub(super) channel: u8,
    pub(super) campaign: u8,
    pub(super) device: u8,
    pub(super) country: u8,
}

/// An order on its way into the export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OrderRow {
    pub(super) arrives_at: i64,
    pub(super) number: u64,
    pub(super) at: i64,
    pub(super) user: User,
    /// The number of the session that it was placed in.
    pub(super) session: Option<u64>,
    pub(super) cents: i64,
    pub(super) dollars: bool,
    pub(super) refunded_at: Option<i64>,
    pub(super) cancelled_at: Option<i64>,
    pub(super) codes: [Option<u8>; 2],
    pub(super) subscription: bool,
    pub(super) in_town: bool,
}

/// A user as rows know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    /// Persons have [`SLOTS`] users each.
    pub(super) number: u64,
    /// Whether it is an account.
    pub(super) account: bool,
    /// When it was first known; an account is as old.
    pub(super) since: i64,
}

impl User {
    pub(super) fn of(person: &Person, slot: u8) -> Self {
        let since = person.known_since[usize::from(slot)].unwrap_or_default();
        let account = person.customer && slot == 0;
        Self { number: person.number * SLOTS as u64 + u64::from(slot), account, since }
    }

    /// The person that it is.
    pub(super) fn person(&self) -> u64 {
        self.number / SLOTS as u64
    }

    /// The letter that its id begins with: a customer, or somebody anonymous.
    pub(super) fn kind(&self) -> char {
        if self.account { 'c' } else { 'a' }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        put(bytes, self.number * 2 + u64::from(self.account));
        put(bytes, self.since.cast_unsigned());
    }

    fn read(bytes: &mut Bytes<'_>) -> Self {
        let number = bytes.next();
        Self { number: number / 2, account: number % 2 == 1, since: bytes.signed() }
    }
}

/// The rows of a visit: one, or two where it arrives again. The first of two knows only that it began.
pub(super) fn session_rows(
    person: &Person,
    visit: &Visit,
    number: u64,
) -> impl Iterator<Item = SessionRow> {
    let whole = SessionRow {
        arrives_at: visit.at + 1_000 * i64::from(visit.wait),
        number,
        at: visit.at,
        user: User::of(person, visit.slot),
        channel: visit.channel,
        campaign: visit.campaign,
        page: visit.page,
        seconds: visit.seconds,
        pages: visit.pages,
        interactions: visit.interactions,
        typed: visit.typed,
        device: visit.device,
        country: country_of(person),
        variant: person.variant,
    };
    let begun = SessionRow { seconds: 0, pages: 1, interactions: 0, ..whole };
    let again = visit.again.map(|seconds| SessionRow {
        // Never with the first: rows that arrive together have no order.
        arrives_at: whole.arrives_at + 1_000_000 * i64::from(seconds.max(visit.seconds).max(1)),
        // What is newer is longer, or the versions could not be told apart.
        seconds: whole.seconds.max(1),
        ..whole
    });
    let first = if again.is_some() { begun } else { whole };
    [first].into_iter().chain(again)
}

/// The row of a view.
pub(super) fn view_row(person: &Person, view: &View, number: u64) -> ViewRow {
    ViewRow {
        number,
        at: view.at,
        user: User::of(person, view.slot),
        channel: view.channel,
        campaign: view.campaign,
        device: view.device,
        country: country_of(person),
    }
}

fn country_of(person: &Person) -> u8 {
    u8::try_from(person.country).unwrap_or_default()
}

/// The row of an order; `first_session` is the number of the person's first visit.
pub(super) fn order_row(
    person: &Person,
    purchase: &Purchase,
    number: u64,
    first_session: u64,
) -> OrderRow {
    OrderRow {
        arrives_at: purchase.at,
        number,
        at: purchase.at,
        user: User::of(person, purchase.slot),
        session: purchase.visit.map(|visit| first_session + visit as u64),
        cents: purchase.cents,
        dollars: person.dollars,
        refunded_at: purchase.refunded_at,
        cancelled_at: purchase.cancelled_at,
        codes: purchase.codes,
        subscription: purchase.subscription,
        in_town: purchase.in_town,
    }
}

fn put(bytes: &mut Vec<u8>, value: u64) {
    bytes.extend_from_slice(&value.to_le_bytes());
}

impl Waiting for SessionRow {
    const BYTES: usize = 7 * 8;

    fn place(&self) -> (i64, u64) {
        (self.arrives_at, self.number)
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        put(bytes, self.arrives_at.cast_unsigned());
        put(bytes, self.number);
        put(bytes, self.at.cast_unsigned());
        self.user.write(bytes);
        let (typed, device) = (u8::from(self.typed), one_more(self.device));
        let Self { channel, campaign, page, country, variant, .. } = *self;
        let small = [channel, campaign, page, typed, device, country, variant, 0];
        put(bytes, u64::from_le_bytes(small));
        let counts = u64::from(self.pages) << 16 | u64::from(self.interactions);
        put(bytes, u64::from(self.seconds) << 32 | counts);
    }

    fn read(bytes: &mut Bytes<'_>) -> Self {
        let (arrives_at, number, at) = (bytes.signed(), bytes.next(), bytes.signed());
        let user = User::read(bytes);
        let [channel, campaign, page, typed, device, country, variant, _] =
            bytes.next().to_le_bytes();
        let [i0, i1, p0, p1, s0, s1, s2, s3] = bytes.next().to_le_bytes();
        Self {
            arrives_at,
            number,
            at,
            user,
            channel,
            campaign,
            page,
            seconds: u32::from_le_bytes([s0, s1, s2, s3]),
            pages: u16::from_le_bytes([p0, p1]),
            interactions: u16::from_le_bytes([i0, i1]),
            typed: typed == 1,
            device: device.checked_sub(1),
            country,
            variant,
        }
    }
}

impl Waiting for ViewRow {
    const BYTES: usize = 5 * 8;

    fn place(&self) -> (i64, u64) {
        (self.at, self.number)
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        put(bytes, self.number);
        put(bytes, self.at.cast_unsigned());
        self.user.write(bytes);
        let Self { channel, campaign, device, country, .. } = *self;
        put(bytes, u64::from_le_bytes([channel, campaign, device, country, 0, 0, 0, 0]));
    }

    fn read(bytes: &mut Bytes<'_>) -> Self {
        let (number, at) = (bytes.next(), bytes.signed());
        let user = User::read(bytes);
        let [channel, campaign, device, country, ..] = bytes.next().to_le_bytes();
        Self { number, at, user, channel, campaign, device, country }
    }
}

impl Waiting for OrderRow {
    const BYTES: usize = 10 * 8;

    fn place(&self) -> (i64, u64) {
        (self.arrives_at, self.number)
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        put(bytes, self.arrives_at.cast_unsigned());
        put(bytes, self.number * 2 + u64::from(self.dollars));
        put(bytes, self.at.cast_unsigned());
        self.user.write(bytes);
        put(bytes, self.session.map_or(0, |session| session + 1));
        put(bytes, self.cents.cast_unsigned());
        put(bytes, self.refunded_at.unwrap_or(NEVER).cast_unsigned());
        put(bytes, self.cancelled_at.unwrap_or(NEVER).cast_unsigned());
        let [first, second] = self.codes.map(one_more);
        let (subscription, in_town) = (u8::from(self.subscription), u8::from(self.in_town));
        put(bytes, u64::from_le_bytes([first, second, subscription, in_town, 0, 0, 0, 0]));
    }

    fn read(bytes: &mut Bytes<'_>) -> Self {
        let (arrives_at, number, at) = (bytes.signed(), bytes.next(), bytes.signed());
        let user = User::read(bytes);
        let (session, cents) = (bytes.next(), bytes.signed());
        let (refunded_at, cancelled_at) = (bytes.signed(), bytes.signed());
        let [first, second, subscription, in_town, ..] = bytes.next().to_le_bytes();
        Self {
            arrives_at,
            number: number / 2,
            at,
            user,
            session: session.checked_sub(1),
            cents,
            dollars: number % 2 == 1,
            refunded_at: (refunded_at != NEVER).then_some(refunded_at),
            cancelled_at: (cancelled_at != NEVER).then_some(cancelled_at),
            codes: [first, second].map(|code| code.checked_sub(1)),
            subscription: subscription == 1,
            in_town: in_town == 1,
        }
    }
}

/// A number that may be missing, as one that is not.
fn one_more(number: Option<u8>) -> u8 {
    number.map_or(0, |number| number.saturating_add(1))
}

/// No instant of any world.
const NEVER: i64 = i64::MIN;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_what_they_were_after_they_waited() {
        let user = User { number: 77, account: true, since: -5 };
        let session = SessionRow {
            arrives_at: 9,
            number: 1 << 40,
            at: 8,
            user,
            channel: 3,
            campaign: 2,
            page: 1,
            seconds: 70_000,
            pages: 500,
            interactions: 65_000,
            typed: true,
            device: Some(0),
            country: 6,
            variant: 2,
        };
        let view =
            ViewRow { number: 3, at: -1, user, channel: 2, campaign: 1, device: 2, country: 5 };
        let order = OrderRow {
            arrives_at: 1,
            number: 5,
            at: 1,
            user: User { account: false, ..user },
            session: Some(0),
            cents: 12_345,
            dollars: true,
            refunded_at: None,
            cancelled_at: Some(7),
            codes: [None, Some(253)],
            subscription: true,
            in_town: false,
        };
        let mut bytes = Vec::new();
        session.write(&mut bytes);
        assert_eq!(bytes.len(), SessionRow::BYTES);
        assert_eq!(SessionRow::read(&mut Bytes::new(&bytes)), session);
        bytes.clear();
        view.write(&mut bytes);
        assert_eq!(bytes.len(), ViewRow::BYTES);
        assert_eq!(ViewRow::read(&mut Bytes::new(&bytes)), view);
        bytes.clear();
        order.write(&mut bytes);
        assert_eq!(bytes.len(), OrderRow::BYTES);
        assert_eq!(OrderRow::read(&mut Bytes::new(&bytes)), order);
    }
}
