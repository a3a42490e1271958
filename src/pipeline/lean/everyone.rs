//! Every touch is kept, and users are numbered as they are met: where rows say something of their
//! users, who is who is only known when all are read.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

use arrow::array::{RecordBatch, StringViewArray};
use arrow::compute::concat_batches;
use rayon::prelude::*;

use super::parts::Parts;
use super::spans::Spans;
use super::{Gathered, KeptSessions, NUMBERS, Numbers, Rows, Sessions, USER_FACTS, scan_of};
use crate::config::Config;
use crate::error::Result;
use crate::identity::Merged;
use crate::ids::Directory;
use crate::input::{Keeper, Kept, Passing, Scanned};
use crate::journeys::Touch;
use crate::pipeline::{Inputs, MergedTables, People, Progress, Tables};
use crate::schema::Table;
use crate::summary::Summary;
use crate::touchpoints;

/// Tables that were scanned, and the users that were met in them.
#[derive(Default)]
pub(in crate::pipeline) struct Scans {
    pub(in crate::pipeline) directory: Directory,
    tables: BTreeMap<Table, Scan>,
}

/// All touches of a table.
struct Scan {
    scanned: Scanned,
    user: Vec<u32>,
    at: Vec<i64>,
    look: Vec<u32>,
    /// The numbers of each row that are counted or averaged.
    numbers: RecordBatch,
}

/// Keeps every row, and what rows say in numbers and of their users.
struct Everyone<'a> {
    directory: &'a Directory,
    groups: Mutex<BTreeMap<usize, Group>>,
}

#[derive(Default)]
struct Group {
    kept: Kept,
    numbers: Vec<RecordBatch>,
    facts: Vec<RecordBatch>,
}

impl Keeper for Everyone<'_> {
    fn spills(&self) -> bool {
        false
    }

    fn number(&self, users: &StringViewArray) -> Result<Vec<u32>> {
        Ok(self.directory.number(users))
    }

    fn keep(&self, _users: &[u32], _at: &[i64]) -> Option<Vec<u32>> {
        None
    }

    fn pass(&self, passing: &Passing<'_>) -> Result<()> {
        let rows = passing.rows;
        let (numbers, facts) = (columns(rows, &NUMBERS)?, columns(rows, &USER_FACTS)?);
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let group = groups.entry(passing.group).or_default();
        group.numbers.push(numbers);
        group.facts.push(facts);
        Ok(())
    }

    fn end(&self, group: usize, kept: Kept, _numbers: &[u32]) -> Result<()> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.entry(group).or_default().kept = kept;
        Ok(())
    }
}

/// Those of some columns that rows have.
fn columns(rows: &RecordBatch, names: &[&str]) -> Result<RecordBatch> {
    let places = names.iter().filter_map(|name| rows.schema_ref().index_of(name).ok());
    Ok(rows.project(&places.collect::<Vec<_>>())?)
}

/// Scans sessions and views where that will do; returns the account of what was read in their
/// place among the tables, with what rows say of their users.
pub(in crate::pipeline) fn scan(
    config: &Config,
    inputs: &Inputs,
    progress: &dyn Progress,
) -> Result<(Scans, Tables)> {
    let mut scans = Scans::default();
    let mut tables = Tables::new();
    for table in [Table::Sessions, Table::Postviews] {
        if !inputs.paths.contains_key(&table) {
            continue;
        }
        let everyone = Everyone { directory: &scans.directory, groups: Mutex::default() };
        let Some((scanned, mut loaded)) = scan_of(config, inputs, table, &everyone, progress)?
        else {
            return Ok(<_>::default());
        };
        let groups = everyone.groups.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (mut numbers, mut facts) = (Vec::new(), Vec::new());
        let rows = scanned.accepted();
        let (mut user, mut at) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        let mut look = Vec::with_capacity(rows);
        for group in groups.into_values() {
            user.extend(group.kept.user);
            at.extend(group.kept.at);
            look.extend(group.kept.look);
            numbers.extend(group.numbers);
            facts.extend(group.facts);
        }
        let none = (columns(&loaded.rows, &NUMBERS)?, columns(&loaded.rows, &USER_FACTS)?);
        let numbers = concat_batches(none.0.schema_ref(), &numbers)?;
        loaded.rows = concat_batches(none.1.schema_ref(), &facts)?;
        tables.insert(table, loaded);
        scans.tables.insert(table, Scan { scanned, user, at, look, numbers });
    }
    Ok((scans, tables))
}

impl Scans {
    /// Whether the touches were scanned, and not read whole.
    pub(in crate::pipeline) fn is_lean(&self) -> bool {
        !self.tables.is_empty()
    }

    /// How many rows of a scanned table were accepted.
    pub(in crate::pipeline) fn accepted(&self, table: Table) -> Option<usize> {
        self.tables.get(&table).map(|scan| scan.at.len())
    }

    /// Takes the users of the scanned rows.
    pub(in crate::pipeline) fn users(&mut self) -> BTreeMap<Table, Vec<u32>> {
        let users = self.tables.iter_mut();
        users.map(|(table, scan)| (*table, mem::take(&mut scan.user))).collect()
    }

    /// One row a touch: nothing is left to merge.
    pub(in crate::pipeline) fn merged(
        mut self,
        config: &Config,
        people: &mut People,
        tables: &Tables,
        orders: Merged,
        summary: &mut Summary,
    ) -> Result<(MergedTables, Gathered)> {
        let persons = people.identity.person.len();
        let spans = Spans::new(config, &orders, &people.identity.person);
        let (parts, mut numbers) = (Parts::in_memory(persons, false), Numbers::default());
        let mut scan = |table: Table| {
            let mut scan = self.tables.remove(&table)?;
            scan.user = people.users.remove(&table).unwrap_or_default();
            Some(scan)
        };
        let sessions = scan(Table::Sessions).expect("there are sessions, or nothing is lean");
        let views = scan(Table::Postviews);
        sessions.gather(people, &spans, 0, (&parts, &mut numbers))?;
        numbers.views_from = numbers.end;
        let mut looks = sessions.scanned.looks;
        summary.touches.sessions = sessions.at.len() as u64;
        if let Some(views) = views {
            let first = u32::try_from(looks.num_rows()).unwrap_or(u32::MAX);
            views.gather(people, &spans, first, (&parts, &mut numbers))?;
            looks = touchpoints::append(&looks, &views.scanned.looks)?;
            summary.touches.postviews = views.at.len() as u64;
        }
        let accepted = sessions.at.len();
        let kept = KeptSessions {
            person: persons_of(people, sessions.user),
            at: sessions.at,
            look: sessions.look,
            numbers: sessions.numbers,
        };
        let rows = Rows::new(config, tables, &looks, Sessions::Kept(kept))?;
        Ok((rows.merged(accepted, orders), Gathered { parts, strangers: None, numbers }))
    }
}

/// The persons of users, in their place.
fn persons_of(people: &People, mut users: Vec<u32>) -> Vec<u32> {
    let person = &people.identity.person;
    let of_user = |user: &mut u32| *user = person[*user as usize];
    users.par_iter_mut().with_min_len(BLOCK).for_each(of_user);
    users
}

/// Rows that one thread looks at at a time.
const BLOCK: usize = 64 * 1024;

impl Scan {
    /// Numbers the rows, and adds those that can lie in a journey to the parts; `first` is the number
    /// of the first look.
    fn gather(
        &self,
        people: &People,
        spans: &Spans,
        first: u32,
        (parts, numbers): (&Parts, &mut Numbers),
    ) -> Result<()> {
        let starts = numbers.groups.len();
        numbers.add(&self.scanned)?;
        let person = &people.identity.person;
        let mut from = 0;
        let groups = numbers.groups[starts..].iter().zip(&self.scanned.groups);
        let blocks = groups.flat_map(|((number, _), (_, accepted))| {
            let (start, end, number) = (from, from + accepted, *number as usize);
            from = end;
            let ends = move |row: usize| row..end.min(row + BLOCK);
            (start..end).step_by(BLOCK).map(move |row| (ends(row), number + row - start))
        });
        let blocks: Vec<_> = blocks.collect();
        blocks.into_par_iter().try_for_each(|(rows, number)| {
            let touches = rows.zip(number..).filter_map(|(row, number)| {
                let (at, user) = (self.at[row], self.user[row]);
                let person = person[user as usize];
                let number = u32::try_from(number).ok()?;
                let look = first + self.look[row];
                spans.hold(user, at).then_some(Touch { at, person, look, number, user })
            });
            parts.add(&touches.collect::<Vec<_>>())
        })
    }
}
