//! Where the persons of a run are worked on: partitions in, exact partial results out.
//!
//! A [`Partition`] is some whole persons; [`attribute`] does all models over its orders in one
//! pass. Partial results are integers and add up in any order, so the number of threads or
//! partitions changes nothing. `learning` is a pass before it, where models learn from journeys.
//! `paths` adds the same journeys up by their channels.
//! `telling` says of one order how it was attributed.
//! `persons` keeps each person's part of the sums, where they are resampled, and `relearning` lets models
//! learn from resamples. `changes` compares the
//! journeys that the same orders have when
//! touches belong to others. Not for what comes before (ordered columns) or after (reports).

mod cells;
mod changes;
mod destinations;
mod learning;
mod partition;
mod paths;
mod persons;
mod relearning;
mod roles;
mod telling;

use std::collections::BTreeSet;

use rayon::prelude::*;

pub use cells::{Cell, Cells, Credited, UNATTRIBUTED_CELL};
pub use changes::{Change, Changed, Changes, Side};
pub use learning::{
    Evidence, Learnt, Observed, TouchChannels, among, in_byte_order, learns, observe_all,
};
pub use partition::{
    ByChannel, CreditRows, JourneyRows, Others, Partial, Partition, Parts, Tally, Work, attribute,
    attribute_all, weigh,
};
pub use paths::{PathSums, PathTotals, path_sums};
pub use relearning::{CountsByKeys, Recredited, ResampledCounts, credit_drawn};
pub use roles::{ByRole, Part, ROLES};
pub use telling::{Division, Told, tell};

use crate::error::Result;
use crate::stop;

/// Touches and orders that a partition has at least, unless it is the last.
const PARTITION_ROWS: usize = 50_000;

/// Touches times orders of a person beyond which its orders are several partitions: a robot's, of
/// which any order may have any touch.
const PERSON_TOUCHES: usize = 2_000_000;

/// The same where rows are written of each touch: they are in memory together.
const WRITTEN_TOUCHES: usize = 1 << 16;

/// Cuts persons into partitions of about the same number of rows, in their given order.
///
/// Without persons there is one partition, of nobody: its tables have no rows, and their columns.
pub fn partitions<'a>(work: &Work<'_>, persons: &'a [u32]) -> Vec<Partition<'a>> {
    let mut partitions = Vec::new();
    let (mut start, mut rows) = (0, 0);
    let writes = work.credits || work.journeys;
    let most = if writes { WRITTEN_TOUCHES } else { PERSON_TOUCHES };
    for (at, person) in persons.iter().enumerate() {
        let (touches, orders) = (work.touches.of(*person).len(), work.orders.of(*person).len());
        let pairs = touches.saturating_mul(orders);
        if pairs > most {
            if start < at {
                partitions.push(Partition::whole(&persons[start..at]));
            }
            let some = (most / touches).max(1);
            partitions.extend(
                (0..orders).step_by(some).map(|from| Partition {
                    persons: &persons[at..=at],
                    orders: (from, from + some),
                }),
            );
            (start, rows) = (at + 1, 0);
            continue;
        }
        // A touch of several orders is as many rows, where they are written.
        rows += if writes && work.window.overlap { pairs } else { touches } + orders;
        if rows >= PARTITION_ROWS {
            partitions.push(Partition::whole(&persons[start..=at]));
            (start, rows) = (at + 1, 0);
        }
    }
    if start < persons.len() || partitions.is_empty() {
        partitions.push(Partition::whole(&persons[start..]));
    }
    partitions
}

/// A partition and the work on it.
pub type Task<'a> = (&'a Work<'a>, Partition<'a>);

/// The work on persons, cut into [`partitions`].
pub fn tasks<'a>(work: &'a Work<'a>, persons: &'a [u32]) -> impl Iterator<Item = Task<'a>> {
    partitions(work, persons).into_iter().map(move |partition| (work, partition))
}

/// Attributes every partition, and makes of each partial result what `also` does, in parallel too;
/// see [`in_waves`].
pub fn run<T: Send>(
    tasks: &[Task<'_>],
    wave: usize,
    also: impl Fn(&Partial) -> Result<T> + Sync,
    mut take: impl FnMut(Partial, T) -> Result<()> + Send,
) -> Result<()> {
    // Where the person of the last partition was counted, in case the next one goes on with it.
    let mut counted = BTreeSet::new();
    let one = |(work, partition): Task<'_>| {
        let partial = attribute(work, partition)?;
        let made = also(&partial)?;
        Ok((partial, made))
    };
    in_waves(tasks, wave, one, |(_, partition), (mut partial, made)| {
        if !partition.goes_on() {
            counted.clear();
        }
        if partition.orders != Partition::whole(&[]).orders {
            partial.cells.count_once(&mut counted);
            partial.cells.recount(&mut partial.by_person);
        }
        take(partial, made)
    })
}

/// Works on partitions in parallel and hands over what comes of each in their order, so that what is
/// written from it is in order.
///
/// `wave` results are held in memory at a time, and no more. While half of them are handed over the next are worked
/// on, where half keeps every thread busy.
pub fn in_waves<P: Copy + Sync, T: Send>(
    partitions: &[P],
    wave: usize,
    work: impl Fn(P) -> Result<T> + Sync,
    mut take: impl FnMut(&P, T) -> Result<()> + Send,
) -> Result<()> {
    let one = |partition: &P| {
        stop::check()?;
        work(*partition)
    };
    let mut take_all = |partitions: &[P], partials: Vec<Result<T>>| {
        let mut both = partitions.iter().zip(partials);
        both.try_for_each(|(partition, partial)| take(partition, partial?))
    };
    let by_halves = wave >= 2 * rayon::current_num_threads();
    let together = if by_halves { wave / 2 } else { wave.max(1) };
    let (mut before, mut done) = (&partitions[..0], Vec::new());
    for some in partitions.chunks(together) {
        let (taken, next) = rayon::join(
            || take_all(before, done),
            // One by one: none waits behind another while a thread has nothing to do.
            || some.par_iter().with_max_len(1).map(one).collect::<Vec<Result<T>>>(),
        );
        taken?;
        (before, done) = (some, next);
        if !by_halves {
            take_all(before, std::mem::take(&mut done))?;
        }
    }
    take_all(before, done)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A result that is counted for as long as it is held.
    struct Held<'a>(usize, &'a AtomicUsize);

    impl Drop for Held<'_> {
        fn drop(&mut self) {
            self.1.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn no_more_results_are_held_than_are_asked_for_and_they_come_in_order() {
        let partitions: Vec<usize> = (0..50).collect();
        for wave in 0..20 {
            let (held, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let work = |partition| {
                most.fetch_max(held.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                Ok(Held(partition, &held))
            };
            let mut taken = Vec::new();
            in_waves(&partitions, wave, work, |partition, result| {
                assert_eq!(*partition, result.0);
                taken.push(result.0);
                Ok(())
            })
            .unwrap();
            assert_eq!(taken, partitions);
            assert!(most.into_inner() <= wave.max(1), "a wave of {wave}");
        }
    }
}
