//! Touches in the least space: a user, an instant and a look a row, where a run can do with that.
//!
//! Most runs only ask for sums. Then what a touch was is told by its look, of which there are few,
//! and a table of ten million sessions is a few numbers a row. Credits are touch by touch: they are
//! given the touches that can lie in a journey, with their ids, and no others. A table in which an
//! id may occur twice has to be merged row by row, and so has one that a filter looks at; those are
//! read whole, and give the same answer.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringViewArray, UInt32Array};
use arrow::compute::{concat, take};
use chrono_tz::Tz;
use rayon::prelude::*;

use super::{
    Inputs, MergedTables, People, Progress, Tables, derived, needs, reading, touch_columns,
    wants_channels,
};
use crate::channels;
use crate::config::{Bounce, Config};
use crate::error::Result;
use crate::identity::Merged;
use crate::ids::Directory;
use crate::input::{self, Needs, Scanned};
use crate::journeys::{Columns, Dimension, Draft, Labels, Touches, combine, direct_touches};
use crate::report::{Session, SessionCounts, Sessions, session_counts};
use crate::schema::{Kind, Table};
use crate::summary::Summary;
use crate::touchpoints::{self, LOCAL_COLUMNS, with_column};

/// Columns of sessions that are counted or averaged, and so kept row by row.
const NUMBERS: [&str; 3] = ["duration", "interactions_count", "pageviews_count"];

/// Tables that were scanned, and the users that were met in them.
#[derive(Default)]
pub(super) struct Scans {
    pub(super) directory: Directory,
    tables: BTreeMap<Table, Scanned>,
}

/// Touches row by row, sessions before views.
#[derive(Clone)]
pub(super) struct Rows {
    /// The person of each touch.
    pub(super) person: Vec<u32>,
    /// When each was.
    pub(super) at: Vec<i64>,
    /// The look of each: a row of `looks`.
    pub(super) look: Vec<u32>,
    /// The distinct looks, with what follows from them.
    pub(super) looks: RecordBatch,
    /// The numbers of sessions that are counted or averaged.
    pub(super) numbers: RecordBatch,
    /// The user of each touch, where credits name it.
    users: Vec<u32>,
    sessions: usize,
}

/// The columns that tell touches apart, if a run can do with looks.
fn looks(config: &Config, table: Table) -> Option<BTreeSet<String>> {
    let Needs::Named(names) = needs(config, table) else { return None };
    let filtered = config.where_touches.is_some() || config.where_persons.is_some();
    let of_rows = |name: &str| LOCAL_COLUMNS.contains(&name) || NUMBERS.contains(&name);
    let by_rows = touch_columns(config).any(of_rows);
    let looks: BTreeSet<String> =
        names.into_iter().filter(|name| !NUMBERS.contains(&name.as_str())).collect();
    let is_text = |name: &String| {
        let apart = table.column(name).is_some_and(|column| column.required || column.is_judged());
        let kind = table.kind_of(name);
        !apart && matches!(kind, Kind::Id | Kind::Text | Kind::Texts | Kind::Any)
    };
    (!filtered && !by_rows && looks.iter().all(is_text)).then_some(looks)
}

/// Scans sessions and views where that will do; returns the account of what was read in their
/// place among the tables.
pub(super) fn scan(
    config: &Config,
    inputs: &Inputs,
    progress: &dyn Progress,
) -> Result<(Scans, Tables)> {
    let mut scans = Scans::default();
    let mut tables = Tables::new();
    for table in [Table::Sessions, Table::Postviews] {
        let Some(paths) = inputs.paths.get(&table) else { continue };
        let Some(looks) = looks(config, table) else { return Ok(<_>::default()) };
        let reading = reading(config, table, needs(config, table))?;
        let sources = input::find(table, paths)?;
        let looks: BTreeSet<&str> = looks.iter().map(String::as_str).collect();
        let numbers: Vec<&str> = match &reading.needs {
            // Of views nothing is counted but the credit.
            Needs::Named(names) if table == Table::Sessions => {
                NUMBERS.into_iter().filter(|name| names.contains(*name)).collect()
            }
            Needs::Named(_) | Needs::All => Vec::new(),
        };
        let rows = |rows| progress.rows(rows);
        let found = input::scan(&reading, &sources, &looks, &numbers, &scans.directory, &rows)?;
        let Some((scanned, loaded)) = found.filter(|(scanned, _)| scanned.unique) else {
            return Ok(<_>::default());
        };
        tables.insert(table, loaded);
        scans.tables.insert(table, scanned);
    }
    Ok((scans, tables))
}

impl Scans {
    /// Whether the touches were scanned, and not read whole.
    pub(super) fn is_lean(&self) -> bool {
        !self.tables.is_empty()
    }

    /// How many rows of a scanned table were accepted.
    pub(super) fn accepted(&self, table: Table) -> Option<usize> {
        self.tables.get(&table).map(|scanned| scanned.at.len())
    }

    /// Takes the users of the scanned rows.
    pub(super) fn users(&mut self) -> BTreeMap<Table, Vec<u32>> {
        let users = self.tables.iter_mut();
        users.map(|(table, scanned)| (*table, mem::take(&mut scanned.user))).collect()
    }

    /// One row a touch: nothing is left to merge. `users` are those of each table's rows.
    pub(super) fn merged(
        self,
        config: &Config,
        people: &mut People,
        tables: &Tables,
        orders: Merged,
        summary: &mut Summary,
    ) -> Result<MergedTables> {
        let mut rows: Option<Rows> = None;
        for (table, scanned) in self.tables {
            let users = people.users.remove(&table).unwrap_or_default();
            let count = scanned.at.len() as u64;
            match &mut rows {
                None => {
                    summary.touches.sessions = count;
                    rows = Some(Rows {
                        sessions: scanned.at.len(),
                        person: Vec::new(),
                        at: scanned.at,
                        look: scanned.look,
                        looks: scanned.looks,
                        numbers: scanned.numbers,
                        users,
                    });
                }
                Some(rows) => {
                    summary.touches.postviews = count;
                    rows.append(scanned, &users)?;
                }
            }
        }
        let mut rows = rows.expect("there are sessions, or nothing is lean");
        let person = &people.identity.person;
        let users = mem::take(&mut rows.users);
        if config.outputs.credits.is_some() {
            rows.users.clone_from(&users);
        }
        rows.person = users;
        let of_user = |user: &mut u32| *user = person[*user as usize];
        rows.person.par_iter_mut().with_min_len(64 * 1024).for_each(of_user);
        let looks = derived(config, &rows.looks, tables)?;
        rows.looks = if wants_channels(config) {
            channels::with_channels(&looks, &config.channels)?
        } else {
            looks
        };
        Ok(MergedTables {
            touches: rows.looks.clone(),
            touch_persons: Vec::new(),
            touch_users: Vec::new(),
            touch_user_conflicts: 0,
            sessions: rows.sessions,
            rows: Some(rows),
            orders,
        })
    }
}

impl Rows {
    /// Adds views behind sessions.
    fn append(&mut self, views: Scanned, users: &[u32]) -> Result<()> {
        let looks = u32::try_from(self.looks.num_rows()).unwrap_or(u32::MAX);
        self.at.extend(views.at);
        self.look.extend(views.look.iter().map(|look| looks + look));
        self.users.extend(users);
        self.looks = touchpoints::append(&self.looks, &views.looks)?;
        Ok(())
    }

    /// The sessions of a period by these dimensions.
    pub(super) fn count(
        &self,
        by: &[Dimension],
        period: (i64, i64),
        zone: Tz,
        bounce: Bounce,
        all: bool,
    ) -> BTreeMap<Vec<String>, SessionCounts> {
        let at = &self.at[..self.sessions];
        let of_looks = |labels: Labels| Labels {
            codes: self.look[..self.sessions]
                .par_iter()
                .map(|look| labels.codes[*look as usize])
                .collect(),
            values: labels.values,
        };
        let by_time = by.iter().any(|dimension| matches!(dimension, Dimension::Span(_)));
        let labels = by.iter().map(|dimension| match dimension {
            Dimension::Touch(column) | Dimension::Order(column) | Dimension::Item(column) => {
                let labels = Labels::of_column(&self.looks, column);
                if by_time { of_looks(labels) } else { labels }
            }
            Dimension::Span(span) => Labels::of_span(at.iter().copied(), *span, zone),
        });
        let rows = if by_time { self.sessions } else { self.looks.num_rows() };
        let combined = combine(&labels.collect::<Vec<_>>(), rows);
        let code = |row: usize| combined.codes[if by_time { row } else { self.look[row] as usize }];
        let session = Session::reader(&self.numbers, at, &self.person);
        let sessions = Sessions { rows: self.sessions, session: &session, code: &code };
        session_counts(sessions, &combined.values, period, bounce, all)
    }
}

/// The touches that can lie in a journey, in their order; the row of each is that of its look, or,
/// where credits are written, its own in `merged.touches`, which has those touches only.
pub(super) fn ordered(
    config: &Config,
    inputs: &Inputs,
    people: &People,
    tables: &Tables,
    merged: &mut MergedTables,
) -> Result<Touches> {
    let Some(rows) = &merged.rows else { return Ok(Touches::default()) };
    let persons = people.identity.person.len();
    let spans = Spans::new(config, &merged.orders, persons);
    let direct: Vec<bool> = direct_touches(&rows.looks);
    let columns =
        Columns { at: &rows.at, look: &rows.look, direct: &direct, views_from: rows.sessions };
    let person = |row: usize| {
        let person = rows.person[row];
        spans.hold(person, rows.at[row]).then_some(person)
    };
    let mut draft = Draft::new(columns, persons, person);
    let credits = config.outputs.credits.is_some();
    let ties = draft.ties(credits);
    if !credits {
        // Sums only need to know which of two touches that look different is first.
        let mut unsettled: Vec<u32> =
            ties.iter().flat_map(|tie| draft.rows(tie.clone()).to_vec()).collect();
        unsettled.sort_unstable();
        let ids = ids(config, inputs, tables, &unsettled, rows.sessions)?;
        draft.settle(&ties, |row| ids.value(unsettled.binary_search(&row).unwrap_or_default()));
        return Ok(draft.finish());
    }
    let (touches, named) = named(config, inputs, people, tables, rows, (draft, &ties))?;
    merged.touches = named;
    Ok(touches)
}

/// Touches with a row each in a table that names them: their look, id and user.
fn named(
    config: &Config,
    inputs: &Inputs,
    people: &People,
    tables: &Tables,
    rows: &Rows,
    (mut draft, ties): (Draft<'_>, &[Range<usize>]),
) -> Result<(Touches, RecordBatch)> {
    // The place of each row's id among those that are read, in the order of the files.
    let mut place = vec![u32::MAX; rows.at.len()];
    for row in draft.rows(0..draft.len()) {
        place[*row as usize] = 0;
    }
    let mut named = Vec::with_capacity(draft.len());
    for (row, place) in (0..).zip(&mut place).filter(|(_, place)| **place == 0) {
        *place = u32::try_from(named.len()).unwrap_or(u32::MAX);
        named.push(row);
    }
    let ids = ids(config, inputs, tables, &named, rows.sessions)?;
    draft.settle(ties, |row| ids.value(place[row as usize] as usize));
    let order = draft.rows(0..draft.len()).to_vec();
    let mut touches = draft.finish();
    let looks = UInt32Array::from(mem::take(&mut touches.row));
    let schema = rows.looks.schema();
    let columns = schema.fields().iter().zip(rows.looks.columns());
    let columns = columns
        .map(|(field, column)| Ok((field.name().clone(), take(column, &looks, None)?, true)))
        .collect::<Result<Vec<(String, ArrayRef, bool)>>>()?;
    let table = RecordBatch::try_from_iter_with_nullable(columns)?;
    let places: UInt32Array = order.iter().map(|row| Some(place[*row as usize])).collect();
    let table = with_column(&table, "external_id", take(&ids, &places, None)?)?;
    let users = &people.identity.users;
    let user = |row: &u32| Some(users.name(rows.users[*row as usize]));
    let parts: Vec<StringViewArray> =
        order.par_chunks(64 * 1024).map(|some| some.iter().map(user).collect()).collect();
    let parts: Vec<&dyn Array> = parts.iter().map(|part| part as &dyn Array).collect();
    let users = match parts[..] {
        [] => Arc::new(StringViewArray::new_null(0)),
        _ => concat(&parts)?,
    };
    touches.row = (0..).take(order.len()).collect();
    Ok((touches, with_column(&table, "user_external_id", users)?))
}

/// The ids of some rows, sessions before views.
fn ids(
    config: &Config,
    inputs: &Inputs,
    tables: &Tables,
    rows: &[u32],
    sessions: usize,
) -> Result<StringViewArray> {
    let views_from = u32::try_from(sessions).unwrap_or(u32::MAX);
    let (sessions, views) = rows.split_at(rows.partition_point(|row| *row < views_from));
    let views: Vec<u32> = views.iter().map(|row| row - views_from).collect();
    let of_table = |table: Table, rows: &[u32]| -> Result<StringViewArray> {
        let Some(paths) = inputs.paths.get(&table).filter(|_| !rows.is_empty()) else {
            return Ok(StringViewArray::new_null(0));
        };
        let reading = reading(config, table, Needs::Named(BTreeSet::new()))?;
        let rejects = tables.get(&table).map_or(&[][..], |loaded| &loaded.rejects);
        input::ids(&reading, &input::find(table, paths)?, rows, rejects)
    };
    let sessions = of_table(Table::Sessions, sessions)?;
    if views.is_empty() {
        return Ok(sessions);
    }
    let views = of_table(Table::Postviews, &views)?;
    Ok(sessions.iter().chain(&views).collect())
}

/// When the touches of each person can lie in a journey.
struct Spans {
    /// The place of each person among those who ordered.
    place: Vec<u32>,
    /// From when until when, by that place.
    span: Vec<(i64, i64)>,
}

impl Spans {
    const NONE: u32 = u32::MAX;

    fn new(config: &Config, orders: &Merged, persons: usize) -> Self {
        let at = touchpoints::instants(&orders.rows);
        let window = &config.window;
        let longest = match (window.lookback, window.view_lookback) {
            (Some(sessions), Some(views)) => Some(sessions.max(views)),
            _ => None,
        };
        let mut spans = Self { place: vec![Self::NONE; persons], span: Vec::new() };
        for (person, at) in orders.person.iter().zip(at) {
            let from = longest.map_or(i64::MIN, |longest| at.saturating_sub(longest));
            let place = &mut spans.place[*person as usize];
            if *place == Self::NONE {
                *place = u32::try_from(spans.span.len()).unwrap_or(Self::NONE);
                spans.span.push((from, at));
            } else {
                let (first, last) = &mut spans.span[*place as usize];
                (*first, *last) = ((*first).min(from), (*last).max(at));
            }
        }
        spans
    }

    fn hold(&self, person: u32, at: i64) -> bool {
        let place = self.place[person as usize];
        place != Self::NONE && {
            let (from, until) = self.span[place as usize];
            (from..=until).contains(&at)
        }
    }
}
