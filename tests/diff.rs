//! Differences of two kept runs: every folder of `tests/differences` is a pair of inputs and what the
//! causes of their difference must be, worked by hand (see each `about.md`).
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use apportion::diff::Cause;
use common::{Playground, parquet_from_rows, said};

/// Tables and the flags that name them.
const TABLES: [(&str, &str); 4] = [
    ("sessions", "--sessions"),
    ("orders", "--orders"),
    ("user_aliases", "--aliases"),
    ("exchange_rates", "--exchange-rates"),
];

fn rows(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// Keeps one of the runs of a pair in the folder `side`; `reversed` turns its rows around.
fn keep(case: &Path, playground: &Playground, side: &str, reversed: bool) {
    let command = fs::read_to_string(case.join(format!("command_{side}"))).unwrap();
    let mut arguments = vec!["run".to_owned()];
    arguments.extend(command.split_whitespace().map(str::to_owned));
    for (table, flag) in TABLES {
        let Ok(text) = fs::read_to_string(case.join(format!("{side}/{table}.csv"))) else {
            continue;
        };
        let mut rows = rows(&text);
        let header = rows.remove(0);
        if reversed {
            rows.reverse();
        }
        let file = format!("{side}-{table}.parquet");
        parquet_from_rows(table, &header, &rows, &playground.path(&file));
        arguments.extend([flag.to_owned(), file]);
    }
    let workspace = case.join(format!("{side}/apportion.toml"));
    fs::copy(workspace, playground.path("apportion.toml")).unwrap();
    let last = ["--as-of", "2030-01-01T00:00:00Z", "--quiet", "--format", "csv", "--keep", side];
    arguments.extend(last.map(str::to_owned));
    let output = playground.run(&arguments);
    assert!(output.status.success(), "{}", said(&output).1);
}

/// The difference of the runs that are kept in the playground, by the flags of a pair.
fn difference(case: &Path, playground: &Playground, format: &str) -> String {
    let command = fs::read_to_string(case.join("command")).unwrap();
    let mut arguments = vec!["diff", "before", "after", "--format", format];
    arguments.extend(command.split_whitespace());
    let (text, complaints) = said(&playground.run(&arguments));
    assert_eq!(complaints, "", "{}", case.display());
    text
}

#[test]
fn every_pair_of_runs_differs_by_the_causes_that_were_worked_by_hand() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differences");
    let mut shown = BTreeSet::new();
    for case in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let expected = fs::read_to_string(case.join("difference.csv")).unwrap();
        let expected: BTreeSet<Vec<String>> = rows(&expected).into_iter().collect();
        shown.extend(expected.iter().map(|row| row[3].clone()));
        for reversed in [false, true] {
            let playground = Playground::new();
            keep(&case, &playground, "before", reversed);
            keep(&case, &playground, "after", reversed);
            let actual: BTreeSet<Vec<String>> =
                rows(&difference(&case, &playground, "csv")).into_iter().collect();
            let missing: Vec<_> = expected.difference(&actual).collect();
            let surplus: Vec<_> = actual.difference(&expected).collect();
            let name = case.display();
            assert!(
                missing.is_empty() && surplus.is_empty(),
                "{name}\nmissing {missing:#?}\nsurplus {surplus:#?}"
            );
            let text = difference(&case, &playground, "table");
            let wide = text.lines().find(|line| line.chars().count() > 80);
            assert_eq!(wide, None, "{text}");
        }
    }
    let unshown: Vec<&str> = Cause::ALL
        .iter()
        .map(|cause| cause.name())
        .filter(|name| *name != "other" && !shown.contains(*name))
        .collect();
    assert!(unshown.is_empty(), "no pair shows {unshown:?}");
}

#[test]
fn what_cannot_be_compared_is_said_and_nothing_is_written() {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differences/every_cause");
    let playground = Playground::new();
    keep(&case, &playground, "before", false);
    keep(&case, &playground, "after", false);
    let wrong = |arguments: &[&str]| {
        let output = playground.run([&["diff"], arguments, &["-o", "out.csv"]].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(!playground.path("out.csv").exists());
        said(&output).1
    };
    assert!(wrong(&["before", "nowhere"]).contains("there is no such folder"));
    assert!(wrong(&["before", "after", "--by", "chanel"]).contains("did you mean `channel`?"));
    assert!(wrong(&["before", "after", "--by", "cause"]).contains("dimension of credits"));
    assert!(wrong(&["before", "after", "--model", "markov"]).contains("no run has"));
    assert!(wrong(&["before", "after", "--from", "soon"]).contains("write a day"));
    assert!(
        wrong(&["before", "after", "--from", "2024-02-01", "--to", "2024-01-01"])
            .contains("is before")
    );
}
