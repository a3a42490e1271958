//! Which order of a chain the data speak for: by the likelihood of steps that were held out.
//!
//! Every step is held out in turn and foretold by all others, which needs nothing but counts: of n
//! steps from a window to what followed, among N from that window, each is foretold with
//! (n − 1 + ½) / (N − 1 + ½ m), where m things can follow. The half is Jeffreys' prior: what was
//! never seen is not impossible. A chain that remembers more is better where memory matters, and
//! worse where it only splits the same steps into fewer.

use super::{Chain, MOST_ORDER, State};
use crate::models::{Counts, Tried};

/// Jeffreys' prior for each thing that can follow.
const PRIOR: f64 = 0.5;

/// The chain whose held-out steps are likeliest, the shorter memory where two are equal, and every
/// order that was tried.
pub(in crate::models) fn choose(counts: &Counts) -> (Chain, Vec<Tried>) {
    let mut best = Chain::new(counts, 1);
    let mut curve = vec![tried(&best)];
    let mut likeliest = curve[0].likelihood;
    for order in 2..=MOST_ORDER {
        let chain = Chain::new(counts, order);
        let one = tried(&chain);
        curve.push(one);
        if one.likelihood > likeliest {
            (best, likeliest) = (chain, one.likelihood);
        }
    }
    (best, curve)
}

fn tried(chain: &Chain) -> Tried {
    // The channels, CONVERSION and NULL.
    let outcomes = (chain.channels.len() + 2) as f64;
    let of_state = |state: &State| {
        let ends = [state.converted, state.lost];
        let visits = state.visits() as f64;
        let all = visits - 1.0 + PRIOR * outcomes;
        let steps = state.next.iter().map(|(_, times)| *times).chain(ends);
        let step = |times: u64| times as f64 * libm::log((times as f64 - 1.0 + PRIOR) / all);
        steps.filter(|times| *times > 0).map(step).sum::<f64>()
    };
    let steps: u64 = chain.states.iter().map(State::visits).sum();
    let likelihood: f64 = chain.states.iter().map(of_state).sum();
    Tried {
        order: chain.order,
        parameters: chain.parameters(),
        likelihood: if steps == 0 { 0.0 } else { likelihood / steps as f64 },
    }
}
