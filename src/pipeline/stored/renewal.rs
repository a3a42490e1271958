//! Works out again the credits and journeys of orders that may have changed, and takes those of all
//! others over from the last run.
//!
//! What happens to a person at a time can change its orders from that time on, and no others: a journey
//! ends with its order. So each person with a change has a time since which its orders are worked out
//! again, from all rows of the person. Not for finding out what has changed; that is `changes`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, StringViewArray, TimestampMicrosecondArray,
};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use hashbrown::{HashMap, HashSet};
use rayon::prelude::*;

use super::changes::Changes;
use crate::calendar::Span;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::identity::{Identity, Keep as KeepUsers};
use crate::ids::{UNKNOWN, text_hash};
use crate::input::{Loaded, Users};
use crate::journeys::{self, Labels};
use crate::kept::{self, Frame, FrameFile, Groups, Keep, Kept, OneWeek, Writing};
use crate::merge::external_ids;
use crate::output::StagedFolder;
use crate::pipeline::{
    Inputs, MergedTables, Named, Ordered, People, Ready, Silent, Writers, attribute, label, merge,
    order, read_tables, reattribute, resolve, want,
};
use crate::schema::Table;
use crate::store::index::INDEXED;
use crate::summary::Summary;
use crate::touchpoints::instants;

/// A day's instants may be another day's in another zone.
const ZONES: i64 = 2 * 86_400_000_000;

/// Nothing of a person has changed.
const UNAFFECTED: i64 = i64::MAX;

/// Something of a person has changed, and it is not yet known when.
const SOME_TIME: i64 = i64::MAX - 1;

/// Writes the credits and journeys of a run: of the last one, but for those orders that may have changed.
///
/// # Errors
///
/// [`Error::BeginAnew`] where the two do not have the same columns.
pub(super) fn renew(
    config: Config,
    (last, changes): (&Kept, &Changes),
    ready: &Ready,
    writing: &mut Writing,
) -> Result<()> {
    let mut affected = Affected::of(&config, last, changes, ready)?;
    let again = Again::of(config, changes, ready, &mut affected)?;
    let gone = affected.orders(last)?;
    again.combine(last, &gone, writing)
}

/// The persons whose orders may have changed, and since when.
struct Affected<'a> {
    identity: &'a Identity,
    /// By the number of the user that a person is called by.
    since: Vec<i64>,
    /// The same of persons that nobody knows any more, by the hashes of their ids.
    unknown: HashMap<u64, i64>,
    /// Whether each user is another person's than before.
    moved: Vec<bool>,
    /// Whose it was before, where it was anybody's.
    before: HashMap<u32, Person>,
}

/// A person of the last run: the number of the user that it is called by, or the hash of that id where
/// nobody is called so any more.
type Person = Result<u32, u64>;

/// A user of the last run.
struct Known {
    /// Its number, where it is known now.
    user: Option<u32>,
    /// Whose it was.
    person: Person,
    /// Since when something of it has changed, where it has.
    since: Option<i64>,
}

impl<'a> Affected<'a> {
    /// Whoever has changed rows, or other users than before; of the former it is known since when.
    fn of(config: &Config, last: &Kept, changes: &Changes, ready: &'a Ready) -> Result<Self> {
        let identity = &ready.people.identity;
        let users = identity.person.len();
        let mut affected = Self {
            identity,
            since: vec![UNAFFECTED; users],
            unknown: HashMap::new(),
            moved: vec![false; users],
            before: HashMap::new(),
        };
        let mut known = vec![false; users];
        for Known { user, person, since } in known_users(identity, last, changes)? {
            let Some(user) = user else {
                affected.lower(person, since.unwrap_or(SOME_TIME));
                continue;
            };
            known[user as usize] = true;
            let now = identity.person[user as usize];
            if person != Ok(now) {
                affected.moved[user as usize] = true;
                affected.before.insert(user, person);
                affected.lower(Ok(now), SOME_TIME);
                affected.lower(person, SOME_TIME);
            }
            if let Some(at) = since {
                affected.lower(Ok(now), at);
                affected.lower(person, at);
            }
        }
        for user in (0..).take(users).filter(|user| !known[*user as usize]) {
            affected.moved[user as usize] = true;
            let since = changes.users.get(&text_hash(identity.users.name(user))).copied();
            affected.lower(Ok(identity.person[user as usize]), since.unwrap_or(SOME_TIME));
        }
        affected.lower_by_orders(config, changes, &ready.merged);
        Ok(affected)
    }

    /// Lets the orders of a person be worked out again from a time on.
    fn lower(&mut self, person: Person, at: i64) {
        let since = match person {
            Ok(number) => &mut self.since[number as usize],
            Err(hash) => self.unknown.entry(hash).or_insert(UNAFFECTED),
        };
        *since = at.min(*since);
    }

    /// Since when the orders of a person are worked out again, by its id.
    fn since(&self, person: &str) -> i64 {
        match self.identity.users.get(person) {
            Some(number) => self.since[number as usize],
            None => self.unknown.get(&text_hash(person)).copied().unwrap_or(UNAFFECTED),
        }
    }

    /// The users of every affected person, each with the instant since when its touches matter: as long
    /// before the first order that is worked out again as a window reaches, where that is known.
    fn users(&self, config: &Config, changes: &Changes, unique: bool) -> Users {
        let window = &config.window;
        let reach = window.lookback.zip(window.view_lookback);
        let reach = reach.map(|(sessions, views)| sessions.max(views)).filter(|_| unique);
        let identity = self.identity;
        // Whose users have come or gone, or whose rows have: that may reach back to any of them.
        let mut whole = vec![reach.is_none(); identity.person.len()];
        let users = || (0_u32..).zip(&identity.person);
        let is_affected = |person: &u32| self.since[*person as usize] != UNAFFECTED;
        for (user, person) in users().filter(|(_, person)| is_affected(person)) {
            let lost = || changes.lost.contains(&text_hash(identity.users.name(user)));
            if self.moved[user as usize] || lost() {
                whole[*person as usize] = true;
            }
        }
        // So may the rows of a user that went to somebody else, of which it is only known later when they were.
        for person in self.before.values().filter_map(|person| person.ok()) {
            whole[person as usize] = true;
        }
        let named = users().filter(|(_, person)| is_affected(person)).map(|(user, person)| {
            let since = self.since[*person as usize];
            let is_whole = whole[*person as usize] || since == SOME_TIME;
            let from = if is_whole { i64::MIN } else { since.saturating_sub(reach.unwrap_or(0)) };
            (identity.users.name(user), from)
        });
        Users::new(named)
    }

    /// Orders of which a row or an item has changed, or the exchange rate.
    fn lower_by_orders(&mut self, config: &Config, changes: &Changes, merged: &MergedTables) {
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
                // Persons of a run are numbered as its users are.
                debug_assert_eq!(self.identity.person[*person as usize], *person);
                self.lower(Ok(*person), at[row]);
            }
        }
    }

    /// Touches and orders of which one of several versions has changed, and those of users who are
    /// another person's now; `people` are those of the rows.
    fn lower_by_rows(
        &mut self,
        (people, persons): (&People, &[u32]),
        rows: &RecordBatch,
        changed: &HashSet<u64>,
    ) {
        let ids = external_ids(rows);
        let at = instants(rows);
        let users = Labels::texts(rows, "user_external_id");
        for (row, person) in persons.iter().enumerate() {
            let user = self.identity.users.get(users.value(row));
            let moved = user.filter(|user| self.moved[*user as usize]);
            if moved.is_none() && !changed.contains(&text_hash(ids.value(row))) {
                continue;
            }
            let name = people.identity.users.name(*person);
            let person = self.identity.users.get(name).ok_or_else(|| text_hash(name));
            self.lower(person, at[row]);
            if let Some(then) = moved.and_then(|user| self.before.get(&user)).copied() {
                self.lower(then, at[row]);
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
            let at = order_times(&rows)?;
            let again = |row: &usize| at.value(*row) >= self.since(persons.value(*row));
            let again: BTreeSet<String> =
                (0..rows.num_rows()).filter(again).map(|row| ids.value(row).to_owned()).collect();
            Ok((!again.is_empty()).then(|| (week.to_owned(), again)))
        };
        let weeks: Vec<_> = files.par_iter().map(of_week).collect::<Result<_>>()?;
        Ok(weeks.into_iter().flatten().collect())
    }
}

/// The users of the last run, compared with those of now.
fn known_users(identity: &Identity, last: &Kept, changes: &Changes) -> Result<Vec<Known>> {
    let rows =
        last.columns(Frame::Identity, |name| matches!(name, "user_external_id" | "person"))?;
    let (names, persons) =
        (Labels::texts(&rows, "user_external_id"), Labels::texts(&rows, "person"));
    let some = |from: usize| {
        let count = (rows.num_rows() - from).min(LOOKED_UP);
        let (names, persons) = (names.slice(from, count), persons.slice(from, count));
        let numbers = [&names, &persons].map(|texts| identity.users.look_up(texts));
        let known = (0..count).map(|row| {
            let number = |at: usize| Some(numbers[at][row]).filter(|number| *number != UNKNOWN);
            let person = number(1).ok_or_else(|| text_hash(persons.value(row)));
            let since = changes.users.get(&text_hash(names.value(row))).copied();
            Known { user: number(0), person, since }
        });
        known.collect::<Vec<_>>()
    };
    let starts: Vec<usize> = (0..rows.num_rows()).step_by(LOOKED_UP).collect();
    Ok(starts.into_par_iter().flat_map_iter(some).collect())
}

/// Users that are looked up at a time.
const LOOKED_UP: usize = 1 << 15;

/// When each order was.
fn order_times(rows: &RecordBatch) -> Result<&TimestampMicrosecondArray> {
    let at = rows.column_by_name("order_at").and_then(|at| at.as_primitive_opt());
    at.ok_or_else(|| Error::Broken("journeys are kept without the times of orders".to_owned()))
}

/// The persons who are affected, with what it takes to work out their orders again.
struct Again {
    config: Config,
    people: People,
    merged: MergedTables,
    ordered: Ordered,
    named: Named,
    /// The week of each order.
    week: Labels,
    /// Which orders are worked out again.
    wanted: Vec<bool>,
}

/// Rows of credits and journeys.
type Rows = BTreeMap<Frame, Vec<RecordBatch>>;

impl Again {
    /// Reads and orders what there is of those who are affected, from the time on since when they are.
    fn of(
        mut config: Config,
        changes: &Changes,
        ready: &Ready,
        affected: &mut Affected<'_>,
    ) -> Result<Self> {
        let identity = &ready.people.identity;
        // Touches that were read in the least space have ids that occur once.
        let unique = ready.merged.rows.is_some();
        config.only = Some(affected.users(&config, changes, unique));
        // Who is who is known: every user is said to be its person, and nobody may refuse.
        config.merge_authenticated = true;
        config.reconcile = Vec::new();
        config.outputs = config.outputs.without_files();
        let frames = BTreeSet::from([Frame::Credits, Frame::Journeys]);
        let folder = PathBuf::new();
        config.outputs.kept = Some(Keep { folder, frames, by_week: Some(config.zone) });
        let inputs = Inputs { paths: ready.inputs.paths.clone(), items: None };
        let mut summary = Summary::new(config.as_of);
        let mut tables = read_tables(&config, &inputs, &INDEXED, &Silent)?;
        let users = (0_u32..).zip(&identity.person);
        let users = users.filter(|(_, person)| affected.since[**person as usize] != UNAFFECTED);
        let steps = users.filter(|(user, person)| user != *person);
        let steps =
            steps.map(|(user, person)| (identity.users.name(user), identity.users.name(*person)));
        tables.insert(Table::UserAliases, aliases(steps)?);
        let people = resolve(&config, &tables, &mut summary);
        let mut merged = merge(&config, &mut tables, &people, KeepUsers::Persons, &mut summary)?;
        for (rows, persons, changed) in [
            (&merged.touches, &merged.touch_persons, &changes.touches),
            (&merged.orders.rows, &merged.orders.person, &changes.orders),
        ] {
            affected.lower_by_rows((&people, persons), rows, changed);
        }
        let count = people.identity.person.len();
        let touches =
            journeys::touches(&merged.touches, &merged.touch_persons, count, merged.sessions);
        let mut ordered =
            order(&config, &inputs, &tables, &merged, &people, touches.into(), &mut summary)?;
        want(&config, &tables, &people, &merged, &mut ordered)?;
        leave_out_earlier(&mut ordered, &merged, &people, affected);
        reattribute(&config, &mut merged, &mut ordered)?;
        let named = label(&config, &config.by, &tables, &merged, &ordered)?;
        let week = Labels::of_span(ordered.orders.at.iter().copied(), Span::Week, config.zone);
        let wanted = ordered.orders.wanted.clone();
        Ok(Self { config, people, merged, ordered, named, week, wanted })
    }

    /// The rows of the orders of one week that are worked out again, person by person.
    fn rows(&mut self, week: &str) -> Result<Rows> {
        let code = self.week.values.iter().position(|known| known == week);
        let of_week = self.week.codes.iter().map(|own| Some(*own as usize) == code);
        let wanted = self.wanted.iter().zip(of_week).map(|(wanted, of_week)| *wanted && of_week);
        self.ordered.orders.wanted = wanted.collect();
        let frames = [Frame::Credits, Frame::Journeys].map(|frame| (frame, Vec::new()));
        let mut writers = Writers { gathered: Some(frames.into()), ..Writers::none() };
        let Self { config, people, merged, ordered, named, .. } = self;
        attribute(config, merged, ordered, named, people, &mut writers)?;
        Ok(writers.gathered.unwrap_or_default())
    }

    /// Writes the tables of the run: weeks without a change as they are, the others from what stays of
    /// them and what is worked out again. No week is read but those with an order that is `gone`, or
    /// comes.
    fn combine(
        mut self,
        last: &Kept,
        gone: &BTreeMap<String, BTreeSet<String>>,
        writing: &mut Writing,
    ) -> Result<()> {
        let frames = [Frame::Credits, Frame::Journeys];
        let wanted = self.week.codes.iter().zip(&self.wanted).filter(|(_, wanted)| **wanted);
        let come = wanted.map(|(code, _)| self.week.values[*code as usize].clone());
        let mut weeks: BTreeSet<String> = come.collect();
        weeks.extend(gone.keys().cloned());
        for frame in frames {
            for file in last.files(frame) {
                if kept::week_of(&file.path).is_some_and(|week| !weeks.contains(week)) {
                    writing.carry(frame, last.folder(), file)?;
                }
            }
        }
        let schemas: BTreeMap<Frame, SchemaRef> = frames
            .into_iter()
            .map(|frame| Ok((frame, last.schema(frame)?)))
            .collect::<Result<_>>()?;
        let weeks: Vec<String> = weeks.into_iter().collect();
        // As many at once as there is work for; each is in memory whole.
        for some in weeks.chunks(rayon::current_num_threads().div_ceil(frames.len())) {
            let mut parts: Vec<(Frame, &String, Vec<RecordBatch>)> = Vec::new();
            for week in some {
                let rows = self.rows(week)?;
                parts.extend(rows.into_iter().map(|(frame, rows)| (frame, week, rows)));
            }
            let folder = writing.folder();
            let write = |(frame, week, come): (Frame, &String, Vec<RecordBatch>)| {
                let come = Come::new(frame, come, &schemas[&frame])?;
                let written = write_again(last, frame, (week, gone.get(week)), &come, folder)?;
                Ok(written.map(|written| (frame, written)))
            };
            let written: Vec<_> = parts.into_par_iter().map(write).collect::<Result<_>>()?;
            for (frame, week) in written.into_iter().flatten() {
                writing.add_week(frame, week);
            }
        }
        for (frame, schema) in &schemas {
            writing.hold(*frame, schema);
        }
        Ok(())
    }
}

/// The rows of a week that were worked out again, in the byte order of persons.
struct Come {
    batches: Vec<RecordBatch>,
    persons: Vec<StringViewArray>,
    /// Where each batch begins among all rows; one more entry than there are batches.
    starts: Vec<usize>,
}

impl Come {
    fn new(frame: Frame, batches: Vec<RecordBatch>, schema: &SchemaRef) -> Result<Self> {
        if batches.iter().any(|come| come.schema() != *schema) {
            let why = format!("the columns of {frame} are not what they were");
            return Err(Error::BeginAnew(why));
        }
        let persons = batches.iter().map(|rows| Labels::texts(rows, "person")).collect();
        let mut starts = vec![0];
        starts.extend(batches.iter().scan(0, |rows, batch| {
            *rows += batch.num_rows();
            Some(*rows)
        }));
        Ok(Self { batches, persons, starts })
    }

    fn len(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// The batch of a row, and its place there.
    fn place(&self, row: usize) -> (usize, usize) {
        let batch = self.starts.partition_point(|start| *start <= row) - 1;
        (batch, row - self.starts[batch])
    }

    fn person(&self, row: usize) -> &str {
        let (batch, row) = self.place(row);
        self.persons[batch].value(row)
    }

    /// How many rows there are before those of a person.
    fn before(&self, person: &str) -> usize {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = usize::midpoint(from, to);
            if self.person(middle) < person { from = middle + 1 } else { to = middle }
        }
        from
    }
}

/// Writes a week: what stays of the last run's, and what was worked out again; none where that is
/// nothing.
///
/// The last run's rows are read some row groups at a time, while those before are written.
fn write_again(
    last: &Kept,
    frame: Frame,
    (week, gone): (&str, Option<&BTreeSet<String>>),
    come: &Come,
    folder: &StagedFolder,
) -> Result<Option<(String, u64)>> {
    let is_week = |file: &&FrameFile| kept::week_of(&file.path) == Some(week);
    let before = last.files(frame).iter().find(is_week);
    let before = before.map(|before| last.folder().join(&before.path));
    let stays = before.map(|before| Staying::open(frame, &before, gone, come)).transpose()?;
    let pieces = stays.as_ref().map_or(0, |stays| stays.groups.count());
    let at_once = 2 * rayon::current_num_threads();
    let read = |from: usize| -> Result<Vec<RecordBatch>> {
        let Some(stays) = &stays else { return Ok(Vec::new()) };
        let groups = from..pieces.min(from + at_once);
        groups.into_par_iter().map(|group| stays.piece(group, come)).collect()
    };
    let mut written: Option<OneWeek> = None;
    let mut write = |rows: &[RecordBatch]| -> Result<()> {
        for rows in rows.iter().filter(|rows| rows.num_rows() > 0) {
            let written = match &mut written {
                Some(written) => written,
                None => written.insert(OneWeek::begin(folder, frame, week, &rows.schema())?),
            };
            written.write(rows)?;
        }
        Ok(())
    };
    if pieces == 0 {
        write(&come.batches)?;
    }
    let mut next = read(0)?;
    for from in (0..pieces).step_by(at_once) {
        let (done, read) = rayon::join(|| write(&next), || read(from + at_once));
        done?;
        next = read?;
    }
    written.map(OneWeek::finish).transpose()
}

/// What stays of a week of the last run, in pieces, each with its part of what comes.
struct Staying<'a> {
    groups: Groups,
    gone: Option<&'a BTreeSet<String>>,
    /// Where the part of what comes begins that stands in each piece.
    starts: Vec<usize>,
}

impl<'a> Staying<'a> {
    fn open(
        frame: Frame,
        path: &Path,
        gone: Option<&'a BTreeSet<String>>,
        come: &Come,
    ) -> Result<Self> {
        let groups = Groups::open(frame, path)?;
        let first_person = |group: usize| -> Result<Option<String>> {
            let rows = groups.read(group, |name| name == "person")?;
            let persons = Labels::texts(&rows, "person");
            Ok((!persons.is_empty()).then(|| persons.value(0).to_owned()))
        };
        let firsts: Vec<Option<String>> =
            (1..groups.count()).into_par_iter().map(first_person).collect::<Result<_>>()?;
        // What comes of a person stands after all that stays of it: in the last piece that has any.
        let mut starts = vec![0];
        starts.extend(firsts.iter().map(|first| come.before(first.as_deref().unwrap_or_default())));
        starts.push(come.len());
        Ok(Self { groups, gone, starts })
    }

    /// A piece of what stays, with what comes between and after its persons.
    fn piece(&self, group: usize, come: &Come) -> Result<RecordBatch> {
        let rows = self.groups.read(group, |_| true)?;
        let stays: Vec<usize> = match self.gone {
            Some(gone) => {
                let ids = Labels::texts(&rows, "order_external_id");
                let stays = |row: &usize| ids.is_null(*row) || !gone.contains(ids.value(*row));
                (0..rows.num_rows()).filter(stays).collect()
            }
            None => (0..rows.num_rows()).collect(),
        };
        let (from, to) = (self.starts[group], self.starts[group + 1]);
        if stays.len() == rows.num_rows() && from == to {
            return Ok(rows);
        }
        by_person((&rows, &stays), (come, from..to))
    }
}

/// Asks for no order from before its person was affected: those are as they were.
fn leave_out_earlier(
    ordered: &mut Ordered,
    merged: &MergedTables,
    people: &People,
    affected: &Affected<'_>,
) {
    let orders = &mut ordered.orders;
    for (order, row) in orders.row.iter().enumerate() {
        let person = people.identity.users.name(merged.orders.person[*row as usize]);
        orders.wanted[order] &= orders.at[order] >= affected.since(person);
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

/// Some rows of a table and some of what comes as one, in the byte order of persons; of one person the
/// rows of the table come first.
fn by_person(
    (table, rows): (&RecordBatch, &[usize]),
    (come, others): (&Come, Range<usize>),
) -> Result<RecordBatch> {
    let persons = Labels::texts(table, "person");
    let mut batches = vec![table];
    let mut order = Vec::with_capacity(rows.len() + others.len());
    let mut rows = rows.iter().copied().peekable();
    let mut first = None;
    for other in others {
        let person = come.person(other);
        while let Some(row) = rows.next_if(|row| persons.value(*row) <= person) {
            order.push((0, row));
        }
        let (batch, row) = come.place(other);
        let first = *first.get_or_insert(batch);
        // Only what is needed of many batches.
        while batches.len() <= 1 + batch - first {
            batches.push(&come.batches[first + batches.len() - 1]);
        }
        order.push((1 + batch - first, row));
    }
    order.extend(rows.map(|row| (0, row)));
    Ok(interleave_record_batch(&batches, &order)?)
}
