//! What a bucket comes to: counts and exact sums under their names, not their numbers, so that those of
//! several buckets add up in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::lines::Counted;
use super::super::{Attributed, Named, Ordered, SessionsBeside, Tables};
use super::DIVIDED;
use crate::bootstrap::Resampled;
use crate::engine::{
    ByChannel, ByRole, Cells, CountsByKeys, Credited, Observed, Part, PathSums, Tally,
    TouchChannels, UNATTRIBUTED_CELL,
};
use crate::error::{Error, Result};
use crate::identity::Account as IdentityAccount;
use crate::journeys::Combined;
use crate::money::Currency;
use crate::paths::Paths;
use crate::pipeline::overview::{OverviewSums, shown};
use crate::report::{NamedJourneys, OrderSums, SessionCounts};
use crate::schema::Table;
use crate::summary::{OrderCounts, Summary, TouchCounts};
use crate::validate::{Reject, Rule, count_by_rule};

/// The most rejected rows that are listed: whoever adds buckets up is not to hold every bad row of a
/// cluster.
pub const MOST_REJECTS: usize = 100_000;

/// What a bucket comes to in a pass, or several buckets together.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct BucketSums {
    /// The rows of each divided table.
    pub(super) rows: BTreeMap<Table, RowCounts>,
    /// Rejected rows in the order of a run: at most [`MOST_REJECTS`], the first ones.
    pub(super) rejects: Vec<Reject>,
    /// How many there are, by table and rule.
    pub(super) rejected: BTreeMap<(Table, Rule), u64>,
    pub(super) identity: IdentityAccount,
    pub(super) touches: TouchCounts,
    pub(super) order_counts: OrderCounts,
    /// What a reader should know.
    pub(super) warnings: BTreeSet<String>,
    /// When the last touch or order was.
    pub(super) end: Option<i64>,
    /// The channels of each column that models look at.
    pub(super) channels: Vec<BTreeSet<String>>,
    /// What models learn from, of each period.
    pub(super) observed: Vec<Observed>,
    /// The same in each resample, where models learn anew there.
    pub(super) recounted: Vec<CountsByKeys>,
    /// The sums of each period: the reported one, then the one that it is compared with.
    pub(super) periods: Vec<PeriodSums>,
    /// The channels of paths, where these are asked for.
    pub(super) path_channels: Option<BTreeSet<String>>,
    /// What came of journeys, by the numbers of their channels.
    pub(super) paths: BTreeMap<Vec<u32>, PathWorth>,
    /// The first and the last instant of an order that is shown.
    pub(super) shown: Option<(i64, i64)>,
    /// The same orders over time, and what their journeys are like, where a page is asked for.
    pub(super) over_time: Option<(PeriodSums, NamedJourneys)>,
    /// The sessions of the reported period by source and medium, where spend is to be held against them.
    pub(super) gap_sessions: Option<Counted>,
}

/// What came of the journeys of one path: orders and what they are worth, and how many ended in none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PathWorth {
    orders: BTreeMap<Currency, (u64, i128)>,
    lost: u64,
}

/// The rows of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RowCounts {
    pub(super) read: u64,
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    pub(super) repaired: u64,
}

/// What models that learnt credit, by model and by the number of the channel.
type NamedByChannel = BTreeMap<(u32, u32, Currency), Part>;

/// The sums of a period.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PeriodSums {
    cells: NamedCells,
    counted: u64,
    attributed: u64,
    touches: u64,
    broken: u64,
    /// Every currency of orders: what those that count are worth, and how many there are.
    owed: BTreeMap<Currency, (i128, u64)>,
    /// What models that learnt credit, by model and by the number of the channel.
    by_channel: NamedByChannel,
    /// The same in each resample, the data as they are first, where effects are to have bounds.
    by_channel_anew: Vec<NamedByChannel>,
    pub(super) orders: OrderSums,
    pub(super) sessions: Option<Counted>,
    /// The numbers of sessions in each resample, the data as they are first: one after the other.
    pub(super) resampled_sessions: Option<BTreeMap<Vec<String>, Vec<i128>>>,
    pub(super) bounces: bool,
}

/// The sums of a cell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct CellSums {
    orders: u64,
    persons: u64,
    roles: [u64; 4],
    credited: Vec<Credited>,
    by_role: Option<ByRole>,
    /// The numbers of the cell in each resample, the data as they are first: one after the other.
    resampled: Vec<i128>,
}

/// The sums of a period in the numbers of a run.
pub(super) struct Numbered {
    pub(super) touches: Combined,
    pub(super) orders: Combined,
    pub(super) currencies: Vec<Currency>,
    pub(super) cells: Cells,
    pub(super) tally: Tally,
    pub(super) by_channel: ByChannel,
    pub(super) by_channel_anew: Vec<ByChannel>,
    pub(super) resampled: Option<Resampled>,
}

impl BucketSums {
    /// Takes note of which channels there are, and of when the last touch or order was.
    pub(super) fn see(&mut self, ordered: &Ordered, named: &Named) {
        self.end = (ordered.end != i64::MIN).then_some(ordered.end);
        self.shown = around(self.shown, shown(ordered));
        let columns = named.channels.columns.iter();
        let columns = columns.map(|labels| labels.values.iter().cloned().collect()).collect();
        grow(&mut self.channels, columns, |mine: &mut BTreeSet<String>, theirs| {
            mine.extend(theirs);
        });
        if let Some(labels) = &named.path_channels {
            self.path_channels.get_or_insert_default().extend(labels.values.iter().cloned());
        }
    }

    /// Takes note of what was read, and of who is who.
    pub(super) fn account(&mut self, tables: &Tables, summary: &Summary, rejects: Vec<Reject>) {
        for table in DIVIDED {
            let of_table = summary.tables.iter().find(|read| read.table == table.name());
            if let Some((read, loaded)) = of_table.zip(tables.get(&table)) {
                let counts = RowCounts {
                    read: read.read,
                    accepted: read.accepted,
                    rejected: read.rejected,
                    repaired: loaded.repaired,
                };
                self.rows.insert(table, counts);
            }
        }
        for (table, rule, rows) in count_by_rule(&rejects) {
            self.rejected.insert((table, rule), rows);
        }
        self.rejects = first(rejects);
        self.identity = summary.identity.clone();
        self.touches = summary.touches.clone();
        self.order_counts = summary.orders.clone();
        self.warnings = summary.warnings.iter().cloned().collect();
    }

    /// Takes note of what came of journeys by path.
    pub(super) fn walk(&mut self, paths: &Paths) {
        for (path, totals) in paths.sums.iter() {
            let worth = self.paths.entry(path.to_vec()).or_default();
            worth.lost += totals.lost;
            for (at, currency) in paths.currencies.iter().enumerate() {
                if totals.conversions[at] > 0 {
                    let sum = worth.orders.entry(*currency).or_default();
                    *sum = (sum.0 + totals.conversions[at], sum.1 + totals.amounts[at]);
                }
            }
        }
    }

    /// The paths of all buckets, in these currencies.
    pub(super) fn path_sums(&self, currencies: &[Currency]) -> PathSums {
        let mut sums = PathSums::new(currencies.len());
        for (path, worth) in &self.paths {
            for (currency, orders) in &worth.orders {
                if let Ok(at) = currencies.binary_search(currency) {
                    sums.convert(path, at, *orders);
                }
            }
            sums.lose(path, worth.lost);
        }
        sums
    }

    /// Adds what other buckets come to, in whatever order.
    pub fn merge(&mut self, other: Self) {
        for (table, counts) in other.rows {
            let sum = self.rows.entry(table).or_default();
            sum.read += counts.read;
            sum.accepted += counts.accepted;
            sum.rejected += counts.rejected;
            sum.repaired += counts.repaired;
        }
        let rejects = std::mem::take(&mut self.rejects).into_iter().chain(other.rejects);
        self.rejects = first(rejects.collect());
        for (by, rows) in other.rejected {
            *self.rejected.entry(by).or_default() += rows;
        }
        self.identity.add(&other.identity);
        self.touches.add(&other.touches);
        self.order_counts.add(&other.order_counts);
        self.warnings.extend(other.warnings);
        self.end = self.end.max(other.end);
        self.shown = around(self.shown, other.shown);
        match (&mut self.over_time, other.over_time) {
            (Some((sums, journeys)), Some((theirs, their_journeys))) => {
                sums.merge(theirs);
                journeys.merge(their_journeys);
            }
            (mine @ None, theirs) => *mine = theirs,
            (Some(_), None) => {}
        }
        grow(&mut self.channels, other.channels, |mine, theirs| mine.extend(theirs));
        grow(&mut self.observed, other.observed, |mine, theirs| mine.merge(&theirs));
        grow(&mut self.recounted, other.recounted, |mine, theirs| {
            add_each(mine, theirs, add_numbers);
        });
        grow(&mut self.periods, other.periods, PeriodSums::merge);
        if let Some(theirs) = other.path_channels {
            self.path_channels.get_or_insert_default().extend(theirs);
        }
        for (path, theirs) in other.paths {
            let mine = self.paths.entry(path).or_default();
            mine.lost += theirs.lost;
            for (currency, (orders, amount)) in theirs.orders {
                let sum = mine.orders.entry(currency).or_default();
                *sum = (sum.0 + orders, sum.1 + amount);
            }
        }
        add_sessions(&mut self.gap_sessions, other.gap_sessions);
    }

    /// Calls files of rejected rows by other names, where these are known.
    pub(crate) fn rename_files(&mut self, name: &dyn Fn(&Path) -> Option<PathBuf>) {
        for (path, _) in self.rejects.iter_mut().filter_map(|reject| reject.place.as_mut()) {
            if let Some(name) = name(path) {
                *path = name;
            }
        }
    }

    /// The currencies of orders, sorted.
    pub(super) fn currencies(&self) -> Vec<Currency> {
        // Every period has all of them.
        self.periods.first().map(|sums| sums.owed.keys().copied().collect()).unwrap_or_default()
    }

    /// What a bucket comes to, as bytes that [`from_bytes`](Self::from_bytes) reads: the same sums are the
    /// same bytes.
    ///
    /// # Errors
    ///
    /// None that can be met with: what is written has a form for everything.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        to_bytes(self)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// Bytes of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        from_bytes(bytes)
    }
}

/// The least span of time that holds both.
fn around(one: Option<(i64, i64)>, other: Option<(i64, i64)>) -> Option<(i64, i64)> {
    let both = one.into_iter().chain(other);
    both.reduce(|(first, last), (from, to)| (first.min(from), last.max(to)))
}

/// The first rejects of some, in the order of a run.
pub(super) fn first(mut rejects: Vec<Reject>) -> Vec<Reject> {
    // Orders without a rate are found last, when there is one row of each.
    let order = |reject: &Reject| {
        let Reject { table, place, external_id, rule, message } = reject;
        let is_merged = *rule == Rule::MissingRate;
        (is_merged, *table, place.clone(), external_id.clone(), *rule, message.clone())
    };
    rejects.sort_by_cached_key(order);
    rejects.truncate(MOST_REJECTS);
    rejects
}

/// Adds what stands under the same keys.
fn add_each<K: Ord, V: Default>(
    mine: &mut BTreeMap<K, V>,
    theirs: BTreeMap<K, V>,
    add: impl Fn(&mut V, V),
) {
    for (key, theirs) in theirs {
        add(mine.entry(key).or_default(), theirs);
    }
}

/// Adds lists place by place, where the longer may be either.
fn grow<T>(mine: &mut Vec<T>, theirs: Vec<T>, add: impl Fn(&mut T, T)) {
    for (place, theirs) in theirs.into_iter().enumerate() {
        match mine.get_mut(place) {
            Some(mine) => add(mine, theirs),
            None => mine.push(theirs),
        }
    }
}

fn add_numbers(mine: &mut Vec<i128>, theirs: Vec<i128>) {
    grow(mine, theirs, |mine, theirs| *mine += theirs);
}

fn add_sessions(mine: &mut Option<Counted>, theirs: Option<Counted>) {
    let Some(theirs) = theirs else { return };
    let mine = mine.get_or_insert_default();
    for (values, counts) in theirs {
        let sum: &mut SessionCounts = mine.entry(values).or_default();
        let persons = sum.persons + counts.persons;
        sum.add(&counts);
        // They are other persons, however their sessions are added.
        sum.persons = persons;
    }
}

impl PeriodSums {
    /// The sums of a period, under their names.
    pub(super) fn new(
        ordered: &Ordered,
        named: &Named,
        attributed: Attributed,
        beside: SessionsBeside,
    ) -> Self {
        let Attributed { cells, tally, orders, by_channel, resampled, .. } = attributed;
        let currencies = &ordered.amounts.currencies;
        let worth = tally.owed.iter().copied().zip(tally.conversions.iter().copied());
        Self {
            cells: under_names(named, &cells, resampled.as_ref()),
            counted: tally.counted,
            attributed: tally.attributed,
            touches: tally.touches,
            broken: tally.broken,
            owed: currencies.iter().copied().zip(worth).collect(),
            by_channel: named_by_channel(&by_channel, currencies),
            by_channel_anew: Vec::new(),
            orders,
            resampled_sessions: beside.resampled.map(|sessions| sessions.by_values()),
            sessions: beside.counted,
            bounces: beside.bounces,
        }
    }

    /// Takes note of what models that learnt credit in each resample.
    pub(super) fn credit_anew(&mut self, anew: &[ByChannel], currencies: &[Currency]) {
        let anew = anew.iter().map(|by_channel| named_by_channel(by_channel, currencies));
        self.by_channel_anew = anew.collect();
    }

    /// The cells of an overview, under their names; nothing else of it is a period's.
    pub(super) fn over_time(overview: OverviewSums) -> (Self, NamedJourneys) {
        let OverviewSums { named, cells, journeys } = overview;
        (Self { cells: under_names(&named, &cells, None), ..Self::default() }, journeys)
    }

    fn merge(&mut self, other: Self) {
        for (key, theirs) in other.cells {
            let mine = self.cells.entry(key).or_default();
            mine.orders += theirs.orders;
            mine.persons += theirs.persons;
            for (role, count) in mine.roles.iter_mut().zip(theirs.roles) {
                *role += count;
            }
            grow(&mut mine.credited, theirs.credited, |mine, theirs| mine.add(&theirs));
            match (&mut mine.by_role, theirs.by_role) {
                (Some(mine), Some(theirs)) => mine.add(&theirs),
                (mine @ None, theirs) => *mine = theirs,
                (Some(_), None) => {}
            }
            add_numbers(&mut mine.resampled, theirs.resampled);
        }
        self.counted += other.counted;
        self.attributed += other.attributed;
        self.touches += other.touches;
        self.broken += other.broken;
        for (currency, (worth, orders)) in other.owed {
            let sum = self.owed.entry(currency).or_default();
            *sum = (sum.0 + worth, sum.1 + orders);
        }
        let add = |mine: &mut NamedByChannel, theirs| add_each(mine, theirs, Part::add);
        add(&mut self.by_channel, other.by_channel);
        grow(&mut self.by_channel_anew, other.by_channel_anew, add);
        self.orders.merge(other.orders);
        add_sessions(&mut self.sessions, other.sessions);
        if let Some(theirs) = other.resampled_sessions {
            let mine = self.resampled_sessions.get_or_insert_default();
            add_each(mine, theirs, add_numbers);
        }
        self.bounces |= other.bounces;
    }

    /// The same sums in the numbers of a run over everything.
    pub(super) fn numbered(
        &self,
        models: usize,
        channels: &TouchChannels,
        by_role: bool,
        mut resampled: Option<Resampled>,
    ) -> Result<Numbered> {
        let (mut touches, mut orders) = (Combiner::default(), Combiner::default());
        let mut cells = Cells::new(models, by_role);
        for ((touch, order), sums) in &self.cells {
            let touch = touch.as_ref().map_or(UNATTRIBUTED_CELL, |touch| touches.number(touch));
            let counts = (sums.orders, sums.persons, sums.roles);
            let at = cells.add(
                (touch, orders.number(order)),
                counts,
                &sums.credited,
                sums.by_role.as_ref(),
            );
            if let Some(resampled) = &mut resampled {
                let first = at * cells.width();
                let numbers = sums.resampled.chunks(resampled.resamples() + 1).enumerate();
                for (number, values) in numbers {
                    resampled.take_over(first + number, values)?;
                }
            }
        }
        let currencies: Vec<Currency> = self.owed.keys().copied().collect();
        let tally = Tally {
            counted: self.counted,
            attributed: self.attributed,
            owed: self.owed.values().map(|(worth, _)| *worth).collect(),
            conversions: self.owed.values().map(|(_, orders)| *orders).collect(),
            touches: self.touches,
            broken: self.broken,
        };
        let of_model = |model: usize| {
            let column = channels.of_model.get(model).copied().flatten();
            column.map_or(0, |at| channels.columns[at].values.len())
        };
        let numbered = |named: &NamedByChannel| {
            let mut by_channel =
                ByChannel::of_each((0..models).map(|model| of_model(model) * currencies.len()));
            for ((model, channel, currency), part) in named {
                if let Ok(at) = currencies.binary_search(currency) {
                    let place = *channel as usize * currencies.len() + at;
                    by_channel.credit(*model as usize, place, *part);
                }
            }
            by_channel
        };
        let by_channel = numbered(&self.by_channel);
        let by_channel_anew = self.by_channel_anew.iter().map(numbered).collect();
        Ok(Numbered {
            touches: touches.combined,
            orders: orders.combined,
            currencies,
            cells,
            tally,
            by_channel,
            by_channel_anew,
            resampled,
        })
    }
}

fn named_by_channel(by_channel: &ByChannel, currencies: &[Currency]) -> NamedByChannel {
    let mut credited = BTreeMap::new();
    for (model, parts) in (0..).zip(by_channel.of_models()) {
        let channels = parts.chunks(currencies.len().max(1));
        for (channel, parts) in (0..).zip(channels) {
            let some = currencies.iter().zip(parts).filter(|(_, part)| **part != Part::default());
            credited.extend(some.map(|(code, part)| ((model, channel, *code), *part)));
        }
    }
    credited
}

/// Cells by the values of touch dimensions, none of orders without touches, and those of order dimensions.
type NamedCells = BTreeMap<(Option<Vec<String>>, Vec<String>), CellSums>;

/// Cells under their names, with their numbers in each resample where there are any.
fn under_names(named: &Named, cells: &Cells, resampled: Option<&Resampled>) -> NamedCells {
    let values = |combined: &Combined, code: u32| {
        // Without a row there may be no combination, and without dimensions there is one.
        combined.values.get(code as usize).cloned().unwrap_or_default()
    };
    let width = cells.width();
    let numbers = |at: usize, resampled: &Resampled| {
        (at * width..(at + 1) * width).flat_map(|number| resampled.values(number)).collect()
    };
    let of_cells = cells.iter().enumerate().map(|(at, (cell, credited, by_role))| {
        let touch = (cell.touch != UNATTRIBUTED_CELL).then(|| values(&named.touches, cell.touch));
        let sums = CellSums {
            orders: cell.orders,
            persons: cell.persons,
            roles: cell.roles,
            credited: credited.to_vec(),
            by_role: by_role.cloned(),
            resampled: resampled.map(|resampled| numbers(at, resampled)).unwrap_or_default(),
        };
        ((touch, values(&named.orders, cell.order)), sums)
    });
    of_cells.collect()
}

/// Numbers combinations of values.
#[derive(Default)]
struct Combiner {
    combined: Combined,
    known: BTreeMap<Vec<String>, u32>,
}

impl Combiner {
    fn number(&mut self, values: &[String]) -> u32 {
        if let Some(known) = self.known.get(values) {
            return *known;
        }
        let next = u32::try_from(self.combined.values.len()).unwrap_or(u32::MAX);
        self.combined.values.push(values.to_vec());
        self.known.insert(values.to_vec(), next);
        next
    }
}

/// The form of what is written: another one has another number.
const FORM: u8 = 2;

pub(super) fn to_bytes(value: &impl Serialize) -> Result<Vec<u8>> {
    let broken = |error: postcard::Error| Error::Broken(format!("sums have no form: {error}"));
    postcard::to_extend(value, vec![FORM]).map_err(broken)
}

pub(super) fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let foreign = |why: String| {
        Error::Contradiction(format!(
            "what a bucket came to cannot be read: {why}; install the same version of apportion everywhere"
        ))
    };
    match bytes.split_first() {
        Some((&FORM, rest)) => {
            postcard::from_bytes(rest).map_err(|error| foreign(error.to_string()))
        }
        Some((form, _)) => Err(foreign(format!("its form is {form}, not {FORM}"))),
        None => Err(foreign("it is empty".to_owned())),
    }
}
