//! Touches divided by their persons, so that a part of them is put in order and worked on at a time.
//!
//! Parts are held in memory, or on disk where a run has a limit that they would go beyond. The format
//! on disk is private to one run and gone with it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::ids::group_rows;
use crate::journeys::{Part, Touch};
use crate::spill::Buckets;

/// Bytes of a touch on disk.
const BYTES: usize = 24;

/// Touches by person: taken in from any number of threads, then worked on part by part.
///
/// Persons that are known come first. Whoever is numbered after them may come while touches are read, and
/// is in a part of others like that; where there are any, there are twice as many parts.
pub(super) struct Parts {
    persons: u32,
    /// How many persons a part has, but for the last.
    width: u32,
    store: Store,
}

enum Store {
    /// What came together stays together until it is worked on.
    Memory(Vec<Mutex<Vec<Vec<Touch>>>>),
    /// What was added lies in the bucket of each part.
    Disk(Buckets),
}

impl Parts {
    /// How many parts the persons have that are known.
    pub(super) const COUNT: u32 = 128;

    /// No touches of so many persons, to be held in memory; with `more`, of others too.
    pub(super) fn in_memory(persons: usize, more: bool) -> Self {
        let parts = if more { 2 * Self::COUNT } else { Self::COUNT };
        Self::new(persons, Store::Memory((0..parts).map(|_| Mutex::default()).collect()))
    }

    /// No touches of so many persons, to be held on disk.
    pub(super) fn on_disk(persons: usize) -> Result<Self> {
        Ok(Self::new(persons, Store::Disk(Buckets::new(Self::COUNT as usize)?)))
    }

    fn new(persons: usize, store: Store) -> Self {
        let persons = u32::try_from(persons).expect("users are numbered in 32 bits");
        Self { persons, width: persons.div_ceil(Self::COUNT).max(1), store }
    }

    /// Whether touches are held on disk.
    pub(super) fn are_on_disk(&self) -> bool {
        matches!(self.store, Store::Disk(_))
    }

    /// How many parts there are.
    pub(super) fn count(&self) -> u32 {
        match &self.store {
            Store::Memory(parts) => u32::try_from(parts.len()).unwrap_or(u32::MAX),
            Store::Disk(_) => Self::COUNT,
        }
    }

    /// The part of a person, and its number there, which is its own but for those who are not known.
    fn place(&self, person: u32) -> (u32, u32) {
        match person.checked_sub(self.persons) {
            None => (person / self.width, person),
            Some(more) => (Self::COUNT + more % Self::COUNT, self.persons + more / Self::COUNT),
        }
    }

    /// Adds touches, in any order.
    pub(super) fn add(&self, touches: &[Touch]) -> Result<()> {
        let parts: Vec<u32> = touches.iter().map(|touch| self.place(touch.person).0).collect();
        let (order, starts) = group_rows(&parts, self.count() as usize);
        for (part, range) in starts.windows(2).enumerate().filter(|(_, range)| range[0] < range[1])
        {
            let of_part = &order[range[0] as usize..range[1] as usize];
            let of_part = of_part.iter().map(|row| touches[*row as usize]);
            let of_part =
                of_part.map(|touch| Touch { person: self.place(touch.person).1, ..touch });
            match &self.store {
                Store::Memory(parts) => lock(&parts[part]).push(of_part.collect()),
                Store::Disk(buckets) => {
                    let mut bytes = Vec::with_capacity(of_part.len() * BYTES);
                    of_part.for_each(|touch| encode(touch, &mut bytes));
                    buckets.add(part, &bytes)?;
                }
            }
        }
        Ok(())
    }

    /// The touches of a part.
    pub(super) fn part(&self, part: u32, views_from: u32) -> Result<Part> {
        let touches: Vec<Touch> = match &self.store {
            // Row groups come from any thread; in their own order touches are nearly in theirs.
            Store::Memory(parts) => {
                let mut groups = lock(&parts[part as usize]);
                groups.sort_unstable_by_key(|group| group.first().map(|touch| touch.number));
                groups.concat()
            }
            Store::Disk(buckets) => {
                buckets.read(part as usize)?.as_chunks::<BYTES>().0.iter().map(decode).collect()
            }
        };
        let first = self.width.saturating_mul(part).min(self.persons);
        let end = if part < Self::COUNT {
            (first + self.width).min(self.persons)
        } else {
            touches.iter().map(|touch| touch.person + 1).max().unwrap_or(first)
        };
        Ok(Part { persons: first..end, touches, views_from })
    }

    /// Holds a part in the order that it was put in, where parts are in memory.
    pub(super) fn hold(&self, part: u32, touches: Vec<Touch>) {
        if let Store::Memory(parts) = &self.store {
            *lock(&parts[part as usize]) = vec![touches];
        }
    }

    /// Forgets a part that is in memory.
    pub(super) fn forget(&self, part: u32) {
        self.hold(part, Vec::new());
    }
}

/// Whoever panicked with a lock in hand has ended the run already.
fn lock<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

fn encode(touch: Touch, bytes: &mut Vec<u8>) {
    let Touch { at, person, look, number, user } = touch;
    bytes.extend(at.to_le_bytes());
    for number in [person, look, number, user] {
        bytes.extend(number.to_le_bytes());
    }
}

fn decode(bytes: &[u8; BYTES]) -> Touch {
    let (at, rest) = bytes.split_first_chunk().unwrap_or((&[0; 8], &[]));
    let number = |place: usize| {
        let bytes = rest.get(4 * place..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    };
    Touch {
        at: i64::from_le_bytes(*at),
        person: number(0),
        look: number(1),
        number: number(2),
        user: number(3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touches_come_back_from_disk_as_from_memory() {
        let touches: Vec<Touch> = (0..10_000_u32)
            .map(|number| Touch {
                at: i64::from(number) - 5_000,
                person: number * 7 % 1_000,
                look: number % 3,
                number,
                user: number + 1,
            })
            .collect();
        let (memory, disk) = (Parts::in_memory(1_000, false), Parts::on_disk(1_000).unwrap());
        for some in touches.chunks(3_000) {
            memory.add(some).unwrap();
            disk.add(some).unwrap();
        }
        let mut persons = 0;
        let mut met = 0;
        for part in 0..Parts::COUNT {
            let (held, spilled) = (memory.part(part, 9).unwrap(), disk.part(part, 9).unwrap());
            assert_eq!((&held.touches, &held.persons), (&spilled.touches, &spilled.persons));
            assert_eq!(disk.part(part, 9).unwrap().touches, held.touches);
            assert!(held.touches.iter().all(|touch| held.persons.contains(&touch.person)));
            assert_eq!(held.persons.start, persons);
            persons = held.persons.end;
            met += held.touches.len();
        }
        assert_eq!((persons, met), (1_000, touches.len()));
    }

    #[test]
    fn persons_that_come_later_have_parts_of_their_own() {
        let touch = |number: u32, person| Touch { person, number, ..Touch::default() };
        let parts = Parts::in_memory(3, true);
        let touches: Vec<Touch> = (0..900).map(|number| touch(number, number % 300)).collect();
        parts.add(&touches).unwrap();
        let of_part = |part| parts.part(part, 900).unwrap();
        let known: usize = (0..Parts::COUNT).map(|part| of_part(part).touches.len()).sum();
        assert_eq!((known, parts.count()), (9, 256));
        let (mut persons, mut met) = (0, 0);
        for part in (Parts::COUNT..parts.count()).map(of_part) {
            assert!(part.touches.iter().all(|touch| part.persons.contains(&touch.person)));
            assert_eq!(part.touches.len(), 3 * part.persons.len());
            assert_eq!(part.persons.start, 3);
            persons += part.persons.len();
            met += part.touches.len();
        }
        assert_eq!((persons, met), (297, 891));
    }
}
