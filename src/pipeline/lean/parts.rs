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
    /// How many parts there are.
    pub(super) const COUNT: u32 = 128;

    /// No touches of so many persons, to be held in memory.
    pub(super) fn in_memory(persons: usize) -> Self {
        Self::new(persons, Store::Memory((0..Self::COUNT).map(|_| Mutex::default()).collect()))
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

    /// Adds touches, in any order.
    pub(super) fn add(&self, touches: &[Touch]) -> Result<()> {
        let parts: Vec<u32> = touches.iter().map(|touch| touch.person / self.width).collect();
        let (order, starts) = group_rows(&parts, Self::COUNT as usize);
        for (part, range) in starts.windows(2).enumerate().filter(|(_, range)| range[0] < range[1])
        {
            let of_part = &order[range[0] as usize..range[1] as usize];
            let of_part = of_part.iter().map(|row| touches[*row as usize]);
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
        let first = self.width.saturating_mul(part).min(self.persons);
        let touches = match &self.store {
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
        Ok(Part { persons: first..(first + self.width).min(self.persons), touches, views_from })
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
        let (memory, disk) = (Parts::in_memory(1_000), Parts::on_disk(1_000).unwrap());
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
}
