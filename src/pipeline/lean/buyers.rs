//! Orders first: who ordered, and when, says which touches can lie in a journey, and no others are
//! kept, unless a model learns from those too.
//!
//! For runs that want nothing of other touches but their number and what they teach, over tables in which
//! rows say nothing of their users: then who is who is known before the first touch is read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{RecordBatch, StringViewArray};
use rayon::prelude::*;

use super::counts::DailyCounts;
use super::parts::Parts;
use super::spans::Spans;
use super::strangers::Strangers;
use super::{Gathered, Numbers, Rows, Sessions, USER_FACTS, looks, scan_of};
use crate::config::Config;
use crate::error::Result;
use crate::identity::{Facts, Identity, Keep};
use crate::ids::UNKNOWN;
use crate::input::{self, Keeper, Kept, Loaded, Needs, Passing};
use crate::journeys::Touch;
use crate::kept::Frame;
use crate::pipeline::{
    Inputs, Met, Prepared, Progress, Tables, count_rows, counts_sessions, memory, merge_orders,
    needs, read_numbered, release, resolve_met, tell_bounces, wants_journeys,
};
use crate::schema::Table;
use crate::summary::Summary;
use crate::touchpoints;

/// The tables of touches.
const TOUCHES: [Table; 2] = [Table::Sessions, Table::Postviews];

/// Whether a run can do with the touches of those who ordered.
fn will_do(config: &Config, inputs: &Inputs) -> Result<bool> {
    // The touches of those who did not order may be looked at too, but only part by part.
    if config.needs_everybody() && !memory::can_wait(config) {
        return Ok(false);
    }
    // Resamples need to know whose each session is.
    let resampled = config.bootstrap.is_some() && counts_sessions(config);
    let all = config.counts_visitors();
    if config.wants_persons() || config.wants_identity() || all || resampled {
        return Ok(false);
    }
    for table in TOUCHES {
        let Some(paths) = inputs.paths.get(&table) else { continue };
        if looks(config, table).is_none() {
            return Ok(false);
        }
        for source in input::find(table, paths)? {
            let file = input::describe(table, &source, config.mapping(table))?;
            if file.columns.iter().any(|column| USER_FACTS.contains(&column.name.as_str())) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Keeps the touches of those who ordered, from when they can lie in a journey.
struct Buyers<'a> {
    identity: &'a Identity,
    spans: &'a Spans,
    /// Users that no other table knows.
    strangers: &'a Strangers,
    /// Whether a touch refers to each user that another table knows, where that is noted.
    referred: Option<&'a [AtomicBool]>,
    counts: Option<&'a DailyCounts>,
    parts: &'a Parts,
    /// Whether the table is that of views.
    views: bool,
    /// The number of the table's first row, and of its first look.
    first: (u32, u32),
}

impl Keeper for Buyers<'_> {
    fn spills(&self) -> bool {
        self.parts.are_on_disk()
    }

    fn number(&self, users: &StringViewArray) -> Result<Vec<u32>> {
        let mut numbers = self.identity.users.look_up(users);
        if let Some(referred) = self.referred {
            for number in numbers.iter().filter(|number| **number != UNKNOWN) {
                referred[*number as usize].store(true, Ordering::Relaxed);
            }
        }
        self.strangers.number(users, &mut numbers)?;
        Ok(numbers)
    }

    fn keep(&self, users: &[u32], at: &[i64]) -> Option<Vec<u32>> {
        let is_held = |(user, at): (&u32, &i64)| *user != UNKNOWN && self.spans.hold(*user, *at);
        // All first, and then which: memory that one waits for is on its way while another waits.
        let held: Vec<bool> = users.iter().zip(at).map(is_held).collect();
        Some((0..).zip(held).filter(|(_, held)| *held).map(|(row, _)| row).collect())
    }

    fn pass(&self, passing: &Passing<'_>) -> Result<()> {
        if let Some(counts) = self.counts {
            counts.pass(passing.group, passing.rows, passing.looks);
        }
        self.strangers.pass(passing, self.first.0)
    }

    fn end(&self, group: usize, kept: Kept, numbers: &[u32]) -> Result<()> {
        if let Some(counts) = self.counts {
            counts.end(group, numbers);
        }
        let (row, look) = (self.first.0.saturating_add(kept.before), self.first.1);
        self.strangers.end(self.views, group, numbers.iter().map(|of_table| look + of_table));
        let person = &self.identity.person;
        let touches = kept.row.iter().zip(&kept.user).zip(kept.at.iter().zip(&kept.look));
        let touches = touches.map(|((of_group, user), (at, of_table))| Touch {
            at: *at,
            // Nobody else is that person.
            person: person.get(*user as usize).copied().unwrap_or(*user),
            look: look + of_table,
            number: row.saturating_add(*of_group),
            user: *user,
        });
        self.parts.add(&touches.collect::<Vec<_>>())
    }
}

/// Reads tables that are given, with the users of their rows; of those columns of users that nothing
/// but that is asked of, there are only the numbers.
fn read_others(
    config: &Config,
    inputs: &Inputs,
    tables: &[Table],
    progress: &dyn Progress,
) -> Result<(Tables, Met)> {
    let mut met = Met::default();
    let number = |users: &StringViewArray| met.directory.number(users);
    let one = |table: &Table| {
        let needs = needs(config, *table);
        let is_named = |name: &&str| match &needs {
            Needs::Named(names) => names.contains(*name),
            Needs::All => false,
        };
        let columns: &[&str] = match table {
            Table::UserAliases => &["from_user_external_id", "to_user_external_id"],
            Table::Orders if config.keeps(Frame::Orders) => &[],
            Table::Orders if !wants_journeys(config) && !config.wants_credits() => {
                &["user_external_id"]
            }
            _ => &[],
        };
        let columns = if columns.iter().any(is_named) { &[] } else { columns };
        let read = read_numbered(config, inputs, *table, needs, (columns, &number), progress)?;
        Ok(read.map(|(loaded, numbers)| (*table, loaded, numbers)))
    };
    let read: Vec<Result<Option<_>>> = tables.par_iter().map(one).collect();
    let mut given = Tables::new();
    for read in read {
        let Some((table, loaded, numbers)) = read? else { continue };
        given.insert(table, loaded);
        let mut numbers = numbers.into_iter();
        if let Some(users) = numbers.next() {
            met.users.insert(table, users);
        }
        met.to = numbers.next().or(met.to);
    }
    Ok((given, met))
}

/// What came of reading orders first.
pub(in crate::pipeline) enum Tried {
    /// All that the run needs.
    Prepared(Box<Prepared>),
    /// Nothing was read: the run needs the touches of everybody.
    Everybody,
    /// Touches have to be read whole: their ids may repeat, or they look too different.
    Whole,
}

/// Reads orders and who is who, then the touches that count.
pub(in crate::pipeline) fn prepare(
    config: &Config,
    inputs: &Inputs,
    progress: &dyn Progress,
    summary: &mut Summary,
) -> Result<Tried> {
    if !will_do(config, inputs)? {
        return Ok(Tried::Everybody);
    }
    let on_disk = memory::spills(config, inputs)?;
    let mut own = summary.clone();
    progress.stage("reading");
    let is_touches = |table: &Table| TOUCHES.contains(table);
    let others: Vec<Table> = Table::ALL.into_iter().filter(|table| !is_touches(table)).collect();
    let (mut tables, met) = read_others(config, inputs, &others, progress)?;
    let mut accepted: BTreeMap<Table, usize> =
        tables.iter().map(|(table, loaded)| (*table, loaded.rows.num_rows())).collect();
    tables.entry(Table::Orders).or_insert_with(|| Loaded::none(Table::Orders));
    progress.stage("resolving identity");
    let mut people = resolve_met(config, &tables, met, &mut own);
    progress.stage("merging versions");
    let orders = merge_orders(config, &mut tables, &people, Keep::Persons, &mut own)?;
    progress.stage("reading");
    let facts = std::mem::take(&mut people.identity.facts);
    release(config, |_| false, &mut tables, &mut people);
    let spans = Spans::new(config, &orders, &people.identity.person);
    let referred: Option<Vec<AtomicBool>> = tables
        .contains_key(&Table::Users)
        .then(|| people.identity.person.iter().map(|_| AtomicBool::new(false)).collect());
    let counts = DailyCounts::new(config);
    let persons = people.identity.person.len();
    let everybody = config.needs_everybody();
    let strangers = Strangers::new(persons, everybody, on_disk)?;
    let parts =
        if on_disk { Parts::on_disk(persons)? } else { Parts::in_memory(persons, everybody) };
    let mut numbers = Numbers::default();
    let mut looks: Option<RecordBatch> = None;
    let mut tells_bounces = false;
    for table in TOUCHES {
        if !inputs.paths.contains_key(&table) {
            continue;
        }
        let first_look = looks.as_ref().map_or(0, RecordBatch::num_rows);
        let buyers = Buyers {
            identity: &people.identity,
            spans: &spans,
            strangers: &strangers,
            referred: referred.as_deref(),
            counts: (table == Table::Sessions).then_some(&counts),
            parts: &parts,
            views: table == Table::Postviews,
            first: (numbers.end, u32::try_from(first_look).unwrap_or(u32::MAX)),
        };
        let Some((scanned, loaded)) = scan_of(config, inputs, table, &buyers, progress)? else {
            return Ok(Tried::Whole);
        };
        numbers.add(&scanned)?;
        let rows = scanned.accepted();
        accepted.insert(table, rows);
        tells_bounces |= table == Table::Sessions && tell_bounces(&loaded.rows);
        tables.insert(table, loaded);
        looks = Some(match looks {
            None => {
                (numbers.views_from, own.touches.sessions) = (numbers.end, rows as u64);
                scanned.looks
            }
            Some(looks) => {
                own.touches.postviews = rows as u64;
                touchpoints::append(&looks, &scanned.looks)?
            }
        });
    }
    let Some(looks) = looks else { return Ok(Tried::Everybody) };
    people.identity.facts = facts;
    for (user, referred) in (0..).zip(referred.into_iter().flatten()) {
        if referred.into_inner() {
            people.identity.facts.refer(user);
        }
    }
    let (met, strangers) = strangers.ended()?;
    people.identity.count(met);
    own.identity = people.identity.account.clone();
    // Nothing asks for them, or all touches would have been kept.
    people.identity.facts = Facts::default();
    count_rows(inputs, &accepted, &tables, &mut own);
    let sessions = usize::try_from(own.touches.sessions).unwrap_or(usize::MAX);
    let rows = Rows::new(config, &tables, &looks, Sessions::Counted(counts.ended(tells_bounces)))?;
    let gathered = Some(Gathered { parts, strangers, numbers });
    *summary = own;
    let merged = rows.merged(sessions, orders);
    Ok(Tried::Prepared(Box::new(Prepared { tables, people, merged, gathered })))
}
