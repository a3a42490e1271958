//! Lets models learn and divides the credit of every order, one partition of persons at a time.
//!
//! Not for the work on a partition; that is `engine`.

use std::collections::BTreeSet;
use std::ops::Range;

use arrow::array::RecordBatch;
use rayon::prelude::*;

use super::lean::Waiting;
use super::{
    MergedTables, Named, Ordered, People, Unlearnt, Writers, bootstrap, touch_columns, vias,
};
use crate::bootstrap::Resampled;
use crate::config::Config;
use crate::engine::{
    ByChannel, Cells, Learnt, Observed, Partial, Tally, TouchChannels, UNATTRIBUTED_CELL, Work,
};
use crate::error::Result;
use crate::journeys::Touches;
use crate::kept::Frame;
use crate::models::Fitted;
use crate::output::plain;
use crate::report::{
    CreditTable, EffectsReport, MeasureSet, OrderSums, TextOf, credit_rows, journey_rows,
};
use crate::{engine, kept, report};

/// The sums of all partitions.
pub(super) struct Attributed {
    pub(super) cells: Cells,
    pub(super) tally: Tally,
    /// What is known of orders alone, where that is wanted.
    pub(super) orders: OrderSums,
    /// The numbers of the cells in each resample, where there are any: without what models that learn
    /// credit, until they learn anew in each.
    pub(super) resampled: Option<Resampled>,
    /// The resamples in which they cannot.
    pub(super) unlearnt: Unlearnt,
    /// What models learnt of channels, where any learns.
    pub(super) effects: EffectsReport,
    /// What models learnt.
    pub(super) learnt: Learnt,
    /// What models that learnt credit to each channel.
    pub(super) by_channel: ByChannel,
}

/// The work on partitions, without credit or journey rows.
pub(super) fn work<'a>(config: &'a Config, ordered: &'a Ordered, named: &'a Named) -> Work<'a> {
    Work {
        touches: &ordered.touches,
        orders: &ordered.orders,
        touch_cells: &named.touch_cells,
        unattributed: if named.has_touch_dimensions { UNATTRIBUTED_CELL } else { 0 },
        order_cells: &named.order_cells,
        parts: named.parts.as_ref(),
        replacements: &ordered.replacements,
        window: ordered.window,
        models: &config.models,
        fitted: &[],
        channels: &named.channels,
        others: named.others.as_ref(),
        wanted: ordered.wanted_persons.as_deref(),
        date_by: config.date_by,
        period: ordered.period,
        end: ordered.end,
        currencies: ordered.amounts.currencies.len(),
        credits: false,
        journeys: false,
        by_role: config.measures == MeasureSet::All,
        by_person: config.bootstrap.is_some(),
        relearns: false,
    }
}

/// Lets the models of a run learn from the journeys of every person, if any of them does.
pub(super) fn learn(
    work: &Work<'_>,
    (ordered, named): (&Ordered, &Named),
    people: &People,
) -> Result<Learnt> {
    if !engine::learns(work.models) {
        return Ok(Learnt::default());
    }
    Learnt::new(work.models, observe(work, (ordered, named), people)?)
}

/// Counts what models learn from: the journeys of every person.
pub(super) fn observe(
    work: &Work<'_>,
    (ordered, named): (&Ordered, &Named),
    people: &People,
) -> Result<Observed> {
    let mut observed = Observed::new(work.models, work.channels);
    each_part(
        work,
        (ordered, named),
        people,
        |work, persons| engine::observe_all(work, &engine::partitions(work, persons), &|_| 1),
        |part| observed.merge(&part),
    )?;
    Ok(observed)
}

/// Works on everybody who has touches, in parts where touches wait, and hands over what comes of each.
///
/// Persons are numbered by the order of rows, and parts follow from that, so nothing may come of it but
/// what adds up.
pub(super) fn each_part<T: Send>(
    work: &Work<'_>,
    (ordered, named): (&Ordered, &Named),
    people: &People,
    each: impl Fn(&Work<'_>, &[u32]) -> Result<T> + Sync,
    mut take: impl FnMut(T),
) -> Result<()> {
    let Some(waiting) = &ordered.waiting else {
        let persons = persons_with_touches(work, (0..).take(people.identity.person.len()));
        take(each(work, &persons)?);
        return Ok(());
    };
    let of_part = |part: &u32| {
        let arrived = Arrived::new(waiting, *part, named)?;
        let work = arrived.work(*work);
        each(&work, &persons_with_touches(&work, arrived.persons.clone()))
    };
    for parts in waiting.of_everybody().chunks(waiting.together()) {
        let done: Vec<T> = parts.par_iter().map(of_part).collect::<Result<_>>()?;
        done.into_iter().for_each(&mut take);
    }
    Ok(())
}

/// Those of some persons who have touches.
pub(super) fn persons_with_touches(
    work: &Work<'_>,
    persons: impl Iterator<Item = u32>,
) -> Vec<u32> {
    persons.filter(|person| !work.touches.of(*person).is_empty()).collect()
}

/// The persons with orders.
pub(super) fn persons_with_orders(merged: &MergedTables) -> Vec<u32> {
    let mut persons = merged.orders.person.clone();
    persons.sort_unstable();
    persons.dedup();
    persons
}

/// Lets models learn, and divides the credit of every order by what they learnt.
pub(super) fn attribute(
    config: &Config,
    merged: &MergedTables,
    ordered: &Ordered,
    named: &Named,
    people: &People,
    writers: &mut Writers,
) -> Result<Attributed> {
    let learnt = learn(&work(config, ordered, named), (ordered, named), people)?;
    attribute_learnt(config, (merged, people), ordered, named, learnt, writers)
}

/// Divides the credit of every order by what models learnt, and says what they learnt of channels.
pub(super) fn attribute_learnt(
    config: &Config,
    whose: (&MergedTables, &People),
    ordered: &Ordered,
    named: &Named,
    learnt: Learnt,
    writers: &mut Writers,
) -> Result<Attributed> {
    let mut sums = attribute_by(config, whose, ordered, named, &learnt.fitted, writers)?;
    let models: Vec<String> = config.models.iter().map(|asked| asked.name.clone()).collect();
    let currencies = &ordered.amounts.currencies;
    sums.effects =
        EffectsReport::new(&models, &learnt, &named.channels, &sums.by_channel, currencies)?;
    sums.learnt = learnt;
    Ok(sums)
}

/// Divides the credit of every order by what models learnt.
pub(super) fn attribute_by(
    config: &Config,
    (merged, people): (&MergedTables, &People),
    ordered: &Ordered,
    named: &Named,
    fitted: &[Option<Fitted>],
    writers: &mut Writers,
) -> Result<Attributed> {
    let identity = &people.identity;
    let work = Work {
        fitted,
        credits: writers.credits.is_some() || writers.keeps(Frame::Credits),
        journeys: writers.journeys.is_some()
            || writers.keeps(Frame::Journeys)
            || named.places.is_some(),
        ..work(config, ordered, named)
    };
    let orders = &ordered.orders;
    let mut persons = persons_with_orders(merged);
    // Sums are the same in any order.
    if work.credits || work.journeys {
        identity.users.sort(&mut persons);
    }
    let name_of: TextOf<'_> = &|user| identity.users.name(user);
    let person_of = |order: u32| {
        let row = orders.row[order as usize] as usize;
        identity.users.name(merged.orders.person[row])
    };
    let models: Vec<String> = config.models.iter().map(|asked| asked.name.clone()).collect();
    let extra: Vec<String> = touch_columns(config)
        .filter(|name| !report::CREDIT_COLUMNS.contains(name))
        .map(str::to_owned)
        .chain(vias(config))
        .collect();
    let table = CreditTable {
        touches: &ordered.touches,
        touch_rows: &merged.touches,
        names: ordered.names.as_ref().map(|names| (names, name_of)),
        orders,
        order_rows: &merged.orders.rows,
        persons: &person_of,
        models: &models,
        currencies: &ordered.amounts.currencies,
        extra: &extra,
    };
    let mut sums = Attributed {
        cells: Cells::new(models.len(), work.by_role),
        tally: Tally::new(work.currencies),
        orders: OrderSums::default(),
        resampled: bootstrap::resampled(config),
        unlearnt: Unlearnt::default(),
        effects: EffectsReport::default(),
        learnt: Learnt::default(),
        by_channel: ByChannel::new(&work),
    };
    let wave = 8 * rayon::current_num_threads();
    let kinds = &ordered.amounts.kinds;
    let wanted = WantedRows { table: &table, config, named, kinds, of: RowsOf::new(writers) };
    let rows = |partial: &Partial| wanted.rows(partial);
    let mut take = |partial: Partial, written: Written| {
        let Written { credits, journeys, kept } = written;
        let places = sums.cells.merge(&partial.cells);
        sums.tally.merge(&partial.tally);
        if let Some(resampled) = &mut sums.resampled {
            let name = |person| identity.users.name(person);
            resampled.add(&partial.by_person, &name, &sums.cells.number_of(&places))?;
        }
        sums.by_channel.merge(&partial.by_channel);
        if let (Some(writer), Some(rows)) = (&mut writers.credits, credits) {
            writer.write_listed(&rows)?;
        }
        if let (Some(places), Some(steps)) = (&named.places, &named.steps) {
            sums.orders.add(places, (&ordered.touches, orders), steps, &partial.journeys);
        }
        if let (Some(writer), Some(rows)) = (&mut writers.journeys, journeys) {
            writer.write(&rows)?;
        }
        for (frame, rows) in kept {
            let Some(rows) = rows else { continue };
            if let Some(writing) = &mut writers.kept {
                writing.write(frame, &rows)?;
            }
            if let Some(gathered) = &mut writers.gathered {
                gathered.entry(frame).or_default().push(rows);
            }
        }
        Ok(())
    };
    match &ordered.waiting {
        None => {
            let tasks: Vec<_> = engine::tasks(&work, &persons).collect();
            engine::run(&tasks, wave, rows, &mut take)?;
        }
        // Some parts at a time: the next are put in order when these are done with.
        Some(waiting) => {
            for parts in Waiting::of_buyers().chunks(waiting.together()) {
                let arrive = |part: &u32| Arrived::new(waiting, *part, named);
                let arrived: Vec<Arrived> = parts.par_iter().map(arrive).collect::<Result<_>>()?;
                let works: Vec<Work<'_>> =
                    arrived.iter().map(|arrived| arrived.work(work)).collect();
                let of_part =
                    |(work, arrived): (_, &Arrived)| engine::tasks(work, arrived.of(&persons));
                let tasks: Vec<_> = works.iter().zip(&arrived).flat_map(of_part).collect();
                engine::run(&tasks, wave, rows, &mut take)?;
            }
        }
    }
    Ok(sums)
}

/// Which rows of a partition are written.
pub(super) struct RowsOf {
    pub(super) credits: bool,
    pub(super) journeys: bool,
    /// Those of them that are kept.
    pub(super) kept: BTreeSet<Frame>,
}

impl RowsOf {
    pub(super) fn new(writers: &Writers) -> Self {
        let kept = [Frame::Credits, Frame::Journeys].into_iter();
        let kept: BTreeSet<Frame> = kept.filter(|frame| writers.keeps(*frame)).collect();
        Self {
            credits: writers.credits.is_some() || kept.contains(&Frame::Credits),
            journeys: writers.journeys.is_some() || kept.contains(&Frame::Journeys),
            kept,
        }
    }
}

/// What makes the rows of a partition.
pub(super) struct WantedRows<'a> {
    pub(super) table: &'a CreditTable<'a>,
    pub(super) config: &'a Config,
    pub(super) named: &'a Named,
    /// The conversion types of orders, by their number.
    pub(super) kinds: &'a [String],
    pub(super) of: RowsOf,
}

impl WantedRows<'_> {
    pub(super) fn rows(&self, partial: &Partial) -> Result<Written> {
        let Self { table, config, named, kinds, of } = self;
        let zone = config.zone;
        let credits = of.credits.then(|| credit_rows(table, &partial.credits)).transpose()?;
        let kept_credits = credits.as_ref().filter(|_| of.kept.contains(&Frame::Credits));
        let kept_credits = kept_credits.map(|rows| kept::credits(&plain(rows)?, zone));
        let steps = named.steps.as_ref().filter(|_| of.journeys);
        let journeys = steps.map(|steps| journey_rows(table, &partial.journeys, steps, kinds));
        let journeys = journeys.transpose()?;
        let labels = named.kept_channels.as_ref().filter(|_| of.kept.contains(&Frame::Journeys));
        let kept_journeys = journeys.as_ref().zip(labels);
        let kept_journeys = kept_journeys
            .map(|(rows, labels)| kept::journeys(rows, &partial.journeys, labels, zone));
        let kept = [
            (Frame::Credits, kept_credits.transpose()?),
            (Frame::Journeys, kept_journeys.transpose()?),
        ];
        Ok(Written { credits, journeys, kept })
    }
}

/// The rows of a partition that are written.
pub(super) struct Written {
    pub(super) credits: Option<RecordBatch>,
    pub(super) journeys: Option<RecordBatch>,
    pub(super) kept: [(Frame, Option<RecordBatch>); 2],
}

/// A part of the touches, in order, with what they are called.
pub(super) struct Arrived {
    /// The part's persons.
    pub(super) persons: Range<u32>,
    pub(super) touches: Touches,
    pub(super) cells: Vec<u32>,
    pub(super) channels: TouchChannels,
}

impl Arrived {
    pub(super) fn new(waiting: &Waiting, part: u32, named: &Named) -> Result<Self> {
        let (persons, touches) = waiting.part(part)?;
        let cells = touches.row.iter().map(|look| named.touch_cells[*look as usize]).collect();
        let channels = named.channels.of_rows(&touches.row);
        Ok(Self { persons, touches, cells, channels })
    }

    /// The work on the part.
    pub(super) fn work<'a>(&'a self, work: Work<'a>) -> Work<'a> {
        let Self { touches, cells, channels, .. } = self;
        Work { touches, touch_cells: cells, channels, ..work }
    }

    /// Those of some persons, in the order of their numbers, who are of the part.
    pub(super) fn of<'p>(&self, persons: &'p [u32]) -> &'p [u32] {
        let place = |person: u32| persons.partition_point(|known| *known < person);
        &persons[place(self.persons.start)..place(self.persons.end)]
    }
}
