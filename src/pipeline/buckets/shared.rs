//! What several users share: a session or an order that is said to be of two, a key of two profiles.
//!
//! Users who share anything have to be in one bucket. Not for what that makes of them (`components`).

/// Things that users have, and which of them have several: numbers all, such as hashes of ids.
///
/// Memory is 16 bytes for each time that a user is said to have a thing.
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
/// assert_eq!(shared.end(), [(1, 10), (1, 11)]);
/// ```
#[derive(Default)]
pub struct Shared(Vec<(i64, i64)>);

impl Shared {
    /// A user has a thing; the same may be said again.
    pub fn take(&mut self, thing: i64, user: i64) {
        self.0.push((thing, user));
    }

    /// Every thing that several users have with each of them, in order.
    pub fn end(self) -> Vec<(i64, i64)> {
        let mut pairs = self.0;
        pairs.sort_unstable();
        pairs.dedup();
        let of_thing = pairs.chunk_by(|left, right| left.0 == right.0);
        of_thing.filter(|pairs| pairs.len() > 1).flatten().copied().collect()
    }
}
