//! What models learn from: the journeys of the orders that are reported, and those that led to none.
//!
//! A first pass over the same partitions as attribution, only where a model learns. What is counted
//! are integers, merged exactly; numbers with fractions begin in [`Learnt::new`], once, after the last
//! merge. Not for what a model makes of its counts.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::engine::partition::{Walk, each_journey, shown};
use crate::engine::{Partition, Work};
use crate::error::{Error, Result};
use crate::journeys::{Labels, Selected, ViewPolicy, Window};
use crate::models::{Asked, Counts, Fitted, Outcome};
use crate::stop;

/// What the channels of touches are, for the models that look at them.
#[derive(Debug, Default)]
pub struct TouchChannels {
    /// Each column that a model names: a code a touch, in the byte order of the values.
    pub columns: Vec<Labels>,
    /// The column of each model, as a position among them.
    pub of_model: Vec<Option<usize>>,
}

impl TouchChannels {
    /// One list of channels, named in their byte order, for all models that look at channels.
    pub fn of_names(models: &[Asked], values: Vec<String>) -> Self {
        let of_model = models.iter().map(|asked| asked.model.channels().map(|_| 0));
        Self { of_model: of_model.collect(), columns: vec![Labels { codes: Vec::new(), values }] }
    }

    /// The columns that models name, each labelled once by `labels`.
    pub fn new(models: &[Asked], mut labels: impl FnMut(&str) -> Labels) -> Self {
        let mut names: Vec<&str> = Vec::new();
        let mut of_model = Vec::with_capacity(models.len());
        for asked in models {
            of_model.push(asked.model.channels().map(|column| {
                let known = names.iter().position(|name| *name == column);
                known.unwrap_or_else(|| {
                    names.push(column);
                    names.len() - 1
                })
            }));
        }
        let columns = names.into_iter().map(|name| in_byte_order(labels(name))).collect();
        Self { columns, of_model }
    }

    /// The same channels, numbered as in longer lists of them, one a column, in byte order.
    ///
    /// # Errors
    ///
    /// A channel that is not in the list of its column.
    pub fn among(self, known: &[Vec<String>]) -> Result<Self> {
        let columns = self.columns.into_iter().zip(known);
        let columns = columns.map(|(labels, known)| among(labels, known));
        Ok(Self { columns: columns.collect::<Result<_>>()?, of_model: self.of_model })
    }

    /// The channels of other touches, by the row of each among those that are labelled here.
    #[must_use]
    pub fn of_rows(&self, rows: &[u32]) -> Self {
        let of_rows = |labels: &Labels| Labels {
            codes: rows.iter().map(|row| labels.codes[*row as usize]).collect(),
            values: labels.values.clone(),
        };
        Self {
            columns: self.columns.iter().map(of_rows).collect(),
            of_model: self.of_model.clone(),
        }
    }
}

/// The same labels, numbered as in a longer list of their values, in byte order.
///
/// # Errors
///
/// A value that is not in the list.
pub fn among(labels: Labels, known: &[String]) -> Result<Labels> {
    let place = |value: &String| {
        let found = known.binary_search(value).ok();
        let found = found.and_then(|place| u32::try_from(place).ok());
        found.ok_or_else(|| Error::Broken(format!("nobody has seen the channel `{value}`")))
    };
    let places: Vec<u32> = labels.values.iter().map(place).collect::<Result<_>>()?;
    let codes = labels.codes.into_iter().map(|code| places[code as usize]).collect();
    Ok(Labels { codes, values: known.to_vec() })
}

/// The same labels, numbered in the byte order of their values: codes that follow from the values
/// alone compare alike whatever the order of the rows.
pub fn in_byte_order(labels: Labels) -> Labels {
    let mut order: Vec<u32> = (0..).take(labels.values.len()).collect();
    order.sort_unstable_by_key(|code| &labels.values[*code as usize]);
    let mut place = vec![0; order.len()];
    for (code, old) in (0..).zip(&order) {
        place[*old as usize] = code;
    }
    let value = |old: &u32| labels.values[*old as usize].clone();
    Labels {
        values: order.iter().map(value).collect(),
        codes: labels.codes.into_iter().map(|old| place[old as usize]).collect(),
    }
}

/// What stands behind what is said of a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Its touches in journeys.
    pub touches: u64,
    /// The orders with such a touch.
    pub orders: u64,
    /// The journeys with such a touch that led to no order.
    pub lost: u64,
}

/// What was counted of some journeys.
#[derive(Default, Clone, Serialize, Deserialize)]
pub struct Observed {
    /// The counts of each model; none of one that does not learn.
    pub counts: Vec<Counts>,
    /// What stands behind each channel of each column.
    pub evidence: Vec<Vec<Evidence>>,
}

impl Observed {
    /// Nothing yet.
    pub fn new(models: &[Asked], channels: &TouchChannels) -> Self {
        let columns = channels.columns.iter();
        Self {
            counts: vec![Counts::default(); models.len()],
            evidence: columns
                .map(|labels| vec![Evidence::default(); labels.values.len()])
                .collect(),
        }
    }

    /// Counts what stands behind the channels of a journey, `times` times: those of a column.
    ///
    /// `sorted` is space that is used again.
    pub fn back(
        &mut self,
        column: usize,
        channels: &[u32],
        (outcome, times): (Outcome, u64),
        sorted: &mut Vec<u32>,
    ) {
        sorted.clear();
        sorted.extend(channels);
        sorted.sort_unstable();
        for run in sorted.chunk_by(|left, right| left == right) {
            let evidence = &mut self.evidence[column][run[0] as usize];
            evidence.touches += run.len() as u64 * times;
            match outcome {
                Outcome::Converted => evidence.orders += times,
                Outcome::Lost => evidence.lost += times,
            }
        }
    }

    /// Adds what was counted of other journeys.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            mine.merge(theirs);
        }
        let mine = self.evidence.iter_mut().flatten();
        for (mine, theirs) in mine.zip(other.evidence.iter().flatten()) {
            mine.touches += theirs.touches;
            mine.orders += theirs.orders;
            mine.lost += theirs.lost;
        }
    }
}

/// What the models of a run learnt.
#[derive(Default, Clone, Serialize, Deserialize)]
pub struct Learnt {
    /// What each model learnt; none of one that does not learn. Empty where none does.
    pub fitted: Vec<Option<Fitted>>,
    /// What was counted.
    pub observed: Observed,
}

/// Whether a model of the work learns.
pub fn learns(models: &[Asked]) -> bool {
    models.iter().any(|asked| asked.model.learns())
}

/// Counts the journeys of every partition in parallel, each person's so many times; counts of some
/// persons add up to those of all by [`Observed::merge`].
///
/// `times` is 1 for the data as they are; other numbers stand for persons drawn again.
pub fn observe_all(
    work: &Work<'_>,
    partitions: &[Partition<'_>],
    times: &(dyn Fn(u32) -> u64 + Sync),
) -> Result<Observed> {
    let one = |partition: &Partition<'_>| observe(work, *partition, times);
    let nothing = || Ok(Observed::new(work.models, work.channels));
    let both = |left: Result<Observed>, right: Result<Observed>| {
        let (mut left, right) = (left?, right?);
        left.merge(&right);
        Ok(left)
    };
    // Integers: whichever parts are added first, the sums are the same.
    partitions.par_iter().map(one).reduce(nothing, both)
}

impl Learnt {
    /// What models make of what was counted for them.
    pub fn new(models: &[Asked], observed: Observed) -> Result<Self> {
        let models = models.par_iter().zip(&observed.counts);
        let fitted: Vec<Result<_>> =
            models.map(|(asked, counts)| asked.model.fit(counts)).collect();
        Ok(Self { fitted: fitted.into_iter().collect::<Result<_>>()?, observed })
    }

    /// The same where some models may refuse what was counted, as of a resample that few came to: these
    /// learn nothing, and why is handed back with each.
    ///
    /// # Errors
    ///
    /// What is no refusal.
    pub fn of_resample(
        models: &[Asked],
        observed: Observed,
    ) -> Result<(Self, Vec<(usize, String)>)> {
        let (mut fitted, mut refused) = (Vec::with_capacity(models.len()), Vec::new());
        for (number, (asked, counts)) in models.iter().zip(&observed.counts).enumerate() {
            fitted.push(match asked.model.fit(counts) {
                Err(Error::Contradiction(why)) => {
                    refused.push((number, why));
                    None
                }
                other => other?,
            });
        }
        Ok((Self { fitted, observed }, refused))
    }
}

/// Counts the journeys of some persons.
fn observe(
    work: &Work<'_>,
    partition: Partition<'_>,
    times: &(dyn Fn(u32) -> u64 + Sync),
) -> Result<Observed> {
    stop::check()?;
    let mut observer = Observer {
        work,
        observed: Observed::new(work.models, work.channels),
        codes: Vec::new(),
        sorted: Vec::new(),
    };
    let mut walk = Walk::default();
    for person in partition.persons {
        let times = times(*person);
        if times == 0 {
            continue;
        }
        each_end(work, partition, *person, &mut walk, |selected, at, order| {
            observer.take(selected, at, Outcome::of(order), times);
        })?;
    }
    Ok(observer.observed)
}

/// Visits the journeys of a person that models learn from, with when each ended and the order that it
/// ended in, if in any.
pub(super) fn each_end(
    work: &Work<'_>,
    partition: Partition<'_>,
    person: u32,
    walk: &mut Walk,
    mut visit: impl FnMut(&Selected, i64, Option<usize>),
) -> Result<()> {
    each_journey(work, partition, person, walk, |order, _, selected| {
        // Orders that nothing led to say nothing of channels.
        if shown(work, order, selected) && !selected.touches.is_empty() {
            visit(selected, work.orders.at[order], Some(order));
        }
        Ok(())
    })?;
    // A person whose orders are several partitions has one end.
    if !partition.goes_on()
        && let Some(last) = lost(work, person, &mut walk.selected)
    {
        walk.selected.watch(&work.window, work.touches, work.end);
        visit(&walk.selected, last, None);
    }
    Ok(())
}

/// Selects the touches of a person that led to no order, if there are any: those after the last
/// counted order, cut like the journey of an order at the last of them. Returns when that was.
fn lost(work: &Work<'_>, person: u32, selected: &mut Selected) -> Option<i64> {
    if work.wanted.is_some_and(|wanted| !wanted[person as usize]) {
        return None;
    }
    let touches = work.touches.of(person);
    let last_order = work.orders.of(person).rfind(|order| work.orders.counted[*order]);
    let after = last_order.map(|order| work.orders.at[order]);
    let counts =
        |touch: &usize| !work.touches.view[*touch] || work.window.views != ViewPolicy::None;
    let last = work.touches.at[touches.clone().rfind(counts)?];
    let (from, until) = work.period;
    if after.is_some_and(|after| last <= after) || !(from..until).contains(&last) {
        return None;
    }
    let window = Window { overlap: false, ..work.window };
    selected.select(&window, work.touches, touches, last, after, None);
    (!selected.touches.is_empty()).then_some(last)
}

/// Counts journeys for all models.
struct Observer<'a> {
    work: &'a Work<'a>,
    observed: Observed,
    codes: Vec<Vec<u32>>,
    /// The channels of a journey, sorted.
    sorted: Vec<u32>,
}

impl Observer<'_> {
    fn take(&mut self, selected: &Selected, at: i64, outcome: Outcome, times: u64) {
        self.work.codes(selected, &mut self.codes);
        for (column, codes) in self.codes.iter().enumerate() {
            self.observed.back(column, codes, (outcome, times), &mut self.sorted);
        }
        for (number, asked) in self.work.models.iter().enumerate() {
            if asked.model.learns() {
                let journey = self.work.journey(number, selected, at, &self.codes);
                asked.model.observe(journey, outcome, times, &mut self.observed.counts[number]);
            }
        }
    }
}
