//! Puts rows in order: person by person, and within a person by time.
//!
//! Exports come nearly in the order of time, and rows are grouped by person without losing it, so
//! that there is little left to sort. Not for what the rows hold; that is `build`.

use std::ops::Range;

use rayon::prelude::*;

use crate::ids::group_some_rows;
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

/// The touches of scanned tables: columns without ids.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// When each touch was.
    pub at: &'a [i64],
    /// What each looks like.
    pub look: &'a [u32],
    /// Whether touches of a look are direct, by look.
    pub direct: &'a [bool],
    /// The first row that is a view.
    pub views_from: usize,
}

/// Touches in the order of time, where several may stand at one instant.
pub struct Draft<'a> {
    columns: Columns<'a>,
    row: Vec<u32>,
    starts: Vec<u32>,
}

impl<'a> Draft<'a> {
    /// The touches of everybody: those for which `person` has one.
    pub fn new(
        columns: Columns<'a>,
        persons: usize,
        person: impl Fn(usize) -> Option<u32> + Sync,
    ) -> Self {
        let is_session = |row: usize| row < columns.views_from;
        let (row, starts) = in_order(persons, columns.at, person, is_session);
        Self { columns, row, starts }
    }

    /// The touches of one person, instant and kind: their ids decide which is first.
    ///
    /// Unless touches are `named`, those that look alike can stand in any order, because nothing tells
    /// them apart; then only ties between different looks count.
    pub fn ties(&self, named: bool) -> Vec<Range<usize>> {
        let Columns { at, look, views_from, .. } = self.columns;
        let together = |left: &u32, right: &u32| {
            let (left, right) = (*left as usize, *right as usize);
            at[left] == at[right] && (left < views_from) == (right < views_from)
        };
        let of_person = |person: usize| {
            let start = self.starts[person] as usize;
            let rows = &self.row[start..self.starts[person + 1] as usize];
            let mut from = start;
            rows.chunk_by(together)
                .filter_map(|run| {
                    let range = from..from + run.len();
                    from = range.end;
                    let first = look[run[0] as usize];
                    let differ = run.iter().any(|row| look[*row as usize] != first);
                    (differ || named && run.len() > 1).then_some(range)
                })
                .collect::<Vec<_>>()
        };
        let persons = self.starts.len() - 1;
        (0..persons).into_par_iter().with_min_len(1024).flat_map_iter(of_person).collect()
    }

    /// How many touches there are.
    pub fn len(&self) -> usize {
        self.row.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.row.is_empty()
    }

    /// The rows of some places.
    pub fn rows(&self, places: Range<usize>) -> &[u32] {
        &self.row[places]
    }

    /// Puts tied touches in the order of their ids.
    pub fn settle<'b>(&mut self, ties: &[Range<usize>], id: impl Fn(u32) -> &'b str) {
        for tie in ties {
            self.row[tie.clone()].sort_unstable_by(|left, right| id(*left).cmp(id(*right)));
        }
    }

    /// The touches; the row of each is that of its look.
    pub fn finish(self) -> Touches {
        let Self { columns: Columns { at, look, direct, views_from }, row, starts } = self;
        let rows = || row.par_iter().with_min_len(16 * 1024).map(|row| *row as usize);
        Touches {
            at: rows().map(|row| at[row]).collect(),
            direct: rows().map(|row| direct[look[row] as usize]).collect(),
            view: rows().map(|row| row >= views_from).collect(),
            row: rows().map(|row| look[row]).collect(),
            starts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_come_first_and_only_what_looks_different_is_tied() {
        let columns = Columns {
            at: &[5, 5, 1, 5, 5, 5],
            look: &[0, 1, 0, 1, 2, 2],
            direct: &[true, false, false],
            views_from: 4,
        };
        let mut draft = Draft::new(columns, 2, |row| (row != 3).then_some(1));
        assert_eq!(draft.ties(true), [1..3, 3..5]);
        let ties = draft.ties(false);
        assert_eq!(ties.as_slice(), std::slice::from_ref(&(3..5)));
        assert_eq!(draft.rows(3..5), [0, 1]);
        draft.settle(&ties, |row| if row == 0 { "z" } else { "a" });
        let touches = draft.finish();
        assert_eq!((touches.of(0), touches.of(1)), (0..0, 0..5));
        assert_eq!(touches.at, [1, 5, 5, 5, 5]);
        assert_eq!(touches.row, [0, 2, 2, 1, 0]);
        assert_eq!(touches.view, [false, true, true, false, false]);
        assert_eq!(touches.direct, [true, false, false, false, true]);
    }
}
