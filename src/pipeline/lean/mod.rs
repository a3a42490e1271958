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
mod parts;
mod spans;
mod strangers;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use arrow::array::{RecordBatch, StringViewArray};
use chrono_tz::Tz;
use rayon::prelude::*;

use self::counts::Counted;
use self::parts::Parts;
use self::strangers::Spilled;
use super::{
    Inputs, MergedTables, Progress, Tables, derived, looked_at, needs, reading, wants_channels,
};
use crate::channels;
use crate::config::{Bounce, Config};
use crate::error::{Error, Result};
use crate::identity::Merged;
use crate::input::{self, Keeper, Loaded, Needs, Scanned};
use crate::journeys::{Dimension, Labels, Part, TouchNames, Touches, combine, direct_touches};
use crate::report::{self, Session, SessionCounts, session_counts};
use crate::schema::{Kind, Table};
use crate::stop;
use crate::touchpoints::LOCAL_COLUMNS;

/// Columns of sessions that are counted or averaged, and so never tell touches apart.
const NUMBERS: [&str; 3] = ["duration", "interactions_count", "pageviews_count"];

/// What a row can say of its user beside the id.
const USER_FACTS: [&str; 3] = ["user_created_at", "user_is_authenticated", "user_signed_up_at"];

/// Touches of whom only the looks are known one by one.
#[derive(Clone)]
pub(super) struct Rows {
    /// The distinct looks, with what follows from them.
    looks: RecordBatch,
    sessions: Sessions,
}

/// How sessions are counted.
#[derive(Clone)]
enum Sessions {
    /// Row by row.
    Kept(KeptSessions),
    /// They were counted when they passed.
    Counted(Counted),
}

/// Sessions row by row.
#[derive(Clone)]
struct KeptSessions {
    /// The person of each.
    person: Vec<u32>,
    /// When each was.
    at: Vec<i64>,
    /// The look of each.
    look: Vec<u32>,
    /// The numbers that are counted or averaged.
    numbers: RecordBatch,
}

/// The touches that can lie in a journey, not yet in their order, and how to find their ids.
pub(super) struct Gathered {
    parts: Parts,
    /// Touches on disk of users that no other table names, where they are looked at.
    strangers: Option<Spilled>,
    numbers: Numbers,
}

impl Gathered {
    /// Parts on disk that are in memory at a time, whatever the threads; see `pipeline/memory.rs`.
    const TOGETHER: usize = 4;

    /// How many parts there are, those of persons who may have ordered first.
    fn count(&self) -> u32 {
        self.parts.count() + if self.strangers.is_some() { Spilled::PARTS } else { 0 }
    }

    /// How many parts are worked on at a time.
    fn together(&self) -> usize {
        let wave = 2 * rayon::current_num_threads();
        if self.parts.are_on_disk() { wave.min(Self::TOGETHER) } else { wave }
    }

    /// A part of the touches, in their order but for its ties.
    fn part(&self, part: u32, named: bool) -> Result<(Part, Vec<Range<usize>>)> {
        stop::check()?;
        let of_strangers = part.checked_sub(self.parts.count()).zip(self.strangers.as_ref());
        let mut part = match of_strangers {
            Some((part, strangers)) => strangers.part(part, &self.numbers)?,
            None => self.parts.part(part, self.numbers.views_from)?,
        };
        part.sort();
        let ties = part.ties(named);
        Ok((part, ties))
    }
}

/// Touches that wait in their parts, in memory or on disk, and what it takes to put each part in order.
pub(super) struct Waiting {
    gathered: Gathered,
    ids: Ids,
    /// Whether touches of each look are direct.
    direct: Vec<bool>,
    /// When the last of them was.
    pub(super) last: Option<i64>,
}

impl Waiting {
    /// The parts of those who may have ordered.
    pub(super) fn of_buyers() -> Vec<u32> {
        (0..Parts::COUNT).collect()
    }

    /// The parts of everybody.
    pub(super) fn of_everybody(&self) -> Vec<u32> {
        (0..self.gathered.count()).collect()
    }

    /// How many parts are worked on at a time.
    pub(super) fn together(&self) -> usize {
        self.gathered.together()
    }

    /// The persons of a part and their touches in their order; the row of each is that of its look.
    pub(super) fn part(&self, part: u32) -> Result<(Range<u32>, Touches)> {
        let (mut part, ties) = self.gathered.part(part, false)?;
        self.ids.settle(&mut part, &ties);
        let persons = part.persons.clone();
        let mut touches = Touches { first: persons.start, starts: vec![0], ..Touches::default() };
        part.append_to(&mut touches, &self.direct);
        Ok((persons, touches))
    }
}

/// What touches are numbered by: their places in the files, sessions before views, where rejected rows
/// of a row group come last.
#[derive(Default)]
struct Numbers {
    /// The number of each row group's first row, and how many rows of its table were accepted before.
    groups: Vec<(u32, u32)>,
    /// The number of the first view.
    views_from: u32,
    /// One more than the last number.
    end: u32,
}

impl Numbers {
    /// Numbers for the rows of a table that was scanned, behind those of others.
    fn add(&mut self, scanned: &Scanned) -> Result<()> {
        let many = || Error::Contradiction("there are more than 2^32 touches".to_owned());
        let mut before = 0;
        for (rows, accepted) in &scanned.groups {
            self.groups.push((self.end, before));
            let rows = u32::try_from(*rows).ok();
            self.end = rows.and_then(|rows| self.end.checked_add(rows)).ok_or_else(many)?;
            before += u32::try_from(*accepted).unwrap_or(u32::MAX);
        }
        Ok(())
    }

    /// The row group of a touch, counted over all tables.
    fn group(&self, number: u32) -> usize {
        self.groups.partition_point(|(first, _)| *first <= number).saturating_sub(1)
    }

    /// The place of a touch among those of its table that were accepted.
    fn accepted(&self, number: u32) -> u32 {
        let (first, before) = self.groups[self.group(number)];
        number - first + before
    }
}

/// The columns that tell touches apart, if a run can do with looks.
fn looks(config: &Config, table: Table) -> Option<BTreeSet<String>> {
    let Needs::Named(names) = needs(config, table) else { return None };
    let filtered = config.where_touches.is_some() || config.where_persons.is_some();
    let of_rows = |name: &str| LOCAL_COLUMNS.contains(&name) || NUMBERS.contains(&name);
    let by_rows = looked_at(config).any(of_rows);
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

impl Rows {
    /// Looks, of sessions and then of views, with what follows from their columns.
    fn new(
        config: &Config,
        tables: &Tables,
        looks: &RecordBatch,
        sessions: Sessions,
    ) -> Result<Self> {
        let looks = derived(config, looks, tables)?;
        let looks = if wants_channels(config) {
            channels::with_channels(&looks, &config.channels)?
        } else {
            looks
        };
        Ok(Self { looks, sessions })
    }

    /// One row a touch: nothing is left to merge.
    fn merged(self, sessions: usize, orders: Merged) -> MergedTables {
        MergedTables {
            touches: self.looks.clone(),
            touch_persons: Vec::new(),
            touch_users: Vec::new(),
            touch_user_conflicts: 0,
            sessions,
            rows: Some(self),
            orders,
        }
    }

    /// Whether sessions say how long they were or how much happened in them.
    pub(super) fn tell_bounces(&self) -> bool {
        match &self.sessions {
            Sessions::Kept(kept) => super::tell_bounces(&kept.numbers),
            Sessions::Counted(counted) => counted.tell_bounces(),
        }
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
        match &self.sessions {
            Sessions::Counted(counted) => counted.by(&self.looks, by, period),
            Sessions::Kept(kept) => kept.look_at(&self.looks, by, zone, |sessions, values| {
                session_counts(sessions, values, period, bounce, all)
            }),
        }
    }

    /// Looks at the sessions by these dimensions, of which it gives the combinations; only where
    /// they are kept row by row.
    pub(super) fn sessions<T>(
        &self,
        by: &[Dimension],
        zone: Tz,
        look: impl FnOnce(report::Sessions<'_>, &[Vec<String>]) -> T,
    ) -> Option<T> {
        match &self.sessions {
            Sessions::Counted(_) => None,
            Sessions::Kept(kept) => Some(kept.look_at(&self.looks, by, zone, look)),
        }
    }
}

impl KeptSessions {
    /// Looks at the sessions by these dimensions of theirs or of their looks.
    fn look_at<T>(
        &self,
        looks: &RecordBatch,
        by: &[Dimension],
        zone: Tz,
        take: impl FnOnce(report::Sessions<'_>, &[Vec<String>]) -> T,
    ) -> T {
        let Self { person, at, look, numbers } = self;
        let of_looks = |labels: Labels| Labels {
            codes: look.par_iter().map(|look| labels.codes[*look as usize]).collect(),
            values: labels.values,
        };
        let by_time = by.iter().any(|dimension| matches!(dimension, Dimension::Span(_)));
        let labels = by.iter().map(|dimension| match dimension {
            Dimension::Touch(column) | Dimension::Order(column) | Dimension::Item(column) => {
                let labels = Labels::of_column(looks, column);
                if by_time { of_looks(labels) } else { labels }
            }
            Dimension::Span(span) => Labels::of_span(at.iter().copied(), *span, zone),
        });
        let rows = if by_time { at.len() } else { looks.num_rows() };
        let combined = combine(&labels.collect::<Vec<_>>(), rows);
        let code = |row: usize| combined.codes[if by_time { row } else { look[row] as usize }];
        let session = Session::reader(numbers, at, person);
        let sessions = report::Sessions { rows: at.len(), session: &session, code: &code };
        take(sessions, &combined.values)
    }
}

/// Touches that are put in order part by part.
pub(super) struct Ordering<'a> {
    pub(super) config: &'a Config,
    pub(super) inputs: &'a Inputs,
    pub(super) tables: &'a Tables,
}

impl Ordering<'_> {
    /// All touches in their order; the row of each is that of its look, and where credits are written
    /// there is what each is called.
    pub(super) fn all(
        &self,
        gathered: Gathered,
        looks: &RecordBatch,
    ) -> Result<(Touches, Option<TouchNames>)> {
        let credits = self.config.wants_credits();
        // A part that is put in order need not lie there twice.
        let take = |part: u32| {
            let taken = gathered.part(part, credits)?;
            gathered.parts.forget(part);
            Ok(taken)
        };
        let parts = (0..gathered.count()).into_par_iter();
        let mut sorted: Vec<(Part, Vec<Range<usize>>)> = parts.map(take).collect::<Result<_>>()?;
        let numbers = gathered.numbers;
        let names = if credits {
            Some(self.named(&mut sorted, &numbers)?)
        } else {
            let unsettled: Vec<u32> =
                sorted.iter().flat_map(|(part, ties)| unsettled(part, ties)).collect();
            let ids = Ids::read(self, unsettled, &numbers)?;
            sorted.par_iter_mut().for_each(|(part, ties)| ids.settle(part, ties));
            None
        };
        let direct = direct_touches(looks);
        let mut touches = Touches { starts: vec![0], ..Touches::default() };
        for (part, _) in sorted {
            part.append_to(&mut touches, &direct);
        }
        Ok((touches, names))
    }

    /// Touches that are put in order when their part is worked on; `looks` are theirs.
    pub(super) fn later(&self, gathered: Gathered, looks: &RecordBatch) -> Result<Waiting> {
        let of_part = |part: &u32| {
            let (sorted, ties) = gathered.part(*part, false)?;
            let unsettled: Vec<u32> = unsettled(&sorted, &ties).collect();
            let last = sorted.touches.iter().map(|touch| touch.at).max();
            gathered.parts.hold(*part, sorted.touches);
            Ok((unsettled, last))
        };
        let (mut named, mut last) = (Vec::new(), None);
        let parts: Vec<u32> = (0..gathered.count()).collect();
        for parts in parts.chunks(gathered.together()) {
            let of_parts: Vec<_> = parts.par_iter().map(of_part).collect::<Result<_>>()?;
            for (unsettled, last_of_part) in of_parts {
                named.extend(unsettled);
                last = last.max(last_of_part);
            }
        }
        let ids = Ids::read(self, named, &gathered.numbers)?;
        Ok(Waiting { gathered, ids, direct: direct_touches(looks), last })
    }

    /// Puts touches in their final order; returns what they are called.
    fn named(
        &self,
        sorted: &mut [(Part, Vec<Range<usize>>)],
        numbers: &Numbers,
    ) -> Result<TouchNames> {
        // The place of each touch's id among those that are read, in the order of the files.
        let mut place = vec![u32::MAX; numbers.end as usize];
        for touch in sorted.iter().flat_map(|(part, _)| &part.touches) {
            place[touch.number as usize] = 0;
        }
        let mut named = Vec::new();
        for (number, place) in (0..).zip(&mut place).filter(|(_, place)| **place == 0) {
            *place = u32::try_from(named.len()).unwrap_or(u32::MAX);
            named.push(number);
        }
        let ids = self.ids(&named, numbers)?;
        let place = |number: u32| place[number as usize];
        sorted.par_iter_mut().for_each(|(part, ties)| {
            part.settle(ties, |number| ids.value(place(number) as usize));
        });
        let touches = || sorted.iter().flat_map(|(part, _)| &part.touches);
        let id = touches().map(|touch| place(touch.number)).collect();
        let user = touches().map(|touch| touch.user).collect();
        Ok(TouchNames { ids, id, user })
    }

    /// The ids of some touches, which ascend.
    fn ids(&self, touches: &[u32], numbers: &Numbers) -> Result<StringViewArray> {
        let views_from = touches.partition_point(|number| *number < numbers.views_from);
        let of_table = |table: Table, touches: &[u32]| -> Result<StringViewArray> {
            let Some(paths) = self.inputs.paths.get(&table).filter(|_| !touches.is_empty()) else {
                return Ok(StringViewArray::new_null(0));
            };
            let rows: Vec<u32> = touches.iter().map(|number| numbers.accepted(*number)).collect();
            let reading = reading(self.config, table, Needs::Named(BTreeSet::new()))?;
            let rejects = self.tables.get(&table).map_or(&[][..], |loaded| &loaded.rejects);
            input::ids(&reading, &input::find(table, paths)?, &rows, rejects)
        };
        let sessions = of_table(Table::Sessions, &touches[..views_from])?;
        if views_from == touches.len() {
            return Ok(sessions);
        }
        let views = of_table(Table::Postviews, &touches[views_from..])?;
        Ok(sessions.iter().chain(&views).collect())
    }
}

/// Touches whose ids are needed: sums only need to know which of two that look different is first.
fn unsettled<'a>(part: &'a Part, ties: &'a [Range<usize>]) -> impl Iterator<Item = u32> + 'a {
    ties.iter().flat_map(|tie| &part.touches[tie.clone()]).map(|touch| touch.number)
}

/// The ids of some touches.
struct Ids {
    /// The touches, ascending.
    touches: Vec<u32>,
    texts: StringViewArray,
}

impl Ids {
    fn read(ordering: &Ordering<'_>, mut touches: Vec<u32>, numbers: &Numbers) -> Result<Self> {
        touches.par_sort_unstable();
        let texts = ordering.ids(&touches, numbers)?;
        Ok(Self { touches, texts })
    }

    fn settle(&self, part: &mut Part, ties: &[Range<usize>]) {
        part.settle(ties, |number| {
            self.texts.value(self.touches.binary_search(&number).unwrap_or_default())
        });
    }
}
