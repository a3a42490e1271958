//! Rows grouped by their keys: by counting, never by comparing.

use rayon::prelude::*;

/// Rows in the order of their keys, rows of one key in their own order.
///
/// Returns the rows, and where each key's rows begin (one more entry than there are keys):
/// counting, not comparing.
///
/// ```text
/// keys   1 0 1 2 1         order  1 | 0 2 4 | 3
/// keys are below 3         starts 0   1       4   5
/// ```
pub fn group_rows(keys: &[u32], groups: usize) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0_u32; groups + 1];
    for key in keys {
        starts[*key as usize + 1] += 1;
    }
    for group in 0..groups {
        starts[group + 1] += starts[group];
    }
    let mut next = starts.clone();
    let mut order = vec![0_u32; keys.len()];
    for (row, key) in (0_u32..).zip(keys) {
        let place = &mut next[*key as usize];
        order[*place as usize] = row;
        *place += 1;
    }
    (order, starts)
}

/// Rows that one thread looks at before another may take over.
const BLOCK: usize = 128 * 1024;

/// Ranges of keys that rows are spread over before they are counted: each fits a cache.
const RANGES: usize = 64;

/// [`group_rows`] of the rows for which `key` has one, on all threads.
///
/// # Panics
///
/// If a key is not below `groups`, or there are 2^32 rows.
pub fn group_some_rows(
    rows: usize,
    groups: usize,
    key: impl Fn(usize) -> Option<u32> + Sync,
) -> (Vec<u32>, Vec<u32>) {
    u32::try_from(rows).expect("rows are numbered in 32 bits");
    let width = groups.div_ceil(RANGES).max(1);
    // Each block's keys and rows, range by range.
    let blocks: Vec<Vec<Vec<(u32, u32)>>> = (0..rows.div_ceil(BLOCK))
        .into_par_iter()
        .map(|block| {
            let mut ranges = vec![Vec::new(); RANGES];
            for row in block * BLOCK..rows.min((block + 1) * BLOCK) {
                if let Some(key) = key(row) {
                    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
                    ranges[key as usize / width].push((key, row as u32));
                }
            }
            ranges
        })
        .collect();
    let sizes = (0..RANGES).map(|range| blocks.iter().map(|block| block[range].len()).sum());
    let sizes: Vec<usize> = sizes.collect();
    let mut order = vec![0_u32; sizes.iter().sum()];
    let mut starts = vec![0_u32; groups + 1];
    let mut slices = Vec::with_capacity(RANGES);
    let (mut rest, mut ends, mut before) = (&mut order[..], &mut starts[1..], 0_u32);
    for (range, size) in sizes.into_iter().enumerate() {
        let (own, others) = rest.split_at_mut(size);
        let (own_ends, other_ends) = ends.split_at_mut(width.min(ends.len()));
        (rest, ends) = (others, other_ends);
        slices.push((range, own, own_ends, before));
        #[expect(clippy::cast_possible_truncation, reason = "no more than there are rows")]
        {
            before += size as u32;
        }
    }
    slices.into_par_iter().for_each(|(range, order, ends, before)| {
        let first = range * width;
        let of_range = || blocks.iter().flat_map(|block| &block[range]);
        for (key, _) in of_range() {
            ends[*key as usize - first] += 1;
        }
        let mut total = 0;
        let mut next: Vec<u32> = Vec::with_capacity(ends.len());
        for end in ends.iter_mut() {
            next.push(total);
            total += *end;
            *end = before + total;
        }
        for (key, row) in of_range() {
            let place = &mut next[*key as usize - first];
            order[*place as usize] = *row;
            *place += 1;
        }
    });
    (order, starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_grouped_stably() {
        let (order, starts) = group_rows(&[1, 0, 1, 2, 1], 3);
        assert_eq!((order, starts), (vec![1, 0, 2, 4, 3], vec![0, 1, 4, 5]));
        assert_eq!(group_rows(&[], 0), (vec![], vec![0]));
    }

    #[test]
    fn some_rows_on_all_threads_are_grouped_as_all_are_on_one() {
        for (rows, groups) in [(0, 0), (1, 1), (5, 3), (BLOCK + 77, 1_000), (3 * BLOCK, 7)] {
            let keys: Vec<u32> =
                (0..).take(rows).map(|row: u32| row.wrapping_mul(2_654_435_761) >> 7).collect();
            let divisor = u32::try_from(groups).unwrap().max(1);
            let keys: Vec<u32> = keys.into_iter().map(|key| key % divisor).collect();
            assert_eq!(
                group_some_rows(rows, groups, |row| Some(keys[row])),
                group_rows(&keys, groups)
            );
            let odd: Vec<u32> = keys.iter().skip(1).step_by(2).copied().collect();
            let (order, starts) =
                group_some_rows(rows, groups, |row| (row % 2 == 1).then_some(keys[row]));
            let (expected, expected_starts) = group_rows(&odd, groups);
            let expected: Vec<u32> = expected.into_iter().map(|row| 2 * row + 1).collect();
            assert_eq!((order, starts), (expected, expected_starts));
        }
    }
}
