//! How uncertain it is what models credit to paths: figures of resamples of the journeys.
//!
//! A path's journeys are counted as often as they would be one by one; models that learn learn from that
//! anew. What each order of a path was worth is not known, so that in a resample they are all worth
//! their mean. Not for how often journeys are counted; that is `bootstrap`.

use arrow::array::{ArrayRef, RecordBatch};
use rayon::prelude::*;

use super::credit::{Line, PathIntervals, Rows, Space, credited};
use super::{PathReport, Paths};
use crate::bootstrap::{Bootstrap, Draws, Journeys, key_of};
use crate::engine::{Learnt, Observed, Part, PathTotals, TouchChannels};
use crate::error::{Error, Result};
use crate::models::{Asked, Counts, Outcome};
use crate::report::{Bounds, Pairs, texts};

/// Resamples whose tables are held at a time.
const TOGETHER: usize = 64;

/// What stands between the channels of a path in what its key is made of.
const BETWEEN: &str = "\u{1f}";

/// The report of paths with the bounds of its figures, and, if asked for, how likely each channel ranks
/// above each other one.
///
/// # Errors
///
/// What the paths as they are give that is not the report; a model that cannot be worked out from a
/// resample; an amount that leaves 64 bits.
pub fn with_intervals(
    paths: &Paths,
    models: &[Asked],
    report: PathReport,
    bootstrap: &Bootstrap,
    ranks: bool,
) -> Result<PathReport> {
    let resampling = Resampling::new(paths, models, bootstrap.draws);
    let one = resampling.resample(&report, 0)?;
    let (table, of_effects) = (report.table()?, report.effects.plain()?);
    if (&one.table, &one.effects) != (&table, &of_effects) {
        return Err(Error::Broken(
            "a resample that counts every journey once is not the report".to_owned(),
        ));
    }
    let mut bounds = Bounds::new(&table, bootstrap.level.rank(bootstrap.resamples));
    let mut of_effects = report.effects.bounds(bootstrap)?;
    let mut pairs = ranks.then(|| Pairs::new(groups(&report.lines))).transpose()?;
    let all: Vec<usize> = (1..=bootstrap.resamples).collect();
    for some in all.chunks(TOGETHER) {
        let resamples: Vec<Result<Resample>> =
            some.par_iter().map(|resample| resampling.resample(&report, *resample)).collect();
        for resample in resamples {
            let resample = resample?;
            bounds.take(&resample.table);
            of_effects.take(&resample.effects);
            if let Some(pairs) = &mut pairs {
                pairs.take(&|_, line| {
                    let part = resample.lines[line].part;
                    Some([part.conversions, part.amount])
                });
            }
        }
    }
    let ranks = pairs.map(|pairs| ranks_table(&report, &pairs)).transpose()?;
    let Bootstrap { resamples, level, .. } = *bootstrap;
    let table = bounds.beside(&table, level)?;
    Ok(PathReport {
        effects: report.effects.with_bounds(&of_effects, bootstrap)?,
        intervals: Some(PathIntervals { resamples, level, table }),
        ranks,
        ..report
    })
}

/// Lines that have a rank among each other: those of one model and currency.
fn groups(lines: &[Line]) -> Vec<Vec<usize>> {
    let numbered: Vec<(usize, &Line)> = lines.iter().enumerate().collect();
    let same = |left: &(usize, &Line), right: &(usize, &Line)| {
        (left.1.model, left.1.place) == (right.1.model, right.1.place)
    };
    let groups = numbered.chunk_by(same);
    groups.map(|group| group.iter().map(|(at, _)| *at).collect()).collect()
}

/// One row a pair of channels of each model and currency: `model`, `channel`, `below_channel`,
/// `currency`, and how likely the first ranks above the second.
fn ranks_table(report: &PathReport, pairs: &Pairs) -> Result<RecordBatch> {
    let line = |at: usize| &report.lines[at];
    let above = || pairs.lines().map(|(_, above, _)| line(above));
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("model".into(), texts(above().map(|line| report.model(line)))),
        ("channel".into(), texts(above().map(|line| report.channel(line)))),
        (
            "below_channel".into(),
            texts(pairs.lines().map(|(.., below)| report.channel(line(below)))),
        ),
        ("currency".into(), texts(above().map(|line| line.currency.code()))),
    ];
    columns.extend(pairs.columns());
    Ok(RecordBatch::try_from_iter(columns)?)
}

/// Paths that are ready to be counted other times.
struct Resampling<'a> {
    paths: &'a Paths,
    models: &'a [Asked],
    channels: TouchChannels,
    draws: Draws,
    rows: Vec<Row<'a>>,
    /// What each model counts; as often as nothing.
    keys: Vec<Counts>,
}

/// One path.
struct Row<'a> {
    path: &'a [u32],
    totals: &'a PathTotals,
    /// What its random numbers follow from.
    key: u64,
    conversions: Vec<Journeys>,
    lost: Journeys,
    /// What one of its journeys adds to what models count, by how it ended: the model, the place of
    /// the key, and how often.
    counted: [Vec<(usize, usize, u64)>; 2],
}

/// The ends of journeys, in the order of [`Row::counted`].
const ENDS: [Outcome; 2] = [Outcome::Converted, Outcome::Lost];

/// The figures of a resample.
struct Resample {
    table: RecordBatch,
    effects: RecordBatch,
    /// In the order of the report.
    lines: Vec<Line>,
}

impl<'a> Resampling<'a> {
    fn new(paths: &'a Paths, models: &'a [Asked], draws: Draws) -> Self {
        let mut keys = vec![Counts::default(); models.len()];
        let (mut space, mut own) = (Space::default(), Counts::default());
        let mut counted = |path: &'a [u32], outcome: Outcome| {
            let mut counted = Vec::new();
            for (number, asked) in models.iter().enumerate() {
                if !asked.model.learns() {
                    continue;
                }
                own.clear();
                let journey = space.journey(paths, path, &*asked.model);
                asked.model.observe(journey, outcome, 1, &mut own);
                let of_model = own.keys().map(|(key, times)| (keys[number].add(key, 0), times));
                counted.extend(of_model.map(|(place, times)| (number, place, times)));
            }
            counted
        };
        let row = |(path, totals): (&'a [u32], &'a PathTotals)| {
            let names: Vec<&str> =
                path.iter().map(|channel| paths.channels[*channel as usize].as_str()).collect();
            Row {
                path,
                totals,
                key: key_of(&names.join(BETWEEN)),
                conversions: totals.conversions.iter().map(|of| Journeys::new(*of)).collect(),
                lost: Journeys::new(totals.lost),
                counted: ENDS.map(|outcome| counted(path, outcome)),
            }
        };
        let rows = paths.sums.iter().map(row).collect();
        let channels = TouchChannels::of_names(models, paths.channels.clone());
        Self { paths, models, channels, draws, rows, keys }
    }

    /// The same figures of a resample, counted from one; 0 is the data as they are.
    fn resample(&self, report: &PathReport, resample: usize) -> Result<Resample> {
        let totals: Vec<PathTotals> =
            self.rows.iter().map(|row| row.drawn(self.draws, resample)).collect();
        let rows: Vec<_> = self.rows.iter().map(|row| row.path).zip(&totals).collect();
        let learnt = Learnt::new(self.models, self.observed(&rows))?;
        let (credited, sums) = credited(self.paths, &rows, self.models, &learnt)?;
        let currencies = &self.paths.currencies;
        let names: Vec<String> = self.models.iter().map(|asked| asked.name.clone()).collect();
        let effects =
            report.effects.of_resample(&names, &learnt, &self.channels, &credited, currencies)?;
        let of_line = |line: &Line| {
            let part: Part = credited.of(line.model)[line.channel * currencies.len() + line.place];
            Line { part, conversions: sums[line.place].conversions, ..*line }
        };
        let lines: Vec<Line> = report.lines.iter().map(of_line).collect();
        Ok(Resample { table: report.table_of(&lines)?, effects: effects.plain()?, lines })
    }

    /// What models count of paths with other totals.
    fn observed(&self, rows: &Rows<'_>) -> Observed {
        let mut observed = Observed::new(self.models, &self.channels);
        let mut times: Vec<Vec<u64>> = self.keys.iter().map(|keys| vec![0; keys.len()]).collect();
        let mut sorted = Vec::new();
        for (row, (path, totals)) in self.rows.iter().zip(rows) {
            let ends = [totals.converted(), totals.lost];
            for ((outcome, journeys), counted) in ENDS.into_iter().zip(ends).zip(&row.counted) {
                if journeys == 0 {
                    continue;
                }
                observed.back(0, path, (outcome, journeys), &mut sorted);
                for (model, place, each) in counted {
                    let sum = &mut times[*model][*place];
                    *sum = sum.saturating_add(each.saturating_mul(journeys));
                }
            }
        }
        let counts = self.keys.iter().zip(&times);
        observed.counts = counts.map(|(keys, times)| keys.counted(&|at| times[at])).collect();
        observed
    }
}

impl Row<'_> {
    /// What came of the journeys in a resample.
    fn drawn(&self, draws: Draws, resample: usize) -> PathTotals {
        let mut random = draws.stream(self.key, resample);
        let conversions: Vec<u64> =
            self.conversions.iter().map(|journeys| journeys.draw(&mut random)).collect();
        let lost = self.lost.draw(&mut random);
        let orders = self.totals.conversions.iter().zip(&conversions);
        let amounts = self.totals.amounts.iter().zip(orders);
        PathTotals {
            amounts: amounts
                .map(|(amount, (orders, drawn))| mean(*amount, *orders, *drawn))
                .collect(),
            conversions,
            lost,
        }
    }
}

/// What so many orders are worth, each the mean of others: half to even.
fn mean(amount: i128, orders: u64, drawn: u64) -> i128 {
    if orders == drawn || orders == 0 {
        return if orders == 0 { 0 } else { amount };
    }
    let (whole, orders) = (amount * i128::from(drawn), i128::from(orders));
    let (floor, rest) = (whole.div_euclid(orders), whole.rem_euclid(orders));
    let up = 2 * rest > orders || (2 * rest == orders && floor.rem_euclid(2) == 1);
    floor + i128::from(up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_worth_their_mean_half_to_even() {
        let drawn: Vec<i128> = (0..=4).map(|drawn| mean(5, 2, drawn)).collect();
        assert_eq!(drawn, [0, 2, 5, 8, 10]);
        assert_eq!([mean(-5, 2, 1), mean(-5, 2, 3), mean(0, 0, 0)], [-2, -8, 0]);
        assert_eq!(
            mean(i128::from(i64::MAX), 1, u64::MAX >> 1) / i128::from(i64::MAX),
            i128::from(u64::MAX >> 1)
        );
    }
}
