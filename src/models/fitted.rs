//! Orders divided so that, over all of them, every channel gets what it is owed by its effect.
//!
//! A channel weighs the same in every order that it touched, by its distinct channels, and the weights
//! are those under which what the orders give to each channel adds up to what it is owed: what
//! iterative proportional fitting of a table of sets of channels by channels converges to, from
//! shares in proportion to the effects. It is found by Newton's method, because fitting in turns
//! needs thousands of rounds where a channel has to get nearly all of some orders. Work grows with
//! distinct sets of channels, not with orders.
//!
//! Where no split meets what channels are owed, the closest does as well as can be for the channels
//! that get the smallest part of it, then for those that get the next smallest, and so on: no order is
//! left that could give more to who gets less. (The same split has the least squares of differences, each
//! by what is owed: Fujishige 1980.) Its levels are found by flows; an order gives all to the first
//! level that it touched. Not for whether any split meets what is owed; that is `split`.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::models::split::{PARTS, placed, short};
use crate::models::{Arguments, Effects, Journey, LearntRule, Model, Parameter, figure, unlearnt};

/// Of models that learn: how orders are divided.
pub(super) const CREDITS: Parameter = Parameter {
    name: "credits",
    default: "proportional",
    about: "how orders are divided: proportional (each by itself), or fitted (so that all together \
            give every channel what it is owed by its effect, or come as close as can be)",
};

/// The most channels whose weights are fitted.
const MOST_CHANNELS: usize = 1_000;

/// How far what a channel gets may be off, as a part of the orders of its level.
const TOLERANCE: f64 = 1e-10;

/// The most steps of a fit; usual are ten, and some thirty where a channel gets nearly all.
const MOST_STEPS: usize = 200;

/// How much of itself rounding may make of the height of a step's end.
const ROUNDING: f64 = 1e-10;

/// How far the logarithm of a weight moves in a step at most.
const LONGEST_STEP: f64 = 4.0;

/// How orders are divided by a model that learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credits {
    /// Each by itself, as the model says.
    Proportional,
    /// All together, so that channels get what they are owed.
    Fitted,
}

impl Credits {
    /// What the parameter [`CREDITS`] says.
    pub(super) fn parse(arguments: &Arguments) -> Result<Self> {
        match arguments.text(CREDITS.name) {
            "proportional" => Ok(Self::Proportional),
            "fitted" => Ok(Self::Fitted),
            _ => Err(arguments.wrong(CREDITS.name, "write `proportional` or `fitted`")),
        }
    }

    /// The rule that divides orders: the model's own, or one that is fitted to what channels are owed.
    ///
    /// # Errors
    ///
    /// More channels than can be fitted.
    pub(super) fn rule(
        self,
        column: &str,
        own: LearntRule,
        effects: &mut Effects,
    ) -> Result<LearntRule> {
        if self == Self::Proportional {
            return Ok(own);
        }
        let (rule, fitting) = fit(column, effects)?;
        effects.fitting = Some(fitting);
        Ok(rule.into())
    }
}

/// How orders were divided so that channels get what they are owed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Fitting {
    /// How many orders what a channel gets is off at most, beside what its level says.
    pub off: f64,
    /// Channels that get the same part of what they are owed; the smallest part first.
    pub levels: Vec<Level>,
}

/// Channels that get the same part of what they are owed, because of the orders that touched them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// The channels, ascending.
    pub channels: Vec<u32>,
    /// What they get of what they are owed: one, where some split gives all channels their due.
    pub part: f64,
}

/// Distinct channels of orders, by place, and how many orders have them.
type Sets = Vec<(Vec<u32>, u64)>;

/// The rule of fitted weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Fitted {
    column: String,
    /// The channels, ascending, as journeys number them.
    channels: Vec<u32>,
    /// The level of each, and what it weighs there; none of one that is owed nothing.
    weights: Vec<Option<(usize, f64)>>,
}

impl Model for Fitted {
    fn channels(&self) -> Option<&str> {
        Some(&self.column)
    }

    fn weigh(&self, journey: Journey<'_>, weights: &mut [f64]) {
        let mut sorted = journey.channels.to_vec();
        sorted.sort_unstable();
        let known = |channel: u32| {
            // Of one that was never learnt of nothing is owed.
            let place = self.channels.binary_search(&channel).ok()?;
            self.weights[place]
        };
        let first = sorted.iter().filter_map(|channel| Some(known(*channel)?.0)).min();
        for run in sorted.chunk_by(|left, right| left == right) {
            let Some((level, weight)) = known(run[0]) else { continue };
            if Some(level) != first {
                continue;
            }
            let touches = weights.iter_mut().zip(journey.channels);
            for (part, _) in touches.filter(|(_, channel)| **channel == run[0]) {
                *part = weight / run.len() as f64;
            }
        }
    }

    fn explain(
        &self,
        journey: Journey<'_>,
        touch: usize,
        weight: f64,
        channel: &str,
    ) -> Option<String> {
        let own = journey.channels[touch];
        let Ok(place) = self.channels.binary_search(&own) else {
            return Some(unlearnt(channel));
        };
        let Some((_, whole)) = self.weights[place] else {
            return Some(format!("0, {channel} is owed nothing"));
        };
        if weight == 0.0 {
            return Some("0, others of the order are owed more than they can get".to_owned());
        }
        let touches = journey.channels.iter().filter(|other| **other == own).count();
        let whole = format!("{} of {channel}, fitted to all orders", figure(whole));
        Some(match touches {
            1 => whole,
            _ => format!("{whole}, / {touches} touches = {}", figure(weight)),
        })
    }
}

/// Fits weights to what effects say that channels are owed.
fn fit(column: &str, effects: &Effects) -> Result<(Fitted, Fitting)> {
    let channels: Vec<u32> = effects.channels.iter().map(|effect| effect.channel).collect();
    let owed: Vec<f64> = effects.channels.iter().map(|effect| effect.share).collect();
    let all: Vec<u32> =
        (0..).zip(&owed).filter(|(_, owed)| **owed > 0.0).map(|(at, _)| at).collect();
    if all.len() > MOST_CHANNELS {
        return Err(Error::Contradiction(format!(
            "orders cannot be fitted to the effects of {} channels, more than {MOST_CHANNELS}; ask for fewer, such as `by=channel_group`, or for `credits=proportional`",
            all.len()
        )));
    }
    let sets = placed(effects);
    let orders = sets.iter().map(|(_, orders)| *orders).sum::<u64>() as f64;
    let mut weights = vec![None; channels.len()];
    let mut fitting = Fitting::default();
    for (number, (level, sets)) in levels(all, &sets, &owed).into_iter().enumerate() {
        let due: f64 = level.iter().map(|at| owed[*at as usize]).sum();
        let got = sets.iter().map(|(_, orders)| *orders).sum::<u64>() as f64;
        let targets: Vec<f64> = level.iter().map(|at| owed[*at as usize] / due * got).collect();
        let (fitted, off) = newton(&sets, &targets);
        for (at, weight) in level.iter().zip(fitted) {
            weights[*at as usize] = Some((number, weight));
        }
        fitting.off = fitting.off.max(off);
        let named = level.iter().map(|at| channels[*at as usize]).collect();
        fitting.levels.push(Level { channels: named, part: got / (due * orders) });
    }
    Ok((Fitted { column: column.to_owned(), channels, weights }, fitting))
}

/// Divides channels into levels, those that get the smallest part of what they are owed first; each
/// with the orders that it divides among its channels.
///
/// Channels that together are owed more than their part of the orders that touched any of them are a
/// level before the others, and so are some of those, until all of a level can get the same part.
fn levels(all: Vec<u32>, sets: &Sets, owed: &[f64]) -> Vec<(Vec<u32>, Sets)> {
    let mut levels = Vec::new();
    let mut waiting = vec![(restricted(sets, &all), all)];
    while let Some((sets, channels)) = waiting.pop() {
        if channels.is_empty() {
            continue;
        }
        let orders: u64 = sets.iter().map(|(_, orders)| *orders).sum();
        let Some(behind) = short(&sets, &parts(&channels, owed, orders)) else {
            levels.push((channels, sets));
            continue;
        };
        let (first, rest): (Vec<_>, Vec<_>) =
            (0..).zip(&channels).partition(|(at, _)| behind.binary_search(at).is_ok());
        let named = |some: &[(usize, &u32)]| some.iter().map(|(_, channel)| **channel).collect();
        let local = |some: &[(usize, &u32)]| -> Vec<u32> {
            some.iter().filter_map(|(at, _)| u32::try_from(*at).ok()).collect()
        };
        let (of_first, of_rest) = (local(&first), local(&rest));
        let touches = |set: &[u32]| set.iter().any(|at| of_first.binary_search(at).is_ok());
        let left = sets.iter().filter(|(set, _)| !touches(set)).cloned().collect();
        waiting.push((restricted(&left, &of_rest), named(&rest)));
        waiting.push((restricted(&sets, &of_first), named(&first)));
    }
    levels
}

/// The sets of some channels alone, renumbered by their places among these; those that are left empty
/// are left out, and those that became the same are one.
fn restricted(sets: &Sets, channels: &[u32]) -> Sets {
    let of_set = |set: &[u32]| -> Vec<u32> {
        let places = set.iter().filter_map(|channel| channels.binary_search(channel).ok());
        places.filter_map(|at| u32::try_from(at).ok()).collect()
    };
    let mut some: Sets = sets.iter().map(|(set, orders)| (of_set(set), *orders)).collect();
    some.retain(|(set, _)| !set.is_empty());
    some.sort_unstable();
    some.dedup_by(|next, first| {
        let known = next.0 == first.0;
        if known {
            first.1 += next.1;
        }
        known
    });
    some
}

/// So many orders divided by what some channels are owed, in parts of an order that sum to all.
fn parts(channels: &[u32], owed: &[f64], orders: u64) -> Vec<i64> {
    let all = i64::try_from(orders).unwrap_or(i64::MAX).saturating_mul(PARTS);
    let due: f64 = channels.iter().map(|at| owed[*at as usize]).sum();
    let (mut sum, mut before) = (0.0, 0);
    let mut part = |(at, channel): (usize, &u32)| {
        sum += owed[*channel as usize];
        #[expect(clippy::cast_possible_truncation, reason = "a part of all is at most all, an i64")]
        let until =
            if at + 1 == channels.len() { all } else { (sum / due * all as f64).round() as i64 };
        let part = until.min(all) - before;
        before = until.min(all);
        part
    };
    channels.iter().enumerate().map(&mut part).collect()
}

/// Weights of channels under which orders give each what is aimed at; returns them with how far the
/// worst is off.
///
/// With weight e^x(c) of a channel, orders with a set S give it n(S) e^x(c) / sum of e^x over S. What is
/// wanted is where the convex function sum of n(S) ln(sum of e^x over S) less sum of aim(c) x(c) is
/// least. How a step is judged where heights tell nothing any more: Hager and Zhang 2005.
fn newton(sets: &Sets, aims: &[f64]) -> (Vec<f64>, f64) {
    let orders: f64 = aims.iter().sum();
    let mut logs: Vec<f64> = aims.iter().map(|aim| libm::log(aim.max(f64::MIN_POSITIVE))).collect();
    let mut off = 0.0;
    if orders > 0.0 {
        let mut height = height(sets, aims, &logs);
        for _ in 0..MOST_STEPS {
            let missing = missing(sets, aims, &logs);
            off = worst(&missing);
            if off <= TOLERANCE * orders {
                break;
            }
            let step = balanced(shared(sets, &logs), missing.clone());
            // Far from the least a step may be anything; what it would make of a channel's part must not
            // vanish.
            let longest = worst(&step);
            let along = |missing: &[f64]| -> f64 {
                step.iter().zip(missing).map(|(step, missing)| step * missing).sum()
            };
            let descent = along(&missing);
            let (mut size, mut found) = (1.0_f64.min(LONGEST_STEP / longest), false);
            while !found && size > 1e-12 {
                let next: Vec<f64> =
                    logs.iter().zip(&step).map(|(log, step)| log + size * step).collect();
                let reached = self::height(sets, aims, &next);
                // What is least is flat, and heights there differ by rounding alone; but where slopes at
                // both ends of a step sum to a descent, so does the step.
                found = reached < height
                    || (reached <= height + ROUNDING * height.abs()
                        && along(&self::missing(sets, aims, &next)) > -descent);
                if found {
                    (logs, height) = (next, reached);
                }
                size /= 2.0;
            }
            if !found {
                break;
            }
        }
    }
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (logs.iter().map(|log| libm::exp((log - most).max(-700.0))).collect(), off)
}

/// What every channel misses of what is aimed at: how steeply the function falls along its logarithm.
fn missing(sets: &Sets, aims: &[f64], logs: &[f64]) -> Vec<f64> {
    let mut missing = aims.to_vec();
    for (set, orders) in sets {
        for (at, part) in set.iter().zip(parts_of(set, logs)) {
            missing[*at as usize] -= *orders as f64 * part;
        }
    }
    missing
}

/// What every two channels share of orders, by their parts; nothing of one with itself.
fn shared(sets: &Sets, logs: &[f64]) -> Vec<f64> {
    let count = logs.len();
    let mut shared = vec![0.0; count * count];
    for (set, orders) in sets {
        let parts = parts_of(set, logs);
        for (at, part) in set.iter().zip(&parts) {
            for (other, other_part) in set.iter().zip(&parts).filter(|(other, _)| *other != at) {
                shared[*at as usize * count + *other as usize] +=
                    *orders as f64 * part * other_part;
            }
        }
    }
    shared
}

/// The number that is farthest from nothing, without its sign.
fn worst(numbers: &[f64]) -> f64 {
    numbers.iter().fold(0.0, |most, number| most.max(number.abs()))
}

/// The parts of an order that channels of a set get.
fn parts_of(set: &[u32], logs: &[f64]) -> Vec<f64> {
    let most = set.iter().map(|at| logs[*at as usize]).fold(f64::NEG_INFINITY, f64::max);
    let mut parts: Vec<f64> = set.iter().map(|at| libm::exp(logs[*at as usize] - most)).collect();
    let sum: f64 = parts.iter().sum();
    for part in &mut parts {
        *part /= sum;
    }
    parts
}

/// The function that is least where orders give what is aimed at.
fn height(sets: &Sets, aims: &[f64], logs: &[f64]) -> f64 {
    let of_set = |(set, orders): &(Vec<u32>, u64)| {
        let most = set.iter().map(|at| logs[*at as usize]).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = set.iter().map(|at| libm::exp(logs[*at as usize] - most)).sum();
        *orders as f64 * (most + libm::log(sum))
    };
    let aimed: f64 = aims.iter().zip(logs).map(|(aim, log)| aim * log).sum();
    sets.iter().map(of_set).sum::<f64>() - aimed
}

/// Solves for steps x: the sum over others of shared(c, d) (x(c) − x(d)) is what c misses.
///
/// Channels are eliminated one by one. What a channel shares with all others is added up and never
/// taken from anything, so that channels which hardly share orders any more are still told apart.
fn balanced(mut shared: Vec<f64>, mut missing: Vec<f64>) -> Vec<f64> {
    let count = missing.len();
    let mut sums = vec![0.0; count];
    for last in (1..count).rev() {
        let (before, row) = shared.split_at_mut(last * count);
        let row = &row[..last];
        let sum: f64 = row.iter().sum();
        sums[last] = sum;
        if sum <= 0.0 {
            continue;
        }
        for (at, other) in before.chunks_mut(count).enumerate() {
            let part = other[last] / sum;
            if part == 0.0 {
                continue;
            }
            missing[at] += part * missing[last];
            for (to, (number, more)) in other.iter_mut().zip(row).enumerate() {
                if to != at {
                    *number += part * more;
                }
            }
        }
    }
    // The first of those that share orders stays where it is: only differences matter.
    let mut steps = vec![0.0; count];
    for at in 1..count {
        if sums[at] > 0.0 {
            let row = &shared[at * count..at * count + at];
            let others: f64 = row.iter().zip(&steps).map(|(shared, step)| shared * step).sum();
            steps[at] = (missing[at] + others) / sums[at];
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::models::{ChannelEffect, blocked};

    fn effects(shares: &[f64], sets: &[(&[u32], u64)]) -> Effects {
        let all: f64 = shares.iter().sum();
        let channel = |(channel, share): (u32, &f64)| ChannelEffect {
            channel,
            share: share / all,
            ..ChannelEffect::default()
        };
        Effects {
            channels: (0..).zip(shares).map(channel).collect(),
            sets: sets.iter().map(|(set, orders)| (set.to_vec(), *orders)).collect(),
            ..Effects::default()
        }
    }

    /// What each channel gets of an order with these channels.
    fn shares(rule: &dyn Model, channels: &[u32]) -> Vec<f64> {
        const NOWHERE: [i64; 8] = [0; 8];
        const DIRECT: [bool; 8] = [false; 8];
        let count = channels.len();
        let mut weights = vec![0.0; count];
        let journey = Journey {
            order_at: 0,
            touched_at: &NOWHERE[..count],
            direct: &DIRECT[..count],
            channels,
            watched_until: &[],
        };
        rule.weigh(journey, &mut weights);
        let sum: f64 = weights.iter().sum();
        if sum == 0.0 {
            return vec![1.0 / count as f64; count];
        }
        weights.iter().map(|weight| weight / sum).collect()
    }

    fn near(left: &[f64], right: &[f64]) -> bool {
        left.iter().zip(right).all(|(left, right)| (left - right).abs() < 1e-7)
    }

    #[test]
    fn orders_that_can_give_what_is_owed_do() {
        // Four orders by both and one by each: 0 is owed four of six, three of the four by both.
        let owed = effects(&[4.0, 2.0], &[(&[0], 1), (&[0, 1], 4), (&[1], 1)]);
        let (rule, fitting) = fit("channel", &owed).unwrap();
        assert_eq!(rule.channels(), Some("channel"));
        assert!(near(&shares(&rule, &[0, 1]), &[0.75, 0.25]));
        // A channel's part does not grow with its touches.
        assert!(near(&shares(&rule, &[0, 1, 1]), &[0.75, 0.125, 0.125]));
        assert!(near(&shares(&rule, &[1]), &[1.0]));
        assert_eq!(fitting.levels, [Level { channels: vec![0, 1], part: 1.0 }]);
        assert!(fitting.off < 1e-8);
    }

    #[test]
    fn channels_that_share_no_order_are_fitted_beside_each_other() {
        let sets: [(&[u32], u64); 3] = [(&[0], 2), (&[0, 1], 4), (&[2, 3], 6)];
        let owed = effects(&[3.0, 3.0, 2.0, 4.0], &sets);
        let (rule, fitting) = fit("channel", &owed).unwrap();
        assert!(near(&shares(&rule, &[0, 1]), &[0.25, 0.75]));
        assert!(near(&shares(&rule, &[2, 3]), &[1.0 / 3.0, 2.0 / 3.0]));
        assert!(fitting.off < 1e-8);
    }

    #[test]
    fn a_channel_that_has_to_get_all_of_its_orders_does() {
        let owed = effects(&[2.0, 2.0], &[(&[0], 2), (&[0, 1], 2)]);
        assert_eq!(blocked(&owed), None);
        let (rule, fitting) = fit("channel", &owed).unwrap();
        assert!(near(&shares(&rule, &[0, 1]), &[0.0, 1.0]));
        assert!(fitting.off < 1e-8);
    }

    #[test]
    fn where_no_split_will_do_who_gets_least_gets_what_there_is() {
        // 0 is owed four orders of five and touched two; 1 and 2 are owed half an order each, and
        // share the three that 0 did not touch. 3 is owed nothing and touched an order alone.
        let owed = effects(&[4.0, 0.5, 0.5, 0.0], &[(&[0, 1], 2), (&[1, 2, 3], 3), (&[3], 1)]);
        let (rule, fitting) = fit("channel", &owed).unwrap();
        assert!(near(&shares(&rule, &[0, 1]), &[1.0, 0.0]));
        assert!(near(&shares(&rule, &[1, 2, 3]), &[0.5, 0.5, 0.0]));
        assert!(near(&shares(&rule, &[3]), &[1.0]));
        // Of six orders 0 is owed 4.8 and gets two; the others 1.2, and get three.
        let parts: Vec<f64> = fitting.levels.iter().map(|level| level.part).collect();
        assert!(near(&parts, &[2.0 / 4.8, 3.0 / 1.2]), "{parts:?}");
        assert_eq!(fitting.levels[1].channels, [1, 2]);
        let channels = [0, 1, 3, 9];
        let told = |channels: &[u32], touch: usize, weight| {
            let nowhere = vec![0; channels.len()];
            let direct = vec![false; channels.len()];
            let journey = Journey {
                order_at: 0,
                touched_at: &nowhere,
                direct: &direct,
                channels,
                watched_until: &[],
            };
            rule.explain(journey, touch, weight, "mail").unwrap()
        };
        assert_eq!(told(&channels, 0, 1.0), "1 of mail, fitted to all orders");
        assert_eq!(told(&[1, 1, 2], 1, 0.5), "1 of mail, fitted to all orders, / 2 touches = 0.5");
        assert_eq!(
            told(&channels, 1, 0.0),
            "0, others of the order are owed more than they can get"
        );
        assert_eq!(told(&channels, 2, 0.0), "0, mail is owed nothing");
        assert_eq!(told(&channels, 3, 0.0), "0, nothing was learnt of mail");
    }

    #[test]
    fn a_channel_that_has_to_get_nearly_all_gets_it_where_heights_hardly_differ() {
        let shares = [0.0, 1493.0, 2758.0, 19.0, 13.0, 8.0, 0.0, 9.0];
        let sets: [(&[u32], u64); 10] = [
            (&[3], 2),
            (&[2, 5], 952),
            (&[2], 9),
            (&[2, 4], 1673),
            (&[2], 19),
            (&[2], 2600),
            (&[2], 9),
            (&[2, 3, 5], 2729),
            (&[4], 5),
            (&[2], 2889),
        ];
        let (_, fitting) = fit("channel", &effects(&shares, &sets)).unwrap();
        assert!(fitting.off < 1e-5, "{}", fitting.off);
    }

    #[test]
    fn nothing_owed_and_no_orders_are_answers_too() {
        let (rule, fitting) = fit("channel", &Effects::default()).unwrap();
        assert!(near(&shares(&rule, &[4, 5]), &[0.5, 0.5]));
        assert_eq!(fitting.levels, []);
        // One that touched no order is owed something all the same.
        let (rule, fitting) = fit("channel", &effects(&[1.0, 1.0], &[(&[0], 3)])).unwrap();
        assert!(near(&shares(&rule, &[0]), &[1.0]));
        assert_eq!(fitting.levels[0], Level { channels: vec![1], part: 0.0 });
    }

    proptest! {
        #[test]
        fn what_can_be_met_is_met_and_else_no_order_could_give_more_to_who_gets_less(
            owed in prop::collection::vec(prop_oneof![0_u32..20, 0_u32..5_000], 2..12),
            sets in prop::collection::vec((prop::collection::btree_set(0_u32..12, 1..6), prop_oneof![1_u64..30, 1_u64..3_000]), 1..40),
        ) {
            prop_assume!(owed.iter().any(|owed| *owed > 0));
            let owed: Vec<f64> = owed.iter().map(|owed| f64::from(*owed)).collect();
            let count = u32::try_from(owed.len()).unwrap();
            let sets: Vec<(Vec<u32>, u64)> = sets
                .iter()
                .map(|(set, orders)| (set.iter().copied().filter(|at| *at < count).collect::<Vec<u32>>(), *orders))
                .filter(|(set, _)| !set.is_empty())
                .collect();
            prop_assume!(!sets.is_empty());
            let borrowed: Vec<(&[u32], u64)> = sets.iter().map(|(set, orders)| (&set[..], *orders)).collect();
            let effects = effects(&owed, &borrowed);
            let (rule, fitting) = fit("channel", &effects).unwrap();
            let orders: f64 = sets.iter().map(|(_, orders)| *orders as f64).sum();
            let mut got = vec![0.0; owed.len()];
            for (set, orders) in &sets {
                for (channel, share) in set.iter().zip(shares(&rule, set)) {
                    got[*channel as usize] += *orders as f64 * share;
                }
            }
            let due: Vec<f64> = effects.channels.iter().map(|one| one.share * orders).collect();
            if blocked(&effects).is_none() {
                for (got, due) in got.iter().zip(&due) {
                    prop_assert!((got - due).abs() < 1e-5, "{got:?} {due:?}");
                }
            }
            prop_assert!(fitting.off < 1e-5, "{}", fitting.off);
            for (set, _) in &sets {
                let gets = shares(&rule, set);
                for (channel, share) in set.iter().zip(&gets).filter(|(_, share)| **share > 1e-6) {
                    for other in set {
                        let part = |channel: u32| got[channel as usize] / due[channel as usize];
                        // Only who is owed something can get less of it.
                        if due[*other as usize] > 0.0 && due[*channel as usize] > 0.0 {
                            prop_assert!(part(*channel) <= part(*other) + 1e-4, "{share} {got:?} {due:?}");
                        }
                    }
                }
            }
        }
    }
}
