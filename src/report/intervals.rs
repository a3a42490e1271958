//! How uncertain the figures of a report are: bounds of each, from the same report of resamples.
//!
//! A figure of a resample is worked out like that of the report itself, from the sums of the
//! resample, so every figure has bounds, ratios and changes too. Not for how persons are drawn; that
//! is `bootstrap`.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, UInt64Array,
};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, UInt64Type};

use crate::bootstrap::{Bootstrap, Level};
use crate::engine::Credited;
use crate::error::Result;
use crate::money::Currency;
use crate::report::measures::without;
use crate::report::terminal::{Shown, blocks};
use crate::report::{Columns, Report};

/// Figures that are not of persons: what was paid, what follows from it alone, and how uncertain
/// another figure is for other reasons.
const NOT_OF_PERSONS: [&str; 6] = ["cost", "clicks", "impressions", "cpc", "ctr", "shapley_error"];

/// A lower and an upper bound.
pub type Interval = (i128, i128);

/// Between which bounds the conversions, the amount and the change of the amount of a row lie.
pub type RowBounds = [Option<Interval>; 3];

/// Bounds of the figures of a report.
pub struct Intervals {
    /// How many resamples they are from.
    pub(super) resamples: usize,
    /// Which part of these they hold.
    pub(super) level: Level,
    /// Whether the models of the table stand side by side.
    wide: bool,
    table: Bounds,
    rows: BTreeMap<(usize, Currency, Shown), [Tail<i128>; 3]>,
}

impl Intervals {
    /// No resamples yet, of a report in its long or its wide form.
    pub fn new(report: &Report, bootstrap: &Bootstrap, wide: bool) -> Result<Self> {
        let rank = bootstrap.level.rank(bootstrap.resamples);
        let mut rows = BTreeMap::new();
        for block in blocks(report) {
            for (shown, _) in block.rows() {
                let tails = std::array::from_fn(|_| Tail::new(rank));
                rows.insert((block.model, block.currency, shown), tails);
            }
        }
        Ok(Self {
            resamples: bootstrap.resamples,
            level: bootstrap.level,
            wide,
            table: Bounds::new(&report.plain(report, wide)?, rank),
            rows,
        })
    }

    /// Takes the same report of a resample: the same lines, in the same order. Figures of models that
    /// learnt nothing there are missing in it.
    pub fn take(&mut self, report: &Report, resample: &Report, unlearnt: &[usize]) -> Result<()> {
        let models: Vec<&str> =
            unlearnt.iter().map(|model| report.models[*model].as_str()).collect();
        self.table.take_without(&resample.plain(report, self.wide)?, &models);
        for block in blocks(report) {
            if unlearnt.contains(&block.model) {
                continue;
            }
            for (shown, lines) in block.rows() {
                let sum = |of: &Report| {
                    let mut sum = Credited::default();
                    for line in lines {
                        sum.add(&of.lines[*line].credited[block.model]);
                    }
                    sum
                };
                let now = sum(resample);
                let then = resample.then.as_deref().map_or_else(Credited::default, sum);
                let figures = [now.conversions, now.amount, now.amount - then.amount];
                let tails = self.rows.get_mut(&(block.model, block.currency, shown));
                for (tail, figure) in tails.into_iter().flatten().zip(figures) {
                    tail.push(Some(figure), i128::cmp);
                }
            }
        }
        Ok(())
    }

    /// The bounds of a row of the terminal: of its conversions, its amount, and the change of that.
    pub(super) fn of_row(&self, model: usize, currency: Currency, shown: Shown) -> RowBounds {
        let tails = self.rows.get(&(model, currency, shown));
        tails.map_or([None; 3], |tails| {
            [0, 1, 2].map(|figure| tails[figure].interval(self.level, i128::cmp))
        })
    }

    /// The table with the bounds of each figure after it, if this is the form that they are of.
    pub(super) fn beside(&self, table: RecordBatch, wide: bool) -> Result<RecordBatch> {
        if wide == self.wide { self.table.beside(&table, self.level) } else { Ok(table) }
    }
}

/// The outermost values of every figure of a table.
///
/// # Example
///
/// ```
/// use std::sync::Arc;
/// use apportion::bootstrap::Level;
/// use apportion::report::Bounds;
/// use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
/// let table = |orders: u64| {
///     let column: ArrayRef = Arc::new(UInt64Array::from(vec![orders]));
///     RecordBatch::try_from_iter([("orders", column)]).unwrap()
/// };
/// let level: Level = "0.8".parse().unwrap();
/// let mut bounds = Bounds::new(&table(5), level.rank(19));
/// for resample in 1..=19 {
///     bounds.take(&table(resample));
/// }
/// // The second and the last but one of 19: a tenth of them lies beyond each.
/// let beside = bounds.beside(&table(5), level)?;
/// assert_eq!(beside.schema().field(1).name(), "orders_low");
/// assert_eq!(beside.column(1), table(2).column(0));
/// assert_eq!(beside.column(2), table(18).column(0));
/// # Ok::<(), apportion::Error>(())
/// ```
pub struct Bounds(Vec<Figures>);

/// The outermost values of the figures of one column, one a row.
enum Figures {
    /// Text, or a figure that is not of persons.
    None,
    Exact(Vec<Tail<i128>>),
    Floats(Vec<Tail<f64>>),
}

impl Bounds {
    /// No values yet, for a table like this; as many of each end are kept as `rank`.
    pub fn new(table: &RecordBatch, rank: usize) -> Self {
        let rows = table.num_rows();
        let schema = table.schema();
        let figures = schema.fields().iter().map(|field| {
            let name = without(field.name(), &["_then", "_change", "_change_ratio"]);
            match field.data_type() {
                _ if NOT_OF_PERSONS.contains(&name) => Figures::None,
                DataType::UInt64 | DataType::Int64 | DataType::Decimal128(..) => {
                    Figures::Exact((0..rows).map(|_| Tail::new(rank)).collect())
                }
                DataType::Float64 => Figures::Floats((0..rows).map(|_| Tail::new(rank)).collect()),
                _ => Figures::None,
            }
        });
        Self(figures.collect())
    }

    /// Takes the table of a resample: of the same rows and columns.
    pub fn take(&mut self, table: &RecordBatch) {
        self.take_without(table, &[]);
    }

    /// Takes the table of a resample in which figures of some models are missing: rows whose `model` is
    /// one of them, and their columns where models stand side by side.
    pub fn take_without(&mut self, table: &RecordBatch, models: &[&str]) {
        let schema = table.schema();
        // A dimension may be called `model` too.
        let is_wide = models
            .iter()
            .any(|model| schema.column_with_name(&format!("{model}_conversions")).is_some());
        let rows = table.column_by_name("model").filter(|_| !models.is_empty() && !is_wide);
        let missing: Vec<bool> = rows.map_or_else(Vec::new, |rows| {
            let names = rows.as_string_view().iter();
            names.map(|name| name.is_some_and(|name| models.contains(&name))).collect()
        });
        let is_known = |row: usize| !missing.get(row).copied().unwrap_or(false);
        let is_theirs = |name: &str| {
            let name = without(name, &["_then", "_change", "_change_ratio"]);
            let model = ["_conversions", "_amount"].iter().find_map(|end| name.strip_suffix(end));
            is_wide && model.is_some_and(|model| models.contains(&model))
        };
        for ((figures, field), column) in
            self.0.iter_mut().zip(schema.fields()).zip(table.columns())
        {
            if is_theirs(field.name()) {
                continue;
            }
            match figures {
                Figures::None => {}
                Figures::Exact(tails) => {
                    let known = tails.iter_mut().zip(exact(column)).enumerate();
                    for (_, (tail, value)) in known.filter(|(row, _)| is_known(*row)) {
                        tail.push(value, i128::cmp);
                    }
                }
                Figures::Floats(tails) => {
                    let values = column.as_primitive::<Float64Type>();
                    let known = tails.iter_mut().zip(values).enumerate();
                    for (_, (tail, value)) in known.filter(|(row, _)| is_known(*row)) {
                        tail.push(value, f64::total_cmp);
                    }
                }
            }
        }
    }

    /// The table with `NAME_low` and `NAME_high` after every figure `NAME`.
    ///
    /// A bound is a value that the figure had in a resample; of a figure that is missing in some,
    /// it is of the others, and missing where those are too few.
    pub fn beside(&self, table: &RecordBatch, level: Level) -> Result<RecordBatch> {
        let mut columns = Columns::new();
        for ((figures, field), column) in
            self.0.iter().zip(table.schema().fields()).zip(table.columns())
        {
            let name = field.name();
            columns.push((name.clone(), Arc::clone(column)));
            let (low, high): (ArrayRef, ArrayRef) = match figures {
                Figures::None => continue,
                Figures::Exact(tails) => {
                    let bounds: Vec<_> =
                        tails.iter().map(|tail| tail.interval(level, i128::cmp)).collect();
                    (
                        like(column, bounds.iter().map(|bounds| bounds.map(|of| of.0)))?,
                        like(column, bounds.iter().map(|bounds| bounds.map(|of| of.1)))?,
                    )
                }
                Figures::Floats(tails) => {
                    let bounds: Vec<_> =
                        tails.iter().map(|tail| tail.interval(level, f64::total_cmp)).collect();
                    let low = bounds.iter().map(|bounds| bounds.map(|of| of.0));
                    let high = bounds.iter().map(|bounds| bounds.map(|of| of.1));
                    (
                        Arc::new(low.collect::<Float64Array>()),
                        Arc::new(high.collect::<Float64Array>()),
                    )
                }
            };
            columns.push((format!("{name}_low"), low));
            columns.push((format!("{name}_high"), high));
        }
        Ok(RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, column)| (name, column, true)),
        )?)
    }
}

/// The values of a column of whole numbers or decimals.
fn exact(column: &ArrayRef) -> Vec<Option<i128>> {
    match column.data_type() {
        DataType::UInt64 => {
            column.as_primitive::<UInt64Type>().iter().map(|value| value.map(i128::from)).collect()
        }
        DataType::Int64 => {
            column.as_primitive::<Int64Type>().iter().map(|value| value.map(i128::from)).collect()
        }
        _ => column.as_primitive::<Decimal128Type>().iter().collect(),
    }
}

/// Whole numbers as a column of the type of another.
fn like(column: &ArrayRef, values: impl Iterator<Item = Option<i128>>) -> Result<ArrayRef> {
    Ok(match column.data_type() {
        DataType::UInt64 => {
            Arc::new(values.map(|value| u64::try_from(value?).ok()).collect::<UInt64Array>())
        }
        DataType::Decimal128(precision, scale) => Arc::new(
            values.collect::<Decimal128Array>().with_precision_and_scale(*precision, *scale)?,
        ),
        _ => Arc::new(values.map(|value| i64::try_from(value?).ok()).collect::<Int64Array>()),
    })
}

/// The least and the greatest of the values of a figure: as many as a bound can lie among.
#[derive(Debug, Clone, PartialEq)]
struct Tail<T> {
    least: Vec<T>,
    greatest: Vec<T>,
    kept: usize,
    values: usize,
}

impl<T: Copy> Tail<T> {
    fn new(kept: usize) -> Self {
        Self { least: Vec::new(), greatest: Vec::new(), kept: kept.max(1), values: 0 }
    }

    /// Takes a value, unless it is missing.
    fn push(&mut self, value: Option<T>, order: impl Fn(&T, &T) -> Ordering) {
        let Some(value) = value else { return };
        self.values += 1;
        self.least.push(value);
        self.greatest.push(value);
        // Now and then, so that a value costs little whatever is kept.
        if self.least.len() >= 4 * self.kept {
            self.least.select_nth_unstable_by(self.kept - 1, &order);
            self.least.truncate(self.kept);
        }
        if self.greatest.len() >= 4 * self.kept {
            self.greatest.select_nth_unstable_by(self.kept - 1, |left, right| order(right, left));
            self.greatest.truncate(self.kept);
        }
    }

    /// The bounds that hold so much of the values; none where there are too few.
    fn interval(&self, level: Level, order: impl Fn(&T, &T) -> Ordering) -> Option<(T, T)> {
        let place = level.rank(self.values).checked_sub(1)?;
        let (mut least, mut greatest) = (self.least.clone(), self.greatest.clone());
        least.sort_unstable_by(&order);
        greatest.sort_unstable_by(|left, right| order(right, left));
        Some((*least.get(place)?, *greatest.get(place)?))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringViewArray;

    use super::*;

    #[test]
    fn figures_of_models_that_learnt_nothing_are_missing_in_a_resample() {
        let level: Level = "0.8".parse().unwrap();
        let long = |sum: f64| {
            let models: ArrayRef = Arc::new(StringViewArray::from_iter_values(["a", "b"]));
            let sums: ArrayRef = Arc::new(Float64Array::from(vec![sum, sum]));
            RecordBatch::try_from_iter([("model", models), ("conversions", sums)]).unwrap()
        };
        let wide = |sum: f64| {
            let labels: ArrayRef = Arc::new(StringViewArray::from_iter_values(["b", "b"]));
            let sums: ArrayRef = Arc::new(Float64Array::from(vec![sum, sum]));
            // A dimension that is called as the column of models is.
            let columns = [
                ("model", labels),
                ("a_conversions", Arc::clone(&sums)),
                ("b_conversions", Arc::clone(&sums)),
                ("b_conversions_change", sums),
            ];
            RecordBatch::try_from_iter(columns).unwrap()
        };
        let bounds_of = |table: &dyn Fn(f64) -> RecordBatch| {
            let mut bounds = Bounds::new(&table(0.0), level.rank(30));
            for resample in 0..30 {
                // What the model would say where it learnt nothing is out of all bounds.
                let (sum, without) =
                    if resample % 3 == 0 { (1e9, &["b"][..]) } else { (1.0, &[][..]) };
                bounds.take_without(&table(sum), without);
            }
            bounds.beside(&table(0.0), level).unwrap()
        };
        let highs = |table: &RecordBatch, name: &str| -> Vec<f64> {
            let column = table.column_by_name(name).unwrap();
            column.as_primitive::<Float64Type>().values().to_vec()
        };
        assert_eq!(highs(&bounds_of(&long), "conversions_high"), [1e9, 1.0]);
        let table = bounds_of(&wide);
        assert_eq!(highs(&table, "a_conversions_high"), [1e9, 1e9]);
        assert_eq!(highs(&table, "b_conversions_change_high"), [1.0, 1.0]);
    }

    #[test]
    fn tails_know_the_bounds_that_all_values_have() {
        let level = Level::default();
        for count in [10_usize, 39, 40, 200, 1000] {
            let mut tail = Tail::new(level.rank(count));
            // Every number below a prime, in an order that is not theirs.
            let values = (0..count).map(|at| (at * 7_919) % 10_007);
            let mut sorted: Vec<usize> = values.clone().collect();
            sorted.sort_unstable();
            values.for_each(|value| tail.push(Some(value), usize::cmp));
            let rank = level.rank(count);
            let expected = (rank > 0).then(|| (sorted[rank - 1], sorted[count - rank]));
            assert_eq!(tail.interval(level, usize::cmp), expected, "{count}");
        }
    }
}
