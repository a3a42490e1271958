//! What models learn, and what they credit by it, where persons count other times.
//!
//! Each person's part of what models count is worked out once, as whole numbers; what a resample counts
//! is their sum, from which models learn as from any counts. What they credit then is worked out order by
//! order, as for everybody, and added as often as the resample counts its person. Not for how often that
//! is; that is `bootstrap`.

use std::collections::BTreeMap;

use crate::bootstrap::{PersonRows, Resampled};
use crate::engine::learning::each_end;
use crate::engine::partition::Walk;
use crate::engine::{
    ByChannel, Cells, Evidence, Observed, Partition, TouchChannels, Work, attribute, in_waves,
    partitions,
};
use crate::error::{Error, Result};
use crate::models::{Asked, Counts, Outcome};
use crate::stop;

/// What stands behind a channel, as the last number of a key: touches, orders and journeys that ended
/// in none.
const TOUCHES: u32 = 0;
const CONVERTED: u32 = 1;
const LOST: u32 = 2;

/// What is counted in each resample, the data as they are first, by the number of a list and a key in it.
pub type CountsByKeys = BTreeMap<(usize, Vec<u32>), Vec<i128>>;

/// What models counted in each resample; the first of them is of the data as they are.
pub struct ResampledCounts {
    sums: Resampled,
    /// The keys of each model, and last those of what stands behind channels.
    keys: Vec<Counts>,
}

/// What the persons of a partition add to what models count.
struct OfPersons {
    /// As in [`ResampledCounts`].
    keys: Vec<Counts>,
    /// Columns are places of keys times the number of lists of keys, plus the list.
    rows: PersonRows,
}

impl ResampledCounts {
    /// Adds up what models count of every person: `sums` holds nothing yet, `name` tells their ids.
    ///
    /// # Errors
    ///
    /// Sums that need more memory than they may take.
    pub fn new<'n>(
        work: &Work<'_>,
        partitions: &[Partition<'_>],
        mut sums: Resampled,
        name: &(dyn Fn(u32) -> &'n str + Sync),
    ) -> Result<Self> {
        let mut keys = vec![Counts::default(); work.models.len() + 1];
        let wave = 4 * rayon::current_num_threads();
        let one = |partition: Partition<'_>| OfPersons::new(work, partition);
        in_waves(partitions, wave, one, |_, persons| {
            let lists = keys.len();
            let places: Vec<Vec<usize>> =
                keys.iter_mut().zip(&persons.keys).map(|(all, some)| all.merge(some)).collect();
            let column = |at: usize| places[at % lists][at / lists] * lists + at % lists;
            sums.add(&persons.rows, name, &column)
        })?;
        Ok(Self { sums, keys })
    }

    /// What is counted of every key in each resample, the data as they are first: by the number of its model,
    /// or, of what stands behind channels, the number of models.
    pub fn by_keys(&self) -> CountsByKeys {
        let lists = self.keys.len();
        let of_list = |(list, keys): (usize, &Counts)| -> Vec<_> {
            let counted = |(at, (key, _)): (usize, (&[u32], u64))| {
                ((list, key.to_vec()), self.sums.values(at * lists + list).collect())
            };
            keys.keys().enumerate().map(counted).collect()
        };
        self.keys.iter().enumerate().flat_map(of_list).collect()
    }

    /// The same from [`by_keys`](Self::by_keys) of persons who were counted apart; `sums` holds nothing yet.
    ///
    /// # Errors
    ///
    /// Sums that need more memory than they may take.
    pub fn of_keys(models: usize, mut sums: Resampled, all: &CountsByKeys) -> Result<Self> {
        let lists = models + 1;
        let mut keys = vec![Counts::default(); lists];
        for ((list, key), numbers) in all {
            let known = keys.get_mut(*list).ok_or_else(|| {
                Error::Broken(format!("counts of {} of {models} models", list + 1))
            })?;
            let place = known.add(key, 1);
            sums.take_over(place * lists + list, numbers)?;
        }
        Ok(Self { sums, keys })
    }

    /// What is counted in a resample, counted from one; 0 is the data as they are.
    pub fn observed(
        &self,
        models: &[Asked],
        channels: &TouchChannels,
        resample: usize,
    ) -> Observed {
        let lists = self.keys.len();
        let of_list = |(list, keys): (usize, &Counts)| {
            // Sums of counts are none below zero, and fit where counts do.
            let times = |at: usize| self.sums.value(at * lists + list, resample);
            keys.counted(&|at| u64::try_from(times(at)).unwrap_or_default())
        };
        let mut counts: Vec<Counts> = self.keys.iter().enumerate().map(of_list).collect();
        let behind = counts.pop().unwrap_or_default();
        let mut observed = Observed::new(models, channels);
        observed.counts = counts;
        for (key, times) in behind.keys() {
            let evidence: &mut Evidence = &mut observed.evidence[key[0] as usize][key[1] as usize];
            match key[2] {
                TOUCHES => evidence.touches += times,
                CONVERTED => evidence.orders += times,
                _ => evidence.lost += times,
            }
        }
        observed
    }
}

impl OfPersons {
    fn new(work: &Work<'_>, partition: Partition<'_>) -> Result<Self> {
        let lists = work.models.len() + 1;
        let nothing = || vec![Counts::default(); lists];
        let (mut all, mut own) = (Self { keys: nothing(), rows: PersonRows::default() }, nothing());
        let (mut walk, mut codes, mut sorted) = (Walk::default(), Vec::new(), Vec::new());
        for person in partition.persons {
            each_end(work, partition, *person, &mut walk, |selected, at, order| {
                let outcome = Outcome::of(order);
                work.codes(selected, &mut codes);
                for (number, asked) in work.models.iter().enumerate() {
                    if asked.model.learns() {
                        let journey = work.journey(number, selected, at, &codes);
                        asked.model.observe(journey, outcome, 1, &mut own[number]);
                    }
                }
                for (column, codes) in (0..).zip(&codes) {
                    back(column, codes, outcome, &mut sorted, &mut own[lists - 1]);
                }
            })?;
            for (list, (own, keys)) in own.iter_mut().zip(&mut all.keys).enumerate() {
                for (key, times) in own.keys() {
                    let place = keys.add(key, times);
                    all.rows.push(place * lists + list, times.into());
                }
                own.clear();
            }
            all.rows.end(*person);
        }
        Ok(all)
    }
}

/// Counts what stands behind the channels of a journey, those of a column.
fn back(column: u32, codes: &[u32], outcome: Outcome, sorted: &mut Vec<u32>, counts: &mut Counts) {
    let end = match outcome {
        Outcome::Converted => CONVERTED,
        Outcome::Lost => LOST,
    };
    sorted.clear();
    sorted.extend(codes);
    sorted.sort_unstable();
    for run in sorted.chunk_by(|left, right| left == right) {
        counts.add(&[column, run[0], TOUCHES], run.len() as u64);
        counts.add(&[column, run[0], end], 1);
    }
}

/// What models that learnt credit in a resample.
pub struct Recredited {
    /// The numbers of all cells of the report; only those that models that learn credit say something.
    pub numbers: Vec<i128>,
    /// The credit by channel.
    pub by_channel: ByChannel,
}

/// Divides the orders of a resample by what models learnt: those of the persons that it counts once, then
/// of those that it counts twice, and so on; `among` are the cells of everybody.
///
/// What persons add who are counted alike is added up before it is multiplied.
///
/// # Errors
///
/// A rule that gives a weight that is negative or not finite; a cell that is not among those of everybody.
pub fn credit_drawn(work: &Work<'_>, among: &Cells, drawn: &[Vec<u32>]) -> Result<Recredited> {
    let work = Work { by_person: false, relearns: true, credits: false, journeys: false, ..*work };
    let mut numbers = vec![0; among.len() * among.width()];
    let mut by_channel = ByChannel::new(&work);
    for (times, persons) in (1..).zip(drawn) {
        for partition in partitions(&work, persons) {
            stop::check()?;
            let partial = attribute(&work, partition)?;
            partial.cells.add_times(among, times, &mut numbers)?;
            by_channel.merge_times(&partial.by_channel, times);
        }
    }
    Ok(Recredited { numbers, by_channel })
}
