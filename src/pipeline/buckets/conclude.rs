//! The report of what all buckets came to, with every file of the run: the last stages of a run, of which
//! those before were done bucket by bucket.

use std::borrow::Cow;
use std::collections::BTreeMap;

use arrow::array::RecordBatch;

use super::sums::{Numbered, PeriodSums, first};
use super::travelling::{arrived, home};
use super::{BucketRun, BucketSums, DIVIDED, Known, RowTable};
use crate::config::{Config, Output, Sweep};
use crate::engine::TouchChannels;
use crate::error::{Error, Result};
use crate::input::{self, Loaded};
use crate::journeys::Rates;
use crate::output::Staged;
use crate::paths::Paths;
use crate::pipeline::bootstrap::{self, ResampledSessions, Resampling};
use crate::pipeline::comparison::rename_orders;
use crate::pipeline::lines::{Counted, Owed};
use crate::pipeline::others::{tell_short, too_small};
use crate::pipeline::relearning::{Account, Asking, Bounding, Unlearnt, relearns};
use crate::pipeline::stored::Stored;
use crate::pipeline::sweep::{Swept, SweptSums, conclude_sweep};
use crate::pipeline::{
    Dated, Finished, Inputs, Names, OfAll, Outcome, PeriodLines, Progress, SessionsBeside, Tables,
    Writers, account, comparison, count_rows, effects_table, gaps, join, lines_beside, make_report,
    named_paths, orders, overview, paths_table, read_tables, stage_report, wants_orders,
};
use crate::report::{EffectsReport, Line, MeasureSet, NamedJourneys, OrderSums};
use crate::schema::Table;
use crate::summary::{Summary, TableRead};
use crate::validate::{Reject, Rule, count_by_rule};

/// Rows of buckets in the order of a run, by the table that they are of.
pub type Rows<'a> = BTreeMap<RowTable, Box<dyn Iterator<Item = Result<RecordBatch>> + Send + 'a>>;

/// A run that is concluded, its files written and not yet in their places.
pub enum Concluded {
    /// A run.
    Run(Box<Finished>),
    /// One that tried several values of a setting.
    Sweep(Box<Swept>),
}

impl BucketRun {
    /// Merges the lines that are of few persons in what all buckets came to; whether there were any.
    pub(super) fn merge_more(&self, known: &mut Known, sums: &BucketSums) -> Result<bool> {
        let config = &self.config;
        let Some(now) = sums.periods.first().cloned() else { return Ok(false) };
        // Whatever is spent is no person's.
        let concluding =
            Concluding { config, tables: &Tables::new(), known, rates: None, stored: None };
        let mut unsaid = Summary::new(config.as_of);
        let none = Unlearnt::default();
        let mut lines = concluding.period(now, config.period, none, &mut unsaid)?.lines;
        known.merging().apply(&mut lines, config.models.len());
        let more = too_small(config, &lines);
        let found = !more.is_empty();
        known.merge(more);
        Ok(found)
    }

    /// Makes the report of what all buckets came to, and writes every file of the run.
    ///
    /// The tables that are not divided are read here, from the inputs of the configuration; of the others
    /// only the files are counted, where there are any. `rows` are those of the tables that the run writes,
    /// all buckets in the order of [`PERSON`](super::PERSON) and [`ROW`](super::ROW), one batch at least.
    ///
    /// # Errors
    ///
    /// As of [`run`](crate::pipeline::run); rows that are to be written and are not there.
    pub fn conclude(
        &self,
        sums: BucketSums,
        known: &Known,
        rows: Rows<'_>,
        progress: &dyn Progress,
    ) -> Result<Concluded> {
        let config = &self.config;
        let mut summary = Summary::new(config.as_of);
        let mut writers = Writers::begin(config)?;
        progress.stage("reporting");
        let gathered;
        let inputs = if let Some(inputs) = &self.inputs {
            inputs
        } else {
            gathered = Inputs::gather(config, progress)?;
            &gathered
        };
        let small: Vec<Table> =
            Table::ALL.into_iter().filter(|table| !DIVIDED.contains(table)).collect();
        let tables = read_tables(config, inputs, &small, progress)?;
        let rejects = tell(config, (inputs, &tables), &sums, &mut summary)?;
        let rates = tables.get(&Table::ExchangeRates).map(|loaded| Rates::new(&loaded.rows));
        let stored = self.stored.as_deref().map(|stored| (stored, progress));
        let concluding =
            Concluding { config, tables: &tables, known, rates: rates.as_ref(), stored };
        writers.table(paths_table(config, Some(concluding.paths(&sums)))?)?;
        let BucketSums { periods, gap_sessions, over_time, .. } = sums;
        if periods.len() != self.rounds.len() {
            return Err(Error::Contradiction(format!(
                "{} of {} rounds were attributed: there is not one whole bucket to report",
                periods.len(),
                self.rounds.len()
            )));
        }
        let unlearnt: Vec<Unlearnt> =
            (0..periods.len()).map(|round| concluding.unlearnt(round, &mut summary)).collect();
        let rounds = periods.into_iter().zip(&self.rounds).zip(unlearnt);
        let rounds = rounds.map(|((sums, round), unlearnt)| {
            concluding.period(sums, round.period, unlearnt, &mut summary)
        });
        let rounds: Vec<Concludable> = rounds.collect::<Result<_>>()?;
        let gaps = {
            let counted = || Ok(Cow::Owned::<Counted>(gap_sessions.unwrap_or_default()));
            gaps::table(config, &tables, concluding.dated(config.period), counted, &mut summary)?
        };
        writers.table(gaps)?;
        write_rows(config, &mut writers, rows)?;
        if let Some(sweep) = &self.sweep {
            let swept = concluding.sweep(sweep, rounds, (writers, &rejects), summary)?;
            return Ok(Concluded::Sweep(Box::new(swept)));
        }
        let finished = concluding.run(rounds, over_time, (writers, &rejects), summary)?;
        let stored = self.stored.clone();
        Ok(Concluded::Run(Box::new(Finished { stored, ..finished })))
    }
}

/// Tells the summary what was read and counted, and returns what was rejected, in the order of a run.
fn tell(
    config: &Config,
    (inputs, tables): (&Inputs, &Tables),
    sums: &BucketSums,
    summary: &mut Summary,
) -> Result<Vec<Reject>> {
    let accepted = |(table, loaded): (&Table, &Loaded)| (*table, loaded.rows.num_rows());
    count_rows(inputs, &tables.iter().map(accepted).collect(), tables, summary);
    for (table, counts) in &sums.rows {
        let files = match inputs.paths.get(table) {
            Some(paths) => input::find(*table, paths)?.len() as u64,
            None => 1,
        };
        summary.tables.push(TableRead {
            table: table.name(),
            files,
            bytes: 0,
            read: counts.read,
            accepted: counts.accepted,
            rejected: counts.rejected,
        });
        summary.repaired += counts.repaired;
    }
    let place = |read: &TableRead| Table::ALL.iter().position(|table| table.name() == read.table);
    summary.tables.sort_by_key(place);
    summary.identity = sums.identity.clone();
    summary.touches = sums.touches.clone();
    summary.orders = sums.order_counts.clone();
    for warning in &sums.warnings {
        summary.warn(warning);
    }
    let of_small: Vec<Reject> =
        tables.values().flat_map(|loaded| &loaded.rejects).cloned().collect();
    let mut rejected = sums.rejected.clone();
    let of_items = count_by_rule(inputs.rejects());
    for (table, rule, rows) in count_by_rule(&of_small).into_iter().chain(of_items) {
        *rejected.entry((table, rule)).or_default() += rows;
    }
    let counts: Vec<(Table, Rule, u64)> =
        rejected.into_iter().map(|((table, rule), rows)| (table, rule, rows)).collect();
    let of_tables = first(sums.rejects.iter().cloned().chain(of_small).collect());
    let rejects: Vec<Reject> = inputs.rejects().iter().cloned().chain(of_tables).collect();
    summary.reject(&counts);
    if summary.rejected > rejects.len() as u64 {
        summary.warn(&format!(
            "the first {} of {} rejected rows are listed",
            rejects.len(),
            summary.rejected
        ));
    }
    let of_buckets: u64 = sums.rows.values().map(|counts| counts.read).sum();
    let read = of_buckets + tables.values().map(|loaded| loaded.read).sum::<u64>();
    config.max_rejects.check(inputs.rows_read(read), &counts)?;
    Ok(rejects)
}

/// Writes the rows that the run asks for.
fn write_rows(config: &Config, writers: &mut Writers, mut rows: Rows<'_>) -> Result<()> {
    let outputs = &config.outputs;
    let begin = |output: &Option<Output>| {
        output.as_ref().map(|output| writers.begin_table(output)).transpose()
    };
    let (persons, identity) = (begin(&outputs.persons)?, begin(&outputs.identity)?);
    let asked = [
        // They may go to a database too.
        (RowTable::Credits, writers.credits.take()),
        (RowTable::Journeys, writers.journeys.take()),
        (RowTable::Persons, persons),
        (RowTable::Identity, identity),
    ];
    for (table, writer) in asked {
        let Some(mut writer) = writer else { continue };
        write_each(table, &mut rows, &mut |batch| writer.write(batch))?;
        writer.finish()?;
    }
    if let Some(kept) = &mut writers.kept {
        for table in RowTable::KEPT {
            let RowTable::Kept(frame) = table else { continue };
            if kept.keeps(frame) {
                write_each(table, &mut rows, &mut |batch| kept.write(frame, batch))?;
            }
        }
    }
    Ok(())
}

/// Writes the rows of a table as they are at home.
fn write_each(
    table: RowTable,
    rows: &mut Rows<'_>,
    write: &mut dyn FnMut(&RecordBatch) -> Result<()>,
) -> Result<()> {
    let Some(rows) = rows.remove(&table) else {
        let name = table.name();
        return Err(Error::Contradiction(format!(
            "`{name}` is to be written, and nobody brings its rows"
        )));
    };
    let mut schema = None;
    for batch in rows {
        let batch = batch?;
        let schema = match &schema {
            Some(schema) => schema,
            None => schema.insert(home(&batch.schema())?),
        };
        write(&arrived(&batch, schema)?)?;
    }
    Ok(())
}

/// What periods are concluded with.
struct Concluding<'a> {
    config: &'a Config,
    tables: &'a Tables,
    known: &'a Known,
    rates: Option<&'a Rates>,
    /// The store that the run is put in, where it is, and who is told what it took.
    stored: Option<(&'a Stored, &'a dyn Progress)>,
}

/// A round in the numbers of a run.
struct Concludable {
    numbered: Numbered,
    lines: PeriodLines,
    orders: OrderSums,
    /// The resamples in which models learnt nothing.
    unlearnt: Unlearnt,
}

impl Numbered {
    fn owed(&self) -> Owed<'_> {
        (&self.tally, &self.currencies)
    }

    fn names(&self) -> Names<'_> {
        Names { touches: &self.touches, orders: &self.orders, currencies: &self.currencies }
    }
}

impl Concludable {
    fn resampling(&self) -> Resampling<'_> {
        let Self { numbered, lines, unlearnt, .. } = self;
        let Numbered { cells, resampled, .. } = numbered;
        let names = numbered.names();
        let (resampled, unlearnt) = (resampled.as_ref(), Some(unlearnt));
        Resampling { period: lines, names, cells, resampled, unlearnt }
    }
}

impl Concluding<'_> {
    /// Concludes a run: its first round is that of the reported period, the second, where there is one, that
    /// of the period it is compared with.
    fn run(
        &self,
        rounds: Vec<Concludable>,
        over_time: Option<(PeriodSums, NamedJourneys)>,
        (mut writers, rejects): (Writers, &[Reject]),
        mut summary: Summary,
    ) -> Result<Finished> {
        let config = self.config;
        let mut rounds = rounds.into_iter();
        let (Some(mut now), mut then) = (rounds.next(), rounds.next()) else {
            return Err(Error::Broken("a run has no round".to_owned()));
        };
        self.known.merging().apply(&mut now.lines, config.models.len());
        tell_short(config, &now.lines, &mut summary);
        if let Some(then) = &mut then {
            comparison::rename(config, &mut then.lines.lines)?;
            rename_orders(config, &mut then.orders)?;
        }
        let report = make_report(config, &now.lines, then.as_ref().map(|then| &then.lines))?;
        let both = [Some(&now), then.as_ref()].map(|round| round.map(Concludable::resampling));
        let (report, ranks) = bootstrap::intervals(config, both, report, &mut summary)?;
        writers.table(ranks)?;
        let effects = self.bounded(self.effects(0, &now.numbered)?, &now.numbered)?;
        let owed_then = then.as_ref().map(|then| &then.numbered.tally);
        account(config, now.numbered.owed(), owed_then, (&report, &effects), &mut summary)?;
        let overview = over_time.map(|(sums, journeys)| {
            let by = overview::by_time(config, self.known.shown());
            let numbered = sums.numbered(config.models.len(), &self.channels(), false, None)?;
            let names = Names { currencies: &now.numbered.currencies, ..numbered.names() };
            overview::overview(config, by, (names, &numbered.cells), journeys, &report)
        });
        let overview = overview.transpose()?;
        let orders_then = then.map(|then| then.orders);
        writers.table(orders::table(config, now.orders, orders_then, &mut summary)?)?;
        writers.table(effects_table(config, &effects)?)?;
        let whole = OfAll {
            config,
            tables: self.tables,
            dated: self.dated(config.period),
            rejects,
            report: &report,
            effects: &effects,
        };
        let kept = writers.kept.take().map(|mut writing| {
            writing.write_each(|frame| whole.frame(frame))?;
            whole.end(writing, &summary, self.stored)
        });
        let kept = kept.transpose()?;
        let load = writers.loading.take().map(|loading| loading.finish(&report)).transpose()?;
        let outcome = Outcome { report: &report, summary: &summary, overview: overview.as_ref() };
        let write = |staged: &Staged| stage_report(config, outcome, staged);
        let staged = writers.finish(config, rejects, write, &summary)?;
        Ok(Finished { report, effects, summary, overview, staged, kept, stored: None, load })
    }

    /// Concludes a sweep: a round is a window.
    fn sweep(
        &self,
        sweep: &Sweep,
        rounds: Vec<Concludable>,
        (writers, rejects): (Writers, &[Reject]),
        summary: Summary,
    ) -> Result<Swept> {
        let mut sums = Vec::with_capacity(rounds.len());
        let mut all: Vec<Vec<Line>> = Vec::with_capacity(rounds.len());
        let mut first: Option<PeriodLines> = None;
        for (number, Concludable { numbered, lines, .. }) in rounds.into_iter().enumerate() {
            all.push(match &first {
                // Sessions and spend are those of the period, whatever the window.
                Some(first) => {
                    let beside = (first.sessions.as_ref(), first.spending.as_ref());
                    join(self.config, numbered.names(), &numbered.cells, beside)
                }
                None => first.insert(lines).lines.clone(),
            });
            let effects = self.effects(number, &numbered)?;
            let Numbered { tally, currencies, .. } = numbered;
            sums.push(SweptSums { tally, currencies, effects });
        }
        let measures = first.map(|first| first.measures).unwrap_or_default();
        conclude_sweep(self.config, sweep, (sums, all, measures), (writers, rejects), summary)
    }

    fn dated(&self, period: (i64, i64)) -> Dated<'_> {
        (period, self.rates)
    }

    fn period(
        &self,
        sums: PeriodSums,
        period: (i64, i64),
        unlearnt: Unlearnt,
        summary: &mut Summary,
    ) -> Result<Concludable> {
        let Self { config, tables, .. } = self;
        let by_role = config.measures == MeasureSet::All;
        let resampled = bootstrap::resampled(config);
        let numbered = sums.numbered(config.models.len(), &self.channels(), by_role, resampled)?;
        let PeriodSums { orders, sessions, resampled_sessions, bounces, .. } = sums;
        let resampled = bootstrap::resampled(config).zip(resampled_sessions);
        let resampled = resampled.map(|(sums, all)| ResampledSessions::of_values(sums, &all));
        let beside =
            SessionsBeside { counted: sessions, resampled: resampled.transpose()?, bounces };
        let cells = (numbered.names(), &numbered.cells);
        let lines = lines_beside(config, tables, self.dated(period), cells, beside, summary)?;
        let orders = if wants_orders(config) { orders } else { OrderSums::default() };
        Ok(Concludable { numbered, lines, orders, unlearnt })
    }

    /// In which resamples models learnt nothing of a round, once that is told.
    fn unlearnt(&self, round: usize, summary: &mut Summary) -> Unlearnt {
        let mut unlearnt = Unlearnt::default();
        let asking = if round == 0 { Asking::Now } else { Asking::Then };
        let mut account = Account::new(&self.config.models, asking);
        let relearnt = self.known.relearnt(round);
        for (resample, relearnt) in relearnt.iter().enumerate() {
            account.take(resample, relearnt, &mut unlearnt);
        }
        if let Some(resamples) = relearnt.len().checked_sub(1) {
            account.tell(resamples, summary);
        }
        unlearnt
    }

    /// The channels that all buckets have.
    fn channels(&self) -> TouchChannels {
        self.known.touch_channels(&self.config.models)
    }

    fn paths(&self, sums: &BucketSums) -> Paths {
        let mut currencies = sums.currencies();
        if currencies.is_empty() {
            currencies.push(self.config.currency);
        }
        let all = sums.path_sums(&currencies);
        named_paths(self.known.path_channels().to_vec(), currencies, all)
    }

    /// The effects with the bounds of their figures, where they have any.
    fn bounded(&self, effects: EffectsReport, numbered: &Numbered) -> Result<EffectsReport> {
        let Some(bootstrap) = self.config.effects_bootstrap.filter(|_| relearns(self.config))
        else {
            return Ok(effects);
        };
        let (bounding, mut bounds) =
            (Bounding::new(&self.config.models, &effects)?, effects.bounds(&bootstrap)?);
        let channels = self.channels();
        let resamples = self.known.relearnt(0).iter().zip(&numbered.by_channel_anew).enumerate();
        for (resample, (relearnt, by_channel)) in resamples {
            let credited = (by_channel, &numbered.currencies[..]);
            let table = bounding.effects(relearnt, &channels, credited)?;
            bounding.take(resample, relearnt, &table, &mut bounds)?;
        }
        effects.with_bounds(&bounds, &bootstrap)
    }

    fn effects(&self, round: usize, numbered: &Numbered) -> Result<EffectsReport> {
        let models: Vec<String> =
            self.config.models.iter().map(|asked| asked.name.clone()).collect();
        let Numbered { currencies, by_channel, .. } = numbered;
        let Some(learnt) = self.known.learnt(round) else { return Ok(EffectsReport::default()) };
        EffectsReport::new(&models, learnt, &self.channels(), by_channel, currencies)
    }
}
