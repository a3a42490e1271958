//! An object, of which parts are fetched.

use std::fmt;
use std::io::{self, Read};
use std::iter::once;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use bytes::{Buf, Bytes};
use chrono::{DateTime, Utc};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use object_store::path::Path as Key;
use object_store::{Error as StoreError, GetOptions, GetRange, ObjectMeta, ObjectStore};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;

use super::address::Address;
use super::failure::failed;
use super::runtime::{self, Begun};
use crate::error::{Error, Result};

/// Parts that lie no further apart are fetched as one: the bytes between cost less than a request.
const NEAR: u64 = 1 << 20;

/// Bytes of a request at most; what is more is asked for in several, at the same time.
const PIECE: u64 = 8 << 20;

/// Requests of one fetch that are on their way at a time.
const AT_A_TIME: usize = 8;

/// Bytes at the end of an object that are fetched first: most footers are shorter.
const TAIL: u64 = 64 << 10;

/// An object that was found; a copy of it is the same object.
#[derive(Clone)]
pub struct Object(Arc<Inner>);

struct Inner {
    address: Address,
    key: Key,
    store: Arc<dyn ObjectStore>,
    bytes: u64,
    modified: DateTime<Utc>,
    /// What tells its versions apart, where the store says it.
    tag: Option<String>,
    tail: OnceLock<Bytes>,
    footer: OnceLock<ArrowReaderMetadata>,
}

impl Object {
    pub(super) fn new(address: Address, store: &Arc<dyn ObjectStore>, meta: ObjectMeta) -> Self {
        // A weak tag never matches.
        let tag = meta.e_tag.filter(|tag| !tag.starts_with("W/"));
        Self(Arc::new(Inner {
            address,
            key: meta.location,
            store: Arc::clone(store),
            bytes: meta.size,
            modified: meta.last_modified,
            tag,
            tail: OnceLock::new(),
            footer: OnceLock::new(),
        }))
    }

    /// Its address, as it may be shown; in the shape of a path.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(self.0.address.to_string())
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.0.bytes
    }

    /// When it was written in microseconds, where the store says it.
    pub fn modified(&self) -> Option<i64> {
        Some(self.0.modified.timestamp_micros()).filter(|at| *at != 0)
    }

    /// What tells this version of it from others, where the store says anything: its tag, else when it
    /// was written.
    pub fn version(&self) -> Option<String> {
        let written = || self.modified().map(|at| format!("{at}/{}", self.bytes()));
        self.0.tag.clone().or_else(written)
    }

    /// Its footer as Parquet: what `read` made of it the first time.
    ///
    /// # Errors
    ///
    /// Those of `read`.
    pub(crate) fn footer(
        &self,
        read: impl FnOnce(Fetched) -> Result<ArrowReaderMetadata>,
    ) -> Result<ArrowReaderMetadata> {
        if let Some(footer) = self.0.footer.get() {
            return Ok(footer.clone());
        }
        let footer = read(self.fetch_tail()?)?;
        Ok(self.0.footer.get_or_init(|| footer).clone())
    }

    /// Fetches the end of it.
    fn fetch_tail(&self) -> Result<Fetched> {
        let start = self.0.bytes.saturating_sub(TAIL);
        if let Some(tail) = self.0.tail.get() {
            return Ok(Fetched { object: self.clone(), parts: vec![(start, tail.clone())] });
        }
        let fetched = self.fetch(once(start..self.0.bytes))?;
        if let Some((_, tail)) = fetched.parts.first() {
            self.0.tail.get_or_init(|| tail.clone());
        }
        Ok(fetched)
    }

    /// Fetches parts of it, those that lie near each other together.
    ///
    /// # Errors
    ///
    /// A store that does not hand them out, or hands out another version.
    pub fn fetch(&self, ranges: impl IntoIterator<Item = Range<u64>>) -> Result<Fetched> {
        self.begin_to_fetch(ranges)?.wait()
    }

    /// Begins to fetch parts of it.
    ///
    /// # Errors
    ///
    /// A machine without threads to do it.
    pub fn begin_to_fetch(&self, ranges: impl IntoIterator<Item = Range<u64>>) -> Result<Fetching> {
        let (object, ranges) = (self.clone(), together(ranges.into_iter().collect()));
        let begun = runtime::begin(async move { object.parts(ranges).await });
        let begun = begun.map_err(Error::io("read", &self.path()))?;
        Ok(Fetching { object: self.clone(), begun })
    }

    /// Each range as one part, whatever it takes requests.
    async fn parts(&self, ranges: Vec<Range<u64>>) -> Result<Vec<(u64, Bytes)>, StoreError> {
        let pieces = ranges.iter().flat_map(pieces).map(|piece| self.clone().piece(piece));
        let pieces: Vec<Bytes> =
            stream::iter(pieces.collect::<Vec<_>>()).buffered(AT_A_TIME).try_collect().await?;
        let mut pieces = pieces.into_iter();
        let mut parts = Vec::with_capacity(ranges.len());
        for range in ranges {
            let mut own: Vec<Bytes> = pieces.by_ref().take(pieces_of(&range)).collect();
            let part = if own.len() == 1 { own.remove(0) } else { own.concat().into() };
            parts.push((range.start, part));
        }
        Ok(parts)
    }

    async fn piece(self, range: Range<u64>) -> Result<Bytes, StoreError> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: self.0.tag.clone(),
            ..GetOptions::default()
        };
        self.0.store.get_opts(&self.0.key, options).await?.bytes().await
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Object").field(&self.0.address.to_string()).finish()
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.0.address == other.0.address
    }
}

impl Eq for Object {}

/// Fetches the ends of objects, several at a time, because each is asked for soon.
///
/// What fails is asked for again by whoever needs it, and told then.
pub(super) fn fetch_tails(objects: &[Object]) {
    let objects: Vec<Object> = objects.to_vec();
    let tails = async move {
        let tails = objects.into_iter().map(|object| async move {
            let start = object.0.bytes.saturating_sub(TAIL);
            if start < object.0.bytes
                && let Ok(tail) = object.clone().piece(start..object.0.bytes).await
            {
                object.0.tail.get_or_init(|| tail);
            }
        });
        stream::iter(tails.collect::<Vec<_>>())
            .buffer_unordered(4 * AT_A_TIME)
            .collect::<()>()
            .await;
    };
    drop(runtime::wait(tails));
}

/// Parts of an object that are on their way.
#[derive(Debug)]
pub struct Fetching {
    object: Object,
    begun: Begun<Result<Vec<(u64, Bytes)>, StoreError>>,
}

impl Fetching {
    /// Waits for them.
    ///
    /// # Errors
    ///
    /// A store that does not hand them out, or hands out another version.
    pub fn wait(self) -> Result<Fetched> {
        let Self { object, begun } = self;
        let parts = begun.wait().map_err(Error::io("read", &object.path()))?;
        let parts = parts.map_err(failed("read", &object.0.address))?;
        Ok(Fetched { object, parts })
    }
}

/// Parts of an object that are here.
#[derive(Debug)]
pub struct Fetched {
    object: Object,
    /// Where each begins.
    parts: Vec<(u64, Bytes)>,
}

impl Fetched {
    /// The size of the whole object.
    pub fn whole(&self) -> u64 {
        self.object.bytes()
    }

    /// What is here from some place on, until the end of its part.
    fn from(&self, start: u64) -> Option<Bytes> {
        let within = |(at, part): &&(u64, Bytes)| {
            start >= *at && start < at.saturating_add(part.len() as u64)
        };
        let (at, part) = self.parts.iter().find(within)?;
        Some(part.slice(usize::try_from(start - at).ok()?..))
    }

    /// So many bytes from some place on; those that are not here are fetched.
    ///
    /// # Errors
    ///
    /// As of [`Object::fetch`].
    pub fn bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        if let Some(here) = self.from(start).filter(|here| here.len() >= length) {
            return Ok(here.slice(..length));
        }
        let end = start.saturating_add(length as u64);
        if end > self.whole() {
            return Err(Error::Object {
                action: "read",
                address: self.object.0.address.to_string(),
                why: format!("it ends before byte {end}"),
                hint: None,
            });
        }
        let fetched = self.object.fetch(once(start..end))?;
        Ok(fetched.from(start).unwrap_or_default())
    }

    /// A stream from some place on: until the end of its part, or of the object.
    ///
    /// # Errors
    ///
    /// As of [`Object::fetch`].
    pub fn reader(&self, start: u64) -> Result<bytes::buf::Reader<Bytes>> {
        let here = if let Some(here) = self.from(start) {
            here
        } else {
            let end = start.saturating_add(TAIL).min(self.whole());
            let length = usize::try_from(end.saturating_sub(start)).unwrap_or_default();
            self.bytes(start, length)?
        };
        Ok(here.reader())
    }
}

/// Ranges in their order, those together that lie near each other.
fn together(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_unstable_by_key(|range| range.start);
    let mut together: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match together.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(NEAR) => {
                last.end = last.end.max(range.end);
            }
            _ => together.push(range),
        }
    }
    together
}

fn pieces_of(range: &Range<u64>) -> usize {
    usize::try_from((range.end - range.start).div_ceil(PIECE)).unwrap_or(usize::MAX)
}

/// A range in as many pieces as it takes.
fn pieces(range: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
    let Range { start, end } = *range;
    (0..pieces_of(range) as u64).map(move |at| {
        let start = start + at * PIECE;
        start..end.min(start + PIECE)
    })
}

/// An object from its beginning to its end; the next piece is on its way while one is read.
#[derive(Debug)]
pub struct Stream {
    object: Object,
    next: u64,
    coming: Option<Fetching>,
    here: Bytes,
}

impl Stream {
    /// The whole of an object.
    pub fn new(object: &Object) -> Self {
        Self { object: object.clone(), next: 0, coming: None, here: Bytes::new() }
    }

    /// Begins to fetch what follows.
    fn begin(&mut self) -> Result<Option<Fetching>> {
        let (start, end) = (self.next, self.object.bytes().min(self.next + PIECE));
        if start == end {
            return Ok(None);
        }
        self.next = end;
        self.object.begin_to_fetch(once(start..end)).map(Some)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.here.is_empty() {
            let coming = match self.coming.take() {
                Some(coming) => Some(coming),
                None => self.begin().map_err(io::Error::other)?,
            };
            let Some(coming) = coming else { return Ok(0) };
            self.coming = self.begin().map_err(io::Error::other)?;
            let fetched = coming.wait().map_err(io::Error::other)?;
            self.here = fetched.parts.into_iter().next().map(|(_, part)| part).unwrap_or_default();
        }
        let length = buffer.len().min(self.here.len());
        self.here.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_near_each_other_are_one_request_and_long_ones_are_several() {
        let ranges = vec![10..20, 3_000_000..3_000_010, 0..5, 1_000_000..1_000_001, 7..7];
        assert_eq!(together(ranges), [0..1_000_001, 3_000_000..3_000_010]);
        let long = 5..5 + 2 * PIECE + 1;
        let all: Vec<_> = pieces(&long).collect();
        assert_eq!(all.len(), pieces_of(&long));
        assert_eq!((all[0].start, all[2].end), (long.start, long.end));
        assert!(all.windows(2).all(|pair| pair[0].end == pair[1].start));
    }
}
