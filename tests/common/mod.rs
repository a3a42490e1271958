//! Inputs from text, and a fresh folder with the command pointed at it.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]
#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses a part of it")]

pub(crate) mod export;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use apportion::calendar::{parse_day, parse_instant};
use apportion::schema::{Kind, Table};
use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use chrono::Datelike;
use parquet::arrow::ArrowWriter;

/// A fresh folder, gone when it is dropped.
pub(crate) struct Playground {
    folder: tempfile::TempDir,
}

impl Playground {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the binary in the folder.
    pub(crate) fn run<A: AsRef<str>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_apportion"));
        command.current_dir(self.folder.path());
        for argument in arguments {
            command.arg(argument.as_ref());
        }
        command.output().unwrap()
    }

    /// Writes a table given as CSV; see [`parquet_from_rows`].
    pub(crate) fn table(&self, table: &str, csv: &str) {
        let mut lines = csv::ReaderBuilder::new().from_reader(csv.as_bytes());
        let header: Vec<String> = lines.headers().unwrap().iter().map(str::to_owned).collect();
        let rows: Vec<Vec<String>> = lines
            .records()
            .map(|record| record.unwrap().iter().map(str::to_owned).collect())
            .collect();
        parquet_from_rows(table, &header, &rows, &self.path(&format!("{table}.parquet")));
    }

    /// The names of the files in the folder.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// What a command said, as text.
pub(crate) fn said(output: &Output) -> (String, String) {
    (
        String::from_utf8(output.stdout.clone()).unwrap(),
        String::from_utf8(output.stderr.clone()).unwrap(),
    )
}

/// The named columns of CSV, a line a row: what later versions add is left out.
pub(crate) fn picked(csv: &str, columns: &[&str]) -> Vec<String> {
    let mut lines = csv::Reader::from_reader(csv.as_bytes());
    let header = lines.headers().unwrap().clone();
    let at = |name: &&str| header.iter().position(|column| column == *name).unwrap();
    let at: Vec<usize> = columns.iter().map(at).collect();
    let row = |row: csv::StringRecord| at.iter().map(|at| &row[*at]).collect::<Vec<_>>().join(" ");
    lines.records().map(|record| row(record.unwrap())).collect()
}

/// Writes rows of text as Parquet with the canonical types of a table: times as timestamps,
/// money as decimals, and so on; an empty cell is null. A column with a cell that its type cannot
/// hold is written as text, or as floats for money.
pub(crate) fn parquet_from_rows(table: &str, header: &[String], rows: &[Vec<String>], path: &Path) {
    let table = Table::from_name(table).unwrap();
    let columns: Vec<(String, ArrayRef, bool)> = header
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let cells: Vec<Option<&str>> = rows
                .iter()
                .map(|row| Some(row[at].as_str()).filter(|cell| !cell.is_empty()))
                .collect();
            (name.clone(), typed(table.kind_of(name), &cells), true)
        })
        .collect();
    write_parquet(&RecordBatch::try_from_iter_with_nullable(columns).unwrap(), path);
}

pub(crate) fn write_parquet(rows: &RecordBatch, path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}

fn typed(kind: Kind, cells: &[Option<&str>]) -> ArrayRef {
    let parsed = |parse: &dyn Fn(&str) -> Option<i64>| -> Option<Vec<Option<i64>>> {
        cells.iter().map(|cell| cell.map_or(Some(None), |cell| parse(cell).map(Some))).collect()
    };
    let text = || -> ArrayRef { Arc::new(StringArray::from(cells.to_vec())) };
    match kind {
        Kind::Time => match parsed(&parse_instant) {
            Some(times) => Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
            None => text(),
        },
        Kind::Day if cells.iter().flatten().all(|cell| parse_day(cell).is_some()) => {
            let epoch = chrono::NaiveDate::default().num_days_from_ce();
            let days =
                cells.iter().map(|cell| Some(parse_day((*cell)?)?.num_days_from_ce() - epoch));
            Arc::new(days.collect::<Date32Array>())
        }
        Kind::Flag if cells.iter().flatten().all(|cell| ["true", "false"].contains(cell)) => {
            Arc::new(
                cells.iter().map(|cell| cell.map(|cell| cell == "true")).collect::<BooleanArray>(),
            )
        }
        Kind::Money => match parsed(&|cell| decimal(cell, 4)) {
            Some(scaled) => {
                let decimals: Decimal128Array =
                    scaled.into_iter().map(|value| value.map(i128::from)).collect();
                Arc::new(decimals.with_precision_and_scale(28, 4).unwrap())
            }
            None => {
                Arc::new(cells.iter().map(|cell| (*cell)?.parse().ok()).collect::<Float64Array>())
            }
        },
        Kind::Number => match parsed(&|cell| cell.parse().ok()) {
            Some(integers) => Arc::new(Int64Array::from(integers)),
            None => {
                Arc::new(cells.iter().map(|cell| (*cell)?.parse().ok()).collect::<Float64Array>())
            }
        },
        Kind::Day | Kind::Flag | Kind::Id | Kind::Text | Kind::Texts | Kind::Any => text(),
    }
}

/// `-12.5` as an integer with `scale` decimals.
fn decimal(text: &str, scale: usize) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.len() > scale {
        return None;
    }
    format!("{whole}{fraction:0<scale$}").parse::<i64>().ok().map(|value| sign * value)
}
