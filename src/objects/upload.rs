//! An object that appears whole or not at all: what is sent is seen once it is complete.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt;
use object_store::path::Path as Key;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart};

use super::address::{Address, Kind};
use super::failure::failed;
use super::runtime;
use super::stores::store;
use crate::error::{Error, Result};

/// Bytes that are sent as one; what is longer is sent in parts of this size, or of a larger one
/// where there would be too many.
const PART: u64 = 8 << 20;

/// Parts that an object has at most: the least that any store takes is 10,000.
const MOST_PARTS: u64 = 5_000;

/// Parts that are on their way at a time.
const AT_A_TIME: usize = 4;

/// A place in a store that something is to be written to.
#[derive(Debug, Clone)]
pub struct Upload {
    address: Address,
    key: Key,
    store: Arc<dyn ObjectStore>,
}

impl Upload {
    /// Makes sure that there can be an object at an address, as far as a store tells without one.
    ///
    /// Stores that take an object in parts are asked to begin one, which is then given up; what is
    /// there stays as it is. A web server can only be asked by writing.
    ///
    /// # Errors
    ///
    /// An address that is none of an object, a store that refuses.
    pub fn begin(text: &str) -> Result<Self> {
        let upload = Self::to(text)?;
        upload.asked(|Self { address, key, store }| async move {
            match address.kind {
                Kind::S3 | Kind::Google => {
                    let mut begun = store.put_multipart(&key).await?;
                    // Who may write need not be allowed to give up: the store forgets it.
                    drop(begun.abort().await);
                    Ok(())
                }
                // Parts need no beginning there: who may see the container is told.
                Kind::Azure => store.list(Some(&key)).next().await.transpose().map(drop),
                Kind::Web => Ok(()),
            }
        })?;
        Ok(upload)
    }

    /// The same without asking the store.
    ///
    /// # Errors
    ///
    /// An address that is none of an object.
    pub fn to(text: &str) -> Result<Self> {
        let address = Address::parse(text)?;
        if address.ends_as_folder() {
            let why = "it is a folder; name a file in it";
            return Err(Error::setting("output", address.to_string(), why));
        }
        Ok(Self { key: address.key()?, store: store(&address)?, address })
    }

    /// The address, as it may be shown.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Sends what a file holds; nothing is seen of it before [`Sent::appear`]. A file that fits one
    /// request is sent by that only, and must be there until then.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, a store that does not take it.
    pub fn send(&self, path: &Path) -> Result<Sent> {
        let mut file = File::open(path).map_err(Error::io("read", path))?;
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        if length <= PART || self.address.kind == Kind::Web {
            return Ok(Sent { upload: self.clone(), what: What::Whole(path.to_path_buf()) });
        }
        let size = PART.max(length.div_ceil(MOST_PARTS));
        let parts = self.asked(move |Self { key, store, .. }| async move {
            let mut parts = WriteMultipart::new_with_chunk_size(
                store.put_multipart(&key).await?,
                usize::try_from(size).unwrap_or(usize::MAX),
            );
            let sent = send_parts(&mut parts, &mut file, size).await;
            match sent {
                Ok(()) => Ok(parts),
                Err(error) => {
                    drop(parts.abort().await);
                    Err(error)
                }
            }
        })?;
        Ok(Sent { upload: self.clone(), what: What::Parts(parts) })
    }

    /// Does something with the store and waits for it.
    fn asked<T: Send + 'static, Fut>(&self, ask: impl FnOnce(Self) -> Fut) -> Result<T>
    where
        Fut: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let asked = runtime::wait(ask(self.clone()));
        let asked = asked.map_err(Error::io("write", self.address.to_string().as_ref()))?;
        asked.map_err(failed("write", &self.address))
    }

    /// Takes away the object that is there, if one is.
    ///
    /// # Errors
    ///
    /// A store that refuses.
    pub fn remove(&self) -> Result<()> {
        self.asked(|Self { key, store, .. }| async move {
            match store.delete(&key).await {
                Err(StoreError::NotFound { .. }) | Ok(()) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }
}

async fn send_parts(
    parts: &mut WriteMultipart,
    file: &mut File,
    size: u64,
) -> Result<(), StoreError> {
    loop {
        parts.wait_for_capacity(AT_A_TIME).await?;
        let mut part = Vec::new();
        file.take(size).read_to_end(&mut part).map_err(of_disk)?;
        if part.is_empty() {
            return parts.wait_for_capacity(0).await;
        }
        parts.put(part.into());
    }
}

fn of_disk(error: io::Error) -> StoreError {
    StoreError::Generic { store: "disk", source: Box::new(error) }
}

/// An object that was sent and is not seen; dropped, it leaves nothing.
#[derive(Debug)]
pub struct Sent {
    upload: Upload,
    what: What,
}

#[derive(Debug)]
enum What {
    /// A file that is sent by one request.
    Whole(PathBuf),
    /// Parts that are there, and the last of them.
    Parts(WriteMultipart),
    /// It has appeared.
    Nothing,
}

impl Sent {
    /// Makes the object appear, in place of the one that was there.
    ///
    /// # Errors
    ///
    /// A store that does not take it; what was there is still there then.
    pub fn appear(mut self) -> Result<()> {
        match std::mem::replace(&mut self.what, What::Nothing) {
            What::Whole(path) => {
                let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
                self.upload.asked(|Upload { key, store, .. }| async move {
                    store.put(&key, PutPayload::from(bytes)).await.map(drop)
                })
            }
            What::Parts(parts) => {
                self.upload.asked(|_| async move { parts.finish().await.map(drop) })
            }
            What::Nothing => Ok(()),
        }
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        if let What::Parts(parts) = std::mem::replace(&mut self.what, What::Nothing) {
            // There is nobody left to tell.
            drop(runtime::wait(async move { parts.abort().await }));
        }
    }
}
