//! Files that appear whole or not at all: written beside, synced, then renamed.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Result};
use crate::output::Sink;

/// A file that is written beside its place; dropped uncommitted, it leaves nothing.
#[derive(Debug)]
pub struct Staged {
    file: NamedTempFile,
    path: PathBuf,
}

impl Staged {
    /// Begins a file that will stand at `path`.
    pub fn new(path: &Path) -> Result<Self> {
        if path.is_dir() {
            let why = "it is a folder; name a file in it";
            return Err(Error::setting("output", path.display().to_string(), why));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        let file = tempfile::Builder::new()
            .prefix(".apportion-")
            .tempfile_in(folder)
            .map_err(Error::io("write", path))?;
        Ok(Self { file, path: path.to_path_buf() })
    }

    /// A stream into the file.
    pub fn sink(&self) -> Result<Sink> {
        let file: File = self.file.reopen().map_err(Error::io("write", &self.path))?;
        Ok(Box::new(BufWriter::with_capacity(1 << 18, file)))
    }

    /// Makes the file appear, in place of what stood there.
    pub fn commit(self) -> Result<()> {
        let Self { file, path } = self;
        share(&file).map_err(Error::io("write", &path))?;
        file.as_file().sync_all().map_err(Error::io("write", &path))?;
        file.persist(&path).map_err(|error| Error::io("write", &path)(error.error))?;
        Ok(())
    }
}

/// Temporary files are private to their owner; outputs are for their readers.
#[cfg(unix)]
fn share(file: &NamedTempFile) -> std::io::Result<()> {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    file.as_file().set_permissions(Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn share(_file: &NamedTempFile) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nothing_is_seen_before_the_commit_and_nothing_is_left_without_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.csv");
        fs::write(&path, "old").unwrap();
        let staged = Staged::new(&path).unwrap();
        staged.sink().unwrap().write_all(b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        staged.commit().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        drop(Staged::new(&path).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(Staged::new(folder.path()).is_err());
    }
}
