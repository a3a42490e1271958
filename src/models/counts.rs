//! What a model remembers of journeys: how often each of some keys occurred.
//!
//! Integers only, so that counts of parts add up to the counts of the whole, in any order. Memory
//! grows with distinct keys, never with journeys. Not for what a key means: that is the model's.

use std::hash::BuildHasher;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};
use serde::{Deserialize, Serialize};

/// How often each key occurred; a key is a few numbers.
///
/// # Example
///
/// ```
/// use apportion::models::Counts;
/// let (mut here, mut there) = (Counts::default(), Counts::default());
/// here.add(&[2, 1], 1);
/// here.add(&[1], 1);
/// there.add(&[2, 1], 3);
/// here.merge(&there);
/// assert_eq!(here.sorted(), [(&[1][..], 1), (&[2, 1][..], 4)]);
/// ```
#[derive(Default, Clone, Serialize, Deserialize)]
#[serde(from = "Vec<(Vec<u32>, u64)>", into = "Vec<(Vec<u32>, u64)>")]
pub struct Counts {
    hasher: DefaultHashBuilder,
    /// Positions of keys, each with its hash, so that growing reads no key again.
    index: HashTable<(u64, u32)>,
    keys: Vec<u32>,
    ends: Vec<usize>,
    times: Vec<u64>,
}

impl Counts {
    /// Counts a key so many times more; returns its place among the keys, in the order in which they
    /// were first counted.
    ///
    /// # Panics
    ///
    /// With more than 2^32 distinct keys.
    pub fn add(&mut self, key: &[u32], times: u64) -> usize {
        let hash = self.hasher.hash_one(key);
        let (keys, ends) = (&self.keys, &self.ends);
        let same = |(known, at): &(u64, u32)| *known == hash && slice(keys, ends, *at) == key;
        match self.index.entry(hash, same, |(known, _)| *known) {
            Entry::Occupied(entry) => {
                let at = entry.get().1 as usize;
                self.times[at] += times;
                at
            }
            Entry::Vacant(entry) => {
                let at = u32::try_from(self.times.len()).expect("fewer than 2^32 distinct keys");
                entry.insert((hash, at));
                self.keys.extend(key);
                self.ends.push(self.keys.len());
                self.times.push(times);
                self.times.len() - 1
            }
        }
    }

    /// Adds what was counted elsewhere; returns the place that each key from there has here.
    pub fn merge(&mut self, other: &Self) -> Vec<usize> {
        other.keys().map(|(key, times)| self.add(key, times)).collect()
    }

    /// The same keys counted other times, by their places; those that are counted never are left out.
    #[must_use]
    pub fn counted(&self, times: &dyn Fn(usize) -> u64) -> Self {
        let mut counts = Self::default();
        for (at, (key, _)) in self.keys().enumerate() {
            let times = times(at);
            if times > 0 {
                counts.add(key, times);
            }
        }
        counts
    }

    /// Every key with its count, in the order in which keys were first counted.
    pub fn keys(&self) -> impl Iterator<Item = (&[u32], u64)> {
        let keys = (0..).zip(&self.times);
        keys.map(|(at, times)| (slice(&self.keys, &self.ends, at), *times))
    }

    /// Every key with its count, in the order of the keys.
    pub fn sorted(&self) -> Vec<(&[u32], u64)> {
        let mut all: Vec<_> = self.keys().collect();
        all.sort_unstable();
        all
    }

    /// How many distinct keys there are.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Forgets everything, and keeps the space.
    pub fn clear(&mut self) {
        self.index.clear();
        self.keys.clear();
        self.ends.clear();
        self.times.clear();
    }
}

impl From<Vec<(Vec<u32>, u64)>> for Counts {
    fn from(keys: Vec<(Vec<u32>, u64)>) -> Self {
        let mut counts = Self::default();
        for (key, times) in keys {
            counts.add(&key, times);
        }
        counts
    }
}

impl From<Counts> for Vec<(Vec<u32>, u64)> {
    fn from(counts: Counts) -> Self {
        counts.sorted().into_iter().map(|(key, times)| (key.to_vec(), times)).collect()
    }
}

fn slice<'a>(keys: &'a [u32], ends: &[usize], at: u32) -> &'a [u32] {
    let at = at as usize;
    let start = if at == 0 { 0 } else { ends[at - 1] };
    &keys[start..ends[at]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(keys: &[(&[u32], u64)]) -> Counts {
        keys.iter().map(|(key, times)| (key.to_vec(), *times)).collect::<Vec<_>>().into()
    }

    #[test]
    fn what_was_counted_elsewhere_is_added_under_the_places_that_it_has_here() {
        let mut here = counted(&[(&[2, 1], 1), (&[1], 5)]);
        let there = counted(&[(&[7], 2), (&[1], 3), (&[], 4)]);
        assert_eq!(here.merge(&there), [2, 1, 3]);
        assert_eq!(here.sorted(), [(&[][..], 4), (&[1][..], 8), (&[2, 1][..], 1), (&[7][..], 2)]);
        assert_eq!(Vec::from(here), [(vec![], 4), (vec![1], 8), (vec![2, 1], 1), (vec![7], 2)]);
    }

    #[test]
    fn what_is_counted_never_is_left_out() {
        let counts = counted(&[(&[3], 1), (&[4], 1), (&[5], 1)]);
        let some = counts.counted(&|at| [2, 0, 1][at]);
        assert_eq!(some.sorted(), [(&[3][..], 2), (&[5][..], 1)]);
    }

    #[test]
    fn what_is_forgotten_is_counted_anew() {
        let mut counts = counted(&[(&[3], 1), (&[4], 6)]);
        assert_eq!((counts.len(), counts.is_empty()), (2, false));
        counts.clear();
        assert_eq!((counts.len(), counts.is_empty()), (0, true));
        assert_eq!((counts.add(&[4], 2), counts.add(&[4], 1)), (0, 0));
        assert_eq!(counts.sorted(), [(&[4][..], 3)]);
    }
}
