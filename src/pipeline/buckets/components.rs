//! Which users have to be in one bucket: those that anything joins, directly or by others.
//!
//! An alias joins two users whether or not it will hold, so do two users of whom one session or order is
//! said to be, and, where keys reconcile, two with the same key. That is more than what makes them one
//! person, and just what may. Not for who is who; that is `identity`, bucket by bucket.

use crate::ids::Interner;

/// Users that are joined, pair by pair.
///
/// Memory is the ids once, and some 30 bytes each.
///
/// # Example
///
/// ```
/// use apportion::pipeline::buckets::Components;
///
/// let mut components = Components::default();
/// components.join("ann", "bob");
/// components.join("dora", "carl");
/// components.join("bob", "carl");
/// components.join("eve", "eve");
/// let of: Vec<(String, String)> = components.end();
/// assert_eq!(of.iter().filter(|(_, component)| component == "ann").count(), 4);
/// ```
#[derive(Default)]
pub struct Components {
    ids: Interner,
    /// Another user of the same component, or itself.
    next: Vec<u32>,
}

impl Components {
    /// Joins two users, and all whom either was joined with.
    pub fn join(&mut self, left: &str, right: &str) {
        let (left, right) = (self.number(left), self.number(right));
        let (left, right) = (self.root(left), self.root(right));
        // The lower number is the root, so that chains stay short whatever the order.
        self.next[left.max(right) as usize] = left.min(right);
    }

    fn number(&mut self, id: &str) -> u32 {
        let number = self.ids.intern(id);
        if number as usize == self.next.len() {
            self.next.push(number);
        }
        number
    }

    fn root(&mut self, mut user: u32) -> u32 {
        while self.next[user as usize] != user {
            let after = self.next[self.next[user as usize] as usize];
            self.next[user as usize] = after;
            user = after;
        }
        user
    }

    /// Every user with its component, called by the least of its ids in byte order.
    pub fn end(mut self) -> Vec<(String, String)> {
        let users = u32::try_from(self.next.len()).unwrap_or(u32::MAX);
        let roots: Vec<u32> = (0..users).map(|user| self.root(user)).collect();
        let mut least: Vec<u32> = (0..users).collect();
        for (user, root) in (0..).zip(&roots) {
            let known = &mut least[*root as usize];
            if self.ids.name(user) < self.ids.name(*known) {
                *known = user;
            }
        }
        let named = (0..).zip(&roots).map(|(user, root)| {
            let component = least[*root as usize];
            (self.ids.name(user).to_owned(), self.ids.name(component).to_owned())
        });
        named.collect()
    }
}
