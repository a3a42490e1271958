//! A file that says where it is when it cannot be written to: what fills it knows only a format.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file, and the place that it will have.
pub(super) struct Placed {
    file: File,
    place: PathBuf,
}

impl Placed {
    pub(super) fn new(file: File, place: &Path) -> Self {
        Self { file, place: place.to_path_buf() }
    }

    fn told(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("`{}`: {error}", self.place.display()))
    }
}

impl Write for Placed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self.file.write(buffer) {
            // It is asked again.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => Err(self.told(&error)),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush().map_err(|error| self.told(&error))
    }
}
