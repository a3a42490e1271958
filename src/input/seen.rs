//! What files of this machine were when they were first opened, so that it is noticed where one is written
//! to, replaced or removed while it is read.
//!
//! A run opens a file many times: for its footer, for each row group, once more for ids. All of that is to
//! be of one file. So what is given for a table remembers which files it stood for and what each was, and
//! whoever opens one again, ends reading it or is about to publish asks whether it still is. Not for
//! objects, each part of which is asked for by the tag that its store gave it; nor for what changed between
//! two runs, which a store finds out from what files hold.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::error::{Error, Result};

/// What was seen of the files that one path, folder or glob stands for; copies know the same.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// The files that there were, once some were found.
    listed: Option<Vec<PathBuf>>,
    files: BTreeMap<PathBuf, State>,
    /// What the system answered where a part of a file could not be read.
    failed: BTreeMap<PathBuf, i32>,
}

/// What tells a file from what is written to its place later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    bytes: u64,
    modified: Option<SystemTime>,
    /// Whether lines may be added at its end while it is read.
    grows: bool,
}

/// What has been seen of it makes no other input of a path.
impl PartialEq for Seen {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Seen {}

impl Seen {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files that were found before, if any were.
    pub(super) fn listed(&self) -> Option<Vec<PathBuf>> {
        self.known().listed.clone()
    }

    /// Remembers which files were found: none may still come.
    pub(super) fn list(&self, paths: &[PathBuf]) {
        if !paths.is_empty() {
            self.known().listed = Some(paths.to_vec());
        }
    }

    /// Opens a file that is read in parts.
    ///
    /// # Errors
    ///
    /// A file that cannot be opened, or is not what it was when it was first opened.
    pub(super) fn open(&self, path: &Path) -> Result<File> {
        self.open_as(path, false)
    }

    /// Opens a file that is read from its beginning to its end, to which lines may be added meanwhile.
    pub(super) fn open_growing(&self, path: &Path) -> Result<File> {
        self.open_as(path, true)
    }

    fn open_as(&self, path: &Path, grows: bool) -> Result<File> {
        let was = self.known().files.get(path).copied();
        let file = File::open(path).map_err(|error| self.missing(path, error))?;
        let now = file.metadata().map_err(Error::io("read", path))?;
        match was {
            Some(was) => was.compare(path, &now)?,
            // What comes through a pipe has neither size nor time.
            None if now.is_file() => {
                let state = State { bytes: now.len(), modified: now.modified().ok(), grows };
                // Of two who open it for the first time the first one holds.
                self.known().files.entry(path.to_path_buf()).or_insert(state);
            }
            None => {}
        }
        Ok(file)
    }

    /// The size of a file that was found.
    ///
    /// # Errors
    ///
    /// A file that is gone.
    pub(super) fn size(&self, path: &Path) -> Result<u64> {
        Ok(self.metadata(path)?.len())
    }

    fn metadata(&self, path: &Path) -> Result<Metadata> {
        fs::metadata(path).map_err(|error| self.missing(path, error))
    }

    /// Why a file cannot be opened: one that was found and is not there has changed.
    fn missing(&self, path: &Path, error: io::Error) -> Error {
        let known = self.known();
        let is_listed = || known.listed.iter().flatten().any(|listed| listed == path);
        let was_there = known.files.contains_key(path) || is_listed();
        if was_there && error.kind() == io::ErrorKind::NotFound {
            changed(path, GONE)
        } else {
            Error::io("read", path)(error)
        }
    }

    /// Takes note of what the system answered where a part of a file could not be read.
    pub(super) fn fail(&self, path: &Path, code: i32) {
        self.known().failed.insert(path.to_path_buf(), code);
    }

    /// An error if a file is not what it was when it was first opened, or could not be read.
    pub(super) fn check_file(&self, path: &Path) -> Result<()> {
        let failed = self.known().failed.get(path).copied();
        if let Some(code) = failed {
            return Err(Error::io("read", path)(io::Error::from_raw_os_error(code)));
        }
        let was = self.known().files.get(path).copied();
        was.map_or(Ok(()), |was| was.compare(path, &self.metadata(path)?))
    }

    /// An error if any file is not what it was when it was first opened.
    pub(super) fn check(&self) -> Result<()> {
        let files = self.known().files.clone();
        files.into_iter().try_for_each(|(path, was)| was.compare(&path, &self.metadata(&path)?))
    }
}

/// What became of a file that is not there any more.
const GONE: &str = "it is gone";

impl State {
    fn compare(self, path: &Path, now: &Metadata) -> Result<()> {
        let Self { bytes, modified, grows } = self;
        if grows && now.len() > bytes {
            return Ok(());
        }
        if now.len() != bytes {
            return Err(changed(path, &format!("it had {bytes} bytes and has {}", now.len())));
        }
        if now.modified().ok() != modified {
            return Err(changed(path, "it was written again"));
        }
        Ok(())
    }
}

fn changed(path: &Path, how: &str) -> Error {
    Error::Changed { path: path.to_path_buf(), how: how.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use super::*;

    /// What is said of a file that something happens to after it was opened.
    fn after(happens: impl FnOnce(&Path), grows: bool) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "four").unwrap();
        let seen = Seen::default();
        drop(seen.open_as(&path, grows).unwrap());
        happens(&path);
        let [checked, opened] = [seen.check(), seen.open_as(&path, grows).map(drop)].map(|done| {
            let said = |error: Error| error.to_string();
            let said = done.map_or_else(said, |()| "the same".to_owned());
            said.replace(path.to_str().unwrap(), "a")
        });
        assert_eq!(checked, opened);
        checked
    }

    fn append(path: &Path) {
        fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"ty").unwrap();
    }

    fn rewrite(path: &Path) {
        let file = File::options().write(true).open(path).unwrap();
        let later = file.metadata().unwrap().modified().unwrap() + Duration::from_secs(1);
        file.set_modified(later).unwrap();
    }

    #[test]
    fn what_happens_to_a_file_is_said() {
        let said =
            |how: &str| format!("`a` changed while it was read: {how}; run again when it is whole");
        assert_eq!(after(|_| (), false), "the same");
        assert_eq!(after(append, false), said("it had 4 bytes and has 6"));
        assert_eq!(after(rewrite, false), said("it was written again"));
        assert_eq!(after(|path| fs::remove_file(path).unwrap(), false), said("it is gone"));
    }

    #[test]
    fn a_file_that_was_found_and_is_gone_has_changed() {
        let (seen, gone) = (Seen::default(), Path::new("no/such/file"));
        let refused = || [seen.open(gone).unwrap_err(), seen.size(gone).unwrap_err()];
        let said =
            |error: &Error| error.to_string().contains("changed while it was read: it is gone");
        assert!(!refused().iter().any(said));
        seen.list(&[gone.to_path_buf()]);
        assert!(refused().iter().all(said));
    }

    #[test]
    fn what_may_grow_may_not_shrink_or_be_another() {
        assert_eq!(after(append, true), "the same");
        assert!(after(rewrite, true).contains("it was written again"));
        assert!(after(|path| fs::write(path, "").unwrap(), true).contains("has 0"));
    }
}
