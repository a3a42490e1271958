//! Shapley values of the chain game: v(S) = P(conversion) where every channel outside S leads to
//! NULL.
//!
//! Exact to [`MOST_EXACT`] channels. Channels are decided one by one: one that is left out takes its
//! states with it, and of one that is in, the states that hold nothing undecided are eliminated, so
//! that every set of channels starts from the half-eliminated chain of those decided before it
//! instead of from the whole. All numbers are probabilities and only ever added up: nothing cancels.
//!
//! Beyond that, sampled. A journey of the chain that converts is worth, over all orders in which
//! channels can join, 1 / m to each of its m channels: the one that joins last makes it, and each is
//! last equally often. So journeys of the chain are drawn, and the orders of joining are averaged
//! without drawing any. Every sample is divided whole: sampled values sum to P too.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;
use rayon::prelude::*;

use super::Chain;
use super::solve::{Lost, System};
use crate::error::{Error, Result};

/// The most channels whose sets are all worked out.
pub(in crate::models) const MOST_EXACT: usize = 20;

/// The most multiplications that working out all sets may take: about a minute of one core.
const MOST_WORK: f64 = 5e10;

/// Samples that are drawn from one stream of random numbers.
const DRAWN_AT_ONCE: u64 = 10_000;

/// How many decisions are made before the two sides of one are worked on in turn.
const SPLIT: usize = 6;

/// What the values of a game are worked out with.
#[derive(Debug, Clone, Copy)]
pub(in crate::models) struct Game {
    /// How many journeys are drawn where not all sets can be worked out.
    pub(in crate::models) samples: u64,
    /// Where the random numbers begin.
    pub(in crate::models) seed: u64,
}

/// The Shapley values of the channels of a chain.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::models) struct Values {
    /// One a channel; they sum to the probability of conversion.
    pub(in crate::models) values: Vec<f64>,
    /// Their standard errors, where they are sampled.
    pub(in crate::models) errors: Option<Vec<f64>>,
}

impl Game {
    /// The value of every channel.
    ///
    /// # Errors
    ///
    /// Values that do not sum to the probability of conversion, and a chain that is too large.
    pub(in crate::models) fn values(self, chain: &Chain) -> Result<Values> {
        let probability = chain.probability()?;
        if probability == 0.0 {
            return Ok(Values { values: vec![0.0; chain.channels.len()], errors: None });
        }
        let exact = Exact::new(chain);
        let values = if chain.channels.len() <= MOST_EXACT && exact.work() <= MOST_WORK {
            Values { values: exact.values(), errors: None }
        } else {
            self.sampled(chain, probability)?
        };
        let sum: f64 = values.values.iter().sum();
        if (sum - probability).abs() > super::TOLERANCE {
            return Err(Error::Broken(format!(
                "Shapley values sum to {sum}, but the chain converts with {probability}"
            )));
        }
        Ok(values)
    }

    /// Values from journeys of the chain that are drawn among those that convert.
    pub(super) fn sampled(self, chain: &Chain, probability: f64) -> Result<Values> {
        let draw = Draw::new(chain)?;
        let streams = self.samples.div_ceil(DRAWN_AT_ONCE);
        let stream = |stream: u64| {
            let drawn = DRAWN_AT_ONCE.min(self.samples - stream * DRAWN_AT_ONCE);
            // Two generators with neighbouring streams may be alike: the state differs too.
            let state = u128::from(self.seed) << 64 | u128::from(stream);
            let mut random = Pcg64::new(
                state.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
                u128::from(stream),
            );
            let mut seen = vec![Vec::new(); chain.channels.len()];
            let mut met = Vec::new();
            for _ in 0..drawn {
                draw.journey(&mut random, &mut met);
                for channel in &met {
                    let seen: &mut Vec<u64> = &mut seen[*channel as usize];
                    if seen.len() < met.len() {
                        seen.resize(met.len(), 0);
                    }
                    seen[met.len() - 1] += 1;
                }
            }
            seen
        };
        // How often a channel was one of so many, which are integers.
        let nothing = || vec![Vec::new(); chain.channels.len()];
        let seen = (0..streams).into_par_iter().map(stream).reduce(nothing, |mut left, right| {
            for (left, right) in left.iter_mut().zip(right) {
                left.resize(left.len().max(right.len()), 0);
                left.iter_mut().zip(right).for_each(|(left, right)| *left += right);
            }
            left
        });
        let all = self.samples as f64;
        let mean = |seen: &Vec<u64>, of: &dyn Fn(f64) -> f64| {
            let counted = seen.iter().zip(1_u32..);
            counted.map(|(times, met)| *times as f64 * of(f64::from(met))).sum::<f64>() / all
        };
        let value = |seen: &Vec<u64>| probability * mean(seen, &|met| 1.0 / met);
        let error = |seen: &Vec<u64>| {
            let part = mean(seen, &|met| 1.0 / met);
            let variance = mean(seen, &|met| 1.0 / (met * met)) - part * part;
            probability * (variance.max(0.0) / all).sqrt()
        };
        Ok(Values {
            values: seen.iter().map(value).collect(),
            errors: Some(seen.iter().map(error).collect()),
        })
    }
}

/// How journeys that convert are drawn: by what follows each state, given that they will.
struct Draw {
    /// What can follow a state, up to which part of all: a state, or none for CONVERSION.
    next: Vec<Vec<(f64, Option<u32>)>>,
    /// The channel of each state's last touch.
    channel: Vec<Option<u32>>,
}

impl Draw {
    fn new(chain: &Chain) -> Result<Self> {
        let system = System::new(chain, &|_| true, Lost::Kept)?;
        let converting = system.converting();
        let next = chain.states.iter().enumerate().map(|(at, state)| {
            // A step that stays adds no channel: it is left out, and the others take its part.
            let steps = state.next.iter().filter(|(to, _)| *to as usize != at);
            let steps =
                steps.map(|(to, times)| (*times as f64 * converting[*to as usize], Some(*to)));
            let all = steps.chain([(state.converted as f64, None)]);
            let mut sum = 0.0;
            let mut up_to: Vec<(f64, Option<u32>)> = Vec::new();
            for (part, next) in all.filter(|(part, _)| *part > 0.0) {
                sum += part;
                up_to.push((sum, next));
            }
            for (part, _) in &mut up_to {
                *part /= sum;
            }
            up_to
        });
        Ok(Self {
            next: next.collect(),
            channel: chain.states.iter().map(|state| state.window.last().copied()).collect(),
        })
    }

    /// Draws a journey: the distinct channels that it meets.
    fn journey(&self, random: &mut Pcg64, met: &mut Vec<u32>) {
        met.clear();
        let mut state = 0;
        loop {
            let next = &self.next[state];
            // 53 bits, as many as a float holds below one.
            let part = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
            let at = next.partition_point(|(up_to, _)| *up_to <= part).min(next.len().max(1) - 1);
            let Some((_, Some(to))) = next.get(at) else { return };
            state = *to as usize;
            if let Some(channel) = self.channel[state]
                && !met.contains(&channel)
            {
                met.push(channel);
            }
        }
    }
}

/// A chain that is ready for every set of its channels.
struct Exact<'a> {
    chain: &'a Chain,
    /// The channels in the order in which they are decided: those with the fewest states last,
    /// because what is decided last is decided for the most sets.
    decided: Vec<u32>,
    /// The states, START first, then those with the channel that is decided last, and so on.
    states: Vec<usize>,
    /// Of each of them, the last decision that it waits for; none of START.
    level: Vec<Option<usize>>,
}

/// A chain of which some states are eliminated and some left out.
struct Reduced {
    /// The states left, as positions among those of [`Exact`].
    states: Vec<usize>,
    /// What follows each, row by row: the states left, CONVERSION, NULL.
    rows: Vec<f64>,
}

/// Sums over sets of channels, by how many channels they have.
struct Sums {
    /// v(S) of all sets.
    all: Vec<f64>,
    /// v(S) of the sets with a channel, by decision.
    with: Vec<Vec<f64>>,
}

impl<'a> Exact<'a> {
    fn new(chain: &'a Chain) -> Self {
        let mut holding = vec![0_usize; chain.channels.len()];
        for state in &chain.states {
            for (channel, holding) in (0..).zip(&mut holding) {
                *holding += usize::from(state.holds(channel));
            }
        }
        let mut decided: Vec<u32> = (0..super::number(chain.channels.len())).collect();
        decided.sort_by_key(|channel| std::cmp::Reverse(holding[*channel as usize]));
        let mut place = vec![0; decided.len()];
        for (at, channel) in decided.iter().enumerate() {
            place[*channel as usize] = at;
        }
        let waits = |state: usize| {
            chain.states[state].window.iter().map(|channel| place[*channel as usize]).max()
        };
        let mut states: Vec<usize> = (0..chain.states.len()).collect();
        // START waits for nothing and is kept to the end.
        states.sort_by_key(|state| std::cmp::Reverse(waits(*state).unwrap_or(usize::MAX)));
        let level = states.iter().map(|state| waits(*state)).collect();
        Self { chain, decided, states, level }
    }

    /// How many multiplications all sets take at most.
    fn work(&self) -> f64 {
        let mut sets = 1.0;
        let mut work = 0.0;
        for at in 0..self.decided.len() {
            let left =
                self.level.iter().filter(|level| level.is_none_or(|level| level >= at)).count();
            let eliminated = self.level.iter().filter(|level| **level == Some(at)).count();
            let left = left as f64;
            work += sets * (eliminated as f64 + 1.0) * left * left;
            sets *= 2.0;
        }
        work + sets * self.decided.len() as f64
    }

    fn values(&self) -> Vec<f64> {
        let count = self.decided.len();
        let sums = self.decide(0, 0, self.whole());
        // The weight of a set of so many in the mean over all orders of joining.
        let joins = |others: usize| {
            // (others)! (count - 1 - others)! / count!
            let ways = (1..=others).map(|at| at as f64 / (count - at) as f64).product::<f64>();
            ways / count as f64
        };
        let mut values = vec![0.0; count];
        for (at, channel) in self.decided.iter().enumerate() {
            let with = &sums.with[at];
            let gained = (1..=count).map(|size| joins(size - 1) * with[size]).sum::<f64>();
            let had =
                (0..count).map(|size| joins(size) * (sums.all[size] - with[size])).sum::<f64>();
            values[*channel as usize] = gained - had;
        }
        values
    }

    fn whole(&self) -> Reduced {
        let count = self.states.len();
        let mut place = vec![0; count];
        for (at, state) in self.states.iter().enumerate() {
            place[*state] = at;
        }
        let mut rows = vec![0.0; count * (count + 2)];
        for (state, row) in self.states.iter().zip(rows.chunks_mut(count + 2)) {
            let state = &self.chain.states[*state];
            let visits = state.visits() as f64;
            for (to, times) in &state.next {
                row[place[*to as usize]] = *times as f64 / visits;
            }
            row[count] = state.converted as f64 / visits;
            row[count + 1] = state.lost as f64 / visits;
        }
        Reduced { states: (0..count).collect(), rows }
    }

    /// The sums over all sets that agree with what is decided; `chosen` are the decisions for.
    fn decide(&self, at: usize, chosen: u32, reduced: Reduced) -> Sums {
        let count = self.decided.len();
        if at == count {
            let mut sums =
                Sums { all: vec![0.0; count + 1], with: vec![vec![0.0; count + 1]; count] };
            Self::end(chosen, &reduced, &mut sums);
            return sums;
        }
        if at >= SPLIT {
            let mut sums =
                Sums { all: vec![0.0; count + 1], with: vec![vec![0.0; count + 1]; count] };
            self.decide_in_turn(at, chosen, reduced, &mut sums);
            return sums;
        }
        let without = self.without(at, &reduced);
        // Both sides are added in this order, whichever thread is first.
        let (mut sums, more) = rayon::join(
            || self.decide(at + 1, chosen, without),
            || self.decide(at + 1, chosen | 1 << at, self.with(at, reduced)),
        );
        sums.all.iter_mut().zip(more.all).for_each(|(sum, more)| *sum += more);
        let with = sums.with.iter_mut().flatten().zip(more.with.into_iter().flatten());
        with.for_each(|(sum, more)| *sum += more);
        sums
    }

    fn decide_in_turn(&self, at: usize, chosen: u32, reduced: Reduced, sums: &mut Sums) {
        if at == self.decided.len() {
            Self::end(chosen, &reduced, sums);
            return;
        }
        self.decide_in_turn(at + 1, chosen, self.without(at, &reduced), sums);
        self.decide_in_turn(at + 1, chosen | 1 << at, self.with(at, reduced), sums);
    }

    /// Every channel is decided: what is left is START and where it leads.
    fn end(chosen: u32, reduced: &Reduced, sums: &mut Sums) {
        let converts = reduced.rows[reduced.states.len()];
        let size = chosen.count_ones() as usize;
        sums.all[size] += converts;
        for (at, with) in sums.with.iter_mut().enumerate() {
            if chosen & 1 << at != 0 {
                with[size] += converts;
            }
        }
    }

    /// A channel is out: its states are left out, and what led to them leads to NULL.
    fn without(&self, at: usize, reduced: &Reduced) -> Reduced {
        let channel = self.decided[at];
        let stays: Vec<bool> = reduced
            .states
            .iter()
            .map(|state| !self.chain.states[self.states[*state]].holds(channel))
            .collect();
        let width = reduced.states.len() + 2;
        let left = stays.iter().filter(|stays| **stays).count();
        let mut rows = Vec::with_capacity(left * (left + 2));
        for (row, _) in reduced.rows.chunks(width).zip(&stays).filter(|(_, stays)| **stays) {
            let mut lost = row[width - 1];
            for (part, stays) in row.iter().zip(&stays) {
                if *stays {
                    rows.push(*part);
                } else {
                    lost += part;
                }
            }
            rows.extend([row[width - 2], lost]);
        }
        let states = reduced.states.iter().zip(&stays).filter(|(_, stays)| **stays);
        Reduced { states: states.map(|(state, _)| *state).collect(), rows }
    }

    /// A channel is in: the states that wait for nothing after it are eliminated.
    fn with(&self, at: usize, mut reduced: Reduced) -> Reduced {
        let width = reduced.states.len() + 2;
        let waits = |state: &usize| self.level[*state].is_none_or(|level| level > at);
        // States are in the order of what they wait for, so those to eliminate come last.
        let left = reduced.states.iter().take_while(|state| waits(state)).count();
        for last in (left..reduced.states.len()).rev() {
            let (before, pivot) = reduced.rows.split_at_mut(last * width);
            let pivot = &pivot[..width];
            // What follows it other than itself, added up: one less a probability would cancel.
            let ends = pivot[width - 2] + pivot[width - 1];
            let leaves = pivot[..last].iter().sum::<f64>() + ends;
            for row in before.chunks_mut(width) {
                let factor = row[last] / leaves;
                if factor == 0.0 {
                    continue;
                }
                for (part, more) in row[..last].iter_mut().zip(&pivot[..last]) {
                    *part += factor * more;
                }
                row[width - 2] += factor * pivot[width - 2];
                row[width - 1] += factor * pivot[width - 1];
            }
        }
        let mut rows = Vec::with_capacity(left * (left + 2));
        for row in reduced.rows.chunks(width).take(left) {
            rows.extend(&row[..left]);
            rows.extend(&row[width - 2..]);
        }
        reduced.states.truncate(left);
        Reduced { states: reduced.states, rows }
    }
}
