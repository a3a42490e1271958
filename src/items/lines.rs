//! The lines of a file of items: plain, gzip or Zstandard, from a disk or from standard input.
//!
//! How a file is compressed is told by its first bytes, so that a pipe can be compressed too. Not
//! for what a line means.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, Result};
use crate::input::{STANDARD_INPUT, Source};

/// Bytes of a line that are held; a longer one is nothing that a tracker sent.
const LONGEST_LINE: u64 = 16 << 20;

/// Lines that are worked on at a time, and how many bytes of them end a chunk sooner.
const CHUNK_LINES: usize = 16 * 1024;
const CHUNK_BYTES: usize = 8 << 20;

/// A line and its number in the file, from 1; none where it is too long to be held.
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) text: Option<Vec<u8>>,
}

/// A file of items that is being read.
pub(super) struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    number: u64,
}

impl Lines {
    /// Opens a file, an object, or standard input.
    pub(super) fn open(source: &Source) -> Result<Self> {
        let path = &source.path;
        let failed = || Error::io("read", path);
        let mut raw: Box<dyn Read + Send> = if path == Path::new(STANDARD_INPUT) {
            Box::new(io::stdin())
        } else {
            source.stream()?
        };
        let mut head = Vec::new();
        raw.by_ref().take(4).read_to_end(&mut head).map_err(failed())?;
        let is = |magic: &[u8]| head.starts_with(magic);
        let (gzip, zstandard) = (is(&[0x1f, 0x8b]), is(&[0x28, 0xb5, 0x2f, 0xfd]));
        let whole = BufReader::with_capacity(1 << 18, Cursor::new(head).chain(raw));
        let reader: Box<dyn BufRead + Send> = if gzip {
            Box::new(BufReader::new(MultiGzDecoder::new(whole)))
        } else if zstandard {
            let decoder = zstd::stream::read::Decoder::with_buffer(whole).map_err(failed())?;
            Box::new(BufReader::new(decoder))
        } else {
            Box::new(whole)
        };
        Ok(Self { path: path.clone(), reader, number: 0 })
    }

    /// The next lines that are not blank; none at the end.
    pub(super) fn chunk(&mut self) -> Result<Vec<Line>> {
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while lines.len() < CHUNK_LINES && bytes < CHUNK_BYTES {
            let mut text = Vec::new();
            let limited = &mut self.reader.by_ref().take(LONGEST_LINE);
            let read =
                limited.read_until(b'\n', &mut text).map_err(Error::io("read", &self.path))?;
            if read == 0 {
                break;
            }
            self.number += 1;
            if self.number == 1 && text.starts_with(b"\xef\xbb\xbf") {
                text.drain(..3);
            }
            bytes += text.len();
            let whole = text.ends_with(b"\n") || (read as u64) < LONGEST_LINE;
            if !whole {
                self.reader.skip_until(b'\n').map_err(Error::io("read", &self.path))?;
            }
            let text = whole.then_some(text);
            if !text.as_ref().is_some_and(|text| text.trim_ascii().is_empty()) {
                lines.push(Line { number: self.number, text });
            }
        }
        Ok(lines)
    }
}
