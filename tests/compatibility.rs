//! What others wrote, and what earlier versions of `apportion` wrote: files of five writers in every
//! type, page and codec that they offer are read to the same bytes, and yesterday's stores and kept runs
//! still open.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use apportion::queries::QUERIES;
use common::{Playground, picked, said};

const TABLES: [&str; 4] = ["sessions", "orders", "users", "user_aliases"];

const OUTPUTS: [&str; 4] = ["credits.csv", "journeys.csv", "persons.csv", "identity.csv"];

/// Fixtures that no answer may be made of, and what is said of them: numbers that have lost digits are no
/// ids, and that is what `DuckDB` makes of its widest integers.
const REFUSED: [(&str, &str); 1] = [("duckdb/ids_hugeint", "is Float64, but text or integers")];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compatibility")
}

/// The folder's entries, sorted.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = read.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// A folder with the world in the canonical types of its tables.
fn world() -> Playground {
    let playground = Playground::new();
    for table in TABLES {
        let path = fixtures().join(format!("world/{table}.csv"));
        playground.table(table, &fs::read_to_string(path).unwrap());
    }
    let workspace = fixtures().join("world/apportion.toml");
    fs::copy(workspace, playground.path("apportion.toml")).unwrap();
    playground
}

/// The report, and every other output, of the world with some tables taken from elsewhere; or what the
/// command says against it.
fn answer(
    playground: &Playground,
    instead: &dyn Fn(&str) -> Option<PathBuf>,
) -> Result<Vec<String>, String> {
    let mut arguments = vec!["run".to_owned(), "--format=csv".to_owned(), "--quiet".to_owned()];
    arguments.extend(["--as-of".to_owned(), "2026-01-01T00:00:00Z".to_owned()]);
    for (table, flag) in TABLES.iter().zip(["sessions", "orders", "users", "aliases"]) {
        let path = instead(table).unwrap_or_else(|| playground.path(&format!("{table}.parquet")));
        arguments.extend([format!("--{flag}"), path.to_str().unwrap().to_owned()]);
    }
    for output in OUTPUTS {
        let flag = output.strip_suffix(".csv").unwrap();
        arguments.extend([format!("--{flag}"), output.to_owned()]);
    }
    let (report, stderr) = said(&playground.run(&arguments));
    if !stderr.is_empty() {
        return Err(stderr);
    }
    let written = OUTPUTS.map(|name| fs::read_to_string(playground.path(name)).unwrap());
    Ok([report].into_iter().chain(written).collect())
}

/// Where a fixture has a table: a file, a folder of hive folders, or a folder of files.
fn table_of(fixture: &Path, table: &str) -> Option<PathBuf> {
    [fixture.join(format!("{table}.parquet")), fixture.join(table)]
        .into_iter()
        .find(|path| path.exists())
}

#[test]
fn the_world_is_worth_what_its_rows_say() {
    let report = &answer(&world(), &|_| None).unwrap()[0];
    let mut rows = csv::Reader::from_reader(report.as_bytes());
    let header = rows.headers().unwrap().clone();
    let cells: Vec<Vec<String>> = rows
        .records()
        .map(|row| {
            let row = row.unwrap();
            let cell = |name| row[header.iter().position(|column| column == name).unwrap()].into();
            ["model", "utm_source", "utm_medium", "currency", "amount"].map(cell).to_vec()
        })
        .filter(|row: &Vec<String>| {
            row[0] == "last_click" && !["0", "0.00"].contains(&row[4].as_str())
        })
        .collect();
    // Person 1 is also 11 and 12. Order 901 has a mapped discount code, 902 comes after it and has no
    // touch of its own, 904 is a lead and goes back to the same session as 903, 905 is cancelled, 907 is
    // of one without sessions.
    let expected = [
        ["podcast", "audio", "EUR", "100.00"],
        ["(unattributed)", "(unattributed)", "EUR", "15.44"],
        ["google", "organic", "EUR", "0.01"],
        ["google", "organic", "JPY", "12000"],
        ["newsletter", "email", "EUR", "1234.56"],
        ["(unattributed)", "(unattributed)", "EUR", "7.77"],
    ];
    let said: BTreeSet<Vec<&str>> =
        cells.iter().map(|row| row[1..].iter().map(String::as_str).collect()).collect();
    assert_eq!(said, expected.iter().map(|row| row.to_vec()).collect(), "{report}");
}

#[test]
fn whoever_wrote_the_files_the_answer_is_the_same_to_the_byte() {
    let playground = world();
    let expected = answer(&playground, &|_| None).unwrap();
    let (mut fixtures_read, mut wrong) = (0, Vec::new());
    for writer in entries(&fixtures().join("files")).into_iter().filter(|path| path.is_dir()) {
        for fixture in entries(&writer) {
            let name =
                fixture.strip_prefix(fixtures().join("files")).unwrap().display().to_string();
            let tables = TABLES.iter().filter_map(|table| table_of(&fixture, table)).count();
            assert_ne!(tables, 0, "{name} has no tables");
            fixtures_read += 1;
            let refused = REFUSED.iter().find(|(refused, _)| *refused == name);
            match (answer(&playground, &|table| table_of(&fixture, table)), refused) {
                (Ok(found), None) => {
                    let outputs = ["report"].into_iter().chain(OUTPUTS);
                    for ((output, expected), found) in outputs.zip(&expected).zip(found) {
                        if found != *expected {
                            wrong.push(format!("{name}: {output} is\n{found}\nnot\n{expected}"));
                        }
                    }
                }
                (Err(message), Some((_, why))) if message.contains(why) => {}
                (Ok(_), Some(_)) => wrong.push(format!("{name} is to be refused")),
                (Err(message), _) => wrong.push(format!("{name}: {message}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {fixtures_read}:\n{}", wrong.len(), wrong.join("\n"));
    // A writer whose files got lost would pass.
    assert!(fixtures_read >= 100, "{fixtures_read} fixtures");
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in entries(from) {
        let place = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &place);
        } else {
            fs::copy(&path, &place).unwrap();
        }
    }
}

/// The flags of the runs that the stores hold.
const STORED: [&str; 14] = [
    "run",
    "--quiet",
    "--sessions",
    "sessions.parquet",
    "--orders",
    "orders.parquet",
    "--currency",
    "EUR",
    "--model",
    "last_click,linear",
    "--as-of",
    "2026-01-01",
    "--format",
    "csv",
];

#[test]
fn what_earlier_versions_kept_opens_and_says_what_it_said() {
    let stores = entries(&fixtures().join("stores"));
    let stores: Vec<PathBuf> = stores.into_iter().filter(|path| path.is_dir()).collect();
    assert_ne!(stores.len(), 0);
    for fixture in stores {
        let playground = Playground::new();
        copy(&fixture, &playground.path("."));
        let said = |arguments: &[&str]| {
            let output = playground.run(arguments);
            let (stdout, stderr) = said(&output);
            assert!(output.status.success(), "{} {arguments:?}: {stderr}", fixture.display());
            stdout
        };
        let report = fs::read_to_string(playground.path("report.csv")).unwrap();
        let columns = ["model", "utm_source", "utm_medium", "currency", "conversions", "amount"];
        let expected = picked(&report, &columns);

        // What was kept answers questions: those of the library, but of spend there was none; and audits
        // find nothing. A store keeps no sessions.
        for run in ["before", "after", "store"] {
            let of_library = QUERIES.iter().filter(|query| query.name != "return_on_spend");
            for query in of_library.filter(|query| run != "store" || query.name == "models") {
                said(&["query", "--run", run, query.name, "--format", "csv"]);
            }
            if run != "store" {
                said(&["query", "--run", run, "--audits", "--format", "csv"]);
            }
        }
        fs::write(
            playground.path("credits.sql"),
            "select order_external_id, touch_external_id, model, sum(amount) as amount\n\
             from credits group by order_external_id, touch_external_id, model\n\
             order by order_external_id, touch_external_id, model\n",
        )
        .unwrap();
        let credits = said(&["query", "--run", "store", "credits.sql", "--format", "csv"]);
        let worth = ["order_external_id", "touch_external_id", "model", "amount"];
        let by_run = said(&["query", "--run", "after", "credits.sql", "--format", "csv"]);
        assert_eq!(credits, by_run);
        // Amounts are in cents there. Half of 100.01 is 50.01 for the earlier touch.
        let linear: Vec<String> = picked(&credits, &worth)
            .into_iter()
            .filter(|row| row.starts_with("o1 ") && row.contains("linear"))
            .collect();
        assert_eq!(linear, ["o1 s1 linear 5001", "o1 s2 linear 5000"]);

        // What changed between the two runs is that an alias joined two users.
        let difference = said(&["diff", "before", "after", "--format", "csv", "--model", "linear"]);
        let changes = picked(&difference, &["channel", "cause", "amount"]);
        for change in ["Paid Search after 50.01", "Email before 100.01", "Email after 50.00"] {
            assert!(changes.iter().any(|row| row == change), "{change}: {difference}");
        }
        assert!(changes.iter().any(|row| row == "Email identity -50.01"), "{difference}");
        assert!(said(&["runs", "diff", "--store", "store"]).contains("Email"));
        let runs = said(&["runs", "--store", "store"]);
        assert_eq!(runs.lines().filter(|line| line.contains("KiB")).count(), 2, "{runs}");
        let account: serde_json::Value =
            serde_json::from_str(&said(&["runs", "show", "--store", "store"])).unwrap();
        assert_eq!(account["version"], "0.1.0", "{account}");

        // A run goes on from the store, and says what one that never saw it says.
        let aliases = ["--aliases", "user_aliases.parquet"];
        let full = said(&[&STORED[..], &aliases].concat());
        assert_eq!(picked(&full, &columns), expected);
        for more in [&[][..], &["--where-touches", "utm_source <> 'nothing'"], &["--full"]] {
            let again = [&STORED[..], &aliases, &["--store", "store"], more].concat();
            assert_eq!(said(&again), full, "{more:?}");
        }
        said(&["runs", "prune", "--keep", "1", "--store", "store"]);
    }
}

#[test]
fn a_layout_of_another_version_is_refused_by_its_number() {
    let playground = Playground::new();
    let fixture = entries(&fixtures().join("stores")).into_iter().find(|path| path.is_dir());
    copy(&fixture.unwrap(), &playground.path("."));
    let later = |file: &str| {
        let path = playground.path(file);
        let text = fs::read_to_string(&path).unwrap();
        let (before, after) = text.split_once("\"layout\":").unwrap();
        let digits = after.trim_start().trim_start_matches(|digit: char| digit.is_ascii_digit());
        fs::write(&path, format!("{before}\"layout\": 4711{digits}")).unwrap();
    };
    later("after/run.json");
    later("store/store.json");
    for arguments in [
        &["query", "models", "--run", "after"][..],
        &["diff", "before", "after"],
        &["runs", "--store", "store"],
        &[&STORED[..], &["--store", "store"]].concat(),
    ] {
        let output = playground.run(arguments);
        let (stdout, stderr) = said(&output);
        assert_eq!((output.status.code(), stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(stderr.contains("layout is 4711"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn the_fixtures_are_small() {
    fn bytes(path: &Path) -> u64 {
        if path.is_dir() {
            entries(path).iter().map(|path| bytes(path)).sum()
        } else {
            path.metadata().unwrap().len()
        }
    }
    assert!(bytes(&fixtures()) < 1_300_000, "{} bytes", bytes(&fixtures()));
}
