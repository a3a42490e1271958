//! Objects in stores elsewhere: S3, Google Cloud Storage, Azure, and what a web server hands out.
//!
//! A place that begins with a scheme (`s3://bucket/sessions/day=1/a.parquet`) is an [`Address`];
//! [`list`] says which objects an address or a glob stands for, an [`Object`] is read in parts, and
//! an [`Upload`] makes one appear whole or not at all. Everything here waits for the network by
//! itself, so that callers are plain functions on any thread: nothing outside of this module knows
//! that there is a runtime behind it. Not for files of this machine, nor for what is in an object:
//! that is `input`.
//!
//! Who is asking is said by the environment, in the names that the stores' own tools have
//! (`AWS_ACCESS_KEY_ID`). What an address itself says of it, a password or a signature, is taken out
//! of the address where it is parsed, and added where a request is made: it is in no message, no
//! summary and no kept run.

mod address;
mod failure;
mod profile;
mod listing;
mod object;
mod runtime;
mod stores;
mod upload;

pub use address::{Address, is_address, public};
pub use listing::{Found, forget, list};
pub use object::{Fetched, Fetching, Object, Stream};
pub use upload::{Sent, Upload};

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A place as it may be shown: what an address says of who is asking is remembered and taken out.
///
/// # Errors
///
/// An address that cannot be understood.
pub fn conceal(place: &Path) -> Result<PathBuf> {
    match place.to_str().filter(|place| is_address(place)) {
        Some(address) => Ok(Address::parse(address)?.to_string().into()),
        None => Ok(place.to_path_buf()),
    }
}

/// An error if a place is an address: of something that only a disk can hold.
///
/// # Errors
///
/// An address, whether it could be reached or not.
pub fn refuse(place: &Path, what: &str) -> Result<()> {
    if !is_address(&place.to_string_lossy()) {
        return Ok(());
    }
    let shown = public(&place.to_string_lossy());
    let why = format!("{what} is a folder of this machine; write it there and copy it");
    Err(Error::setting("folder", shown, why))
}
