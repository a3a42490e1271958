//! Rows of orders in one file a week, so that what happens this week leaves the files of all others as
//! they are.
//!
//! Not for what is in a row; that is `tables`.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use chrono_tz::Tz;
use rayon::prelude::*;

use crate::calendar::Span;
use crate::error::{Error, Result};
use crate::journeys::Labels;
use crate::kept::Frame;
use crate::output::{SmallGroups, StagedFolder, compact};

/// The column that says in which week a row belongs.
const AT: &str = "order_at";

/// Rows that are encoded at a time: always as many, because the bytes depend on it.
const BATCH_ROWS: usize = 4096;

/// Rows of a row group. Every week is written at once, and each holds one of them in memory.
const GROUP_ROWS: usize = 1 << 14;

/// What the file of a table without any rows is called: it has the columns.
const NO_WEEK: &str = "none";

/// A table that is being written week by week.
pub(crate) struct Weekly {
    name: &'static str,
    zone: Tz,
    schema: SchemaRef,
    weeks: BTreeMap<String, Week>,
}

/// A week that is being written.
struct Week {
    writer: SmallGroups,
    /// Rows that wait until there are enough of them.
    waiting: Vec<RecordBatch>,
    rows: u64,
}

/// Where a week of a table is in the folder of a run.
pub(crate) fn file_of(name: &str, week: &str) -> String {
    format!("{name}/{week}.parquet")
}

/// The week whose rows a file of a table has; none of one without rows.
pub(crate) fn week_of(path: &str) -> Option<&str> {
    let (_, file) = path.rsplit_once('/')?;
    file.strip_suffix(".parquet").filter(|week| *week != NO_WEEK)
}

impl Weekly {
    /// Begins a table of these columns; weeks are those of the zone.
    pub(crate) const fn new(name: &'static str, zone: Tz, schema: SchemaRef) -> Self {
        Self { name, zone, schema, weeks: BTreeMap::new() }
    }

    /// Writes some more rows, each to its week.
    pub(crate) fn write(&mut self, folder: &StagedFolder, rows: &RecordBatch) -> Result<()> {
        let at = rows.column_by_name(AT).map(|at| at.as_primitive::<TimestampMicrosecondType>());
        let Some(at) = at.filter(|_| rows.num_rows() > 0) else { return Ok(()) };
        let weeks = Labels::of_span(at.values().iter().copied(), Span::Week, self.zone);
        let mut of_week: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for (row, code) in (0..).zip(&weeks.codes) {
            of_week.entry(&weeks.values[*code as usize]).or_default().push(row);
        }
        for week in of_week.keys() {
            self.begin(folder, week)?;
        }
        let begun = self.weeks.iter_mut().filter_map(|(name, week)| {
            of_week.remove(name.as_str()).map(|of_week| (week, of_week))
        });
        begun.collect::<Vec<_>>().into_par_iter().try_for_each(|(week, of_week)| {
            let of_week = take_record_batch(rows, &UInt32Array::from(of_week))?;
            week.write(&of_week)
        })
    }

    fn begin(&mut self, folder: &StagedFolder, week: &str) -> Result<&mut Week> {
        if !self.weeks.contains_key(week) {
            let begun = Week::begin(folder, &file_of(self.name, week), &self.schema)?;
            self.weeks.insert(week.to_owned(), begun);
        }
        let begun = self.weeks.get_mut(week);
        begun.ok_or_else(|| Error::Broken(format!("the week {week} is not begun")))
    }

    /// Ends every week, and gives the file and the rows of each, in their order. `others` says whether
    /// the table has weeks beside these; one without any has a file without rows.
    pub(crate) fn finish(
        mut self,
        folder: &StagedFolder,
        others: bool,
    ) -> Result<Vec<(String, u64)>> {
        if self.weeks.is_empty() && !others {
            self.begin(folder, NO_WEEK)?;
        }
        let name = self.name;
        let weeks: Vec<(String, Week)> = self.weeks.into_iter().collect();
        let ended = weeks.into_par_iter().map(|(week, written)| {
            let rows = written.rows;
            written.finish()?;
            Ok((file_of(name, &week), rows))
        });
        ended.collect()
    }
}

/// One week of a table, written by itself.
pub(crate) struct OneWeek {
    file: String,
    week: Week,
}

impl OneWeek {
    /// Begins a week of a table of these columns.
    pub(crate) fn begin(
        folder: &StagedFolder,
        frame: Frame,
        week: &str,
        schema: &SchemaRef,
    ) -> Result<Self> {
        let file = file_of(frame.name(), week);
        Ok(Self { week: Week::begin(folder, &file, schema)?, file })
    }

    /// Writes some more rows.
    pub(crate) fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.week.write(rows)
    }

    /// Ends the week, and gives its file and the number of its rows.
    pub(crate) fn finish(self) -> Result<(String, u64)> {
        let rows = self.week.rows;
        self.week.finish()?;
        Ok((self.file, rows))
    }
}

impl Week {
    fn begin(folder: &StagedFolder, file: &str, schema: &SchemaRef) -> Result<Self> {
        let writer = SmallGroups::begin(folder.sink(file)?, schema, GROUP_ROWS)?;
        Ok(Self { writer, waiting: Vec::new(), rows: 0 })
    }

    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        let waiting: usize = self.waiting.iter().map(RecordBatch::num_rows).sum();
        let waiting = waiting + rows.num_rows();
        if waiting < BATCH_ROWS {
            self.waiting.push(compact(rows)?);
            return Ok(());
        }
        let together = self.waiting.iter().chain([rows]);
        let rows = concat_batches(&rows.schema(), together)?;
        let whole = waiting - waiting % BATCH_ROWS;
        for start in (0..whole).step_by(BATCH_ROWS) {
            self.encode(&rows.slice(start, BATCH_ROWS))?;
        }
        let rest = rows.slice(whole, waiting - whole);
        self.waiting = if rest.num_rows() > 0 { vec![compact(&rest)?] } else { Vec::new() };
        Ok(())
    }

    fn encode(&mut self, rows: &RecordBatch) -> Result<()> {
        // How much memory lies behind a text is one of the things that the encoder goes by.
        self.writer.write(&compact(rows)?)
    }

    fn finish(mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        if let Some(first) = waiting.first() {
            let rows = concat_batches(&first.schema(), &waiting)?;
            if rows.num_rows() > 0 {
                self.encode(&rows)?;
            }
        }
        self.writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringViewArray, TimestampMicrosecondArray};
    use tempfile::tempdir;

    use super::*;

    /// The bytes of a week whose rows come in batches of these sizes.
    fn written(rows: &RecordBatch, sizes: &[usize]) -> Vec<u8> {
        let folder = tempdir().unwrap();
        let staged = StagedFolder::new(&folder.path().join("kept")).unwrap();
        let mut weekly = Weekly::new("credits", Tz::UTC, rows.schema());
        let mut from = 0;
        for size in sizes.iter().cycle() {
            let size = (*size).min(rows.num_rows() - from);
            weekly.write(&staged, &rows.slice(from, size)).unwrap();
            from += size;
            if from == rows.num_rows() {
                break;
            }
        }
        let files = weekly.finish(&staged, false).unwrap();
        std::fs::read(staged.path().join(&files[0].0)).unwrap()
    }

    #[test]
    fn bytes_do_not_depend_on_how_rows_come() {
        let count = 50_000;
        // Few are null, and the dictionary is full within the first row group.
        let ids = (0..count).map(|row| (row % 9_001 != 0).then(|| format!("a-touch-of-{row:09}")));
        let numbers = (0..count).map(|row| (row % 7_001 != 0).then_some(row));
        let columns: [(&str, ArrayRef); 3] = [
            ("touch_external_id", Arc::new(ids.collect::<StringViewArray>())),
            ("number", Arc::new(numbers.collect::<Int64Array>())),
            (
                AT,
                Arc::new(
                    TimestampMicrosecondArray::from_iter_values(0..count).with_timezone("UTC"),
                ),
            ),
        ];
        let columns = columns.map(|(name, column)| (name, column, true));
        let rows = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let whole = written(&rows, &[rows.num_rows()]);
        for sizes in [&[1_000][..], &[4_096], &[17, 9_000, 333], &[30_000]] {
            assert!(written(&rows, sizes) == whole, "in batches of {sizes:?}");
        }
    }
}
