//! Users that no table but those of touches names: each is a person of its own, and none ordered.
//!
//! Where only orders are asked after, it is enough to count them. Models that learn look at their touches
//! too, as at those of anybody who did not order; such touches are numbered in memory, or wait on disk
//! with the ids of their users, because numbers of users that only touches know would need memory for
//! every one of them.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use arrow::array::{Array, AsArray, StringViewArray};
use arrow::datatypes::TimestampMicrosecondType;
use hashbrown::{DefaultHashBuilder, HashMap};

use super::Numbers;
use crate::error::Result;
use crate::ids::{Directory, Distinct, UNKNOWN, group_rows};
use crate::input::Passing;
use crate::journeys::{Part, Touch};
use crate::spill::Buckets;

/// Users that no other table names, while touches are read.
pub(super) enum Strangers {
    /// Only how many there are is asked.
    Counted(Distinct),
    /// They are numbered after so many others, and their touches are held like those of others.
    Numbered(u32, Directory),
    /// Their touches are on disk.
    Spilled(Spilled),
}

impl Strangers {
    /// Nobody yet, beside so many users that are known.
    ///
    /// # Errors
    ///
    /// A place that cannot be written to.
    pub(super) fn new(known: usize, looked_at: bool, on_disk: bool) -> Result<Self> {
        let known = u32::try_from(known).expect("users are numbered in 32 bits");
        Ok(match (looked_at, on_disk) {
            (false, true) => Self::Counted(Distinct::on_disk()?),
            (false, false) => Self::Counted(Distinct::in_memory()),
            (true, true) => Self::Spilled(Spilled::new(known)?),
            (true, false) => Self::Numbered(known, Directory::default()),
        })
    }

    /// Meets the users of a batch that have no number, and gives them one where their touches are held
    /// like those of others.
    ///
    /// # Panics
    ///
    /// With more than 2^32 users.
    pub(super) fn number(&self, users: &StringViewArray, numbers: &mut [u32]) -> Result<()> {
        let unknown = (0..).zip(numbers.iter()).filter(|(_, number)| **number == UNKNOWN);
        let unknown: Vec<u32> = unknown.map(|(row, _)| row).collect();
        match self {
            Self::Counted(distinct) => distinct.meet(users, &unknown)?,
            Self::Numbered(known, directory) => {
                directory.number_rows(users, &unknown, |row, number| {
                    let number = known.checked_add(number).filter(|number| *number != UNKNOWN);
                    numbers[row as usize] = number.expect("users are numbered in 32 bits");
                });
            }
            Self::Spilled(_) => {}
        }
        Ok(())
    }

    /// Takes touches of those without a number to disk, where they go there; `first` is the number of
    /// the first touch of the table.
    pub(super) fn pass(&self, passing: &Passing<'_>, first: u32) -> Result<()> {
        match self {
            Self::Spilled(spilled) => spilled.pass(passing, first),
            Self::Counted(_) | Self::Numbered(..) => Ok(()),
        }
    }

    /// Learns what the looks of a row group are called, of sessions or of views.
    pub(super) fn end(&self, views: bool, group: usize, looks: impl Iterator<Item = u32>) {
        if let Self::Spilled(Spilled { looks: known, .. }) = self {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert((views, group), looks.collect());
        }
    }

    /// How many there are, and their touches where those are on disk.
    pub(super) fn ended(self) -> Result<(u64, Option<Spilled>)> {
        match self {
            Self::Counted(distinct) => Ok((distinct.count()?, None)),
            Self::Numbered(_, directory) => Ok((directory.close().len() as u64, None)),
            Self::Spilled(spilled) => Ok((spilled.count()?, Some(spilled))),
        }
    }
}

/// Touches on disk with the ids of their users, divided by the hashes of these.
pub(super) struct Spilled {
    /// How many users are known: whoever is met here is numbered after them.
    known: u32,
    hasher: DefaultHashBuilder,
    buckets: Buckets,
    /// What the looks of each row group are called, sessions before views.
    looks: Mutex<BTreeMap<(bool, usize), Vec<u32>>>,
}

/// A touch on disk.
struct Record<'a> {
    at: i64,
    number: u32,
    /// The look, numbered by row group.
    look: u32,
    user: &'a [u8],
}

impl Spilled {
    /// How many parts touches are divided into.
    pub(super) const PARTS: u32 = 256;

    fn new(known: u32) -> Result<Self> {
        Ok(Self {
            known,
            hasher: DefaultHashBuilder::default(),
            buckets: Buckets::new(Self::PARTS as usize)?,
            looks: Mutex::default(),
        })
    }

    fn pass(&self, passing: &Passing<'_>, first: u32) -> Result<()> {
        let Passing { before, rows, users, looks, .. } = *passing;
        let ids = rows.column_by_name("user_external_id").map(|ids| ids.as_string_view());
        let at = rows.column_by_name("created_at");
        let at = at.map(|at| at.as_primitive::<TimestampMicrosecondType>());
        let Some((ids, at)) = ids.zip(at) else { return Ok(()) };
        let id = |row: usize| if ids.is_valid(row) { ids.value(row).as_bytes() } else { &[] };
        let unknown = (0..users.len()).filter(|row| users[*row] == UNKNOWN);
        let unknown: Vec<usize> = unknown.collect();
        let part = |row: &usize| (self.hasher.hash_one(id(*row)) >> 56) as u32;
        let parts: Vec<u32> = unknown.iter().map(part).collect();
        let (order, starts) = group_rows(&parts, Self::PARTS as usize);
        let mut bytes = Vec::new();
        for (part, range) in starts.windows(2).enumerate().filter(|(_, range)| range[0] < range[1])
        {
            bytes.clear();
            for place in &order[range[0] as usize..range[1] as usize] {
                let row = unknown[*place as usize];
                let of_batch = u32::try_from(row).unwrap_or(u32::MAX);
                let number = first.saturating_add(before).saturating_add(of_batch);
                let (at, look) = (at.value(row), looks[row]);
                Record { at, number, look, user: id(row) }.encode(&mut bytes);
            }
            self.buckets.add(part, &bytes)?;
        }
        Ok(())
    }

    fn count(&self) -> Result<u64> {
        let mut count = 0;
        for part in 0..self.buckets.count() {
            let bytes = self.buckets.read(part)?;
            let mut users: HashMap<&[u8], ()> = HashMap::new();
            users.extend(Record::all(&bytes).map(|record| (record.user, ())));
            count += users.len() as u64;
        }
        Ok(count)
    }

    /// The touches of a part.
    pub(super) fn part(&self, part: u32, numbers: &Numbers) -> Result<Part> {
        let bytes = self.buckets.read(part as usize)?;
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let looks: Vec<&[u32]> = looks.values().map(Vec::as_slice).collect();
        let mut persons: HashMap<&[u8], u32> = HashMap::new();
        let touches = Record::all(&bytes).map(|Record { at, number, look, user }| {
            let next = self.known + u32::try_from(persons.len()).unwrap_or(u32::MAX);
            let person = *persons.entry(user).or_insert(next);
            let look = looks[numbers.group(number)][look as usize];
            Touch { at, person, look, number, user: person }
        });
        let touches = touches.collect();
        let end = self.known + u32::try_from(persons.len()).unwrap_or(u32::MAX);
        Ok(Part { persons: self.known..end, touches, views_from: numbers.views_from })
    }
}

impl<'a> Record<'a> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        let Self { at, number, look, user } = self;
        bytes.extend(at.to_le_bytes());
        let length = u32::try_from(user.len()).unwrap_or(u32::MAX);
        for number in [*number, *look, length] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(*user);
    }

    /// The touches of a bucket.
    fn all(bytes: &'a [u8]) -> impl Iterator<Item = Self> {
        let mut rest = bytes;
        std::iter::from_fn(move || {
            let (at, others) = rest.split_first_chunk()?;
            let (number, others) = others.split_first_chunk()?;
            let (look, others) = others.split_first_chunk()?;
            let (length, others) = others.split_first_chunk()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
            let (user, others) = others.split_at_checked(length)?;
            rest = others;
            Some(Self {
                at: i64::from_le_bytes(*at),
                number: u32::from_le_bytes(*number),
                look: u32::from_le_bytes(*look),
                user,
            })
        })
    }
}
