//! Whether any id of a table occurs twice, known from hashes alone.
//!
//! Exports mostly hold one row an id. Then nothing has to be merged, and that is cheaper to know
//! than to do. Not for which ids those are: whoever finds that there may be some compares texts.

use std::sync::{Mutex, PoisonError};

use arrow::array::{Array, StringViewArray};
use hashbrown::DefaultHashBuilder;
use rayon::prelude::*;

use super::directory::hash;
use super::group_rows;
use crate::error::Result;
use crate::spill::Buckets;

/// How many parts the hashes are spread over, each of which fits a cache: a power of two.
const PARTS: usize = 256;

/// The hashes of a table's ids, from any number of threads.
///
/// # Example
///
/// ```
/// use apportion::ids::Repeats;
/// use arrow::array::StringViewArray;
/// let repeats = Repeats::in_memory(3);
/// repeats.meet(&StringViewArray::from(vec!["a", "b"]))?;
/// repeats.meet(&StringViewArray::from(vec!["c"]))?;
/// assert!(!repeats.possible()?);
/// # Ok::<(), apportion::Error>(())
/// ```
pub struct Repeats {
    hasher: DefaultHashBuilder,
    parts: Parts,
}

enum Parts {
    Memory(Vec<Mutex<Vec<u64>>>),
    Disk(Buckets),
}

impl Repeats {
    /// No ids yet; about so many will come, and their hashes are held in memory.
    pub fn in_memory(ids: usize) -> Self {
        let each = ids / PARTS + ids / PARTS / 16;
        let parts = (0..PARTS).map(|_| Mutex::new(Vec::with_capacity(each))).collect();
        Self { hasher: DefaultHashBuilder::default(), parts: Parts::Memory(parts) }
    }

    /// No ids yet; their hashes are held on disk.
    ///
    /// # Errors
    ///
    /// A place that cannot be written to.
    pub fn on_disk() -> Result<Self> {
        let parts = Parts::Disk(Buckets::new(PARTS)?);
        Ok(Self { hasher: DefaultHashBuilder::default(), parts })
    }

    /// Takes in a column of ids, none of them missing.
    ///
    /// # Errors
    ///
    /// Hashes that cannot be written.
    pub fn meet(&self, ids: &StringViewArray) -> Result<()> {
        let hashes: Vec<u64> =
            (0..ids.len()).map(|row| hash(&self.hasher, ids.value(row))).collect();
        let part = |hash: &u64| (hash >> 56) as u32;
        let of_hash: Vec<u32> = hashes.iter().map(part).collect();
        let (rows, starts) = group_rows(&of_hash, PARTS);
        for (part, range) in starts.windows(2).enumerate() {
            let rows = &rows[range[0] as usize..range[1] as usize];
            let of_part = rows.iter().map(|row| hashes[*row as usize]);
            match &self.parts {
                Parts::Memory(parts) => {
                    let mut part = parts[part].lock().unwrap_or_else(PoisonError::into_inner);
                    part.extend(of_part);
                }
                Parts::Disk(buckets) => {
                    let bytes: Vec<u8> = of_part.flat_map(u64::to_le_bytes).collect();
                    buckets.add(part, &bytes)?;
                }
            }
        }
        Ok(())
    }

    /// Whether two ids have one hash: only then can there be two of one text.
    ///
    /// # Errors
    ///
    /// Hashes that cannot be read back.
    pub fn possible(self) -> Result<bool> {
        let buckets = match self.parts {
            Parts::Memory(parts) => {
                let hashes = |part: Mutex<Vec<u64>>| part.into_inner();
                let hashes = |part| hashes(part).unwrap_or_else(PoisonError::into_inner);
                return Ok(parts.into_par_iter().any(|part| any_twice(hashes(part))));
            }
            Parts::Disk(buckets) => buckets,
        };
        let twice = (0..PARTS).into_par_iter().map(|part| {
            let bytes = buckets.read(part)?;
            let hashes = bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
            Ok(any_twice(hashes.collect()))
        });
        twice.try_reduce(|| false, |one, other| Ok(one || other))
    }
}

/// Whether a hash is there twice.
fn any_twice(hashes: Vec<u64>) -> bool {
    // At most half full; zero marks an empty place, and a hash of zero is taken for a repeat, which
    // costs a second look and nothing else.
    let mut places = vec![0; (2 * hashes.len()).next_power_of_two()];
    hashes.into_iter().any(|hash| is_there(&mut places, hash))
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
        for on_disk in [false, true] {
            let none = || {
                if on_disk { Repeats::on_disk().unwrap() } else { Repeats::in_memory(10) }
            };
            let repeats = none();
            repeats.meet(&ids(0, 5_000)).unwrap();
            repeats.meet(&ids(5_000, 9_000)).unwrap();
            assert!(!repeats.possible().unwrap());
            let repeats = none();
            repeats.meet(&ids(0, 5_000)).unwrap();
            repeats.meet(&ids(4_999, 6_000)).unwrap();
            assert!(repeats.possible().unwrap());
        }
    }
}
