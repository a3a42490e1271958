//! What touches are called, where their rows do not say so: many touches that look alike share a row.
//!
//! Not for how touches look; that is the row.

use arrow::array::StringViewArray;

/// The ids and users of touches, by their position in [`Touches`](super::Touches).
#[derive(Debug, Clone, PartialEq)]
pub struct TouchNames {
    /// The ids of touches.
    pub ids: StringViewArray,
    /// Which of the ids each touch has.
    pub id: Vec<u32>,
    /// The number of each touch's original user.
    pub user: Vec<u32>,
}

impl TouchNames {
    /// Names touches that stand in the place of others as these are called; they come after all others.
    ///
    /// # Panics
    ///
    /// If one of the `places`, which are where each stands and in whose place, is none of a touch.
    ///
    /// # Example
    ///
    /// ```
    /// # use apportion::journeys::TouchNames;
    /// let ids = vec!["a", "b"].into();
    /// let mut names = TouchNames { ids, id: vec![1, 0], user: vec![7, 8] };
    /// names.stand_in([(3, 0), (2, 1)].into_iter());
    /// assert_eq!((names.id, names.user), (vec![1, 0, 0, 1], vec![7, 8, 8, 7]));
    /// ```
    pub fn stand_in(&mut self, places: impl ExactSizeIterator<Item = (u32, u32)>) {
        let count = self.id.len() + places.len();
        self.id.resize(count, 0);
        self.user.resize(count, 0);
        for (to, from) in places {
            let (to, from) = (to as usize, from as usize);
            (self.id[to], self.user[to]) = (self.id[from], self.user[from]);
        }
    }
}
