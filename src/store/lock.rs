//! One run at a time writes to a store.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::stop;

/// The file that is locked while a run writes; it says who holds it.
const LOCK_FILE: &str = "lock";

/// How long to wait before trying again.
const PAUSE: Duration = Duration::from_millis(200);

/// The right to write to a store. The system takes it back when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of a store, and waits for it as long as is allowed; `told` is told of whoever
    /// holds it, once.
    ///
    /// # Errors
    ///
    /// A store that another run still holds then, or that cannot be written to.
    pub(super) fn take(store: &Path, wait: Duration, told: &dyn Fn(&str)) -> Result<Self> {
        let path = store.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(Error::io("write", &path))?;
        let mut waited = Duration::ZERO;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(source)) => return Err(Error::io("lock", &path)(source)),
                Err(TryLockError::WouldBlock) => {}
            }
            let holder = holder(&path);
            if waited >= wait {
                return Err(Error::StoreHeld { store: store.to_path_buf(), holder });
            }
            if waited.is_zero() {
                told(&holder);
            }
            stop::check()?;
            thread::sleep(PAUSE);
            waited += PAUSE;
        }
        let mut lock = Self { file };
        lock.sign().map_err(Error::io("write", &path))?;
        Ok(lock)
    }

    /// Says who holds the lock, for whoever finds it taken.
    fn sign(&mut self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(format!("process {}", std::process::id()).as_bytes())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file lets go of the lock too; whoever looks at it meanwhile is told nothing wrong.
        drop(self.file.set_len(0));
    }
}

/// Who holds a lock, as it says itself.
fn holder(path: &Path) -> String {
    let said = fs::read_to_string(path).ok().filter(|text| !text.is_empty());
    said.unwrap_or_else(|| "another process".to_owned())
}
