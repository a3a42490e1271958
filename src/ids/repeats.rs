//! Whether any id of a table occurs twice, known from hashes alone.
//!
//! Exports mostly hold one row an id. Then nothing has to be merged, and that is cheaper to know
//! than to do. Not for which ids those are: whoever finds that there may be some compares texts.

use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use arrow::array::{Array, StringViewArray};
use hashbrown::DefaultHashBuilder;
use rayon::prelude::*;

use super::group_rows;

/// How many parts the hashes are spread over, each of which fits a cache: a power of two.
const PARTS: usize = 256;

/// The hashes of a table's ids, from any number of threads.
///
/// # Example
///
/// ```
/// use apportion::ids::Repeats;
/// use arrow::array::StringViewArray;
/// let repeats = Repeats::new(3);
/// repeats.meet(&StringViewArray::from(vec!["a", "b"]));
/// repeats.meet(&StringViewArray::from(vec!["c"]));
/// assert!(!repeats.possible());
/// ```
pub struct Repeats {
    hasher: DefaultHashBuilder,
    parts: Vec<Mutex<Vec<u64>>>,
}

impl Repeats {
    /// No ids yet; about so many will come.
    pub fn new(ids: usize) -> Self {
        let each = ids / PARTS + ids / PARTS / 16;
        Self {
            hasher: DefaultHashBuilder::default(),
            parts: (0..PARTS).map(|_| Mutex::new(Vec::with_capacity(each))).collect(),
        }
    }

    /// Takes in a column of ids, none of them missing.
    pub fn meet(&self, ids: &StringViewArray) {
        let hashes: Vec<u64> =
            (0..ids.len()).map(|row| self.hasher.hash_one(ids.value(row))).collect();
        let part = |hash: &u64| (hash >> 56) as u32;
        let parts: Vec<u32> = hashes.iter().map(part).collect();
        let (rows, starts) = group_rows(&parts, PARTS);
        for (part, range) in self.parts.iter().zip(starts.windows(2)) {
            let rows = &rows[range[0] as usize..range[1] as usize];
            let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
            part.extend(rows.iter().map(|row| hashes[*row as usize]));
        }
    }

    /// Whether two ids have one hash: only then can there be two of one text.
    pub fn possible(self) -> bool {
        self.parts.into_par_iter().any(|part| {
            let hashes = part.into_inner().unwrap_or_else(PoisonError::into_inner);
            // At most half full; zero marks an empty place, and a hash of zero is taken for a repeat,
            // which costs a second look and nothing else.
            let size = (2 * hashes.len()).next_power_of_two();
            let mut places = vec![0; size];
            hashes.into_iter().any(|hash| is_there(&mut places, hash))
        })
    }
}

/// Whether a hash is among those that were put in before; else it is put in.
fn is_there(places: &mut [u64], hash: u64) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "the lowest bits are as good as any")]
    let mut at = hash as usize & (places.len() - 1);
    while places[at] != 0 {
        if places[at] == hash {
            return true;
        }
        at = (at + 1) & (places.len() - 1);
    }
    places[at] = hash;
    hash == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_occurs_twice_is_noticed_wherever_it_is() {
        let ids = |from: u32, to: u32| -> StringViewArray {
            (from..to).map(|id| Some(format!("s{id}"))).collect()
        };
        let repeats = Repeats::new(10);
        repeats.meet(&ids(0, 5_000));
        repeats.meet(&ids(5_000, 9_000));
        assert!(!repeats.possible());
        let repeats = Repeats::new(10);
        repeats.meet(&ids(0, 5_000));
        repeats.meet(&ids(4_999, 6_000));
        assert!(repeats.possible());
    }
}
