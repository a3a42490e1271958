//! A folder that appears whole or not at all: filled beside its place, synced, then renamed.

#[cfg(unix)]
use std::fs::Permissions;
use std::fs::{self, File};
use std::io::{self, BufWriter};
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::{Error, Result};
use crate::objects;
use crate::output::placed::Placed;
use crate::output::{Sink, UNFINISHED, clear_left};
use crate::stop;

/// A folder that is filled beside its place; dropped uncommitted, it leaves nothing.
///
/// Whether what stands at the place may give way is for the caller to know: it is replaced as a whole.
#[derive(Debug)]
pub struct StagedFolder {
    beside: TempDir,
    path: PathBuf,
}

impl StagedFolder {
    /// Begins a folder that will stand at `path`; a link is followed.
    ///
    /// # Errors
    ///
    /// A place that cannot be written to.
    pub fn new(path: &Path) -> Result<Self> {
        objects::refuse(path, "a kept run")?;
        let path = match fs::canonicalize(path) {
            Ok(there) => there,
            Err(_) => path.to_path_buf(),
        };
        let beside = beside(&path)?;
        stop::temporary(beside.path());
        Ok(Self { beside, path })
    }

    /// Where the folder is while it is filled.
    pub(crate) fn path(&self) -> &Path {
        self.beside.path()
    }

    /// Lets the folder stand at another place, beside the one that it was begun for.
    pub(crate) fn rename(&mut self, name: &str) {
        self.path.set_file_name(name);
    }

    /// Where a file of the folder is while it is filled; the folders that lead to it are made.
    pub(crate) fn place(&self, name: &str) -> Result<PathBuf> {
        let path = self.beside.path().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::io("write", &self.path.join(name)))?;
        }
        Ok(path)
    }

    /// Takes a file over from elsewhere: the very file, where the file system can, else a copy.
    pub(crate) fn link(&self, from: &Path, name: &str) -> Result<()> {
        let place = self.place(name)?;
        if fs::hard_link(from, &place).is_err() {
            fs::copy(from, &place).map_err(Error::io("write", &self.path.join(name)))?;
        }
        Ok(())
    }

    /// A stream into a new file of the folder.
    pub fn sink(&self, name: &str) -> Result<Sink> {
        let (path, place) = (self.place(name)?, self.path.join(name));
        let file = File::create(path).map_err(Error::io("write", &place))?;
        Ok(Box::new(BufWriter::with_capacity(1 << 18, Placed::new(file, &place))))
    }

    /// Makes the folder appear, in place of what stood there.
    ///
    /// What stood there is moved aside first and put back where the new folder cannot take its place.
    pub fn commit(self) -> Result<()> {
        let Self { beside: new, path } = self;
        let failed = || Error::io("write", &path);
        sync(new.path()).map_err(failed())?;
        if path.exists() {
            let aside = beside(&path)?;
            let old = aside.path().join("old");
            fs::rename(&path, &old).map_err(failed())?;
            if let Err(error) = fs::rename(new.path(), &path) {
                fs::rename(&old, &path).map_err(failed())?;
                return Err(failed()(error));
            }
        } else {
            fs::rename(new.path(), &path).map_err(failed())?;
        }
        // It stands in its place now: there is nothing left to clean up.
        let _there = new.keep();
        Ok(())
    }
}

/// Sees to it that a folder, and all below it, lasts.
fn sync(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()
}

/// An empty folder beside a place, on the same file system.
fn beside(path: &Path) -> Result<TempDir> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    #[cfg(unix)]
    builder.permissions(Permissions::from_mode(READABLE));
    let made = builder.tempdir_in(parent.unwrap_or_else(|| Path::new(".")));
    let made = made.map_err(Error::io("write", path))?;
    clear_left(made.path());
    Ok(made)
}

/// What folders may be, before the user's own mask: temporary ones are private otherwise.
#[cfg(unix)]
const READABLE: u32 = 0o777;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn write(folder: &StagedFolder, name: &str) {
        let mut sink = folder.sink(name).unwrap();
        sink.write_all(b"new").and_then(|()| sink.flush()).unwrap();
    }

    #[test]
    fn it_replaces_the_whole_folder_and_leaves_nothing_without_a_commit() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("kept");
        for name in ["first", "second"] {
            let folder = StagedFolder::new(&path).unwrap();
            write(&folder, name);
            folder.commit().unwrap();
            let files: Vec<_> = fs::read_dir(&path).unwrap().map(|file| file.unwrap()).collect();
            assert_eq!(files.len(), 1, "only what was written last is there");
            assert_eq!(files[0].file_name(), name);
        }
        write(&StagedFolder::new(&path).unwrap(), "third");
        assert!(!path.join("third").exists());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
        assert!(StagedFolder::new(&home.path().join("no/where")).is_err());
    }
}
