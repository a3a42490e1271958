//! A run from end to end, one line a stage. [`run`] is the table of contents of the crate.
//!
//! Not for how a stage works: each is a module of its own, named after it. `identity` does the same
//! stages twice, to tell what it makes of a run that users are joined.

mod bootstrap;
pub mod buckets;
mod comparison;
mod explain;
mod gaps;
mod identity;
mod inputs;
mod keep;
mod lean;
mod memory;
mod space;
mod orders;
mod overview;
mod sweep;
mod attributing;
mod labels;
mod lines;
mod merging;
mod needs;
mod ordering;
mod others;
mod people;
mod reading;
mod relearning;
mod stored;
mod writing;

use self::attributing::{
    Attributed, attribute, attribute_by, attribute_learnt, each_part, learn, observe,
    persons_with_orders, persons_with_touches, work,
};
use self::bootstrap::Resampling;
use self::keep::{Ended, Filled, OfAll, OfPersons};
use self::labels::{Named, in_order, label, steps, vias};
use self::lean::Gathered;
use self::lean::buyers::Tried;
use self::lean::everyone::Scans;
use self::lines::{
    Counted, Dated, Names, PeriodLines, SessionsBeside, account, count_orders, count_sessions,
    join, join_by, lines_beside, make_report, make_reports, report_lines, sessions_beside, spend,
    tell_bounces, whole_sessions,
};
use self::merging::{
    MergedTables, derived, keep_touches, merge, merge_every, merge_orders, touches_asked_for,
};
use self::needs::{
    CHANNEL, DEFAULT_CONVERSION_TYPE, counts_sessions, looked_at, needs, touch_columns,
    wants_channels, wants_journeys, wants_orders,
};
use self::ordering::{
    Ordered, all_persons, check_rejects, order, order_settings, order_touches, reattribute, want,
};
use self::others::{merge_lines, tell_short};
use self::people::{Met, release, resolve_met};
use self::reading::{check, count_rows, read, read_numbered, read_tables, read_whole, reading};
use self::relearning::{Asking, Unlearnt, relearn, relearns};
use self::stored::Stored;
use self::writing::{Writers, effects_table, named_paths, paths, paths_table, stage_report};
use std::sync::Arc;

use rayon::ThreadPoolBuilder;

use crate::config::Config;
use crate::databases::{self, Load};
use crate::error::{Error, Result};
use crate::identity::Keep;
use crate::input::Loaded;
use crate::output::Staged;
use crate::report::{EffectsReport, Overview, Report};
use crate::schema::Table;
use crate::stop;
use crate::summary::Summary;

pub use self::explain::Explainer;
pub use self::identity::{Audited, identity};
pub(crate) use self::needs::DEFAULT_AMOUNT;
pub use self::people::{People, resolve};
pub use self::reading::{Examined, Tables, examine_table, read_table};
pub use self::stored::run_stored;
pub(crate) use self::writing::refuse_inputs;
pub use self::writing::{Outcome, write_report};
pub use inputs::{Inputs, Unpacked};
pub use sweep::{Swept, sweep, write_sweep};

/// Works in a pool of so many threads, or of one for each core, in which all parallel work happens.
///
/// # Errors
///
/// A machine that gives no threads.
pub fn in_pool<T: Send>(threads: Option<usize>, work: impl FnOnce() -> T + Send) -> Result<T> {
    let pool = ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0)).build();
    let pool =
        pool.map_err(|error| Error::Contradiction(format!("no threads to work on: {error}")))?;
    Ok(pool.install(work))
}

/// Who is told how far a run has come, from any thread.
pub trait Progress: Sync {
    /// A stage begins.
    fn stage(&self, name: &str);
    /// Some more rows have been read.
    fn rows(&self, rows: u64);
    /// Something that whoever waits may want to know.
    fn note(&self, _text: &str) {}
    /// The stages until now and their seconds, where they are measured.
    fn timings(&self) -> Vec<(String, f64)> {
        Vec::new()
    }
}

/// A progress that nobody looks at.
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _name: &str) {}
    fn rows(&self, _rows: u64) {}
}

/// A run that is done, its files written and not yet in their places.
pub struct Finished {
    /// The report.
    pub report: Report,
    /// What models that learn say of channels.
    pub effects: EffectsReport,
    /// What was done.
    pub summary: Summary,
    /// What a page shows beside the report, where one is wanted.
    pub overview: Option<Overview>,
    staged: Vec<Staged>,
    /// The folder that the run is kept in.
    kept: Option<Filled>,
    /// The store that it is put in.
    stored: Option<Arc<Stored>>,
    /// What is loaded into a database.
    load: Option<Load>,
}

/// A run whose files are in their places.
pub struct Published {
    /// The report.
    pub report: Report,
    /// What models that learn say of channels.
    pub effects: EffectsReport,
    /// What was done.
    pub summary: Summary,
    /// What a page shows beside the report, where one is wanted.
    pub overview: Option<Overview>,
    /// What was loaded into a database, where one is.
    pub loaded: Option<databases::Loaded>,
}

impl Finished {
    /// Loads the database and makes every file of the run appear: in this order, because a database
    /// may refuse, and a place that was tried before the work hardly ever does.
    pub fn publish(self) -> Result<Published> {
        let Self { report, effects, summary, overview, staged, kept, stored, load } = self;
        let _publishing = stop::publishing()?;
        let loaded = load.map(Load::load).transpose()?;
        Staged::commit_all(staged)?;
        match (kept, stored) {
            (Some(filled), Some(stored)) => stored.shelve(filled)?,
            (Some(filled), None) => filled.folder.commit()?,
            (None, _) => {}
        }
        Ok(Published { report, effects, summary, overview, loaded })
    }
}

/// Does a run.
///
/// # Errors
///
/// Whatever makes the run impossible; nothing has appeared then. See [`Error`].
pub fn run(config: &Config, progress: &dyn Progress) -> Result<Finished> {
    require(config, &[Table::Sessions, Table::Orders])?;
    every_stage(config, None, progress)
}

/// Does a run for which orders may be missing: its report says where touches came from.
///
/// # Errors
///
/// As of [`run`].
pub fn cover(config: &Config, progress: &dyn Progress) -> Result<Finished> {
    require(config, &[Table::Sessions])?;
    every_stage(config, None, progress)
}

/// An error if one of the tables is not given. Items bring every table, if without rows.
fn require(config: &Config, tables: &[Table]) -> Result<()> {
    if config.inputs.contains_key(&Table::Items) {
        return Ok(());
    }
    match tables.iter().find(|table| !config.inputs.contains_key(table)) {
        None => Ok(()),
        Some(needed) => Err(Error::Contradiction(format!(
            "no {needed} are given; `--{needed} PATH` names them, or `{needed}` in apportion.toml"
        ))),
    }
}

/// The run, and the store that it is on its way into, where it is: with it comes what makes sense of the
/// same settings once more.
fn every_stage(
    config: &Config,
    store: Option<(&Stored, &dyn Fn() -> Result<Config>)>,
    progress: &dyn Progress,
) -> Result<Finished> {
    let mut summary = Summary::new(config.as_of);
    let mut writers = Writers::begin(config)?;
    let ready = make_ready(config, progress, &mut summary)?;
    if let (Some((stored, again)), Some(writing)) = (store, &mut writers.kept) {
        stored.renew(again, &ready, &summary, writing, progress)?;
    }
    let Ready { inputs, tables, people, mut merged, mut ordered } = ready;
    reattribute(config, &mut merged, &mut ordered)?;
    check_rejects(config, &inputs, &tables, &ordered.rejects, &mut summary)?;
    let mut labels = label(config, &config.by, &tables, &merged, &ordered)?;
    progress.stage("attributing orders");
    let whose = (&merged, &people);
    // What models learn is of channels, whatever lines are merged.
    let learnt = learn(&work(config, &ordered, &labels), (&ordered, &labels), &people)?;
    let merging = merge_lines(config, &tables, whose, &ordered, &mut labels, &learnt.fitted)?;
    let labels = labels;
    let mut sums = attribute_learnt(config, whose, &ordered, &labels, learnt, &mut writers)?;
    relearn(config, whose, (&ordered, &labels), &mut sums, Asking::Now, &mut summary)?;
    let paths = paths(config, &ordered, &labels, &people)?;
    writers.table(paths_table(config, paths)?)?;
    let then =
        comparison::then(config, &tables, &merged, &mut ordered, &labels, &people, &mut summary)?;
    progress.stage("reporting");
    let mut lines = report_lines(config, &tables, whose, &ordered, &labels, &sums, &mut summary)?;
    merging.apply(&mut lines, config.models.len());
    tell_short(config, &lines, &mut summary);
    let gaps = {
        let of_gaps = || gaps::sessions(config, &merged, &ordered, lines.sessions.as_ref());
        let dated = (ordered.period, ordered.rates.as_ref());
        gaps::table(config, &tables, dated, of_gaps, &mut summary)?
    };
    let (lines_then, sums_then) = then.unzip();
    let report = make_report(config, &lines, lines_then.as_ref())?;
    let names = Names::new(&ordered, &labels);
    let then = lines_then.as_ref().zip(sums_then.as_ref());
    let both = [
        Some(Resampling::new(&lines, &sums, names)),
        then.map(|(lines, sums)| Resampling::new(lines, sums, names)),
    ];
    let (report, ranks) = bootstrap::intervals(config, both, report, &mut summary)?;
    writers.table(ranks)?;
    count_orders(&ordered, &sums, &mut summary)?;
    let owed = (&sums.tally, &ordered.amounts.currencies[..]);
    let owed_then = sums_then.as_ref().map(|then| &then.tally);
    account(config, owed, owed_then, (&report, &sums.effects), &mut summary)?;
    let overview = overview::gather(config, (&tables, &merged), &ordered, &sums.learnt, &report)?;
    let effects = std::mem::take(&mut sums.effects);
    let orders_then = sums_then.map(|then| then.orders);
    writers.table(orders::table(config, sums.orders, orders_then, &mut summary)?)?;
    writers.table(gaps)?;
    writers.table(effects_table(config, &effects)?)?;
    let ended = Ended {
        persons: OfPersons {
            config,
            tables: &tables,
            people: &people,
            merged: &merged,
            ordered: &ordered,
        },
        whole: OfAll {
            config,
            tables: &tables,
            dated: (ordered.period, ordered.rates.as_ref()),
            rejects: &ordered.rejects,
            report: &report,
            effects: &effects,
        },
        summary: &summary,
    };
    let stored = store.map(|(stored, _)| (stored, progress));
    let kept = writers.kept.take().map(|writing| ended.keep(writing, stored)).transpose()?;
    let loading = writers.loading.take();
    let outcome = Outcome { report: &report, summary: &summary, overview: overview.as_ref() };
    let write = |staged: &Staged| stage_report(config, outcome, staged);
    writers.people(config, &tables, &people, &ordered)?;
    let staged = writers.finish(config, &ordered.rejects, write, &summary)?;
    let load = loading.map(|loading| loading.finish(&report)).transpose()?;
    Ok(Finished { report, effects, summary, overview, staged, kept, stored: None, load })
}

/// Tables that are read and merged, who is who, and touches and orders in their order.
struct Ready {
    inputs: Inputs,
    tables: Tables,
    people: People,
    merged: MergedTables,
    ordered: Ordered,
}

/// Reads every table and puts touches and orders in their order, those that are asked for.
fn make_ready(config: &Config, progress: &dyn Progress, summary: &mut Summary) -> Result<Ready> {
    let inputs = Inputs::gather(config, progress)?;
    check(config, &inputs)?;
    space::check(config, &inputs)?;
    let Prepared { tables, people, merged, gathered } =
        prepare(config, &inputs, progress, summary)?;
    progress.stage("ordering touches");
    let touches = order_touches(config, &inputs, &tables, &people, &merged, gathered)?;
    let mut ordered = order(config, &inputs, &tables, &merged, &people, touches, summary)?;
    want(config, &tables, &people, &merged, &mut ordered)?;
    Ok(Ready { inputs, tables, people, merged, ordered })
}

/// Tables that are read, with one row per session, view and order, and who is who.
struct Prepared {
    tables: Tables,
    people: People,
    merged: MergedTables,
    /// Touches that are not in the merged tables, but for their looks.
    gathered: Option<Gathered>,
}

/// Reads every table, resolves persons and merges versions: orders first where that will do.
fn prepare(
    config: &Config,
    inputs: &Inputs,
    progress: &dyn Progress,
    summary: &mut Summary,
) -> Result<Prepared> {
    let (mut scans, mut tables) = match lean::buyers::prepare(config, inputs, progress, summary)? {
        Tried::Prepared(prepared) => return Ok(*prepared),
        Tried::Everybody => {
            memory::check_whole(config, inputs, true)?;
            read(config, inputs, progress, summary)?
        }
        // What was found out by one scan need not be found out by another.
        Tried::Whole => {
            memory::check_whole(config, inputs, false)?;
            (Scans::default(), read_whole(config, inputs, progress, summary)?)
        }
    };
    tables.entry(Table::Orders).or_insert_with(|| Loaded::none(Table::Orders));
    progress.stage("resolving identity");
    let met =
        Met { directory: std::mem::take(&mut scans.directory), users: scans.users(), to: None };
    let mut people = resolve_met(config, &tables, met, summary);
    let scanned = |table: Table| scans.accepted(table).is_some();
    release(config, scanned, &mut tables, &mut people);
    progress.stage("merging versions");
    if scans.is_lean() {
        let orders = merge_orders(config, &mut tables, &people, Keep::Persons, summary)?;
        let (merged, gathered) = scans.merged(config, &mut people, &tables, orders, summary)?;
        return Ok(Prepared { tables, people, merged, gathered: Some(gathered) });
    }
    let merged = merge(config, &mut tables, &people, Keep::Persons, summary)?;
    Ok(Prepared { tables, people, merged, gathered: None })
}
