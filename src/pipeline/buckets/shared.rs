//! What several users share: a session or an order that is said to be of two, a key of two profiles.
//!
//! Users who share anything have to be in one bucket. Not for what that makes of them (`components`).

use hashbrown::{HashMap, HashSet};

/// Things that users have, and which of them have several: numbers all, such as hashes of ids.
///
/// Memory is some 40 bytes for each thing, and as much for each pair of one that is shared and a user of it.
///
/// # Example
///
/// ```
/// use apportion::pipeline::buckets::Shared;
///
/// let mut shared = Shared::default();
/// for (thing, user) in [(1, 10), (2, 20), (1, 11), (1, 11), (2, 20)] {
///     shared.take(thing, user);
/// }
/// let mut pairs: Vec<(i64, i64)> = shared.end().collect();
/// pairs.sort_unstable();
/// assert_eq!(pairs, [(1, 10), (1, 11)]);
/// ```
#[derive(Default)]
pub struct Shared {
    /// The first user that was seen of each thing.
    first: HashMap<i64, i64>,
    pairs: HashSet<(i64, i64)>,
}

impl Shared {
    /// A user has a thing; the same may be said again.
    pub fn take(&mut self, thing: i64, user: i64) {
        let first = *self.first.entry(thing).or_insert(user);
        if first != user {
            self.pairs.insert((thing, first));
            self.pairs.insert((thing, user));
        }
    }

    /// Every thing that several users have with each of them, in no order.
    pub fn end(self) -> impl Iterator<Item = (i64, i64)> {
        self.pairs.into_iter()
    }
}
