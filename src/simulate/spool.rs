//! Rows that wait on disk until all of them are there, and come back in the order of their arrival.
//!
//! Persons live one after the other, exports are in the order of time. Rows are put into a file a
//! span of time, and each file is sorted when its turn comes: memory holds one of them.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::error::{Error, Result};

/// A row that can wait: of fixed size, with its own place in the order.
pub(super) trait Waiting: Sized + Send {
    /// Bytes that a row takes.
    const BYTES: usize;
    /// When it arrives, then what tells rows of one instant apart.
    fn place(&self) -> (i64, u64);
    /// Appends the row's bytes.
    fn write(&self, bytes: &mut Vec<u8>);
    /// The row of these bytes.
    fn read(bytes: &mut Bytes<'_>) -> Self;
}

/// Bytes that are taken from the front.
pub(super) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// Of a whole row.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next eight, little end first, as `write` put them.
    pub(super) fn next(&mut self) -> u64 {
        let (first, rest) = self.0.split_at(self.0.len().min(8));
        self.0 = rest;
        first.try_into().map(u64::from_le_bytes).unwrap_or_default()
    }

    /// The same as a signed number.
    pub(super) fn signed(&mut self) -> i64 {
        self.next().cast_signed()
    }
}

/// Rows of a file, about: it bounds the memory that sorting takes.
const FILE_ROWS: u64 = 1 << 18;

/// Files at most: each is open for as long as rows come.
const MOST_FILES: u64 = 512;

/// Rows that wait.
pub(super) struct Spool<R> {
    files: Vec<BufWriter<File>>,
    period: (i64, i64),
    bytes: Vec<u8>,
    folder: PathBuf,
    rows: PhantomData<R>,
}

impl<R: Waiting> Spool<R> {
    /// Room for about `rows` rows on the disk of `folder`, most of which arrive within the period.
    pub(super) fn new(folder: &Path, rows: u64, period: (i64, i64)) -> Result<Self> {
        let count = rows.div_ceil(FILE_ROWS).clamp(1, MOST_FILES);
        let file = |_| {
            let file = tempfile::tempfile_in(folder).map_err(Error::io("write", folder))?;
            Ok(BufWriter::with_capacity(1 << 16, file))
        };
        Ok(Self {
            files: (0..count).map(file).collect::<Result<_>>()?,
            period,
            bytes: Vec::with_capacity(R::BYTES),
            folder: folder.to_path_buf(),
            rows: PhantomData,
        })
    }

    /// Lets a row wait.
    pub(super) fn push(&mut self, row: &R) -> Result<()> {
        let (start, end) = self.period;
        let last = self.files.len() - 1;
        let passed = i128::from(row.place().0.saturating_sub(start).max(0));
        let file = passed * self.files.len() as i128 / i128::from((end - start).max(1));
        let file = usize::try_from(file).unwrap_or(last).min(last);
        self.bytes.clear();
        row.write(&mut self.bytes);
        self.files[file].write_all(&self.bytes).map_err(Error::io("write", &self.folder))
    }

    /// Hands over the rows in their order, those of one file at a time.
    pub(super) fn drain(self, mut take: impl FnMut(&[R]) -> Result<()>) -> Result<()> {
        let Self { files, folder, .. } = self;
        let failed = || Error::io("read", &folder);
        for file in files {
            let mut file = file.into_inner().map_err(|error| failed()(error.into_error()))?;
            file.rewind().map_err(failed())?;
            let mut reader = BufReader::with_capacity(1 << 20, file);
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map_err(failed())?;
            let mut rows: Vec<R> =
                bytes.par_chunks_exact(R::BYTES).map(|row| R::read(&mut Bytes::new(row))).collect();
            drop(bytes);
            rows.par_sort_unstable_by_key(R::place);
            take(&rows)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Waiting for (i64, u64) {
        const BYTES: usize = 16;
        fn place(&self) -> (i64, u64) {
            *self
        }
        fn write(&self, bytes: &mut Vec<u8>) {
            bytes.extend(self.0.to_le_bytes());
            bytes.extend(self.1.to_le_bytes());
        }
        fn read(bytes: &mut Bytes<'_>) -> Self {
            (bytes.signed(), bytes.next())
        }
    }

    #[test]
    fn rows_come_back_in_their_order_however_many_files_they_wait_in() {
        let folder = tempfile::tempdir().unwrap();
        let rows: Vec<(i64, u64)> =
            (0..1_000_u64).map(|row| ((row * 7_919 % 1_013).cast_signed() - 3, row)).collect();
        let mut sorted = rows.clone();
        sorted.sort_unstable();
        for expected in [1, 3 * FILE_ROWS, 1_000 * FILE_ROWS] {
            let mut spool = Spool::new(folder.path(), expected, (0, 1_000)).unwrap();
            for row in &rows {
                spool.push(row).unwrap();
            }
            let mut back = Vec::new();
            spool
                .drain(|rows| {
                    back.extend_from_slice(rows);
                    Ok(())
                })
                .unwrap();
            assert_eq!(back, sorted);
        }
    }
}
