//! Markov chains of journeys: states, and how often each follows another.
//!
//! A state of a chain of order k is a window: the last k channels, or all of them where there are
//! fewer. Journeys begin at START, the window without channels, and end in CONVERSION or NULL. A
//! [`Chain`] is made of integer counts; `solve` and, where there are many steps, `follow` work out
//! probabilities, `removal` what is lost without a channel, `game` Shapley values and `sampled` those
//! of many channels, `choice` which order the data speak for. Not for what touches weigh: that is
//! `markov` and `shapley`.

mod choice;
mod follow;
mod game;
mod removal;
mod sampled;
mod solve;

use std::cmp::Ordering;

pub(super) use choice::choose;
pub(super) use game::Game;
use game::Values;
pub(super) use removal::{Removal, removal_effects};

use crate::error::{Error, Result};
use crate::models::{Counts, Journey, Outcome};

/// The most touches that a chain remembers.
pub(super) const MOST_ORDER: usize = 4;

/// What follows the last touch of a journey with an order.
const CONVERSION: u32 = u32::MAX;
/// What follows the last touch of a journey without one.
const NULL: u32 = u32::MAX - 1;
/// What a key begins with that counts the channels of a journey that converted, not a step.
const TOGETHER: u32 = u32::MAX - 2;

/// How much the solved probability of conversion may be off the observed rate.
const TOLERANCE: f64 = 1e-9;

/// Counts every step of a journey under a chain of this order: the window before it, and what
/// follows; and which channels it had, where it converted.
pub(super) fn observe(
    order: usize,
    journey: Journey<'_>,
    outcome: Outcome,
    times: u64,
    counts: &mut Counts,
) {
    let channels = journey.channels;
    for at in 0..channels.len() {
        counts.add(&channels[at.saturating_sub(order)..=at], times);
    }
    let end = match outcome {
        Outcome::Converted => CONVERSION,
        Outcome::Lost => NULL,
    };
    let window = &channels[channels.len().saturating_sub(order)..];
    let mut key = [0; MOST_ORDER + 1];
    key[..window.len()].copy_from_slice(window);
    key[window.len()] = end;
    counts.add(&key[..=window.len()], times);
    if outcome == Outcome::Converted && !channels.is_empty() {
        let mut together = channels.to_vec();
        together.push(TOGETHER);
        // The mark is greater than any channel; it comes first in the key.
        together.sort_unstable_by(|left, right| {
            (*right == TOGETHER).cmp(&(*left == TOGETHER)).then(left.cmp(right))
        });
        together.dedup();
        counts.add(&together, times);
    }
}

/// A state of a chain.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct State {
    /// Its window, oldest first, as positions among the chain's channels.
    window: Vec<u32>,
    /// The states that follow, with how often they do.
    next: Vec<(u32, u64)>,
    /// How often CONVERSION follows.
    converted: u64,
    /// How often NULL follows.
    lost: u64,
}

impl State {
    /// How often it was visited.
    fn visits(&self) -> u64 {
        self.next.iter().map(|(_, times)| times).sum::<u64>() + self.converted + self.lost
    }

    /// Whether its window holds a channel.
    fn holds(&self, channel: u32) -> bool {
        self.window.contains(&channel)
    }
}

/// How often one window followed another.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Chain {
    /// How many touches a state remembers.
    pub(super) order: usize,
    /// The channels that occur, as journeys number them, ascending.
    pub(super) channels: Vec<u32>,
    /// The states in the order of their windows; START is the first.
    states: Vec<State>,
    /// The sets of channels of journeys that converted, as journeys number them, and how many did.
    pub(super) sets: Vec<(Vec<u32>, u64)>,
}

impl Chain {
    /// The chain of an order, from counts of that order or of a higher one.
    pub(super) fn new(counts: &Counts, order: usize) -> Self {
        let sorted = counts.sorted();
        let mut channels: Vec<u32> =
            sorted.iter().filter(|(key, _)| key.len() == 1).map(|(key, _)| key[0]).collect();
        let follows = |key: &[u32]| key.last().copied().filter(|next| *next < TOGETHER);
        channels.extend(sorted.iter().filter_map(|(key, _)| follows(key)));
        channels.sort_unstable();
        channels.dedup();
        let place = |channel: u32| match channel {
            CONVERSION | NULL => channel,
            // Every channel is among those that follow something.
            _ => number(channels.binary_search(&channel).unwrap_or_default()),
        };
        let mut sets = Vec::new();
        let mut steps: Vec<(Vec<u32>, u32, u64)> = Vec::new();
        for (key, times) in sorted.into_iter().filter(|(_, times)| *times > 0) {
            if key[0] == TOGETHER {
                sets.push((key[1..].to_vec(), times));
                continue;
            }
            let (next, window) = key.split_last().expect("a step has something that follows");
            let window = &window[window.len().saturating_sub(order)..];
            steps.push((
                window.iter().map(|channel| place(*channel)).collect(),
                place(*next),
                times,
            ));
        }
        steps.sort_unstable();
        let mut states: Vec<State> = Vec::new();
        let mut windows: Vec<Vec<u32>> = steps.iter().map(|(window, ..)| window.clone()).collect();
        windows.dedup();
        for (window, next, times) in steps {
            if states.last().is_none_or(|state| state.window != window) {
                states.push(State { window, ..State::default() });
            }
            let Some(state) = states.last_mut() else { continue };
            match next {
                CONVERSION => state.converted += times,
                NULL => state.lost += times,
                channel => {
                    let from = (state.window.len() + 1).saturating_sub(order);
                    let mut target = state.window[from.min(state.window.len())..].to_vec();
                    target.push(channel);
                    // Whatever is reached is left again: every journey ends.
                    let target = windows.binary_search(&target).unwrap_or_default();
                    let target = number(target);
                    match state.next.last_mut() {
                        Some((last, sum)) if *last == target => *sum += times,
                        _ => state.next.push((target, times)),
                    }
                }
            }
        }
        Self { order, channels, states, sets }
    }

    /// How many journeys there are.
    pub(super) fn journeys(&self) -> u64 {
        self.states.first().map_or(0, State::visits)
    }

    /// How many of them converted.
    pub(super) fn converted(&self) -> u64 {
        self.states.iter().map(|state| state.converted).sum()
    }

    /// The observed part of journeys that converted; none without journeys.
    pub(super) fn rate(&self) -> f64 {
        if self.journeys() == 0 { 0.0 } else { self.converted() as f64 / self.journeys() as f64 }
    }

    /// How many probabilities the chain is made of: one less a state than what follows it.
    pub(super) fn parameters(&self) -> u64 {
        let of_state = |state: &State| {
            let ends = u64::from(state.converted > 0) + u64::from(state.lost > 0);
            (state.next.len() as u64 + ends).saturating_sub(1)
        };
        self.states.iter().map(of_state).sum()
    }

    /// The probability of conversion by an exact solve of the chain.
    ///
    /// # Errors
    ///
    /// One that is not the observed rate: the chain would not be that of the journeys.
    pub(super) fn probability(&self) -> Result<f64> {
        if self.journeys() == 0 {
            return Ok(0.0);
        }
        let probability = match follow::Followed::of_many_steps(self, 1)? {
            Some(followed) => followed.probability,
            None => solve::reach(self, &|_| true, solve::Lost::Kept)?,
        };
        let rate = self.rate();
        match (probability - rate).abs().partial_cmp(&TOLERANCE) {
            Some(Ordering::Less | Ordering::Equal) => Ok(probability),
            _ => Err(Error::Broken(format!(
                "a chain of order {} converts with {probability}, but {rate} of its journeys did",
                self.order
            ))),
        }
    }
}

/// A position of a channel or a state.
#[expect(clippy::cast_possible_truncation, reason = "keys are numbered in 32 bits")]
const fn number(position: usize) -> u32 {
    position as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_pcg::Pcg64;
    use rand_pcg::rand_core::Rng;

    use super::sampled::{Joining, Space};
    use super::solve::{Lost, Work, reach};
    use super::*;

    /// Counts of paths, each with how often it converted and how often it did not.
    pub(in crate::models) fn counted(order: usize, paths: &[(&[u32], u64, u64)]) -> Counts {
        let mut counts = Counts::default();
        for (channels, converted, lost) in paths {
            let journey =
                Journey { order_at: 0, touched_at: &[], direct: &[], channels, watched_until: &[] };
            observe(order, journey, Outcome::Converted, *converted, &mut counts);
            observe(order, journey, Outcome::Lost, *lost, &mut counts);
        }
        counts
    }

    fn effects(chain: &Chain, removal: Removal) -> Vec<f64> {
        removal_effects(chain, removal).unwrap().into_iter().map(Option::unwrap).collect()
    }

    fn values(chain: &Chain) -> Vec<f64> {
        Game { samples: 100, seed: 1 }.values(chain).unwrap().values
    }

    fn near(left: &[f64], right: &[f64], by: f64) -> bool {
        left.len() == right.len()
            && left.iter().zip(right).all(|(left, right)| (left - right).abs() <= by)
    }

    #[test]
    fn three_journeys_worked_by_hand() {
        let counts = counted(1, &[(&[1, 2, 3], 1, 0), (&[1], 0, 1), (&[2, 3], 0, 1)]);
        let chain = Chain::new(&counts, 1);
        assert!((chain.probability().unwrap() - 1.0 / 3.0).abs() < 1e-15);
        assert!(near(&effects(&chain, Removal::Null), &[0.5, 1.0, 1.0], 1e-12));
        // Worth 1/6 to {2, 3} and 1/6 more to all three.
        let worked = [1.0 / 18.0, 5.0 / 36.0, 5.0 / 36.0];
        assert!(near(&values(&chain), &worked, 1e-12));
        // No channel was alone in the journey that converted.
        assert_eq!(effects(&chain, Removal::Refit), [0.0, 0.0, 0.0]);
        // Without 1 all begin with 2: 1/2 convert. Without 2 or 3 nothing does.
        assert!(near(&effects(&chain, Removal::Cut), &[-0.5, 1.0, 1.0], 1e-12));
    }

    #[test]
    fn what_cannot_be_told_is_not_guessed() {
        for order in 1..=MOST_ORDER {
            let nothing = Chain::new(&Counts::default(), order);
            assert_eq!((nothing.probability().unwrap(), values(&nothing)), (0.0, vec![]));
            let never = Chain::new(&counted(order, &[(&[1, 2], 0, 5), (&[2], 0, 1)]), order);
            assert_eq!((never.probability().unwrap(), never.converted()), (0.0, 0));
            assert_eq!(removal_effects(&never, Removal::Null).unwrap(), [None, None]);
            assert_eq!(values(&never), [0.0, 0.0]);
            let one = Chain::new(&counted(order, &[(&[4], 3, 0)]), order);
            assert_eq!((effects(&one, Removal::Null), values(&one)), (vec![1.0], vec![1.0]));
            let always = Chain::new(&counted(order, &[(&[1, 1, 1], 2, 0), (&[2], 0, 2)]), order);
            assert!(near(&effects(&always, Removal::Null), &[1.0, 0.0], 1e-12));
            assert!(near(&values(&always), &[0.5, 0.0], 1e-12));
        }
    }

    #[test]
    fn many_channels_get_an_answer_or_are_refused() {
        // Every journey is one channel, then one of the next two.
        let count = 1_500;
        let paths: Vec<[u32; 2]> =
            (0..count).flat_map(|at| (1..3).map(move |by| [at, (at + by) % count])).collect();
        let paths: Vec<(&[u32], u64, u64)> =
            paths.iter().map(|path| (&path[..], 1, u64::from(path[0] % 3))).collect();
        let chain = Chain::new(&counted(1, &paths), 1);
        assert_eq!(effects(&chain, Removal::Null).len(), paths.len() / 2);
        // Ten thousand channels that all follow each other are half a triangle of that.
        let work = Work { numbers: 5e7, multiplications: 3e11 };
        let refused = work.check(&chain, 10_001).unwrap_err().to_string();
        assert!(refused.contains("10001 states is too large to be solved exactly"), "{refused}");
    }

    fn paths() -> impl Strategy<Value = Vec<(Vec<u32>, u64, u64)>> {
        let path = (prop::collection::vec(0_u32..5, 1..9), 0_u64..4, 0_u64..4);
        prop::collection::vec(path, 1..25)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

        #[test]
        fn chains_convert_at_the_observed_rate_and_every_way_to_an_effect_agrees(paths in paths()) {
            let paths: Vec<_> = paths.iter().map(|(path, yes, no)| (&path[..], *yes, *no)).collect();
            let all = counted(MOST_ORDER, &paths);
            for order in 1..=MOST_ORDER {
                let chain = Chain::new(&counted(order, &paths), order);
                // Counts of a higher order hold those of every lower one.
                prop_assert_eq!(&chain, &Chain::new(&all, order));
                let probability = chain.probability().unwrap();
                if probability == 0.0 {
                    continue;
                }
                let sets = |set: u32| reach(&chain, &|state| {
                    chain.states[state].window.iter().all(|channel| set & 1 << channel != 0)
                }, Lost::Kept).unwrap();
                let count = chain.channels.len();
                let whole = (1_u32 << count) - 1;
                let alone = (0..count).map(|channel| 1.0 - sets(whole ^ (1 << channel)) / probability);
                prop_assert!(near(&effects(&chain, Removal::Null), &alone.collect::<Vec<_>>(), 1e-12));
                // The definition: the mean gain over all sets of others, weighted by their size.
                let ways = |size: usize| {
                    let factorial = |of: usize| (1..=of).map(|at| at as f64).product::<f64>();
                    factorial(size) * factorial(count - 1 - size) / factorial(count)
                };
                let worth: Vec<f64> = (0..=whole).map(sets).collect();
                let value = |channel: usize| {
                    let without = (0..=whole).filter(|set| set & 1 << channel == 0);
                    without.map(|set| {
                        let gain = worth[(set | 1 << channel) as usize] - worth[set as usize];
                        ways(set.count_ones() as usize) * gain
                    }).sum::<f64>()
                };
                let defined: Vec<f64> = (0..count).map(value).collect();
                prop_assert!(near(&values(&chain), &defined, 1e-12));
                // In one order of joining: what each channel adds to the set of those before it.
                let joins: Vec<u32> = [3, 1, 4, 0, 2].into_iter().filter(|at| (*at as usize) < count).collect();
                let mut set = 0_u32;
                let mut added = vec![0.0; count];
                for channel in &joins {
                    added[*channel as usize] = worth[(set | 1 << channel) as usize] - worth[set as usize];
                    set |= 1 << channel;
                }
                let mut gains = vec![0.0; count];
                let (joining, mut space) = (Joining::new(&chain), Space::default());
                joining.gains(&joins, f64::INFINITY, &mut space, &mut gains).unwrap();
                prop_assert!(near(&gains, &added, 1e-12));
            }
        }

        #[test]
        fn a_chain_that_remembers_whole_journeys_says_what_the_journeys_say(paths in paths()) {
            let short: Vec<_> = paths
                .iter()
                .map(|(path, yes, no)| (&path[..path.len().min(MOST_ORDER)], *yes, *no))
                .collect();
            let chain = Chain::new(&counted(MOST_ORDER, &short), MOST_ORDER);
            let (journeys, converted) = (chain.journeys() as f64, chain.converted() as f64);
            prop_assume!(converted > 0.0);
            let mut lost = vec![0.0; chain.channels.len()];
            let mut shared = vec![0.0; chain.channels.len()];
            for (path, yes, _) in &short {
                let mut distinct = path.to_vec();
                distinct.sort_unstable();
                distinct.dedup();
                for channel in &distinct {
                    // Channels without a journey are in no chain.
                    let Ok(at) = chain.channels.binary_search(channel) else { continue };
                    lost[at] += *yes as f64 / converted;
                    shared[at] += *yes as f64 / distinct.len() as f64 / journeys;
                }
            }
            prop_assert!(near(&effects(&chain, Removal::Null), &lost, 1e-12));
            // The simplified Shapley value: equal parts to the channels of each journey.
            prop_assert!(near(&values(&chain), &shared, 1e-12));
        }
    }

    /// Journeys over so many channels, as if by chance.
    fn many(channels: u32) -> Vec<(Vec<u32>, u64, u64)> {
        let mut random = Pcg64::new(5, 1);
        let mut below = |most: u32| random.next_u32() % most;
        let mut journey = || {
            let path = (0..=below(6)).map(|_| below(channels).min(below(channels))).collect();
            (path, u64::from(below(3)), u64::from(below(4)))
        };
        (0..300).map(|_| journey()).collect()
    }

    #[test]
    fn sampled_values_are_near_the_exact_ones_and_the_same_for_a_seed() {
        for (channels, order) in [(12, 1), (8, 2)] {
            let paths = many(channels);
            let paths: Vec<_> =
                paths.iter().map(|(path, yes, no)| (&path[..], *yes, *no)).collect();
            let chain = Chain::new(&counted(order, &paths), order);
            let exact = values(&chain);
            let probability = chain.probability().unwrap();
            let game = Game { samples: 1_999, seed: 7 };
            let sampled = game.sampled(&chain).unwrap();
            for (at, error) in sampled.errors.clone().unwrap().iter().enumerate() {
                assert!(*error < 0.003 * probability, "{error}");
                assert!((sampled.values[at] - exact[at]).abs() < 4.5 * error);
            }
            assert!((sampled.values.iter().sum::<f64>() - probability).abs() < 1e-12);
            let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            assert_eq!(sampled, one.install(|| game.sampled(&chain).unwrap()));
            let other = Game { seed: 8, ..game }.sampled(&chain).unwrap();
            assert_ne!(sampled, other);
        }
    }

    #[test]
    fn values_beyond_exact_sets_sum_to_the_probability_or_are_refused() {
        let paths = many(60);
        let paths: Vec<_> = paths.iter().map(|(path, yes, no)| (&path[..], *yes, *no)).collect();
        let chain = Chain::new(&counted(1, &paths), 1);
        let values = Game { samples: 100, seed: 1 }.values(&chain).unwrap();
        assert!(values.values.len() > 40 && values.errors.is_some());
        assert!(values.values.iter().all(|value| *value >= 0.0));
        let refused = Game { samples: 10_000_000, seed: 1 }.values(&chain).unwrap_err().to_string();
        assert!(refused.contains("ask for fewer `samples`"), "{refused}");
    }

    #[test]
    fn a_channel_that_was_alone_takes_its_orders_with_it() {
        // Three of four convert. Without 1 the journeys of it alone are lost, and with them two orders.
        let chain = Chain::new(&counted(1, &[(&[1], 2, 1), (&[1, 2], 1, 0)]), 1);
        assert!(near(&effects(&chain, Removal::Refit), &[2.0 / 3.0, 0.0], 1e-15));
    }

    #[test]
    fn what_is_lost_of_next_to_nothing_is_lost() {
        // Of twenty million journeys two convert, one by each channel.
        let chain =
            Chain::new(&counted(1, &[(&[1], 1, 0), (&[2], 1, 0), (&[3], 0, 19_999_998)]), 1);
        assert!(near(&effects(&chain, Removal::Null), &[0.5, 0.5, 0.0], 1e-12));
    }

    #[test]
    fn sets_of_more_than_twenty_channels_are_sampled() {
        let alone: Vec<[u32; 1]> = (0..21).map(|channel| [channel]).collect();
        let paths: Vec<_> = alone.iter().map(|path| (&path[..], 1, 1)).collect();
        let values = Game { samples: 10, seed: 1 }.values(&Chain::new(&counted(1, &paths), 1));
        // Each is worth what it converts by itself, in whatever order they join.
        let values = values.unwrap();
        assert!(near(&values.values, &[0.5 / 21.0; 21], 1e-15));
        assert!(near(&values.errors.unwrap(), &[0.0; 21], 1e-9));
    }

    /// Of three journeys of one touch two convert. Three things can follow, so that each step is
    /// foretold with (n − 1/2) / (3 − 1 + 3/2): the touch with 2.5 of 3.5, then 1.5 and 0.5 of 3.5.
    #[test]
    fn steps_are_foretold_by_all_others() {
        let (_, curve) = choose(&counted(MOST_ORDER, &[(&[7], 2, 1)]));
        let worked =
            (3.0 * (2.5_f64 / 3.5).ln() + 2.0 * (1.5_f64 / 3.5).ln() + (0.5_f64 / 3.5).ln()) / 6.0;
        assert!((curve[0].likelihood - worked).abs() < 1e-15, "{curve:?}");
        // What follows the touch is one number, and START has no choice.
        assert_eq!((curve[0].order, curve[0].parameters), (1, 1));
        // One that converts or goes on, and one that converts or is lost.
        let chain = Chain::new(&counted(1, &[(&[0, 1], 2, 1), (&[0], 1, 0)]), 1);
        assert_eq!(chain.parameters(), 2);
        let nothing = choose(&Counts::default()).1;
        assert!(nothing.iter().all(|tried| tried.likelihood == 0.0 && tried.parameters == 0));
    }

    #[test]
    fn the_error_of_two_pairs_of_orders_is_half_of_what_they_differ_by() {
        let paths = many(60);
        let paths: Vec<_> = paths.iter().map(|(path, yes, no)| (&path[..], *yes, *no)).collect();
        let chain = Chain::new(&counted(1, &paths), 1);
        let of = |samples| Game { samples, seed: 3 }.values(&chain).unwrap();
        let (one, both) = (of(2), of(4));
        let errors = both.errors.unwrap();
        // The mean of two lies half of that from the first.
        let apart = both.values.iter().zip(&one.values).map(|(both, one)| (both - one).abs());
        assert!(near(&errors, &apart.collect::<Vec<_>>(), 1e-9), "{errors:?}");
        assert!(errors.iter().any(|error| *error > 1e-5), "{errors:?}");
    }

    #[test]
    fn a_system_is_refused_for_its_size_and_for_its_work() {
        let chain = Chain::new(&counted(1, &[(&[1], 1, 1)]), 1);
        let check = |numbers, multiplications| Work { numbers, multiplications }.check(&chain, 2);
        check(3e7, 1e11).unwrap();
        check(3.1e7, 1.0).unwrap_err();
        check(1.0, 1.1e11).unwrap_err();
    }

    #[test]
    fn memory_is_chosen_where_it_foretells() {
        // What follows 1 depends on what was before it: 0 converts, 2 does not.
        let remembers: &[(&[u32], u64, u64)] =
            &[(&[0, 1, 0], 50, 0), (&[2, 1, 2], 0, 50), (&[0], 3, 10), (&[2], 4, 9)];
        let (chain, curve) = choose(&counted(MOST_ORDER, remembers));
        assert_eq!((chain.order, curve.len()), (2, MOST_ORDER));
        // Here it does not: two in four go on, to either channel, wherever they come from.
        let mut random = Pcg64::new(1, 1);
        let mut journey = || {
            let mut path = vec![random.next_u32() % 2];
            loop {
                match random.next_u32() >> 30 {
                    0 => return (path, 1, 0),
                    1 => return (path, 0, 1),
                    channel => path.push(channel - 2),
                }
            }
        };
        let forgets: Vec<(Vec<u32>, u64, u64)> = (0..400).map(|_| journey()).collect();
        let forgets: Vec<_> =
            forgets.iter().map(|(path, yes, no)| (&path[..], *yes, *no)).collect();
        assert_eq!(choose(&counted(MOST_ORDER, &forgets)).0.order, 1);
    }
}
