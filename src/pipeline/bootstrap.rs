//! How uncertain the figures of a run are: the report of every resample, made of its sums as the
//! report itself is, and nothing read again.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use rayon::prelude::*;

use super::{
    Attributed, Counted, MergedTables, Names, Ordered, People, PeriodLines, Unlearnt, comparison,
    join, make_reports, whole_sessions,
};
use crate::bootstrap::{Bootstrap, Resampled};
use crate::config::{Config, Output};
use crate::engine::Cells;
use crate::error::{Error, Result};
use crate::report::{
    Intervals, Line, MeasureSet, Ranks, Report, SESSION_NUMBERS, SessionCounts, Sessions,
    session_rows,
};
use crate::stop;
use crate::summary::{Resamples, Summary};

/// Cells of resamples whose ratios are derived together.
const CELLS: usize = 1 << 15;

/// The most memory that sums of resamples may take, in bytes; less where a run is to keep within less.
const MOST_MEMORY: u64 = 2_000_000_000;

/// Sums of no resample yet, where there are to be any.
pub(super) fn resampled(config: &Config) -> Option<Resampled> {
    let most = most_memory(config);
    let sums = |bootstrap: Bootstrap| Resampled::new(bootstrap.resamples, bootstrap.draws, most);
    config.bootstrap.map(sums)
}

/// The most memory that sums of resamples may take in a run, in bytes.
pub(super) fn most_memory(config: &Config) -> u64 {
    config.memory_limit.map_or(MOST_MEMORY, |limit| limit.min(MOST_MEMORY))
}

/// The sessions of a period in each resample.
pub(super) struct ResampledSessions {
    sums: Resampled,
    /// The combinations of dimension values, by their numbers.
    values: Vec<Vec<String>>,
}

impl ResampledSessions {
    /// The numbers of every combination in each resample, the data as they are first.
    pub(super) fn by_values(&self) -> BTreeMap<Vec<String>, Vec<i128>> {
        let numbers = |code: usize| {
            let columns = code * SESSION_NUMBERS..(code + 1) * SESSION_NUMBERS;
            columns.flat_map(|column| self.sums.values(column)).collect()
        };
        let values = self.values.iter().cloned().enumerate();
        values.map(|(code, values)| (values, numbers(code))).collect()
    }

    /// The same from [`by_values`](Self::by_values) of sessions that were counted apart.
    pub(super) fn of_values(
        mut sums: Resampled,
        all: &BTreeMap<Vec<String>, Vec<i128>>,
    ) -> Result<Self> {
        let each = sums.resamples() + 1;
        for (code, numbers) in all.values().enumerate() {
            for (at, numbers) in numbers.chunks(each).enumerate() {
                sums.take_over(code * SESSION_NUMBERS + at, numbers)?;
            }
        }
        Ok(Self { sums, values: all.keys().cloned().collect() })
    }

    /// The counts of a resample, of every combination that has sessions.
    fn counted(&self, known: &Counted, resample: usize) -> Counted {
        let number = |at: usize| self.sums.value(at, resample);
        let values =
            self.values.iter().enumerate().filter(|(_, values)| known.contains_key(*values));
        let counts =
            values.map(|(code, values)| (values.clone(), SessionCounts::of_numbers(code, &number)));
        counts.collect()
    }
}

/// Counts the sessions of each resample by the report's dimensions, where there are any.
pub(super) fn sessions(
    config: &Config,
    merged: &MergedTables,
    people: &People,
    ordered: &Ordered,
) -> Result<Option<ResampledSessions>> {
    let Some(mut sums) = resampled(config) else { return Ok(None) };
    let all = config.measures == MeasureSet::All;
    let wanted = ordered.wanted_persons.as_deref();
    let look = |sessions: Sessions<'_>, values: &[Vec<String>]| {
        session_rows(sessions, ordered.period, config.bounce, all, |rows| {
            sums.add(rows, &|person| people.identity.users.name(person), &|number| number)
        })?;
        Ok(Some(ResampledSessions { sums, values: values.to_vec() }))
    };
    match &merged.rows {
        None => whole_sessions(config, &config.by, merged, wanted, look)?,
        Some(rows) => rows.sessions(&config.by, config.zone, look).unwrap_or_else(|| {
            Err(Error::Broken("nobody knows whose the sessions are that are resampled".to_owned()))
        }),
    }
}

/// A period, and what of it was resampled.
#[derive(Clone, Copy)]
pub(super) struct Resampling<'a> {
    pub(super) period: &'a PeriodLines,
    pub(super) names: Names<'a>,
    pub(super) cells: &'a Cells,
    /// The numbers of the cells in each resample.
    pub(super) resampled: Option<&'a Resampled>,
    /// The resamples in which models learnt nothing, where any learns.
    pub(super) unlearnt: Option<&'a Unlearnt>,
}

impl<'a> Resampling<'a> {
    pub(super) fn new(period: &'a PeriodLines, sums: &'a Attributed, names: Names<'a>) -> Self {
        let Attributed { cells, resampled, unlearnt, .. } = sums;
        Self { period, names, cells, resampled: resampled.as_ref(), unlearnt: Some(unlearnt) }
    }

    /// The models that learnt nothing in a resample.
    fn unlearnt(&self, resample: usize) -> impl Iterator<Item = usize> {
        self.unlearnt.into_iter().flat_map(move |unlearnt| unlearnt.of(resample))
    }
}

/// The report with the intervals of its figures, and how likely its lines rank above each other
/// where that is to be written; `periods` are the reported one and that which it is compared with.
///
/// # Errors
///
/// Sums of the data as they are that are not those of the report.
pub(super) fn intervals<'c>(
    config: &'c Config,
    [now, then]: [Option<Resampling<'_>>; 2],
    report: Report,
    summary: &mut Summary,
) -> Result<(Report, Option<(&'c Output, RecordBatch)>)> {
    let (Some(bootstrap), Some(now)) = (&config.bootstrap, now) else { return Ok((report, None)) };
    let lines = |of: Resampling<'_>, resample: usize| lines(config, of, resample);
    let mut intervals = Intervals::new(&report, bootstrap, config.wide)?;
    let output = config.outputs.ranks.as_ref();
    let mut ranks = output.map(|_| Ranks::new(&report)).transpose()?;
    if lines(now, 0) != now.period.lines {
        return Err(Error::Broken(
            "a resample that counts everybody once is not the report".to_owned(),
        ));
    }
    let all: Vec<usize> = (1..=bootstrap.resamples).collect();
    let together = CELLS / (report.lines.len() * report.models.len()).max(1);
    for some in all.chunks(together.max(1)) {
        stop::check()?;
        let of_now = some.par_iter().map(|resample| lines(now, *resample)).collect();
        let of_then = then.map(|then| {
            let renamed = |resample: &usize| {
                let mut lines = lines(then, *resample);
                comparison::rename(config, &mut lines)?;
                Ok(lines)
            };
            some.par_iter().map(renamed).collect::<Result<_>>()
        });
        let reports = make_reports(config, now.period.measures, of_now, of_then.transpose()?)?;
        for (number, resample) in some.iter().zip(reports) {
            let of_then = then.iter().flat_map(|then| then.unlearnt(*number));
            let unlearnt: Vec<usize> = now.unlearnt(*number).chain(of_then).collect();
            intervals.take(&report, &resample, &unlearnt)?;
            if let Some(ranks) = &mut ranks {
                let unlearnt: Vec<usize> = now.unlearnt(*number).collect();
                ranks.take(&resample, &unlearnt);
            }
        }
    }
    summary.resamples = Some(Resamples::new(bootstrap));
    let ranks = ranks.map(|ranks| ranks.table(&report)).transpose()?;
    Ok((report.with_intervals(intervals), output.zip(ranks)))
}

/// The lines of a period in a resample.
fn lines(config: &Config, of: Resampling<'_>, resample: usize) -> Vec<Line> {
    let Resampling { period, names, cells, resampled, .. } = of;
    let number = |at: usize| resampled.map_or(0, |resampled| resampled.value(at, resample));
    let cells = cells.with_numbers(&number);
    let sessions = period.resampled.as_ref().zip(period.sessions.as_ref());
    let sessions = sessions.map(|(resampled, known)| resampled.counted(known, resample));
    join(config, names, &cells, (sessions.as_ref(), period.spending.as_ref()))
}
