//! Ids of many tables numbered from many threads at once.
//!
//! Texts are spread over shards by their hash. A batch goes through shard by shard, so that a lock
//! is taken once for some hundred rows and a shard's table stays in the cache while it is used. The
//! numbers that a shard gives are provisional: which text came first depends on the threads. They
//! become dense when everything is in, and like all numbers here they decide nothing and reach no
//! output.

use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow::array::{Array, StringViewArray};
use hashbrown::DefaultHashBuilder;
use rayon::prelude::*;

use super::group_rows;

/// How many parts a directory has: a power of two.
const SHARDS: usize = 64;

/// Texts that go through the shards together: few enough for all that is known of them to stay in
/// the cache.
const TOGETHER: usize = 4 * 1024;

/// Rows of a long column that one thread numbers at a time.
const BATCH_ROWS: usize = 64 * 1024;

/// Texts that are looked for together, so that the memory that one waits for is on its way while
/// another waits for its own.
const AHEAD: usize = 32;

/// Distinct texts, numbered by any number of threads.
///
/// # Example
///
/// ```
/// use apportion::ids::Directory;
/// use arrow::array::StringViewArray;
/// let directory = Directory::default();
/// let mut numbers = directory.number(&StringViewArray::from(vec!["ann", "bob", "ann"]));
/// let names = directory.close();
/// names.settle(&mut numbers);
/// assert_eq!((names.len(), numbers[0] == numbers[2]), (2, true));
/// assert_eq!((names.name(numbers[1]), names.get("carl")), ("bob", None));
/// ```
pub struct Directory {
    hasher: DefaultHashBuilder,
    shards: Vec<Mutex<Shard>>,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }
}

/// The texts of one part: an open table whose places hold them, because what lies elsewhere has to
/// be waited for.
#[derive(Default)]
struct Shard {
    /// Places by the hashes of the texts, at most seven tenths of them taken.
    places: Vec<Place>,
    /// The place of each number.
    at: Vec<u32>,
    /// The texts that are too long for a place, one after the other.
    long: Vec<u8>,
}

/// Bytes of a text that a place has room for.
const ROOM: usize = 27;

/// Where a text may be found; half a cache line.
#[repr(align(32))]
#[derive(Debug, Clone, Copy)]
struct Place {
    key: Key,
    /// Zero where the place is empty, else the number of the text and one more.
    number: u32,
}

/// A text of at most [`ROOM`] bytes, filled up with zeros; or, of a longer one, its hash, and where
/// it begins and ends among the long ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    bytes: [u8; ROOM],
    /// The length of the text; more than [`ROOM`] stands for any long one.
    length: u8,
}

const LONG: u8 = u8::MAX;

const EMPTY: Place = Place { key: Key { bytes: [0; ROOM], length: 0 }, number: 0 };

impl Key {
    /// The key of a short text.
    fn short(text: &[u8]) -> Option<Self> {
        if text.len() > ROOM {
            return None;
        }
        let mut filled = [0; 4 * 8];
        // Eight bytes at a time: copying a slice of any length is a call, and this is done for each row.
        for (at, part) in filled.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            *part = eight(text, 8 * at).to_le_bytes();
        }
        let bytes = *filled.first_chunk()?;
        Some(Self { bytes, length: u8::try_from(text.len()).unwrap_or(LONG) })
    }

    /// The hash of a short text.
    fn hash(&self, hasher: &DefaultHashBuilder) -> u64 {
        let Self { bytes, length } = self;
        let last = u64::from_le_bytes([bytes[24], bytes[25], bytes[26], *length, 0, 0, 0, 0]);
        // Number by number: as a slice they would be hashed by a loop.
        hasher.hash_one((self.part(0), self.part(8), self.part(16), last))
    }

    /// The key of a long text that lies there.
    fn long(hash: u64, range: Range<usize>) -> Self {
        let mut bytes = [0; ROOM];
        bytes[..8].copy_from_slice(&hash.to_le_bytes());
        bytes[8..16].copy_from_slice(&(range.start as u64).to_le_bytes());
        bytes[16..24].copy_from_slice(&(range.end as u64).to_le_bytes());
        Self { bytes, length: LONG }
    }

    fn part(&self, from: usize) -> u64 {
        let mut part = [0; 8];
        part.copy_from_slice(&self.bytes[from..from + 8]);
        u64::from_le_bytes(part)
    }

    /// The text, short or among the long ones.
    fn text<'a>(&'a self, long: &'a [u8]) -> &'a [u8] {
        if self.length != LONG {
            return &self.bytes[..usize::from(self.length)];
        }
        let end = |from: usize| usize::try_from(self.part(from)).unwrap_or(usize::MAX);
        &long[end(8)..end(16)]
    }
}

/// The eight bytes of a text from a place on as a number, filled up with zeros.
fn eight(text: &[u8], from: usize) -> u64 {
    let Some(rest) = text.get(from..).filter(|rest| !rest.is_empty()) else { return 0 };
    if let Some(eight) = rest.first_chunk() {
        return u64::from_le_bytes(*eight);
    }
    match text.last_chunk() {
        // What comes before the place is shifted out.
        Some(last) => u64::from_le_bytes(*last) >> (8 * (8 - rest.len())),
        None => rest.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)),
    }
}

/// A text that is looked for: its key, where it is short, and its hash.
struct Wanted<'a> {
    text: &'a [u8],
    key: Option<Key>,
    hash: u64,
}

impl<'a> Wanted<'a> {
    fn new(hasher: &DefaultHashBuilder, text: &'a [u8]) -> Self {
        let key = Key::short(text);
        let hash = key.as_ref().map_or_else(|| hasher.hash_one(text), |key| key.hash(hasher));
        Self { text, key, hash }
    }
}

/// The hash of a text.
pub(super) fn hash(hasher: &DefaultHashBuilder, text: &str) -> u64 {
    Wanted::new(hasher, text.as_bytes()).hash
}

/// A text of a column; a missing one is empty.
fn text(texts: &StringViewArray, row: usize) -> &[u8] {
    if texts.is_valid(row) { texts.value(row).as_bytes() } else { &[] }
}

impl Directory {
    /// A provisional number for every text of a column; a missing text is numbered as empty.
    ///
    /// # Panics
    ///
    /// With more than 2^26 distinct texts in one of the parts, some four billion in all.
    pub fn number(&self, texts: &StringViewArray) -> Vec<u32> {
        let mut numbers = vec![0; texts.len()];
        let rows: Vec<u32> = (0..).take(texts.len()).collect();
        self.number_rows(texts, &rows, |row, number| numbers[row as usize] = number);
        numbers
    }

    /// Gives a provisional number to some rows of a column each, in any order.
    pub(crate) fn number_rows(
        &self,
        texts: &StringViewArray,
        rows: &[u32],
        mut give: impl FnMut(u32, u32),
    ) {
        let mut wanted = Vec::with_capacity(rows.len().min(TOGETHER));
        for rows in rows.chunks(TOGETHER) {
            wanted.clear();
            wanted.extend(
                rows.iter().map(|row| Wanted::new(&self.hasher, text(texts, *row as usize))),
            );
            self.number_wanted(&wanted, |at, number| give(rows[at], number));
        }
    }

    fn number_wanted(&self, wanted: &[Wanted<'_>], mut give: impl FnMut(usize, u32)) {
        let parts: Vec<u32> = wanted.iter().map(|wanted| part(wanted.hash)).collect();
        let (order, starts) = group_rows(&parts, SHARDS);
        // Threads begin at different parts, so that they seldom wait for each other.
        let begin = rayon::current_thread_index().unwrap_or_default() * (SHARDS / 4 + 1);
        for at in 0..SHARDS {
            let at = (begin + at) % SHARDS;
            let of_part = &order[starts[at] as usize..starts[at + 1] as usize];
            if of_part.is_empty() {
                continue;
            }
            let mut shard = lock(&self.shards[at]);
            for some in of_part.chunks(AHEAD) {
                shard.touch(some.iter().map(|place| wanted[*place as usize].hash));
                for place in some {
                    let local = shard.number(&self.hasher, &wanted[*place as usize]);
                    give(*place as usize, provisional(at, local));
                }
            }
        }
    }

    /// [`number`](Self::number) of a long column, on all threads.
    pub fn number_all(&self, texts: &StringViewArray) -> Vec<u32> {
        let starts: Vec<usize> = (0..texts.len()).step_by(BATCH_ROWS).collect();
        let slice = |start: usize| texts.slice(start, BATCH_ROWS.min(texts.len() - start));
        let numbered: Vec<Vec<u32>> =
            starts.into_par_iter().map(|start| self.number(&slice(start))).collect();
        numbered.concat()
    }

    /// Ends the numbering: from here on numbers are dense.
    pub fn close(self) -> Names {
        let Self { hasher, shards } = self;
        let mut names = Names { hasher, ..Names::default() };
        for shard in shards {
            let shard = shard.into_inner().unwrap_or_else(PoisonError::into_inner);
            names.firsts.push(number(names.count));
            names.count += shard.at.len();
            names.shards.push(shard);
        }
        names
    }
}

/// Whoever panicked with a lock in hand has ended the run already.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The part that a hash belongs to: by its highest bits, because a place goes by the lower half.
#[expect(clippy::cast_possible_truncation, reason = "the highest bits of 64 are fewer than 32")]
fn part(hash: u64) -> u32 {
    (hash >> (64 - SHARDS.trailing_zeros())) as u32
}

fn provisional(part: usize, local: u32) -> u32 {
    assert!(local < 1 << (32 - SHARDS.trailing_zeros()), "fewer than 2^26 texts a part");
    number(part) + local * number(SHARDS)
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("fewer than 2^32 distinct texts")
}

/// The first place of a hash in a table of `size`: the lower half of its bits as a share of it, so
/// that a table can be of any size, and texts keep their order when it grows.
#[expect(clippy::cast_possible_truncation, reason = "a share of the size is below it")]
fn place(hash: u64, size: usize) -> usize {
    ((u128::from(hash as u32) * size as u128) >> 32) as usize
}

/// The place after another one.
fn after(at: usize, size: usize) -> usize {
    if at + 1 == size { 0 } else { at + 1 }
}

impl Shard {
    /// The number of a text within the part, a new one if it was never seen.
    fn number(&mut self, hasher: &DefaultHashBuilder, wanted: &Wanted<'_>) -> u32 {
        if 10 * (self.at.len() + 1) > 7 * self.places.len() {
            self.grow(hasher);
        }
        let (at, found) = self.find(wanted);
        if let Some(found) = found {
            return found;
        }
        let key = wanted.key.unwrap_or_else(|| {
            let start = self.long.len();
            self.long.extend_from_slice(wanted.text);
            Key::long(wanted.hash, start..self.long.len())
        });
        self.at.push(number(at));
        let given = number(self.at.len());
        self.places[at] = Place { key, number: given };
        given - 1
    }

    /// The place of a text or where it would be, and its number, if it is there.
    fn find(&self, wanted: &Wanted<'_>) -> (usize, Option<u32>) {
        let Wanted { text, key: short, hash } = wanted;
        let mut at = place(*hash, self.places.len());
        loop {
            let Place { key, number } = &self.places[at];
            if *number == 0 {
                return (at, None);
            }
            let is_same = match short {
                Some(short) => key == short,
                None => key.length == LONG && key.part(0) == *hash && key.text(&self.long) == *text,
            };
            if is_same {
                return (at, Some(number - 1));
            }
            at = after(at, self.places.len());
        }
    }

    /// Brings near what the texts of some hashes will be compared with.
    fn touch(&self, hashes: impl Iterator<Item = u64>) {
        std::hint::black_box(hashes.fold(0, |all, hash| all ^ self.first(hash)));
    }

    /// What stands where the text of a hash is looked for first.
    fn first(&self, hash: u64) -> u32 {
        if self.places.is_empty() { 0 } else { self.places[place(hash, self.places.len())].number }
    }

    fn text(&self, local: u32) -> &str {
        let place = &self.places[self.at[local as usize] as usize];
        str::from_utf8(place.key.text(&self.long)).unwrap_or_default()
    }

    fn grow(&mut self, hasher: &DefaultHashBuilder) {
        let size = (self.places.len() + self.places.len() / 2).max(256);
        let old = std::mem::replace(&mut self.places, vec![EMPTY; size]);
        for known in old.into_iter().filter(|place| place.number != 0) {
            let hash = match known.key.length {
                LONG => known.key.part(0),
                _ => known.key.hash(hasher),
            };
            let mut at = place(hash, size);
            while self.places[at].number != 0 {
                at = after(at, size);
            }
            self.at[known.number as usize - 1] = number(at);
            self.places[at] = known;
        }
    }
}

/// What stands for the number of a text that was never seen.
pub const UNKNOWN: u32 = u32::MAX;

/// The texts of a directory that is closed, numbered from zero without a gap.
#[derive(Default)]
pub struct Names {
    hasher: DefaultHashBuilder,
    /// The number of each part's first text.
    firsts: Vec<u32>,
    shards: Vec<Shard>,
    count: usize,
}

/// The first bytes of a text as a number that compares as they do; of a shorter one filled up with the
/// least.
fn beginning(text: &str) -> u128 {
    let mut bytes = [0; 16];
    let length = text.len().min(bytes.len());
    bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
    u128::from_be_bytes(bytes)
}

impl Names {
    /// Texts numbered in their order, for tests of what goes by number.
    #[cfg(test)]
    pub(crate) fn numbered<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        let mut names = Self { firsts: vec![0], shards: vec![Shard::default()], ..Self::default() };
        for text in texts {
            let wanted = Wanted::new(&names.hasher, text.as_ref().as_bytes());
            names.shards[0].number(&names.hasher, &wanted);
        }
        names.count = names.shards[0].at.len();
        names
    }

    /// Makes provisional numbers those of the texts.
    pub fn settle(&self, numbers: &mut [u32]) {
        let shards = number(SHARDS);
        numbers.par_chunks_mut(64 * 1024).for_each(|some| {
            for given in some {
                *given = self.firsts[(*given % shards) as usize] + *given / shards;
            }
        });
    }

    /// The number of a text that was seen.
    pub fn get(&self, text: &str) -> Option<u32> {
        self.find(&Wanted::new(&self.hasher, text.as_bytes()))
    }

    fn find(&self, wanted: &Wanted<'_>) -> Option<u32> {
        let part = part(wanted.hash) as usize;
        let shard = self.shards.get(part).filter(|shard| !shard.places.is_empty())?;
        Some(self.firsts[part] + shard.find(wanted).1?)
    }

    /// The number of every text of a column, [`UNKNOWN`] for one that was never seen; a missing text
    /// is looked for as empty.
    pub fn look_up(&self, texts: &StringViewArray) -> Vec<u32> {
        if self.is_empty() {
            return vec![UNKNOWN; texts.len()];
        }
        let mut numbers = Vec::with_capacity(texts.len());
        let mut wanted = Vec::with_capacity(AHEAD);
        for start in (0..texts.len()).step_by(AHEAD) {
            let rows = start..texts.len().min(start + AHEAD);
            wanted.clear();
            wanted.extend(rows.map(|row| Wanted::new(&self.hasher, text(texts, row))));
            let near = wanted
                .iter()
                .map(|wanted| self.shards[part(wanted.hash) as usize].first(wanted.hash));
            std::hint::black_box(near.fold(0, |all, number| all ^ number));
            numbers.extend(wanted.iter().map(|wanted| self.find(wanted).unwrap_or(UNKNOWN)));
        }
        numbers
    }

    /// The text of a number.
    ///
    /// # Panics
    ///
    /// If the number was not given by this directory.
    pub fn name(&self, number: u32) -> &str {
        let part = self.firsts.partition_point(|first| *first <= number) - 1;
        self.shards[part].text(number - self.firsts[part])
    }

    /// Puts numbers in the byte order of their texts.
    ///
    /// Texts lie all over the memory, so what most of them differ by is fetched once, not for every
    /// comparison.
    pub fn sort(&self, numbers: &mut [u32]) {
        let mut keyed: Vec<(u128, u32)> =
            numbers.par_iter().map(|number| (beginning(self.name(*number)), *number)).collect();
        keyed.par_sort_unstable_by(|left, right| {
            let by_text = || self.name(left.1).cmp(self.name(right.1));
            left.0.cmp(&right.0).then_with(by_text)
        });
        for (number, (_, sorted)) in numbers.iter_mut().zip(keyed) {
            *number = sorted;
        }
    }

    /// How many distinct texts there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_text_has_one_number_whatever_the_threads() {
        let texts: Vec<String> =
            (0..20_000).map(|at| format!("user {}", at * at % 7_919)).collect();
        let directory = Directory::default();
        let numbered: Vec<Vec<u32>> = texts
            .par_chunks(1_000)
            .map(|some| directory.number(&some.iter().map(Some).collect()))
            .collect();
        let names = directory.close();
        let mut numbers = numbered.concat();
        names.settle(&mut numbers);
        let distinct: BTreeSet<&String> = texts.iter().collect();
        assert_eq!(names.len(), distinct.len());
        for (text, number) in texts.iter().zip(numbers) {
            assert_eq!((names.name(number), names.get(text)), (text.as_str(), Some(number)));
        }
        assert_eq!(names.get("nobody"), None);
        let looked_up =
            names.look_up(&["user 0", "nobody", "user 1"].map(Some).into_iter().collect());
        let expected =
            ["user 0", "nobody", "user 1"].map(|text| names.get(text).unwrap_or(UNKNOWN));
        assert_eq!(looked_up, expected);
        assert_eq!(Directory::default().close().get(""), None);
    }

    #[test]
    fn numbers_are_put_in_the_byte_order_of_their_texts() {
        let texts = [
            "b",
            "a\u{0}",
            "a",
            "",
            "\u{e9}",
            "a-long-text-of-more-than-16",
            "a-long-text-of-more",
        ];
        let names = Names::numbered(texts);
        let mut numbers: Vec<u32> = (0..).take(names.len()).collect();
        names.sort(&mut numbers);
        let sorted: Vec<&str> = numbers.iter().map(|number| names.name(*number)).collect();
        let mut expected = texts;
        expected.sort_unstable();
        assert_eq!(sorted, expected);
    }
}
