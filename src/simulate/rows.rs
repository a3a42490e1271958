//! Sessions and orders as they wait to be exported: numbers, and no text.

use super::person::{Person, Purchase, SLOTS, Visit};
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
        put(bytes, u64::from_le_bytes([self.channel, self.campaign, self.page, 0, 0, 0, 0, 0]));
        let counts = u64::from(self.pages) << 16 | u64::from(self.interactions);
        put(bytes, u64::from(self.seconds) << 32 | counts);
    }

    fn read(bytes: &mut Bytes<'_>) -> Self {
        let (arrives_at, number, at) = (bytes.signed(), bytes.next(), bytes.signed());
        let user = User::read(bytes);
        let [channel, campaign, page, ..] = bytes.next().to_le_bytes();
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
        }
    }
}

impl Waiting for OrderRow {
    const BYTES: usize = 8 * 8;

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
    }

    fn read(bytes: &mut Bytes<'_>) -> Self {
        let (arrives_at, number, at) = (bytes.signed(), bytes.next(), bytes.signed());
        let user = User::read(bytes);
        let (session, cents, refunded_at) = (bytes.next(), bytes.signed(), bytes.signed());
        Self {
            arrives_at,
            number: number / 2,
            at,
            user,
            session: session.checked_sub(1),
            cents,
            dollars: number % 2 == 1,
            refunded_at: (refunded_at != NEVER).then_some(refunded_at),
        }
    }
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
        };
        let order = OrderRow {
            arrives_at: 1,
            number: 5,
            at: 1,
            user: User { account: false, ..user },
            session: Some(0),
            cents: 12_345,
            dollars: true,
            refunded_at: None,
        };
        let mut bytes = Vec::new();
        session.write(&mut bytes);
        assert_eq!(bytes.len(), SessionRow::BYTES);
        assert_eq!(SessionRow::read(&mut Bytes::new(&bytes)), session);
        bytes.clear();
        order.write(&mut bytes);
        assert_eq!(bytes.len(), OrderRow::BYTES);
        assert_eq!(OrderRow::read(&mut Bytes::new(&bytes)), order);
    }
}
