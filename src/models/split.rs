//! Whether the orders can be split so that every channel gets what it is owed by its effect.
//!
//! An order can only be divided among the channels that touched it. Channels may be owed more than
//! the orders that they touched: then no split meets the effects, and [`blocked`] names them. It is a
//! question of flow: from orders to the channels that touched them, from there as much as each is
//! owed. Not for which split is taken; that is the rule's, see `fitted`.

use std::collections::VecDeque;

use crate::models::Effects;

/// Parts of an order that owed conversions are counted in.
pub(super) const PARTS: i64 = 1 << 20;

/// Channels that are owed more than the orders that they touched.
#[derive(Debug, Clone, PartialEq)]
pub struct Blocked {
    /// The channels.
    pub channels: Vec<u32>,
    /// The conversions that they are owed together.
    pub owed: f64,
    /// The orders that touched any of them.
    pub orders: u64,
}

/// Channels that keep every split of the orders from meeting the effects; none where one does.
///
/// # Example
///
/// ```
/// use apportion::models::{ChannelEffect, Effects, blocked};
/// let share = |channel, share| ChannelEffect { channel, share, ..ChannelEffect::default() };
/// let mut effects = Effects {
///     channels: vec![share(1, 0.75), share(2, 0.25)],
///     sets: vec![(vec![1], 1), (vec![1, 2], 1), (vec![2], 2)],
///     ..Effects::default()
/// };
/// // 1 is owed three orders of four, and touched two.
/// let blocked_by = blocked(&effects).unwrap();
/// assert_eq!((blocked_by.channels, blocked_by.owed, blocked_by.orders), (vec![1], 3.0, 2));
/// effects.sets[2].0 = vec![1, 2];
/// assert_eq!(blocked(&effects), None);
/// ```
pub fn blocked(effects: &Effects) -> Option<Blocked> {
    let orders: u64 = effects.sets.iter().map(|(_, orders)| orders).sum();
    let all = i64::try_from(orders).ok().and_then(|orders| orders.checked_mul(PARTS))?;
    let shares: Vec<f64> = effects.channels.iter().map(|channel| channel.share).collect();
    if all == 0 || shares.iter().all(|share| *share <= 0.0) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a share of all is at most all, an i64")]
    let owed: Vec<i64> = shares.iter().map(|share| (share * all as f64) as i64).collect();
    let wanted: i64 = owed.iter().sum();
    let mut flow = Flow::new(&placed(effects), &owed);
    let met = flow.run();
    // Shares are rounded to parts of an order, and were to 53 bits before.
    let rounding = i64::try_from(shares.len()).unwrap_or(i64::MAX).saturating_add(all >> 40);
    if wanted - met <= rounding {
        return None;
    }
    let short = flow.short();
    let channels: Vec<u32> = short.iter().map(|at| effects.channels[*at].channel).collect();
    let touches = |set: &[u32]| set.iter().any(|channel| channels.binary_search(channel).is_ok());
    let some = effects.sets.iter().filter(|(set, _)| touches(set));
    Some(Blocked {
        owed: short.iter().map(|at| shares[*at]).sum::<f64>() * orders as f64,
        orders: some.map(|(_, orders)| orders).sum(),
        channels,
    })
}

/// The sets of channels of orders, by their places among the effects.
pub(super) fn placed(effects: &Effects) -> Vec<(Vec<u32>, u64)> {
    let place = |channel: &u32| {
        let known = effects.channels.binary_search_by_key(channel, |known| known.channel);
        known.ok().and_then(|place| u32::try_from(place).ok())
    };
    let of_set =
        |(set, orders): &(Vec<u32>, u64)| (set.iter().filter_map(place).collect(), *orders);
    effects.sets.iter().map(of_set).collect()
}

/// The channels, by place and ascending, that keep orders from giving each channel exactly what it is
/// owed, in parts of an order; none where some split does.
pub(super) fn short(sets: &[(Vec<u32>, u64)], owed: &[i64]) -> Option<Vec<usize>> {
    let mut flow = Flow::new(sets, owed);
    (flow.run() < owed.iter().sum()).then(|| flow.short())
}

/// A network from orders to channels, by Dinic's algorithm.
struct Flow {
    /// How many sets of channels there are: the nodes after the source.
    sets: usize,
    /// The edges that leave each node; an edge and its opposite are neighbours.
    leaving: Vec<Vec<usize>>,
    /// Where each edge leads, and how much more it can take.
    edges: Vec<(usize, i64)>,
}

impl Flow {
    const SOURCE: usize = 0;

    fn new(sets: &[(Vec<u32>, u64)], owed: &[i64]) -> Self {
        let nodes = 2 + sets.len() + owed.len();
        let mut flow =
            Self { sets: sets.len(), leaving: vec![Vec::new(); nodes], edges: Vec::new() };
        for (at, (set, orders)) in sets.iter().enumerate() {
            let orders = i64::try_from(*orders).unwrap_or(i64::MAX).saturating_mul(PARTS);
            flow.connect(Self::SOURCE, 1 + at, orders);
            for place in set {
                flow.connect(1 + at, flow.channel(*place as usize), i64::MAX);
            }
        }
        for (at, owed) in owed.iter().enumerate() {
            flow.connect(flow.channel(at), nodes - 1, *owed);
        }
        flow
    }

    /// The node of a channel.
    const fn channel(&self, at: usize) -> usize {
        1 + self.sets + at
    }

    fn connect(&mut self, from: usize, to: usize, most: i64) {
        self.leaving[from].push(self.edges.len());
        self.leaving[to].push(self.edges.len() + 1);
        self.edges.extend([(to, most), (from, 0)]);
    }

    /// How many steps each node is from the source over edges that can take more.
    fn levels(&self) -> Vec<Option<usize>> {
        let mut levels = vec![None; self.leaving.len()];
        levels[Self::SOURCE] = Some(0);
        let mut next = VecDeque::from([Self::SOURCE]);
        while let Some(node) = next.pop_front() {
            for edge in &self.leaving[node] {
                let (to, most) = self.edges[*edge];
                if most > 0 && levels[to].is_none() {
                    levels[to] = levels[node].map(|level| level + 1);
                    next.push_back(to);
                }
            }
        }
        levels
    }

    /// The channels, by place, that cannot get what they are owed after as much was sent as can be.
    ///
    /// Orders with something left lead to channels that have all that they are owed, and to no others.
    fn short(&self) -> Vec<usize> {
        let reached = self.levels();
        let channels = self.leaving.len() - 2 - self.sets;
        (0..channels).filter(|at| reached[self.channel(*at)].is_none()).collect()
    }

    /// Sends as much as can be sent; returns how much that is.
    fn run(&mut self) -> i64 {
        let sink = self.leaving.len() - 1;
        let mut sent = 0;
        loop {
            let levels = self.levels();
            if levels[sink].is_none() {
                return sent;
            }
            // The next edge of each node that was not found to lead nowhere.
            let mut at = vec![0; self.leaving.len()];
            let mut path: Vec<usize> = Vec::new();
            loop {
                let node = path.last().map_or(Self::SOURCE, |edge| self.edges[*edge].0);
                if node == sink {
                    let most =
                        path.iter().map(|edge| self.edges[*edge].1).min().unwrap_or_default();
                    for edge in path.drain(..) {
                        self.edges[edge].1 -= most;
                        self.edges[edge ^ 1].1 = self.edges[edge ^ 1].1.saturating_add(most);
                    }
                    sent += most;
                    continue;
                }
                let onward = self.leaving[node][at[node]..].iter().position(|edge| {
                    let (to, most) = self.edges[*edge];
                    most > 0 && levels[to] == levels[node].map(|level| level + 1)
                });
                if let Some(onward) = onward {
                    at[node] += onward;
                    path.push(self.leaving[node][at[node]]);
                } else if let Some(edge) = path.pop() {
                    at[node] = self.leaving[node].len();
                    at[self.edges[edge ^ 1].0] += 1;
                } else {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::models::ChannelEffect;

    proptest! {
        /// A split meets what is owed where no channels together are owed more than the orders that they
        /// touched (Hall 1935).
        #[test]
        fn what_blocks_is_what_is_owed_more_than_it_touched(
            owed in prop::collection::vec(0_u64..7, 2..6),
            sets in prop::collection::vec((prop::collection::btree_set(0_u32..6, 1..4), 1_u64..5), 1..8),
        ) {
            let count = u32::try_from(owed.len()).unwrap();
            let sets: Vec<(Vec<u32>, u64)> = sets
                .iter()
                .map(|(set, orders)| (set.iter().copied().filter(|at| *at < count).collect(), *orders))
                .collect();
            let orders: u64 = sets.iter().map(|(_, orders)| orders).sum();
            let channel = |(channel, owed): (u32, &u64)| ChannelEffect {
                channel,
                share: *owed as f64 / orders as f64,
                ..ChannelEffect::default()
            };
            let effects = Effects {
                channels: (0..).zip(&owed).map(channel).collect(),
                sets: sets.clone(),
                ..Effects::default()
            };
            let of = |some: &[u32]| {
                let touched = sets.iter().filter(|(set, _)| set.iter().any(|at| some.contains(at)));
                let due: u64 = some.iter().map(|at| owed[*at as usize]).sum();
                (due, touched.map(|(_, orders)| orders).sum::<u64>())
            };
            let some = |mask: u32| -> Vec<u32> { (0..count).filter(|at| mask >> at & 1 == 1).collect() };
            let is_short = (1..1_u32 << count).any(|mask| {
                let (due, touched) = of(&some(mask));
                due > touched
            });
            let found = blocked(&effects);
            prop_assert_eq!(found.is_some(), is_short);
            if let Some(found) = found {
                let (due, touched) = of(&found.channels);
                prop_assert!((found.owed - due as f64).abs() < 1e-9 && due > touched, "{:?}", found);
                prop_assert_eq!(found.orders, touched);
            }
        }
    }
}
