//! Reads touches in the least space: a user, an instant and a look a row.
//!
//! Rows of which all wanted columns are the same have one *look*, and there are few looks: sources
//! times mediums, mostly. Whatever follows from those columns alone is then worked out once a look.
//! Which rows are kept is for a [`Keeper`] to say, and where they go. For tables in which every id
//! occurs once; whether that is so is found out here, and the caller reads the table row by row where
//! it is not.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, RecordBatch, RecordBatchOptions, StringViewArray,
};
use arrow::compute::concat;
use arrow::datatypes::{Field, Int32Type, Schema, TimestampMicrosecondType};
use hashbrown::{DefaultHashBuilder, HashTable};

use super::decode::canonical_type;
use super::files::Source;
use super::reader::{Loaded, Plan, Reading};
use crate::error::{Error, Result};
use crate::ids::{Interner, Repeats};
use crate::merge::external_ids;
use crate::schema::Kind;
use crate::validate::Reject;

/// What a scan found out of a table.
pub struct Scanned {
    /// How many rows each row group has, and how many of them were accepted.
    pub groups: Vec<(usize, usize)>,
    /// The distinct looks: one text column for each that is wanted and there.
    pub looks: RecordBatch,
    /// Whether every id occurs once; else the table has to be merged, and read otherwise.
    pub unique: bool,
}

impl Scanned {
    /// How many rows were accepted.
    pub fn accepted(&self) -> usize {
        self.groups.iter().map(|(_, accepted)| accepted).sum()
    }
}

/// The rows that are kept of one row group, in their order.
#[derive(Debug, Default)]
pub struct Kept {
    /// How many rows of the table there are before the group.
    pub before: u32,
    /// The place of each among the accepted rows of the group; left out where all are kept.
    pub row: Vec<u32>,
    /// The number of each row's user.
    pub user: Vec<u32>,
    /// When each was, in microseconds.
    pub at: Vec<i64>,
    /// The look of each.
    pub look: Vec<u32>,
}

/// Accepted rows of one row group, as they pass.
pub struct Passing<'a> {
    /// The group.
    pub group: usize,
    /// How many rows of the table there are before these: those of groups before, and accepted ones of
    /// the group.
    pub before: u32,
    /// The rows.
    pub rows: &'a RecordBatch,
    /// The number of each row's user.
    pub users: &'a [u32],
    /// The look of each, numbered by group.
    pub looks: &'a [u32],
}

/// Who takes what a scan finds: groups from any thread, the rows of one in their order.
pub trait Keeper: Sync {
    /// Whether what is kept of every row lies on disk.
    fn spills(&self) -> bool;

    /// The number of the user of each row.
    fn number(&self, users: &StringViewArray) -> Result<Vec<u32>>;

    /// Which rows are kept, by their users and instants; `None` for all of them.
    fn keep(&self, users: &[u32], at: &[i64]) -> Option<Vec<u32>>;

    /// Looks at accepted rows, kept or not.
    fn pass(&self, passing: &Passing<'_>) -> Result<()>;

    /// Takes the rows of a group once all have passed, with the looks of all groups; `numbers` are
    /// those of the group's own.
    fn end(&self, group: usize, kept: Kept, numbers: &[u32]) -> Result<()>;
}

/// Looks beyond which rows are not worth being told apart by them.
const MOST_LOOKS: usize = 1 << 20;

/// Combinations of values that are few enough for a table of them all.
const FEW: usize = 1 << 14;

/// Scans a table of touches; `looks` are the columns that tell rows apart. With what was found comes
/// what was read and rejected, without rows.
///
/// `None` where there are too many looks.
pub fn scan(
    reading: &Reading<'_>,
    sources: &[Source],
    looks: &BTreeSet<&str>,
    keeper: &dyn Keeper,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Option<(Scanned, Loaded)>> {
    let plan = Plan::new(reading, sources, looks)?;
    let is_there = |name: &&&str| plan.schema.field_with_name(name).is_ok();
    let looks: Vec<&str> = looks.iter().filter(is_there).copied().collect();
    let groups = plan.groups();
    let known = Mutex::new(Looks::new(looks.len()));
    let mut slices = Vec::with_capacity(groups.len());
    let mut before = 0;
    for rows in &groups {
        slices.push(Mutex::new(Slice::new(looks.len(), number(before)?)));
        before += rows;
    }
    number(before)?;
    let repeats = if keeper.spills() { Repeats::on_disk()? } else { Repeats::in_memory(before) };
    let loaded = plan.run(progress, &|group, batch| {
        repeats.meet(external_ids(&batch))?;
        let slice = &mut *slices[group].lock().unwrap_or_else(PoisonError::into_inner);
        let before = slice.kept.before.saturating_add(number(slice.passed)?);
        let (users, numbered) = slice.take(&batch, &looks, keeper)?;
        let passing = Passing { group, before, rows: &batch, users: &users, looks: &numbered };
        keeper.pass(&passing)?;
        if slice.passed == groups[group] {
            slice.end(group, &known, keeper)?;
        }
        Ok(())
    })?;
    let mut accepted = Vec::with_capacity(groups.len());
    for (group, (slice, rows)) in slices.into_iter().zip(groups).enumerate() {
        let mut slice = slice.into_inner().unwrap_or_else(PoisonError::into_inner);
        // A group that lost rows did not notice its own end.
        slice.end(group, &known, keeper)?;
        accepted.push((rows, slice.passed));
    }
    let known = known.into_inner().unwrap_or_else(PoisonError::into_inner);
    if known.count() > MOST_LOOKS {
        return Ok(None);
    }
    let looks = known.table(&looks)?;
    Ok(Some((Scanned { groups: accepted, looks, unique: !repeats.possible()? }, loaded)))
}

/// The number of a row.
fn number(row: usize) -> Result<u32> {
    let many = |_| Error::Contradiction("a table has more than 2^32 rows".to_owned());
    u32::try_from(row).map_err(many)
}

/// The ids of some accepted rows of a table that was scanned: ascending, numbered over all files.
pub fn ids(
    reading: &Reading<'_>,
    sources: &[Source],
    rows: &[u32],
    rejects: &[Reject],
) -> Result<StringViewArray> {
    let picked = Plan::new(reading, sources, &BTreeSet::new())?.pick(EXTERNAL_ID, rows, rejects)?;
    if picked.is_empty() {
        return Ok(StringViewArray::new_null(0));
    }
    let parts: Vec<&dyn Array> = picked.iter().map(|part| &**part).collect();
    Ok(concat(&parts)?.as_string_view().clone())
}

const EXTERNAL_ID: &str = "external_id";

/// The rows of one group, while they come in.
struct Slice {
    kept: Kept,
    /// How many rows have passed.
    passed: usize,
    own: Looks,
    ended: bool,
}

impl Slice {
    fn new(looks: usize, before: u32) -> Self {
        let kept = Kept { before, ..Kept::default() };
        Self { kept, passed: 0, own: Looks::new(looks), ended: false }
    }

    /// Takes the rows of a batch that are kept; returns the user and the look of every one.
    fn take(
        &mut self,
        batch: &RecordBatch,
        looks: &[&str],
        keeper: &dyn Keeper,
    ) -> Result<(Vec<u32>, Vec<u32>)> {
        let columns: Vec<Option<&ArrayRef>> =
            looks.iter().map(|look| batch.column_by_name(look)).collect();
        let mut look = vec![0; batch.num_rows()];
        self.own.number(&columns, &mut look);
        let users = batch.column_by_name("user_external_id").map(|users| users.as_string_view());
        let users = users.map(|users| keeper.number(users)).transpose()?.unwrap_or_default();
        let at = batch.column_by_name("created_at");
        let at = at.map(|at| at.as_primitive::<TimestampMicrosecondType>().values());
        let at = at.map(|at| &at[..]).unwrap_or_default();
        let kept = &mut self.kept;
        match keeper.keep(&users, at) {
            None => {
                kept.user.extend(&users);
                kept.at.extend(at);
                kept.look.extend(&look);
            }
            Some(rows) => {
                #[expect(clippy::cast_possible_truncation, reason = "rows are numbered in 32 bits")]
                let first = self.passed as u32;
                kept.row.extend(rows.iter().map(|row| first + row));
                kept.user.extend(rows.iter().map(|row| users[*row as usize]));
                kept.at.extend(rows.iter().map(|row| at[*row as usize]));
                kept.look.extend(rows.iter().map(|row| look[*row as usize]));
            }
        }
        self.passed += batch.num_rows();
        Ok((users, look))
    }

    /// Gives the rows the numbers of all groups' looks and hands them over, once.
    fn end(&mut self, group: usize, known: &Mutex<Looks>, keeper: &dyn Keeper) -> Result<()> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        let own = std::mem::replace(&mut self.own, Looks::new(0));
        let numbers = known.lock().unwrap_or_else(PoisonError::into_inner).merge(&own);
        let mut kept = std::mem::take(&mut self.kept);
        for look in &mut kept.look {
            *look = numbers[*look as usize];
        }
        keeper.end(group, kept, &numbers)
    }
}

/// A column of a batch, with the values of its dictionary in the numbers of the looks.
struct Coded<'a> {
    keys: &'a Int32Array,
    parts: Vec<u32>,
}

impl<'a> Coded<'a> {
    fn new(column: &'a ArrayRef, values: &mut Interner) -> Self {
        let column = column.as_dictionary::<Int32Type>();
        let part = |text: Option<&str>| text.map_or(0, |text| values.intern(text) + 1);
        let parts = column.values().as_string_view().iter().map(part).collect();
        Self { keys: column.keys(), parts }
    }

    fn part(&self, row: usize) -> u32 {
        if self.keys.is_null(row) {
            return 0;
        }
        self.parts[usize::try_from(self.keys.value(row)).unwrap_or_default()]
    }
}

/// Distinct combinations of values, numbered.
struct Looks {
    hasher: DefaultHashBuilder,
    /// The values of each column, numbered; a missing one is none of them.
    values: Vec<Interner>,
    /// The number of a value in each column, one more than its own, zero where it is missing; look
    /// by look.
    parts: Vec<u32>,
    index: HashTable<u32>,
    /// Looks there are: without columns, `parts` does not tell.
    count: usize,
}

impl Looks {
    fn new(columns: usize) -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            values: (0..columns).map(|_| Interner::default()).collect(),
            parts: Vec::new(),
            index: HashTable::new(),
            count: 0,
        }
    }

    fn count(&self) -> usize {
        self.count
    }

    /// The look of every row of a batch.
    fn number(&mut self, columns: &[Option<&ArrayRef>], look: &mut [u32]) {
        let columns = columns.iter().zip(&mut self.values);
        let columns: Vec<Option<Coded<'_>>> =
            columns.map(|(column, values)| Some(Coded::new((*column)?, values))).collect();
        let mut parts = vec![0; columns.len()];
        let sizes = self.values.iter().map(|values| values.len() + 1);
        let combinations = sizes.clone().try_fold(1_usize, usize::checked_mul);
        // Where few combinations are possible, each is looked for once a batch.
        let few = combinations.filter(|combinations| *combinations <= FEW).unwrap_or(0);
        let sizes: Vec<usize> = sizes.collect();
        let mut found = vec![u32::MAX; few];
        for (row, look) in look.iter_mut().enumerate() {
            let mut combination = 0_usize;
            for ((part, column), size) in parts.iter_mut().zip(&columns).zip(&sizes) {
                *part = column.as_ref().map_or(0, |column| column.part(row));
                combination = combination.wrapping_mul(*size).wrapping_add(*part as usize);
            }
            *look = match found.get(combination) {
                Some(known) if *known != u32::MAX => *known,
                Some(_) => {
                    found[combination] = self.find(&parts);
                    found[combination]
                }
                None => self.find(&parts),
            };
        }
    }

    /// The number of a look, a new one if it was never seen.
    fn find(&mut self, parts: &[u32]) -> u32 {
        let (all, width, hasher) = (&self.parts, parts.len(), &self.hasher);
        let of = |look: u32| &all[look as usize * width..(look as usize + 1) * width];
        #[expect(clippy::cast_possible_truncation, reason = "no more looks than rows")]
        let next = self.count as u32;
        let found = *self
            .index
            .entry(
                hasher.hash_one(parts),
                |look| of(*look) == parts,
                |look| hasher.hash_one(of(*look)),
            )
            .or_insert(next)
            .get();
        if found == next {
            self.parts.extend_from_slice(parts);
            self.count += 1;
        }
        found
    }

    /// Takes in the looks of a group; returns their numbers here.
    fn merge(&mut self, other: &Self) -> Vec<u32> {
        let values: Vec<Vec<u32>> = self
            .values
            .iter_mut()
            .zip(&other.values)
            .map(|(mine, theirs)| {
                let numbers = (0..).take(theirs.len());
                let mapped = numbers.map(|number| mine.intern(theirs.name(number)) + 1);
                std::iter::once(0).chain(mapped).collect()
            })
            .collect();
        let width = self.values.len();
        (0..other.count)
            .map(|look| {
                let parts = &other.parts[look * width..(look + 1) * width];
                let mapped: Vec<u32> = parts
                    .iter()
                    .zip(&values)
                    .map(|(part, values)| values[*part as usize])
                    .collect();
                self.find(&mapped)
            })
            .collect()
    }

    /// The looks as a table, by the names of their columns.
    fn table(&self, names: &[&str]) -> Result<RecordBatch> {
        let width = self.values.len();
        let column = |(at, values): (usize, &Interner)| -> ArrayRef {
            let parts = (0..self.count).map(|look| self.parts[look * width + at]);
            Arc::new(
                parts
                    .map(|part| part.checked_sub(1).map(|number| values.name(number)))
                    .collect::<StringViewArray>(),
            )
        };
        let columns = self.values.iter().enumerate().map(column).collect();
        let text = |name: &&str| Field::new(*name, canonical_type(Kind::Text), true);
        let schema = Schema::new(names.iter().map(text).collect::<Vec<_>>());
        let options = RecordBatchOptions::new().with_row_count(Some(self.count));
        Ok(RecordBatch::try_new_with_options(Arc::new(schema), columns, &options)?)
    }
}
