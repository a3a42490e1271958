//! Every touch is kept, and users are numbered as they are met: where rows say something of their
//! users, who is who is only known when all are read.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{RecordBatch, StringViewArray};
use arrow::compute::concat_batches;
use arrow::datatypes::Schema;

use super::{NUMBERS, Scan, Sessions, USER_FACTS, append, joined, scan_of};
use crate::config::Config;
use crate::error::Result;
use crate::identity::Merged;
use crate::ids::Directory;
use crate::input::{Keeper, Kept};
use crate::pipeline::{Inputs, MergedTables, People, Progress, Tables};
use crate::schema::Table;
use crate::summary::Summary;

/// Tables that were scanned, and the users that were met in them.
#[derive(Default)]
pub(in crate::pipeline) struct Scans {
    pub(in crate::pipeline) directory: Directory,
    tables: BTreeMap<Table, Whole>,
}

/// All touches of a table.
struct Whole {
    scan: Scan,
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
    fn number(&self, users: &StringViewArray) -> Vec<u32> {
        self.directory.number(users)
    }

    fn keeps_all(&self) -> bool {
        true
    }

    fn keeps(&self, _user: u32, _at: i64) -> bool {
        true
    }

    fn pass(&self, group: usize, rows: &RecordBatch, _looks: &[u32]) -> Result<()> {
        let (numbers, facts) = (columns(rows, &NUMBERS)?, columns(rows, &USER_FACTS)?);
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let group = groups.entry(group).or_default();
        group.numbers.extend(numbers);
        group.facts.extend(facts);
        Ok(())
    }

    fn end(&self, group: usize, kept: Kept, _numbers: &[u32]) -> Result<()> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.entry(group).or_default().kept = kept;
        Ok(())
    }
}

/// Those of some columns that rows have, if any.
fn columns(rows: &RecordBatch, names: &[&str]) -> Result<Option<RecordBatch>> {
    let places = names.iter().filter_map(|name| rows.schema_ref().index_of(name).ok());
    let places: Vec<usize> = places.collect();
    Ok(if places.is_empty() { None } else { Some(rows.project(&places)?) })
}

/// Batches of the same columns as one; no columns where there are no batches.
fn together(batches: &[RecordBatch]) -> Result<RecordBatch> {
    let schema = batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
    Ok(concat_batches(&schema, batches)?)
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
        let (mut kept, mut numbers, mut facts) = (Vec::new(), Vec::new(), Vec::new());
        for group in groups.into_values() {
            kept.push(group.kept);
            numbers.extend(group.numbers);
            facts.extend(group.facts);
        }
        loaded.rows = together(&facts)?;
        let scan = Scan { kept: joined(kept, &scanned.accepted), scanned };
        tables.insert(table, loaded);
        scans.tables.insert(table, Whole { scan, numbers: together(&numbers)? });
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
        self.tables.get(&table).map(|whole| whole.scan.scanned.rows())
    }

    /// Takes the users of the scanned rows.
    pub(in crate::pipeline) fn users(&mut self) -> BTreeMap<Table, Vec<u32>> {
        let users = self.tables.iter_mut();
        users.map(|(table, whole)| (*table, mem::take(&mut whole.scan.kept.user))).collect()
    }

    /// One row a touch: nothing is left to merge. `users` are those of each table's rows.
    pub(in crate::pipeline) fn merged(
        mut self,
        config: &Config,
        people: &mut People,
        tables: &Tables,
        orders: Merged,
        summary: &mut Summary,
    ) -> Result<MergedTables> {
        let mut scan = |table: Table| {
            let mut whole = self.tables.remove(&table)?;
            whole.scan.kept.user = people.users.remove(&table).unwrap_or_default();
            Some(whole)
        };
        let sessions = scan(Table::Sessions).expect("there are sessions, or nothing is lean");
        let views = scan(Table::Postviews).map(|whole| whole.scan);
        let counted = Sessions::Rows(sessions.numbers);
        summary.touches.sessions = sessions.scan.scanned.rows() as u64;
        summary.touches.postviews = views.as_ref().map_or(0, |views| views.scanned.rows() as u64);
        append(sessions.scan, views, counted)?.merged(config, people, tables, orders)
    }
}
