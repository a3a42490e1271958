//! How many distinct texts there are, where nothing else is asked of them.

use std::hash::BuildHasher;

use arrow::array::{Array, StringViewArray};
use hashbrown::{DefaultHashBuilder, HashSet};
use rayon::prelude::*;

use super::{Directory, group_rows};
use crate::error::Result;
use crate::spill::Buckets;

/// How many parts texts on disk are spread over.
const PARTS: usize = 256;

/// Texts from any number of threads, of which only the number is wanted; compared in full.
///
/// # Example
///
/// ```
/// use apportion::ids::Distinct;
/// use arrow::array::StringViewArray;
/// for texts in [Distinct::in_memory(), Distinct::on_disk()?] {
///     texts.meet(&StringViewArray::from(vec!["ann", "bob"]), &[0, 1])?;
///     texts.meet(&StringViewArray::from(vec!["ann", "carl", ""]), &[0, 2])?;
///     assert_eq!(texts.count()?, 3);
/// }
/// # Ok::<(), apportion::Error>(())
/// ```
pub enum Distinct {
    /// Texts that are held in memory.
    Memory(Directory),
    /// Texts that are held on disk, divided by their hashes; each is led by its length.
    Disk(DefaultHashBuilder, Buckets),
}

impl Distinct {
    /// No texts yet, to be held in memory.
    pub fn in_memory() -> Self {
        Self::Memory(Directory::default())
    }

    /// No texts yet, to be held on disk.
    ///
    /// # Errors
    ///
    /// A place that cannot be written to.
    pub fn on_disk() -> Result<Self> {
        Ok(Self::Disk(DefaultHashBuilder::default(), Buckets::new(PARTS)?))
    }

    /// Takes in some rows of a column of texts; a missing one is taken for empty.
    ///
    /// # Errors
    ///
    /// Texts that cannot be written.
    pub fn meet(&self, texts: &StringViewArray, rows: &[u32]) -> Result<()> {
        let (hasher, buckets) = match self {
            Self::Memory(directory) => {
                directory.number_rows(texts, rows, |_, _| ());
                return Ok(());
            }
            Self::Disk(hasher, buckets) => (hasher, buckets),
        };
        let text = |row: u32| {
            if texts.is_valid(row as usize) { texts.value(row as usize) } else { "" }
        };
        let part = |row: &u32| (hasher.hash_one(text(*row)) >> 56) as u32;
        let parts: Vec<u32> = rows.iter().map(part).collect();
        let (order, starts) = group_rows(&parts, PARTS);
        let mut bytes = Vec::new();
        for (part, range) in starts.windows(2).enumerate() {
            bytes.clear();
            for at in &order[range[0] as usize..range[1] as usize] {
                let text = text(rows[*at as usize]).as_bytes();
                bytes.extend((text.len() as u64).to_le_bytes());
                bytes.extend(text);
            }
            buckets.add(part, &bytes)?;
        }
        Ok(())
    }

    /// How many distinct texts were taken in.
    ///
    /// # Errors
    ///
    /// Texts that cannot be read back.
    pub fn count(self) -> Result<u64> {
        let buckets = match self {
            Self::Memory(directory) => return Ok(directory.close().len() as u64),
            Self::Disk(_, buckets) => buckets,
        };
        let counts = (0..PARTS).into_par_iter().map(|part| {
            let bytes = buckets.read(part)?;
            let mut distinct: HashSet<&[u8]> = HashSet::new();
            let mut rest = bytes.as_slice();
            while let Some((length, others)) = rest.split_first_chunk() {
                let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
                let (text, others) = others.split_at(length.min(others.len()));
                distinct.insert(text);
                rest = others;
            }
            Ok(distinct.len() as u64)
        });
        counts.try_reduce(|| 0, |one, other| Ok(one + other))
    }
}
