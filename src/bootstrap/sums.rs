//! Sums over persons, for many resamples at once: exact, whatever the order of the persons.
//!
//! A person's part of a sum is a whole number of up to 128 bits. It is taken apart into limbs of 32
//! bits, and each limb is summed in 64 bits for every resample: the product of a limb and a number of
//! times is one instruction for several resamples at once, and no sum can run over. A limb that is
//! always zero takes no space, and most are: a whole conversion is one bit.

use std::ops::Range;

use rayon::prelude::*;

use crate::bootstrap::{Draws, MOST_DRAWN, key_of};
use crate::error::{Error, Result};

/// Resamples that one thread sums at a time; their sums of one limb stay in the nearest cache.
const LANES: usize = 64;

/// The limbs of a number.
const LIMBS: usize = 4;

/// No place among the sums.
const NONE: u32 = u32::MAX;

/// Persons beyond which a sum of limbs could leave 64 bits.
const MOST_PERSONS: u64 = (1 << 31) / MOST_DRAWN;

/// What each of some persons adds to sums: the rows of a table that is mostly zero.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct PersonRows {
    /// The persons.
    pub persons: Vec<u32>,
    /// Where each person's parts end.
    pub ends: Vec<usize>,
    /// The sum that each part is of.
    pub columns: Vec<usize>,
    /// The parts.
    pub values: Vec<i128>,
}

impl PersonRows {
    /// Adds a part to a sum, of the person whose row ends next; nothing is no part.
    pub fn push(&mut self, column: usize, value: i128) {
        if value != 0 {
            self.columns.push(column);
            self.values.push(value);
        }
    }

    /// Ends the row of a person.
    pub fn end(&mut self, person: u32) {
        self.persons.push(person);
        self.ends.push(self.columns.len());
    }

    /// The parts of each person, as places in `columns` and `values`.
    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| start..*end)
    }
}

/// One limb of a person's part of a sum.
#[derive(Debug, Clone, Copy)]
struct Term {
    /// Where it is summed.
    place: u32,
    limb: u32,
    negative: bool,
}

/// Sums of every resample; the first of them is of the data as they are.
///
/// # Example
///
/// ```
/// use apportion::bootstrap::{Draws, PersonRows, Resampled};
/// let mut rows = PersonRows::default();
/// rows.push(0, -5);
/// rows.push(3, 1 << 62);
/// rows.end(7);
/// let mut sums = Resampled::new(200, Draws::Poisson { seed: 1 }, 1 << 20);
/// sums.add(&rows, &|_| "ann", &|column| column)?;
/// assert_eq!((sums.value(0, 0), sums.value(3, 0), sums.value(1, 0)), (-5, 1 << 62, 0));
/// // In a resample that counts ann twice, all that is hers counts twice.
/// assert!((1..=200).any(|resample| sums.value(0, resample) == -10));
/// assert!((1..=200).all(|resample| sums.value(3, resample) == sums.value(0, resample) / -5 << 62));
/// # Ok::<(), apportion::Error>(())
/// ```
pub struct Resampled {
    resamples: usize,
    draws: Draws,
    /// Where each limb of each sum is summed.
    places: Vec<[u32; LIMBS]>,
    used: u32,
    /// The sums of so many resamples each, by place: those of a block are one thread's.
    blocks: Vec<Vec<[u64; LANES]>>,
    persons: u64,
    /// The most memory that they may take, in bytes.
    most: u64,
}

impl Resampled {
    /// No sums yet, of the data as they are and of so many resamples; they may take `most` bytes.
    pub fn new(resamples: usize, draws: Draws, most: u64) -> Self {
        Self {
            resamples,
            draws,
            places: Vec::new(),
            used: 0,
            blocks: vec![Vec::new(); (resamples + 1).div_ceil(LANES)],
            persons: 0,
            most,
        }
    }

    /// How many resamples there are beside the data as they are.
    pub fn resamples(&self) -> usize {
        self.resamples
    }

    /// Adds what persons add: `name` tells their ids, `column` which sum is meant by a column of
    /// theirs.
    ///
    /// The parts of one person may come in several rows.
    ///
    /// # Errors
    ///
    /// Sums that need more memory than may be taken.
    pub fn add<'n>(
        &mut self,
        rows: &PersonRows,
        name: &(dyn Fn(u32) -> &'n str + Sync),
        column: &dyn Fn(usize) -> usize,
    ) -> Result<()> {
        let mut terms: Vec<Term> = Vec::with_capacity(rows.values.len());
        let mut persons: Vec<(u64, Range<usize>)> = Vec::with_capacity(rows.persons.len());
        for (person, parts) in rows.persons.iter().zip(rows.ranges()) {
            let first = terms.len();
            for at in parts {
                self.push_terms(column(rows.columns[at]), rows.values[at], &mut terms);
            }
            if first < terms.len() {
                persons.push((key_of(name(*person)), first..terms.len()));
            }
        }
        self.persons += persons.len() as u64;
        if self.persons > MOST_PERSONS {
            return Err(Error::Overflow { what: "a sum over resampled persons".to_owned() });
        }
        self.check_memory()?;
        let (draws, used) = (self.draws, self.used as usize);
        self.blocks.par_iter_mut().enumerate().for_each(|(block, sums)| {
            sums.resize(used, [0; LANES]);
            let mut times = [0_u32; LANES];
            for (key, of_person) in &persons {
                draws.fill(*key, block * LANES, &mut times);
                if block == 0 {
                    times[0] = 1;
                }
                for term in &terms[of_person.clone()] {
                    add_times(&mut sums[term.place as usize], &times, *term);
                }
            }
        });
        Ok(())
    }

    /// A sum in a resample, counted from one; 0 is the data as they are.
    pub fn value(&self, column: usize, resample: usize) -> i128 {
        let Some(places) = self.places.get(column) else { return 0 };
        let block = &self.blocks[resample / LANES];
        let limbs = places.iter().enumerate().filter(|(_, place)| **place != NONE);
        limbs
            .map(|(limb, place)| {
                // A block in which a limb was always zero may end before it.
                let sums = block.get(*place as usize);
                let sum = sums.map_or(0, |sums| sums[resample % LANES].cast_signed());
                i128::from(sum) << (32 * limb)
            })
            .sum()
    }

    /// A sum in every resample, the data as they are first.
    pub fn values(&self, column: usize) -> impl Iterator<Item = i128> {
        (0..=self.resamples).map(move |resample| self.value(column, resample))
    }

    /// Takes over a sum that is known from elsewhere, in every resample, the data as they are first.
    ///
    /// # Errors
    ///
    /// Sums that need more memory than may be taken.
    pub fn take_over(&mut self, column: usize, values: &[i128]) -> Result<()> {
        values
            .iter()
            .enumerate()
            .try_for_each(|(resample, value)| self.set(column, resample, *value))
    }

    /// Takes over a sum that is known from elsewhere, in one resample; 0 is the data as they are.
    ///
    /// Nothing was added to it there.
    ///
    /// # Errors
    ///
    /// Sums that need more memory than may be taken.
    pub fn set(&mut self, column: usize, resample: usize, value: i128) -> Result<()> {
        if self.places.len() <= column {
            self.places.resize(column + 1, [NONE; LIMBS]);
        }
        for limb in 0..LIMBS {
            #[expect(clippy::cast_possible_truncation, reason = "the other limbs follow")]
            let shifted = (value >> (32 * limb)).cast_unsigned() as u64;
            // The last one has the sign.
            let part = if limb + 1 == LIMBS { shifted } else { shifted & u64::from(u32::MAX) };
            if part == 0 {
                continue;
            }
            let place = &mut self.places[column][limb];
            if *place == NONE {
                (*place, self.used) = (self.used, self.used + 1);
            }
            let place = *place as usize;
            self.check_memory()?;
            let block = &mut self.blocks[resample / LANES];
            if block.len() <= place {
                block.resize(self.used as usize, [0; LANES]);
            }
            block[place][resample % LANES] = part;
        }
        Ok(())
    }

    fn push_terms(&mut self, column: usize, value: i128, terms: &mut Vec<Term>) {
        if self.places.len() <= column {
            self.places.resize(column + 1, [NONE; LIMBS]);
        }
        let size = value.unsigned_abs();
        for (limb, place) in self.places[column].iter_mut().enumerate() {
            #[expect(clippy::cast_possible_truncation, reason = "the other limbs follow")]
            let part = (size >> (32 * limb)) as u32;
            if part == 0 {
                continue;
            }
            if *place == NONE {
                *place = self.used;
                self.used += 1;
            }
            terms.push(Term { place: *place, limb: part, negative: value < 0 });
        }
    }

    fn check_memory(&self) -> Result<()> {
        let sums = u64::from(self.used);
        let need = sums * (self.blocks.len() * LANES * size_of::<u64>()) as u64;
        if need <= self.most {
            return Ok(());
        }
        Err(Error::Resamples { resamples: self.resamples, sums, need, most: self.most })
    }
}

/// Adds a limb as often as each resample counts its person.
fn add_times(sums: &mut [u64; LANES], times: &[u32; LANES], term: Term) {
    let limb = u64::from(term.limb);
    // Sums below zero are what they are in two's complement.
    if term.negative {
        for (sum, times) in sums.iter_mut().zip(times) {
            *sum = sum.wrapping_sub(u64::from(*times) * limb);
        }
    } else {
        for (sum, times) in sums.iter_mut().zip(times) {
            *sum = sum.wrapping_add(u64::from(*times) * limb);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["ann", "bob", "carl"];

    /// Values with every limb, of either sign.
    fn rows() -> PersonRows {
        let mut rows = PersonRows::default();
        for person in 0..3_u32 {
            for (column, value) in [
                (0, 1),
                (1, -(1_i128 << 62)),
                (2, (1 << 62) / 3),
                (3, i128::from(u64::MAX) * 7_776_001),
                (9, i128::MAX >> 5),
            ] {
                rows.push(column, value * i128::from(1 + person) / 3);
            }
            rows.end(person);
        }
        rows
    }

    #[test]
    fn sums_are_those_of_every_person_drawn_one_by_one() {
        let (draws, rows) = (Draws::Poisson { seed: 3 }, rows());
        let mut sums = Resampled::new(150, draws, 1 << 20);
        sums.add(&rows, &|person| NAMES[person as usize], &|column| column).unwrap();
        let mut times = [[0_u32; 152]; 3];
        for (name, times) in NAMES.iter().zip(&mut times) {
            draws.fill(key_of(name), 0, times);
            times[0] = 1;
        }
        for (resample, column) in (0..=150).flat_map(|at| (0..12).map(move |column| (at, column))) {
            let parts = rows.ranges().zip(&times).flat_map(|(parts, times)| {
                let of_column = parts.filter(|at| rows.columns[*at] == column);
                of_column.map(|at| rows.values[at] * i128::from(times[resample]))
            });
            assert_eq!(sums.value(column, resample), parts.sum::<i128>(), "{column} of {resample}");
        }
    }

    #[test]
    fn sums_that_are_taken_over_are_the_same() {
        let (draws, rows) = (Draws::Poisson { seed: 3 }, rows());
        let mut sums = Resampled::new(150, draws, 1 << 20);
        sums.add(&rows, &|person| NAMES[person as usize], &|column| column).unwrap();
        let mut taken = Resampled::new(150, draws, 1 << 20);
        for column in 0..12 {
            let values: Vec<i128> = sums.values(column).collect();
            taken.take_over(column, &values).unwrap();
            assert!(taken.values(column).eq(values), "{column}");
        }
        // One by one, in another order, some before and some after others of another column.
        let mut set = Resampled::new(150, draws, 1 << 20);
        for (column, resample) in (0..12).flat_map(|at| (0..=150).rev().map(move |of| (at, of))) {
            set.set(column, resample, sums.value(column, resample)).unwrap();
        }
        assert!((0..12).all(|column| set.values(column).eq(sums.values(column))));
    }

    #[test]
    fn sums_that_need_too_much_memory_are_refused() {
        let mut rows = PersonRows::default();
        for column in 0..3_000 {
            rows.push(column, 1);
        }
        rows.end(0);
        let mut sums = Resampled::new(1_000_000, Draws::Once, 2_000_000_000);
        let refused = sums.add(&rows, &|_| "ann", &|column| column).unwrap_err();
        assert!(refused.to_string().contains("24.0 GB"), "{refused}");
    }
}
