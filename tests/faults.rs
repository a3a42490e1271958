//! What happens around a run: a disk that cannot be read in the middle of a file, files that change or
//! vanish while they are read, places that cannot be written to, servers that say nothing, clocks that are
//! set back. In every case the last good output stays byte for byte, the message names the cause, nothing
//! temporary is left, and the next run works.
//!
//! Other faults have other tests: kills and full disks of a store `store`, signals and time-outs `jobs`,
//! damaged files `broken_export` and `fuzz/`, stores of objects that refuse or are busy `stores/`,
//! databases `databases.sh`, kills among changes for as long as is asked for `soak`.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]
#![expect(clippy::print_stderr, reason = "what is skipped is said")]
#![expect(clippy::disallowed_methods, reason = "what a run takes says when to disturb the next")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use apportion::kept::Kept;
use apportion::store::Store;
use common::export::{parquet, tables, take};
use common::{Playground, said, write_parquet};

/// What runs into: outputs of their own, and a store.
const WORKS: [(&str, &[&str]); 3] = [
    ("a report", &["-o", "out/report.csv"]),
    ("credits", &["-o", "out/report.csv", "--credits", "out/credits.parquet"]),
    ("a store", &["--store", "out/store"]),
];

/// A shop in `in`, outputs in `out`, and what is temporary in `tmp`.
struct Shop {
    playground: Playground,
}

impl Shop {
    fn new() -> Self {
        let playground = Playground::new();
        for folder in ["in", "out", "tmp"] {
            fs::create_dir(playground.path(folder)).unwrap();
        }
        for table in ["sessions", "orders", "user_aliases"] {
            let name = format!("{table}.parquet");
            fs::copy(of_shop(&name), playground.path("in").join(&name)).unwrap();
        }
        Self { playground }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.playground.path(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_apportion"));
        command.current_dir(self.path("")).env("TMPDIR", self.path("tmp")).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A run of the sessions at this place.
    fn run_of(&self, sessions: &str, more: &[&str]) -> Command {
        let mut command = self.command(&["run", "--quiet", "--model", "linear,last_click"]);
        command.args(["--sessions", sessions, "--orders", "in/orders.parquet"]);
        command.args(["--aliases", "in/user_aliases.parquet", "--currency", "EUR"]);
        command.args(["--max-rejects", "100%"]);
        command.args(["--by", "utm_source,utm_medium"]).args(more);
        command
    }

    fn run(&self, more: &[&str]) -> Command {
        self.run_of("in/sessions.parquet", more)
    }

    /// Everything in the folder of outputs.
    fn out(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        contents(&self.path("out"))
    }

    fn check_nothing_temporary_is_left(&self) {
        let left: Vec<PathBuf> = contents(&self.path("tmp")).into_keys().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn of_shop(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/shop").join(name)
}

/// Every file and folder below a folder, and what is in it.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn collect(root: &Path, folder: &Path, all: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_path_buf();
            if path.is_dir() {
                all.insert(name, Vec::new());
                collect(root, &path, all);
            } else {
                all.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    let mut all = BTreeMap::new();
    collect(folder, folder, &mut all);
    all
}

fn done(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output).1);
    output
}

/// What a command that must fail complained of.
fn failed(mut command: Command, causes: &[&str]) -> String {
    let output = command.output().unwrap();
    let (answer, complaint) = said(&output);
    assert_eq!((output.status.code(), answer.as_str()), (Some(2), ""), "{complaint}");
    for cause in causes {
        assert!(complaint.contains(cause), "no `{cause}` in: {complaint}");
    }
    complaint
}

/// Something mounted; gone with this.
struct Mounted(PathBuf);

impl Mounted {
    /// None where whoever tests may not mount anything.
    fn at(folder: PathBuf, arguments: &[&str]) -> Option<Self> {
        fs::create_dir_all(&folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(arguments).arg(&folder).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Self(folder))
    }

    /// A view of a folder that cannot be written to, not even by who may do everything.
    fn read_only(of: &Path, at: &Path) -> Option<Self> {
        let bound = Self::at(at.to_path_buf(), &["--bind", of.to_str().unwrap()])?;
        let mut mount = Command::new("mount");
        mount.args(["-o", "remount,bind,ro"]).arg(at).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(bound)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Where it fails, the folder cannot be removed, and stays until the machine forgets it.
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

/// A disk whose file has a hole that no system can read: its list of blocks leads out of the disk. None
/// where disks cannot be made or mounted.
fn broken_disk(shop: &Shop) -> Option<Mounted> {
    const BLOCK: u64 = 1024;
    let quiet = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        let output = command.current_dir(shop.path("")).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    fs::create_dir(shop.path("content")).unwrap();
    fs::copy(of_shop("sessions.parquet"), shop.path("content/sessions.parquet")).unwrap();
    fs::File::create(shop.path("disk")).unwrap().set_len(4 << 20).unwrap();
    quiet("mkfs.ext2", &["-q", "-b", &BLOCK.to_string(), "-d", "content", "disk"])?;
    let told = quiet("debugfs", &["-R", "stat /sessions.parquet", "disk"])?;
    // The first of the blocks that only list others: of the second dozen of blocks on.
    let (_, list) = told.split_once("(IND):")?;
    let list: u64 = list.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()?;
    let mut disk = fs::File::options().write(true).open(shop.path("disk")).unwrap();
    disk.seek(SeekFrom::Start(list * BLOCK + 4 * 100)).unwrap();
    disk.write_all(&0x7FFF_FFFF_u32.to_le_bytes()).unwrap();
    drop(disk);
    let image = shop.path("disk");
    Mounted::at(shop.path("broken"), &["-o", "loop,ro", image.to_str().unwrap()])
}

#[test]
fn a_read_that_fails_in_the_middle_is_the_disks_error_and_the_last_answer_stays() {
    let shop = Shop::new();
    let Some(broken) = broken_disk(&shop) else {
        eprintln!("SKIPPED: a disk of its own cannot be made and mounted here");
        return;
    };
    let sessions = broken.0.join("sessions.parquet");
    assert!(fs::read(&sessions).is_err(), "the disk is not broken");
    for (work, outputs) in WORKS {
        done(shop.run(outputs));
        let good = shop.out();
        let complaint = failed(shop.run_of("broken/sessions.parquet", outputs), &["cannot read"]);
        assert!(complaint.contains("broken/sessions.parquet"), "{work}: {complaint}");
        assert!(complaint.contains("os error"), "{work}: {complaint}");
        assert!(shop.out() == good, "{work}");
        shop.check_nothing_temporary_is_left();
        done(shop.run(outputs));
    }
}

#[test]
fn items_that_cannot_be_read_leave_the_tables_as_they_are() {
    let shop = Shop::new();
    let items = of_shop("items.ndjson");
    let ingest = |items: &str| shop.command(&["ingest", items, "-o", "out/tables", "--quiet"]);
    done(ingest(items.to_str().unwrap()));
    let good = shop.out();
    // The memory of a process can be opened, and not be read from its beginning.
    failed(ingest("/proc/self/mem"), &["cannot read `/proc/self/mem`", "Input/output error"]);
    assert!(shop.out() == good);
    shop.check_nothing_temporary_is_left();
    done(ingest(items.to_str().unwrap()));
    assert!(shop.out() == good);
}

/// What happens to a file, from one whole version of it to another.
type Happens = fn(&Path, &Path);

/// Another version takes the place of a file at once.
fn replace(file: &Path, other: &Path) {
    let beside = file.with_extension("new");
    fs::copy(other, &beside).unwrap();
    fs::rename(&beside, file).unwrap();
}

/// Another version is written over a file, piece by piece.
fn rewrite(file: &Path, other: &Path) {
    let mut there = fs::File::create(file).unwrap();
    for piece in fs::read(other).unwrap().chunks(64 << 10) {
        there.write_all(piece).unwrap();
        thread::sleep(Duration::from_millis(1));
    }
}

fn append(file: &Path, _: &Path) {
    fs::File::options().append(true).open(file).unwrap().write_all(b"more").unwrap();
}

fn truncate(file: &Path, _: &Path) {
    let there = fs::File::options().write(true).open(file).unwrap();
    there.set_len(there.metadata().unwrap().len() / 2).unwrap();
}

/// The same place in the middle has other bytes.
fn damage(file: &Path, _: &Path) {
    let mut there = fs::File::options().write(true).open(file).unwrap();
    there.seek(SeekFrom::Start(there.metadata().unwrap().len() / 2)).unwrap();
    there.write_all(&[0x5A; 4096]).unwrap();
}

fn remove(file: &Path, _: &Path) {
    fs::remove_file(file).unwrap();
}

/// Two versions of the sessions, and what a run says of each.
struct Versions {
    files: [PathBuf; 2],
    answers: [BTreeMap<PathBuf, Vec<u8>>; 2],
}

impl Versions {
    fn new(shop: &Shop, outputs: &[&str]) -> Self {
        let files = ["first", "second"].map(|name| shop.path(&format!("{name}.parquet")));
        let rows = parquet(&of_shop("sessions.parquet"));
        // As many rows, in row groups and columns of about the same places.
        let other = (0..rows.num_rows()).map(|row| row / 2 * 2).collect();
        write_parquet(&rows, &files[0]);
        write_parquet(&take(&rows, other), &files[1]);
        let answers = [0, 1].map(|version| {
            fs::copy(&files[version], shop.path("in/sessions.parquet")).unwrap();
            done(shop.run(outputs));
            shop.out()
        });
        assert!(answers[0] != answers[1], "the versions have one answer");
        Self { files, answers }
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error_or_one_whole_version() {
    const TIMES: u32 = 6;
    let outputs = WORKS[1].1;
    let shop = Shop::new();
    let Versions { files, answers } = Versions::new(&shop, outputs);
    let there = shop.path("in/sessions.parquet");
    let prepare = || {
        fs::copy(&files[0], &there).unwrap();
        done(shop.run(outputs));
        assert!(shop.out() == answers[0]);
    };
    let begun = Instant::now();
    prepare();
    let whole = begun.elapsed();
    let changes: [(&str, Happens); 6] = [
        ("replaced", replace),
        ("rewritten", rewrite),
        ("appended to", append),
        ("truncated", truncate),
        ("damaged", damage),
        ("removed", remove),
    ];
    let (mut noticed, mut answered) = (0, 0);
    for (how, happens) in changes {
        for time in 0..TIMES {
            prepare();
            let run = shop.run(outputs).spawn().unwrap();
            thread::sleep(whole.mul_f64(f64::from(time) / f64::from(TIMES)));
            happens(&there, &files[1]);
            let output = run.wait_with_output().unwrap();
            let (_, complaint) = said(&output);
            let why = format!("{how}, {time} of {TIMES}: {complaint}");
            if output.status.success() {
                let answer = shop.out();
                if answer != answers[0] {
                    // It had changed when it was opened, and this is the answer of what it is now.
                    done(shop.run(outputs));
                    assert!(shop.out() == answer, "{why}");
                }
                answered += 1;
            } else {
                assert_eq!(output.status.code(), Some(2), "{why}");
                assert!(complaint.contains("in/sessions.parquet"), "{why}");
                // What was opened when it had changed already is judged as what it is.
                let is_broken = complaint.contains("is not readable as Parquet")
                    || complaint.contains("no sessions file is found");
                let is_noticed = complaint.contains("changed while it was read");
                assert!(is_noticed || is_broken, "{why}");
                assert!(!complaint.contains("panicked"), "{why}");
                assert!(shop.out() == answers[0], "{why}");
                noticed += u32::from(is_noticed);
            }
            shop.check_nothing_temporary_is_left();
        }
    }
    eprintln!("{noticed} changes noticed, {answered} runs answered of one version");
    assert!(noticed > TIMES / 2, "only {noticed} changes came while files were read");
    prepare();
}

#[test]
fn a_file_that_never_rests_is_never_two_versions() {
    const TIMES: usize = 6;
    for (work, outputs) in [WORKS[1], WORKS[2]] {
        let shop = Shop::new();
        let Versions { files, .. } = Versions::new(&shop, outputs);
        let there = shop.path("in/sessions.parquet");
        let report = |version: usize| {
            fs::copy(&files[version], &there).unwrap();
            said(&done(shop.run(&["--format", "csv"]))).0
        };
        let answers = [report(0), report(1)];
        let mut noticed = 0;
        for time in 0..TIMES {
            let good = shop.out();
            let rests = AtomicBool::new(false);
            let output = thread::scope(|scope| {
                scope.spawn(|| {
                    for version in (0..2).cycle() {
                        if rests.load(Ordering::SeqCst) {
                            return;
                        }
                        replace(&there, &files[version]);
                        // Now and then it rests for long enough to be read.
                        thread::sleep(Duration::from_millis(20 * (time as u64 + 1)));
                    }
                });
                let run = shop.run(outputs).output().unwrap();
                rests.store(true, Ordering::SeqCst);
                run
            });
            let (_, complaint) = said(&output);
            if output.status.success() {
                let place = ["out/report.csv", "out/store"].map(|place| shop.path(place));
                let told = if place[0].exists() {
                    fs::read_to_string(&place[0]).unwrap()
                } else {
                    let query = ["query", "attribution", "--run", "out/store", "--format", "csv"];
                    done(shop.command(&query));
                    Kept::open(&place[1]).unwrap().verify().unwrap();
                    continue;
                };
                assert!(answers.contains(&told), "{work}");
            } else {
                let wanted = "`in/sessions.parquet` changed while it was read: ";
                assert!(complaint.contains(wanted), "{work}: {complaint}");
                assert!(complaint.contains("; run again when it is whole"), "{work}: {complaint}");
                assert!(shop.out() == good, "{work}");
                noticed += 1;
            }
            shop.check_nothing_temporary_is_left();
        }
        assert!(noticed > 0, "{work}: nothing was noticed");
        done(shop.run(outputs));
    }
}

#[test]
fn items_may_grow_while_they_are_read_and_not_be_others() {
    let shop = Shop::new();
    let line = fs::read_to_string(of_shop("items.ndjson")).unwrap();
    let line = line.lines().find(|line| line.contains("\"session\"")).unwrap().to_owned();
    let many = vec![line.as_str(); 60_000].join("\n") + "\n";
    let items = shop.path("in/items.ndjson");
    let ingest = || shop.command(&["ingest", "in/items.ndjson", "-o", "out/tables", "--quiet"]);
    fs::write(&items, &many).unwrap();
    let begun = Instant::now();
    done(ingest());
    let whole = begun.elapsed();
    let good = shop.out();
    let disturbed = |happens: &dyn Fn()| {
        let ingest = ingest().spawn().unwrap();
        thread::sleep(whole.mul_f64(0.3));
        happens();
        ingest.wait_with_output().unwrap()
    };
    let more = || {
        let mut there = fs::File::options().append(true).open(&items).unwrap();
        there.write_all(format!("{line}\n").as_bytes()).unwrap();
    };
    let output = disturbed(&more);
    assert!(output.status.success(), "{}", said(&output).1);
    assert!(shop.out() == good, "the same items are the same tables");
    let output = disturbed(&|| fs::write(&items, &line).unwrap());
    let (_, complaint) = said(&output);
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    assert!(complaint.contains("`in/items.ndjson` changed while it was read"), "{complaint}");
    assert!(shop.out() == good);
    shop.check_nothing_temporary_is_left();
    done(ingest());
    assert!(shop.out() == good);
}

#[test]
fn places_that_cannot_be_written_to_are_named_and_stay_as_they_are() {
    let shop = Shop::new();
    for (_, outputs) in WORKS {
        done(shop.run(outputs));
    }
    let items = of_shop("items.ndjson");
    let items = items.to_str().unwrap();
    done(shop.command(&["ingest", items, "-o", "out/tables", "--quiet"]));
    let good = shop.out();
    let Some(read_only) = Mounted::read_only(&shop.path("out"), &shop.path("fixed")) else {
        eprintln!("SKIPPED: a folder cannot be mounted for reading only here");
        return;
    };
    let works: [&[&str]; 4] = [
        &["-o", "fixed/report.csv"],
        &["--credits", "fixed/credits.parquet", "-o", "other.csv"],
        &["--store", "fixed/store"],
        &["--keep", "fixed/kept"],
    ];
    for outputs in works {
        failed(shop.run(outputs), &["fixed/", "Read-only file system"]);
    }
    failed(
        shop.command(&["ingest", items, "-o", "fixed/tables", "--quiet"]),
        &["fixed", "Read-only file system"],
    );
    failed(
        shop.command(&["simulate", "--sessions", "100", "--quiet", "-o", "fixed/world"]),
        &["fixed/world", "Read-only file system"],
    );
    failed(
        shop.command(&["runs", "prune", "--keep", "1", "--store", "fixed/store"]),
        &["fixed/store", "Read-only file system"],
    );
    assert!(shop.out() == good && !shop.path("other.csv").exists());
    shop.check_nothing_temporary_is_left();
    // To be read is all that it is for.
    done(shop.command(&["runs", "--store", "fixed/store"]));
    done(shop.command(&["query", "attribution", "--run", "fixed/store", "--format", "csv"]));
    done(shop.run_of("in/sessions.parquet", &["-o", "other.csv"]));
    drop(read_only);
    for (_, outputs) in WORKS {
        done(shop.run(outputs));
    }
}

#[test]
fn a_server_that_says_nothing_is_given_up_in_time() {
    let shop = Shop::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Whoever asks is heard and not answered.
    thread::spawn(move || listener.incoming().flatten().collect::<Vec<TcpStream>>());
    let bucket = "s3://bucket/sessions.parquet";
    let run = |outputs: &[&str]| {
        let mut command = shop.run_of(bucket, outputs);
        command.env("AWS_ENDPOINT_URL", format!("http://{address}")).env("AWS_ALLOW_HTTP", "true");
        command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret");
        command
    };
    for (work, outputs) in WORKS {
        done(shop.run(outputs));
        let good = shop.out();
        let begun = Instant::now();
        let arguments = [outputs, &["--timeout", "2s"]].concat();
        failed(run(&arguments), &["longer than `--timeout` allows"]);
        assert!(begun.elapsed() < Duration::from_secs(20), "{work}: {:?}", begun.elapsed());
        assert!(shop.out() == good, "{work}");
        shop.check_nothing_temporary_is_left();
        done(shop.run(outputs));
    }
    // A limit for each request is the store's own, and it is asked a few times.
    let mut command = run(WORKS[0].1);
    command.env("AWS_TIMEOUT", "1 second");
    failed(command, &["cannot read `s3://bucket/sessions.parquet`"]);
}

#[test]
fn a_clock_that_is_set_back_leaves_runs_in_their_order_and_the_next_one_works() {
    let shop = Shop::new();
    let store = shop.path("out/store");
    let outputs = WORKS[2].1;
    done(shop.run(outputs));
    // The run was long from now, and so was all that it wrote.
    let first = Store::open(&store).unwrap().current().unwrap();
    let told = store.join("runs").join(&first).join("run.json");
    let text = fs::read_to_string(&told).unwrap();
    let stored_at = Kept::open(&store).unwrap().account().stored_at.clone().unwrap();
    fs::write(&told, text.replace(&stored_at, "2099-01-01T00:00:00.000000Z")).unwrap();
    let later = std::time::SystemTime::now() + Duration::from_hours(24 * 365 * 80);
    for file in contents(&store).into_keys() {
        fs::File::open(store.join(file)).unwrap().set_modified(later).unwrap();
    }
    let good = fs::read(&told).unwrap();
    let rows = parquet(&shop.path("in/sessions.parquet"));
    for half in [2, 4] {
        write_parquet(&rows.slice(0, rows.num_rows() / half), &shop.path("in/sessions.parquet"));
        done(shop.run(outputs));
    }
    assert_eq!(fs::read(&told).unwrap(), good);
    let opened = Store::open(&store).unwrap();
    let runs = opened.runs().unwrap();
    let names: Vec<String> = runs.iter().map(|kept| kept.account().run.clone().unwrap()).collect();
    assert_eq!(names.len(), 3);
    assert_eq!((&names[0], &names[2]), (&opened.current().unwrap(), &first));
    assert_eq!(opened.run("previous").unwrap().account().run.as_ref(), Some(&names[1]));
    // The oldest goes first, whatever it says of its time.
    done(shop.command(&["runs", "prune", "--keep", "2", "--store", "out/store"]));
    let left = Store::open(&store).unwrap().runs().unwrap();
    let left: Vec<String> = left.iter().map(|kept| kept.account().run.clone().unwrap()).collect();
    assert_eq!(left, names[..2]);
    // The bytes are those of a store that knew no other clock.
    done(shop.run(&["--store", "out/other", "--full"]));
    let [ours, other] = ["out/store", "out/other"].map(|place| tables(&shop.path(place)));
    assert!(ours == other);
}
