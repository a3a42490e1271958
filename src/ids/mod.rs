//! Text to dense integers, once: everything after works on the integers.
//!
//! Integers are given in the order of first sight, so they depend on the order of the input and
//! never reach an output or a comparison that decides one. [`Interner`] numbers on one thread,
//! [`Directory`] on all of them; [`Repeats`] tells whether there is anything to merge, [`Distinct`]
//! how many texts there are, [`Pseudonyms`] what users are called who are not to be named.

mod directory;
mod distinct;
mod grouping;
mod hash;
mod pseudonyms;
mod repeats;

pub use directory::{Directory, Names, UNKNOWN};
pub use distinct::Distinct;
pub use grouping::{group_rows, group_some_rows};
pub use hash::{bytes_hash, text_hash};
pub use pseudonyms::Pseudonyms;
pub use repeats::Repeats;

use std::hash::BuildHasher;

use arrow::array::{Array, StringViewArray};
use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};
use rayon::prelude::*;

/// Distinct texts, numbered from zero in the order in which they were first seen.
///
/// # Example
///
/// ```
/// use apportion::ids::Interner;
/// let mut users = Interner::default();
/// assert_eq!((users.intern("ann"), users.intern("bob"), users.intern("ann")), (0, 1, 0));
/// assert_eq!((users.name(1), users.get("carl")), ("bob", None));
/// ```
#[derive(Default)]
pub struct Interner {
    /// Each number with the hash of its text, so that growing reads no text again and a text is
    /// compared only with one of the same hash.
    numbers: HashTable<(u64, u32)>,
    hasher: DefaultHashBuilder,
    text: String,
    ends: Vec<usize>,
}

impl Interner {
    /// The number of a text, a new one if it was never seen.
    ///
    /// # Panics
    ///
    /// With more than 2^32 distinct texts.
    pub fn intern(&mut self, name: &str) -> u32 {
        self.intern_hashed(self.hasher.hash_one(name), name)
    }

    fn intern_hashed(&mut self, hash: u64, name: &str) -> u32 {
        let (text, ends) = (&self.text, &self.ends);
        let same =
            |(known, number): &(u64, u32)| *known == hash && slice(text, ends, *number) == name;
        match self.numbers.entry(hash, same, |(known, _)| *known) {
            Entry::Occupied(entry) => entry.get().1,
            Entry::Vacant(entry) => {
                let number =
                    u32::try_from(self.ends.len()).expect("fewer than 2^32 distinct texts");
                entry.insert((hash, number));
                self.text.push_str(name);
                self.ends.push(self.text.len());
                number
            }
        }
    }

    /// The number of a text that was seen.
    pub fn get(&self, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        let same = |(known, number): &(u64, u32)| *known == hash && self.name(*number) == name;
        self.numbers.find(hash, same).map(|(_, number)| *number)
    }

    /// The text of a number.
    ///
    /// # Panics
    ///
    /// If the number was not given by this interner.
    pub fn name(&self, number: u32) -> &str {
        slice(&self.text, &self.ends, number)
    }

    /// How many distinct texts there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The number of every text of a column; a missing text has the number of `missing`.
    pub fn intern_column(&mut self, texts: &StringViewArray, missing: &str) -> Vec<u32> {
        let hashes = hashes(texts, missing, &self.hasher);
        let mut last: Option<(Option<&str>, u32)> = None;
        texts
            .iter()
            .zip(hashes)
            .map(|(text, hash)| match last {
                Some((known, number)) if known == text => number,
                _ => {
                    let number = self.intern_hashed(hash, text.unwrap_or(missing));
                    last = Some((text, number));
                    number
                }
            })
            .collect()
    }
}

/// The hash of every text of a column, in parallel.
fn hashes(texts: &StringViewArray, missing: &str, hasher: &DefaultHashBuilder) -> Vec<u64> {
    let hash =
        |row: usize| hasher.hash_one(if texts.is_valid(row) { texts.value(row) } else { missing });
    (0..texts.len()).into_par_iter().with_min_len(16 * 1024).map(hash).collect()
}

/// Which rows of a column hold the same text: a number a row, and how many numbers there are.
///
/// `None` where every text occurs once, which is what exports mostly hold: that is known from the
/// hashes alone. Texts are compared in full where hashes agree.
pub fn same_texts(texts: &StringViewArray) -> Option<(Vec<u32>, usize)> {
    let hashes = hashes(texts, "", &DefaultHashBuilder::default());
    let mut sorted = hashes.clone();
    sorted.par_sort_unstable();
    let mut repeated: Vec<u64> =
        sorted.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    repeated.dedup();
    if repeated.is_empty() {
        return None;
    }
    // Only texts whose hash occurs again can occur again: all others are alone.
    let mut suspects = Interner::default();
    let mut numbers: Vec<Option<u32>> = Vec::new();
    let mut things = 0_u32;
    let mut fresh = || {
        things += 1;
        things - 1
    };
    let keys = texts.iter().zip(&hashes).map(|(text, hash)| {
        if repeated.binary_search(hash).is_err() {
            return fresh();
        }
        let suspect = suspects.intern(text.unwrap_or_default()) as usize;
        if suspect == numbers.len() {
            numbers.push(None);
        }
        *numbers[suspect].get_or_insert_with(&mut fresh)
    });
    let keys: Vec<u32> = keys.collect();
    let things = things as usize;
    (things < keys.len()).then_some((keys, things))
}

fn slice<'a>(text: &'a str, ends: &[usize], number: u32) -> &'a str {
    let number = number as usize;
    let start = if number == 0 { 0 } else { ends[number - 1] };
    &text[start..ends[number]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_text_have_one_number_and_distinct_texts_need_none() {
        let texts =
            |texts: &[&str]| texts.iter().map(|text| Some(*text)).collect::<StringViewArray>();
        assert_eq!(same_texts(&texts(&["a", "b", "c"])), None);
        let (keys, things) = same_texts(&texts(&["a", "b", "a", "c", "b"])).unwrap();
        assert_eq!((keys, things), (vec![0, 1, 0, 2, 1], 3));
    }
}
