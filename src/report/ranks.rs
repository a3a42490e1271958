//! How likely each line of a report ranks above each other one: in how many resamples it does.
//!
//! Not for intervals; two lines whose intervals overlap may still keep their order in nearly every
//! resample, because their sums rise and fall together.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch};

use crate::error::{Error, Result};
use crate::money::Currency;
use crate::report::{Columns, Report, texts};

/// Pairs of lines beyond which nobody reads them.
const MOST_PAIRS: usize = 10_000_000;

/// How often each of some lines ranked above each other one of its group that stands below it.
pub struct Pairs {
    /// Positions of lines that have a rank among each other, in their order.
    groups: Vec<Vec<usize>>,
    /// For each group, each line and each one below it: in how many resamples it was above, and
    /// equal, by conversions and by amount.
    counts: Vec<Vec<[u32; 4]>>,
    /// In how many resamples each group has sums.
    resamples: Vec<u32>,
}

impl Pairs {
    /// No resamples yet.
    ///
    /// # Errors
    ///
    /// More pairs of lines than can be kept.
    pub fn new(groups: Vec<Vec<usize>>) -> Result<Self> {
        let pairs = |group: &Vec<usize>| group.len() * group.len().saturating_sub(1) / 2;
        let all: usize = groups.iter().map(pairs).sum();
        if all > MOST_PAIRS {
            return Err(Error::Contradiction(format!(
                "`--ranks` would compare {all} pairs of lines, more than {MOST_PAIRS}; a coarser `--by` or fewer models have fewer"
            )));
        }
        let counts = groups.iter().map(|group| vec![[0; 4]; pairs(group)]).collect();
        let resamples = vec![0; groups.len()];
        Ok(Self { groups, counts, resamples })
    }

    /// Takes a resample: the conversions and the amount of each line, by group and position; none of a
    /// group that has no sums there.
    pub fn take(&mut self, sums: &dyn Fn(usize, usize) -> Option<[i128; 2]>) {
        for (number, (group, counts)) in self.groups.iter().zip(&mut self.counts).enumerate() {
            let sums = group.iter().map(|line| sums(number, *line)).collect::<Option<Vec<_>>>();
            let Some(sums) = sums else { continue };
            self.resamples[number] += 1;
            let below = (0..sums.len()).flat_map(|above| {
                let above_sums = &sums[above];
                sums[above + 1..].iter().map(move |below| (above_sums, below))
            });
            for (pair, (above, below)) in counts.iter_mut().zip(below) {
                for measure in [0, 1] {
                    pair[2 * measure] += u32::from(above[measure] > below[measure]);
                    pair[2 * measure + 1] += u32::from(above[measure] == below[measure]);
                }
            }
        }
    }

    /// Every pair: its group, the line that stands above, and the one below it.
    pub fn lines(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        self.groups.iter().enumerate().flat_map(|(number, group)| {
            (0..group.len()).flat_map(move |above| {
                group[above + 1..].iter().map(move |below| (number, group[above], *below))
            })
        })
    }

    /// In which part of the resamples the first of each pair has more conversions
    /// (`conversions_above`) or as many (`conversions_equal`), and the same of the amount; missing where
    /// no resample has their sums.
    pub(crate) fn columns(&self) -> Columns {
        let names = ["conversions_above", "conversions_equal", "amount_above", "amount_equal"];
        let of_name = |(at, name): (usize, &'static str)| {
            let parts = self.counts.iter().zip(&self.resamples).flat_map(|(pairs, resamples)| {
                let all = (*resamples > 0).then(|| f64::from(*resamples));
                pairs.iter().map(move |pair| Some(f64::from(pair[at]) / all?))
            });
            let column: ArrayRef = Arc::new(parts.collect::<Float64Array>());
            (name.into(), column)
        };
        names.into_iter().enumerate().map(of_name).collect()
    }
}

/// How often each line of a report ranked above each other one that stands below it.
///
/// Compared are lines of one model, currency and period (the day, week or month that the report is
/// by). Orders without touches have no rank.
pub struct Ranks {
    /// The model of each group of lines.
    models: Vec<usize>,
    pairs: Pairs,
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
        let models = groups.keys().map(|(model, _, _)| *model).collect();
        Ok(Self { models, pairs: Pairs::new(groups.into_values().collect())? })
    }

    /// Takes the same report of a resample, in which some models may have learnt nothing.
    pub fn take(&mut self, resample: &Report, unlearnt: &[usize]) {
        self.pairs.take(&|group, line| {
            let model = self.models[group];
            let credited = resample.lines[line].credited[model];
            (!unlearnt.contains(&model)).then_some([credited.conversions, credited.amount])
        });
    }

    /// One row a pair of lines of each model: the values of the line that stands above in the
    /// report, those of the one below it as `below_NAME`, and in which part of the resamples the
    /// first has more conversions (`conversions_above`) or as many (`conversions_equal`), and the
    /// same of the amount.
    pub fn table(&self, report: &Report) -> Result<RecordBatch> {
        let model = |group: usize| report.models[self.models[group]].as_str();
        let pairs = || self.pairs.lines();
        let mut columns: Columns =
            vec![("model".into(), texts(pairs().map(|(group, ..)| model(group))))];
        let value = |line: usize, at: usize| report.lines[line].values[at].as_str();
        for (at, dimension) in report.by.iter().enumerate() {
            let above = texts(pairs().map(|(_, above, _)| value(above, at)));
            columns.push((dimension.to_string(), above));
        }
        for (at, dimension) in report.by.iter().enumerate() {
            let below = texts(pairs().map(|(.., below)| value(below, at)));
            columns.push((format!("below_{dimension}"), below));
        }
        let currency = |line: usize| report.lines[line].currency.code();
        columns.push(("currency".into(), texts(pairs().map(|(_, above, _)| currency(above)))));
        columns.extend(self.pairs.columns());
        Ok(RecordBatch::try_from_iter(columns)?)
    }
}
