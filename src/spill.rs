//! Bytes on disk while they wait for their turn: divided into buckets, each of which fits the memory.
//!
//! What the bytes are is for their owner to know. Everything is gone when the run is.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

use crate::error::{Error, Result};
use crate::stop;

/// Bytes of a bucket that wait in memory to be written.
const WAITING: usize = 64 << 10;

/// Buckets of bytes, filled from any number of threads.
///
/// # Example
///
/// ```
/// use apportion::spill::Buckets;
/// let buckets = Buckets::new(2)?;
/// buckets.add(1, &[1, 2])?;
/// buckets.add(1, &[3])?;
/// assert_eq!((buckets.read(0)?, buckets.read(1)?), (vec![], vec![1, 2, 3]));
/// # Ok::<(), apportion::Error>(())
/// ```
pub struct Buckets {
    folder: TempDir,
    waiting: Vec<Mutex<Vec<u8>>>,
}

impl Buckets {
    /// So many empty buckets, in a folder of their own among the temporary files of the system.
    ///
    /// # Errors
    ///
    /// A folder that cannot be made.
    pub fn new(buckets: usize) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("apportion-").tempdir();
        let folder = folder.map_err(Error::io("write", &std::env::temp_dir()))?;
        stop::temporary(folder.path());
        Ok(Self { folder, waiting: (0..buckets).map(|_| Mutex::default()).collect() })
    }

    /// How many buckets there are.
    pub fn count(&self) -> usize {
        self.waiting.len()
    }

    /// Adds bytes to the end of a bucket, together.
    ///
    /// # Errors
    ///
    /// A file that cannot be written, for want of space or otherwise.
    pub fn add(&self, bucket: usize, bytes: &[u8]) -> Result<()> {
        let mut waiting = self.waiting(bucket);
        waiting.extend(bytes);
        if waiting.len() < WAITING {
            return Ok(());
        }
        stop::check()?;
        let path = self.path(bucket);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(&waiting));
        waiting.clear();
        written.map_err(Error::io("write", &path))
    }

    /// Everything that was added to a bucket.
    ///
    /// # Errors
    ///
    /// A file that cannot be read.
    pub fn read(&self, bucket: usize) -> Result<Vec<u8>> {
        stop::check()?;
        let path = self.path(bucket);
        let mut bytes = match fs::read(&path) {
            // Nothing of it was written yet.
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            read => read.map_err(Error::io("read", &path))?,
        };
        bytes.extend(self.waiting(bucket).iter());
        Ok(bytes)
    }

    fn path(&self, bucket: usize) -> PathBuf {
        self.folder.path().join(format!("bucket-{bucket}"))
    }

    /// Whoever panicked with a lock in hand has ended the run already.
    fn waiting(&self, bucket: usize) -> MutexGuard<'_, Vec<u8>> {
        self.waiting[bucket].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
