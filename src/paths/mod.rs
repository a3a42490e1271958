//! Tables of paths: journeys added up by their channels, without persons and without times.
//!
//! `read` makes [`Paths`] of a file, after each path went through its `transform`s; `credit` runs
//! every model on them that needs no clock, `resample` says how uncertain that is. [`Paths::table`] writes what a run's journeys add up to
//! as such a file. Not for how journeys are added up; that is `engine`.

mod credit;
mod read;
mod resample;
mod transform;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};

pub use credit::{PathReport, credit};
pub use read::{COLUMNS, PathsReading, column_names, is_direct, read};
pub use resample::with_intervals;
pub use transform::{Step, Transform};

use crate::engine::{PathSums, PathTotals};
use crate::error::{Error, Result};
use crate::money::Currency;
use crate::report::{decimals, texts};

/// What stands between the steps of a path, unless another is said.
pub const SEPARATOR: &str = " > ";

/// Journeys added up by their paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The channels, in the byte order of their names.
    pub channels: Vec<String>,
    /// Whether each is direct: as long as the channels.
    pub direct: Vec<bool>,
    /// The currencies of amounts, in the order of their codes.
    pub currencies: Vec<Currency>,
    /// What came of the journeys of each path.
    pub sums: PathSums,
}

impl Paths {
    /// One row a path and currency that it has orders in: `path`, `total_conversions`,
    /// `total_conversion_value`, `total_null`, `currency`.
    ///
    /// Journeys that ended in no order are of no currency: they stand in the first row of their path.
    ///
    /// # Errors
    ///
    /// A channel whose name holds the separator: the table could not be read again.
    pub fn table(&self, separator: &str) -> Result<RecordBatch> {
        struct Row<'a> {
            path: &'a [u32],
            currency: usize,
            totals: &'a PathTotals,
            lost: u64,
        }
        let mut rows: Vec<Row<'_>> = Vec::new();
        for (path, totals) in self.sums.iter() {
            let first = rows.len();
            let with_orders = totals.conversions.iter().enumerate().filter(|(_, of)| **of > 0);
            rows.extend(with_orders.map(|(at, _)| Row { path, currency: at, totals, lost: 0 }));
            if rows.len() == first {
                rows.push(Row { path, currency: 0, totals, lost: 0 });
            }
            rows[first].lost = totals.lost;
        }
        let scale = self.currencies.iter().map(|currency| currency.exponent()).max().unwrap_or(2);
        let paths: Vec<String> =
            rows.iter().map(|row| self.text(row.path, separator)).collect::<Result<_>>()?;
        let amounts = rows
            .iter()
            .map(|row| Some((row.totals.amounts[row.currency], self.currencies[row.currency])));
        let counts = |count: &dyn Fn(&Row<'_>) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(count)))
        };
        let columns: Vec<(&str, ArrayRef)> = vec![
            (COLUMNS[0], texts(paths.iter().map(String::as_str))),
            (COLUMNS[1], counts(&|row| row.totals.conversions[row.currency])),
            (COLUMNS[2], decimals(amounts, scale)?),
            (COLUMNS[3], counts(&|row| row.lost)),
            (COLUMNS[4], texts(rows.iter().map(|row| self.currencies[row.currency].code()))),
        ];
        Ok(RecordBatch::try_from_iter(columns)?)
    }

    /// A path as text.
    fn text(&self, path: &[u32], separator: &str) -> Result<String> {
        let names: Vec<&str> =
            path.iter().map(|channel| self.channels[*channel as usize].as_str()).collect();
        match names.iter().find(|name| name.contains(separator)) {
            None => Ok(names.join(separator)),
            Some(name) => Err(Error::Contradiction(format!(
                "the channel `{name}` holds `{separator}`, which stands between the steps of a path; a channel rule can give it another name"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::cell_text;

    fn paths(channels: [&str; 2]) -> Paths {
        let mut sums = PathSums::new(2);
        sums.convert(&[0, 1], 0, (1, 500));
        sums.convert(&[0, 1], 1, (2, 700));
        sums.lose(&[0, 1], 3);
        sums.lose(&[1], 4);
        Paths {
            channels: channels.map(str::to_owned).into(),
            direct: vec![false; 2],
            currencies: vec!["EUR".parse().unwrap(), "JPY".parse().unwrap()],
            sums,
        }
    }

    #[test]
    fn a_path_has_a_row_for_each_currency_and_its_other_journeys_stand_in_the_first() {
        let table = paths(["a", "b"]).table(SEPARATOR).unwrap();
        let row = |row| {
            let cells = (0..COLUMNS.len()).map(|at| cell_text(&table, at, row).unwrap());
            cells.collect::<Vec<_>>().join(",")
        };
        assert_eq!(
            [0, 1, 2].map(row),
            ["a > b,1,5.00,3,EUR", "a > b,2,700,0,JPY", "b,0,0.00,4,EUR"]
        );
    }

    #[test]
    fn a_channel_that_holds_the_separator_is_refused() {
        let error = paths(["a > c", "b"]).table(SEPARATOR).unwrap_err().to_string();
        assert!(error.contains("the channel `a > c` holds ` > `"), "{error}");
        paths(["a > c", "b"]).table("|").unwrap();
    }
}
