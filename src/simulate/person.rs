//! What happens to one person: visits, orders, and who is told to be who.
//!
//! A person's life depends on the plan and the person's number alone, so that persons can live in
//! any order and on any thread. Not for how rows are written: that is `tables`.

use std::sync::LazyLock;

use super::chance::{Chance, Purpose};
use super::effect::{Effect, Interest};
use super::plan::{ORGANIC_POWER, Plan};
use super::response::time_of;
use super::size::{BOT_ORDERS, BOT_SESSIONS};
use super::truth::Truth;
use crate::calendar::{DAY, SECOND};

/// Users that a person can have: one's own, and three anonymous ones.
pub(super) const SLOTS: usize = 4;

/// An order in the visit that caused it is placed so many seconds after it begins, and a later one
/// not before the end of that time.
const IN_VISIT: (f64, f64) = (60.0, 900.0);

/// A visit of somebody who has decided begins so many seconds before the order.
const DECIDED: (f64, f64) = (120.0, 3_600.0);

/// Deviation of the logarithm of what persons, and their single orders, are worth.
const OF_PERSONS: f64 = 0.4;
const OF_ORDERS: f64 = 0.5;

/// Traffic by the hour of the day, UTC.
const HOURS: [f64; 24] = [
    12.0, 7.0, 4.0, 3.0, 3.0, 5.0, 12.0, 22.0, 33.0, 42.0, 48.0, 50.0, 52.0, 50.0, 48.0, 48.0,
    50.0, 54.0, 62.0, 72.0, 80.0, 74.0, 52.0, 27.0,
];

/// Paths of landing pages, and how often each is one.
pub(super) const PAGES: [(&str, f64); 8] = [
    ("/", 26.0),
    ("/sale", 12.0),
    ("/running", 13.0),
    ("/hiking", 8.0),
    ("/shoes/trail-runner-2", 10.0),
    ("/shoes/city-sneaker", 8.0),
    ("/jackets/rain-shell", 5.0),
    ("/blog/how-to-lace", 5.0),
];

/// Countries where people pay in euros, and in dollars, and how many live in each.
pub(super) const COUNTRIES: [(&str, &str, f64); 7] = [
    ("DE", "de", 46.0),
    ("FR", "fr", 14.0),
    ("AT", "de", 9.0),
    ("NL", "nl", 8.0),
    ("PT", "pt", 4.0),
    ("ES", "es", 9.0),
    ("US", "en", 0.0),
];
pub(super) const UNITED_STATES: usize = 6;

/// The time zone of each of them.
pub(super) const ZONES: [&str; 7] = [
    "Europe/Berlin",
    "Europe/Paris",
    "Europe/Vienna",
    "Europe/Amsterdam",
    "Europe/Lisbon",
    "Europe/Madrid",
    "America/New_York",
];

/// Kinds of devices: type, browser and system, and how many there are of each.
pub(super) const DEVICES: [(&str, Option<&str>, &str, f64); 12] = [
    ("desktop", Some("Chrome"), "Windows", 24.0),
    ("desktop", Some("Edge"), "Windows", 5.0),
    ("desktop", Some("Safari"), "macOS", 8.0),
    ("desktop", Some("Firefox"), "Linux", 3.0),
    ("mobile", Some("Safari"), "iOS", 26.0),
    ("mobile", Some("Chrome"), "Android", 22.0),
    ("mobile", Some("Samsung Internet"), "Android", 4.0),
    ("tablet", Some("Safari"), "iPadOS", 4.0),
    ("tablet", Some("Chrome"), "Android", 2.0),
    ("smarttv", Some("Silk"), "Fire OS", 1.0),
    ("console", Some("Edge"), "Xbox", 0.5),
    ("wearable", None, "watchOS", 0.5),
];

/// Devices that a person has at most, and how many persons have one, two and so on.
pub(super) const MOST_DEVICES: usize = 3;
const DEVICES_EACH: [f64; MOST_DEVICES] = [60.0, 31.0, 9.0];

/// Share of visits that the device is not known of.
const UNKNOWN_DEVICE: f64 = 0.04;

/// Share of the orders outside any visit that are placed in the shop in town, by those who pay in
/// euros.
const IN_TOWN: f64 = 0.3;

/// A visit: a row of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Visit {
    pub(super) at: i64,
    pub(super) channel: u8,
    pub(super) campaign: u8,
    /// Whether the person had decided already.
    pub(super) decided: bool,
    pub(super) slot: u8,
    pub(super) page: u8,
    pub(super) seconds: u32,
    pub(super) pages: u16,
    pub(super) interactions: u16,
    /// Milliseconds until it arrives.
    pub(super) wait: u32,
    /// Seconds until it arrives a second time; none where it does not.
    pub(super) again: Option<u32>,
    /// Whether it is recorded without its origin.
    pub(super) typed: bool,
    /// Which of the person's devices it is on, where that is known.
    pub(super) device: Option<u8>,
}

/// An advertisement that was seen and not clicked: a row of postviews.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    pub(super) at: i64,
    pub(super) channel: u8,
    pub(super) campaign: u8,
    pub(super) slot: u8,
    pub(super) device: u8,
}

/// An order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Purchase {
    pub(super) at: i64,
    /// The visit that it was placed in.
    pub(super) visit: Option<usize>,
    pub(super) slot: u8,
    pub(super) cents: i64,
    /// When it was paid back, where it was.
    pub(super) refunded_at: Option<i64>,
    /// The channel that set it off, or whose code was looked for on the way in.
    pub(super) brought_by: Option<u8>,
    /// When it was cancelled, where it was.
    pub(super) cancelled_at: Option<i64>,
    /// Its discount codes, by their number in the world.
    pub(super) codes: [Option<u8>; 2],
    pub(super) subscription: bool,
    /// Whether it was placed in the shop in town.
    pub(super) in_town: bool,
}

/// A person's life, as far as an export can know it.
#[derive(Debug, Default)]
pub(super) struct Person {
    pub(super) number: u64,
    /// Whether the person has an account.
    pub(super) customer: bool,
    pub(super) dollars: bool,
    pub(super) country: usize,
    /// In the order of time.
    pub(super) visits: Vec<Visit>,
    pub(super) purchases: Vec<Purchase>,
    /// In the order of time.
    pub(super) views: Vec<View>,
    /// The kind of each device.
    pub(super) devices: Vec<u8>,
    /// Which variant of a test is shown, where the person takes part.
    pub(super) variant: u8,
    /// When each user was first known; none where it never was.
    pub(super) known_since: [Option<i64>; SLOTS],
    /// When each user was last seen.
    pub(super) seen: [i64; SLOTS],
    /// The slot that each anonymous user is said to be, and when that was said.
    pub(super) aliases: Vec<(u8, u8, i64)>,
    /// Users without a profile.
    pub(super) stub: [bool; SLOTS],
    /// Users that have left the address of the person's account, and that no alias joins to it.
    pub(super) left_address: [bool; SLOTS],
}

/// An order before it is told of.
struct Decision {
    at: i64,
    /// The visit that caused it and in which it is placed, by its number among those that come by
    /// themselves.
    visit: Option<usize>,
    cents: f64,
    /// The channel that set it off, or whose code was looked for on the way in.
    brought_by: Option<usize>,
}

/// Time and again: one person after the other, in the same space.
pub(super) struct Living<'a> {
    plan: &'a Plan,
    interest: Interest<'a>,
    effect: Effect,
}

impl<'a> Living<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        Self { plan, interest: Interest::new(&plan.world), effect: Effect::default() }
    }

    /// The life of a person, or of one of the robots, which have the numbers after the persons'.
    pub(super) fn live(&mut self, number: u64, truth: &mut Truth) -> Person {
        let plan = self.plan;
        let mut person = Person { number, ..Person::default() };
        if number < plan.size.persons {
            self.live_as_human(&mut person, truth);
        } else {
            live_as_robot(plan, &mut person, truth);
        }
        let mut details = Chance::new(plan.size.seed, number, Purpose::Details);
        dress(plan, &mut person, &mut details);
        recognize(plan, &mut person);
        name(plan, &mut person, &mut details, number >= plan.size.persons);
        export(plan, &mut person);
        equip(plan, &mut person);
        settle_fates(plan, &mut person);
        part(plan, &mut person);
        person
    }

    fn live_as_human(&mut self, person: &mut Person, truth: &mut Truth) {
        let Self { plan, interest, effect } = self;
        let (world, size) = (&plan.world, &plan.size);
        let mut chance = Chance::new(size.seed, person.number, Purpose::Life);
        person.customer = chance.happens(world.customers);
        let tracked = !chance.happens(world.untracked);
        person.dollars = chance.happens(world.dollars);
        let busy = libm::pow(1.0 - chance.unit(), -1.0 / size.tail).min(size.busiest);
        let worth = world.price * chance.factor(OF_PERSONS);
        let visits = plan.visits * busy;
        let time = time_of(world, size, visits, chance.wait());
        let (start, end) = plan.period;
        let begin = start as f64 + chance.unit() * ((end - start) as f64 - time);
        let at = |passed: f64| by_the_clock(plan.by_the_season(begin + passed * time), plan.period);
        let kept = 1.0 - size.cancellations;
        let kept_of_price = kept * (1.0 - size.refunds);

        let mut orders = Chance::new(size.seed, person.number, Purpose::Orders);
        let mut decisions: Vec<Decision> = Vec::new();
        interest.clear();
        if tracked {
            person.views = seen(plan, person.number, visits, at);
            person.views.iter().for_each(|view| truth.viewed(usize::from(view.channel)));
        }
        let mut views = person.views.iter().peekable();
        let mut passed = if tracked && visits > 0.0 { chance.wait() / visits } else { 1.0 };
        while passed < 1.0 {
            let channel = chance.pick(world.channels.iter().map(|one| one.pull(passed)));
            let visit_at = at(passed);
            while let Some(view) = views.next_if(|view| view.at <= visit_at) {
                interest.view(view.at, usize::from(view.channel));
            }
            interest.visit(visit_at, channel, plan.scale, effect);
            let in_time = in_time(plan, end - visit_at);
            truth.visit(channel, effect, in_time * kept, in_time * worth * kept_of_price);
            if orders.happens(effect.chance) {
                let at_once = orders.happens(world.at_once);
                let ordered_at = visit_at + delay(&mut orders, at_once, world.delay);
                let cents = worth * orders.factor(OF_ORDERS);
                if ordered_at < end {
                    truth.caused(channel);
                    let visit = at_once.then_some(person.visits.len());
                    let brought_by = Some(channel);
                    decisions.push(Decision { at: ordered_at, visit, cents, brought_by });
                }
            }
            person.visits.push(visit(visit_at, channel, false));
            passed += chance.wait() / visits;
        }
        let organic = plan.organic * libm::pow(busy, ORGANIC_POWER);
        truth.organic(organic * kept, organic * worth * kept_of_price);
        let mut passed = if organic > 0.0 { chance.wait() / organic } else { 1.0 };
        while passed < 1.0 {
            truth.uncaused();
            let cents = worth * orders.factor(OF_ORDERS);
            let brought_by = None;
            decisions.push(Decision { at: at(passed), visit: None, cents, brought_by });
            passed += chance.wait() / organic;
        }
        if tracked {
            harvest(plan, person, &mut decisions, &mut orders, truth);
        }
        settle(plan, person, decisions, &mut orders);
    }
}

/// Robots come evenly by every channel, and order within visits; nothing causes it.
fn live_as_robot(plan: &Plan, person: &mut Person, truth: &mut Truth) {
    let mut chance = Chance::new(plan.size.seed, person.number, Purpose::Life);
    person.customer = true;
    let (start, end) = plan.period;
    let step = (end - start) as f64 / BOT_SESSIONS as f64;
    let kept_of_price = 1.0 - plan.size.refunds;
    let mut decisions = Vec::new();
    let mut orders_left = BOT_ORDERS;
    for number in 0..BOT_SESSIONS {
        let channel = chance.pick(plan.world.channels.iter().map(|channel| channel.visits));
        let passed = (number as f64 + chance.unit()) * step;
        let at = whole_milliseconds(start as f64 + passed);
        // As many orders as there are to be, whatever chance says: the rest of them among the rest.
        let left = BOT_SESSIONS - number;
        if chance.happens(orders_left as f64 / left as f64) {
            orders_left -= 1;
            let cents = plan.world.price * chance.factor(OF_ORDERS);
            // Before the end, however near that is.
            let ordered_at = (at + 30 * SECOND).min(end - MILLISECOND);
            let visit = Some(person.visits.len());
            decisions.push(Decision { at: ordered_at, visit, cents, brought_by: None });
        }
        person.visits.push(visit(at, channel, false));
    }
    let kept = 1.0 - plan.size.cancellations;
    truth.robot(decisions.len() as u64, kept, plan.world.price * kept_of_price);
    settle(plan, person, decisions, &mut chance);
}

/// Persons who have decided come by the channels that harvest, if they are not there already.
fn harvest(
    plan: &Plan,
    person: &mut Person,
    decisions: &mut [Decision],
    chance: &mut Chance,
    truth: &mut Truth,
) {
    for decision in decisions.iter_mut().filter(|decision| decision.visit.is_none()) {
        for (channel, way) in plan.world.channels.iter().enumerate() {
            if chance.happens(way.harvest) {
                let before = DECIDED.0 + chance.unit() * (DECIDED.1 - DECIDED.0);
                let at = decision.at - micros(before);
                if at >= plan.period.0 {
                    truth.harvested(channel);
                    if way.code.is_some() {
                        decision.brought_by.get_or_insert(channel);
                    }
                    person.visits.push(visit(at, channel, true));
                }
            }
        }
    }
}

/// Puts visits and orders into the order of time, and gives orders their price.
fn settle(plan: &Plan, person: &mut Person, decisions: Vec<Decision>, chance: &mut Chance) {
    let mut order: Vec<usize> = (0..person.visits.len()).collect();
    order.sort_by_key(|at| (person.visits[*at].at, *at));
    let mut place = vec![0; order.len()];
    for (new, old) in order.iter().enumerate() {
        place[*old] = new;
    }
    person.visits = order.iter().map(|at| person.visits[*at]).collect();
    let purchases = decisions.into_iter().map(|decision| {
        let day = plan.day(decision.at);
        let cents = if person.dollars && !plan.size.minimal {
            plan.rates.dollars(decision.cents, day)
        } else {
            decision.cents
        };
        Purchase {
            at: decision.at,
            visit: decision.visit.map(|visit| place[visit]),
            slot: 0,
            cents: chance.whole(cents),
            refunded_at: None,
            brought_by: decision.brought_by.map(|channel| small(channel as f64)),
            cancelled_at: None,
            codes: [None; 2],
            subscription: false,
            in_town: false,
        }
    });
    person.purchases = purchases.collect();
    person.purchases.sort_by_key(|purchase| (purchase.at, purchase.visit, purchase.cents));
}

/// What is told of visits beside: how long they were, what was seen.
fn dress(plan: &Plan, person: &mut Person, chance: &mut Chance) {
    let anonymous = anonymous_share(plan, person);
    let count = person.visits.len() as f64;
    let mut ordered_after = vec![0_u32; person.visits.len()];
    for purchase in &person.purchases {
        if let Some(visit) = purchase.visit {
            let seconds = (purchase.at - person.visits[visit].at) / SECOND;
            ordered_after[visit] = u32::try_from(seconds).unwrap_or_default();
        }
    }
    for (at, visit) in person.visits.iter_mut().enumerate() {
        let campaigns = plan.world.channels[usize::from(visit.channel)].campaigns.len();
        // The first campaigns of a channel are its larger ones.
        let drawn = chance.unit();
        visit.campaign = small(drawn * drawn.sqrt() * campaigns as f64);
        visit.page = small(chance.pick(PAGES.iter().map(|page| page.1)) as f64);
        let bounced = chance.happens(0.4) && ordered_after[at] == 0 && !visit.decided;
        let stay = (80.0 * chance.factor(0.9)).min(7_200.0);
        let (short, clicks) = (chance.below(15), chance.below(2));
        visit.seconds = if bounced { short } else { 15 + ordered_after[at] + whole(stay) };
        visit.interactions = narrow(if bounced { clicks } else { 2 + visit.seconds / 40 });
        visit.pages = narrow(if bounced { 1 } else { 1 + visit.seconds / 60 + chance.below(3) });
        // Early visits are more often those of somebody who has not signed in.
        let early = 1.3 - 0.6 * (at as f64 + 0.5) / count;
        let hidden = chance.happens(anonymous * early);
        let slot = [0.7, 0.22, 0.08];
        let slot = 1 + chance.pick(slot.into_iter());
        visit.slot = if hidden { small(slot as f64) } else { 0 };
    }
    for purchase in &mut person.purchases {
        // A guest orders without signing in.
        let guest = chance.happens(0.15);
        if let Some(visit) = purchase.visit.filter(|_| guest) {
            purchase.slot = person.visits[visit].slot;
        }
    }
    for purchase in &mut person.purchases {
        let after = micros(3_600.0 + chance.unit() * 12.0 * 86_400.0);
        if chance.happens(plan.size.refunds) {
            purchase.refunded_at = Some((purchase.at + after).min(plan.period.1 - MILLISECOND));
        }
    }
}

/// The share of a person's visits that are under an anonymous id: customers have to make up for
/// visitors, who have one id only.
fn anonymous_share(plan: &Plan, person: &Person) -> f64 {
    if person.customer && person.number < plan.size.persons && plan.world.customers > 0.0 {
        (plan.size.alias_share / plan.world.customers).min(1.0 / 1.3)
    } else {
        0.0
    }
}

/// Advertisers know a cookie more often than an account: views are under the id of some visit.
fn recognize(plan: &Plan, person: &mut Person) {
    let anonymous = anonymous_share(plan, person);
    let mut chance = Chance::new(plan.size.seed, person.number, Purpose::Recognized);
    for view in &mut person.views {
        let hidden = chance.happens((2.0 * anonymous).min(1.0));
        view.slot = u8::from(hidden);
    }
}

/// Since when users are known, and what joins them.
fn name(plan: &Plan, person: &mut Person, chance: &mut Chance, robot: bool) {
    let (start, end) = plan.period;
    person.country = if person.dollars {
        UNITED_STATES
    } else {
        chance.pick(COUNTRIES.iter().map(|country| country.2))
    };
    let rows = person.visits.iter().map(|visit| (visit.slot, visit.at));
    let rows = rows.chain(person.purchases.iter().map(|purchase| (purchase.slot, purchase.at)));
    let rows = rows.chain(person.views.iter().map(|view| (view.slot, view.at)));
    for (slot, at) in rows {
        let slot = usize::from(slot);
        let first = person.known_since[slot].get_or_insert(at);
        *first = (*first).min(at);
        person.seen[slot] = person.seen[slot].max(at);
    }
    let old = chance.happens(0.45);
    let before = start - DAY - micros(chance.unit() * 1_000.0 * 86_400.0);
    if person.customer && !robot && (old || person.known_since[0].is_none()) {
        person.known_since[0] = Some(before);
    }
    let chained = chance.happens(0.3);
    for slot in 1..SLOTS {
        let said = micros(86_400.0 * chance.wait());
        if person.known_since[slot].is_none() {
            continue;
        }
        let to = usize::from(slot == 2 && chained && person.known_since[1].is_some());
        let since = person.known_since[to].unwrap_or(start);
        let at = (person.seen[slot] + said).max(since).min(end - MILLISECOND);
        person.aliases.push((small(slot as f64), small(to as f64), at));
    }
}

/// What an export lacks, or has twice.
fn export(plan: &Plan, person: &mut Person) {
    let mut chance = Chance::new(plan.size.seed, person.number, Purpose::Export);
    for visit in &mut person.visits {
        let (late, seconds) = (chance.happens(plan.size.late), chance.below(3 * 86_400));
        // Exports are nearly in the order of time: some rows are held up for minutes.
        let held_up = if chance.happens(0.01) { 300.0 } else { 1.0 };
        visit.wait = whole(2_000.0 * held_up * chance.wait());
        visit.again = late.then_some(seconds);
    }
    for stub in &mut person.stub {
        *stub = chance.happens(plan.size.stubs);
    }
}

/// The advertisements that a person sees, who has so many visits that come by themselves.
///
/// They come as visits do, `views` of them for each visit of their channel.
fn seen(plan: &Plan, number: u64, visits: f64, at: impl Fn(f64) -> i64) -> Vec<View> {
    let channels = &plan.world.channels;
    let most = channels.iter().map(|channel| channel.views).fold(0.0, f64::max);
    let mut views = Vec::new();
    if most * visits <= 0.0 {
        return views;
    }
    let mut chance = Chance::new(plan.size.seed, number, Purpose::Views);
    let mut passed = chance.wait() / (most * visits);
    while passed < 1.0 {
        let channel = chance.pick(channels.iter().map(|one| one.pull(passed)));
        let drawn = chance.unit();
        let campaigns = channels[channel].campaigns.len() as f64;
        if chance.happens(channels[channel].views / most) {
            views.push(View {
                at: at(passed),
                channel: small(channel as f64),
                campaign: small(drawn * drawn.sqrt() * campaigns),
                slot: 0,
                device: 0,
            });
        }
        passed += chance.wait() / (most * visits);
    }
    views
}

/// Which devices a person has, which of them visits and views are on, and which test is shown there.
fn equip(plan: &Plan, person: &mut Person) {
    if !plan.size.full {
        return;
    }
    let mut chance = Chance::new(plan.size.seed, person.number, Purpose::Devices);
    let count = 1 + chance.pick(DEVICES_EACH.into_iter());
    person.devices = (0..count)
        .map(|_| small(chance.pick(DEVICES.iter().map(|device| device.3)) as f64))
        .collect();
    person.variant = small(chance.pick([45.0, 45.0, 10.0].into_iter()) as f64);
    // An anonymous id is a cookie, and lives on one device; who has an account is seen on all.
    let mut device = |slot: u8| {
        let (first, any) = (chance.happens(0.7), chance.pick((0..count).map(|_| 1.0)));
        let own = usize::from(slot.saturating_sub(1)) % count;
        let place = if slot > 0 {
            own
        } else if first {
            0
        } else {
            any
        };
        (small(place as f64), chance.unit())
    };
    for visit in &mut person.visits {
        let (place, known) = device(visit.slot);
        visit.device = (known >= UNKNOWN_DEVICE).then_some(place);
    }
    for view in &mut person.views {
        view.device = device(view.slot).0;
    }
}

/// What becomes of orders, and which visits come without their origin.
fn settle_fates(plan: &Plan, person: &mut Person) {
    let (world, size) = (&plan.world, &plan.size);
    let mut origins = Chance::new(size.seed, person.number, Purpose::Origins);
    for visit in &mut person.visits {
        visit.typed = origins.happens(world.channels[usize::from(visit.channel)].typed);
    }
    let mut chance = Chance::new(size.seed, person.number, Purpose::Fates);
    let of_channels = world.channels.iter().filter(|channel| channel.code.is_some()).count();
    for purchase in &mut person.purchases {
        purchase.subscription = chance.happens(world.subscriptions);
        let after = micros(3_600.0 + chance.unit() * 2.0 * 86_400.0);
        if chance.happens(size.cancellations) {
            purchase.cancelled_at = Some((purchase.at + after).min(plan.period.1 - MILLISECOND));
            purchase.refunded_at = None;
        }
        let in_town = chance.happens(IN_TOWN) && purchase.visit.is_none();
        purchase.in_town = in_town && !person.dollars;
        let (own, common) = (chance.unit(), chance.unit());
        let which = chance.pick(world.codes.iter().map(|_| 1.0));
        if let Some(channel) = purchase.brought_by.map(usize::from)
            && own < world.channels[channel].redeemed
        {
            let before = world.channels[..channel].iter().filter(|one| one.code.is_some()).count();
            let has_one = world.channels[channel].code.is_some();
            purchase.codes[0] = has_one.then(|| small(before as f64));
        }
        if common < world.redeemed && !world.codes.is_empty() {
            purchase.codes[1] = Some(small((of_channels + which) as f64));
        }
    }
}

/// Which anonymous users no alias joins to their person, and which of these left an address.
fn part(plan: &Plan, person: &mut Person) {
    let mut chance = Chance::new(plan.size.seed, person.number, Purpose::Joins);
    let mut parted = [false; SLOTS];
    for (parted, left) in parted.iter_mut().zip(&mut person.left_address).skip(1) {
        let address = chance.happens(0.5);
        *parted = chance.happens(plan.size.unjoined);
        *left = *parted && address;
    }
    person.aliases.retain(|(from, ..)| !parted[usize::from(*from)]);
}

fn visit(at: i64, channel: usize, decided: bool) -> Visit {
    Visit {
        at,
        channel: small(channel as f64),
        campaign: 0,
        decided,
        slot: 0,
        page: 0,
        seconds: 0,
        pages: 0,
        interactions: 0,
        wait: 0,
        again: None,
        typed: false,
        device: None,
    }
}

/// From a visit to the order that it caused.
fn delay(chance: &mut Chance, at_once: bool, mean: f64) -> i64 {
    let in_visit = IN_VISIT.0 + chance.unit() * (IN_VISIT.1 - IN_VISIT.0);
    let later = IN_VISIT.1 + mean / SECOND as f64 * chance.wait();
    micros(if at_once { in_visit } else { later })
}

/// The chance that an order which a visit causes is placed in the time that is left.
fn in_time(plan: &Plan, left: i64) -> f64 {
    let left = left as f64 / SECOND as f64;
    let in_visit = ((left - IN_VISIT.0) / (IN_VISIT.1 - IN_VISIT.0)).clamp(0.0, 1.0);
    let mean = plan.world.delay / SECOND as f64;
    let later = -libm::expm1(-(left - IN_VISIT.1).max(0.0) / mean);
    plan.world.at_once * in_visit + (1.0 - plan.world.at_once) * later
}

const MILLISECOND: i64 = 1_000;

/// When something that happens evenly over the day happens by the traffic of a day: its order stays.
fn by_the_clock(even: f64, period: (i64, i64)) -> i64 {
    /// How much of a day's traffic has passed at the beginning of each hour.
    static PASSED: LazyLock<Vec<f64>> = LazyLock::new(|| {
        let total: f64 = HOURS.iter().sum();
        let sums = HOURS.iter().scan(0.0, |sum, hour| {
            *sum += hour / total;
            Some(*sum)
        });
        [0.0].into_iter().chain(sums).collect()
    });
    let day = DAY as f64;
    let whole = libm::floor(even / day);
    let part = even / day - whole;
    let hour = PASSED.partition_point(|passed| *passed <= part).clamp(1, HOURS.len()) - 1;
    let within = (part - PASSED[hour]) / (PASSED[hour + 1] - PASSED[hour]);
    let hours = hour as f64 + within.clamp(0.0, 1.0);
    whole_milliseconds(day * (whole + hours / 24.0)).clamp(period.0, period.1 - MILLISECOND)
}

#[expect(clippy::cast_possible_truncation, reason = "instants are far below 2^63")]
fn whole_milliseconds(at: f64) -> i64 {
    (at as i64).div_euclid(MILLISECOND) * MILLISECOND
}

/// Seconds as whole milliseconds, in microseconds.
fn micros(seconds: f64) -> i64 {
    whole_milliseconds(seconds * SECOND as f64)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts from floats saturate; what comes here is small and not negative"
)]
fn small(value: f64) -> u8 {
    value as u8
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts from floats saturate; what comes here is small and not negative"
)]
fn whole(value: f64) -> u32 {
    value as u32
}

fn narrow(value: u32) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_keeps_days_and_their_order() {
        let period = (0, 10 * DAY);
        let mut before = -1;
        for step in 0..10_000_u32 {
            let even = f64::from(step) / 10_000.0 * 10.0 * DAY as f64;
            let at = by_the_clock(even, period);
            assert!(at >= before && at % MILLISECOND == 0);
            assert_eq!(at / DAY, i64::from(step) / 1_000);
            before = at;
        }
    }
}
