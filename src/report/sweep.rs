//! Reports of several settings as one: every result in a tidy table, the range of each figure over
//! them, and which decisions turn on a setting.
//!
//! Not for what is tried, nor for how a result is worked out: each is a [`Report`] like any other.

use std::collections::BTreeMap;
use std::iter::once;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    UInt32Array, UInt64Array, make_comparator,
};
use arrow::compute::{SortOptions, concat, concat_batches, take};
use arrow::datatypes::DataType;

use crate::config::SweptSetting;
use crate::error::Result;
use crate::money::Currency;
use crate::report::lines::period;
use crate::report::{Columns, Line, Report, texts};

/// What stands for every model in a table of ranges.
const EVERY_MODEL: &str = "(all)";

/// Figures that do not become zero where a line has no credit: of sessions and spend, and ratios.
const STAYING: [&str; 14] = [
    "sessions",
    "session_persons",
    "bounce_rate",
    "conversion_rate",
    "average_time_to_conversion",
    "average_duration",
    "average_pageviews",
    "cost",
    "clicks",
    "impressions",
    "cpc",
    "ctr",
    "cpa",
    "roas",
];

/// A result: a model under one combination of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The value of each setting; none of those that do not concern the model.
    pub values: Vec<Option<String>>,
    /// The model, by the text that asked for it.
    pub model: String,
    /// The report that it is in, by its position.
    pub report: usize,
    /// Its position among the models of that report.
    pub at: usize,
}

/// What tells lines apart, in one report and over several.
pub(super) type Key = (Currency, Vec<String>, bool);

/// Every result of a sweep.
pub struct SweepReport {
    /// The settings.
    pub settings: Vec<SweptSetting>,
    /// The results, in the order in which they were asked for.
    pub tried: Vec<Tried>,
    pub(super) reports: Vec<Report>,
    /// Every line that any of them has, in the order of the first that has it.
    pub(super) keys: Vec<Key>,
    /// Where each of these is in each report.
    places: Vec<Vec<Option<usize>>>,
}

/// What a line is in one result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// What is credited, in units of [`WHOLE`](crate::credits::WHOLE) and in minor units.
    pub(super) conversions: i128,
    pub(super) amount: i128,
    /// Lines of the same currency and period with a greater amount, and one.
    pub(super) rank: u64,
    pub(super) cost: Option<i64>,
}

impl Standing {
    /// Whether the line earns at least what it costs; none where it costs nothing.
    pub(super) fn pays(&self) -> Option<bool> {
        self.cost.filter(|cost| *cost > 0).map(|cost| self.amount >= i128::from(cost))
    }

    /// Amount by cost, if there is any.
    pub(super) fn roas(&self) -> Option<f64> {
        let cost = self.cost.filter(|cost| *cost > 0)?;
        Some(self.amount as f64 / cost as f64)
    }
}

impl SweepReport {
    /// Joins the reports of distinct windows, each with every model, to the results that `tried` names.
    pub fn new(settings: Vec<SweptSetting>, tried: Vec<Tried>, reports: Vec<Report>) -> Self {
        let key = |line: &Line| (line.currency, line.values.clone(), line.unattributed);
        let mut number: BTreeMap<Key, usize> = BTreeMap::new();
        let mut keys = Vec::new();
        for report in &reports {
            for (line, _) in report.cells.iter().filter(|(_, model)| *model == 0) {
                let key = key(&report.lines[*line]);
                number.entry(key.clone()).or_insert_with(|| {
                    keys.push(key);
                    keys.len() - 1
                });
            }
        }
        let places = reports.iter().map(|report| {
            let mut places = vec![None; keys.len()];
            for (at, line) in report.lines.iter().enumerate() {
                if let Some(place) = number.get(&key(line)) {
                    places[*place] = Some(at);
                }
            }
            places
        });
        let places = places.collect();
        Self { settings, tried, reports, keys, places }
    }

    /// Whether spend is given and known by the dimensions.
    pub(super) fn has_cost(&self) -> bool {
        self.reports.iter().any(|report| report.measures.cost)
    }

    /// The names of models, each once, in the order asked for.
    pub(super) fn models(&self) -> Vec<&str> {
        let mut models: Vec<&str> = Vec::new();
        for tried in &self.tried {
            if !models.contains(&tried.model.as_str()) {
                models.push(&tried.model);
            }
        }
        models
    }

    /// Every result: the rows of its report, after the values of the settings.
    ///
    /// A column for each setting, empty where it does not concern the model, then the columns of the
    /// report in its long form. The rows of a result are those of a run with its settings, to the byte.
    pub fn table(&self) -> Result<RecordBatch> {
        let tables = self.reports.iter().map(Report::long).collect::<Result<Vec<_>>>()?;
        let parts = self.tried.iter().map(|tried| {
            let rows = (0_u32..).zip(&self.reports[tried.report].cells);
            let rows = rows.filter(|(_, (_, model))| *model == tried.at).map(|(row, _)| row);
            let rows = UInt32Array::from_iter_values(rows);
            let mut columns = Columns::new();
            for (setting, value) in self.settings.iter().zip(&tried.values) {
                let values = std::iter::repeat_n(value.as_deref(), rows.len());
                columns.push((setting.name.clone(), some_texts(values)));
            }
            let table = &tables[tried.report];
            for (field, column) in table.schema().fields().iter().zip(table.columns()) {
                let column = if field.name() == "model" {
                    texts(std::iter::repeat_n(tried.model.as_str(), rows.len()))
                } else {
                    take(column, &rows, None)?
                };
                columns.push((field.name().clone(), column));
            }
            batch(columns)
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        match parts.first() {
            Some(first) => Ok(concat_batches(&first.schema(), &parts)?),
            None => batch(Columns::new()),
        }
    }

    /// The least and the greatest that each figure of a line is: over all results (`(all)`), and over
    /// those of each model where there are several.
    ///
    /// A line that a result does not have is credited nothing there.
    pub fn ranges(&self) -> Result<RecordBatch> {
        let table = self.table()?;
        let named = self.models();
        let scopes = once(None).chain(named.iter().copied().map(Some).filter(|_| named.len() > 1));
        let scopes: Vec<Option<&str>> = scopes.collect();
        // Rows of the table, by line and result; none where the result does not have the line.
        let mut row = 0_u32;
        let mut rows = vec![Vec::with_capacity(self.tried.len()); self.keys.len()];
        for tried in &self.tried {
            let report = &self.reports[tried.report];
            let mut of_line = vec![None; report.lines.len()];
            for (line, _) in report.cells.iter().filter(|(_, model)| *model == tried.at) {
                of_line[*line] = Some(row);
                row += 1;
            }
            for (rows, place) in rows.iter_mut().zip(&self.places[tried.report]) {
                rows.push(place.and_then(|line| of_line[line]));
            }
        }
        let groups: Vec<(usize, Option<&str>)> = (0..self.keys.len())
            .flat_map(|key| scopes.iter().map(move |scope| (key, *scope)))
            .collect();
        let of = |(key, scope): &(usize, Option<&str>)| -> Vec<Option<u32>> {
            let results = rows[*key].iter().zip(&self.tried);
            let results = results.filter(|(_, one)| scope.is_none_or(|scope| one.model == scope));
            results.map(|(row, _)| *row).collect()
        };
        let members: Vec<Vec<Option<u32>>> = groups.iter().map(of).collect();
        let mut columns: Columns = vec![(
            "model".into(),
            texts(groups.iter().map(|(_, scope)| scope.unwrap_or(EVERY_MODEL))),
        )];
        self.push_keys(&mut columns, &groups.iter().map(|(key, _)| *key).collect::<Vec<_>>());
        columns.push((
            "results".into(),
            Arc::new(UInt64Array::from_iter_values(members.iter().map(|rows| rows.len() as u64))),
        ));
        let schema = table.schema();
        for (field, column) in schema.fields().iter().zip(table.columns()) {
            let Some(zero) = zero(column.data_type())? else { continue };
            let name = field.name();
            let vanishes = !STAYING.contains(&name.as_str()) && !name.ends_with("_ratio");
            let [least, greatest] = extremes(column, &zero, &members, vanishes)?;
            columns.push((format!("{name}_min"), least));
            columns.push((format!("{name}_max"), greatest));
        }
        batch(columns)
    }

    /// How every line stands in every result: what it is credited, its rank, and its cost.
    pub(super) fn standings(&self) -> Vec<Vec<Standing>> {
        let mut standings = vec![Vec::with_capacity(self.tried.len()); self.keys.len()];
        for tried in &self.tried {
            let report = &self.reports[tried.report];
            // The amounts of lines that have a rank among each other, least first.
            let mut amounts: BTreeMap<(Currency, String), Vec<i128>> = BTreeMap::new();
            for line in report.lines.iter().filter(|line| !line.unattributed) {
                let of = amounts.entry((line.currency, line.period(&report.by))).or_default();
                of.push(line.credited[tried.at].amount);
            }
            for of in amounts.values_mut() {
                of.sort_unstable();
            }
            for ((currency, values, _), (standings, place)) in
                self.keys.iter().zip(standings.iter_mut().zip(&self.places[tried.report]))
            {
                let line = place.map(|at| &report.lines[at]);
                let credited = line.map(|line| line.credited[tried.at]).unwrap_or_default();
                let others = amounts.get(&(*currency, period(&report.by, values)));
                let above = others.map_or(0, |amounts| {
                    amounts.len() - amounts.partition_point(|other| *other <= credited.amount)
                });
                standings.push(Standing {
                    conversions: credited.conversions,
                    amount: credited.amount,
                    rank: 1 + above as u64,
                    cost: line.and_then(|line| line.spent).map(|spent| spent.cost),
                });
            }
        }
        standings
    }

    /// Of every line with a rank: between which ranks it moves, and, with spend, whether it earns what
    /// it costs in all results, in some, or in none; with the results that say so.
    ///
    /// Columns: the dimensions, `currency`, `results`, `rank_min`, `rank_max`, `rank_min_in`,
    /// `rank_max_in`; with spend `roas_min`, `roas_max`, `above`, `below`, `turns`, `above_in`, `below_in`.
    pub fn decisions(&self) -> Result<RecordBatch> {
        let keys: Vec<usize> = self.ranked();
        let all = self.standings();
        let standings: Vec<&[Standing]> = keys.iter().map(|key| all[*key].as_slice()).collect();
        let counts = |count: &dyn Fn(&[Standing]) -> Option<u64>| -> ArrayRef {
            Arc::new(standings.iter().map(|of| count(of)).collect::<UInt64Array>())
        };
        let ranks = |of: &[Standing]| of.iter().map(|one| one.rank).collect::<Vec<_>>();
        let in_results = |holds: &dyn Fn(&[Standing], &Standing) -> bool| -> ArrayRef {
            let names = standings.iter().map(|of| {
                let names = self.tried.iter().zip(*of).filter(|(_, one)| holds(of, one));
                names.map(|(tried, _)| self.name(tried)).collect::<Vec<_>>().join("; ")
            });
            let names: Vec<String> = names.collect();
            some_texts(names.iter().map(|names| (!names.is_empty()).then_some(names.as_str())))
        };
        let least = |of: &[Standing]| ranks(of).into_iter().min();
        let greatest = |of: &[Standing]| ranks(of).into_iter().max();
        let mut columns = Columns::new();
        self.push_keys(&mut columns, &keys);
        columns.extend([
            ("results".into(), counts(&|of| Some(of.len() as u64))),
            ("rank_min".into(), counts(&least)),
            ("rank_max".into(), counts(&greatest)),
            ("rank_min_in".into(), in_results(&|of, one| least(of) == Some(one.rank))),
            ("rank_max_in".into(), in_results(&|of, one| greatest(of) == Some(one.rank))),
        ]);
        if self.has_cost() {
            let roas = |choose: fn(f64, f64) -> f64| -> ArrayRef {
                let values =
                    standings.iter().map(|of| of.iter().filter_map(Standing::roas).reduce(choose));
                Arc::new(values.collect::<Float64Array>())
            };
            let paying = |pays: bool| {
                move |of: &[Standing]| {
                    let told = of.iter().any(|one| one.pays().is_some());
                    let count = of.iter().filter(|one| one.pays() == Some(pays)).count();
                    told.then_some(count as u64)
                }
            };
            let turns = standings.iter().map(|of| turns(of));
            columns.extend([
                ("roas_min".into(), roas(f64::min)),
                ("roas_max".into(), roas(f64::max)),
                ("above".into(), counts(&paying(true))),
                ("below".into(), counts(&paying(false))),
                ("turns".into(), Arc::new(turns.collect::<BooleanArray>()) as ArrayRef),
                ("above_in".into(), in_results(&|_, one| one.pays() == Some(true))),
                ("below_in".into(), in_results(&|_, one| one.pays() == Some(false))),
            ]);
        }
        batch(columns)
    }

    /// The lines that have a rank: those of touches.
    pub(super) fn ranked(&self) -> Vec<usize> {
        (0..self.keys.len()).filter(|key| !self.keys[*key].2).collect()
    }

    /// A result in words: `time_decay lookback=30d half_life=7d`.
    pub(super) fn name(&self, tried: &Tried) -> String {
        let values = self.settings.iter().zip(&tried.values);
        let values = values
            .filter_map(|(setting, value)| Some(format!("{}={}", setting.name, value.as_ref()?)));
        once(tried.model.clone()).chain(values).collect::<Vec<_>>().join(" ")
    }

    fn push_keys(&self, columns: &mut Columns, keys: &[usize]) {
        let by = self.reports.first().map_or(&[][..], |report| &report.by);
        for (at, dimension) in by.iter().enumerate() {
            let values = keys.iter().map(|key| self.keys[*key].1[at].as_str());
            columns.push((dimension.to_string(), texts(values)));
        }
        let codes = keys.iter().map(|key| self.keys[*key].0.code());
        columns.push(("currency".into(), texts(codes)));
    }
}

/// Whether a line earns what it costs in some results and not in others; none where none tells.
pub(super) fn turns(standings: &[Standing]) -> Option<bool> {
    let mut told = standings.iter().filter_map(Standing::pays);
    let first = told.next()?;
    Some(told.any(|pays| pays != first))
}

/// The least and the greatest value of each group of rows; a row that is missing counts as zero
/// where figures vanish with it.
fn extremes(
    column: &ArrayRef,
    zero: &ArrayRef,
    groups: &[Vec<Option<u32>>],
    vanishes: bool,
) -> Result<[ArrayRef; 2]> {
    let with_zero = concat(&[column, zero])?;
    let nothing = u32::try_from(column.len()).ok().filter(|_| vanishes);
    let compare = make_comparator(&with_zero, &with_zero, SortOptions::default())?;
    let order = |left: &u32, right: &u32| compare(*left as usize, *right as usize);
    let values = |rows: &Vec<Option<u32>>| {
        let rows = rows.iter().filter_map(|row| row.or(nothing));
        rows.filter(|row| with_zero.is_valid(*row as usize)).collect::<Vec<u32>>()
    };
    let of = |choose: &dyn Fn(Vec<u32>) -> Option<u32>| -> Result<ArrayRef> {
        let rows = groups.iter().map(|rows| choose(values(rows))).collect::<UInt32Array>();
        Ok(take(&with_zero, &rows, None)?)
    };
    let least = of(&|rows| rows.into_iter().min_by(order))?;
    let greatest = of(&|rows| rows.into_iter().max_by(order))?;
    Ok([least, greatest])
}

/// A column of one zero, of the type of figures; none of texts.
fn zero(kind: &DataType) -> Result<Option<ArrayRef>> {
    Ok(Some(match kind {
        DataType::UInt64 => Arc::new(UInt64Array::from(vec![0])),
        DataType::Int64 => Arc::new(Int64Array::from(vec![0])),
        DataType::Float64 => Arc::new(Float64Array::from(vec![0.0])),
        DataType::Decimal128(precision, scale) => {
            let zero = Decimal128Array::from(vec![0]);
            Arc::new(zero.with_precision_and_scale(*precision, *scale)?)
        }
        _ => return Ok(None),
    }))
}

/// Texts that may be missing, as a column.
fn some_texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<arrow::array::StringViewArray>())
}

fn batch(columns: Columns) -> Result<RecordBatch> {
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}
