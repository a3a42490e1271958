//! Puts rows in order: person by person, and within a person by time.
//!
//! Exports come nearly in the order of time, and rows are grouped by person without losing it, so
//! that there is little left to sort. Not for what the rows hold; that is `build`.

use std::ops::Range;

use rayon::prelude::*;

use crate::ids::{group_rows, group_some_rows};
use crate::journeys::Touches;

/// Rows person by person, each person's by time and then by `tie`; only those that have a person.
///
/// Returns the rows, and where each person's rows begin.
pub(super) fn in_order<K: Ord>(
    persons: usize,
    at: &[i64],
    person: impl Fn(usize) -> Option<u32> + Sync,
    tie: impl Fn(usize) -> K + Sync,
) -> (Vec<u32>, Vec<u32>) {
    let (mut rows, starts) = group_some_rows(at.len(), persons, person);
    let mut slices: Vec<&mut [u32]> = Vec::with_capacity(persons);
    let mut rest = rows.as_mut_slice();
    for range in starts.windows(2) {
        let (one, others) = rest.split_at_mut((range[1] - range[0]) as usize);
        rest = others;
        if one.len() > 1 {
            slices.push(one);
        }
    }
    slices.into_par_iter().with_min_len(1024).for_each(|slice| {
        let before = |left: &u32, right: &u32| {
            let (left, right) = (*left as usize, *right as usize);
            at[left].cmp(&at[right]).then_with(|| tie(left).cmp(&tie(right)))
        };
        if !slice.is_sorted_by(|left, right| before(left, right).is_le()) {
            slice.sort_unstable_by(before);
        }
    });
    (rows, starts)
}

/// A touch of a table that was scanned: what is needed to put it in its place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Touch {
    /// When it was.
    pub at: i64,
    /// Whose it is.
    pub person: u32,
    /// What it looks like.
    pub look: u32,
    /// Its number among all touches of the run, sessions before views.
    pub number: u32,
    /// Its user.
    pub user: u32,
}

/// The touches of some persons, whose numbers follow each other.
///
/// # Example
///
/// ```
/// use apportion::journeys::{Part, Touch, Touches};
/// let touch = |at, number| Touch { at, person: 7, look: 0, number, user: 7 };
/// let mut part = Part { persons: 6..8, touches: vec![touch(20, 0), touch(10, 1)], views_from: 2 };
/// part.sort();
/// assert!(part.ties(true).is_empty());
/// let mut touches = Touches { starts: vec![0], ..Touches::default() };
/// part.append_to(&mut touches, &[false]);
/// assert_eq!((touches.at, touches.starts), (vec![10, 20], vec![0, 0, 2]));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// The persons.
    pub persons: Range<u32>,
    /// Their touches.
    pub touches: Vec<Touch>,
    /// The number of the first touch that is a view.
    pub views_from: u32,
}

impl Part {
    /// Puts touches in their order, but for those of one person, instant and kind.
    pub fn sort(&mut self) {
        let views_from = self.views_from;
        let place = |touch: &Touch| (touch.at, touch.number < views_from, touch.number);
        if self.touches.is_sorted_by_key(|touch| (touch.person, place(touch))) {
            return;
        }
        // By persons first, by counting: exports come nearly in the order of time, so that few
        // persons are left to be sorted.
        let first = self.persons.start;
        let persons: Vec<u32> = self.touches.iter().map(|touch| touch.person - first).collect();
        let (order, starts) = group_rows(&persons, self.persons.len());
        let mut sorted: Vec<Touch> = order.iter().map(|row| self.touches[*row as usize]).collect();
        for range in starts.windows(2) {
            let of_person = &mut sorted[range[0] as usize..range[1] as usize];
            if !of_person.is_sorted_by_key(place) {
                of_person.sort_unstable_by_key(place);
            }
        }
        self.touches = sorted;
    }

    /// The touches of one person, instant and kind: their ids decide which is first.
    ///
    /// Unless touches are `named`, those that look alike can stand in any order, because nothing tells
    /// them apart; then only ties between different looks count.
    pub fn ties(&self, named: bool) -> Vec<Range<usize>> {
        let is_view = |touch: &Touch| touch.number >= self.views_from;
        let together = |left: &Touch, right: &Touch| {
            (left.person, left.at) == (right.person, right.at) && is_view(left) == is_view(right)
        };
        let mut from = 0;
        let runs = self.touches.chunk_by(together).filter_map(|run| {
            let range = from..from + run.len();
            from = range.end;
            let differ = run.iter().any(|touch| touch.look != run[0].look);
            (differ || named && run.len() > 1).then_some(range)
        });
        runs.collect()
    }

    /// Puts tied touches in the order of their ids, which go by the numbers of touches.
    pub fn settle<'a>(&mut self, ties: &[Range<usize>], id: impl Fn(u32) -> &'a str) {
        for tie in ties {
            self.touches[tie.clone()]
                .sort_unstable_by(|left, right| id(left.number).cmp(id(right.number)));
        }
    }

    /// Adds the touches to those of the persons before; the row of each is that of its look, and
    /// `direct` says of every look whether it is direct.
    ///
    /// # Panics
    ///
    /// With more than 2^32 touches.
    pub fn append_to(self, touches: &mut Touches, direct: &[bool]) {
        let before = touches.at.len();
        touches.reserve(self.touches.len(), self.persons.len());
        let mut place = 0;
        for person in self.persons {
            while self.touches.get(place).is_some_and(|touch| touch.person == person) {
                place += 1;
            }
            let end = u32::try_from(before + place).expect("touches are numbered in 32 bits");
            touches.starts.push(end);
        }
        for touch in self.touches {
            touches.at.push(touch.at);
            touches.direct.push(direct[touch.look as usize]);
            touches.view.push(touch.number >= self.views_from);
            touches.row.push(touch.look);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_order_of_persons_then_of_times_then_of_ids() {
        let (at, ids) = ([5, 3, 5, 9, 4, 5], ["b", "x", "a", "z", "y", "c"]);
        let person = [Some(1), Some(0), Some(1), None, Some(1), Some(1)];
        let (rows, starts) = in_order(3, &at, |row| person[row], |row| ids[row]);
        assert_eq!((rows, starts), (vec![1, 4, 2, 0, 5], vec![0, 1, 5, 5]));
    }

    #[test]
    fn persons_of_a_part_need_not_begin_with_the_first() {
        let touch = |person, number| Touch { at: 1, person, look: 0, number, user: person };
        let touches = vec![touch(7, 1), touch(8, 0), touch(7, 2)];
        let mut part = Part { persons: 7..9, touches, views_from: 2 };
        part.sort();
        let sorted: Vec<_> = part.touches.iter().map(|one| (one.person, one.number)).collect();
        assert_eq!(sorted, [(7, 2), (7, 1), (8, 0)]);
    }

    #[test]
    fn views_come_first_and_only_what_looks_different_is_tied() {
        let columns = [(5, 0), (5, 1), (1, 0), (5, 2), (5, 2)];
        let touches = (0_u32..).zip(columns).map(|(number, (at, look))| Touch {
            at,
            person: 1,
            look,
            number,
            user: 1,
        });
        let mut part = Part { persons: 0..3, touches: touches.collect(), views_from: 3 };
        part.sort();
        assert_eq!(part.ties(true), [1..3, 3..5]);
        let ties = part.ties(false);
        assert_eq!(ties.as_slice(), std::slice::from_ref(&(3..5)));
        part.settle(&ties, |number| if number == 0 { "z" } else { "a" });
        let mut touches = Touches { starts: vec![0], ..Touches::default() };
        part.append_to(&mut touches, &[true, false, false]);
        assert_eq!((touches.of(0), touches.of(1), touches.of(2)), (0..0, 0..5, 5..5));
        assert_eq!(touches.at, [1, 5, 5, 5, 5]);
        assert_eq!(touches.row, [0, 2, 2, 1, 0]);
        assert_eq!(touches.view, [false, true, true, false, false]);
        assert_eq!(touches.direct, [true, false, false, false, true]);
    }
}
