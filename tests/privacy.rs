//! Privacy: no raw user id is written anywhere once ids are hashed, and no line of a report is of fewer
//! persons than are asked for, while its totals stay.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use apportion::ids::Pseudonyms;
use arrow::array::{Array, AsArray, RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use common::{Playground, said};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const SALT: &str = "correct horse battery staple";

/// Three persons, of whom one has two ids; a user without a time, and an alias of one nobody met.
fn shop() -> Playground {
    let playground = Playground::new();
    playground.table(
        "sessions",
        "external_id,user_external_id,created_at,utm_source,utm_medium,duration\n\
         s1,ZEBRA-1,2024-03-01T08:00:00Z,google,cpc,30\n\
         s2,ZEBRA-1b,2024-03-02T08:00:00Z,news,email,5\n\
         s3,ZEBRA-2,2024-03-02T09:00:00Z,google,cpc,40\n\
         s4,ZEBRA-3,2024-03-03T08:00:00Z,,,1\n\
         s5,ZEBRA-3,,google,cpc,1\n",
    );
    playground.table(
        "orders",
        "external_id,user_external_id,created_at,subtotal_price\n\
         o1,ZEBRA-1,2024-03-05T08:00:00Z,10.00\n\
         o2,ZEBRA-2,2024-03-05T09:00:00Z,20.00\n\
         o3,ZEBRA-3,2024-03-06T08:00:00Z,30.01\n",
    );
    playground.table(
        "aliases",
        "from_user_external_id,to_user_external_id,created_at\n\
         ZEBRA-1b,ZEBRA-1,2024-03-04T08:00:00Z\n\
         ZEBRA-9,ZEBRA-8,2024-03-04T08:00:00Z\n",
    );
    playground.table(
        "users",
        "external_id,created_at,is_authenticated\n\
         ZEBRA-1,2024-03-01T00:00:00Z,true\n\
         ZEBRA-4,,true\n\
         {{user_id}},2024-03-01T00:00:00Z,true\n",
    );
    let items = [
        r#"{"kind":"user","user":{"external_id":"ZEBRA-5","created_at":"soon"}}"#,
        r#"{"kind":"session","user":{"external_id":"ZEBRA-6","created_at":"2024-03-01T00:00:00Z"},"session":{"external_id":"s6","created_at":"2024-03-01T00:00:00Z"}}"#,
    ];
    fs::write(playground.path("items.ndjson"), items.join("\n")).unwrap();
    fs::write(playground.path("salt.key"), format!("{SALT}\n")).unwrap();
    playground
}

const INPUTS: [&str; 12] = [
    "--sessions",
    "sessions.parquet",
    "--orders",
    "orders.parquet",
    "--aliases",
    "aliases.parquet",
    "--users",
    "users.parquet",
    "--max-rejects",
    "100%",
    "--as-of",
    "2025-01-01",
];

/// All that a file says, as text.
fn text(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    if path.extension().is_none_or(|ending| ending != "parquet") {
        return String::from_utf8_lossy(&bytes).into_owned();
    }
    let file = fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let metadata = format!("{:?}", reader.metadata());
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(|rows| rows.unwrap()).collect();
    let columns = batches.iter().flat_map(RecordBatch::columns);
    let cells = columns.flat_map(|column| {
        // Times are of nobody, and in zones that a cast does not know.
        let texts = match column.data_type() {
            DataType::Timestamp(..) => new_null_array(&DataType::Utf8, column.len()),
            _ => cast(column, &DataType::Utf8).unwrap(),
        };
        let texts: Vec<String> =
            texts.as_string::<i32>().iter().flatten().map(str::to_owned).collect();
        texts
    });
    format!("{metadata}\n{}", cells.collect::<Vec<_>>().join("\n"))
}

/// The files in a folder and those below it.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all
}

#[test]
fn no_raw_user_id_is_written_anywhere() {
    let shop = shop();
    let outputs = [
        "--by",
        "utm_source,user_external_id",
        "--model",
        "linear,markov",
        "-o",
        "out/report.csv",
        "--credits",
        "out/credits.csv",
        "--journeys",
        "out/journeys.ndjson",
        "--persons",
        "out/persons.json",
        "--identity",
        "out/identity.parquet",
        "--rejects",
        "out/rejects.csv",
        "--summary",
        "out/summary.json",
        "--orders-report",
        "out/orders.md",
        "--paths",
        "out/paths.csv",
        "--effects",
        "out/effects.arrow",
        "--keep",
        "out/kept",
        "--log-format",
        "json",
        "--metrics",
        "out/metrics.prom",
        "--openlineage",
        "out/lineage.ndjson",
    ];
    let hashed = ["--hash-ids", "salt.key", "--items", "items.ndjson"];
    let explained = ["explain", "o1"];
    let identity = ["identity", "--format", "json", "--changed", "out/changed.csv"];
    fs::create_dir(shop.path("out")).unwrap();
    let mut spoken = String::new();
    for arguments in [
        [&["run"], &outputs[..]].concat(),
        [&["run", "--format", "html", "-o", "out/page.html"][..]].concat(),
        ["run", "--store", "out/store", "--quiet"].to_vec(),
        explained.to_vec(),
        [&explained[..], &["--format", "json"]].concat(),
        identity.to_vec(),
        ["check"].to_vec(),
        ["run", "--where-touches", "user_external_id = 'nobody'"].to_vec(),
    ] {
        let output = shop.run([&arguments[..], &INPUTS, &hashed].concat());
        let (answer, complaints) = said(&output);
        // Rejected rows are findings of `check`.
        assert!(output.status.code().unwrap() < 2, "{arguments:?}: {complaints}");
        spoken = format!("{spoken}{answer}{complaints}");
    }
    assert!(!spoken.contains("ZEBRA"), "{spoken}");
    let written = files(&shop.path("out"));
    assert!(written.len() > 20, "{written:?}");
    let pseudonyms = Pseudonyms::of_salt(SALT.as_bytes());
    let mut named = 0;
    for path in written {
        let text = text(&path);
        assert!(!text.contains("ZEBRA"), "{}: {text}", path.display());
        assert!(!text.contains(SALT), "{}", path.display());
        named += usize::from(text.contains(&pseudonyms.of("ZEBRA-1")));
    }
    assert!(named > 5, "pseudonyms are in {named} files only");
    let rejects = fs::read_to_string(shop.path("out/rejects.csv")).unwrap();
    assert!(rejects.contains(&pseudonyms.of("ZEBRA-4")), "{rejects}");
    assert!(rejects.contains("{{user_id}}"), "{rejects}");
}

#[test]
fn hashing_changes_names_and_nothing_else() {
    let shop = shop();
    let outputs = ["--credits", "credits.csv", "--persons", "persons.csv", "--format", "csv"];
    let run = |more: &[&str]| {
        let output = shop.run([&["run", "--quiet"], &INPUTS[..], &outputs, more].concat());
        let (report, complaints) = said(&output);
        assert!(output.status.success(), "{complaints}");
        let read = |name: &str| fs::read_to_string(shop.path(name)).unwrap();
        (report, read("credits.csv"), read("persons.csv"))
    };
    let plain = run(&[]);
    let hashed = run(&["--hash-ids", "salt.key"]);
    assert_eq!(plain.0, hashed.0);
    let pseudonyms = Pseudonyms::of_salt(SALT.as_bytes());
    let renamed = |table: &str| -> BTreeSet<String> {
        let names = ["ZEBRA-1b", "ZEBRA-1", "ZEBRA-2", "ZEBRA-3", "ZEBRA-8"];
        let rename = |line: &str| {
            names
                .iter()
                .fold(line.to_owned(), |line, name| line.replace(name, &pseudonyms.of(name)))
        };
        table.lines().map(rename).collect()
    };
    let lines = |table: &str| -> BTreeSet<String> { table.lines().map(str::to_owned).collect() };
    assert_eq!(renamed(&plain.1), lines(&hashed.1));
    assert_eq!(renamed(&plain.2), lines(&hashed.2));
}

#[test]
fn a_salt_that_will_not_do_is_refused() {
    let shop = shop();
    fs::write(shop.path("short.key"), "secret\n").unwrap();
    for (salt, why) in [("short.key", "at least 16"), ("none.key", "none.key")] {
        let output = shop.run([&["run", "--hash-ids", salt], &INPUTS[..]].concat());
        let (_, complaints) = said(&output);
        assert_eq!(output.status.code(), Some(2));
        assert!(complaints.contains(why) && !complaints.contains("secret"), "{complaints}");
    }
}

/// A report as text by model and the values of its dimensions.
type Lines = BTreeMap<(String, Vec<String>), BTreeMap<String, String>>;

fn lines(csv: &str, dimensions: usize) -> Lines {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let line = |record: csv::StringRecord| {
        let values: Vec<String> =
            record.iter().skip(1).take(dimensions + 1).map(str::to_owned).collect();
        let cells = names.iter().cloned().zip(record.iter().map(str::to_owned)).collect();
        ((record[0].to_owned(), values), cells)
    };
    reader.records().map(|record| line(record.unwrap())).collect()
}

fn sum(lines: &Lines, name: &str) -> f64 {
    lines.values().map(|line| line[name].parse::<f64>().unwrap_or(0.0)).sum()
}

#[test]
fn no_line_is_of_fewer_persons_and_totals_stay() {
    let playground = Playground::new();
    let world = [
        "simulate",
        "--seed",
        "3",
        "--sessions",
        "4000",
        "--orders",
        "500",
        "--users",
        "600",
        "--alias-share",
        "0.2",
        "--quiet",
        "-o",
        "world",
    ];
    assert!(playground.run(world).status.success());
    let run = |by: &str, more: &[&str]| {
        let arguments = [
            "run",
            "--config",
            "world/apportion.toml",
            "--by",
            by,
            "--format",
            "csv",
            "--quiet",
            "--credits",
            "credits.csv",
            "--model",
            "last_click,linear,markov",
            "--summary",
            "summary.json",
        ];
        let (report, complaints) = said(&playground.run([&arguments[..], more].concat()));
        assert_eq!(complaints, "");
        report
    };
    for by in ["utm_source,utm_campaign,week", "utm_campaign,landing_page", "day", "none"] {
        let dimensions = if by == "none" { 0 } else { by.split(',').count() };
        let open = lines(&run(by, &[]), dimensions);
        let credits = fs::read(playground.path("credits.csv")).unwrap();
        let touches: Vec<BTreeMap<String, String>> =
            csv::Reader::from_reader(&credits[..]).deserialize().map(|row| row.unwrap()).collect();
        let persons: BTreeSet<&String> = touches.iter().map(|row| &row["person"]).collect();
        for least in ["2", "7", "40"] {
            let closed = lines(&run(by, &["--min-persons", least]), dimensions);
            let least: u64 = least.parse().unwrap();
            for ((_, values), line) in &closed {
                let count: u64 = line["persons"].parse().unwrap();
                assert!(count >= least || count == 0, "{by} {values:?}: {count} of {least}");
                assert!(count <= persons.len() as u64);
                let is_other = values.iter().any(|value| value == "(other)");
                let key = (line["model"].clone(), values.clone());
                assert!(is_other || open.get(&key) == Some(line), "{by} {values:?}");
            }
            for name in ["conversions", "amount", "sessions", "alone", "closer"] {
                let (was, is) = (sum(&open, name), sum(&closed, name));
                assert!((was - is).abs() < 1e-6 * was.abs().max(1.0), "{by} {name}: {was} {is}");
            }
            // Nothing of single persons changes.
            assert!(credits == fs::read(playground.path("credits.csv")).unwrap(), "{by}");
            // Persons of merged lines are counted once: as many as ordered after a touch of one.
            let shown: BTreeSet<Vec<String>> =
                closed.keys().map(|(_, values)| values.clone()).collect();
            let whole = vec!["(other)".to_owned(); dimensions];
            let other = closed.iter().find(|((_, values), _)| values[..dimensions] == whole[..]);
            if let Some((_, line)) = other.filter(|_| by == "utm_campaign,landing_page") {
                let of = |row: &BTreeMap<String, String>| -> Vec<String> {
                    let value = |name: &str| match &row[name][..] {
                        _ if row["touch_external_id"].is_empty() => "(unattributed)".to_owned(),
                        "" => "(not set)".to_owned(),
                        value => value.to_owned(),
                    };
                    by.split(',').map(value).chain([row["currency"].clone()]).collect()
                };
                let hidden = touches.iter().filter(|row| !shown.contains(&of(row)));
                let hidden: BTreeSet<&String> = hidden.map(|row| &row["person"]).collect();
                assert_eq!(line["persons"], hidden.len().to_string(), "{by} of {least}");
            }
        }
    }
}

#[test]
fn few_persons_in_all_are_told_of() {
    let shop = shop();
    let run = |more: &[&str]| shop.run([&["run", "--format", "csv"], &INPUTS[..], more].concat());
    let (report, complaints) = said(&run(&["--min-persons", "3", "--model", "linear"]));
    let lines = lines(&report, 2);
    assert_eq!(lines.len(), 1, "{report}");
    let line = lines.values().next().unwrap();
    assert_eq!((&line["utm_source"][..], &line["persons"][..]), ("(other)", "3"));
    assert!(!complaints.contains("fewer than"), "{complaints}");
    let (report, complaints) = said(&run(&["--min-persons", "4"]));
    assert!(report.contains("(other)"), "{report}");
    assert!(complaints.contains("fewer than 4 persons"), "{complaints}");
    for (command, why) in [
        (&["plot", "-o", "lines.svg"][..], "a picture"),
        (&["effects"], "a table of effects"),
        (&["query", "models"], "a query"),
    ] {
        let output = shop.run([command, &["--min-persons", "5"], &INPUTS[..]].concat());
        let (_, complaints) = said(&output);
        assert!(!output.status.success() && complaints.contains(why), "{complaints}");
    }
    for (more, why) in [
        (&["--min-persons", "1"][..], "2 or more"),
        (&["--min-persons", "5", "--measures", "all"], "--measures all"),
        (&["--min-persons", "5", "-o", "page.html"], "a page"),
    ] {
        let output = shop.run([&["run"], &INPUTS[..], more].concat());
        assert_eq!(output.status.code(), Some(2));
        let (_, complaints) = said(&output);
        assert!(complaints.contains(why), "{complaints}");
    }
}
