//! A file of Parquet that can be read from: one of this machine, or the parts of an object that are
//! needed.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use bytes::buf::Reader;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use super::seen::Seen;
use crate::error::Error;
use crate::objects::Fetched;

/// Where a Parquet reader takes its bytes from.
pub(super) enum Opened {
    /// A file, of which pages are read as they are needed.
    File(File, Failing),
    /// An object, of which parts were fetched.
    Object(Fetched),
}

/// Who is to know where the system cannot read a file: a Parquet reader passes on no more than words.
#[derive(Clone)]
pub(super) struct Failing {
    pub(super) path: PathBuf,
    pub(super) seen: Seen,
}

impl Failing {
    /// Takes note of what the system answered, if that is what an error comes from.
    fn note(&self, error: &(dyn std::error::Error + 'static)) {
        if let Some(code) = of_disk(error) {
            self.seen.fail(&self.path, code);
        }
    }
}

/// What is read one after the other.
pub(super) enum Reading {
    File(BufReader<File>, Failing),
    Object(Reader<Bytes>),
}

impl Length for Opened {
    fn len(&self) -> u64 {
        match self {
            Self::File(file, _) => Length::len(file),
            Self::Object(fetched) => fetched.whole(),
        }
    }
}

impl ChunkReader for Opened {
    type T = Reading;

    fn get_read(&self, start: u64) -> Result<Reading> {
        Ok(match self {
            Self::File(file, failing) => Reading::File(file.get_read(start)?, failing.clone()),
            Self::Object(fetched) => Reading::Object(fetched.reader(start).map_err(of_store)?),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        match self {
            Self::File(file, failing) => {
                file.get_bytes(start, length).inspect_err(|error| failing.note(error))
            }
            Self::Object(fetched) => fetched.bytes(start, length).map_err(of_store),
        }
    }
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file, failing) => file.read(buffer).inspect_err(|error| failing.note(error)),
            Self::Object(part) => part.read(buffer),
        }
    }
}

/// What the system answered to a read, if that is what an error comes from.
fn of_disk(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut error = Some(error);
    while let Some(cause) = error {
        if let Some(code) = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(code);
        }
        error = cause.source();
    }
    None
}

/// A store's error, on its way through a Parquet reader.
fn of_store(error: Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

/// The error of a store or of a disk that a Parquet reader passed on, or its own.
pub(super) fn told(path: &Path, error: ParquetError) -> std::result::Result<Error, ParquetError> {
    if let Some(code) = of_disk(&error) {
        return Ok(Error::io("read", path)(io::Error::from_raw_os_error(code)));
    }
    match error {
        ParquetError::External(error) => match error.downcast::<Error>() {
            Ok(error) => Ok(*error),
            Err(error) => Err(ParquetError::External(error)),
        },
        other => Err(other),
    }
}
