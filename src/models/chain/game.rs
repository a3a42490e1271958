//! Shapley values of the chain game: v(S) = P(conversion) where every channel outside S leads to
//! NULL.
//!
//! Exact to [`MOST_EXACT`] channels. Channels are decided one by one: one that is left out takes its
//! states with it, and of one that is in, the states that hold nothing undecided are eliminated, so
//! that every set of channels starts from the half-eliminated chain of those decided before it
//! instead of from the whole. All numbers are probabilities and only ever added up: nothing cancels.
//!
//! Beyond that, and where a chain has too many states for it, orders of joining are `sampled`.

use super::Chain;
use crate::error::{Error, Result};

/// The most channels whose sets are all worked out.
pub(in crate::models) const MOST_EXACT: usize = 20;

/// The most multiplications that working out all sets may take: about a minute of one core.
const MOST_WORK: f64 = 5e10;

/// How many decisions are made before the two sides of one are worked on in turn.
const SPLIT: usize = 6;

/// What the values of a game are worked out with.
#[derive(Debug, Clone, Copy)]
pub(in crate::models) struct Game {
    /// How many orders of joining are drawn where not all sets can be worked out: an order and its
    /// opposite are two, and of an odd number the last has its opposite too.
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
            self.sampled(chain)?
        };
        let sum: f64 = values.values.iter().sum();
        if (sum - probability).abs() > super::TOLERANCE {
            return Err(Error::Broken(format!(
                "Shapley values sum to {sum}, but the chain converts with {probability}"
            )));
        }
        Ok(values)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::chain::tests::counted;

    #[test]
    fn work_counts_the_numbers_that_are_eliminated_from_every_set() {
        let chain = Chain::new(&counted(1, &[(&[0, 1], 1, 1), (&[1], 1, 0)]), 1);
        // START and two states: 1 × 2 × 3 × 3 for the first, 2 × 2 × 2 × 2 for the second, and four
        // sets that are added up for two channels.
        let work = Exact::new(&chain).work();
        assert!((work - 42.0).abs() < 1e-12, "{work}");
    }
}
