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
const UNITED_STATES: usize = 6;

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
    /// When each user was first known; none where it never was.
    pub(super) known_since: [Option<i64>; SLOTS],
    /// When each user was last seen.
    pub(super) seen: [i64; SLOTS],
    /// The slot that each anonymous user is said to be, and when that was said.
    pub(super) aliases: Vec<(u8, u8, i64)>,
    /// Users without a profile.
    pub(super) stub: [bool; SLOTS],
}

/// An order before it is told of.
struct Decision {
    at: i64,
    /// The visit that caused it and in which it is placed, by its number among those that come by
    /// themselves.
    visit: Option<usize>,
    cents: f64,
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
        name(plan, &mut person, &mut details, number >= plan.size.persons);
        export(plan, &mut person);
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
        let at = |passed: f64| by_the_clock(begin + passed * time, plan.period);
        let kept_of_price = 1.0 - size.refunds;

        let mut orders = Chance::new(size.seed, person.number, Purpose::Orders);
        let mut decisions: Vec<Decision> = Vec::new();
        interest.clear();
        let mut passed = if tracked && visits > 0.0 { chance.wait() / visits } else { 1.0 };
        while passed < 1.0 {
            let channel = chance.pick(world.channels.iter().map(|one| one.pull(passed)));
            let visit_at = at(passed);
            interest.visit(visit_at, channel, plan.scale, effect);
            let in_time = in_time(plan, end - visit_at);
            truth.visit(channel, effect, in_time, in_time * worth * kept_of_price);
            if orders.happens(effect.chance) {
                let at_once = orders.happens(world.at_once);
                let ordered_at = visit_at + delay(&mut orders, at_once, world.delay);
                let cents = worth * orders.factor(OF_ORDERS);
                if ordered_at < end {
                    truth.caused(channel);
                    let visit = at_once.then_some(person.visits.len());
                    decisions.push(Decision { at: ordered_at, visit, cents });
                }
            }
            person.visits.push(visit(visit_at, channel, false));
            passed += chance.wait() / visits;
        }
        let organic = plan.organic * libm::pow(busy, ORGANIC_POWER);
        truth.organic(organic, organic * worth * kept_of_price);
        let mut passed = if organic > 0.0 { chance.wait() / organic } else { 1.0 };
        while passed < 1.0 {
            truth.uncaused();
            let cents = worth * orders.factor(OF_ORDERS);
            decisions.push(Decision { at: at(passed), visit: None, cents });
            passed += chance.wait() / organic;
        }
        if tracked {
            harvest(plan, person, &decisions, &mut orders, truth);
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
            decisions.push(Decision { at: ordered_at, visit, cents });
        }
        person.visits.push(visit(at, channel, false));
    }
    truth.robot(decisions.len() as u64, plan.world.price * kept_of_price);
    settle(plan, person, decisions, &mut chance);
}

/// Persons who have decided come by the channels that harvest, if they are not there already.
fn harvest(
    plan: &Plan,
    person: &mut Person,
    decisions: &[Decision],
    chance: &mut Chance,
    truth: &mut Truth,
) {
    for decision in decisions.iter().filter(|decision| decision.visit.is_none()) {
        for (channel, way) in plan.world.channels.iter().enumerate() {
            if chance.happens(way.harvest) {
                let before = DECIDED.0 + chance.unit() * (DECIDED.1 - DECIDED.0);
                let at = decision.at - micros(before);
                if at >= plan.period.0 {
                    truth.harvested(channel);
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
