//! Text to dense integers, once: everything after works on the integers.
//!
//! Integers are given in the order of first sight, so they depend on the order of the input and
//! never reach an output or a comparison that decides one.

use arrow::array::StringViewArray;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

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
    numbers: HashTable<u32>,
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
        let hash = self.hasher.hash_one(name);
        let (text, ends, hasher) = (&self.text, &self.ends, &self.hasher);
        let known = |number: u32| slice(text, ends, number);
        let entry = self.numbers.entry(
            hash,
            |number| known(*number) == name,
            |number| hasher.hash_one(known(*number)),
        );
        match entry {
            hashbrown::hash_table::Entry::Occupied(entry) => *entry.get(),
            hashbrown::hash_table::Entry::Vacant(entry) => {
                let number =
                    u32::try_from(self.ends.len()).expect("fewer than 2^32 distinct texts");
                entry.insert(number);
                self.text.push_str(name);
                self.ends.push(self.text.len());
                number
            }
        }
    }

    /// The number of a text that was seen.
    pub fn get(&self, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        self.numbers.find(hash, |number| self.name(*number) == name).copied()
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
        let mut last: Option<(Option<&str>, u32)> = None;
        texts
            .iter()
            .map(|text| match last {
                Some((known, number)) if known == text => number,
                _ => {
                    let number = self.intern(text.unwrap_or(missing));
                    last = Some((text, number));
                    number
                }
            })
            .collect()
    }
}

fn slice<'a>(text: &'a str, ends: &[usize], number: u32) -> &'a str {
    let number = number as usize;
    let start = if number == 0 { 0 } else { ends[number - 1] };
    &text[start..ends[number]]
}

/// Rows in the order of their keys, rows of one key in their own order.
///
/// Returns the rows, and where each key's rows begin (one more entry than there are keys):
/// counting, not comparing.
///
/// ```text
/// keys   1 0 1 2 1         order  1 | 0 2 4 | 3
/// keys are below 3         starts 0   1       4   5
/// ```
pub fn group_rows(keys: &[u32], groups: usize) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0_u32; groups + 1];
    for key in keys {
        starts[*key as usize + 1] += 1;
    }
    for group in 0..groups {
        starts[group + 1] += starts[group];
    }
    let mut next = starts.clone();
    let mut order = vec![0_u32; keys.len()];
    for (row, key) in (0_u32..).zip(keys) {
        let place = &mut next[*key as usize];
        order[*place as usize] = row;
        *place += 1;
    }
    (order, starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_grouped_stably() {
        let (order, starts) = group_rows(&[1, 0, 1, 2, 1], 3);
        assert_eq!((order, starts), (vec![1, 0, 2, 4, 3], vec![0, 1, 4, 5]));
        assert_eq!(group_rows(&[], 0), (vec![], vec![0]));
    }
}
