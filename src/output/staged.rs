//! Files that appear whole or not at all: written beside, synced, then renamed.

#[cfg(unix)]
use std::fs::Permissions;
use std::fs::{self, File, OpenOptions};
use std::io::BufWriter;
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Result};
use crate::output::Sink;
use crate::stop;

/// A file that is written beside its place; dropped uncommitted, it leaves nothing.
///
/// What stands at the place and is no file (a pipe, a device) is written to as it is; a link is
/// followed.
#[derive(Debug)]
pub struct Staged {
    target: Target,
    path: PathBuf,
}

#[derive(Debug)]
enum Target {
    /// Beside the place, then moved to it.
    Beside(NamedTempFile),
    /// Into what stands there.
    Into(File),
}

impl Staged {
    /// Begins a file that will stand at `path`.
    pub fn new(path: &Path) -> Result<Self> {
        let ends_as_folder = path.as_os_str().to_string_lossy().ends_with(['/', '\\']);
        if ends_as_folder || path.is_dir() {
            let why = "it is a folder; name a file in it";
            return Err(Error::setting("output", path.display().to_string(), why));
        }
        let failed = || Error::io("write", path);
        // A link stays a link: what it leads to is replaced.
        let path = match fs::canonicalize(path) {
            Ok(there) => there,
            Err(_) => path.to_path_buf(),
        };
        if path.exists() && !path.is_file() {
            let file = OpenOptions::new().write(true).open(&path).map_err(failed())?;
            return Ok(Self { target: Target::Into(file), path });
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".apportion-");
        #[cfg(unix)]
        builder.permissions(Permissions::from_mode(READABLE));
        let file = builder.tempfile_in(folder).map_err(failed())?;
        stop::temporary(file.path());
        Ok(Self { target: Target::Beside(file), path })
    }

    /// A stream into the file.
    pub fn sink(&self) -> Result<Sink> {
        let file = match &self.target {
            Target::Beside(file) => file.reopen(),
            Target::Into(file) => file.try_clone(),
        };
        let file = file.map_err(Error::io("write", &self.path))?;
        Ok(Box::new(BufWriter::with_capacity(1 << 18, file)))
    }

    /// Makes the file appear, in place of what stood there.
    pub fn commit(self) -> Result<()> {
        let Self { target, path } = self;
        if let Target::Beside(file) = target {
            file.as_file().sync_all().map_err(Error::io("write", &path))?;
            file.persist(&path).map_err(|error| Error::io("write", &path)(error.error))?;
        }
        Ok(())
    }
}

/// What outputs may be, before the user's own mask: temporary files are private otherwise.
#[cfg(unix)]
const READABLE: u32 = 0o666;

#[cfg(test)]
mod tests {
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
