//! Probabilities of a chain with many steps: all of its journeys are followed at once, step by step.
//!
//! Factors of a large system fill up with numbers that none of its steps has. Here nothing is
//! factorised: one journey begins at START, every round moves each part of it one step on, and what
//! converts is added up, until next to nothing is on its way. That is all that can be missing, so that
//! the error is known. Numbers are never below zero and only ever added up: nothing cancels. Several
//! channels are removed side by side, each in a lane of its own. Not for chains with few steps, which
//! `solve` factorises.

use rayon::prelude::*;

use super::solve::{Lost, leads_to_conversion};
use super::{Chain, State, number};
use crate::error::{Error, Result};
use crate::stop;

/// The most steps of a chain that is factorised, however many states it has.
const FEW_STEPS: usize = 50_000;

/// The most multiplications that factors without a zero may take, however many steps there are.
const FEW_MULTIPLICATIONS: f64 = 1e10;

/// What may still be on its way in the end, as a part of what converts.
const ON_THE_WAY: f64 = 1e-15;

/// How many channels are removed side by side.
const LANES: usize = 8;

/// The most multiplications for all channels together: some ten minutes of one core.
const MOST_WORK: f64 = 6e10;

/// How many states' conversions are added up by themselves: what is next to nothing beside the sum of
/// all would be lost in it.
const BLOCK: usize = 512;

/// A chain that is followed.
pub(super) struct Followed<'a> {
    chain: &'a Chain,
    /// The states whose last touch is of each channel.
    last: Vec<Vec<usize>>,
    /// How many distinct steps there are, and how many rounds it takes until next to nothing is on
    /// its way.
    steps: usize,
    rounds: u64,
    /// The probability of conversion.
    pub(super) probability: f64,
}

/// One number a lane.
type Lanes = [f64; LANES];

impl<'a> Followed<'a> {
    /// Follows a chain, if it has too many steps to be factorised, so many times.
    ///
    /// # Errors
    ///
    /// One whose journeys are so long that they would take longer than anybody waits for.
    pub(super) fn of_many_steps(chain: &'a Chain, times: usize) -> Result<Option<Self>> {
        let steps: usize = chain.states.iter().map(|state| state.next.len()).sum();
        let states = chain.states.len() as f64;
        let few = times as f64 * states * states * states / 3.0 <= FEW_MULTIPLICATIONS;
        if few || steps <= FEW_STEPS || chain.converted() == 0 {
            Ok(None)
        } else {
            Self::new(chain, steps).map(Some)
        }
    }

    fn new(chain: &'a Chain, steps: usize) -> Result<Self> {
        let mut last = vec![Vec::new(); chain.channels.len()];
        for (at, state) in chain.states.iter().enumerate() {
            if let Some(channel) = state.window.last() {
                last[*channel as usize].push(at);
            }
        }
        let mut followed = Self { chain, last, steps, rounds: 0, probability: 0.0 };
        let most = followed.most_rounds(LANES);
        let (converted, rounds) = followed.follow(&[], Lost::Kept, most);
        if rounds > most {
            return Err(followed.too_much());
        }
        (followed.probability, followed.rounds) = (converted[0], rounds);
        Ok(followed)
    }

    /// The probability of conversion without each channel.
    ///
    /// # Errors
    ///
    /// So many channels that it would take longer than anybody waits for.
    pub(super) fn without_each(&self, lost: Lost) -> Result<Vec<f64>> {
        let channels: Vec<u32> = (0..number(self.chain.channels.len())).collect();
        // Where others take the part of a channel, journeys can be longer without it.
        let most = self.most_rounds(channels.len());
        if self.rounds > most {
            return Err(self.too_much());
        }
        let some = channels.par_chunks(LANES).map(|removed| {
            stop::check()?;
            let (converted, rounds) = self.follow(removed, lost, most);
            let all = converted[..removed.len()].to_vec();
            if rounds > most { Err(self.too_much()) } else { Ok(all) }
        });
        let some: Vec<Result<Vec<f64>>> = some.collect();
        Ok(some.into_iter().collect::<Result<Vec<_>>>()?.concat())
    }

    /// How many rounds anybody waits for, with so many lanes in all.
    fn most_rounds(&self, lanes: usize) -> u64 {
        let of_round = self.steps.max(1) as f64 * lanes.max(1) as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a quotient of numbers above zero, far below 2^63"
        )]
        let most = (MOST_WORK / of_round) as u64;
        most
    }

    fn too_much(&self) -> Error {
        Error::Contradiction(format!(
            "a chain of {} channels, {} states and {} steps is too large to be worked out exactly; ask for a lower `order`, or for fewer channels, such as `by=channel_group`",
            self.chain.channels.len(),
            self.chain.states.len(),
            self.steps
        ))
    }

    /// What converts in each lane without the channel that is removed there, and after how many
    /// rounds; more than `most` where that many do not suffice.
    fn follow(&self, removed: &[u32], lost: Lost, most: u64) -> (Lanes, u64) {
        let states = &self.chain.states;
        let enough = ON_THE_WAY * self.chain.rate();
        let left = self.left(removed, lost);
        let mut here = vec![[0.0; LANES]; states.len()];
        let mut next = here.clone();
        here[0] = [1.0; LANES];
        let dropped = self.dropped(removed, lost);
        drop_parts(&dropped, &mut here);
        let (mut converted, mut rounds) = ([0.0; LANES], 0);
        while rounds <= most {
            rounds += 1;
            next.fill([0.0; LANES]);
            let mut of_round = [0.0; LANES];
            for (at, states) in states.chunks(BLOCK).enumerate() {
                let mut of_block = [0.0; LANES];
                for (state, at) in states.iter().zip(BLOCK * at..) {
                    if here[at].iter().all(|part| *part == 0.0) {
                        continue;
                    }
                    let mut each = here[at];
                    each.iter_mut().zip(&left[at]).for_each(|(part, left)| *part /= left);
                    add(&mut of_block, &each, state.converted);
                    for (to, times) in &state.next {
                        add(&mut next[*to as usize], &each, *times);
                    }
                }
                add(&mut of_round, &of_block, 1);
            }
            add(&mut converted, &of_round, 1);
            drop_parts(&dropped, &mut next);
            (here, next) = (next, here);
            let mut way = [0.0; LANES];
            for parts in &here {
                add(&mut way, parts, 1);
            }
            if way.iter().all(|way| *way <= enough) {
                return (converted, rounds);
            }
        }
        (converted, rounds)
    }

    /// The states of each lane at which a journey is dropped: those of the removed channel, and those
    /// that lead to no conversion without it.
    fn dropped(&self, removed: &[u32], lost: Lost) -> Vec<Vec<usize>> {
        let states = &self.chain.states;
        let of_lane = |channel: &u32| match lost {
            Lost::Kept => self.last[*channel as usize].clone(),
            Lost::Shared => {
                let kept = |state: usize| !states[state].holds(*channel);
                let leads = leads_to_conversion(self.chain, &kept);
                (0..states.len()).filter(|state| !leads[*state]).collect()
            }
        };
        removed.iter().map(of_lane).collect()
    }

    /// What counts of each state's steps are divided by in each lane.
    fn left(&self, removed: &[u32], lost: Lost) -> Vec<Lanes> {
        let states = &self.chain.states;
        let of_state = |state: &State| {
            let mut left = [state.visits(); LANES];
            if lost == Lost::Shared {
                for (to, times) in &state.next {
                    let met = states[*to as usize].window.last();
                    let lanes = removed.iter().zip(&mut left);
                    lanes
                        .filter(|(channel, _)| met == Some(channel))
                        .for_each(|(_, left)| *left -= times);
                }
            }
            // Where all that followed is removed, nothing is reached.
            left.map(|left| if left == 0 { f64::INFINITY } else { left as f64 })
        };
        states.iter().map(of_state).collect()
    }
}

/// Leaves nothing in the states that are dropped, lane by lane.
fn drop_parts(dropped: &[Vec<usize>], parts: &mut [Lanes]) {
    for (lane, states) in dropped.iter().enumerate() {
        for state in states {
            parts[*state][lane] = 0.0;
        }
    }
}

/// Adds so many times some parts, lane by lane.
fn add(sum: &mut Lanes, parts: &Lanes, times: u64) {
    let times = times as f64;
    sum.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part * times);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::models::chain::solve::reach;
    use crate::models::chain::tests::counted;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

        #[test]
        fn following_journeys_leads_where_a_factorisation_does(
            paths in prop::collection::vec((prop::collection::vec(0_u32..11, 1..9), 0_u64..4, 0_u64..4), 1..40),
            order in 1_usize..5,
        ) {
            let paths: Vec<_> = paths.iter().map(|(path, yes, no)| (&path[..], *yes, *no)).collect();
            let chain = Chain::new(&counted(order, &paths), order);
            if chain.converted() == 0 {
                return Ok(());
            }
            let followed = Followed::new(&chain, 1).unwrap();
            let factorised = reach(&chain, &|_| true, Lost::Kept).unwrap();
            prop_assert!((followed.probability - factorised).abs() < 1e-13);
            for lost in [Lost::Kept, Lost::Shared] {
                let without = followed.without_each(lost).unwrap();
                for (channel, found) in (0..).zip(without) {
                    let kept = |state: usize| !chain.states[state].holds(channel);
                    let factorised = reach(&chain, &kept, lost).unwrap();
                    prop_assert!((found - factorised).abs() < 1e-13, "{} {:?}", channel, lost);
                }
            }
        }
    }

    #[test]
    fn what_hardly_ever_converts_is_followed_as_precisely() {
        // One journey of a million converts, after thirty touches of one channel.
        let chain = Chain::new(&counted(1, &[(&[0; 30], 1, 999_999)]), 1);
        let followed = Followed::new(&chain, 1).unwrap();
        assert!((followed.probability * 1e6 - 1.0).abs() < 1e-12, "{}", followed.probability);
    }

    #[test]
    fn more_than_anybody_waits_for_is_refused() {
        let chain = Chain::new(&counted(1, &[(&[0, 1], 1, 1), (&[1], 1, 0)]), 1);
        assert!(Followed::of_many_steps(&chain, 1).unwrap().is_none());
        let followed = Followed::new(&chain, 3).unwrap();
        let refused = Followed { steps: 100_000_000_000, ..followed }.without_each(Lost::Kept);
        let refused = refused.unwrap_err().to_string();
        assert!(
            refused.contains("2 channels") && refused.contains("by=channel_group"),
            "{refused}"
        );
    }
}
