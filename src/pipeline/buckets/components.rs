//! Which users have to be in one bucket: those that anything joins, directly or by others.
//!
//! An alias joins two users whether or not it will hold, so do two users of whom one session or order is
//! said to be, and, where keys reconcile, two with the same key. That is more than what makes them one
//! person, and just what may. Not for who is who; that is `identity`, bucket by bucket.

use hashbrown::HashMap;

/// Nodes that are joined, pair by pair: users, and what users share. A node is a number, such as a hash of
/// an id: two with the same number only keep each other company.
///
/// Memory is some 40 bytes a node.
///
/// # Example
///
/// ```
/// use apportion::pipeline::buckets::Components;
///
/// let mut components = Components::default();
/// components.join(7, 3);
/// components.join(12, 40);
/// components.join(3, 40);
/// components.join(5, 5);
/// let of: Vec<(i64, i64)> = components.end().collect();
/// assert_eq!(of, [(7, 3), (3, 3), (12, 3), (40, 3), (5, 5)]);
/// ```
#[derive(Default)]
pub struct Components {
    places: HashMap<i64, u32>,
    nodes: Vec<i64>,
    /// Another node of the same component, or itself, by its place.
    next: Vec<u32>,
}

impl Components {
    /// Joins two nodes, and all that either was joined with.
    ///
    /// # Panics
    ///
    /// With more than 2^32 nodes.
    pub fn join(&mut self, left: i64, right: i64) {
        let (left, right) = (self.place(left), self.place(right));
        let (left, right) = (self.root(left), self.root(right));
        // The earlier one is the root, so that chains stay short whatever the order.
        self.next[left.max(right) as usize] = left.min(right);
    }

    fn place(&mut self, node: i64) -> u32 {
        let next = u32::try_from(self.nodes.len()).expect("fewer than 2^32 nodes");
        let place = *self.places.entry(node).or_insert(next);
        if place == next {
            self.nodes.push(node);
            self.next.push(place);
        }
        place
    }

    fn root(&mut self, mut place: u32) -> u32 {
        while self.next[place as usize] != place {
            let after = self.next[self.next[place as usize] as usize];
            self.next[place as usize] = after;
            place = after;
        }
        place
    }

    /// Every node with its component, called by the least of its nodes: in the order in which nodes were
    /// met.
    pub fn end(mut self) -> impl Iterator<Item = (i64, i64)> {
        self.places = HashMap::new();
        let places = (0..).take(self.nodes.len());
        let roots: Vec<u32> = places.map(|place| self.root(place)).collect();
        let mut least = self.nodes.clone();
        for (node, root) in self.nodes.iter().zip(&roots) {
            let known = &mut least[*root as usize];
            *known = (*known).min(*node);
        }
        self.nodes.into_iter().zip(roots).map(move |(node, root)| (node, least[root as usize]))
    }
}
