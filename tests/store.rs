//! A store of runs: whatever changes, working out again only that gives the bytes of a run in full; and
//! whatever happens to a run, the last good one stays.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use apportion::kept::{Account, Frame, Kept};
use apportion::store::Store;
use common::export::{AS_OF, Export, PLAIN_WORKSPACE, TABLES, copy_folder, tables};
use common::{Playground, said};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::RngExt;

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
fn a_person_that_loses_a_user_and_has_a_later_change_keeps_its_earlier_touches() {
    let playground = Playground::new();
    let export = |sessions: &str, aliases: &str| {
        playground.table(
            "sessions",
            &format!(
                "external_id,user_external_id,created_at,utm_source
s1,ann,2025-02-10T10:00:00Z,google
s2,phone,2025-02-25T10:00:00Z,mail
s3,ann,2025-02-27T10:00:00Z,bing
s4,bob,2025-02-26T10:00:00Z,google
{sessions}"
            ),
        );
        playground.table(
            "user_aliases",
            &format!("from_user_external_id,to_user_external_id,created_at\n{aliases}"),
        );
    };
    playground.table(
        "orders",
        "external_id,user_external_id,created_at,subtotal_price,currency
o1,ann,2025-03-01T10:00:00Z,10.00,EUR
o2,bob,2025-03-02T10:00:00Z,20.00,EUR
",
    );
    let run = |store: &str| {
        let inputs = [
            "run",
            "--sessions",
            "sessions.parquet",
            "--orders",
            "orders.parquet",
            "--aliases",
            "user_aliases.parquet",
        ];
        let settings =
            ["--lookback", "30d", "--as-of", AS_OF, "--format", "csv", "--quiet", "--store", store];
        let (report, complaints) = said(&playground.run(inputs.iter().chain(&settings)));
        assert_eq!(complaints, "");
        report
    };
    export("", "phone,ann,2025-03-05T10:00:00Z\n");
    run("store");
    // The telephone turns out to be somebody else's, and weeks after the order there is another session.
    export(
        "s5,ann,2025-04-20T10:00:00Z,mail\n",
        "phone,ann,2025-03-05T10:00:00Z\nphone,bob,2025-03-01T10:00:00Z\n",
    );
    let report = run("store");
    assert_eq!(anew(&playground.path("store")), None);
    assert_eq!(report, run("fresh"));
    let [ours, theirs] = ["store", "fresh"].map(|store| tables(&playground.path(store)));
    let differ = ours.iter().find(|(name, bytes)| theirs[*name] != **bytes);
    assert_eq!(differ.map(|(name, _)| name), None);
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
