//! What a run is to do, with every question answered.
//!
//! [`Settings`] is what was typed, in flags and in `apportion.toml`; [`Config`] is what it means,
//! checked, with defaults filled in. Nothing after this asks about a flag again.

mod comparison;
mod partitions;
mod settings;
mod sweep;
mod understood;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use chrono::NaiveDate;
use chrono_tz::Tz;
use serde_json::{Map, Value};

pub use comparison::Comparison;
pub use partitions::PartitionBy;
pub use settings::{Cancelled, Normalize, Settings};
pub use sweep::{Sweep, SweptModel, SweptSetting, SweptWindow};

use crate::bootstrap::{Bootstrap, Draws, Level};
use crate::calendar::{DAY, parse_day, parse_duration, parse_instant, parse_zone, start_of_day};
use crate::channels::Channels;
use crate::databases::{self, Database, LoadTable, Target};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::identity::Key;
use crate::ids::Pseudonyms;
use crate::input::{Input, MemoryTable, Users};
use crate::items::Meaning;
use crate::journeys::{Dimension, MissingRate, Window};
use crate::kept::{Frame, Keep};
use crate::models::{self, Asked};
use crate::money::{Currency, Units};
use crate::objects;
use crate::output::{self, Format, Partitioning};
use crate::report::MeasureSet;
use crate::schema::{Mapping, Table};
use crate::validate::MaxRejects;
use crate::vouchers::Vouchers;

/// The commented workspace file that `apportion init` writes.
pub const TEMPLATE: &str = include_str!("apportion.toml");

/// More threads than any machine makes use of.
const MOST_THREADS: usize = 1024;

/// More resamples than say anything new of an interval.
const MOST_RESAMPLES: usize = 100_000;

/// What resamples are drawn by, unless another seed is named.
const DEFAULT_SEED: u64 = 1;

/// What a report is by, unless it is by something else.
const DEFAULT_BY: [&str; 2] = ["utm_source", "utm_medium"];

/// What credits are dated by.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Deserialize,
    serde::Serialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum DateBy {
    /// The order: the report adds up to the orders of the period.
    #[default]
    Order,
    /// The touch: the report shows what a period's traffic earned, whenever.
    Touch,
}

/// A file to write, in a format.
#[derive(Debug, Clone)]
pub struct Output {
    /// Where.
    pub path: PathBuf,
    /// How.
    pub format: &'static Format,
    /// Where it is written beside that, as an Arrow stream, for whoever did the run to read.
    pub copy: Option<PathBuf>,
}

impl Output {
    /// A file in a format.
    pub const fn new(path: PathBuf, format: &'static Format) -> Self {
        Self { path, format, copy: None }
    }
}

/// What a run writes.
#[derive(Debug, Clone)]
pub struct Outputs {
    /// The report's format.
    pub format: &'static Format,
    /// The report's file; none is standard output.
    pub report: Option<PathBuf>,
    /// The database that the report and the credits are loaded into.
    pub database: Option<Target>,
    /// Credits.
    pub credits: Option<Output>,
    /// Journeys.
    pub journeys: Option<Output>,
    /// What is known of orders alone.
    pub orders_report: Option<Output>,
    /// Where spend and sessions do not meet.
    pub spend_gaps: Option<Output>,
    /// How likely lines rank above each other.
    pub ranks: Option<Output>,
    /// What models that learn say of channels.
    pub effects: Option<Output>,
    /// Journeys added up by path.
    pub paths: Option<Output>,
    /// The least and the greatest of each figure in a sweep.
    pub ranges: Option<Output>,
    /// What a sweep makes of decisions.
    pub decisions: Option<Output>,
    /// Persons.
    pub persons: Option<Output>,
    /// The audit of identity.
    pub identity: Option<Output>,
    /// Rejected rows.
    pub rejects: Option<Output>,
    /// The orders whose journey identity changed.
    pub changed: Option<Output>,
    /// The summary, as JSON.
    pub summary: Option<PathBuf>,
    /// The folder that the run is kept in.
    pub kept: Option<Keep>,
    /// The places among these that are folders of partitions.
    pub partitions: BTreeMap<PathBuf, Partitioning>,
    /// Whether touches are told one by one, as credits tell them, though no file of theirs is written.
    pub(crate) explanation: bool,
}

/// When a session counts as bounced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounce {
    /// It did not if it lasted so many seconds.
    pub seconds: f64,
    /// It did not if it had more interactions than this.
    pub interactions: f64,
}

/// How much of a run is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The report.
    Report,
    /// What a page shows beside it too: credit over time, and what journeys are like.
    Page,
}

/// What a run is to do.
pub struct Config {
    /// The settings in the words of `apportion.toml`, with every default filled in.
    pub understood: Map<String, Value>,
    /// What is given for each table, and the paths of JSON items.
    pub inputs: BTreeMap<Table, Vec<Input>>,
    /// How the workspace names columns.
    pub mappings: BTreeMap<Table, Mapping>,
    /// What amount columns hold, where that is said.
    pub units: Option<Units>,
    /// Whether utm fields are folded to lower case.
    pub lower: bool,
    /// How many rows may be rejected.
    pub max_rejects: MaxRejects,
    /// The run's clock.
    pub as_of: i64,
    /// The models, in the order asked for.
    pub models: Vec<Asked>,
    /// What is tried in one run, where something is.
    pub sweep: Option<Sweep>,
    /// The rules of a journey's window.
    pub window: Window,
    /// Whether cancelled orders count.
    pub cancelled: Cancelled,
    /// The orders' column that holds the amount, where one is named.
    pub amount: Option<String>,
    /// The workspace's currency.
    pub currency: Currency,
    /// What becomes of orders without a rate.
    pub missing_rate: MissingRate,
    /// Whether aliases join two authenticated users.
    pub merge_authenticated: bool,
    /// Which channel a touch belongs to.
    pub channels: Channels,
    /// The type of each domain that the workspace describes.
    pub domain_types: BTreeMap<String, String>,
    /// What discount codes say of where an order came from.
    pub vouchers: Vouchers,
    /// What makes users one person beside aliases.
    pub reconcile: Vec<Key>,
    /// The report's dimensions.
    pub by: Vec<Dimension>,
    /// Which touches there are.
    pub where_touches: Option<Filter>,
    /// Which orders are reported.
    pub where_orders: Option<Filter>,
    /// Which persons are reported.
    pub where_persons: Option<Filter>,
    /// The instants that are reported: from the first, before the second.
    pub period: (i64, i64),
    /// What the period is compared with, where it is.
    pub compare: Option<Comparison>,
    /// Which measures the report has.
    pub measures: MeasureSet,
    /// What credits are dated by.
    pub date_by: DateBy,
    /// The zone that days are counted in.
    pub zone: Tz,
    /// When a session counts as bounced.
    pub bounce: Bounce,
    /// How figures are resampled, where their uncertainty is asked for.
    pub bootstrap: Option<Bootstrap>,
    /// The same of what models that learn say of channels: there they learn in every resample.
    pub effects_bootstrap: Option<Bootstrap>,
    /// Whether the models stand side by side.
    pub wide: bool,
    /// What is written.
    pub outputs: Outputs,
    /// How much is looked at.
    pub extent: Extent,
    /// Threads to work on; none is all cores.
    pub threads: Option<usize>,
    /// Bytes of memory to keep within.
    pub memory_limit: Option<u64>,
    /// The store that the run is put in.
    pub store: Option<StoreSettings>,
    /// When the run began, whatever its clock says.
    pub started_at: i64,
    /// What user ids become as they are read, where nobody is to be named.
    pub pseudonyms: Option<Pseudonyms>,
    /// Report lines of fewer persons than this are merged, where any are.
    pub min_persons: Option<u64>,
    /// Whose rows are read, where it is not everybody's.
    pub(crate) only: Option<Users>,
}

/// A store, and how a run is put in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// The folder.
    pub folder: PathBuf,
    /// Whether everything is worked out again, whatever has changed.
    pub full: bool,
    /// How long to wait for another run that writes to it.
    pub wait: Duration,
}

impl Config {
    /// Leaves out of a run what another command asks nothing of: the further columns of the report,
    /// and every file.
    pub(crate) fn ask_one_thing(&mut self) {
        self.compare = None;
        self.bootstrap = None;
        self.effects_bootstrap = None;
        self.min_persons = None;
        self.measures = MeasureSet::default();
        self.extent = Extent::Report;
        self.outputs = self.outputs.without_files();
    }

    /// Makes sense of settings; `now` is the clock of a run that names none.
    pub fn new(settings: Settings, now: i64) -> Result<Self> {
        Self::with_tables(settings, &[], now)
    }

    /// The same with tables in memory, beside what the settings name.
    ///
    /// # Errors
    ///
    /// Settings that cannot be meant; tables where only files will do.
    pub fn with_tables(
        mut settings: Settings,
        tables: &[(Table, MemoryTable)],
        now: i64,
    ) -> Result<Self> {
        settings.conceal()?;
        // Whoever asks anew sees what there is now.
        objects::forget();
        let (zone, currency) = (zone(&settings)?, currency(&settings)?);
        let inputs = inputs(&settings, tables)?;
        if inputs.contains_key(&Table::ExchangeRates) && currency == Currency::NONE {
            return Err(Error::Contradiction(
                "`--exchange-rates` needs `--currency`, the one that the rates lead to".to_owned(),
            ));
        }
        if settings.missing_rate.is_some() && !inputs.contains_key(&Table::ExchangeRates) {
            return Err(Error::Contradiction(
                "`--missing-rate` says nothing without `--exchange-rates`".to_owned(),
            ));
        }
        let as_of = clock(&settings, now)?;
        let max_rejects = max_rejects(&settings)?;
        check_threads(settings.threads)?;
        if settings.spend_gaps.is_some() && !inputs.contains_key(&Table::Spend) {
            return Err(Error::Contradiction(
                "`--spend-gaps` says nothing without `--spend`".to_owned(),
            ));
        }
        let (by, mut outputs, models) =
            (dimensions(&settings)?, outputs(&settings)?, asked(&settings)?);
        let period = period(&settings, zone)?;
        outputs.partitions = partitions::partitions(&settings, &by, (period, zone, as_of))?;
        if outputs.effects.is_some() && !models.iter().any(|asked| asked.model.learns()) {
            return Err(Error::Contradiction(
                "`--effects` says nothing without a model that learns, such as `--model markov`"
                    .to_owned(),
            ));
        }
        let database = database(&settings, &models, zone)?;
        let wide = settings.wide.unwrap_or(false);
        let compare = comparison(&settings, &by, zone)?;
        let bootstrap = bootstrap(&settings)?;
        let salt = settings.hash_ids.as_deref();
        let pseudonyms = salt.map(Pseudonyms::read).transpose()?;
        let min_persons = min_persons(&settings, &by, &outputs)?;
        let crowds = [("--compare", compare.is_some()), ("--bootstrap", bootstrap.is_some())];
        if let Some((flag, _)) = crowds.iter().find(|(_, given)| *given)
            && wide
            && outputs.format.name == "table"
        {
            return Err(Error::Contradiction(format!(
                "`{flag}` has no room beside `--wide` on a terminal; write another format, such as `--format csv`"
            )));
        }
        Ok(Self {
            understood: understood::understood(&settings, pseudonyms.as_ref(), as_of)?,
            mappings: mappings(&settings)?,
            inputs,
            units: settings.units,
            lower: settings.normalize == Some(Normalize::Lower),
            max_rejects,
            as_of,
            models,
            sweep: sweep(&settings, &by)?,
            window: window(&settings)?,
            cancelled: settings.cancelled.unwrap_or_default(),
            currency,
            missing_rate: settings.missing_rate.unwrap_or_default(),
            merge_authenticated: settings.merge_authenticated.unwrap_or(false),
            reconcile: settings
                .reconcile
                .iter()
                .map(|key| Key::parse(key))
                .collect::<Result<_>>()?,
            channels: Channels::new(&settings.channel, settings.default_channels.unwrap_or(true))?,
            domain_types: domain_types(&settings),
            vouchers: Vouchers::new(&settings.vouchers)?,
            by,
            where_touches: filter("--where-touches", settings.where_touches.as_deref()),
            where_orders: filter("--where-orders", settings.where_orders.as_deref()),
            where_persons: filter("--where-persons", settings.where_persons.as_deref()),
            period,
            compare,
            measures: settings.measures.unwrap_or_default(),
            date_by: settings.date_by.unwrap_or_default(),
            zone,
            bounce: bounce(&settings)?,
            effects_bootstrap: bootstrap.filter(|_| outputs.effects.is_some()),
            bootstrap,
            wide,
            extent: extent(&settings, &outputs),
            outputs: Outputs { database, ..outputs },
            threads: settings.threads,
            memory_limit: settings.memory_limit.as_deref().map(size).transpose()?,
            store: store(&settings)?,
            started_at: now,
            pseudonyms,
            min_persons,
            only: None,
            amount: settings.amount,
        })
    }

    /// Whether the touches of everybody are looked at, not only of those who ordered: models that
    /// learn and tables of paths need journeys that led to nothing.
    pub fn needs_everybody(&self) -> bool {
        self.outputs.paths.is_some() || self.models.iter().any(|asked| asked.model.learns())
    }

    /// Whether the distinct persons of sessions are counted.
    pub fn counts_visitors(&self) -> bool {
        self.measures == MeasureSet::All || self.min_persons.is_some()
    }

    /// An error where report lines of few persons are merged, and something shows smaller groups.
    ///
    /// # Errors
    ///
    /// That they are, and `what` it is.
    pub(crate) fn refuse_smaller_groups(&self, what: &str) -> Result<()> {
        if self.min_persons.is_some() { Err(smaller_groups(what)) } else { Ok(()) }
    }

    /// Whether a table of a run is to be kept.
    pub fn keeps(&self, frame: Frame) -> bool {
        self.outputs.kept.as_ref().is_some_and(|kept| kept.frames.contains(&frame))
    }

    /// Whether credits are wanted one by one: in a file, or kept.
    pub fn wants_credits(&self) -> bool {
        self.outputs.credits.is_some() || self.keeps(Frame::Credits) || self.outputs.loads_credits()
    }

    /// Whether persons are wanted one by one.
    pub fn wants_persons(&self) -> bool {
        self.outputs.persons.is_some() || self.keeps(Frame::Persons)
    }

    /// Whether it is wanted how every user id came to its person.
    pub fn wants_identity(&self) -> bool {
        self.outputs.identity.is_some() || self.keeps(Frame::Identity)
    }

    /// What items do not say themselves.
    pub fn meaning(&self) -> Meaning {
        Meaning { currency: self.currency, units: self.units, as_of: self.as_of }
    }

    /// The mapping of a table.
    pub fn mapping(&self, table: Table) -> &Mapping {
        const NONE: &Mapping = &Mapping { columns: BTreeMap::new(), constants: BTreeMap::new() };
        self.mappings.get(&table).unwrap_or(NONE)
    }
}

/// How many persons a line of the report has at least, where that is asked for.
///
/// # Errors
///
/// A number that hides nobody; something that is made of smaller groups than the lines of one report.
fn min_persons(settings: &Settings, by: &[Dimension], outputs: &Outputs) -> Result<Option<u64>> {
    let Some(least) = settings.min_persons else { return Ok(None) };
    if least < 2 {
        let why = "a line of one person is that person's: write 2 or more";
        return Err(Error::setting("--min-persons", least.to_string(), why));
    }
    let by_item = by.iter().find(|dimension| matches!(dimension, Dimension::Item(_)));
    let refused = [
        ("--compare", settings.compare.is_some()),
        ("--sweep", !settings.sweep.is_empty()),
        ("--bootstrap", settings.bootstrap.is_some()),
        ("--measures all", settings.measures == Some(MeasureSet::All)),
        ("--by item.COLUMN", by_item.is_some()),
        ("--orders-report", settings.orders_report.is_some()),
        ("--spend-gaps", settings.spend_gaps.is_some()),
        ("--effects", settings.effects.is_some()),
        ("--paths", settings.paths.is_some()),
        ("a page", outputs.format.name == "html"),
    ];
    match refused.iter().find(|(_, given)| *given) {
        None => Ok(Some(least)),
        Some((what, _)) => Err(smaller_groups(what)),
    }
}

/// Why something cannot stand beside `--min-persons`.
fn smaller_groups(what: &str) -> Error {
    Error::Contradiction(format!(
        "`--min-persons` is about the lines of one report, and {what} shows smaller groups of persons; leave one of them out"
    ))
}

/// The zone that days are counted in.
fn zone(settings: &Settings) -> Result<Tz> {
    let text = settings.timezone.as_deref().unwrap_or("UTC");
    parse_zone(text).ok_or_else(|| {
        Error::setting("--timezone", text, "write an IANA zone such as `Europe/Paris`")
    })
}

/// The workspace's currency.
fn currency(settings: &Settings) -> Result<Currency> {
    let Some(code) = &settings.currency else { return Ok(Currency::NONE) };
    code.parse().map_err(|why: String| Error::setting("--currency", code, why))
}

/// The run's clock; `now` where none is named.
fn clock(settings: &Settings, now: i64) -> Result<i64> {
    let Some(text) = &settings.as_of else { return Ok(now) };
    parse_instant(text).ok_or_else(|| {
        Error::setting("--as-of", text, "write a time such as `2024-03-31T00:00:00Z`")
    })
}

/// The store that a run is put in, where it is.
fn store(settings: &Settings) -> Result<Option<StoreSettings>> {
    let Some(folder) = settings.store.clone() else {
        let flag = settings.full.then_some("--full");
        let flag = flag.or_else(|| settings.store_wait.as_ref().map(|_| "--store-wait"));
        return match flag {
            Some(flag) => {
                Err(Error::Contradiction(format!("`{flag}` says nothing without `--store`")))
            }
            None => Ok(None),
        };
    };
    if settings.keep.is_some() {
        let why = "`--store` keeps the run, so leave out `--keep`";
        return Err(Error::Contradiction(why.to_owned()));
    }
    if !settings.sweep.is_empty() {
        let why = "a sweep is several runs, and `--store` keeps one; leave out one of them";
        return Err(Error::Contradiction(why.to_owned()));
    }
    check_kept(settings.date_by.unwrap_or_default())?;
    let wait = settings.store_wait.as_deref().map(|text| {
        let micros = parse_duration(text).and_then(|micros| u64::try_from(micros).ok());
        micros
            .map(Duration::from_micros)
            .ok_or_else(|| Error::setting("--store-wait", text, "write a duration such as `10m`"))
    });
    let wait = wait.transpose()?.unwrap_or_default();
    Ok(Some(StoreSettings { folder, full: settings.full, wait }))
}

/// An error if a run that is dated like this cannot be kept.
pub(crate) fn check_kept(date_by: DateBy) -> Result<()> {
    match date_by {
        DateBy::Order => Ok(()),
        DateBy::Touch => Err(Error::Contradiction(
            "a kept run has every order with its day, and every touch with its own; leave out `--date-by touch`, and date by `touch_day` in a query".to_owned(),
        )),
    }
}

fn max_rejects(settings: &Settings) -> Result<MaxRejects> {
    let Some(text) = &settings.max_rejects else { return Ok(MaxRejects::Percent(1.0)) };
    text.parse().map_err(|why: String| Error::setting("--max-rejects", text, why))
}

/// What a page shows is looked at where the report is one: a sweep in HTML is a table.
fn extent(settings: &Settings, outputs: &Outputs) -> Extent {
    let is_page = outputs.format.name == "html" && settings.sweep.is_empty();
    if is_page { Extent::Page } else { Extent::Report }
}

/// An error if there cannot be so many threads.
pub(crate) fn check_threads(threads: Option<usize>) -> Result<()> {
    match threads {
        Some(threads) if !(1..=MOST_THREADS).contains(&threads) => {
            let why = format!("write a number from 1 to {MOST_THREADS}");
            Err(Error::setting("--threads", threads.to_string(), why))
        }
        _ => Ok(()),
    }
}

fn inputs(
    settings: &Settings,
    tables: &[(Table, MemoryTable)],
) -> Result<BTreeMap<Table, Vec<Input>>> {
    let paths = [
        (Table::Sessions, &settings.sessions),
        (Table::Orders, &settings.orders),
        (Table::OrderItems, &settings.order_items),
        (Table::Users, &settings.users),
        (Table::UserAliases, &settings.aliases),
        (Table::Postviews, &settings.postviews),
        (Table::Devices, &settings.devices),
        (Table::Spend, &settings.spend),
        (Table::ExchangeRates, &settings.exchange_rates),
        (Table::Items, &settings.items),
    ];
    let mut inputs: BTreeMap<Table, Vec<Input>> = BTreeMap::new();
    for (table, paths) in paths.into_iter().filter(|(_, paths)| !paths.is_empty()) {
        inputs.insert(table, paths.iter().cloned().map(Input::from).collect());
    }
    for (table, held) in tables {
        let why = match (table, &settings.store) {
            (Table::Items, _) => "items are lines of JSON: name the file that they are in",
            (_, Some(_)) => {
                "`--store` looks for what has changed in files: write it to Parquet, and name the file"
            }
            (_, None) => {
                inputs.entry(*table).or_default().push(Input::Memory(held.clone()));
                continue;
            }
        };
        return Err(Error::setting(format!("--{table}"), held.path().display().to_string(), why));
    }
    Ok(inputs)
}

fn filter(flag: &'static str, text: Option<&str>) -> Option<Filter> {
    text.map(|text| Filter::new(flag, text))
}

fn domain_types(settings: &Settings) -> BTreeMap<String, String> {
    let types = settings.domains.iter();
    types.map(|(domain, kind)| (domain.clone(), kind.name().to_owned())).collect()
}

fn mappings(settings: &Settings) -> Result<BTreeMap<Table, Mapping>> {
    let mut mappings: BTreeMap<Table, Mapping> = BTreeMap::new();
    for (flag, texts) in [("--column", &settings.column), ("--set", &settings.set)] {
        for text in texts {
            let wrong = || {
                Error::setting(
                    flag,
                    text,
                    "write `TABLE.COLUMN=...`, for example `sessions.utm_medium=cpc`",
                )
            };
            let (target, value) = text.split_once('=').ok_or_else(wrong)?;
            let (table, column) = target.split_once('.').ok_or_else(wrong)?;
            let mapping = mappings.entry(Table::from_name(table.trim())?).or_default();
            let (column, value) = (column.trim().to_owned(), value.trim().to_owned());
            let of_flag =
                if flag == "--set" { &mut mapping.constants } else { &mut mapping.columns };
            of_flag.insert(column, value);
        }
    }
    for (table, mapping) in &mappings {
        if let Some(column) =
            mapping.columns.keys().find(|column| mapping.constants.contains_key(*column))
        {
            return Err(Error::Contradiction(format!(
                "`--column` and `--set` both name `{table}.{column}`; a column has one origin"
            )));
        }
    }
    Ok(mappings)
}

fn asked(settings: &Settings) -> Result<Vec<Asked>> {
    models::ask_all(&model_texts(settings), &settings.models)
}

/// What asks for each model.
fn model_texts(settings: &Settings) -> Vec<&str> {
    if settings.model.is_empty() {
        models::DEFAULT.to_vec()
    } else {
        settings.model.iter().map(String::as_str).collect()
    }
}

/// What is swept, where something is.
///
/// # Errors
///
/// As of [`Sweep::new`]; something that a sweep does not answer, or that only a sweep does.
fn sweep(settings: &Settings, by: &[Dimension]) -> Result<Option<Sweep>> {
    let sweep = Sweep::new(settings, &model_texts(settings))?;
    let only = [("--ranges", &settings.ranges), ("--decisions", &settings.decisions)];
    if let Some((flag, _)) = only.iter().find(|(_, path)| path.is_some() && sweep.is_none()) {
        return Err(Error::Contradiction(format!("`{flag}` says nothing without `--sweep`")));
    }
    if sweep.is_none() {
        return Ok(None);
    }
    let refused = [
        ("--compare", settings.compare.is_some()),
        ("--bootstrap", settings.bootstrap.is_some()),
        ("--wide", settings.wide == Some(true)),
        ("--credits", settings.credits.is_some()),
        ("--journeys", settings.journeys.is_some()),
        ("--orders-report", settings.orders_report.is_some()),
        ("--spend-gaps", settings.spend_gaps.is_some()),
        ("--effects", settings.effects.is_some()),
        ("--paths", settings.paths.is_some()),
        ("--keep", settings.keep.is_some()),
        ("--partition-by", settings.partition_by.is_some()),
    ];
    if let Some((flag, _)) = refused.iter().find(|(_, given)| *given) {
        return Err(Error::Contradiction(format!(
            "`{flag}` is of one combination of settings; run it without `--sweep` for the one that you choose"
        )));
    }
    let named = |dimension: &&Dimension| {
        let name = dimension.to_string();
        let swept = settings.sweep.iter().filter_map(|text| text.split_once('='));
        { swept }.any(|(swept, _)| swept.trim().replace('-', "_") == name)
    };
    match by.iter().find(named) {
        None => Ok(sweep),
        Some(dimension) => Err(Error::Contradiction(format!(
            "`{dimension}` is a setting of the sweep and a dimension; `--column sessions.app_{dimension}={dimension}` gives yours another name"
        ))),
    }
}

fn window(settings: &Settings) -> Result<Window> {
    Ok(Window {
        lookback: lookback("--lookback", settings.lookback.as_deref(), 90 * DAY)?,
        view_lookback: lookback("--view-lookback", settings.view_lookback.as_deref(), DAY)?,
        views: settings.views.unwrap_or_default(),
        direct: settings.direct.unwrap_or_default(),
        overlap: settings.overlap.unwrap_or(false),
    })
}

fn lookback(flag: &str, text: Option<&str>, default: i64) -> Result<Option<i64>> {
    match text.map(str::trim) {
        None => Ok(Some(default)),
        Some("none") => Ok(None),
        Some(text) => match parse_duration(text) {
            Some(duration) => Ok(Some(duration)),
            None => Err(Error::setting(
                flag,
                text,
                "write a duration such as `30d` or `12h`, or `none`",
            )),
        },
    }
}

fn dimensions(settings: &Settings) -> Result<Vec<Dimension>> {
    let texts: Vec<&str> = match &settings.by[..] {
        [] => DEFAULT_BY.to_vec(),
        [none] if none.trim() == "none" => Vec::new(),
        texts => texts.iter().map(|text| text.trim()).collect(),
    };
    for (at, text) in texts.iter().enumerate() {
        if texts[..at].contains(text) {
            return Err(Error::Contradiction(format!("`--by` names `{text}` twice")));
        }
        if *text == "none" {
            return Err(Error::Contradiction("`--by none` stands alone".to_owned()));
        }
    }
    Ok(texts.into_iter().map(Dimension::parse).collect())
}

/// The first and the last day that are reported, where they are named.
fn days(settings: &Settings) -> Result<(Option<NaiveDate>, Option<NaiveDate>)> {
    let day = |flag: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => parse_day(text)
            .map(Some)
            .ok_or_else(|| Error::setting(flag, text, "write a day such as `2024-03-31`")),
    };
    let (from, to) = (day("--from", &settings.from)?, day("--to", &settings.to)?);
    if let (Some(from), Some(to)) = (from, to)
        && to < from
    {
        return Err(Error::Contradiction(format!("`--to {to}` is before `--from {from}`")));
    }
    Ok((from, to))
}

/// A size of memory in bytes.
fn size(text: &str) -> Result<u64> {
    let size: std::result::Result<ByteSize, _> = text.parse();
    let size = size.map_err(|_| {
        let why = "write a size such as `2GiB` or `500MB`";
        Error::setting("--memory-limit", text, why)
    })?;
    Ok(size.as_u64())
}

fn period(settings: &Settings, zone: Tz) -> Result<(i64, i64)> {
    let (from, to) = days(settings)?;
    let start = from.map_or(i64::MIN, |day| start_of_day(day, zone));
    let end = to.and_then(|day| day.succ_opt()).map_or(i64::MAX, |day| start_of_day(day, zone));
    Ok((start, end))
}

fn comparison(settings: &Settings, by: &[Dimension], zone: Tz) -> Result<Option<Comparison>> {
    let Some(text) = &settings.compare else { return Ok(None) };
    let (Some(from), Some(to)) = days(settings)? else {
        return Err(Error::Contradiction(
            "`--compare` needs `--from` and `--to`, the days that are compared".to_owned(),
        ));
    };
    let comparison = Comparison::new(text, (from, to), zone)?;
    for dimension in by {
        if let Dimension::Span(span) = dimension {
            comparison.beside(*span)?;
        }
    }
    Ok(Some(comparison))
}

/// How much is to be resampled, if anything.
pub(crate) fn bootstrap(settings: &Settings) -> Result<Option<Bootstrap>> {
    let Some(resamples) = settings.bootstrap else {
        let without = [
            ("--seed", settings.seed.is_some()),
            ("--level", settings.level.is_some()),
            ("--ranks", settings.ranks.is_some()),
        ];
        return match without.iter().find(|(_, given)| *given) {
            None => Ok(None),
            Some((flag, _)) => {
                Err(Error::Contradiction(format!("`{flag}` says nothing without `--bootstrap`")))
            }
        };
    };
    let level = match &settings.level {
        Some(text) => text.parse().map_err(|why: String| Error::setting("--level", text, why))?,
        None => Level::default(),
    };
    if !(level.least()..=MOST_RESAMPLES).contains(&resamples) {
        let why = format!(
            "an interval that holds {level} of them needs from {} to {MOST_RESAMPLES} resamples",
            level.least()
        );
        return Err(Error::setting("--bootstrap", resamples.to_string(), why));
    }
    let draws = Draws::Poisson { seed: settings.seed.unwrap_or(DEFAULT_SEED) };
    Ok(Some(Bootstrap { resamples, draws, level }))
}

fn bounce(settings: &Settings) -> Result<Bounce> {
    let text = settings.bounce_duration.as_deref().unwrap_or("15s");
    let duration = parse_duration(text).ok_or_else(|| {
        Error::setting("--bounce-duration", text, "write a duration such as `15s`")
    })?;
    Ok(Bounce {
        seconds: duration as f64 / 1e6,
        interactions: settings.bounce_interactions.unwrap_or(1.0),
    })
}

fn outputs(settings: &Settings) -> Result<Outputs> {
    let by_name = |path: &Option<PathBuf>| -> Result<Option<Output>> {
        let Some(path) = path else { return Ok(None) };
        if databases::names_database(path) {
            let why = "only `--output` names a database, which takes the report and the credits";
            return Err(Error::Contradiction(why.to_owned()));
        }
        Ok(Some(Output::new(path.clone(), output::by_extension(path)?)))
    };
    let by_place = |path: &Option<PathBuf>| -> Result<Option<Output>> {
        let divided = path.as_ref().map(|path| partitions::divided(settings, path)).transpose()?;
        match (path, divided.flatten()) {
            (Some(path), Some(format)) => Ok(Some(Output::new(path.clone(), format))),
            _ => by_name(path),
        }
    };
    // A database has no format.
    let file = settings.output.clone().filter(|output| !databases::names_database(output));
    let divided = file.as_ref().map(|path| partitions::divided(settings, path));
    let format = match divided.transpose()?.flatten() {
        Some(format) => format,
        None => output::chosen(settings.format.as_deref(), file.as_deref())?,
    };
    let outputs = Outputs {
        format,
        report: file,
        database: None,
        credits: by_place(&settings.credits)?,
        journeys: by_place(&settings.journeys)?,
        orders_report: by_name(&settings.orders_report)?,
        spend_gaps: by_name(&settings.spend_gaps)?,
        ranks: by_name(&settings.ranks)?,
        effects: by_name(&settings.effects)?,
        paths: by_name(&settings.paths)?,
        ranges: by_name(&settings.ranges)?,
        decisions: by_name(&settings.decisions)?,
        persons: by_name(&settings.persons)?,
        identity: by_name(&settings.identity)?,
        rejects: by_name(&settings.rejects)?,
        changed: by_name(&settings.changed)?,
        summary: settings.summary.clone(),
        kept: settings.keep.clone().map(Keep::all),
        partitions: BTreeMap::new(),
        explanation: false,
    };
    if outputs.kept.is_some() {
        check_kept(settings.date_by.unwrap_or_default())?;
    }
    let mut paths: Vec<&Path> = outputs.files().map(|output| output.path.as_path()).collect();
    paths.extend(outputs.report.as_deref());
    paths.extend(outputs.summary.as_deref());
    paths.extend(outputs.kept.as_ref().map(|kept| kept.folder.as_path()));
    paths.sort_unstable();
    if let Some(twice) = paths.windows(2).find(|pair| pair[0] == pair[1]) {
        let path = twice[0].display();
        return Err(Error::Contradiction(format!("two outputs would be written to `{path}`")));
    }
    Ok(outputs)
}

/// The database that a run is loaded into, where `--output` names one.
///
/// # Errors
///
/// A place that cannot be understood; what a table of a database has no room for.
fn database(settings: &Settings, models: &[Asked], zone: Tz) -> Result<Option<Target>> {
    let text = settings.output.as_ref().map(|output| output.to_string_lossy());
    let Some(database) = text.map(|text| Database::parse(&text)).transpose()?.flatten() else {
        return Ok(None);
    };
    let loads_credits = database.loads(LoadTable::Credits);
    let by_touch = settings.date_by == Some(DateBy::Touch);
    let refused = [
        ("--format", settings.format.is_some(), "a database has types of its own"),
        ("--wide", settings.wide == Some(true), "its columns would follow from the models"),
        ("--sweep", !settings.sweep.is_empty(), "it has many results, and a table one"),
        (
            "--date-by touch",
            by_touch && loads_credits,
            "credits are replaced by the day of their order; `?tables=report` leaves them out",
        ),
    ];
    if let Some((flag, _, why)) = refused.iter().find(|(_, given, _)| *given) {
        return Err(Error::Contradiction(format!("`{flag}` is not for `{database}`: {why}")));
    }
    Ok(Some(Target {
        database,
        days: days(settings)?,
        period: period(settings, zone)?,
        models: models.iter().map(|asked| asked.name.clone()).collect(),
    }))
}

impl Outputs {
    /// Whether credits are loaded into a database.
    pub fn loads_credits(&self) -> bool {
        self.database.as_ref().is_some_and(|target| target.database.loads(LoadTable::Credits))
    }

    /// No file at all; a report in the same format.
    #[must_use]
    pub const fn without_files(&self) -> Self {
        Self {
            format: self.format,
            report: None,
            database: None,
            credits: None,
            journeys: None,
            orders_report: None,
            spend_gaps: None,
            ranks: None,
            effects: None,
            paths: None,
            ranges: None,
            decisions: None,
            persons: None,
            identity: None,
            rejects: None,
            changed: None,
            summary: None,
            kept: None,
            partitions: BTreeMap::new(),
            explanation: false,
        }
    }

    /// The tables that are written beside the report.
    pub fn files(&self) -> impl Iterator<Item = &Output> {
        [
            &self.credits,
            &self.journeys,
            &self.orders_report,
            &self.spend_gaps,
            &self.ranks,
            &self.effects,
            &self.paths,
            &self.ranges,
            &self.decisions,
            &self.persons,
            &self.identity,
            &self.rejects,
            &self.changed,
        ]
        .into_iter()
        .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Config> {
        Config::new(toml::from_str(text).unwrap(), 0)
    }

    #[test]
    fn the_template_is_a_workspace_and_says_the_defaults() {
        let settings: Settings = toml::from_str(TEMPLATE).unwrap();
        let config = Config::new(settings, 0).unwrap();
        assert_eq!(config.inputs.len(), 2);
        let uncommented: String = TEMPLATE
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .flat_map(|line| [line, "\n"])
            .collect();
        let all: Settings = toml::from_str(&uncommented).unwrap();
        Config::new(all, 0).unwrap();
    }

    #[test]
    fn a_flag_wins_over_the_file_and_mappings_add_up() {
        let file: Settings =
            toml::from_str("lookback = '7d'\nwide = true\n[column.sessions]\nexternal_id = 'a'\n")
                .unwrap();
        let flags = Settings {
            lookback: Some("none".into()),
            column: vec!["sessions.external_id=b".into()],
            ..Settings::default()
        };
        let config = Config::new(flags.over(file), 0).unwrap();
        assert_eq!((config.window.lookback, config.wide), (None, true));
        assert_eq!(config.mapping(Table::Sessions).columns["external_id"], "b");
    }

    #[test]
    fn contradictions_are_named() {
        for (text, message) in [
            (
                "from = '2024-02-01'\nto = '2024-01-31'",
                "`--to 2024-01-31` is before `--from 2024-02-01`",
            ),
            ("model = ['linear', 'linear']", "`--model` names `linear` twice"),
            ("by = ['none', 'day']", "`--by none` stands alone"),
            (
                "exchange_rates = 'r'",
                "`--exchange-rates` needs `--currency`, the one that the rates lead to",
            ),
            (
                "compare = 'previous_year'\nfrom = '2024-01-01'",
                "`--compare` needs `--from` and `--to`, the days that are compared",
            ),
            ("seed = 5", "`--seed` says nothing without `--bootstrap`"),
            (
                "bootstrap = 100\nwide = true",
                "`--bootstrap` has no room beside `--wide` on a terminal; write another format, such as `--format csv`",
            ),
            (
                "effects = 'effects.csv'",
                "`--effects` says nothing without a model that learns, such as `--model markov`",
            ),
            ("ranges = 'ranges.csv'", "`--ranges` says nothing without `--sweep`"),
            (
                "credits = 'credits.csv'\n[sweep]\nlookback = ['7d', '30d']",
                "`--credits` is of one combination of settings; run it without `--sweep` for the one that you choose",
            ),
            ("spend_gaps = 'gaps.csv'", "`--spend-gaps` says nothing without `--spend`"),
            ("credits = 'a.csv'\njourneys = 'a.csv'", "two outputs would be written to `a.csv`"),
            (
                "partition_by = 'month'\ncredits = 'credits.parquet'",
                "`--partition-by month` says nothing without a folder to write, a place without an ending: `--credits credits`, `--journeys journeys`, or `-o report` by month",
            ),
            (
                "partition_by = 'day'\noutput = 'report'\nby = ['month']",
                "a report in partitions needs `day` among `--by`; `report` has no ending that would make it a file",
            ),
            (
                "partition_by = 'month'\ncredits = 'credits'\nfrom = '2024-03-02'",
                "`--from 2024-03-02` is within a month, and the partition of that month would lose its other days; begin with the first of a month, or `--partition-by day`",
            ),
            (
                "partition_by = 'month'\ncredits = 'credits'\nto = '2024-03-30'\nas_of = '2024-04-01'",
                "`--to 2024-03-30` is within a month, and the partition of that month would lose its other days; end with the last of a month or today, or `--partition-by day`",
            ),
            (
                "partition_by = 'day'\ncredits = 'credits'\nto = '2024-03-30'\ndate_by = 'touch'",
                "`--date-by touch` with a period has some credit of an order and not all, and `--credits` is divided by the day of orders; leave out the period, or write one file",
            ),
            (
                "[column.orders]\ncurrency = 'c'\n[set.orders]\ncurrency = 'EUR'",
                "`--column` and `--set` both name `orders.currency`; a column has one origin",
            ),
        ] {
            assert_eq!(config(text).err().unwrap().to_string(), message);
        }
    }

    #[test]
    fn days_end_where_the_zone_says() {
        let config =
            config("from = '2024-03-31'\nto = '2024-03-31'\ntimezone = 'Europe/Paris'").unwrap();
        let hours = (config.period.1 - config.period.0) / 3_600_000_000;
        assert_eq!(hours, 23);
    }
}
