//! What is lost without a channel: removal effects, for every channel of a chain.
//!
//! The effect of a channel is 1 − P' / P, where P' is the probability of conversion without it.
//! What "without it" means is the [`Removal`]. Not for Shapley values, which remove several.

use rayon::prelude::*;

use super::follow::Followed;
use super::solve::{Lost, MOST_WORK, System, reach};
use super::{Chain, number};
use crate::error::{Error, Result};

/// What becomes of a channel that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::models) enum Removal {
    /// Every step to a state that holds it leads to NULL.
    Null,
    /// States that hold it are cut out, and what follows others is shared by the steps that stay.
    Cut,
    /// Its touches are dropped from every journey, one that has no other is lost, and the chain is
    /// fitted anew.
    Refit,
}

impl Removal {
    /// Every variant, with its name.
    pub(in crate::models) const ALL: [(&'static str, Self); 3] =
        [("null", Self::Null), ("cut", Self::Cut), ("refit", Self::Refit)];
}

/// The removal effect of every channel; none where nothing converts.
///
/// # Errors
///
/// A chain that is too large to be solved for every channel.
pub(in crate::models) fn removal_effects(
    chain: &Chain,
    removal: Removal,
) -> Result<Vec<Option<f64>>> {
    let channels = chain.channels.len();
    if chain.converted() == 0 {
        return Ok(vec![None; channels]);
    }
    let followed = match removal {
        Removal::Null => Followed::of_many_steps(chain, 1)?,
        Removal::Cut => Followed::of_many_steps(chain, channels)?,
        Removal::Refit => None,
    };
    let probability = match &followed {
        Some(followed) => followed.probability,
        None => chain.probability()?,
    };
    let without = match (removal, followed) {
        (Removal::Null, Some(followed)) => followed.without_each(Lost::Kept)?,
        (Removal::Cut, Some(followed)) => followed.without_each(Lost::Shared)?,
        (Removal::Null, None) => redirected(chain)?,
        (Removal::Cut, None) => each(channels, |channel| restricted(chain, channel, Lost::Shared))?,
        // The refitted chain converts with the rate of its journeys, as every chain does.
        (Removal::Refit, _) => {
            let alone = |channel: &u32| {
                let found = chain.sets.binary_search_by(|(set, _)| set[..].cmp(&[*channel]));
                found.map_or(0, |at| chain.sets[at].1)
            };
            let left = chain.channels.iter().map(|channel| chain.converted() - alone(channel));
            left.map(|left| left as f64 / chain.journeys() as f64).collect()
        }
    };
    Ok(without.into_iter().map(|without| Some(effect(probability, without))).collect())
}

/// 1 − P' / P, and zero where that is nothing but rounding.
fn effect(probability: f64, without: f64) -> f64 {
    let lost = probability - without;
    if lost.abs() <= 1e-14 * probability { 0.0 } else { lost / probability }
}

fn each(channels: usize, without: impl Fn(u32) -> Result<f64> + Sync + Send) -> Result<Vec<f64>> {
    (0..number(channels)).into_par_iter().map(without).collect()
}

/// The probability over the states that do not hold a channel.
fn restricted(chain: &Chain, channel: u32, lost: Lost) -> Result<f64> {
    reach(chain, &|state| !chain.states[state].holds(channel), lost)
}

/// The probability without each channel, where its states lead to NULL.
///
/// With v the visits of states, h their probabilities and G = (I − Q)⁻¹, leaving the states S out
/// takes v(S) G(S,S)⁻¹ h(S) of P. A channel of few states is left out so, from one factorisation of
/// all; for one of many it is less work to factorise the others.
fn redirected(chain: &Chain) -> Result<Vec<f64>> {
    let system = System::new(chain, &|_| true, Lost::Kept)?;
    let converting = system.converting();
    let mut start = vec![0.0; converting.len()];
    start[0] = 1.0;
    let visits = system.after_start(&start);
    let mut states: Vec<Vec<usize>> = vec![Vec::new(); chain.channels.len()];
    for (at, state) in chain.states.iter().enumerate() {
        for channel in &state.window {
            let of_channel = &mut states[*channel as usize];
            if of_channel.last() != Some(&at) {
                of_channel.push(at);
            }
        }
    }
    let numbers = system.numbers() as f64;
    let anew = numbers * numbers / converting.len() as f64;
    let by_block = |states: &[usize]| states.len() as f64 * numbers;
    let work: f64 = states.iter().map(|states| by_block(states).min(anew)).sum();
    if work > MOST_WORK {
        return Err(Error::Contradiction(format!(
            "the removal effects of {} channels in {} states are too much to be worked out exactly; ask for a lower `order`, or for fewer channels, such as `by=channel_group`",
            chain.channels.len(),
            chain.states.len()
        )));
    }
    each(chain.channels.len(), |channel| {
        let states = &states[channel as usize];
        if states.len() > 1 && by_block(states) > anew {
            return restricted(chain, channel, Lost::Kept);
        }
        // Columns of G over the states of the channel, one solve each.
        let column = |state: &usize| {
            let mut right = vec![0.0; converting.len()];
            right[*state] = 1.0;
            let column = system.before_ends(&right);
            states.iter().map(|state| column[*state]).collect::<Vec<f64>>()
        };
        let columns: Vec<Vec<f64>> = states.iter().map(column).collect();
        let lost = solved(columns, states.iter().map(|state| converting[*state]).collect());
        let taken = states.iter().zip(lost).map(|(state, lost)| visits[*state] * lost);
        Ok(converting[0] - taken.sum::<f64>())
    })
}

/// Solves a small system, given by columns, by elimination.
fn solved(mut columns: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let count = right.len();
    // Every principal part of G has an inverse that its diagonal dominates; no pivot is near zero.
    for pivot in 0..count {
        for row in pivot + 1..count {
            let factor = columns[pivot][row] / columns[pivot][pivot];
            if factor == 0.0 {
                continue;
            }
            for column in &mut columns[pivot + 1..] {
                column[row] -= factor * column[pivot];
            }
            right[row] -= factor * right[pivot];
        }
    }
    for row in (0..count).rev() {
        let known: f64 = (row + 1..count).map(|column| columns[column][row] * right[column]).sum();
        right[row] = (right[row] - known) / columns[row][row];
    }
    right
}
