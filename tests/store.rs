//! A store of runs: whatever changes, working out again only that gives the bytes of a run in full; and
//! whatever happens to a run, the last good one stays.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use apportion::kept::{Account, Frame, Kept};
use apportion::store::Store;
use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::{cast, concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use common::{Playground, said, write_parquet};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

const AS_OF: &str = "2026-01-01T00:00:00Z";

/// The tables of an export, and the flag that names each.
const TABLES: [(&str, &str); 8] = [
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
const WORKSPACE: &str = r#"
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
const PLAIN_WORKSPACE: &str = r#"
timezone = "Europe/Paris"
max_rejects = "100%"
missing_rate = "keep"
currency = "EUR"
lookback = "10d"
by = ["channel", "week"]
"#;

fn parquet(path: &Path) -> RecordBatch {
    let file = fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let batches: Vec<RecordBatch> = reader.map(|rows| rows.unwrap()).collect();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

/// An export that grows and changes.
struct Export {
    playground: Playground,
    seed: u64,
    random: Pcg64,
    /// Rows that have not been exported yet, in the order of their time.
    later: BTreeMap<&'static str, RecordBatch>,
    /// How many files were written.
    files: usize,
    settings: Vec<String>,
    /// Settings of every run.
    always: Vec<&'static str>,
    /// Changes that do not happen, by their number.
    never: Vec<u32>,
    as_of: String,
}

impl Export {
    /// Most of a small world; the rest is exported later.
    fn new(seed: u64) -> Self {
        Self::sized(seed, ["1500", "220", "260", "365"])
    }

    /// The same of a world of so many sessions, orders, users and days.
    fn sized(seed: u64, [sessions, orders, users, days]: [&str; 4]) -> Self {
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

    fn folder(&self, table: &str) -> PathBuf {
        self.playground.path(&format!("export/{table}"))
    }

    /// Exports rows in a file of their own.
    fn write(&mut self, table: &str, rows: &RecordBatch) {
        self.files += 1;
        write_parquet(rows, &self.folder(table).join(format!("{:04}.parquet", self.files)));
    }

    fn files_of(&self, table: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder(table)).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// One of the files of a table.
    fn some_file(&mut self, table: &str) -> PathBuf {
        let files = self.files_of(table);
        files[self.random.random_range(0..files.len())].clone()
    }

    /// A few rows of a table that were exported.
    fn some_rows(&mut self, table: &str, count: usize) -> RecordBatch {
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
    fn change(&mut self) -> &'static str {
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
    fn run(&self, store: &Path, more: &[&str]) -> String {
        let (report, complaints) = said(&self.command(store, more).output().unwrap());
        assert_eq!(complaints, "");
        report
    }

    /// The command of a run into a store.
    fn command(&self, store: &Path, more: &[&str]) -> Command {
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
        let mut command = Command::new(env!("CARGO_BIN_EXE_apportion"));
        command.current_dir(self.playground.path("")).args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Rows in the order of their time, where they have one.
fn in_time(rows: &RecordBatch) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows.num_rows()).collect();
    if let Some(at) = rows.column_by_name("created_at") {
        let at =
            cast(at, &DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None)).unwrap();
        let at = at.as_primitive::<TimestampMicrosecondType>().clone();
        order.sort_by_key(|row| at.value(*row));
    }
    order
}

fn take(rows: &RecordBatch, order: Vec<usize>) -> RecordBatch {
    let order: UInt32Array = order.into_iter().map(|row| u32::try_from(row).ok()).collect();
    take_record_batch(rows, &order).unwrap()
}

/// A table with another column in place of the one of that name, or beside the others.
fn with(rows: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let schema = rows.schema();
    let named = schema.fields().iter().zip(rows.columns());
    let others = named.filter(|(field, _)| field.name() != name);
    let others = others.map(|(field, column)| (field.name().clone(), Arc::clone(column), true));
    let all: Vec<_> = others.chain([(name.to_owned(), column, true)]).collect();
    RecordBatch::try_from_iter_with_nullable(all).unwrap()
}

/// Instants so much after `created_at`.
fn later_than(rows: &RecordBatch, micros: i64) -> ArrayRef {
    let at = rows.column_by_name("created_at").unwrap();
    let at = cast(at, &DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None)).unwrap();
    let at = at.as_primitive::<TimestampMicrosecondType>();
    let later: TimestampMicrosecondArray = at.iter().map(|at| at.map(|at| at + micros)).collect();
    Arc::new(later.with_timezone("UTC"))
}

/// The bytes of every table of the current run of a store.
fn tables(store: &Path) -> BTreeMap<String, Vec<u8>> {
    let kept = Kept::open(store).unwrap();
    let files = Frame::ALL.into_iter().flat_map(|frame| kept.files(frame));
    files
        .map(|file| (file.path.clone(), fs::read(kept.folder().join(&file.path)).unwrap()))
        .collect()
}

/// Whether the current run of a store was worked out in full, and why.
fn anew(store: &Path) -> Option<String> {
    Kept::open(store).unwrap().account().anew.clone()
}

/// Lets an export change a few times, and holds each run that goes on from the one before to the bytes
/// of one in full.
fn same_as_in_full(mut export: Export, steps: usize) {
    let seed = export.seed;
    let store = export.playground.path("store");
    export.run(&store, &[]);
    let mut told = vec!["the first run"];
    let mut gone_on = 0;
    for step in 0..steps {
        told.push(export.change());
        if export.random.random_bool(0.3) {
            told.push(export.change());
        }
        let report = export.run(&store, &[]);
        let fresh = export.playground.path(&format!("fresh-{step}"));
        let in_full = export.run(&fresh, &[]);
        let why = || format!("seed {seed}: {told:?}, {:?}", anew(&store));
        assert_eq!(report, in_full, "{}", why());
        let (ours, theirs) = (tables(&store), tables(&fresh));
        assert!(ours.keys().eq(theirs.keys()), "{}", why());
        let differ = ours.iter().find(|(name, bytes)| theirs[*name] != **bytes);
        assert_eq!(differ.map(|(name, _)| name), None, "{}", why());
        let [ours, theirs] =
            [&store, &fresh].map(|store| Kept::open(store).unwrap().account().clone());
        assert_eq!(ours.run, theirs.run, "{}", why());
        // A run that is the one before stays as it is, and has the clock of the first of them.
        let told = |account: &Account| {
            let mut summary = account.summary.clone();
            summary.as_object_mut().unwrap().remove("as_of");
            summary
        };
        assert_eq!(told(&ours), told(&theirs), "{}", why());
        gone_on += usize::from(ours.anew.is_none());
        fs::remove_dir_all(&fresh).unwrap();
    }
    assert!(gone_on > steps / 3, "only {gone_on} of {steps} runs went on from the one before");
}

#[test]
fn working_out_what_changed_gives_the_bytes_of_a_run_in_full() {
    same_as_in_full(Export::new(1), 8);
}

#[test]
fn and_so_it_does_after_other_changes() {
    same_as_in_full(Export::new(2), 8);
}

#[test]
fn and_so_it_does_where_nobody_is_named() {
    let always = vec!["--hash-ids", "shop.toml", "--min-persons", "3"];
    same_as_in_full(Export { always, ..Export::new(5) }, 8);
}

#[test]
fn and_so_it_does_where_touches_are_read_in_the_least_space() {
    for seed in [6, 7] {
        // Newer versions of sessions are ids that repeat, and devices are looked up row by row.
        let export = Export { never: vec![3, 10], ..Export::new(seed) };
        fs::write(export.playground.path("shop.toml"), PLAIN_WORKSPACE).unwrap();
        same_as_in_full(export, 8);
    }
}

#[test]
fn and_so_it_does_where_a_week_is_more_than_is_read_at_once() {
    // Nothing but what happens to rows, so that runs go on.
    let never = vec![3, 6, 8, 10, 11, 12, 13];
    let export = Export {
        never,
        always: vec!["--threads", "1"],
        ..Export::sized(8, ["12000", "2400", "200", "20"])
    };
    let plain = PLAIN_WORKSPACE.replace("currency", "overlap = true\ncurrency");
    fs::write(export.playground.path("shop.toml"), plain).unwrap();
    let store = export.playground.path("store");
    export.run(&store, &[]);
    let groups = |path: &Path| {
        let file = fs::File::open(path).unwrap();
        ParquetRecordBatchReaderBuilder::try_new(file).unwrap().metadata().num_row_groups()
    };
    let kept = Kept::open(&store).unwrap();
    let credits = kept.files(Frame::Credits).iter();
    let most = credits.map(|file| groups(&kept.folder().join(&file.path))).max().unwrap();
    assert!(most > 2, "{most} row groups in a week at most");
    same_as_in_full(export, 2);
}

#[test]
fn what_did_not_change_is_taken_over_as_it_is() {
    let mut export = Export::new(11);
    let store = export.playground.path("store");
    export.run(&store, &[]);
    let first = Store::open(&store).unwrap().run("current").unwrap();
    let rows = export.later["sessions"].slice(0, 1);
    export.write("sessions", &rows);
    export.run(&store, &[]);
    let second = Store::open(&store).unwrap().run("current").unwrap();
    assert_eq!(second.account().anew, None);
    let files = |kept: &Kept| -> Vec<(String, String)> {
        let files = kept.files(Frame::Credits).iter();
        files.map(|file| (file.path.clone(), file.checksum.clone())).collect()
    };
    let (before, after) = (files(&first), files(&second));
    assert!(before.len() > 10, "the credits of a year are in many files");
    let same = before.iter().filter(|file| after.contains(file)).count();
    assert!(before.len() - same < 8, "one session changed {} weeks", before.len() - same);
    // Nothing changed at all: it is the same run.
    export.run(&store, &[]);
    let runs = Store::open(&store).unwrap().runs().unwrap();
    assert_eq!(runs.len(), 2);
}

#[test]
fn a_damaged_run_is_noticed_and_worked_out_again() {
    let export = Export::new(12);
    let store = export.playground.path("store");
    let report = export.run(&store, &[]);
    let good = tables(&store);
    let kept = Kept::open(&store).unwrap();
    let state: Vec<PathBuf> = fs::read_dir(kept.folder().join("state"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let frames = [Frame::Orders, Frame::Credits, Frame::Report].into_iter();
    let files = frames.flat_map(|frame| kept.files(frame).iter().take(1));
    let places = files.map(|file| kept.folder().join(&file.path));
    let json = state.into_iter().filter(|path| path.extension().is_some_and(|is| is == "json"));
    for place in places.chain(json) {
        let mut bytes = fs::read(&place).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes.truncate(bytes.len() - 1);
        fs::write(&place, bytes).unwrap();
        assert_eq!(export.run(&store, &[]), report);
        let why = anew(&store).unwrap();
        assert!(why.starts_with("the last run cannot be gone on from"), "{why}");
        assert_eq!(tables(&store), good, "{}", place.display());
    }
    export.run(&store, &["--full"]);
    let other = ["--where-persons", "orders_count > 1"];
    export.run(&store, &other);
    assert!(anew(&store).unwrap().contains("--where-persons"));
}

/// A store and an export that has grown since its run; the bytes of the run to come.
fn before_and_after(seed: u64) -> (Export, PathBuf, BTreeMap<String, Vec<u8>>) {
    let mut export = Export::new(seed);
    let store = export.playground.path("store");
    export.run(&store, &[]);
    for (table, _) in TABLES {
        let rows = export.later[table].clone();
        export.write(table, &rows);
    }
    let fresh = export.playground.path("fresh");
    export.run(&fresh, &[]);
    let after = tables(&fresh);
    (export, store, after)
}

#[test]
#[expect(clippy::disallowed_methods, reason = "what a run takes says when to kill the next")]
fn whenever_a_run_is_killed_the_last_good_one_is_there_and_the_next_works() {
    const KILLS: u32 = 16;
    let (export, store, after) = before_and_after(13);
    let before = tables(&store);
    let copy = |name: &str| {
        let there = export.playground.path(name);
        copy_folder(&store, &there);
        there
    };
    let trial = copy("trial");
    let begun = std::time::Instant::now();
    export.run(&trial, &["--full"]);
    let whole = begun.elapsed();
    let mut cut_short = 0;
    for kill in 0..KILLS {
        let tried = copy(&format!("tried-{kill}"));
        let mut run = export.command(&tried, &["--full"]).spawn().unwrap();
        // Most of them late: that is where files take their places.
        let part = f64::from(kill) / f64::from(KILLS);
        std::thread::sleep(whole.mul_f64(1.0 - (1.0 - part).powi(2)));
        run.kill().unwrap();
        let status = run.wait().unwrap();
        let left = tables(&tried);
        if !status.success() {
            cut_short += 1;
            assert!(left == before || left == after, "killed at {part} of the run");
        }
        Kept::open(&tried).unwrap().verify().unwrap();
        export.run(&tried, &[]);
        assert!(tables(&tried) == after, "after being killed at {part} of the run");
        let runs = fs::read_dir(tried.join("runs")).unwrap();
        let hidden = runs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(hidden.filter(|name| name.starts_with('.')).count(), 0, "what was left is gone");
        fs::remove_dir_all(&tried).unwrap();
    }
    assert!(cut_short > KILLS / 5, "only {cut_short} runs were killed before they were done");
}

/// A disk of its own in memory; gone with this.
#[cfg(target_os = "linux")]
struct SmallDisk(PathBuf);

#[cfg(target_os = "linux")]
impl SmallDisk {
    /// None where whoever tests may not mount anything.
    fn at(folder: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&folder).unwrap();
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "none"]).arg(&folder).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Self(folder))
    }

    /// Leaves so many bytes free: the file that fills the rest.
    fn leave(&self, free: u64) -> PathBuf {
        let filler = self.0.join("filler");
        assert!(!filler.exists());
        let there = fs4::available_space(&self.0).unwrap();
        fs::write(&filler, vec![1; usize::try_from(there.saturating_sub(free)).unwrap()]).unwrap();
        filler
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Where it fails, the folder cannot be removed, and stays until the machine forgets it.
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

#[cfg(target_os = "linux")]
#[test]
#[expect(clippy::print_stderr, reason = "what is skipped is said")]
fn where_the_disk_is_full_the_last_good_run_stays_and_the_next_works() {
    let (export, store, after) = before_and_after(16);
    let before = tables(&store);
    let Some(disk) = SmallDisk::at(export.playground.path("disk"), "64m") else {
        eprintln!("SKIPPED: a small disk cannot be mounted here");
        return;
    };
    let there = disk.0.join("store");
    copy_folder(&store, &there);
    let files = || -> Vec<PathBuf> {
        let all = fs::read_dir(there.join("runs")).unwrap();
        all.map(|entry| entry.unwrap().path()).collect()
    };
    let first = files();
    let mut refused = 0;
    // From no room at all to enough for all of it.
    for pages in (0..).map(|step| step * step * 4) {
        let filler = disk.leave(pages * 4096);
        let run = export.command(&there, &["--full"]).output().unwrap();
        fs::remove_file(&filler).unwrap();
        Kept::open(&there).unwrap().verify().unwrap();
        if run.status.success() {
            break;
        }
        let (answer, complaint) = said(&run);
        assert_eq!((run.status.code(), &answer[..]), (Some(2), ""), "{complaint}");
        assert!(complaint.contains("No space left on device"), "{complaint}");
        assert!(complaint.contains("disk/store"), "{complaint}");
        assert!(tables(&there) == before, "with {pages} pages free");
        assert_eq!(files(), first, "with {pages} pages free");
        refused += 1;
    }
    assert!(refused > 4, "only {refused} runs met a full disk");
    assert!(tables(&there) == after);
}

fn copy_folder(from: &Path, to: &Path) {
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

#[test]
fn a_second_run_says_who_holds_the_store_or_waits() {
    let export = Export::new(14);
    let store = export.playground.path("store");
    let lock = {
        let store = Store::open_or_begin(&store).unwrap();
        store.lock(std::time::Duration::ZERO, &|_| ()).unwrap()
    };
    let refused = export.command(&store, &[]).output().unwrap();
    let (_, complaint) = said(&refused);
    assert_eq!(refused.status.code(), Some(2));
    assert!(complaint.contains(&format!("process {} holds it", std::process::id())), "{complaint}");
    assert!(complaint.contains("--store-wait"), "{complaint}");
    let waiting = export.command(&store, &["--store-wait", "1m"]).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(600));
    drop(lock);
    assert!(waiting.wait_with_output().unwrap().status.success());
    assert!(Kept::open(&store).is_ok());
}

#[test]
fn runs_are_listed_shown_compared_and_removed() {
    let (export, store, _) = before_and_after(15);
    export.run(&store, &[]);
    export.run(&store, &["--lookback", "7d"]);
    let ask = |arguments: &[&str]| {
        let all = [&["runs"], arguments, &["--store", store.to_str().unwrap()]].concat();
        let output = export.playground.run(all);
        (output.status.code(), said(&output))
    };
    let (code, (listed, _)) = ask(&[]);
    assert_eq!(code, Some(0));
    assert_eq!(listed.lines().count(), 5, "{listed}");
    assert!(listed.lines().nth(2).unwrap().starts_with('*'), "{listed}");
    let (_, (shown, _)) = ask(&["show", "previous"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["settings"]["lookback"], "90d");
    assert!(shown["inputs"][0]["checksum"].is_string());
    let (code, (difference, complaint)) = ask(&["diff"]);
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    assert!(difference.contains("lookback"), "{difference}");
    let (_, (_, complaint)) = ask(&["show", "nothing"]);
    assert!(complaint.contains("no run is named `nothing`"), "{complaint}");
    let (_, (_, told)) = ask(&["prune", "--keep", "1", "--dry-run"]);
    assert!(told.contains("would remove") && told.ends_with("1 run stays\n"), "{told}");
    assert_eq!(ask(&["prune"]).0, Some(2));
    assert_eq!(ask(&["prune", "--keep", "1", "--older-than", "1d"]).0, Some(0));
    assert_eq!(ask(&[]).1.0.lines().count(), 5, "none of them is a day old");
    assert_eq!(ask(&["prune", "--keep", "1"]).0, Some(0));
    assert_eq!(ask(&[]).1.0.lines().count(), 3);
    assert_eq!(Kept::open(&store).unwrap().account().settings["lookback"], "7d");
    let query = ["query", "attribution", "--run", store.to_str().unwrap(), "--format", "csv"];
    assert_eq!(export.playground.run(query).status.code(), Some(0));
}
