//! What stands beside credit in a report: the sessions of the period, and what was paid for them.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::{Array, AsArray, Float64Array, RecordBatch};
use arrow::datatypes::{Date32Type, Float64Type, Int64Type};
use chrono::NaiveDate;
use chrono_tz::Tz;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::bootstrap::PersonRows;
use crate::calendar::start_of_day;
use crate::channels;
use crate::config::Bounce;
use crate::error::{Error, Result};
use crate::journeys::{Dimension, NOT_SET, Rates, date};
use crate::money::{Currency, convert};

/// Sessions with the same dimension values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionCounts {
    /// How many there are.
    pub sessions: u64,
    /// How many of them bounced.
    pub bounced: u64,
    /// Their distinct persons, where that is asked for.
    pub persons: u64,
    /// How long they lasted, in millionths of a second.
    pub duration: Told,
    /// The pages that they saw, in millionths.
    pub pageviews: Told,
}

/// Numbers that counts of sessions are.
pub const SESSION_NUMBERS: usize = 7;

impl SessionCounts {
    /// Counts a session: it bounced unless it lasted long enough or had enough interactions.
    pub fn count(&mut self, session: &Session, bounce: Bounce) {
        self.sessions += 1;
        self.bounced += u64::from(session.bounced(bounce));
    }

    /// Counts how long a session lasted and the pages that it saw.
    fn tell(&mut self, session: &Session) {
        self.duration.tell(session.duration);
        self.pageviews.tell(session.pageviews);
    }

    /// Adds what was counted of other sessions, but for their persons, who may be the same.
    pub fn add(&mut self, other: &Self) {
        self.sessions += other.sessions;
        self.bounced += other.bounced;
        self.duration.add(other.duration);
        self.pageviews.add(other.pageviews);
    }

    /// The counts as whole numbers; see [`session_rows`].
    fn numbers(&self) -> [i128; SESSION_NUMBERS] {
        [
            self.sessions.into(),
            self.bounced.into(),
            self.persons.into(),
            self.duration.rows.into(),
            self.duration.millionths,
            self.pageviews.rows.into(),
            self.pageviews.millionths,
        ]
    }

    /// The counts that are these numbers of the combination of this code; see [`session_rows`].
    pub fn of_numbers(code: usize, number: &dyn Fn(usize) -> i128) -> Self {
        let number = |at: usize| number(code * SESSION_NUMBERS + at);
        // Counts are sums of counts, and fit where those do.
        let count = |at: usize| u64::try_from(number(at)).unwrap_or(u64::MAX);
        Self {
            sessions: count(0),
            bounced: count(1),
            persons: count(2),
            duration: Told { rows: count(3), millionths: number(4) },
            pageviews: Told { rows: count(5), millionths: number(6) },
        }
    }
}

/// An exact sum of what rows tell: a row that is silent is not a zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The rows that tell it.
    pub rows: u64,
    /// The sum, in millionths, so that the order of rows cannot matter.
    pub millionths: i128,
}

impl Told {
    /// Adds a number, if it is told.
    ///
    /// # Example
    ///
    /// ```
    /// use apportion::report::Told;
    /// let mut pages = Told::default();
    /// for told in [Some(0.1), None, Some(0.2)] {
    ///     pages.tell(told);
    /// }
    /// assert_eq!((pages.rows, pages.sum()), (2, Some(0.3)));
    /// ```
    pub fn tell(&mut self, number: Option<f64>) {
        if let Some(number) = number.filter(|number| number.is_finite()) {
            self.rows += 1;
            #[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates")]
            let millionths = (number * 1e6).round_ties_even() as i64;
            self.millionths += i128::from(millionths);
        }
    }

    /// Adds what other rows tell.
    pub fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.millionths += other.millionths;
    }

    /// The sum in whole units; none where no row tells anything.
    pub fn sum(self) -> Option<f64> {
        (self.rows > 0).then(|| self.millionths as f64 / 1e6)
    }
}

/// What was paid, and what for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Cost, in minor units.
    pub cost: i64,
    /// Clicks, in millionths.
    pub clicks: Told,
    /// Times that an ad was shown, in millionths.
    pub impressions: Told,
}

impl Spent {
    /// Adds what else was paid.
    pub fn add(&mut self, other: &Self) {
        self.cost = self.cost.saturating_add(other.cost);
        self.clicks.add(other.clicks);
        self.impressions.add(other.impressions);
    }
}

/// Spend by dimension values and currency.
pub type Spending = BTreeMap<(Vec<String>, Currency), Spent>;

/// What is counted of a session.
#[derive(Debug, Clone, Copy)]
pub struct Session {
    /// When it began.
    pub at: i64,
    /// Whose it is.
    pub person: u32,
    /// How many seconds it lasted.
    pub duration: Option<f64>,
    /// How many interactions it had.
    pub interactions: Option<f64>,
    /// How many pages it saw.
    pub pageviews: Option<f64>,
}

impl Session {
    /// Whether it bounced: it did not last long enough, nor had enough interactions.
    pub fn bounced(&self, bounce: Bounce) -> bool {
        let stayed = self.duration.is_some_and(|seconds| seconds >= bounce.seconds)
            || self.interactions.is_some_and(|count| count > bounce.interactions);
        !stayed
    }

    /// What gives the session of each row: `numbers` has the columns that there are, `at` and `person`
    /// are of the same rows.
    pub fn reader<'a>(
        numbers: &'a RecordBatch,
        at: &'a [i64],
        person: &'a [u32],
    ) -> impl Fn(usize) -> Self + Sync + 'a {
        let column = |name: &str| -> Option<&'a Float64Array> {
            Some(numbers.column_by_name(name)?.as_primitive())
        };
        let (durations, interactions) = (column("duration"), column("interactions_count"));
        let pageviews = column("pageviews_count");
        let told = |numbers: Option<&Float64Array>, row: usize| {
            numbers.filter(|numbers| numbers.is_valid(row)).map(|numbers| numbers.value(row))
        };
        move |row| Self {
            at: at[row],
            person: person[row],
            duration: told(durations, row),
            interactions: told(interactions, row),
            pageviews: told(pageviews, row),
        }
    }
}

/// Sessions, however they are held.
#[derive(Clone, Copy)]
pub struct Sessions<'a> {
    /// How many there are.
    pub rows: usize,
    /// Each of them.
    pub session: &'a (dyn Fn(usize) -> Session + Sync),
    /// The number of its combination of dimension values.
    pub code: &'a (dyn Fn(usize) -> u32 + Sync),
}

/// Counts the sessions of the period by dimension values, of which `values` holds the combinations.
///
/// A session bounced unless it lasted long enough or had enough interactions. Persons, durations and
/// page views are counted where `all` is wanted.
pub fn session_counts(
    sessions: Sessions<'_>,
    values: &[Vec<String>],
    period: (i64, i64),
    bounce: Bounce,
    all: bool,
) -> BTreeMap<Vec<String>, SessionCounts> {
    let count = |rows: Range<usize>| {
        let mut counts = vec![SessionCounts::default(); values.len()];
        let mut met: Vec<(u32, u32)> = Vec::new();
        for row in rows {
            let session = (sessions.session)(row);
            if !(period.0..period.1).contains(&session.at) {
                continue;
            }
            let code = (sessions.code)(row);
            let counts = &mut counts[code as usize];
            counts.count(&session, bounce);
            if all {
                counts.tell(&session);
                met.push((code, session.person));
            }
        }
        met.sort_unstable();
        met.dedup();
        (counts, met)
    };
    let ends = |block: usize| block * BLOCK..sessions.rows.min((block + 1) * BLOCK);
    let blocks = (0..sessions.rows.div_ceil(BLOCK)).into_par_iter();
    let parts: Vec<_> = blocks.map(|block| count(ends(block))).collect();
    let mut counts = vec![SessionCounts::default(); values.len()];
    let mut met: Vec<(u32, u32)> = Vec::new();
    for (part, persons) in parts {
        for (sum, more) in counts.iter_mut().zip(part) {
            sum.add(&more);
        }
        met.extend(persons);
    }
    met.par_sort_unstable();
    met.dedup();
    for (code, _) in met {
        counts[code as usize].persons += 1;
    }
    let seen = values.iter().cloned().zip(counts);
    seen.filter(|(_, counts)| counts.sessions > 0).collect()
}

/// The same counts person by person, as rows of whole numbers: of each combination its
/// counts in turn. Hands over so many persons at a time.
pub fn session_rows(
    sessions: Sessions<'_>,
    period: (i64, i64),
    bounce: Bounce,
    all: bool,
    mut take: impl FnMut(&PersonRows) -> Result<()>,
) -> Result<()> {
    let rows = u32::try_from(sessions.rows).unwrap_or(u32::MAX);
    let of_period = |row: u32| {
        let session = (sessions.session)(row as usize);
        (period.0..period.1).contains(&session.at).then(|| {
            let code = (sessions.code)(row as usize);
            (session.person, code, row)
        })
    };
    let mut places: Vec<(u32, u32, u32)> =
        (0..rows).into_par_iter().with_min_len(BLOCK).filter_map(of_period).collect();
    places.par_sort_unstable();
    let mut of_persons = PersonRows::default();
    for of_person in places.chunk_by(|left, right| left.0 == right.0) {
        for of_code in of_person.chunk_by(|left, right| left.1 == right.1) {
            let mut counts = SessionCounts { persons: u64::from(all), ..SessionCounts::default() };
            for (_, _, row) in of_code {
                let session = (sessions.session)(*row as usize);
                counts.count(&session, bounce);
                if all {
                    counts.tell(&session);
                }
            }
            let first = of_code[0].1 as usize * SESSION_NUMBERS;
            for (at, number) in (first..).zip(counts.numbers()) {
                of_persons.push(at, number);
            }
        }
        of_persons.end(of_person[0].0);
        if of_persons.persons.len() == PERSONS_AT_A_TIME {
            take(&of_persons)?;
            of_persons = PersonRows::default();
        }
    }
    take(&of_persons)
}

/// Persons whose rows are in memory at a time.
const PERSONS_AT_A_TIME: usize = 1 << 16;

/// Sessions that one thread counts at a time; large, because each has a sum for every combination.
const BLOCK: usize = 1 << 20;

/// Sums spend by dimension values; `None` where a dimension is not one that spend is known by:
/// source, medium, campaign, what channel rules make of these, and time.
///
/// Where rates lead to the workspace's currency `to`, cost is converted by the rate of its day;
/// cost without a rate stays in its own currency.
pub fn spending(
    spend: &RecordBatch,
    by: &[Dimension],
    period: (i64, i64),
    zone: Tz,
    to: Currency,
    rates: Option<&Rates>,
) -> Result<Option<Spending>> {
    let known = |dimension: &Dimension| match dimension {
        Dimension::Touch(column) => {
            matches!(column.as_str(), "utm_source" | "utm_medium" | "utm_campaign")
                || channels::COLUMNS.contains(&column.as_str())
        }
        Dimension::Span(_) => true,
        Dimension::Order(_) | Dimension::Item(_) => false,
    };
    if !by.iter().all(known) {
        return Ok(None);
    }
    let column = |name: &str| spend.column_by_name(name);
    let text = |name: &str, row: usize| text_at(spend, name, row).map(str::to_owned);
    let number = |name: &str, row: usize| {
        let numbers = column(name)?.as_primitive_opt::<Float64Type>()?;
        numbers.is_valid(row).then(|| numbers.value(row))
    };
    let mut spending = Spending::new();
    for row in 0..spend.num_rows() {
        let Some((day, cost, currency)) = cost_of(spend, row, to, rates)? else { continue };
        if !(period.0..period.1).contains(&start_of_day(day, zone)) {
            continue;
        }
        let overflow = || Error::Overflow { what: format!("the cost of {day}") };
        let values = by.iter().map(|dimension| match dimension {
            Dimension::Span(span) => span.label(day),
            Dimension::Touch(column) | Dimension::Order(column) | Dimension::Item(column) => {
                text(column, row).unwrap_or_else(|| NOT_SET.to_owned())
            }
        });
        let sum = spending.entry((values.collect(), currency)).or_default();
        sum.cost = sum.cost.checked_add(cost).ok_or_else(overflow)?;
        sum.clicks.tell(number("clicks", row));
        sum.impressions.tell(number("impressions", row));
    }
    Ok(Some(spending))
}

/// The day of a row of spend, and its cost in minor units: of the workspace's currency `to` where a
/// rate leads to it, else of its own. None of a table without days or cost.
///
/// # Errors
///
/// A cost that leaves 64 bits.
pub fn cost_of(
    spend: &RecordBatch,
    row: usize,
    to: Currency,
    rates: Option<&Rates>,
) -> Result<Option<(NaiveDate, i64, Currency)>> {
    let (Some(days), Some(amounts)) = (spend.column_by_name("date"), spend.column_by_name("cost"))
    else {
        return Ok(None);
    };
    let Some(day) = date(days.as_primitive::<Date32Type>().value(row)) else { return Ok(None) };
    let cost = amounts.as_primitive::<Int64Type>().value(row);
    let own = text_at(spend, "currency", row).and_then(|code| code.parse().ok()).unwrap_or(to);
    let rate = rates.filter(|_| own != to).and_then(|rates| rates.on(own, day));
    let overflow = || Error::Overflow { what: format!("the cost of {day}") };
    Ok(Some(match rate {
        Some(rate) => (day, convert(cost, own, to, rate).ok_or_else(overflow)?, to),
        None => (day, cost, own),
    }))
}

/// A cell of a column of text, where there is one.
fn text_at<'a>(rows: &'a RecordBatch, name: &str, row: usize) -> Option<&'a str> {
    let texts = rows.column_by_name(name)?.as_string_view_opt()?;
    texts.is_valid(row).then(|| texts.value(row))
}
