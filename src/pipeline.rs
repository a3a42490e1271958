//! A run from end to end, one line a stage. [`run`] is the table of contents of the crate.
//!
//! Not for how a stage works: each is a module of its own, named after it. `identity` does the same
//! stages twice, to tell what it makes of a run that users are joined.

mod bootstrap;
mod effects;
mod comparison;
mod explain;
mod gaps;
mod identity;
mod inputs;
mod keep;
mod lean;
mod memory;
mod orders;
mod overview;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use arrow::array::{AsArray, BooleanArray, RecordBatch, StringViewArray};
use arrow::compute::filter_record_batch;
use rayon::prelude::*;

use self::bootstrap::ResampledSessions;
use self::keep::Ended;
use self::lean::buyers::Tried;
use self::lean::everyone::Scans;
use self::lean::{Gathered, Ordering, Rows, Waiting};
use crate::bootstrap::Resampled;
use crate::channels;
use crate::config::{Cancelled, Config, DateBy, Extent, Output};
use crate::engine::{
    self, ByChannel, Cells, Learnt, Partial, Parts, Tally, TouchChannels, UNATTRIBUTED_CELL, Work,
};
use crate::error::{Error, MissingColumn, Result};
use crate::filter::Filter;
use crate::identity::{
    Facts, Gathering, Identity, Keep, Merged, audit_table, one_row_per_id, persons_table,
};
use crate::ids::Directory;
use crate::input::{self, FileRead, Loaded, Needs, Reading, Source};
use crate::journeys::{
    self, Amounts, Combined, Dimension, Items, Labels, OrderSettings, Orders, Rates, Touches,
    Window, combine,
};
use crate::kept::{self, Frame, Writing};
use crate::merge::{external_ids, merge_rows};
use crate::output::{self, Staged, StagedFolder, TableWriter};
use crate::page::Page;
use crate::paths::{Paths, SEPARATOR, is_direct};
use crate::report::{
    self, CreditTable, EffectsReport, Line, MeasureSet, Measures, OrderSums, Overview, Places,
    Report, Session, SessionCounts, Sessions, Spending, Steps, Sums, credit_rows, is_own_column,
    journey_rows,
};
use crate::schema::{ITEMS_AT, Kind, Table, UTM, is_bookkeeping};
use crate::summary::{ChainProof, Compared, Summary, prove};
use crate::touchpoints;
use crate::validate::{Reject, Rule, rejects_table};
use crate::vouchers::{self, Replacement};

pub use self::explain::Explainer;
pub use self::identity::{Audited, identity};
pub use inputs::{Inputs, Unpacked};
pub use sweep::{Swept, sweep, write_sweep};

/// Who is told how far a run has come, from any thread.
pub trait Progress: Sync {
    /// A stage begins.
    fn stage(&self, name: &str);
    /// Some more rows have been read.
    fn rows(&self, rows: u64);
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
    kept: Option<StagedFolder>,
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
}

impl Finished {
    /// Makes every file of the run appear.
    pub fn publish(self) -> Result<Published> {
        let Self { report, effects, summary, overview, staged, kept } = self;
        staged.into_iter().try_for_each(Staged::commit)?;
        kept.into_iter().try_for_each(StagedFolder::commit)?;
        Ok(Published { report, effects, summary, overview })
    }
}

/// Does a run.
///
/// # Errors
///
/// Whatever makes the run impossible; nothing has appeared then. See [`Error`].
pub fn run(config: &Config, progress: &dyn Progress) -> Result<Finished> {
    require(config, &[Table::Sessions, Table::Orders])?;
    every_stage(config, progress)
}

/// Does a run for which orders may be missing: its report says where touches came from.
///
/// # Errors
///
/// As of [`run`].
pub fn cover(config: &Config, progress: &dyn Progress) -> Result<Finished> {
    require(config, &[Table::Sessions])?;
    every_stage(config, progress)
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

fn every_stage(config: &Config, progress: &dyn Progress) -> Result<Finished> {
    let mut summary = Summary::new(config.as_of);
    let mut writers = Writers::begin(config)?;
    let Ready { inputs, tables, people, mut merged, mut ordered } =
        make_ready(config, progress, &mut summary)?;
    reattribute(config, &mut merged, &mut ordered)?;
    check_rejects(config, &inputs, &tables, &ordered.rejects, &mut summary)?;
    let labels = label(config, &config.by, &tables, &merged, &ordered)?;
    progress.stage("attributing orders");
    let mut sums = attribute(config, &merged, &ordered, &labels, &people, &mut writers)?;
    let learnt = std::mem::take(&mut sums.effects);
    sums.effects = effects::with_intervals(config, &merged, &ordered, &labels, &people, learnt)?;
    writers.table(paths_table(config, &ordered, &labels, &people)?)?;
    let then =
        comparison::then(config, &tables, &merged, &mut ordered, &labels, &people, &mut summary)?;
    progress.stage("reporting");
    let whose = (&merged, &people);
    let lines = report_lines(config, &tables, whose, &ordered, &labels, &sums, &mut summary)?;
    let gaps = gaps::table(config, &tables, &merged, &ordered, &lines, &mut summary)?;
    let (lines_then, sums_then) = then.unzip();
    let report = make_report(config, &lines, lines_then.as_ref())?;
    let periods = [Some((&lines, &sums)), lines_then.as_ref().zip(sums_then.as_ref())];
    let (report, ranks) =
        bootstrap::intervals(config, &ordered, &labels, periods, report, &mut summary)?;
    writers.table(ranks)?;
    account(config, &ordered, &sums, sums_then.as_ref(), &report, &mut summary)?;
    let overview = overview::gather(config, (&tables, &merged), &ordered, &sums.learnt, &report)?;
    let effects = std::mem::take(&mut sums.effects);
    writers.table(orders::table(config, sums, sums_then, &mut summary)?)?;
    writers.table(gaps)?;
    writers.table(effects_table(config, &effects)?)?;
    let ended = Ended {
        config,
        tables: &tables,
        people: &people,
        merged: &merged,
        ordered: &ordered,
        report: &report,
        effects: &effects,
        summary: &summary,
    };
    let kept = writers.kept.take().map(|writing| ended.keep(writing)).transpose()?;
    let outcome = Outcome { report: &report, summary: &summary, overview: overview.as_ref() };
    let write = |sink| write_report(config, outcome, sink);
    let staged = writers.finish(config, &tables, &people, &ordered, write, &summary)?;
    Ok(Finished { report, effects, summary, overview, staged, kept })
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
    let Prepared { tables, people, mut merged, gathered } =
        prepare(config, &inputs, progress, summary)?;
    progress.stage("ordering touches");
    let touches = order_touches(config, &inputs, &tables, &people, &mut merged, gathered)?;
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

/// The tables as accepted.
pub type Tables = BTreeMap<Table, Loaded>;

/// Whether what the report is by can be had.
fn check(config: &Config, inputs: &Inputs) -> Result<()> {
    if let Some(item) = config.by.iter().find(|dimension| matches!(dimension, Dimension::Item(_)))
        && !inputs.paths.contains_key(&Table::OrderItems)
    {
        return Err(Error::Contradiction(format!(
            "`--by {item}` needs the items of orders; `--order-items PATH` names them"
        )));
    }
    check_dimensions(config, inputs)
}

/// Reads every table that is given, all at once and without judging them together. Touches are scanned where that will do, and read whole where it will not.
fn read(
    config: &Config,
    inputs: &Inputs,
    progress: &dyn Progress,
    summary: &mut Summary,
) -> Result<(Scans, Tables)> {
    progress.stage("reading");
    let is_touches = |table: &Table| matches!(table, Table::Sessions | Table::Postviews);
    let (touches, others): (Vec<Table>, Vec<Table>) = Table::ALL.into_iter().partition(is_touches);
    let (scanned, read) = rayon::join(
        || lean::everyone::scan(config, inputs, progress),
        || read_tables(config, inputs, &others, progress),
    );
    let (mut tables, (scans, scanned)) = (read?, scanned?);
    if scans.is_lean() {
        tables.extend(scanned);
    } else {
        memory::check_whole(config, inputs, false)?;
        tables.extend(read_tables(config, inputs, &touches, progress)?);
    }
    let accepted = |(table, loaded): (&Table, &Loaded)| {
        (*table, scans.accepted(*table).unwrap_or_else(|| loaded.rows.num_rows()))
    };
    count_rows(inputs, &tables.iter().map(accepted).collect(), &tables, summary);
    Ok((scans, tables))
}

/// Reads those of some tables that are given, all at once.
fn read_tables(
    config: &Config,
    inputs: &Inputs,
    tables: &[Table],
    progress: &dyn Progress,
) -> Result<Tables> {
    let one = |table: &Table| {
        let loaded = read_table(config, inputs, *table, needs(config, *table), progress)?;
        Ok(loaded.map(|loaded| (*table, loaded)))
    };
    let read: Vec<Result<Option<(Table, Loaded)>>> = tables.par_iter().map(one).collect();
    read.into_iter().filter_map(Result::transpose).collect()
}

/// Reads every table that is given, as [`read`] does, and all of them whole.
fn read_whole(
    config: &Config,
    inputs: &Inputs,
    progress: &dyn Progress,
    summary: &mut Summary,
) -> Result<Tables> {
    progress.stage("reading");
    let tables = read_tables(config, inputs, &Table::ALL, progress)?;
    let accepted = tables.iter().map(|(table, loaded)| (*table, loaded.rows.num_rows()));
    count_rows(inputs, &accepted.collect(), &tables, summary);
    Ok(tables)
}

/// Tells the summary what was read of every table, and how many rows were accepted.
fn count_rows(
    inputs: &Inputs,
    accepted: &BTreeMap<Table, usize>,
    tables: &Tables,
    summary: &mut Summary,
) {
    if let Some(items) = &inputs.items {
        summary.read_items(&items.account);
    }
    for table in Table::ALL {
        if let Some((loaded, accepted)) = tables.get(&table).zip(accepted.get(&table)) {
            summary.read(table, loaded, *accepted);
        }
    }
}

/// Reads one table, if it is given.
pub fn read_table(
    config: &Config,
    inputs: &Inputs,
    table: Table,
    needs: Needs,
    progress: &dyn Progress,
) -> Result<Option<Loaded>> {
    let read = read_numbered(config, inputs, table, needs, (&[], &|_| Vec::new()), progress)?;
    Ok(read.map(|(loaded, _)| loaded))
}

/// What gives numbers to texts.
type Number<'a> = &'a (dyn Fn(&StringViewArray) -> Vec<u32> + Sync);

/// Reads one table, if it is given; of some text columns there are only the numbers.
fn read_numbered(
    config: &Config,
    inputs: &Inputs,
    table: Table,
    needs: Needs,
    (columns, number): (&[&str], Number<'_>),
    progress: &dyn Progress,
) -> Result<Option<(Loaded, Vec<Vec<u32>>)>> {
    let Some(paths) = inputs.paths.get(&table) else { return Ok(None) };
    let sources = input::find(table, paths)?;
    let reading = reading(config, table, needs)?;
    let rows = |rows| progress.rows(rows);
    let (loaded, numbers) = input::read_numbered(&reading, &sources, columns, number, &rows)?;
    match missing_amount(config, table, &loaded.files) {
        Some(error) => Err(error),
        None => Ok(Some((loaded, numbers))),
    }
}

/// A table of which some files may not be readable.
pub struct Examined {
    /// What the readable files hold; none where there is none.
    pub loaded: Option<Loaded>,
    /// Why the others are not, everything that is wrong with each.
    pub unreadable: Vec<Error>,
}

/// Reads what can be read of a table that is given, and says of the rest why not: an error does
/// not hide the next one.
///
/// # Errors
///
/// Settings that cannot be meant.
pub fn examine_table(
    config: &Config,
    inputs: &Inputs,
    table: Table,
    needs: Needs,
) -> Result<Examined> {
    let reading = reading(config, table, needs)?;
    let mut unreadable = Vec::new();
    let paths = inputs.paths.get(&table).map(Vec::as_slice).unwrap_or_default();
    let sources = input::find(table, paths).unwrap_or_else(|_| {
        let each = paths.iter().map(|path| input::find(table, std::slice::from_ref(path)));
        let (found, missing): (Vec<_>, Vec<_>) = each.partition(Result::is_ok);
        unreadable.extend(missing.into_iter().filter_map(Result::err));
        found.into_iter().flatten().flatten().collect()
    });
    let read = |sources: &[Source]| input::read(&reading, sources, &|_| ());
    let mut readable = Vec::new();
    for source in sources {
        let wrong = input::examine(&reading, &source);
        if wrong.is_empty() {
            readable.push(source);
        }
        unreadable.extend(wrong);
    }
    let mut loaded = read(&readable);
    if loaded.is_err() {
        // What a footer promises the pages need not hold: find out whose do not.
        readable.retain(|source| {
            let error = read(std::slice::from_ref(source)).err();
            let fine = error.is_none();
            unreadable.extend(error);
            fine
        });
        loaded = read(&readable);
    }
    if readable.is_empty() {
        return Ok(Examined { loaded: None, unreadable });
    }
    let loaded = loaded?;
    unreadable.extend(missing_amount(config, table, &loaded.files));
    Ok(Examined { loaded: Some(loaded), unreadable })
}

/// How a table is to be read.
fn reading(config: &Config, table: Table, needs: Needs) -> Result<Reading<'_>> {
    let amount = config.amount.as_deref().filter(|_| table == Table::Orders);
    if let Some(column) = amount.and_then(|amount| table.column(amount))
        && column.kind != Kind::Money
    {
        let why = format!("it holds {}, not an amount", column.kind.expected());
        return Err(Error::setting("--amount", column.name, why));
    }
    Ok(Reading {
        table,
        needs,
        mapping: config.mapping(table),
        money: amount.filter(|amount| table.column(amount).is_none()),
        currency: config.currency,
        units: config.units,
        lower: config.lower,
        as_of: config.as_of,
    })
}

/// An error if a file of orders does not have the column that amounts are to be taken from.
fn missing_amount(config: &Config, table: Table, files: &[FileRead]) -> Option<Error> {
    let amount = config.amount.as_deref().filter(|_| table == Table::Orders)?;
    let file =
        files.iter().find(|file| !file.columns.iter().any(|column| column.name == *amount))?;
    Some(Error::MissingColumn(Box::new(MissingColumn {
        table: table.name(),
        path: file.path.clone(),
        column: amount.to_owned(),
        columns: file.columns.iter().map(|column| column.name.clone()).collect(),
        taken: Vec::new(),
        canonical: DEFAULT_AMOUNT.to_owned(),
    })))
}

/// What the report is by must be a column that there is, or one that there could be.
fn check_dimensions(config: &Config, inputs: &Inputs) -> Result<()> {
    let columns = |table: Table| -> Result<BTreeSet<String>> {
        let mut names: BTreeSet<String> =
            table.columns().iter().map(|column| column.name.to_owned()).collect();
        if let Some(paths) = inputs.paths.get(&table) {
            for source in input::find(table, paths)? {
                let file = input::describe(table, &source, config.mapping(table))?;
                let columns = file.columns.into_iter().map(|column| column.name);
                names.extend(columns.filter(|name| !is_bookkeeping(name)));
            }
        }
        Ok(names)
    };
    let of_orders = columns(Table::Orders)?;
    let of_items = columns(Table::OrderItems)?;
    let mut of_touches = columns(Table::Sessions)?;
    of_touches.extend(columns(Table::Postviews)?);
    of_touches.extend(touchpoints::DEVICE_COLUMNS.map(str::to_owned));
    of_touches.extend(touchpoints::LOCAL_COLUMNS.map(str::to_owned));
    of_touches.insert(touchpoints::DOMAIN_TYPE.to_owned());
    of_touches.extend(channels::COLUMNS.map(str::to_owned));
    for dimension in &config.by {
        if is_own_column(&dimension.to_string()) {
            return Err(Error::Contradiction(format!(
                "`{dimension}` is a column of the report itself; `--column sessions.app_{dimension}={dimension}` gives yours another name"
            )));
        }
        let known = match dimension {
            Dimension::Touch(column) => of_touches.contains(column),
            Dimension::Order(column) => of_orders.contains(column),
            Dimension::Item(column) => of_items.contains(column),
            Dimension::Span(_) => true,
        };
        if !known {
            let mut known: Vec<String> = ["none", "day", "week", "month"].map(str::to_owned).into();
            known.extend(of_touches.clone());
            known.extend(of_orders.iter().map(|column| format!("order.{column}")));
            known.extend(of_items.iter().map(|column| format!("item.{column}")));
            return Err(Error::Unknown { kind: "dimension", name: dimension.to_string(), known });
        }
    }
    let of_models = config.models.iter().filter_map(|asked| asked.model.channels());
    if let Some(column) = of_models.into_iter().find(|column| !of_touches.contains(*column)) {
        let (name, known) = (column.to_owned(), of_touches.into_iter().collect());
        return Err(Error::Unknown { kind: "column of touches", name, known });
    }
    Ok(())
}

/// The columns that a run reads of a table beyond those that every row is judged by: no more
/// than its answer depends on.
fn needs(config: &Config, table: Table) -> Needs {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    match table {
        Table::OrderItems
        | Table::Users
        | Table::UserAliases
        | Table::Spend
        | Table::ExchangeRates
        | Table::Items => {
            return Needs::All;
        }
        Table::Devices => names.extend(touchpoints::DEVICE_COLUMNS),
        Table::Orders if config.keeps(Frame::Orders) => return Needs::All,
        Table::Sessions | Table::Postviews if config.keeps(Frame::Sessions) => return Needs::All,
        Table::Orders => {
            names.extend(["conversion_type", ITEMS_AT]);
            if !config.vouchers.is_empty() {
                names.insert("discount_codes");
            }
            if wants_orders(config) {
                names.insert("domain_id");
            }
            names.insert(config.amount.as_deref().unwrap_or(DEFAULT_AMOUNT));
            names.extend(config.where_orders.iter().flat_map(Filter::words));
            names.extend(config.by.iter().filter_map(|dimension| match dimension {
                Dimension::Order(column) => Some(column.as_str()),
                Dimension::Touch(_) | Dimension::Item(_) | Dimension::Span(_) => None,
            }));
        }
        Table::Sessions | Table::Postviews => {
            names.extend(["utm_source", "utm_medium"]);
            names.extend(looked_at(config));
            names.extend(config.where_touches.iter().flat_map(Filter::words));
            let mut columns: Vec<&str> = looked_at(config).collect();
            if wants_channels(config) {
                columns.extend(config.channels.columns());
            }
            let by_device = columns.iter().any(|name| touchpoints::DEVICE_COLUMNS.contains(name));
            if !config.vouchers.is_empty() || names_touches(config) {
                names.extend(UTM);
            }
            if names_touches(config) || wants_journeys(config) {
                names.extend(["domain_id", "device_external_id", "device_type"]);
            }
            if by_device {
                names.insert("device_external_id");
            }
            if wants_channels(config) {
                names.extend(config.channels.columns());
            }
            if looked_at(config).any(|name| name == touchpoints::DOMAIN_TYPE) {
                names.insert("domain_id");
            }
            if counts_sessions(config) {
                names.extend(["duration", "interactions_count"]);
                if config.measures == MeasureSet::All {
                    names.insert("pageviews_count");
                }
            }
        }
    }
    Needs::Named(names.into_iter().map(str::to_owned).collect())
}

/// The column that amounts are taken from unless another is named.
pub(crate) const DEFAULT_AMOUNT: &str = "subtotal_price";

/// What an order is that does not say what kind of conversion it is.
const DEFAULT_CONVERSION_TYPE: &str = "order";

/// Touches are told one by one where credits are written or kept, or an order is explained.
fn names_touches(config: &Config) -> bool {
    config.wants_credits() || config.outputs.explanation
}

/// Channels are worked out where the report is by them, a model looks at them, touches are told one
/// by one, or touches or journeys are kept.
fn wants_channels(config: &Config) -> bool {
    let kept = [Frame::Sessions, Frame::Journeys];
    names_touches(config)
        || kept.into_iter().any(|frame| config.keeps(frame))
        || looked_at(config).any(|name| channels::COLUMNS.contains(&name))
}

/// What is known of orders alone is worked out where it is written, or all measures are wanted.
fn wants_orders(config: &Config) -> bool {
    let figures = config.measures == MeasureSet::All || config.extent == Extent::Page;
    config.outputs.orders_report.is_some() || figures
}

/// Journeys are gathered where they are written, or figures of orders follow from them.
fn wants_journeys(config: &Config) -> bool {
    config.outputs.journeys.is_some() || config.keeps(Frame::Journeys) || wants_orders(config)
}

fn touch_columns(config: &Config) -> impl Iterator<Item = &str> {
    config.by.iter().filter_map(|dimension| match dimension {
        Dimension::Touch(column) => Some(column.as_str()),
        Dimension::Order(_) | Dimension::Item(_) | Dimension::Span(_) => None,
    })
}

/// The columns of touches that the report is by, and those that models and paths look at.
fn looked_at(config: &Config) -> impl Iterator<Item = &str> {
    let of_models = config.models.iter().filter_map(|asked| asked.model.channels());
    let of_paths = config.outputs.paths.as_ref().map(|_| CHANNEL);
    touch_columns(config).chain(of_models).chain(of_paths)
}

/// The column of touches that paths are made of.
const CHANNEL: &str = "channel";

/// Sessions can be counted by everything that a session itself has.
fn counts_sessions(config: &Config) -> bool {
    let of_orders =
        |dimension: &Dimension| matches!(dimension, Dimension::Order(_) | Dimension::Item(_));
    !config.by.iter().any(of_orders)
}

/// Who is who, and the user of each row of each table.
pub struct People {
    /// Who is who.
    pub identity: Identity,
    /// The user of each row of a table that refers to users.
    pub users: BTreeMap<Table, Vec<u32>>,
}

/// Works out who is who.
pub fn resolve(config: &Config, tables: &Tables, summary: &mut Summary) -> People {
    resolve_met(config, tables, Met::default(), summary)
}

/// Users that were numbered while tables were read.
#[derive(Default)]
struct Met {
    directory: Directory,
    /// The user of each row of a table.
    users: BTreeMap<Table, Vec<u32>>,
    /// Whom each alias leads to.
    to: Option<Vec<u32>>,
}

/// Gives back the memory of what has said all that it knows once persons are resolved.
fn release(
    config: &Config,
    scanned: impl Fn(Table) -> bool,
    tables: &mut Tables,
    people: &mut People,
) {
    people.users.remove(&Table::UserAliases);
    // Of what was scanned, the tables only have what rows say of their users.
    let has_said = |table: Table| table == Table::UserAliases || scanned(table);
    for (_, loaded) in tables.iter_mut().filter(|(table, _)| has_said(**table)) {
        loaded.rows = RecordBatch::new_empty(loaded.rows.schema());
    }
    if !config.wants_identity() {
        (people.identity.next, people.identity.outcomes) = (Vec::new(), Vec::new());
    }
    if !config.wants_persons() && config.where_persons.is_none() {
        people.identity.facts = Facts::default();
    }
}

/// Works out who is who, of users in tables and of those that were met before.
fn resolve_met(config: &Config, tables: &Tables, met: Met, summary: &mut Summary) -> People {
    let Met { directory, mut users, to } = met;
    let number = |rows: &RecordBatch, column: &str| {
        let ids = rows.column_by_name(column);
        ids.map(|ids| directory.number_all(ids.as_string_view())).unwrap_or_default()
    };
    for (table, loaded) in tables {
        if let Some(column) = table.user_column().filter(|_| !users.contains_key(table)) {
            users.insert(*table, number(&loaded.rows, column));
        }
    }
    let aliases = tables.get(&Table::UserAliases);
    let of_aliases = |loaded: &Loaded| number(&loaded.rows, "to_user_external_id");
    let mut to = to.or_else(|| aliases.map(of_aliases)).unwrap_or_default();
    let names = directory.close();
    for numbers in users.values_mut().chain([&mut to]) {
        names.settle(numbers);
    }
    let mut gathering = Gathering::new(names, tables.contains_key(&Table::Users));
    for (table, users) in &users {
        let rows = &tables[table].rows;
        match table {
            Table::Users => gathering.profile(rows, users, &config.reconcile),
            Table::UserAliases => gathering.alias(rows, users, &to),
            _ => gathering.refer(rows, users),
        }
    }
    let identity = gathering.resolve(config.merge_authenticated);
    summary.identity = identity.account.clone();
    People { identity, users }
}

/// One row per session, view and order.
#[derive(Clone)]
struct MergedTables {
    /// Sessions, then views; the looks of touches, where those are lean.
    touches: RecordBatch,
    /// The person of each touch, where they are whole.
    touch_persons: Vec<u32>,
    /// The user of each touch, where users are kept.
    touch_users: Vec<u32>,
    /// Ids of touches that occurred under two users of one person.
    touch_user_conflicts: u64,
    sessions: usize,
    /// The touches themselves, where they are lean.
    rows: Option<Rows>,
    orders: Merged,
}

/// One row per order.
fn merge_orders(
    config: &Config,
    tables: &mut Tables,
    people: &People,
    keep: Keep,
    summary: &mut Summary,
) -> Result<Merged> {
    let Some(orders) = merge_table(config, tables, people, Table::Orders, keep)? else {
        return Err(Error::Contradiction("a run needs orders".to_owned()));
    };
    let rows = touchpoints::with_default(&orders.rows, "conversion_type", DEFAULT_CONVERSION_TYPE)?;
    let rows = touchpoints::with_default(&rows, "currency", config.currency.code())?;
    summary.orders.versions = orders.versions;
    summary.orders.person_conflicts = orders.conflicts;
    Ok(Merged { rows, ..orders })
}

/// One row per id of a table that is given; its rows are gone from the tables then.
fn merge_table(
    config: &Config,
    tables: &mut Tables,
    people: &People,
    table: Table,
    keep: Keep,
) -> Result<Option<Merged>> {
    let Some(loaded) = tables.get_mut(&table) else { return Ok(None) };
    let schema = loaded.rows.schema();
    let rows = std::mem::replace(&mut loaded.rows, RecordBatch::new_empty(schema));
    let users = &people.users[&table];
    one_row_per_id(&people.identity, rows, users, config.currency, keep).map(Some)
}

/// One row per session, view and order; the touches that there are.
fn merge(
    config: &Config,
    tables: &mut Tables,
    people: &People,
    keep: Keep,
    summary: &mut Summary,
) -> Result<MergedTables> {
    let merged = merge_every(config, tables, people, keep, summary)?;
    match touches_asked_for(config, &merged)? {
        Some(holds) => keep_touches(merged, &holds),
        None => Ok(merged),
    }
}

/// Whether each touch is one that there is to be, where a filter says so.
fn touches_asked_for(config: &Config, merged: &MergedTables) -> Result<Option<Vec<bool>>> {
    let filter = config.where_touches.as_ref();
    filter.map(|filter| filter.holds(&merged.touches, Some(config.currency))).transpose()
}

/// One row per session, view and order, whatever a filter says of touches.
fn merge_every(
    config: &Config,
    tables: &mut Tables,
    people: &People,
    keep: Keep,
    summary: &mut Summary,
) -> Result<MergedTables> {
    let orders = merge_orders(config, tables, people, keep, summary)?;
    let mut one = |table: Table| merge_table(config, tables, people, table, keep);
    let (sessions, views) = (one(Table::Sessions)?, one(Table::Postviews)?);
    let Some(sessions) = sessions else {
        return Err(Error::Contradiction("a run needs sessions".to_owned()));
    };
    for merged in [Some(&sessions), views.as_ref()].into_iter().flatten() {
        summary.touches.versions += merged.versions;
        summary.touches.person_conflicts += merged.conflicts;
    }
    summary.touches.sessions = sessions.rows.num_rows() as u64;
    summary.touches.postviews = views.as_ref().map_or(0, |views| views.rows.num_rows() as u64);
    let count = sessions.rows.num_rows();
    let touch_user_conflicts =
        sessions.user_conflicts + views.as_ref().map_or(0, |views| views.user_conflicts);
    let (mut touch_persons, mut touch_users) = (sessions.person, sessions.user);
    let mut touches = sessions.rows;
    if let Some(views) = views {
        touches = touchpoints::append(&touches, &views.rows)?;
        touch_persons.extend(views.person);
        touch_users.extend(views.user);
    }
    let touches = derived(config, &touches, tables)?;
    let columns: Vec<&str> = looked_at(config).collect();
    let touches = touchpoints::with_local_time(&touches, &columns, config.zone)?;
    Ok(MergedTables {
        touches,
        touch_persons,
        touch_users,
        touch_user_conflicts,
        sessions: count,
        rows: None,
        orders,
    })
}

/// Touches with what follows from their columns: where they came from, their device, the kind of
/// their domain.
fn derived(config: &Config, touches: &RecordBatch, tables: &Tables) -> Result<RecordBatch> {
    let touches = touchpoints::with_origin(touches)?;
    let touches = match tables.get(&Table::Devices) {
        Some(devices) => touchpoints::with_devices(&touches, &devices.rows)?,
        None => touches,
    };
    touchpoints::with_domain_type(&touches, &config.domain_types)
}

/// Leaves out the touches that a filter does not hold for.
fn keep_touches(merged: MergedTables, holds: &[bool]) -> Result<MergedTables> {
    let kept = |of_rows: &[u32]| {
        let rows = of_rows.iter().zip(holds).filter(|(_, holds)| **holds);
        rows.map(|(of_row, _)| *of_row).collect()
    };
    Ok(MergedTables {
        touch_persons: kept(&merged.touch_persons),
        touch_users: kept(&merged.touch_users),
        sessions: holds[..merged.sessions].iter().filter(|holds| **holds).count(),
        touches: filter_record_batch(&merged.touches, &BooleanArray::from(holds.to_vec()))?,
        ..merged
    })
}

/// Touches and orders in their order, person by person.
struct Ordered {
    /// The touches, unless they wait on disk.
    touches: Touches,
    waiting: Option<Waiting>,
    orders: Orders,
    amounts: Amounts,
    rates: Option<Rates>,
    rejects: Vec<Reject>,
    replacements: Vec<Replacement>,
    /// Which persons are asked for, by their number, where not all are.
    wanted_persons: Option<Vec<bool>>,
    /// The instants that are reported: from the first, before the second.
    period: (i64, i64),
    /// The rules of a journey's window.
    window: Window,
}

impl Ordered {
    /// Reports another period.
    fn report(&mut self, period: (i64, i64)) {
        let reported = self.orders.at.iter().map(|at| (period.0..period.1).contains(at));
        self.orders.reported = reported.collect();
        self.period = period;
    }
}

/// Touches in their order, or waiting in their parts where each can be put in order by itself.
fn order_touches(
    config: &Config,
    inputs: &Inputs,
    tables: &Tables,
    people: &People,
    merged: &mut MergedTables,
    gathered: Option<Gathered>,
) -> Result<(Touches, Option<Waiting>)> {
    let ordering = Ordering { config, inputs, people, tables };
    match gathered {
        Some(gathered) if memory::can_wait(config) => {
            Ok((Touches::default(), Some(ordering.later(gathered, &merged.touches)?)))
        }
        Some(gathered) => Ok((ordering.all(gathered, merged)?, None)),
        None => {
            let (rows, person) = (&merged.touches, &merged.touch_persons);
            let persons = people.identity.person.len();
            Ok((journeys::touches(rows, person, persons, merged.sessions), None))
        }
    }
}

fn order(
    config: &Config,
    inputs: &Inputs,
    tables: &Tables,
    merged: &MergedTables,
    people: &People,
    (touches, waiting): (Touches, Option<Waiting>),
    summary: &mut Summary,
) -> Result<Ordered> {
    let persons = people.identity.person.len();
    let rates = tables.get(&Table::ExchangeRates).map(|loaded| Rates::new(&loaded.rows));
    let settings = order_settings(config, rates.as_ref());
    if merged.orders.rows.column_by_name(settings.amount).is_none() {
        summary.warnings.push(format!(
            "orders have no column `{}`: every amount is zero (`--amount COLUMN` names another)",
            settings.amount
        ));
    }
    let (orders, amounts) =
        journeys::orders(&merged.orders.rows, &merged.orders.person, persons, &settings)?;
    let rejects =
        Table::ALL.iter().filter_map(|table| tables.get(table)).flat_map(|loaded| &loaded.rejects);
    let mut rejects: Vec<Reject> = inputs.rejects().iter().chain(rejects).cloned().collect();
    rejects.extend(without_rate(merged, &amounts));
    Ok(Ordered {
        touches,
        waiting,
        orders,
        amounts,
        rates,
        rejects,
        replacements: Vec::new(),
        wanted_persons: None,
        period: config.period,
        window: config.window,
    })
}

/// How orders are counted.
fn order_settings<'a>(config: &'a Config, rates: Option<&'a Rates>) -> OrderSettings<'a> {
    OrderSettings {
        amount: config.amount.as_deref().unwrap_or(DEFAULT_AMOUNT),
        currency: config.currency,
        rates,
        missing_rate: config.missing_rate,
        zone: config.zone,
        count_cancelled: config.cancelled == Cancelled::Include,
        period: config.period,
        compared: config.compare.map(|comparison| comparison.period()),
    }
}

/// Applies the filters of orders and persons: which orders are asked for.
fn want(
    config: &Config,
    tables: &Tables,
    people: &People,
    merged: &MergedTables,
    ordered: &mut Ordered,
) -> Result<()> {
    if let Some(filter) = &config.where_orders {
        let holds = filter.holds(&merged.orders.rows, Some(config.currency))?;
        let of_row = |row: &u32| holds[*row as usize];
        ordered.orders.wanted = ordered.orders.row.iter().map(of_row).collect();
    }
    let Some(filter) = &config.where_persons else { return Ok(()) };
    let persons = all_persons(tables, people, ordered)?;
    // The values of persons are decimals in major units; their whole numbers count something.
    let holds = filter.holds(&persons, None)?;
    let mut wanted = vec![false; people.identity.person.len()];
    let names = Labels::texts(&persons, "person");
    for (name, holds) in names.iter().zip(holds) {
        if let Some(person) = name.and_then(|name| people.identity.users.get(name)) {
            wanted[person as usize] = holds;
        }
    }
    for (order, row) in ordered.orders.row.iter().enumerate() {
        ordered.orders.wanted[order] &= wanted[merged.orders.person[*row as usize] as usize];
    }
    ordered.wanted_persons = Some(wanted);
    Ok(())
}

/// The persons table: who each is, and what it ordered.
fn all_persons(tables: &Tables, people: &People, ordered: &Ordered) -> Result<RecordBatch> {
    let profiles = tables
        .get(&Table::Users)
        .map(|loaded| (&loaded.rows, people.users[&Table::Users].as_slice()));
    let persons = persons_table(&people.identity, profiles)?;
    let currencies = &ordered.amounts.currencies;
    report::with_orders(&persons, &people.identity, &ordered.orders, currencies)
}

/// Lets discount codes say where their orders came from, then finds the channels.
fn reattribute(config: &Config, merged: &mut MergedTables, ordered: &mut Ordered) -> Result<()> {
    ordered.replacements = vouchers::reattribute(
        &config.vouchers,
        &ordered.window,
        &mut ordered.touches,
        &mut merged.touches,
        &ordered.orders,
        &merged.orders.rows,
    )?;
    // After codes have said what they know, because channels follow from it.
    if wants_channels(config) {
        merged.touches = channels::with_channels(&merged.touches, &config.channels)?;
    }
    Ok(())
}

/// Orders that are rejected for want of a rate. They were merged from rows of any file, so that
/// they have an id, and no file or row.
fn without_rate(merged: &MergedTables, amounts: &Amounts) -> Vec<Reject> {
    let ids = external_ids(&merged.orders.rows);
    let reject = |(row, message): &(u32, String)| Reject {
        table: Table::Orders,
        place: None,
        external_id: Some(ids.value(*row as usize).to_owned()),
        rule: Rule::MissingRate,
        message: message.clone(),
    };
    amounts.without_rate.iter().map(reject).collect()
}

fn check_rejects(
    config: &Config,
    inputs: &Inputs,
    tables: &Tables,
    rejects: &[Reject],
    summary: &mut Summary,
) -> Result<()> {
    summary.reject(rejects);
    let read = tables.values().map(|loaded| loaded.read).sum();
    config.max_rejects.check(inputs.rows_read(read), rejects)
}

/// What touches and orders are called.
struct Named {
    touches: Combined,
    orders: Combined,
    touch_cells: Vec<u32>,
    order_cells: Vec<u32>,
    /// The parts that orders are divided into, where the report is by their items.
    parts: Option<Parts>,
    has_touch_dimensions: bool,
    /// The channels of touches, for the models that look at them.
    channels: TouchChannels,
    /// The channel of each touch, in the byte order of their names, where paths are written.
    path_channels: Option<Labels>,
    /// What journeys are made of, where they are wanted.
    steps: Option<Steps>,
    /// The channel of each touch, where journeys are kept.
    kept_channels: Option<Labels>,
    /// Where orders stand in the table of what is known of them, where that is wanted.
    places: Option<Places>,
}

/// The items of orders, where the report is by them.
fn items(
    by: &[Dimension],
    tables: &Tables,
    merged: &MergedTables,
    ordered: &Ordered,
) -> Result<Option<(Items, RecordBatch)>> {
    let by_items = by.iter().any(|dimension| matches!(dimension, Dimension::Item(_)));
    let Some(loaded) = tables.get(&Table::OrderItems).filter(|_| by_items) else {
        return Ok(None);
    };
    let rows = merge_rows(&loaded.rows)?;
    Ok(Some((Items::new(&rows, &ordered.orders, &merged.orders.rows), rows)))
}

fn label(
    config: &Config,
    by: &[Dimension],
    tables: &Tables,
    merged: &MergedTables,
    ordered: &Ordered,
) -> Result<Named> {
    let (touches, orders) = (&ordered.touches, &ordered.orders);
    // Touches that wait are called by their looks.
    let looks: Vec<u32> = (0..).take(merged.touches.num_rows()).collect();
    let touch_rows = if ordered.waiting.is_some() { &looks } else { &touches.row };
    let too_many = |what: &str| Error::Contradiction(format!("there are more than 2^32 {what}"));
    u32::try_from(touches.row.len()).map_err(|_| too_many("touches"))?;
    u32::try_from(orders.row.len()).map_err(|_| too_many("orders"))?;
    let codes = &ordered.amounts.currencies;
    let mut of_touch = Vec::new();
    // Dimensions of items, with their place among those of orders.
    let mut of_item: Vec<(usize, &String)> = Vec::new();
    let mut of_order = vec![Labels {
        codes: orders.currency.iter().map(|code| u32::from(*code)).collect(),
        values: codes.iter().map(ToString::to_string).collect(),
    }];
    for dimension in by {
        match dimension {
            Dimension::Touch(column) => {
                of_touch.push(in_order(Labels::of_column(&merged.touches, column), touch_rows));
            }
            Dimension::Order(column) => {
                let labels = Labels::of_column(&merged.orders.rows, column);
                of_order.push(in_order(labels, &orders.row));
            }
            Dimension::Item(column) => of_item.push((of_order.len() + of_item.len(), column)),
            Dimension::Span(span) if config.date_by == DateBy::Touch => {
                of_touch.push(Labels::of_span(touches.at.iter().copied(), *span, config.zone));
            }
            Dimension::Span(span) => {
                of_order.push(Labels::of_span(orders.at.iter().copied(), *span, config.zone));
            }
        }
    }
    if of_order[0].values.is_empty() {
        of_order[0].values.push(config.currency.to_string());
    }
    let steps = wants_journeys(config).then(|| steps(config, merged, touches));
    let channels = TouchChannels::new(&config.models, |column| {
        in_order(Labels::of_column(&merged.touches, column), touch_rows)
    });
    let path_channels = config.outputs.paths.as_ref().map(|_| {
        engine::in_byte_order(in_order(Labels::of_column(&merged.touches, CHANNEL), touch_rows))
    });
    let kept_channels = config
        .keeps(Frame::Journeys)
        .then(|| in_order(Labels::of_column(&merged.touches, CHANNEL), touch_rows));
    let has_touch_dimensions = !of_touch.is_empty();
    let mut touches = combine(&of_touch, touch_rows.len());
    let (mut orders, parts) = match items(by, tables, merged, ordered)? {
        Some((items, rows)) => {
            let mut of_part: Vec<Labels> =
                of_order.iter().map(|labels| items.of_orders(labels)).collect();
            for (place, column) in of_item {
                of_part.insert(place, items.of_column(&rows, column));
            }
            let combined = combine(&of_part, items.row.len());
            let parts = Parts::new(&items.starts, &combined.codes, &items.weight);
            (combined, Some(parts))
        }
        None => (combine(&of_order, orders.row.len()), None),
    };
    Ok(Named {
        touch_cells: std::mem::take(&mut touches.codes),
        order_cells: std::mem::take(&mut orders.codes),
        parts,
        touches,
        orders,
        has_touch_dimensions,
        channels,
        path_channels,
        steps,
        kept_channels,
        places: wants_orders(config).then(|| orders::places(config, merged, ordered)),
    })
}

/// The labels of rows, in another order.
fn in_order(labels: Labels, rows: &[u32]) -> Labels {
    let codes = rows.iter().map(|row| labels.codes[*row as usize]).collect();
    Labels { codes, values: labels.values }
}

/// What journeys are made of.
fn steps(config: &Config, merged: &MergedTables, touches: &Touches) -> Steps {
    let mut columns: Vec<&str> = touch_columns(config).collect();
    if columns.is_empty() {
        columns = vec!["utm_source", "utm_medium"];
    }
    let named = |column: &str| in_order(Labels::of_column(&merged.touches, column), &touches.row);
    let labels: Vec<Labels> = columns.into_iter().map(named).collect();
    Steps {
        path: combine(&labels, touches.row.len()),
        device_types: named("device_type"),
        devices: named("device_external_id"),
        domains: named("domain_id"),
        domain_types: named(touchpoints::DOMAIN_TYPE),
    }
}

/// Where a touch was said to come from before a discount code said otherwise.
fn vias(config: &Config) -> impl Iterator<Item = String> {
    let fields = UTM.into_iter().filter(|_| !config.vouchers.is_empty());
    fields
        .map(|field| format!("via_{field}"))
        .filter(|name| !touch_columns(config).any(|column| column == name))
}

/// The sums of all partitions.
struct Attributed {
    cells: Cells,
    tally: Tally,
    /// What is known of orders alone, where that is wanted.
    orders: OrderSums,
    /// The numbers of the cells in each resample, where there are any.
    resampled: Option<Resampled>,
    /// What models learnt of channels, where any learns.
    effects: EffectsReport,
    /// What models learnt.
    learnt: Learnt,
}

/// The work on partitions, without credit or journey rows.
fn work<'a>(config: &'a Config, ordered: &'a Ordered, named: &'a Named) -> Work<'a> {
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
        wanted: ordered.wanted_persons.as_deref(),
        date_by: config.date_by,
        period: ordered.period,
        currencies: ordered.amounts.currencies.len(),
        credits: false,
        journeys: false,
        by_role: config.measures == MeasureSet::All,
        by_person: config.bootstrap.is_some(),
    }
}

/// Lets the models of a run learn from the journeys of every person, if any of them does.
fn learn(work: &Work<'_>, people: &People) -> Result<Learnt> {
    if !engine::learns(work.models) {
        return Ok(Learnt::default());
    }
    engine::learn(work, &engine::partitions(work, &persons_with_touches(work, people)))
}

/// The persons with touches. Their numbers follow from the order of rows, but what is counted of
/// them does not.
fn persons_with_touches(work: &Work<'_>, people: &People) -> Vec<u32> {
    let persons = (0..).take(people.identity.person.len());
    persons.filter(|person| !work.touches.of(*person).is_empty()).collect()
}

/// The persons with orders.
fn persons_with_orders(merged: &MergedTables) -> Vec<u32> {
    let mut persons = merged.orders.person.clone();
    persons.sort_unstable();
    persons.dedup();
    persons
}

/// Puts persons in the byte order of their ids, in which rows are written.
fn sort_by_name(persons: &mut [u32], identity: &Identity) {
    persons.par_sort_by_cached_key(|person| identity.users.name(*person));
}

fn attribute(
    config: &Config,
    merged: &MergedTables,
    ordered: &Ordered,
    named: &Named,
    people: &People,
    writers: &mut Writers,
) -> Result<Attributed> {
    let identity = &people.identity;
    let learnt = learn(&work(config, ordered, named), people)?;
    let work = Work {
        fitted: &learnt.fitted,
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
        sort_by_name(&mut persons, identity);
    }
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
        effects: EffectsReport::default(),
        learnt: Learnt::default(),
    };
    let mut by_channel = ByChannel::new(&work);
    let wave = 4 * rayon::current_num_threads();
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
        by_channel.merge(&partial.by_channel);
        if let (Some(writer), Some(rows)) = (&mut writers.credits, credits) {
            writer.write(&rows)?;
        }
        if let (Some(places), Some(steps)) = (&named.places, &named.steps) {
            sums.orders.add(places, (&ordered.touches, orders), steps, &partial.journeys);
        }
        if let (Some(writer), Some(rows)) = (&mut writers.journeys, journeys) {
            writer.write(&rows)?;
        }
        if let Some(writing) = &mut writers.kept {
            for (frame, rows) in kept {
                rows.map_or(Ok(()), |rows| writing.write(frame, &rows))?;
            }
        }
        Ok(())
    };
    let Some(waiting) = &ordered.waiting else {
        let tasks: Vec<_> = engine::tasks(&work, &persons).collect();
        engine::run(&tasks, wave, rows, &mut take)?;
        let currencies = &ordered.amounts.currencies;
        sums.effects =
            EffectsReport::new(&models, &learnt, work.channels, &by_channel, currencies)?;
        sums.learnt = learnt;
        return Ok(sums);
    };
    // Some parts at a time: the next are put in order when these are done with.
    let parts: Vec<u32> = (0..Waiting::PARTS).collect();
    for parts in parts.chunks(2 * rayon::current_num_threads()) {
        let arrive = |part: &u32| Arrived::new(waiting, *part, named);
        let arrived: Vec<Arrived> = parts.par_iter().map(arrive).collect::<Result<_>>()?;
        let works: Vec<Work<'_>> = arrived.iter().map(|arrived| arrived.work(work)).collect();
        let of_part = |(work, arrived): (_, &Arrived)| engine::tasks(work, arrived.of(&persons));
        let tasks: Vec<_> = works.iter().zip(&arrived).flat_map(of_part).collect();
        engine::run(&tasks, wave, rows, &mut take)?;
    }
    Ok(sums)
}

/// Which rows of a partition are written.
struct RowsOf {
    credits: bool,
    journeys: bool,
    /// Those of them that are kept.
    kept: BTreeSet<Frame>,
}

impl RowsOf {
    fn new(writers: &Writers) -> Self {
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
struct WantedRows<'a> {
    table: &'a CreditTable<'a>,
    config: &'a Config,
    named: &'a Named,
    /// The conversion types of orders, by their number.
    kinds: &'a [String],
    of: RowsOf,
}

impl WantedRows<'_> {
    fn rows(&self, partial: &Partial) -> Result<Written> {
        let Self { table, config, named, kinds, of } = self;
        let zone = config.zone;
        let credits = of.credits.then(|| credit_rows(table, &partial.credits)).transpose()?;
        let kept_credits = credits.as_ref().filter(|_| of.kept.contains(&Frame::Credits));
        let kept_credits = kept_credits.map(|rows| kept::credits(rows, zone));
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
struct Written {
    credits: Option<RecordBatch>,
    journeys: Option<RecordBatch>,
    kept: [(Frame, Option<RecordBatch>); 2],
}

/// A part of the touches, in order, with what they are called.
struct Arrived {
    /// The part's persons.
    persons: Range<u32>,
    touches: Touches,
    cells: Vec<u32>,
    channels: TouchChannels,
}

impl Arrived {
    fn new(waiting: &Waiting, part: u32, named: &Named) -> Result<Self> {
        let (persons, touches) = waiting.part(part)?;
        let cells = touches.row.iter().map(|look| named.touch_cells[*look as usize]).collect();
        let channels = named.channels.of_rows(&touches.row);
        Ok(Self { persons, touches, cells, channels })
    }

    /// The work on the part.
    fn work<'a>(&'a self, work: Work<'a>) -> Work<'a> {
        let Self { touches, cells, channels, .. } = self;
        Work { touches, touch_cells: cells, channels, ..work }
    }

    /// Those of some persons, in the order of their numbers, who are of the part.
    fn of<'p>(&self, persons: &'p [u32]) -> &'p [u32] {
        let place = |person: u32| persons.partition_point(|known| *known < person);
        &persons[place(self.persons.start)..place(self.persons.end)]
    }
}

/// Sessions of a period by dimension values.
type Counted = BTreeMap<Vec<String>, SessionCounts>;

/// The lines of the report of a period.
struct PeriodLines {
    lines: Vec<Line>,
    measures: Measures,
    /// The sessions by the report's dimensions, where they can be counted by them.
    sessions: Option<Counted>,
    /// The same in each resample, where there are any.
    resampled: Option<ResampledSessions>,
    /// Spend by the report's dimensions, where it is known by them.
    spending: Option<Spending>,
}

/// Joins the credit of a period with its sessions and its spend.
fn report_lines(
    config: &Config,
    tables: &Tables,
    (merged, people): (&MergedTables, &People),
    ordered: &Ordered,
    named: &Named,
    sums: &Attributed,
    summary: &mut Summary,
) -> Result<PeriodLines> {
    let sessions = counts_sessions(config)
        .then(|| {
            let wanted = ordered.wanted_persons.as_deref();
            count_sessions(config, &config.by, merged, wanted, ordered.period)
        })
        .transpose()?;
    let resampled = counts_sessions(config)
        .then(|| bootstrap::sessions(config, merged, people, ordered))
        .transpose()?
        .flatten();
    let spending = spend(config, &config.by, tables, ordered)?;
    if spending.is_none() && tables.contains_key(&Table::Spend) {
        summary.warn("spend is left out: it is known by utm_source, utm_medium, utm_campaign, their channel and time only");
    }
    let whole = || tell_bounces(&merged.touches);
    let measures = Measures {
        set: config.measures,
        sessions: sessions.is_some(),
        bounces: merged.rows.as_ref().map_or_else(whole, Rows::tell_bounces),
        cost: spending.is_some(),
    };
    let beside = (sessions.as_ref(), spending.as_ref());
    let lines = join(config, ordered, named, &sums.cells, beside);
    Ok(PeriodLines { lines, measures, sessions, resampled, spending })
}

/// Joins the credit of cells with sessions and spend.
fn join(
    config: &Config,
    ordered: &Ordered,
    named: &Named,
    cells: &Cells,
    beside: (Option<&Counted>, Option<&Spending>),
) -> Vec<Line> {
    join_by(config, &config.by, ordered, named, cells, beside)
}

/// Joins the credit of cells by other dimensions than the report's, as [`join`] does.
fn join_by(
    config: &Config,
    by: &[Dimension],
    ordered: &Ordered,
    named: &Named,
    cells: &Cells,
    (sessions, spending): (Option<&Counted>, Option<&Spending>),
) -> Vec<Line> {
    report::lines(Sums {
        by,
        dated_by_touch: config.date_by == DateBy::Touch,
        models: config.models.len(),
        cells,
        touches: &named.touches,
        orders: &named.orders,
        currencies: &ordered.amounts.currencies,
        default_currency: config.currency,
        sessions,
        spending,
    })
}

/// Whether rows say how long sessions were or how much happened in them.
fn tell_bounces(rows: &RecordBatch) -> bool {
    ["duration", "interactions_count"].iter().any(|column| rows.column_by_name(column).is_some())
}

/// The sessions of a period by these dimensions, of the persons that are wanted.
fn count_sessions(
    config: &Config,
    by: &[Dimension],
    merged: &MergedTables,
    wanted: Option<&[bool]>,
    period: (i64, i64),
) -> Result<Counted> {
    let all = config.measures == MeasureSet::All;
    match &merged.rows {
        Some(rows) => Ok(rows.count(by, period, config.zone, config.bounce, all)),
        None => whole_sessions(config, by, merged, wanted, |sessions, values| {
            report::session_counts(sessions, values, period, config.bounce, all)
        }),
    }
}

/// Looks at sessions that were read whole, of the persons that are wanted, by these dimensions, of
/// which it gives the combinations.
fn whole_sessions<T>(
    config: &Config,
    by: &[Dimension],
    merged: &MergedTables,
    wanted: Option<&[bool]>,
    look: impl FnOnce(Sessions<'_>, &[Vec<String>]) -> T,
) -> Result<T> {
    let mut sessions = merged.touches.slice(0, merged.sessions);
    let mut persons = merged.touch_persons[..merged.sessions].to_vec();
    if let Some(wanted) = wanted {
        let of_wanted = persons.iter().map(|person| Some(wanted[*person as usize]));
        sessions = filter_record_batch(&sessions, &of_wanted.collect::<BooleanArray>())?;
        persons.retain(|person| wanted[*person as usize]);
    }
    let at = touchpoints::instants(&sessions);
    let labels: Vec<Labels> = by
        .iter()
        .map(|dimension| match dimension {
            Dimension::Touch(column) | Dimension::Order(column) | Dimension::Item(column) => {
                Labels::of_column(&sessions, column)
            }
            Dimension::Span(span) => Labels::of_span(at.iter().copied(), *span, config.zone),
        })
        .collect();
    let session = Session::reader(&sessions, &at, &persons);
    let combined = combine(&labels, sessions.num_rows());
    let code = |row: usize| combined.codes[row];
    let sessions = Sessions { rows: sessions.num_rows(), session: &session, code: &code };
    Ok(look(sessions, &combined.values))
}

/// Spend of the period by these dimensions; none where there is none, or it is not known by them.
fn spend(
    config: &Config,
    by: &[Dimension],
    tables: &Tables,
    ordered: &Ordered,
) -> Result<Option<Spending>> {
    let Some(loaded) = tables.get(&Table::Spend) else { return Ok(None) };
    let of_channel = |dimension: &Dimension| match dimension {
        Dimension::Touch(column) => channels::COLUMNS.contains(&column.as_str()),
        Dimension::Order(_) | Dimension::Item(_) | Dimension::Span(_) => false,
    };
    // By the same rules as touches, of which spend knows source, medium and campaign.
    let rows = if by.iter().any(of_channel) {
        channels::with_channels(&loaded.rows, &config.channels)?
    } else {
        loaded.rows.clone()
    };
    let rates = ordered.rates.as_ref();
    report::spending(&rows, by, ordered.period, config.zone, config.currency, rates)
}

/// The report, beside that of the period it is compared with.
fn make_report(config: &Config, now: &PeriodLines, then: Option<&PeriodLines>) -> Result<Report> {
    let then = then.map(|then| vec![then.lines.clone()]);
    let mut reports = make_reports(config, now.measures, vec![now.lines.clone()], then)?;
    Ok(reports.remove(0))
}

/// Reports of one kind, each beside that of the period it is compared with.
fn make_reports(
    config: &Config,
    measures: Measures,
    mut now: Vec<Vec<Line>>,
    then: Option<Vec<Vec<Line>>>,
) -> Result<Vec<Report>> {
    let models: Vec<String> = config.models.iter().map(|asked| asked.name.clone()).collect();
    let Some(mut then) = then else {
        return Report::each(&config.by, &models, now, measures);
    };
    for (now, then) in now.iter_mut().zip(&mut then) {
        report::meet(now, then, models.len());
    }
    let now = Report::each(&config.by, &models, now, measures)?;
    let then = Report::each(&config.by, &models, then, measures)?;
    Ok(now.into_iter().zip(then).map(|(now, then)| now.compared_with(then)).collect())
}

/// Counts orders and proves the sums.
fn account(
    config: &Config,
    ordered: &Ordered,
    sums: &Attributed,
    then: Option<&Attributed>,
    report: &Report,
    summary: &mut Summary,
) -> Result<()> {
    let orders = &ordered.orders;
    let counts = &mut summary.orders;
    counts.read =
        summary.tables.iter().filter(|table| table.table == "orders").map(|table| table.read).sum();
    counts.counted = sums.tally.counted;
    counts.attributed = sums.tally.attributed;
    counts.unattributed = counts.counted - counts.attributed;
    counts.without_rate = ordered.amounts.without_rate.len() as u64;
    let not_counted = orders.counted.iter().filter(|counted| !**counted).count() as u64;
    counts.cancelled = not_counted - counts.without_rate;
    let merged = orders.row.len() as u64;
    let filtered = orders.counted.iter().zip(&orders.wanted);
    counts.filtered = filtered.filter(|(counted, wanted)| **counted && !**wanted).count() as u64;
    counts.outside_period = merged - not_counted - counts.filtered - counts.counted;
    summary.touches.in_journeys = sums.tally.touches;
    let accepted: u64 = summary
        .tables
        .iter()
        .filter(|table| table.table == "orders")
        .map(|table| table.accepted)
        .sum();
    for table in &summary.tables {
        if table.read != table.accepted + table.rejected {
            return Err(Error::Broken(format!(
                "{} rows of {} were read, but {} accepted and {} rejected",
                table.read, table.table, table.accepted, table.rejected
            )));
        }
    }
    if accepted != merged + counts.versions {
        return Err(Error::Broken(format!(
            "{accepted} rows of orders were accepted, but {merged} orders and {} versions are known",
            counts.versions
        )));
    }
    let complete = config.date_by == DateBy::Order || config.period == (i64::MIN, i64::MAX);
    let names: Vec<String> = config.models.iter().map(|asked| asked.name.clone()).collect();
    let currencies = &ordered.amounts.currencies;
    summary.proof = prove(&sums.tally, &report.totals, &names, currencies, complete)?;
    summary.proof.chains = sums.effects.models.iter().map(ChainProof::new).collect();
    if let (Some(comparison), Some(then), Some(before)) = (&config.compare, then, report.then()) {
        summary.compared = Some(Compared {
            from: comparison.now.0.to_string(),
            to: comparison.now.1.to_string(),
            from_then: comparison.then.0.to_string(),
            to_then: comparison.then.1.to_string(),
            orders_then: then.tally.counted,
            proof_then: prove(&then.tally, &before.totals, &names, currencies, complete)?,
        });
    }
    Ok(())
}

/// What journeys add up to by path, as rows where they are to be written.
fn paths_table<'c>(
    config: &'c Config,
    ordered: &Ordered,
    named: &Named,
    people: &People,
) -> Result<Option<(&'c Output, RecordBatch)>> {
    let outputs = &config.outputs;
    let Some((output, channels)) = outputs.paths.as_ref().zip(named.path_channels.as_ref()) else {
        return Ok(None);
    };
    let work = work(config, ordered, named);
    let persons = persons_with_touches(&work, people);
    let mut currencies = ordered.amounts.currencies.clone();
    if currencies.is_empty() {
        currencies.push(config.currency);
    }
    let work = Work { currencies: currencies.len(), ..work };
    let sums = engine::path_sums(&work, &engine::partitions(&work, &persons), channels)?;
    let channels = channels.values.clone();
    let direct = channels.iter().map(|channel| is_direct(channel)).collect();
    let paths = Paths { channels, direct, currencies, sums };
    Ok(Some((output, paths.table(SEPARATOR)?)))
}

/// What models learnt of channels, as rows where they are to be written.
fn effects_table<'c>(
    config: &'c Config,
    effects: &EffectsReport,
) -> Result<Option<(&'c Output, RecordBatch)>> {
    let output = config.outputs.effects.as_ref();
    output.map(|output| Ok((output, effects.table()?))).transpose()
}

/// An error if one of the places to write to is a file that is read.
pub(crate) fn refuse_inputs(config: &Config, places: &[PathBuf]) -> Result<()> {
    for (table, paths) in &config.inputs {
        for source in input::find(*table, paths)? {
            let input = fs::canonicalize(&source.path).ok();
            let same = |place: &&PathBuf| input.is_some() && fs::canonicalize(place).ok() == input;
            if let Some(place) = places.iter().find(same) {
                let place = place.display();
                return Err(Error::Contradiction(format!(
                    "`{place}` is both an output and a file of {table}; name another output"
                )));
            }
        }
    }
    Ok(())
}

/// An error if the run is to be kept in the place of a folder that it reads from.
fn refuse_folder_of_inputs(config: &Config) -> Result<()> {
    let kept = config.outputs.kept.as_ref().map(|kept| &kept.folder);
    let Some(folder) = kept.and_then(|folder| fs::canonicalize(folder).ok()) else { return Ok(()) };
    for (table, paths) in &config.inputs {
        for source in input::find(*table, paths)? {
            if fs::canonicalize(&source.path).is_ok_and(|path| path.starts_with(&folder)) {
                let (folder, input) = (folder.display(), source.path.display());
                return Err(Error::Contradiction(format!(
                    "`--keep` would replace the folder `{folder}`, and `{input}` in it is read as {table}; name another folder"
                )));
            }
        }
    }
    Ok(())
}

/// The files of a run while they are written.
struct Writers {
    credits: Option<Box<dyn TableWriter>>,
    journeys: Option<Box<dyn TableWriter>>,
    changed: Option<Box<dyn TableWriter>>,
    /// Every file of the run, by its place.
    staged: BTreeMap<PathBuf, Staged>,
    /// The folder that the run is kept in.
    kept: Option<Writing>,
}

impl Writers {
    /// No files: of a period that is only compared with.
    fn none() -> Self {
        Self { credits: None, journeys: None, changed: None, staged: BTreeMap::new(), kept: None }
    }

    /// Begins every file of the run, so that a place that cannot be written to is known before
    /// the work.
    fn begin(config: &Config) -> Result<Self> {
        let outputs = &config.outputs;
        let places = || {
            let files = outputs.files().map(|output| &output.path);
            files.chain(&outputs.report).chain(&outputs.summary)
        };
        let taken: Vec<PathBuf> = places().cloned().collect();
        refuse_inputs(config, &taken)?;
        let staged = places()
            .map(|path| Ok((path.clone(), Staged::new(path)?)))
            .collect::<Result<BTreeMap<PathBuf, Staged>>>()?;
        let begin = |output: &Option<Output>| -> Result<Option<Box<dyn TableWriter>>> {
            let Some(output) = output else { return Ok(None) };
            let sink = Some(staged[&output.path].sink()?);
            Ok(Some(Box::new(Late { sink, format: output.format, writer: None })))
        };
        let (credits, journeys) = (begin(&outputs.credits)?, begin(&outputs.journeys)?);
        let changed = begin(&outputs.changed)?;
        let kept = outputs.kept.as_ref().map(Writing::begin).transpose()?;
        refuse_folder_of_inputs(config)?;
        Ok(Self { credits, journeys, changed, staged, kept })
    }

    /// Whether a table of the run is kept.
    fn keeps(&self, frame: Frame) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.keeps(frame))
    }

    /// Writes a table that is worked out beside the report, where it is to be written.
    fn table(&self, table: Option<(&Output, RecordBatch)>) -> Result<()> {
        let Some((output, rows)) = table else { return Ok(()) };
        output::write(output.format, self.staged[&output.path].sink()?, &rows)
    }

    fn finish(
        self,
        config: &Config,
        tables: &Tables,
        people: &People,
        ordered: &Ordered,
        report: impl FnOnce(output::Sink) -> Result<()>,
        summary: &Summary,
    ) -> Result<Vec<Staged>> {
        let Self { credits, journeys, staged, .. } = self;
        for writer in [credits, journeys].into_iter().flatten() {
            writer.finish()?;
        }
        let outputs = &config.outputs;
        let write = |output: &Output, rows: &RecordBatch| {
            output::write(output.format, staged[&output.path].sink()?, rows)
        };
        if let Some(output) = &outputs.persons {
            write(output, &all_persons(tables, people, ordered)?)?;
        }
        if let Some(output) = &outputs.identity {
            write(output, &audit_table(&people.identity)?)?;
        }
        if let Some(output) = &outputs.rejects {
            write(output, &rejects_table(&ordered.rejects)?)?;
        }
        if let Some(path) = &outputs.report {
            report(staged[path].sink()?)?;
        }
        if let Some(path) = &outputs.summary {
            let mut sink = staged[path].sink()?;
            let failed = |why: &dyn std::fmt::Display| Error::Output {
                format: "json",
                why: why.to_string(),
            };
            serde_json::to_writer_pretty(&mut sink, summary).map_err(|error| failed(&error))?;
            sink.write_all(b"\n").and_then(|()| sink.flush()).map_err(|error| failed(&error))?;
        }
        Ok(staged.into_values().collect())
    }
}

/// What came of a run, for whoever writes it down.
#[derive(Clone, Copy)]
pub struct Outcome<'a> {
    /// The report.
    pub report: &'a Report,
    /// What was done.
    pub summary: &'a Summary,
    /// What a page shows beside the report, where one is wanted.
    pub overview: Option<&'a Overview>,
}

impl Published {
    /// What came of the run.
    pub fn outcome(&self) -> Outcome<'_> {
        let Self { report, summary, overview, .. } = self;
        Outcome { report, summary, overview: overview.as_ref() }
    }
}

/// Writes the report in the run's format: a page, text for people, or one table.
pub fn write_report(config: &Config, outcome: Outcome<'_>, sink: output::Sink) -> Result<()> {
    let Outcome { report, summary, overview } = outcome;
    let format = config.outputs.format;
    match (format.name, overview) {
        ("html", Some(overview)) => {
            let page = Page::new(report, overview, summary, config)?;
            output::write_text(format, sink, &page.html()?)
        }
        ("markdown", _) => {
            output::write_text(format, sink, &report::markdown(report, summary, config.wide))
        }
        _ => {
            let text =
                || if config.wide { report::render_wide(report) } else { report::render(report) };
            let table = || if config.wide { report.wide() } else { report.long() };
            output::write_result(format, sink, text, table)
        }
    }
}

/// A writer that begins its table with the first rows, which bring their schema.
struct Late {
    sink: Option<output::Sink>,
    format: &'static output::Format,
    writer: Option<Box<dyn TableWriter>>,
}

impl TableWriter for Late {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        if let Some(sink) = self.sink.take() {
            self.writer = Some((self.format.begin)(sink, &rows.schema())?);
        }
        self.writer.as_mut().map_or(Ok(()), |writer| writer.write(rows))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.writer.map_or(Ok(()), TableWriter::finish)
    }
}
