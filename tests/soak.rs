//! Exports that change at random under runs that are killed at random, for as long as is asked for:
//! whatever happens, a store holds the last run or the next one, and then the bytes of a run in full.
//!
//! `tests/soak.sh MINUTES SEED` runs it; a seed draws the same worlds and changes, and only the moments
//! of the kills depend on the machine. Not for what a single kill or a full disk does: `store` has that.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]
#![expect(clippy::disallowed_methods, reason = "for how long, and from where, is asked outside")]
#![expect(clippy::print_stdout, reason = "its figures are what it is run for")]

mod common;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use apportion::items;
use apportion::kept::Kept;
use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::DataType;
use common::export::{
    Export, PLAIN_WORKSPACE, TABLES, in_time, later_than, parquet, tables, take, with,
};
use common::{said, write_parquet};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// How often a world changes before the next one is drawn.
const STEPS: usize = 16;

/// What was done and seen.
#[derive(Default)]
struct Figures {
    worlds: usize,
    steps: usize,
    changes: usize,
    runs: usize,
    gone_on: usize,
    kills: usize,
    cut_short: usize,
    comparisons: usize,
    ingests: usize,
    waited_on_disk: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} worlds, {} steps of {} changes: {} runs ({} went on from the one before), {} ingests, {} kills ({} before the end), {} runs with touches on disk, {} comparisons of all bytes",
            self.worlds,
            self.steps,
            self.changes,
            self.runs,
            self.gone_on,
            self.ingests,
            self.kills,
            self.cut_short,
            self.waited_on_disk,
            self.comparisons
        )
    }
}

/// The number that the environment says, or one that will do.
fn asked(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a whole number"))
}

#[test]
#[ignore = "it takes as long as it is told to: tests/soak.sh"]
fn whatever_changes_and_whenever_it_is_killed_the_bytes_are_those_of_a_run_in_full() {
    let (minutes, first) = (asked("SOAK_MINUTES", 1), asked("SOAK_SEED", 1));
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    // What is built anew meanwhile is another binary.
    let own = tempfile::tempdir().unwrap();
    let binary = own.path().join("apportion");
    fs::copy(env!("CARGO_BIN_EXE_apportion"), &binary).unwrap();
    let mut figures = Figures::default();
    for seed in first.. {
        if Instant::now() >= end {
            break;
        }
        let mut world = World::new(seed, &binary);
        let lived = panic::catch_unwind(AssertUnwindSafe(|| world.live(end, &mut figures)));
        if let Err(panicked) = lived {
            println!("seed {seed} after {:?}: {figures}", world.told);
            println!("what is left is in {}", world.export.playground.path("").display());
            std::mem::forget(world);
            panic::resume_unwind(panicked);
        }
        figures.worlds += 1;
    }
    println!("seeds from {first}, {minutes} minutes: {figures}");
    assert!(figures.cut_short > 0 && figures.gone_on > 0, "{figures}");
}

/// An export with a store of its runs, and items that become tables beside it.
struct World {
    export: Export,
    store: PathBuf,
    random: Pcg64,
    /// Every item that was ever sent, as a line.
    lines: Vec<String>,
    /// Whether some rows come as items.
    has_items: bool,
    /// Whether touches are read in the least space, so that they may wait on disk.
    is_plain: bool,
    told: Vec<&'static str>,
    /// How long the last run took.
    took: Duration,
}

impl World {
    fn new(seed: u64, binary: &Path) -> Self {
        let mut random = Pcg64::seed_from_u64(seed ^ 0x50AC);
        let sizes = [["1500", "220", "260", "365"], ["600", "120", "80", "120"]];
        let size = sizes[random.random_range(0..sizes.len())];
        let mut export = Export { binary: binary.to_path_buf(), ..Export::sized(seed, size) };
        let kind = random.random_range(0..4);
        let is_plain = kind == 0;
        if is_plain {
            fs::write(export.playground.path("shop.toml"), PLAIN_WORKSPACE).unwrap();
            // Ids that repeat are merged row by row, and devices are looked up so.
            export.never = vec![3, 10];
        } else if kind == 1 {
            export.always.extend(["--hash-ids", "shop.toml", "--min-persons", "3"]);
        }
        let has_items = kind == 2;
        let store = export.playground.path("store");
        fs::create_dir(export.playground.path("tmp")).unwrap();
        let mut world = Self {
            export,
            store,
            random,
            lines: Vec::new(),
            has_items,
            is_plain,
            told: vec!["the first run"],
            took: Duration::from_secs(1),
        };
        if has_items {
            world.send();
            world.ingest("items", "lines.ndjson");
            let tables = [
                ("--sessions", "items/sessions.parquet"),
                ("--orders", "items/orders.parquet"),
                ("--order-items", "items/order_items.parquet"),
                ("--users", "items/users.parquet"),
                ("--aliases", "items/user_aliases.parquet"),
            ];
            world.export.always.extend(tables.into_iter().flat_map(|(flag, path)| [flag, path]));
        }
        world
    }

    /// Changes, is killed, goes on and is compared, step by step.
    fn live(&mut self, end: Instant, figures: &mut Figures) {
        self.run(figures);
        let mut before = tables(&self.store);
        for _ in 0..STEPS {
            if Instant::now() >= end {
                return;
            }
            for _ in 0..self.random.random_range(1..4) {
                self.change(figures);
                figures.changes += 1;
            }
            let fresh = self.export.playground.path("fresh");
            let in_full = self.export.run(&fresh, &[]);
            let after = tables(&fresh);
            let account = Kept::open(&fresh).unwrap().account().clone();
            fs::remove_dir_all(&fresh).unwrap();
            for _ in 0..self.random.random_range(0..4) {
                self.kill(figures);
                Kept::open(&self.store).unwrap().verify().unwrap();
                let left = tables(&self.store);
                assert!(left == before || left == after, "a run that was killed left another");
            }
            let report = self.run(figures);
            assert_eq!(report, in_full);
            self.compare(&after);
            assert_eq!(Kept::open(&self.store).unwrap().account().run, account.run);
            figures.comparisons += 1;
            figures.gone_on +=
                usize::from(Kept::open(&self.store).unwrap().account().anew.is_none());
            self.check_nothing_is_left();
            if self.is_plain && self.waits_on_disk() {
                figures.waited_on_disk += 1;
            }
            if self.random.random_bool(0.2) {
                let store = self.store.to_str().unwrap().to_owned();
                self.done(&["runs", "prune", "--keep", "2", "--store", &store]);
            }
            before = after;
            figures.steps += 1;
        }
    }

    /// A run that is let be.
    fn run(&mut self, figures: &mut Figures) -> String {
        let begun = Instant::now();
        let report = self.export.run(&self.store, &[]);
        self.took = begun.elapsed();
        figures.runs += 1;
        report
    }

    /// A run that is killed at some moment, or just after its end.
    fn kill(&mut self, figures: &mut Figures) {
        let mut command = self.export.command(&self.store, &[]);
        command.env("TMPDIR", self.export.playground.path("tmp"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut run = command.spawn().unwrap();
        thread::sleep(self.took.mul_f64(self.random.random_range(0.0..1.1)));
        run.kill().unwrap();
        figures.kills += 1;
        figures.cut_short += usize::from(!run.wait().unwrap().success());
    }

    fn compare(&self, wanted: &BTreeMap<String, Vec<u8>>) {
        let ours = tables(&self.store);
        assert!(ours.keys().eq(wanted.keys()));
        let differ = ours.iter().find(|(name, bytes)| wanted[*name] != **bytes);
        assert_eq!(differ.map(|(name, _)| name), None);
    }

    /// The next run has removed what killed ones left in the store.
    fn check_nothing_is_left(&self) {
        let runs = fs::read_dir(self.store.join("runs")).unwrap();
        let names = runs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let hidden: Vec<String> = names.filter(|name| name.starts_with('.')).collect();
        assert!(hidden.is_empty(), "{hidden:?}");
    }

    /// Whether a run that has too little memory for its touches says what one with enough says.
    ///
    /// Touches may wait on disk where rows say nothing of their users but who it is.
    fn waits_on_disk(&self) -> bool {
        let bare = self.export.playground.path("bare");
        let mut arguments: Vec<String> =
            ["run", "--quiet", "--format", "csv", "--config", "shop.toml"]
                .map(str::to_owned)
                .into();
        let mut rows = [0, 0];
        for (table, flag) in TABLES {
            let is_touches = ["sessions", "postviews"].contains(&table);
            let folder = if is_touches || table == "orders" {
                for file in self.export.files_of(table) {
                    let there = bare.join(table).join(file.file_name().unwrap());
                    write_parquet(&without_users(&parquet(&file)), &there);
                }
                bare.join(table)
            } else {
                self.export.folder(table)
            };
            let files = self.export.files_of(table);
            rows[usize::from(!is_touches)] +=
                files.iter().map(|file| parquet(file).num_rows()).sum::<usize>();
            arguments.push(format!("--{flag}"));
            arguments.push(folder.to_str().unwrap().to_owned());
        }
        arguments.extend(["--as-of".to_owned(), self.export.as_of.clone()]);
        arguments.extend(self.export.settings.clone());
        let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let enough = self.output(&arguments);
        // For what is held, and half of what touches take.
        let limit = ((160 << 20) + 140 * rows[1] + 30 * rows[0]).to_string();
        arguments.extend(["--memory-limit", &limit]);
        let limited = self.output(&arguments);
        fs::remove_dir_all(&bare).unwrap();
        let (complaint, is_done) = (said(&limited).1, limited.status.success());
        if is_done {
            assert_eq!(said(&limited), said(&enough));
        } else {
            assert!(complaint.contains("`--memory-limit` cannot be"), "{complaint}");
        }
        is_done
    }

    fn output(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.export.binary);
        command.current_dir(self.export.playground.path("")).args(arguments).output().unwrap()
    }

    fn done(&self, arguments: &[&str]) {
        let output = self.output(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output).1);
    }

    /// Something happens to the export, or to the items beside it.
    fn change(&mut self, figures: &mut Figures) {
        let happens = match self.random.random_range(0..10) {
            0 => self.compact(),
            1 if !self.is_plain => self.repeat(),
            2 => self.join(),
            3 | 4 if self.has_items => {
                self.send();
                self.ingest_under_kills(figures);
                "items, whose ingest was killed"
            }
            _ => self.export.change(),
        };
        self.told.push(happens);
    }

    /// The files of a table become one.
    fn compact(&mut self) -> &'static str {
        let table = ["sessions", "orders", "postviews"][self.random.random_range(0..3)];
        let files = self.export.files_of(table);
        let rows: Vec<RecordBatch> = files.iter().map(|file| bare(&parquet(file))).collect();
        // Versions may have columns that originals have not, and in another order.
        if rows.iter().all(|other| other.schema() == rows[0].schema()) {
            let rows = concat_batches(&rows[0].schema(), &rows).unwrap();
            for file in files {
                fs::remove_file(file).unwrap();
            }
            self.export.write(table, &take(&rows, in_time(&rows)));
        }
        "files that became one"
    }

    /// Rows come once more, in a file of their own, and some of them newer.
    fn repeat(&mut self) -> &'static str {
        for table in ["sessions", "orders"] {
            let rows = self.export.some_rows(table, 6);
            let newer = self.random.random_bool(0.5);
            let at = later_than(&rows, 7_200_000_000);
            let rows = if newer { with(&rows, "updated_at", at) } else { rows };
            self.export.write(table, &rows);
        }
        "ids that repeat"
    }

    /// Those who ordered turn out to be one person.
    fn join(&mut self) -> &'static str {
        let (orders, sessions) =
            (self.export.some_rows("orders", 3), self.export.some_rows("sessions", 3));
        let (from, to) = (users(&sessions), users(&orders));
        let count = from.len().min(to.len());
        let aliases = RecordBatch::try_from_iter([
            ("from_user_external_id", from.slice(0, count)),
            ("to_user_external_id", to.slice(0, count)),
        ]);
        self.export.write("user_aliases", &aliases.unwrap());
        "aliases that join persons"
    }

    /// Some more items, of users that the export knows and of others.
    fn send(&mut self) {
        let known = users(&self.export.some_rows("orders", 8));
        let known = known.as_string::<i32>();
        for _ in 0..self.random.random_range(5..40) {
            let one = self.random.random_range(0..60);
            let user = match self.random.random_range(0..3) {
                0 => format!("item-user-{}", one % 7),
                _ => known.value(one % known.len()).to_owned(),
            };
            let (day, hour) = (1 + one % 28, self.random.random_range(0..24));
            let at = format!("2025-03-{day:02}T10:00:00Z");
            let updated = format!("2025-05-{day:02}T{hour:02}:00:00Z");
            let source = ["google", "mail", "bing"][self.random.random_range(0..3)];
            let line = match self.random.random_range(0..8) {
                0..=3 => format!(
                    r#"{{"kind":"session","user":{{"external_id":"item-user-{}"}},"session":{{"external_id":"item-session-{one}","created_at":"{at}","updated_at":"{updated}","utm_source":"{source}"}}}}"#,
                    one % 7
                ),
                4 | 5 => format!(
                    r#"{{"kind":"order","user":{{"external_id":"item-user-{}"}},"order":{{"external_id":"item-order-{one}","created_at":"{at}","updated_at":"{updated}","subtotal_price":{hour}.25,"currency":"EUR","items":[{{"external_id":"i{hour}","category":"{source}","price":{hour}}}]}}}}"#,
                    one % 7
                ),
                6 => format!(
                    r#"{{"kind":"user_alias","user_alias":{{"from_user_external_id":"item-user-{}","to_user_external_id":"{user}","created_at":"{at}"}}}}"#,
                    one % 5
                ),
                _ => format!(
                    r#"{{"kind":"user","user":{{"external_id":"{user}","created_at":"2025-01-{day:02}T00:00:00Z","country":"{source}"}}}}"#
                ),
            };
            self.lines.push(line);
        }
        fs::write(self.export.playground.path("lines.ndjson"), self.lines.join("\n")).unwrap();
    }

    fn ingest(&self, folder: &str, lines: &str) {
        self.done(&["ingest", lines, "-o", folder, "--quiet", "--max-rejects", "0"]);
    }

    /// Ingests into the folder of tables, at first with kills, and holds it to an ingest of everything
    /// at once.
    fn ingest_under_kills(&mut self, figures: &mut Figures) {
        for _ in 0..self.random.random_range(0..3) {
            let mut command = Command::new(&self.export.binary);
            command.current_dir(self.export.playground.path(""));
            command.args(["ingest", "lines.ndjson", "-o", "items", "--quiet"]);
            let mut ingest = command.spawn().unwrap();
            thread::sleep(Duration::from_millis(self.random.random_range(0..400)));
            ingest.kill().unwrap();
            figures.kills += 1;
            figures.cut_short += usize::from(!ingest.wait().unwrap().success());
        }
        self.ingest("items", "lines.ndjson");
        self.ingest("whole", "lines.ndjson");
        let [ours, whole] = ["items", "whole"].map(|name| self.export.playground.path(name));
        for (table, file) in items::files(&ours) {
            let there = whole.join(file.file_name().unwrap());
            assert!(fs::read(&file).unwrap() == fs::read(&there).unwrap(), "{table}");
        }
        fs::remove_dir_all(&whole).unwrap();
        figures.ingests += 1;
        figures.comparisons += 1;
    }
}

/// Rows that say of their users no more than who it is.
fn without_users(rows: &RecordBatch) -> RecordBatch {
    let schema = rows.schema();
    let says = |name: &str| name.starts_with("user_") && name != "user_external_id";
    let names = schema.fields().iter().enumerate();
    let left: Vec<usize> =
        names.filter(|(_, field)| !says(field.name())).map(|(at, _)| at).collect();
    rows.project(&left).unwrap()
}

/// Rows without what their file says of itself.
fn bare(rows: &RecordBatch) -> RecordBatch {
    let named = rows.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    let columns = named.into_iter().zip(rows.columns().iter().cloned());
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .unwrap()
}

/// The users of rows.
fn users(rows: &RecordBatch) -> arrow::array::ArrayRef {
    let ids = cast(rows.column_by_name("user_external_id").unwrap(), &DataType::Utf8).unwrap();
    let ids: StringArray = ids.as_string::<i32>().iter().collect();
    std::sync::Arc::new(ids)
}
