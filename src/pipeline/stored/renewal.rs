//! Works out again the credits and journeys of orders that may have changed, and takes those of all
//! others over from the last run.
//!
//! What happens to a person at a time can change its orders from that time on, and no others: a journey
//! ends with its order. So each person with a change has a time since which its orders are worked out
//! again, from all rows of the person. Not for finding out what has changed; that is `changes`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringViewArray, TimestampMicrosecondArray,
};
use arrow::compute::{filter_record_batch, interleave_record_batch};
use hashbrown::{HashMap, HashSet};
use rayon::prelude::*;

use super::changes::Changes;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::identity::Keep as KeepUsers;
use crate::ids::text_hash;
use crate::input::{Loaded, Users};
use crate::journeys::{self, Labels};
use crate::kept::{self, Frame, FrameFile, FrameRows, Keep, Kept, Writing};
use crate::merge::external_ids;
use crate::output::StagedFolder;
use crate::pipeline::{
    Inputs, MergedTables, Ordered, People, Ready, Silent, Writers, attribute, label, merge, order,
    read_tables, reattribute, resolve, want,
};
use crate::schema::Table;
use crate::store::index::INDEXED;
use crate::summary::Summary;
use crate::touchpoints::instants;

/// A day's instants may be another day's in another zone.
const ZONES: i64 = 2 * 86_400_000_000;

/// Writes the credits and journeys of a run: of the last one, but for those orders that may have changed.
///
/// # Errors
///
/// [`Error::BeginAnew`] where the two do not have the same columns.
pub(super) fn renew(
    config: Config,
    (last, changes): (&Kept, &Changes),
    ready: &Ready,
    scratch: &Path,
    writing: &mut Writing,
) -> Result<()> {
    let mut affected = Affected::of(&config, last, changes, ready)?;
    let renewed = orders_again(config, changes, ready, scratch, &mut affected)?;
    let orders = affected.orders(last)?;
    for frame in [Frame::Credits, Frame::Journeys] {
        combine(frame, last, &renewed, &orders, writing)?;
    }
    Ok(())
}

/// The persons whose orders may have changed, and since when.
struct Affected {
    /// By the id of the person, before or now.
    since: HashMap<String, i64>,
    /// Whether each user is another person's than before, by its number.
    moved: Vec<bool>,
    /// Whose it was before, where it was anybody's.
    before: HashMap<u32, String>,
}

impl Affected {
    /// Whoever has changed rows, or other users than before; of the former it is known since when.
    fn of(config: &Config, last: &Kept, changes: &Changes, ready: &Ready) -> Result<Self> {
        let identity = &ready.people.identity;
        let users = identity.person.len();
        let mut affected =
            Self { since: HashMap::new(), moved: vec![false; users], before: HashMap::new() };
        let now = |user: u32| identity.users.name(identity.person[user as usize]);
        let since = |user: &str| changes.users.get(&text_hash(user)).copied();
        let mut known = vec![false; users];
        let rows =
            last.columns(Frame::Identity, |name| matches!(name, "user_external_id" | "person"))?;
        let texts = |name: &str| Labels::texts(&rows, name);
        let (names, persons) = (texts("user_external_id"), texts("person"));
        for (name, then) in names.iter().zip(&persons) {
            let (Some(name), Some(then)) = (name, then) else { continue };
            let at = since(name);
            let Some(user) = identity.users.get(name) else {
                affected.lower(then, at.unwrap_or(i64::MAX));
                continue;
            };
            known[user as usize] = true;
            if now(user) != then {
                affected.moved[user as usize] = true;
                affected.before.insert(user, then.to_owned());
                affected.lower(now(user), i64::MAX);
                affected.lower(then, i64::MAX);
            }
            if let Some(at) = at {
                affected.lower(now(user), at);
                affected.lower(then, at);
            }
        }
        for user in (0..).take(users).filter(|user| !known[*user as usize]) {
            affected.moved[user as usize] = true;
            affected.lower(now(user), since(identity.users.name(user)).unwrap_or(i64::MAX));
        }
        affected.lower_by_orders(config, changes, &ready.merged, &ready.people);
        Ok(affected)
    }

    /// Lets the orders of a person be worked out again from a time on.
    fn lower(&mut self, person: &str, at: i64) {
        match self.since.get_mut(person) {
            Some(since) => *since = at.min(*since),
            None => {
                self.since.insert(person.to_owned(), at);
            }
        }
    }

    /// Orders of which a row or an item has changed, or the exchange rate.
    fn lower_by_orders(
        &mut self,
        config: &Config,
        changes: &Changes,
        merged: &MergedTables,
        people: &People,
    ) {
        let orders = &merged.orders;
        if changes.orders.is_empty() && changes.rates.is_none() {
            return;
        }
        let ids = external_ids(&orders.rows);
        let at = instants(&orders.rows);
        let codes = Labels::texts(&orders.rows, "currency");
        let own = config.currency.code();
        for (row, person) in orders.person.iter().enumerate() {
            let is_foreign = codes.is_valid(row) && codes.value(row) != own;
            let rate = changes.rates.filter(|_| is_foreign);
            let has_rate = rate.is_some_and(|since| at[row] >= since.saturating_sub(ZONES));
            if has_rate || changes.orders.contains(&text_hash(ids.value(row))) {
                self.lower(people.identity.users.name(*person), at[row]);
            }
        }
    }

    /// Touches and orders of which one of several versions has changed, and those of users who are
    /// another person's now.
    fn lower_by_rows(
        &mut self,
        ready: &Ready,
        (people, persons): (&People, &[u32]),
        rows: &RecordBatch,
        changed: &HashSet<u64>,
    ) {
        let ids = external_ids(rows);
        let at = instants(rows);
        let users = Labels::texts(rows, "user_external_id");
        for (row, person) in persons.iter().enumerate() {
            let user = ready.people.identity.users.get(users.value(row));
            let moved = user.filter(|user| self.moved[*user as usize]);
            if moved.is_none() && !changed.contains(&text_hash(ids.value(row))) {
                continue;
            }
            self.lower(people.identity.users.name(*person), at[row]);
            if let Some(then) = moved.and_then(|user| self.before.get(&user)).cloned() {
                self.lower(&then, at[row]);
            }
        }
    }

    /// The orders of the last run that are worked out again, or gone: by week, those of weeks that have
    /// any.
    fn orders(&self, last: &Kept) -> Result<BTreeMap<String, BTreeSet<String>>> {
        let files: Vec<_> = last.files(Frame::Journeys).iter().collect();
        let of_week = |file: &&FrameFile| -> Result<Option<(String, BTreeSet<String>)>> {
            let Some(week) = kept::week_of(&file.path) else { return Ok(None) };
            let rows = kept::read_file(Frame::Journeys, &last.folder().join(&file.path), |name| {
                matches!(name, "order_external_id" | "person" | "order_at")
            })?;
            let texts = |name: &str| Labels::texts(&rows, name);
            let (ids, persons) = (texts("order_external_id"), texts("person"));
            let at = instants_of(&rows)?;
            let again = |row: &usize| {
                self.since.get(persons.value(*row)).is_some_and(|since| at.value(*row) >= *since)
            };
            let again: BTreeSet<String> =
                (0..rows.num_rows()).filter(again).map(|row| ids.value(row).to_owned()).collect();
            Ok((!again.is_empty()).then(|| (week.to_owned(), again)))
        };
        let weeks: Vec<_> = files.par_iter().map(of_week).collect::<Result<_>>()?;
        Ok(weeks.into_iter().flatten().collect())
    }
}

/// When each order was.
fn instants_of(rows: &RecordBatch) -> Result<&TimestampMicrosecondArray> {
    let at = rows.column_by_name("order_at").and_then(|at| at.as_primitive_opt());
    at.ok_or_else(|| Error::Broken("journeys are kept without the times of orders".to_owned()))
}

/// Credits and journeys that were worked out again, in a folder that is gone with this.
struct Renewed {
    folder: StagedFolder,
    frames: Vec<FrameRows>,
}

/// Works out the orders of those who are affected, from the time on since when they are.
fn orders_again(
    mut config: Config,
    changes: &Changes,
    ready: &Ready,
    scratch: &Path,
    affected: &mut Affected,
) -> Result<Renewed> {
    let identity = &ready.people.identity;
    let is_affected: Vec<bool> = (0..)
        .take(identity.person.len())
        .map(|person| affected.since.contains_key(identity.users.name(person)))
        .collect();
    let asked_for = |user: &u32| is_affected[identity.person[*user as usize] as usize];
    let users: Vec<u32> = (0..).take(identity.person.len()).filter(asked_for).collect();
    config.only = Some(Users::new(users.iter().map(|user| identity.users.name(*user))));
    // Who is who is known: every user is said to be its person, and nobody may refuse.
    config.merge_authenticated = true;
    config.reconcile = Vec::new();
    config.outputs = config.outputs.without_files();
    let frames = BTreeSet::from([Frame::Credits, Frame::Journeys]);
    let keep = Keep { folder: scratch.to_path_buf(), frames, by_week: Some(config.zone) };
    let writing = Writing::begin(&keep)?;
    config.outputs.kept = Some(keep);

    let inputs = Inputs { paths: ready.inputs.paths.clone(), items: None };
    let mut summary = Summary::new(config.as_of);
    let mut tables = read_tables(&config, &inputs, &INDEXED, &Silent)?;
    let steps = users.iter().map(|user| {
        let person = identity.person[*user as usize];
        (identity.users.name(*user), identity.users.name(person))
    });
    tables.insert(Table::UserAliases, aliases(steps.filter(|(from, to)| from != to))?);
    let people = resolve(&config, &tables, &mut summary);
    let mut merged = merge(&config, &mut tables, &people, KeepUsers::Persons, &mut summary)?;
    for (rows, persons, changed) in [
        (&merged.touches, &merged.touch_persons, &changes.touches),
        (&merged.orders.rows, &merged.orders.person, &changes.orders),
    ] {
        affected.lower_by_rows(ready, (&people, persons), rows, changed);
    }
    let touches = journeys::touches(
        &merged.touches,
        &merged.touch_persons,
        people.identity.person.len(),
        merged.sessions,
    );
    let touches = (touches, None);
    let mut ordered = order(&config, &inputs, &tables, &merged, &people, touches, &mut summary)?;
    want(&config, &tables, &people, &merged, &mut ordered)?;
    leave_out_earlier(&mut ordered, &merged, &people, affected);
    reattribute(&config, &mut merged, &mut ordered)?;
    let labels = label(&config, &config.by, &tables, &merged, &ordered)?;
    let mut writers = Writers { kept: Some(writing), ..Writers::none() };
    attribute(&config, &merged, &ordered, &labels, &people, &mut writers)?;
    let Some(mut writing) = writers.kept else {
        return Err(Error::Broken("what was worked out again is not kept".to_owned()));
    };
    let frames = writing.end_tables()?;
    Ok(Renewed { folder: writing.into_folder(), frames })
}

/// Asks for no order from before its person was affected: those are as they were.
fn leave_out_earlier(
    ordered: &mut Ordered,
    merged: &MergedTables,
    people: &People,
    affected: &Affected,
) {
    let orders = &mut ordered.orders;
    for (order, row) in orders.row.iter().enumerate() {
        let person = people.identity.users.name(merged.orders.person[*row as usize]);
        let since = affected.since.get(person).copied().unwrap_or(i64::MAX);
        orders.wanted[order] &= orders.at[order] >= since;
    }
}

/// Aliases that lead each user to its person at once.
fn aliases<'a>(steps: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Loaded> {
    let (from, to): (Vec<&str>, Vec<&str>) = steps.unzip();
    let mut loaded = Loaded::none(Table::UserAliases);
    let schema = loaded.rows.schema();
    let columns = schema.fields().iter().map(|field| {
        let texts = if field.name() == "from_user_external_id" { &from } else { &to };
        Arc::new(StringViewArray::from_iter_values(texts)) as ArrayRef
    });
    loaded.rows = RecordBatch::try_new(Arc::clone(&schema), columns.collect())?;
    Ok(loaded)
}

/// Writes a table of the run: the weeks without a change as they are, the others from what stays of them
/// and what was worked out again. No week is read but those with `again` an order.
fn combine(
    frame: Frame,
    last: &Kept,
    renewed: &Renewed,
    again: &BTreeMap<String, BTreeSet<String>>,
    writing: &mut Writing,
) -> Result<()> {
    let place = renewed.folder.path();
    let of_frame = renewed.frames.iter().find(|rows| rows.name == frame.name());
    let come = of_frame.map_or(&[] as &[_], |rows| &rows.files);
    let schema = last.schema(frame)?;
    let mut weeks: BTreeSet<&str> = come.iter().map(|file| file.path.as_str()).collect();
    weeks.extend(last.files(frame).iter().map(|file| file.path.as_str()));
    for path in weeks {
        let Some(week) = kept::week_of(path) else { continue };
        let before = last.files(frame).iter().find(|file| file.path == path);
        let now = come.iter().find(|file| file.path == path);
        let gone = again.get(week);
        if let Some(before) = before.filter(|_| now.is_none() && gone.is_none()) {
            writing.carry(frame, last.folder(), before)?;
            continue;
        }
        let read = |folder: &Path, file: &FrameFile| {
            kept::read_file(frame, &folder.join(&file.path), |_| true)
        };
        let now = now.map(|file| read(place, file)).transpose()?;
        let stays = before.map(|file| without(&read(last.folder(), file)?, gone)).transpose()?;
        if now.as_ref().is_some_and(|now| now.schema() != schema) {
            let why = format!("the columns of {frame} are not what they were");
            return Err(Error::BeginAnew(why));
        }
        let rows = match (stays, now) {
            (Some(stays), Some(now)) => by_person(&stays, &now)?,
            (Some(rows), None) | (None, Some(rows)) => rows,
            (None, None) => continue,
        };
        if rows.num_rows() > 0 {
            writing.write_week(frame, week, &rows)?;
        }
    }
    writing.hold(frame, &schema);
    Ok(())
}

/// Rows without those of some orders.
fn without(rows: &RecordBatch, orders: Option<&BTreeSet<String>>) -> Result<RecordBatch> {
    let Some(orders) = orders else { return Ok(rows.clone()) };
    let ids = Labels::texts(rows, "order_external_id");
    let stays = ids.iter().map(|id| Some(id.is_none_or(|id| !orders.contains(id))));
    Ok(filter_record_batch(rows, &stays.collect::<BooleanArray>())?)
}

/// Two tables as one, in the byte order of persons; of one person the rows of the first come first.
fn by_person(first: &RecordBatch, second: &RecordBatch) -> Result<RecordBatch> {
    let persons = [first, second].map(|rows| Labels::texts(rows, "person"));
    let (mut left, mut right) = (0, 0);
    let mut order = Vec::with_capacity(persons[0].len() + persons[1].len());
    while left < persons[0].len() || right < persons[1].len() {
        let comes_first = left < persons[0].len()
            && (right == persons[1].len() || persons[0].value(left) <= persons[1].value(right));
        if comes_first {
            order.push((0, left));
            left += 1;
        } else {
            order.push((1, right));
            right += 1;
        }
    }
    Ok(interleave_record_batch(&[first, second], &order)?)
}
