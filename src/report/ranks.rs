//! How likely each line of a report ranks above each other one: in how many resamples it does.
//!
//! Not for intervals; two lines whose intervals overlap may still keep their order in nearly every
//! resample, because their sums rise and fall together.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Float64Array, RecordBatch};

use crate::error::{Error, Result};
use crate::money::Currency;
use crate::report::{Columns, Report, texts};

/// Pairs of lines beyond which nobody reads them.
const MOST_PAIRS: usize = 10_000_000;

/// How often each line ranked above each other one that stands below it in the report.
///
/// Compared are lines of one model, currency and period (the day, week or month that the report is
/// by). Orders without touches have no rank.
pub struct Ranks {
    groups: Vec<Group>,
    resamples: u32,
}

/// Lines that have a rank among each other.
struct Group {
    model: usize,
    /// Positions of lines, in the order of the report.
    lines: Vec<usize>,
    /// For each line and each one below it: in how many resamples it was above, and equal, by
    /// conversions and by amount.
    pairs: Vec<[u32; 4]>,
}

impl Ranks {
    /// No resamples yet.
    ///
    /// # Errors
    ///
    /// More pairs of lines than can be kept.
    pub fn new(report: &Report) -> Result<Self> {
        let mut groups: BTreeMap<(usize, Currency, String), Vec<usize>> = BTreeMap::new();
        for (at, model) in &report.cells {
            let line = &report.lines[*at];
            if !line.unattributed {
                let key = (*model, line.currency, line.period(&report.by));
                groups.entry(key).or_default().push(*at);
            }
        }
        let pairs = |lines: usize| lines * lines.saturating_sub(1) / 2;
        let all: usize = groups.values().map(|lines| pairs(lines.len())).sum();
        if all > MOST_PAIRS {
            return Err(Error::Contradiction(format!(
                "`--ranks` would compare {all} pairs of lines, more than {MOST_PAIRS}; a coarser `--by` or fewer models have fewer"
            )));
        }
        let groups = groups.into_iter().map(|((model, _, _), lines)| Group {
            pairs: vec![[0; 4]; pairs(lines.len())],
            model,
            lines,
        });
        Ok(Self { groups: groups.collect(), resamples: 0 })
    }

    /// Takes the same report of a resample.
    pub fn take(&mut self, resample: &Report) {
        self.resamples += 1;
        for group in &mut self.groups {
            let credited = |line: &usize| {
                let credited = resample.lines[*line].credited[group.model];
                [credited.conversions, credited.amount]
            };
            let sums: Vec<[i128; 2]> = group.lines.iter().map(credited).collect();
            let below = (0..sums.len()).flat_map(|above| {
                let above_sums = &sums[above];
                sums[above + 1..].iter().map(move |below| (above_sums, below))
            });
            for (pair, (above, below)) in group.pairs.iter_mut().zip(below) {
                for measure in [0, 1] {
                    pair[2 * measure] += u32::from(above[measure] > below[measure]);
                    pair[2 * measure + 1] += u32::from(above[measure] == below[measure]);
                }
            }
        }
    }

    /// One row a pair of lines of each model: the values of the line that stands above in the
    /// report, those of the one below it as `below_NAME`, and in which part of the resamples the
    /// first has more conversions (`conversions_above`) or as many (`conversions_equal`), and the
    /// same of the amount.
    pub fn table(&self, report: &Report) -> Result<RecordBatch> {
        let rows = || {
            self.groups.iter().flat_map(|group| {
                let pairs = (0..group.lines.len()).flat_map(move |above| {
                    let below = above + 1..group.lines.len();
                    below.map(move |below| (group.lines[above], group.lines[below]))
                });
                pairs.zip(&group.pairs).map(|(lines, pair)| (group.model, lines, pair))
            })
        };
        let mut columns: Columns = vec![(
            "model".into(),
            texts(rows().map(|(model, _, _)| report.models[model].as_str())),
        )];
        let value = |line: usize, at: usize| report.lines[line].values[at].as_str();
        for (at, dimension) in report.by.iter().enumerate() {
            let above = texts(rows().map(|(_, (above, _), _)| value(above, at)));
            columns.push((dimension.to_string(), above));
        }
        for (at, dimension) in report.by.iter().enumerate() {
            let below = texts(rows().map(|(_, (_, below), _)| value(below, at)));
            columns.push((format!("below_{dimension}"), below));
        }
        let currency = |line: usize| report.lines[line].currency.code();
        columns.push(("currency".into(), texts(rows().map(|(_, (above, _), _)| currency(above)))));
        let names = ["conversions_above", "conversions_equal", "amount_above", "amount_equal"];
        for (at, name) in names.into_iter().enumerate() {
            let part = |count: u32| f64::from(count) / f64::from(self.resamples.max(1));
            let parts = Float64Array::from_iter_values(rows().map(|(_, _, pair)| part(pair[at])));
            columns.push((name.into(), Arc::new(parts)));
        }
        Ok(RecordBatch::try_from_iter(columns)?)
    }
}
