//! Shapley values of a chain with more channels than sets can be worked out of: from sampled orders in
//! which channels join.
//!
//! When a channel joins, the states that waited for it alone are eliminated. A state that leads to i
//! then leads to what i leads to, and START's own probability of CONVERSION has grown by the part of
//! START that leads to i, times the part of i that converts, by the part of i that leaves it: so one
//! elimination of the chain tells what every channel adds in one order of joining, and these sum to
//! P exactly. All numbers are probabilities and only ever added up: nothing cancels, whatever the
//! order. Each order is followed by its opposite, in which who came early comes late: the mean of
//! both varies far less. Not for few channels, of which every set is worked out in `game`.

use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use rayon::prelude::*;

use super::solve::MOST_WORK;
use super::{Chain, Game, Values, number};
use crate::error::{Error, Result};

/// Pairs of orders whose sums are added up before those of others.
const PAIRS_AT_ONCE: u64 = 8;

/// The most numbers that the rows of one elimination may hold: a quarter of a gigabyte.
const MOST_NUMBERS: usize = 20_000_000;

/// One in so many numbers of a row that are not zero, and it is kept without its zeros.
const SPARSE: usize = 4;

/// A chain as probabilities of steps, ready for any order of joining.
pub(super) struct Joining<'a> {
    chain: &'a Chain,
    /// Of each state, the states that follow with how likely they do; itself is left out.
    next: Vec<Vec<(u32, f64)>>,
    /// How likely CONVERSION, and NULL, follow each state.
    ends: Vec<(f64, f64)>,
}

/// Space for one elimination after the other.
#[derive(Default)]
pub(super) struct Space {
    /// Of each channel, its place in the order of joining.
    joins: Vec<usize>,
    /// The states in the order in which they are eliminated, START last; each with its place among
    /// the channels that join.
    states: Vec<(usize, usize)>,
    /// The place of each state in that order.
    place: Vec<usize>,
    /// Where the state that is looked at leads, by place.
    leads: Vec<f64>,
    rows: Vec<Row>,
    /// The numbers of all rows, and of those without zeros their places.
    numbers: Vec<f64>,
    places: Vec<u32>,
}

/// Where an eliminated state leads among those that are not.
struct Row {
    /// Its numbers: where they begin and end, and where their places begin if zeros are left out.
    numbers: (usize, usize),
    places: Option<usize>,
    converts: f64,
    lost: f64,
    /// How much leads away from it.
    leaves: f64,
}

impl<'a> Joining<'a> {
    pub(super) fn new(chain: &'a Chain) -> Self {
        let mut next = Vec::with_capacity(chain.states.len());
        let mut ends = Vec::with_capacity(chain.states.len());
        for (at, state) in chain.states.iter().enumerate() {
            let visits = state.visits() as f64;
            // A step that stays adds no channel: the others take its part.
            let steps = state.next.iter().filter(|(to, _)| *to as usize != at);
            next.push(steps.map(|(to, times)| (*to, *times as f64 / visits)).collect());
            ends.push((state.converted as f64 / visits, state.lost as f64 / visits));
        }
        Self { chain, next, ends }
    }

    /// What each channel adds when channels join in this order, by channel; returns how many
    /// multiplications that took, or nothing once they are more than `most`.
    pub(super) fn gains(
        &self,
        order: &[u32],
        most: f64,
        space: &mut Space,
        gains: &mut [f64],
    ) -> Option<f64> {
        let Space { joins, states, place, leads, rows, numbers, places } = space;
        joins.resize(order.len(), 0);
        for (at, channel) in order.iter().enumerate() {
            joins[*channel as usize] = at;
        }
        let waits = |window: &[u32]| window.iter().map(|channel| joins[*channel as usize]).max();
        states.clear();
        // START waits for nothing and is kept to the end.
        let of_state =
            |(at, state): (usize, &super::State)| (waits(&state.window).unwrap_or(usize::MAX), at);
        states.extend(self.chain.states.iter().enumerate().map(of_state));
        states.sort_unstable();
        place.resize(states.len(), 0);
        for (at, (_, state)) in states.iter().enumerate() {
            place[*state] = at;
        }
        leads.clear();
        leads.resize(states.len(), 0.0);
        rows.clear();
        numbers.clear();
        places.clear();
        gains.fill(0.0);
        let mut work = 0.0;
        for (at, (joined, state)) in states.iter().enumerate() {
            for (to, part) in &self.next[*state] {
                leads[place[*to as usize]] = *part;
            }
            let (mut converts, mut lost) = self.ends[*state];
            for (before, row) in rows.iter().enumerate() {
                let reached = std::mem::take(&mut leads[before]);
                if reached == 0.0 {
                    continue;
                }
                let factor = reached / row.leaves;
                row.add(factor, &mut leads[before + 1..], numbers, places);
                (converts, lost) = (converts + factor * row.converts, lost + factor * row.lost);
                work += (row.numbers.1 - row.numbers.0) as f64;
                if *joined == usize::MAX {
                    gains[order[states[before].0] as usize] += factor * row.converts;
                }
            }
            if work > most || numbers.len() > MOST_NUMBERS {
                return None;
            }
            // What comes back to it stays there; the others take its part.
            leads[at] = 0.0;
            rows.push(Row::new(&mut leads[at + 1..], (converts, lost), numbers, places));
        }
        Some(work)
    }
}

impl Row {
    /// Keeps where a state leads, and empties the space for the next.
    fn new(
        leads: &mut [f64],
        (converts, lost): (f64, f64),
        numbers: &mut Vec<f64>,
        places: &mut Vec<u32>,
    ) -> Self {
        let used = leads.iter().rposition(|part| *part != 0.0).map_or(0, |last| last + 1);
        let leads = &mut leads[..used];
        let some = leads.iter().filter(|part| **part != 0.0).count();
        // Added up, other than itself: one less a probability would cancel.
        let leaves = leads.iter().sum::<f64>() + converts + lost;
        let first = numbers.len();
        let sparse = (some * SPARSE < used).then_some(places.len());
        if sparse.is_some() {
            for (at, part) in (0..).zip(leads.iter()).filter(|(_, part)| **part != 0.0) {
                numbers.push(*part);
                places.push(at);
            }
        } else {
            numbers.extend(&*leads);
        }
        leads.fill(0.0);
        Self { numbers: (first, numbers.len()), places: sparse, converts, lost, leaves }
    }

    /// Adds a part of it to where another state leads.
    fn add(&self, factor: f64, leads: &mut [f64], numbers: &[f64], places: &[u32]) {
        let numbers = &numbers[self.numbers.0..self.numbers.1];
        match self.places {
            None => leads.iter_mut().zip(numbers).for_each(|(lead, part)| *lead += factor * part),
            Some(first) => {
                for (part, place) in numbers.iter().zip(&places[first..]) {
                    leads[*place as usize] += factor * part;
                }
            }
        }
    }
}

impl Game {
    /// Values that are the mean of what channels add over sampled orders of joining.
    ///
    /// Their standard errors are those of pairs of an order and its opposite.
    ///
    /// # Errors
    ///
    /// A chain of which so many eliminations are more than anybody waits for.
    pub(super) fn sampled(self, chain: &Chain) -> Result<Values> {
        let joining = Joining::new(chain);
        let channels = chain.channels.len();
        let pairs = self.samples.div_ceil(2);
        // One elimination says what all will cost: orders differ, their work hardly does.
        let (mut space, mut gains) = (Space::default(), vec![0.0; channels]);
        let first = self.order(0, channels);
        let most = MOST_WORK / self.samples as f64;
        if joining.gains(&first, most, &mut space, &mut gains).is_none() {
            return Err(Error::Contradiction(format!(
                "the Shapley values of {channels} channels in {} states are too much to be worked out from {} samples; ask for fewer `samples`, a lower `order`, or fewer channels, such as `by=channel_group`",
                chain.states.len(),
                self.samples
            )));
        }
        let batch = |batch: u64| {
            let (mut space, mut sums) = (Space::default(), vec![(0.0, 0.0); channels]);
            let mut both = [vec![0.0; channels], vec![0.0; channels]];
            for pair in batch * PAIRS_AT_ONCE..pairs.min((batch + 1) * PAIRS_AT_ONCE) {
                let mut order = self.order(pair, channels);
                for gains in &mut both {
                    joining.gains(&order, f64::INFINITY, &mut space, gains);
                    order.reverse();
                }
                let [one, other] = &both;
                for ((sum, squares), (one, other)) in sums.iter_mut().zip(one.iter().zip(other)) {
                    let mean = f64::midpoint(*one, *other);
                    (*sum, *squares) = (*sum + mean, *squares + mean * mean);
                }
            }
            sums
        };
        let batches: Vec<_> =
            (0..pairs.div_ceil(PAIRS_AT_ONCE)).into_par_iter().map(batch).collect();
        // In the order of batches, whichever thread did them.
        let mut sums = vec![(0.0, 0.0); channels];
        for batch in batches {
            for ((sum, squares), (more, more_squares)) in sums.iter_mut().zip(batch) {
                (*sum, *squares) = (*sum + more, *squares + more_squares);
            }
        }
        let count = pairs as f64;
        let error = |(sum, squares): &(f64, f64)| {
            let mean = sum / count;
            ((squares / count - mean * mean).max(0.0) / (count - 1.0)).sqrt()
        };
        Ok(Values {
            values: sums.iter().map(|(sum, _)| sum / count).collect(),
            errors: Some(sums.iter().map(error).collect()),
        })
    }

    /// The order of joining of a pair: it follows from the seed and the pair's number alone.
    fn order(self, pair: u64, channels: usize) -> Vec<u32> {
        // Two generators with neighbouring streams may be alike: the state differs too.
        let state = u128::from(self.seed) << 64 | u128::from(pair);
        let state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let mut order: Vec<u32> = (0..number(channels)).collect();
        order.shuffle(&mut Pcg64::new(state, u128::from(pair)));
        order
    }
}
