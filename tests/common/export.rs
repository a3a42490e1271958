//! An export that grows and changes, and what a store of runs of it holds.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use apportion::kept::{Frame, Kept};
use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::{cast, concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::{Playground, said, write_parquet};

pub(crate) const AS_OF: &str = "2026-01-01T00:00:00Z";

/// The tables of an export, and the flag that names each.
pub(crate) const TABLES: [(&str, &str); 8] = [
    ("sessions", "sessions"),
    ("orders", "orders"),
    ("postviews", "postviews"),
    ("users", "users"),
    ("user_aliases", "aliases"),
    ("devices", "devices"),
    ("exchange_rates", "exchange-rates"),
    ("spend", "spend"),
];

/// What the shop says of itself: rows follow from more than their own columns.
pub(crate) const WORKSPACE: &str = r#"
currency = "EUR"
timezone = "Europe/Paris"
max_rejects = "100%"
model = ["last_click", "linear", "time_decay"]
by = ["channel", "device_type", "month"]
overlap = true

[domains]
shop-eu = "web"

[vouchers.PODCAST15]
utm_source = "podcast"
utm_medium = "audio"
"#;

/// One under which touches are read in the least space, and windows are short beside the export.
pub(crate) const PLAIN_WORKSPACE: &str = r#"
timezone = "Europe/Paris"
max_rejects = "100%"
missing_rate = "keep"
currency = "EUR"
lookback = "10d"
by = ["channel", "week"]
"#;

pub(crate) fn parquet(path: &Path) -> RecordBatch {
    let file = fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    // A file may have no rows at all.
    let schema = Arc::clone(reader.schema());
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(|rows| rows.unwrap()).collect();
    concat_batches(&schema, &batches).unwrap()
}

/// An export that grows and changes.
pub(crate) struct Export {
    pub(crate) playground: Playground,
    pub(crate) seed: u64,
    pub(crate) random: Pcg64,
    /// Rows that have not been exported yet, in the order of their time.
    pub(crate) later: BTreeMap<&'static str, RecordBatch>,
    /// How many files were written.
    pub(crate) files: usize,
    pub(crate) settings: Vec<String>,
    /// Settings of every run.
    pub(crate) always: Vec<&'static str>,
    /// Changes that do not happen, by their number.
    pub(crate) never: Vec<u32>,
    pub(crate) as_of: String,
    /// What is run.
    pub(crate) binary: PathBuf,
}

impl Export {
    /// Most of a small world; the rest is exported later.
    pub(crate) fn new(seed: u64) -> Self {
        Self::sized(seed, ["1500", "220", "260", "365"])
    }

    /// The same of a world of so many sessions, orders, users and days.
    pub(crate) fn sized(seed: u64, [sessions, orders, users, days]: [&str; 4]) -> Self {
        let playground = Playground::new();
        let seeded = seed.to_string();
        let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/shop/world.toml");
        let world = [
            "simulate",
            "--world",
            shop.to_str().unwrap(),
            "--seed",
            &seeded,
            "--sessions",
            sessions,
            "--orders",
            orders,
            "--users",
            users,
            "--days",
            days,
            "--busiest",
            "40",
            "--full",
            "--stubs",
            "0.4",
            "--refunds",
            "0.1",
            "--cancellations",
            "0.1",
            "--quiet",
            "-o",
            "world",
        ];
        let (_, complaints) = said(&playground.run(world));
        assert_eq!(complaints, "");
        fs::write(playground.path("shop.toml"), WORKSPACE).unwrap();
        let mut export = Self {
            playground,
            seed,
            random: Pcg64::seed_from_u64(seed),
            later: BTreeMap::new(),
            files: 0,
            settings: Vec::new(),
            always: Vec::new(),
            never: Vec::new(),
            as_of: AS_OF.to_owned(),
            binary: env!("CARGO_BIN_EXE_apportion").into(),
        };
        for (table, _) in TABLES {
            let rows = parquet(&export.playground.path(&format!("world/{table}.parquet")));
            // A few of any time are late, the last quarter has not happened yet.
            let count = rows.num_rows();
            let (mut now, mut later) = (Vec::new(), Vec::new());
            for row in in_time(&rows) {
                let late = export.random.random_bool(0.04);
                if late || now.len() + later.len() > count * 3 / 4 {
                    later.push(row);
                } else {
                    now.push(row);
                }
            }
            export.write(table, &take(&rows, now));
            export.later.insert(table, take(&rows, later));
        }
        export
    }

    pub(crate) fn folder(&self, table: &str) -> PathBuf {
        self.playground.path(&format!("export/{table}"))
    }

    /// Exports rows in a file of their own.
    pub(crate) fn write(&mut self, table: &str, rows: &RecordBatch) {
        self.files += 1;
        write_parquet(rows, &self.folder(table).join(format!("{:04}.parquet", self.files)));
    }

    pub(crate) fn files_of(&self, table: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder(table)).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// One of the files of a table.
    pub(crate) fn some_file(&mut self, table: &str) -> PathBuf {
        let files = self.files_of(table);
        files[self.random.random_range(0..files.len())].clone()
    }

    /// A few rows of a table that were exported.
    pub(crate) fn some_rows(&mut self, table: &str, count: usize) -> RecordBatch {
        let file = self.some_file(table);
        let rows = parquet(&file);
        let some = (0..count).map(|_| self.random.random_range(0..rows.num_rows()));
        let mut some: Vec<usize> = some.collect();
        some.sort_unstable();
        some.dedup();
        take(&rows, some)
    }

    /// Something happens.
    #[expect(clippy::too_many_lines, reason = "each change is a few lines, and there are many")]
    pub(crate) fn change(&mut self) -> &'static str {
        let happens = loop {
            let one = self.random.random_range(0..14);
            if !self.never.contains(&one) {
                break one;
            }
        };
        match happens {
            0..=2 => {
                for (table, _) in TABLES {
                    let later = self.later[table].clone();
                    let next = later.num_rows() / 3;
                    if next > 0 {
                        self.write(table, &later.slice(0, next));
                        self.later.insert(table, later.slice(next, later.num_rows() - next));
                    }
                }
                "the next days, and late rows"
            }
            3 => {
                let rows = self.some_rows("sessions", 5);
                let rows = with(
                    &rows,
                    "utm_source",
                    Arc::new(StringArray::from(vec!["bing"; rows.num_rows()])),
                );
                let rows = with(&rows, "updated_at", later_than(&rows, 3_600_000_000));
                self.write("sessions", &rows);
                "newer versions of sessions"
            }
            4 => {
                let rows = self.some_rows("orders", 3);
                let cancelled = later_than(&rows, 86_400_000_000);
                let rows = with(&rows, "cancelled_at", Arc::clone(&cancelled));
                let rows = with(&rows, "updated_at", cancelled);
                self.write("orders", &rows);
                "cancelled orders"
            }
            5 => {
                let rows = self.some_rows("orders", 3);
                let refunds = Decimal128Array::from(vec![100; rows.num_rows()]);
                let refunds = refunds.with_precision_and_scale(12, 2).unwrap();
                let rows = with(&rows, "refunded_price", Arc::new(refunds));
                let rows = with(&rows, "updated_at", later_than(&rows, 86_400_000_000));
                self.write("orders", &rows);
                "refunded orders"
            }
            6 => {
                let file = self.some_file("user_aliases");
                let rows = parquet(&file);
                let stay = (0..rows.num_rows()).map(|_| Some(self.random.random_bool(0.97)));
                let stay: BooleanArray = stay.collect();
                write_parquet(&filter_record_batch(&rows, &stay).unwrap(), &file);
                "aliases that are gone"
            }
            7 => {
                let sessions = self.some_rows("sessions", 4);
                let orders = self.some_rows("orders", 4);
                let count = sessions.num_rows().min(orders.num_rows());
                let ids = |rows: &RecordBatch| {
                    cast(rows.column_by_name("user_external_id").unwrap(), &DataType::Utf8)
                        .unwrap()
                        .slice(0, count)
                };
                let aliases = RecordBatch::try_from_iter([
                    ("from_user_external_id", ids(&sessions)),
                    ("to_user_external_id", ids(&orders)),
                ]);
                self.write("user_aliases", &aliases.unwrap());
                "users that turn out to be others"
            }
            8 => {
                let files = self.files_of("sessions");
                if files.len() > 1 {
                    fs::remove_file(&files[self.random.random_range(0..files.len())]).unwrap();
                }
                "a file that is gone"
            }
            9 => {
                let file = self.some_file("orders");
                let rows = parquet(&file);
                let mut order: Vec<usize> = (0..rows.num_rows()).rev().collect();
                order.rotate_left(rows.num_rows() / 3);
                write_parquet(&take(&rows, order), &file);
                "the same rows in another order"
            }
            10 => {
                let rows = self.some_rows("devices", 6);
                let types = vec!["console"; rows.num_rows()];
                let rows = with(&rows, "device_type", Arc::new(StringArray::from(types)));
                self.write("devices", &rows);
                "devices that are something else"
            }
            11 => {
                let file = self.some_file("exchange_rates");
                let rows = parquet(&file);
                let rates = cast(rows.column_by_name("rate").unwrap(), &DataType::Float64).unwrap();
                let rates = rates.as_primitive::<arrow::datatypes::Float64Type>();
                let from = rates.len() / 2;
                let rates = rates.iter().enumerate().map(|(row, rate)| {
                    rate.map(
                        |rate| if row < from { rate } else { (rate * 1_010.0).round() / 1_000.0 },
                    )
                });
                let rates: Float64Array = rates.collect();
                write_parquet(&with(&rows, "rate", Arc::new(rates)), &file);
                "other exchange rates"
            }
            12 => {
                let lookback = ["30d", "90d", "7d"][self.random.random_range(0..3)];
                self.settings = vec!["--lookback".to_owned(), lookback.to_owned()];
                "another setting"
            }
            _ => {
                // Everything before is in the past of this clock, what is exported next may not be.
                let month = self.random.random_range(8..13);
                self.as_of = format!("2025-{month:02}-01T00:00:00Z");
                "another clock"
            }
        }
    }

    /// A run into a store; what it printed.
    pub(crate) fn run(&self, store: &Path, more: &[&str]) -> String {
        let (report, complaints) = said(&self.command(store, more).output().unwrap());
        assert_eq!(complaints, "");
        report
    }

    /// The command of a run into a store.
    pub(crate) fn command(&self, store: &Path, more: &[&str]) -> Command {
        let mut arguments: Vec<String> =
            ["run", "--quiet", "--format", "csv", "--config", "shop.toml"]
                .map(str::to_owned)
                .into();
        for (table, flag) in TABLES {
            arguments.push(format!("--{flag}"));
            arguments.push(self.folder(table).to_str().unwrap().to_owned());
        }
        arguments.extend(["--as-of".to_owned(), self.as_of.clone(), "--store".to_owned()]);
        arguments.push(store.to_str().unwrap().to_owned());
        arguments.extend(self.settings.clone());
        arguments.extend(self.always.iter().map(|argument| (*argument).to_owned()));
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let mut command = Command::new(&self.binary);
        command.current_dir(self.playground.path("")).args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Rows in the order of their time, where they have one.
pub(crate) fn in_time(rows: &RecordBatch) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows.num_rows()).collect();
    if let Some(at) = rows.column_by_name("created_at") {
        let at =
            cast(at, &DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None)).unwrap();
        let at = at.as_primitive::<TimestampMicrosecondType>().clone();
        order.sort_by_key(|row| at.value(*row));
    }
    order
}

pub(crate) fn take(rows: &RecordBatch, order: Vec<usize>) -> RecordBatch {
    let order: UInt32Array = order.into_iter().map(|row| u32::try_from(row).ok()).collect();
    take_record_batch(rows, &order).unwrap()
}

/// A table with another column in place of the one of that name, or beside the others.
pub(crate) fn with(rows: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let schema = rows.schema();
    let named = schema.fields().iter().zip(rows.columns());
    let others = named.filter(|(field, _)| field.name() != name);
    let others = others.map(|(field, column)| (field.name().clone(), Arc::clone(column), true));
    let all: Vec<_> = others.chain([(name.to_owned(), column, true)]).collect();
    RecordBatch::try_from_iter_with_nullable(all).unwrap()
}

/// Instants so much after `created_at`.
pub(crate) fn later_than(rows: &RecordBatch, micros: i64) -> ArrayRef {
    let at = rows.column_by_name("created_at").unwrap();
    let at = cast(at, &DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None)).unwrap();
    let at = at.as_primitive::<TimestampMicrosecondType>();
    let later: TimestampMicrosecondArray = at.iter().map(|at| at.map(|at| at + micros)).collect();
    Arc::new(later.with_timezone("UTC"))
}

/// The bytes of every table of the current run of a store.
pub(crate) fn tables(store: &Path) -> BTreeMap<String, Vec<u8>> {
    let kept = Kept::open(store).unwrap();
    let files = Frame::ALL.into_iter().flat_map(|frame| kept.files(frame));
    files
        .map(|file| (file.path.clone(), fs::read(kept.folder().join(&file.path)).unwrap()))
        .collect()
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let there = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &there);
        } else {
            fs::copy(&path, &there).unwrap();
        }
    }
}
