//! A folder of runs: each whole in a folder of its own, one of them the current, and what the next run
//! needs to know to work out again only what has changed.
//!
//! ```text
//! store.json          makes a folder a store
//! lock                held by the run that writes
//! current             the name of the run that was last finished
//! runs/NAME/          a kept run: run.json and its tables
//! runs/NAME/state/    what was known of its input files
//! ```
//!
//! Not for what a kept run holds; that is `kept`. Not for what has to be worked out again; that is the
//! pipeline.

pub(crate) mod index;
mod lock;
mod state;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::lock::Lock;
pub(crate) use self::state::{FileState, STATE_FOLDER, State};
use crate::error::{Error, Result};
use crate::kept::{Account, Kept};
use crate::output::{Staged, UNFINISHED};

/// The file that makes a folder a store.
const STORE_FILE: &str = "store.json";

/// The file that names the current run.
const CURRENT_FILE: &str = "current";

/// The folder of the runs.
const RUNS_FOLDER: &str = "runs";

/// How a store is laid out: a number that grows when a file no longer means what it did.
const LAYOUT: u32 = 1;

/// What a store says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    layout: u32,
}

/// A folder of runs.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// Whether a folder is a store, of whatever layout.
    pub fn is_store(folder: &Path) -> bool {
        folder.join(STORE_FILE).is_file()
    }

    /// Opens a store.
    ///
    /// # Errors
    ///
    /// A folder that is none, or one of another layout.
    pub fn open(folder: &Path) -> Result<Self> {
        let wrong = |why: String| Error::NotStore { folder: folder.to_path_buf(), why };
        let path = folder.join(STORE_FILE);
        if !path.is_file() {
            return Err(wrong(format!("it has no `{STORE_FILE}`")));
        }
        let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let about: About = serde_json::from_str(&text)
            .map_err(|error| wrong(format!("its `{STORE_FILE}` is not what it was: {error}")))?;
        if about.layout != LAYOUT {
            return Err(wrong(format!(
                "its layout is {}, and this version reads layout {LAYOUT}; begin another store",
                about.layout
            )));
        }
        Ok(Self { folder: folder.to_path_buf() })
    }

    /// Opens a store, or makes one of an empty folder or where there is none.
    ///
    /// # Errors
    ///
    /// A folder that holds something else, or that cannot be written to.
    pub fn open_or_begin(folder: &Path) -> Result<Self> {
        if Self::is_store(folder) {
            return Self::open(folder);
        }
        let failed = || Error::io("write", folder);
        if folder.exists() && fs::read_dir(folder).map_err(Error::io("read", folder))?.count() > 0 {
            let why = "it holds something else than a store; name another folder";
            return Err(Error::setting("--store", folder.display().to_string(), why));
        }
        fs::create_dir_all(folder.join(RUNS_FOLDER)).map_err(failed())?;
        write_whole(&folder.join(STORE_FILE), &format!("{{\n  \"layout\": {LAYOUT}\n}}\n"))?;
        Ok(Self { folder: folder.to_path_buf() })
    }

    /// Takes the right to write, and clears away what a run that was killed left behind.
    ///
    /// # Errors
    ///
    /// A store that another run still holds after so long; `told` is told of it at once.
    pub fn lock(&self, wait: Duration, told: &dyn Fn(&str)) -> Result<Lock> {
        let lock = Lock::take(&self.folder, wait, told)?;
        let runs = self.folder.join(RUNS_FOLDER);
        for entry in fs::read_dir(&runs).map_err(Error::io("read", &runs))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                let path = entry.path();
                let gone =
                    if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                gone.map_err(Error::io("remove", &path))?;
            }
        }
        Ok(lock)
    }

    /// Where a run is, or would be.
    pub fn place(&self, run: &str) -> PathBuf {
        self.folder.join(RUNS_FOLDER).join(run)
    }

    /// The name of the current run, where there is one.
    pub fn current(&self) -> Option<String> {
        let name = fs::read_to_string(self.folder.join(CURRENT_FILE)).ok()?;
        let name = name.trim();
        self.place(name).is_dir().then(|| name.to_owned()).filter(|name| !name.is_empty())
    }

    /// Lets a run be the current one, at once.
    pub fn switch(&self, run: &str) -> Result<()> {
        write_whole(&self.folder.join(CURRENT_FILE), &format!("{run}\n"))
    }

    /// The number of the next run.
    ///
    /// # Errors
    ///
    /// A store that cannot be read.
    pub(crate) fn next_number(&self) -> Result<u64> {
        let numbers = self.runs()?;
        let last = numbers.iter().filter_map(|kept| kept.account().number).max();
        Ok(last.unwrap_or_default().saturating_add(1))
    }

    /// Every run that can be read, the latest first, whatever the clock said when it was stored.
    ///
    /// # Errors
    ///
    /// A store that cannot be read.
    pub fn runs(&self) -> Result<Vec<Kept>> {
        let runs = self.folder.join(RUNS_FOLDER);
        let mut found = Vec::new();
        for entry in fs::read_dir(&runs).map_err(Error::io("read", &runs))?.flatten() {
            if !entry.file_name().to_string_lossy().starts_with('.') {
                found.extend(Kept::open(&entry.path()).ok());
            }
        }
        found.sort_by(|left: &Kept, right: &Kept| {
            // Runs of earlier versions have no number, and come before all that have.
            let key = |kept: &Kept| {
                let Account { number, stored_at, run, .. } = kept.account().clone();
                (number, stored_at, run)
            };
            key(right).cmp(&key(left))
        });
        Ok(found)
    }

    /// The run of this name: `current`, `previous` (the latest before the current), or how a run's name
    /// begins.
    ///
    /// # Errors
    ///
    /// A name of no run, or of several; the error lists those that there are.
    pub fn run(&self, name: &str) -> Result<Kept> {
        let runs = self.runs()?;
        let named = |kept: &Kept| kept.account().run.clone().unwrap_or_default();
        let unknown = || Error::Unknown {
            kind: "run",
            name: name.to_owned(),
            known: runs.iter().map(named).collect(),
        };
        let current = self.current().unwrap_or_default();
        let mut fitting = match name {
            "current" => runs.iter().filter(|kept| named(kept) == current).collect::<Vec<_>>(),
            "previous" => {
                let others = runs.iter().skip_while(|kept| named(kept) != current);
                others.skip(1).take(1).collect()
            }
            _ => runs.iter().filter(|kept| named(kept).starts_with(name)).collect(),
        };
        match (fitting.pop(), fitting.is_empty()) {
            (Some(kept), true) => Ok(kept.clone()),
            _ => Err(unknown()),
        }
    }

    /// Removes a run; the current one stays.
    ///
    /// # Errors
    ///
    /// A run that cannot be removed.
    pub fn remove(&self, run: &str) -> Result<()> {
        if self.current().as_deref() == Some(run) {
            let why = format!("the run {run} is the current one, and is not removed");
            return Err(Error::Contradiction(why));
        }
        let place = self.place(run);
        // It is no run from the first moment on, however far the removal comes.
        let aside = self.folder.join(RUNS_FOLDER).join(format!("{UNFINISHED}{run}"));
        fs::rename(&place, &aside).map_err(Error::io("remove", &place))?;
        fs::remove_dir_all(&aside).map_err(Error::io("remove", &aside))
    }

    /// Where the next run is filled, before it has a name.
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.place("unfinished")
    }
}

/// Writes a small file that appears whole.
fn write_whole(path: &Path, text: &str) -> Result<()> {
    let staged = Staged::new(path)?;
    let mut sink = staged.sink()?;
    sink.write_all(text.as_bytes())
        .and_then(|()| sink.flush())
        .map_err(Error::io("write", path))?;
    staged.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_becomes_a_store_only_where_it_holds_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("store");
        assert!(Store::open(&folder).is_err());
        Store::open_or_begin(&folder).unwrap();
        let store = Store::open_or_begin(&folder).unwrap();
        assert_eq!((store.current(), store.runs().unwrap().len()), (None, 0));
        fs::write(folder.join(STORE_FILE), "{\"layout\": 99}").unwrap();
        assert!(Store::open(&folder).unwrap_err().to_string().contains("layout is 99"));
        fs::write(home.path().join("mine"), "").unwrap();
        assert!(Store::open_or_begin(home.path()).is_err());
    }

    #[test]
    fn one_run_holds_a_store_and_what_was_left_behind_is_cleared_away() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open_or_begin(&home.path().join("store")).unwrap();
        let left = store.place(".apportion-left");
        fs::create_dir(&left).unwrap();
        let silent = |_: &str| ();
        let lock = store.lock(Duration::ZERO, &silent).unwrap();
        assert!(!left.exists());
        let error = store.lock(Duration::ZERO, &silent).unwrap_err();
        let holder = format!("process {}", std::process::id());
        assert!(error.to_string().contains(&holder), "{error}");
        drop(lock);
        assert!(store.lock(Duration::ZERO, &silent).is_ok());
    }
}
