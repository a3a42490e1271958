//! Files that appear whole or not at all: written beside, synced, then renamed; objects are written
//! to a temporary file and sent.

#[cfg(unix)]
use std::fs::Permissions;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Result};
use crate::objects::{Sent, Upload, is_address};
use crate::output::partitions::{self, Partitioning, Partitions};
use crate::output::placed::Placed;
use crate::output::{Sink, TableWriter, UNFINISHED, clear_left};
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
    /// Among the temporary files, then sent to a store.
    Away(NamedTempFile, Upload),
    /// Into several files of a folder or store.
    Divided(Partitions),
}

/// A file of which nothing is left to do but to let it be seen.
#[derive(Debug)]
enum Ready {
    Beside(NamedTempFile, PathBuf),
    Into,
    /// The file is what is sent at last.
    Sent(Sent, NamedTempFile),
    Divided(partitions::Ready),
}

impl Staged {
    /// Begins a file that will stand at `path`, or an object that will have that address.
    ///
    /// # Errors
    ///
    /// A place that cannot be written to.
    pub fn new(path: &Path) -> Result<Self> {
        if let Some(address) = path.to_str().filter(|path| is_address(path)) {
            let upload = Upload::begin(address)?;
            let path = PathBuf::from(upload.address().to_string());
            let file = tempfile::Builder::new().prefix("apportion-").tempfile();
            let file = file.map_err(Error::io("write", &std::env::temp_dir()))?;
            stop::temporary(file.path());
            return Ok(Self { target: Target::Away(file, upload), path });
        }
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
        builder.prefix(UNFINISHED);
        #[cfg(unix)]
        builder.permissions(Permissions::from_mode(READABLE));
        let file = builder.tempfile_in(folder).map_err(failed())?;
        stop::temporary(file.path());
        clear_left(file.path());
        Ok(Self { target: Target::Beside(file), path })
    }

    /// Begins a folder of partitions, each of them a Parquet file.
    ///
    /// # Errors
    ///
    /// A place that cannot be written to, or holds something else.
    pub fn divided(path: &Path, partitioning: Partitioning) -> Result<Self> {
        let target = Target::Divided(Partitions::new(path, partitioning)?);
        Ok(Self { target, path: path.to_path_buf() })
    }

    /// What takes the rows of a folder of partitions; none where it is one file.
    pub fn divider(&self) -> Option<Box<dyn TableWriter>> {
        match &self.target {
            Target::Divided(partitions) => Some(partitions.writer()),
            Target::Beside(_) | Target::Into(_) | Target::Away(..) => None,
        }
    }

    /// A stream into the file.
    ///
    /// # Errors
    ///
    /// A file that is gone, or several.
    pub fn sink(&self) -> Result<Sink> {
        let file = match &self.target {
            Target::Beside(file) | Target::Away(file, _) => file.reopen(),
            Target::Into(file) => file.try_clone(),
            Target::Divided(_) => Err(io::Error::other("it is a folder of partitions")),
        };
        let file = file.map_err(Error::io("write", &self.path))?;
        Ok(Box::new(BufWriter::with_capacity(1 << 18, Placed::new(file, &self.path))))
    }

    /// Makes the file appear, in place of what stood there.
    ///
    /// # Errors
    ///
    /// A place that cannot be written to after all.
    pub fn commit(self) -> Result<()> {
        Self::commit_all([self])
    }

    /// Makes several files appear: what can fail of any is done before the first is seen, so that a
    /// store that refuses one leaves none.
    ///
    /// # Errors
    ///
    /// A place that cannot be written to after all.
    pub fn commit_all(staged: impl IntoIterator<Item = Self>) -> Result<()> {
        let ready: Vec<Ready> = staged.into_iter().map(Self::ready).collect::<Result<_>>()?;
        // A store is the more likely to refuse.
        let (sent, here): (Vec<Ready>, Vec<Ready>) = ready.into_iter().partition(Ready::is_sent);
        sent.into_iter().chain(here).try_for_each(Ready::appear)
    }

    fn ready(self) -> Result<Ready> {
        let Self { target, path } = self;
        Ok(match target {
            Target::Beside(file) => {
                file.as_file().sync_all().map_err(Error::io("write", &path))?;
                Ready::Beside(file, path)
            }
            Target::Into(_) => Ready::Into,
            Target::Away(file, upload) => {
                let sent = upload.send(file.path())?;
                Ready::Sent(sent, file)
            }
            Target::Divided(partitions) => Ready::Divided(partitions.ready()?),
        })
    }
}

impl Ready {
    fn is_sent(&self) -> bool {
        match self {
            Self::Sent(..) => true,
            Self::Divided(partitions) => partitions.is_sent(),
            Self::Beside(..) | Self::Into => false,
        }
    }

    fn appear(self) -> Result<()> {
        match self {
            Self::Beside(file, path) => {
                file.persist(&path).map_err(|error| Error::io("write", &path)(error.error))?;
                Ok(())
            }
            Self::Into => Ok(()),
            Self::Sent(sent, _file) => sent.appear(),
            Self::Divided(partitions) => partitions.appear(),
        }
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
