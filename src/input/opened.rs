//! A file of Parquet that can be read from: one of this machine, or the parts of an object that are
//! needed.

use std::fs::File;
use std::io::{self, BufReader, Read};

use bytes::Bytes;
use bytes::buf::Reader;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use crate::error::Error;
use crate::objects::Fetched;

/// Where a Parquet reader takes its bytes from.
pub(super) enum Opened {
    /// A file, of which pages are read as they are needed.
    File(File),
    /// An object, of which parts were fetched.
    Object(Fetched),
}

/// What is read one after the other.
pub(super) enum Reading {
    File(BufReader<File>),
    Object(Reader<Bytes>),
}

impl Length for Opened {
    fn len(&self) -> u64 {
        match self {
            Self::File(file) => Length::len(file),
            Self::Object(fetched) => fetched.whole(),
        }
    }
}

impl ChunkReader for Opened {
    type T = Reading;

    fn get_read(&self, start: u64) -> Result<Reading> {
        Ok(match self {
            Self::File(file) => Reading::File(file.get_read(start)?),
            Self::Object(fetched) => Reading::Object(fetched.reader(start).map_err(of_store)?),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        match self {
            Self::File(file) => file.get_bytes(start, length),
            Self::Object(fetched) => fetched.bytes(start, length).map_err(of_store),
        }
    }
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Object(part) => part.read(buffer),
        }
    }
}

/// A store's error, on its way through a Parquet reader.
fn of_store(error: Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

/// The error of a store that a Parquet reader passed on, or its own.
pub(super) fn told(error: ParquetError) -> std::result::Result<Error, ParquetError> {
    match error {
        ParquetError::External(error) => match error.downcast::<Error>() {
            Ok(error) => Ok(*error),
            Err(error) => Err(ParquetError::External(error)),
        },
        other => Err(other),
    }
}
