//! Touches in the least space: a user, an instant and a look a row, where a run can do with that.
//!
//! Most runs only ask for sums. Then what a touch was is told by its look, of which there are few,
//! and a table of ten million sessions is a few numbers a row. Credits are touch by touch: they are
//! given the touches that can lie in a journey, with their ids, and no others. A table in which an
//! id may occur twice has to be merged row by row, and so has one that a filter looks at; those are
//! read whole, and give the same answer.

pub(super) mod buyers;
mod counts;
pub(super) mod everyone;
mod spans;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringViewArray, UInt32Array};
use arrow::compute::{concat, take};
use chrono_tz::Tz;
use rayon::prelude::*;

use self::counts::Counted;
use self::spans::Spans;
use super::{
    Inputs, MergedTables, People, Progress, Tables, derived, needs, reading, touch_columns,
    wants_channels,
};
use crate::channels;
use crate::config::{Bounce, Config};
use crate::error::Result;
use crate::identity::Merged;
use crate::input::{self, Keeper, Kept, Loaded, Needs, Scanned};
use crate::journeys::{Columns, Dimension, Draft, Labels, Touches, combine, direct_touches};
use crate::report::{self, Session, SessionCounts, session_counts};
use crate::schema::{Kind, Table};
use crate::touchpoints::{self, LOCAL_COLUMNS, with_column};

/// Columns of sessions that are counted or averaged, and so never tell touches apart.
const NUMBERS: [&str; 3] = ["duration", "interactions_count", "pageviews_count"];

/// What a row can say of its user beside the id.
const USER_FACTS: [&str; 3] = ["user_created_at", "user_is_authenticated", "user_signed_up_at"];

/// What a scan left of a table.
struct Scan {
    scanned: Scanned,
    /// The rows that are kept.
    kept: Kept,
}

/// Touches row by row, sessions before views.
#[derive(Clone)]
pub(super) struct Rows {
    /// The person of each touch.
    person: Vec<u32>,
    /// When each was.
    at: Vec<i64>,
    /// The look of each: a row of `looks`.
    look: Vec<u32>,
    /// The distinct looks, with what follows from them.
    looks: RecordBatch,
    /// The place of each touch among all that were accepted, sessions before views; left out where
    /// all are kept.
    row: Vec<u32>,
    /// The user of each touch, where credits name it.
    users: Vec<u32>,
    /// How many sessions are kept.
    views_from: usize,
    /// How many were accepted.
    accepted: usize,
    sessions: Sessions,
}

/// How sessions are counted.
#[derive(Clone)]
enum Sessions {
    /// Row by row: all are kept, with these numbers.
    Rows(RecordBatch),
    /// They were counted when they passed.
    Counted(Counted),
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

/// Scans a table that is given, where looks will do and every id occurs once.
fn scan_of(
    config: &Config,
    inputs: &Inputs,
    table: Table,
    keeper: &dyn Keeper,
    progress: &dyn Progress,
) -> Result<Option<(Scanned, Loaded)>> {
    let Some(looks) = looks(config, table) else { return Ok(None) };
    let paths = inputs.paths.get(&table).map(Vec::as_slice).unwrap_or_default();
    let reading = reading(config, table, needs(config, table))?;
    let looks: BTreeSet<&str> = looks.iter().map(String::as_str).collect();
    let rows = |rows| progress.rows(rows);
    let found = input::scan(&reading, &input::find(table, paths)?, &looks, keeper, &rows)?;
    Ok(found.filter(|(scanned, _)| scanned.unique))
}

/// The rows of all groups as one; `accepted` says how many each group had before some were left out.
fn joined(groups: Vec<Kept>, accepted: &[usize]) -> Kept {
    let rows = groups.iter().map(|group| group.at.len()).sum();
    let mut all = Kept {
        row: Vec::new(),
        user: Vec::with_capacity(rows),
        at: Vec::with_capacity(rows),
        look: Vec::with_capacity(rows),
    };
    let mut before = 0_u32;
    for (group, accepted) in groups.into_iter().zip(accepted) {
        all.row.extend(group.row.iter().map(|row| before + row));
        all.user.extend(group.user);
        all.at.extend(group.at);
        all.look.extend(group.look);
        before = before.saturating_add(u32::try_from(*accepted).unwrap_or(u32::MAX));
    }
    all
}

/// Sessions, and views behind them.
fn append(sessions: Scan, views: Option<Scan>, counted: Sessions) -> Result<Rows> {
    let Scan { scanned, kept } = sessions;
    let accepted = scanned.rows();
    let mut rows = Rows {
        views_from: kept.at.len(),
        accepted,
        person: Vec::new(),
        at: kept.at,
        look: kept.look,
        looks: scanned.looks,
        row: kept.row,
        users: kept.user,
        sessions: counted,
    };
    let Some(Scan { scanned, kept }) = views else { return Ok(rows) };
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let (looks, before) = (number(rows.looks.num_rows()), number(accepted));
    rows.at.extend(kept.at);
    rows.look.extend(kept.look.iter().map(|look| looks + look));
    rows.row.extend(kept.row.iter().map(|row| before + row));
    rows.users.extend(kept.user);
    rows.looks = touchpoints::append(&rows.looks, &scanned.looks)?;
    Ok(rows)
}

impl Rows {
    /// One row a touch: nothing is left to merge.
    fn merged(
        mut self,
        config: &Config,
        people: &People,
        tables: &Tables,
        orders: Merged,
    ) -> Result<MergedTables> {
        let person = &people.identity.person;
        let users = mem::take(&mut self.users);
        if config.outputs.credits.is_some() {
            self.users.clone_from(&users);
        }
        self.person = users;
        let of_user = |user: &mut u32| *user = person[*user as usize];
        self.person.par_iter_mut().with_min_len(64 * 1024).for_each(of_user);
        let looks = derived(config, &self.looks, tables)?;
        self.looks = if wants_channels(config) {
            channels::with_channels(&looks, &config.channels)?
        } else {
            looks
        };
        Ok(MergedTables {
            touches: self.looks.clone(),
            touch_persons: Vec::new(),
            touch_users: Vec::new(),
            touch_user_conflicts: 0,
            sessions: self.accepted,
            rows: Some(self),
            orders,
        })
    }

    /// Whether sessions say how long they were or how much happened in them.
    pub(super) fn tell_bounces(&self) -> bool {
        match &self.sessions {
            Sessions::Rows(numbers) => super::tell_bounces(numbers),
            Sessions::Counted(counted) => counted.tell_bounces(),
        }
    }

    /// The place of a touch among all that were accepted.
    fn number(&self, row: u32) -> u32 {
        self.row.get(row as usize).copied().unwrap_or(row)
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
        let numbers = match &self.sessions {
            Sessions::Counted(counted) => return counted.by(&self.looks, by, period),
            Sessions::Rows(numbers) => numbers,
        };
        let at = &self.at[..self.views_from];
        let of_looks = |labels: Labels| Labels {
            codes: self.look[..self.views_from]
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
        let rows = if by_time { self.views_from } else { self.looks.num_rows() };
        let combined = combine(&labels.collect::<Vec<_>>(), rows);
        let code = |row: usize| combined.codes[if by_time { row } else { self.look[row] as usize }];
        let session = Session::reader(numbers, at, &self.person);
        let sessions = report::Sessions { rows: self.views_from, session: &session, code: &code };
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
        Columns { at: &rows.at, look: &rows.look, direct: &direct, views_from: rows.views_from };
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
        let ids = ids(config, inputs, tables, &unsettled, rows)?;
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
    let ids = ids(config, inputs, tables, &named, rows)?;
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

/// The ids of some touches, in their order.
fn ids(
    config: &Config,
    inputs: &Inputs,
    tables: &Tables,
    touches: &[u32],
    rows: &Rows,
) -> Result<StringViewArray> {
    let numbers: Vec<u32> = touches.iter().map(|row| rows.number(*row)).collect();
    let views_from = u32::try_from(rows.accepted).unwrap_or(u32::MAX);
    let (sessions, views) = numbers.split_at(numbers.partition_point(|row| *row < views_from));
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
