//! Runs as schedulers start, wait for and stop them.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]
#![expect(clippy::disallowed_methods, reason = "how long a signal takes is what is tested")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{Playground, said};
use serde_json::Value;

/// Persons named so that it is seen where one is.
const PERSON: &str = "person-of-flesh";

/// A small export with its tables, and one order that no session led to.
fn export() -> Playground {
    let playground = Playground::new();
    write_export(&playground);
    playground
}

fn write_export(playground: &Playground) {
    playground.table(
        "sessions",
        &format!(
            "external_id,user_external_id,created_at,utm_source\ns1,{PERSON},2024-01-01T10:00:00Z,google\ns2,{PERSON},2024-01-01T11:00:00Z,mail\n,{PERSON},2024-01-01T12:00:00Z,mail\n"
        ),
    );
    playground.table(
        "orders",
        &format!(
            "external_id,user_external_id,created_at,subtotal_price,currency\no1,{PERSON},2024-01-02T10:00:00Z,10.00,EUR\no2,{PERSON}-too,2024-01-02T11:00:00Z,5.00,EUR\n"
        ),
    );
}

/// What every run here begins with.
const RUN: [&str; 7] =
    ["run", "--sessions", "sessions.parquet", "--orders", "orders.parquet", "--max-rejects", "50%"];

fn run(playground: &Playground, more: &[&str]) -> Output {
    playground.run(RUN.iter().chain(more))
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn events(stderr: &str) -> Vec<Value> {
    stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[test]
fn a_condition_that_does_not_hold_publishes_nothing_and_says_the_figure() {
    let playground = export();
    let conditions =
        ["--assert", "unattributed_share < 0.4", "--assert", "orders.counted = 2", "-o", "r.csv"];
    let output = run(&playground, &conditions);
    let (stdout, stderr) = said(&output);
    assert_eq!((code(&output), stdout.as_str()), (1, ""));
    let wanted = "`unattributed_share < 0.4` does not hold: unattributed_share is 0.5";
    assert!(stderr.contains(wanted) && !stderr.contains("orders.counted"), "{stderr}");
    assert_eq!(playground.files(), ["orders.parquet", "sessions.parquet"]);
    let fine = run(&playground, &["--assert", "unattributed_share <= 0.5", "-o", "r.csv"]);
    assert_eq!(code(&fine), 0, "{}", said(&fine).1);
    assert!(playground.path("r.csv").exists());
}

#[test]
fn a_figure_that_nobody_knows_is_answered_by_those_that_there_are() {
    let output = run(&export(), &["--assert", "unattributed < 3"]);
    let stderr = said(&output).1;
    assert_eq!(code(&output), 2);
    for wanted in ["no figure is named `unattributed`", "unattributed_share", "rejects.TABLE.RULE"]
    {
        assert!(stderr.contains(wanted), "{stderr}");
    }
}

#[test]
fn every_number_of_a_summary_is_a_figure() {
    let playground = export();
    run(&playground, &["--summary", "summary.json", "-o", "r.csv"]);
    let summary = fs::read_to_string(playground.path("summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let mut paths = Vec::new();
    numbers("", &summary, &mut paths);
    assert!(paths.len() > 20, "{paths:?}");
    for (name, value) in paths {
        let condition = format!("{name} = {value}");
        let output = run(&playground, &["--assert", &condition, "-o", "r.csv"]);
        assert_eq!(code(&output), 0, "{}", said(&output).1);
    }
}

fn numbers(name: &str, value: &Value, paths: &mut Vec<(String, Value)>) {
    match value {
        Value::Number(_) => paths.push((name.to_owned(), value.clone())),
        Value::Object(fields) => {
            for (field, value) in fields {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                numbers(&name, value, paths);
            }
        }
        _ => {}
    }
}

#[test]
fn inputs_that_never_come_are_waited_for_in_vain() {
    let playground = Playground::new();
    let begun = Instant::now();
    let output = run(&playground, &["--wait-for", "0.5s", "-o", "r.csv"]);
    assert_eq!(code(&output), 3, "{}", said(&output).1);
    assert!(begun.elapsed() >= Duration::from_millis(500));
    let stderr = said(&output).1;
    assert!(stderr.contains("after waiting 0.5 s"), "{stderr}");
    assert!(playground.files().is_empty());
    // Without a wait they are an error like any other.
    assert_eq!(code(&run(&playground, &[])), 2);
}

#[test]
fn inputs_that_come_late_or_in_parts_are_waited_for() {
    let (whole, playground) = (export(), Playground::new());
    let copy = |name: &str, part: usize| {
        let bytes = fs::read(whole.path(name)).unwrap();
        fs::write(playground.path(name), &bytes[..bytes.len() / part]).unwrap();
    };
    // One file is not at its end yet, the other not there.
    copy("orders.parquet", 2);
    let output = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(400));
            copy("sessions.parquet", 1);
            thread::sleep(Duration::from_millis(400));
            copy("orders.parquet", 1);
        });
        run(&playground, &["--wait-for", "60s", "-o", "r.csv"])
    });
    assert_eq!(code(&output), 0, "{}", said(&output).1);
    // What is never whole is an error, not a thing to wait for again.
    copy("orders.parquet", 2);
    let output = run(&playground, &["--wait-for", "0.3s", "-o", "again.csv"]);
    assert_eq!(code(&output), 2);
    assert!(said(&output).1.contains("not readable as Parquet"), "{}", said(&output).1);
}

#[test]
fn events_tell_a_run_and_nothing_of_persons() {
    let playground = export();
    let output = run(&playground, &["--log-format", "json", "--job", "daily", "-o", "r.csv"]);
    let (stdout, stderr) = said(&output);
    assert_eq!((code(&output), stdout.as_str()), (0, ""));
    let events = events(&stderr);
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds.first(), Some(&"begin"));
    assert_eq!(kinds.last(), Some(&"end"));
    for kind in ["stage", "read", "summary", "written"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    assert_eq!(events[0]["job"], "daily");
    assert_eq!(events.last().unwrap()["exit_code"], 0);
    let read = events.iter().find(|event| event["table"] == "sessions").unwrap();
    assert_eq!((&read["rows"], &read["rejected"]), (&3.into(), &1.into()));
    assert!(!stderr.contains(PERSON), "{stderr}");
    // A failure is an event too, and so is what would be right.
    let output = run(&playground, &["--log-format", "json", "--assert", "rejected = 0"]);
    let events = self::events(&said(&output).1);
    let error = events.iter().find(|event| event["event"] == "error").unwrap();
    assert_eq!((code(&output), &error["exit_code"]), (1, &1.into()));
    assert!(error["message"].as_str().unwrap().contains("rejected is 1"));
    // Quiet leaves errors only.
    let output = run(&playground, &["--log-format", "json", "--quiet", "-o", "r.csv"]);
    assert_eq!(said(&output).1, "");
}

/// The values of a file of metrics, by name and labels as written.
fn metrics(path: &Path) -> BTreeMap<String, f64> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pair = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    lines.map(pair).collect()
}

#[test]
fn metrics_say_how_a_run_went_also_when_it_failed() {
    let playground = export();
    let path = playground.path("job.prom");
    run(&playground, &["--metrics", "job.prom", "--job", "daily", "-o", "r.csv"]);
    let of_run = metrics(&path);
    for (name, value) in [
        (r#"apportion_success{job_name="daily"}"#, 1.0),
        (r#"apportion_rows_read{job_name="daily",table="sessions"}"#, 3.0),
        (r#"apportion_rows_rejected{job_name="daily",rule="missing_value",table="sessions"}"#, 1.0),
        (r#"apportion_orders{job_name="daily",state="counted"}"#, 2.0),
        (r#"apportion_orders{job_name="daily",state="unattributed"}"#, 1.0),
    ] {
        assert_eq!(of_run.get(name), Some(&value), "{name}: {of_run:?}");
    }
    assert!(of_run.keys().any(|name| name.contains("stage_duration_seconds")));
    assert!(of_run[r#"apportion_peak_memory_bytes{job_name="daily"}"#] > 1e6);
    fs::remove_file(playground.path("orders.parquet")).unwrap();
    let failed = run(&playground, &["--metrics", "job.prom", "--job", "daily", "-o", "r.csv"]);
    assert_eq!(code(&failed), 2);
    let of_run = metrics(&path);
    assert_eq!(of_run.get(r#"apportion_success{job_name="daily"}"#), Some(&0.0));
    assert_eq!(of_run.get(r#"apportion_exit_code{job_name="daily"}"#), Some(&2.0));
}

#[test]
fn lineage_says_what_was_read_and_written_and_how_it_ended() {
    let playground = export();
    let lineage = |more: &[&str]| {
        let output =
            run(&playground, &[&["--openlineage", "l.ndjson", "-o", "r.parquet"], more].concat());
        let text = fs::read_to_string(playground.path("l.ndjson")).unwrap();
        (code(&output), events(&text))
    };
    let (done, events) = lineage(&[]);
    assert_eq!((done, events.len()), (0, 2));
    assert_eq!(
        (&events[0]["eventType"], &events[1]["eventType"]),
        (&"START".into(), &"COMPLETE".into())
    );
    assert_eq!(events[0]["run"]["runId"], events[1]["run"]["runId"]);
    let names = |value: &Value| -> Vec<String> {
        let fields = value["facets"]["schema"]["fields"].as_array().unwrap();
        fields.iter().map(|field| field["name"].as_str().unwrap().to_owned()).collect()
    };
    let inputs = events[1]["inputs"].as_array().unwrap();
    let sessions = inputs
        .iter()
        .find(|input| input["name"].as_str().unwrap().ends_with("/sessions.parquet"))
        .unwrap();
    assert!(names(sessions).contains(&"utm_source".to_owned()), "{sessions}");
    assert_eq!(sessions["inputFacets"]["inputStatistics"]["rowCount"], 3);
    let output = &events[1]["outputs"][0];
    assert!(names(output).contains(&"conversions".to_owned()), "{output}");
    let (failed, events) = lineage(&["--assert", "rejected = 0"]);
    assert_eq!((failed, &events[1]["eventType"]), (1, &"FAIL".into()));
    let message = events[1]["run"]["facets"]["errorMessage"]["message"].as_str().unwrap();
    assert!(message.contains("rejected is 1"), "{message}");
}

#[test]
fn a_jobs_own_files_are_none_that_the_run_reads_or_writes() {
    let playground = export();
    for more in [
        ["--metrics", "r.csv", "-o", "r.csv"],
        ["--metrics", "orders.parquet", "-o", "r.csv"],
        ["--openlineage", "sessions.parquet", "-o", "r.csv"],
        ["--metrics", "both", "--openlineage", "both"],
        ["--metrics", "no/where.prom", "-o", "r.csv"],
        ["--timeout", "soon", "-o", "r.csv"],
        ["--wait-for", "0s", "-o", "r.csv"],
    ] {
        assert_eq!(code(&run(&playground, &more)), 2, "{more:?}");
        assert_eq!(playground.files(), ["orders.parquet", "sessions.parquet"], "{more:?}");
    }
}

/// The shop of the examples, in which long work is done.
fn shop() -> String {
    format!("{}/datasets/shop/apportion.toml", env!("CARGO_MANIFEST_DIR"))
}

/// Begins work that takes minutes, with temporary files of its own.
fn long(playground: &Playground, more: &[&str]) -> Child {
    fs::create_dir_all(playground.path("tmp")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_apportion"))
        .current_dir(playground.path("."))
        .env("TMPDIR", playground.path("tmp"))
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Sends a signal; returns the exit code, how long it took, and what was said.
fn stop(mut child: Child, signal: &str) -> (i32, Duration, String) {
    let id = child.id().to_string();
    let sent = Instant::now();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    let status = child.wait().unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    (status.code().unwrap_or(-1), sent.elapsed(), stderr)
}

#[test]
fn a_signal_ends_long_work_soon_and_leaves_nothing() {
    let shop = shop();
    let resampled = [
        "run",
        "--config",
        &shop,
        "--model",
        "markov,shapley",
        "--by",
        "utm_source,utm_medium,month",
        "--bootstrap",
        "20000",
        "-o",
        "r.csv",
        "--effects",
        "e.csv",
        "--quiet",
    ];
    let simulated = ["simulate", "--sessions", "20000000", "-o", "world"];
    for (work, signal, expected) in [
        (&resampled[..], "-TERM", 143),
        (&resampled[..], "-INT", 130),
        (&simulated[..], "-TERM", 143),
    ] {
        let playground = Playground::new();
        let child = long(&playground, work);
        thread::sleep(Duration::from_millis(1_500));
        let (code, took, stderr) = stop(child, signal);
        assert_eq!(code, expected, "{stderr}");
        assert!(took < Duration::from_secs(4), "{took:?}");
        assert!(stderr.contains("nothing is written") && stderr.lines().count() == 1, "{stderr}");
        let left: Vec<String> = playground.files();
        let left: Vec<&String> =
            left.iter().filter(|name| *name != "tmp" && *name != "world").collect();
        assert!(left.is_empty(), "{left:?}");
        for folder in ["tmp", "world"] {
            let files = fs::read_dir(playground.path(folder)).map_or(0, Iterator::count);
            assert_eq!(files, 0, "{folder}");
        }
    }
}

#[test]
fn a_signal_while_nobody_reads_comes_after_the_files() {
    let playground = Playground::new();
    let shop = shop();
    // More than fits a pipe, and nobody at its other end.
    let work = [
        "run",
        "--config",
        &shop,
        "--by",
        "user_external_id",
        "--format",
        "ndjson",
        "--credits",
        "c.csv",
        "--quiet",
    ];
    let child = long(&playground, &work);
    let begun = Instant::now();
    while !playground.path("c.csv").exists() {
        assert!(begun.elapsed() < Duration::from_mins(1));
        thread::sleep(Duration::from_millis(50));
    }
    thread::sleep(Duration::from_millis(300));
    let (code, took, stderr) = stop(child, "-TERM");
    assert_eq!(code, 143, "{stderr}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(stderr.contains("after everything was written"), "{stderr}");
}

#[test]
fn a_run_that_takes_too_long_is_stopped() {
    let playground = Playground::new();
    let shop = shop();
    let work = [
        "run",
        "--config",
        &shop,
        "--model",
        "markov",
        "--bootstrap",
        "20000",
        "--effects",
        "e.csv",
        "-o",
        "r.csv",
        "--timeout",
        "1s",
        "--metrics",
        "m.prom",
    ];
    let begun = Instant::now();
    let output = long(&playground, &work).wait_with_output().unwrap();
    assert_eq!(code(&output), 2, "{}", said(&output).1);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(said(&output).1.contains("longer than `--timeout` allows"), "{}", said(&output).1);
    let left = playground.files();
    assert!(left.iter().all(|name| name == "tmp" || name == "m.prom"), "{left:?}");
}
