//! The manual says what is there: every name of the registries occurs in `docs/`, its commands run,
//! its workspace files are understood, and its links lead somewhere.
//!
//! What the commands in `console` blocks print is held by `transcripts`.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use apportion::config::{Config, Settings, TEMPLATE};
use apportion::kept::{Frame, Kept};
use apportion::models::MODELS;
use apportion::output::FORMATS;
use apportion::queries::{AUDITS, QUERIES, Query};
use apportion::schema::Table;
use apportion::validate::Rule;
use common::{Playground, said};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rayon::prelude::*;

/// The pages of the manual, in the order of their names.
fn pages() -> Vec<(PathBuf, String)> {
    let folders = ["docs", "docs/models"].map(|folder| fs::read_dir(folder).unwrap());
    let entries = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// Each line, and whether it stands in a fenced block (or is a fence itself).
fn lines(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut inside = false;
    text.lines().map(move |line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        (line, inside || fence)
    })
}

/// What stands in backticks in running text.
fn spans(text: &str) -> BTreeSet<String> {
    let running: String =
        lines(text).filter(|(_, fenced)| !fenced).flat_map(|(line, _)| [line, "\n"]).collect();
    running.split('`').skip(1).step_by(2).map(|span| span.trim().to_owned()).collect()
}

/// What stands in backticks anywhere in the manual.
fn all_spans() -> BTreeSet<String> {
    pages().iter().flat_map(|(_, text)| spans(text)).collect()
}

/// The text under every heading that has `name` in backticks, whatever the page.
fn sections_on(name: &str) -> String {
    let mut found = String::new();
    let named = format!("`{name}`");
    for (_, text) in pages() {
        // The level of the heading that is being copied; none while nothing is.
        let mut copied: Option<usize> = None;
        for (line, fenced) in lines(&text) {
            let level = line.bytes().take_while(|byte| *byte == b'#').count();
            if level > 0 && !fenced && copied.is_none_or(|copied| level <= copied) {
                copied = line.contains(&named).then_some(level);
            }
            if copied.is_some() {
                found.push_str(line);
                found.push('\n');
            }
        }
    }
    found
}

/// The blocks of a language, each with the line on which it begins.
fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut wanted = false;
    for (at, (line, fenced)) in lines(text).enumerate() {
        if let Some(of) = line.trim_start().strip_prefix("```") {
            wanted = fenced && of.trim() == language && !wanted;
            if wanted {
                found.push((at + 2, String::new()));
            }
        } else if let Some((_, block)) = found.last_mut().filter(|_| wanted) {
            block.push_str(line);
            block.push('\n');
        }
    }
    found
}

/// The names that are not among the spans.
fn missing<'a>(names: impl IntoIterator<Item = &'a str>, spans: &BTreeSet<String>) -> Vec<&'a str> {
    names.into_iter().filter(|name| !spans.contains(*name)).collect()
}

#[test]
fn every_column_of_every_table_is_explained_under_a_heading_that_names_the_table() {
    for table in Table::ALL {
        let known = spans(&sections_on(table.name()));
        let missing = missing(table.columns().iter().map(|column| column.name), &known);
        assert!(
            missing.is_empty(),
            "docs/ says nothing of these columns of `{table}`: {missing:?}"
        );
    }
}

#[test]
fn every_rule_model_parameter_and_format_is_explained() {
    let mut names: Vec<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    names.extend(FORMATS.iter().map(|format| format.name));
    names.extend(MODELS.iter().map(|entry| entry.name));
    let missing_names = missing(names, &all_spans());
    assert!(missing_names.is_empty(), "docs/ says nothing of {missing_names:?}");
    for entry in MODELS {
        let known = spans(&sections_on(entry.name));
        let missing = missing(entry.parameters.iter().map(|parameter| parameter.name), &known);
        assert!(missing.is_empty(), "docs/ says nothing of {missing:?} of `{}`", entry.name);
    }
}

#[test]
fn every_flag_is_explained() {
    let playground = Playground::new();
    let known: BTreeSet<String> = all_spans()
        .iter()
        .filter_map(|span| span.split([' ', '=', '[']).next().map(str::to_owned))
        .collect();
    for command in [
        "run", "check", "effects", "identity", "ingest", "init", "models", "paths", "plot",
        "query", "queries", "report", "simulate", "evaluate",
    ] {
        let (help, _) = said(&playground.run([command, "--help"]));
        let flags: BTreeSet<&str> = help
            .lines()
            .map(str::trim_start)
            .filter(|line| line.starts_with('-'))
            .filter_map(|line| line.split([' ', '[', '=']).find(|word| word.starts_with("--")))
            .collect();
        assert!(flags.contains("--help"), "no flags are found in `apportion {command} --help`");
        let missing = missing(flags, &known);
        assert!(missing.is_empty(), "docs/ says nothing of {missing:?} of `apportion {command}`");
    }
}

#[test]
fn every_key_of_the_workspace_file_is_explained() {
    let uncommented: String = TEMPLATE
        .lines()
        .flat_map(|line| [line.strip_prefix("#: ").unwrap_or(line), "\n"])
        .collect();
    let keys: toml::Table = toml::from_str(&uncommented).unwrap();
    let missing = missing(keys.keys().map(String::as_str), &all_spans());
    assert!(missing.is_empty(), "docs/ says nothing of these keys of apportion.toml: {missing:?}");
}

#[test]
fn every_column_of_every_output_is_explained() {
    let playground = shop();
    let outputs = [
        "credits",
        "journeys",
        "orders-report",
        "spend-gaps",
        "effects",
        "paths",
        "persons",
        "identity",
        "rejects",
    ];
    let mut arguments = vec!["run", "--config", "datasets/shop/apportion.toml", "--quiet"]
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    arguments.extend(
        ["postviews", "spend"]
            .iter()
            .flat_map(|table| [format!("--{table}"), format!("datasets/shop/{table}.parquet")]),
    );
    arguments
        .extend(outputs.iter().flat_map(|output| [format!("--{output}"), format!("{output}.csv")]));
    arguments.extend(
        [
            "--model",
            "linear,markov,shapley",
            "--measures",
            "all",
            "--from",
            "2025-04-01",
            "--to",
            "2025-06-30",
        ]
        .map(str::to_owned),
    );
    arguments.extend(["--summary", "summary.json", "-o", "report.csv"].map(str::to_owned));
    let (_, complaints) = said(&playground.run(&arguments));
    assert_eq!(complaints, "");
    let header = |output: &str| -> Vec<String> {
        let mut reader = csv::Reader::from_path(playground.path(&format!("{output}.csv"))).unwrap();
        reader.headers().unwrap().iter().map(str::to_owned).collect()
    };
    for output in outputs {
        let known = spans(&sections_on(&format!("--{output}")));
        // What the export itself brings passes through under its own name.
        let own = |name: &&str| {
            !name.starts_with("app_") && (output != "persons" || !is_of_profile(name))
        };
        let header = header(output);
        let missing = missing(header.iter().map(String::as_str).filter(own), &known);
        assert!(missing.is_empty(), "docs/ says nothing of {missing:?} of `--{output}`");
    }
    let header = header("report");
    let missing_columns = missing(header.iter().map(String::as_str), &all_spans());
    assert!(missing_columns.is_empty(), "docs/ says nothing of {missing_columns:?} of the report");
    let summary = fs::read_to_string(playground.path("summary.json")).unwrap();
    let mut keys = BTreeSet::new();
    collect_keys(&serde_json::from_str(&summary).unwrap(), &mut keys);
    let known = spans(&sections_on("--summary"));
    let missing = missing(keys.iter().map(String::as_str), &known);
    assert!(missing.is_empty(), "docs/ says nothing of {missing:?} of `--summary`");
    let (credit, _) = said(&playground.run([
        "paths",
        "--input",
        "paths.csv",
        "--model",
        "linear",
        "--format",
        "csv",
    ]));
    let known = spans(&sections_on("apportion paths"));
    let header = credit.lines().next().unwrap().split(',');
    let unexplained: Vec<&str> = header.filter(|name| !known.contains(*name)).collect();
    assert!(unexplained.is_empty(), "docs/ says nothing of {unexplained:?} of `apportion paths`");
}

#[test]
fn every_column_of_a_kept_run_is_explained() {
    let playground = shop();
    let arguments = ["run", "--config", "datasets/shop/full.toml", "--quiet", "--keep", "kept"];
    let more = ["--spend", "datasets/shop/spend.parquet", "--model", "linear,markov"];
    let (_, complaints) = said(&playground.run(arguments.iter().chain(&more)));
    assert_eq!(complaints, "");
    let kept = Kept::open(&playground.path("kept")).unwrap();
    for frame in Frame::ALL.into_iter().filter(|frame| *frame != Frame::Report) {
        let known = spans(&sections_on(&frame.file()));
        let schema = kept.schema(frame).unwrap();
        let names = schema.fields().iter().map(|field| field.name().as_str());
        // What the export itself brings passes through under its own name.
        let own = |name: &&str| {
            let passes = name.starts_with("app_") || name.starts_with("via_");
            !passes && (frame != Frame::Persons || !is_of_profile(name))
        };
        let missing = missing(names.filter(own), &known);
        assert!(missing.is_empty(), "docs/ says nothing of {missing:?} of `{}`", frame.file());
    }
    let account = fs::read_to_string(playground.path("kept/run.json")).unwrap();
    let account: serde_json::Value = serde_json::from_str(&account).unwrap();
    let keys: Vec<&str> = account.as_object().unwrap().keys().map(String::as_str).collect();
    let missing_keys = missing(keys, &spans(&sections_on("run.json")));
    assert!(missing_keys.is_empty(), "docs/ says nothing of {missing_keys:?} of `run.json`");
}

#[test]
fn every_query_with_its_columns_and_parameters_is_explained() {
    for entry in QUERIES {
        let section = sections_on(entry.name);
        let known = spans(&section);
        let answer = fs::read_to_string(format!("tests/queries/answers/{}.csv", entry.name));
        let answer = answer.unwrap();
        // A column of a model among the small world's stands for those of any model.
        let header = answer.lines().next().unwrap().split(',');
        let header = header.filter(|name| !name.ends_with("_click_amount"));
        let query = Query::named(entry.name).unwrap();
        let parameters = query.header.parameters.iter().map(|known| known.name.as_str());
        let missing = missing(header.chain(parameters), &known);
        assert!(missing.is_empty(), "docs/ says nothing of {missing:?} of `{}`", entry.name);
    }
    let missing = missing(AUDITS.iter().map(|entry| entry.name), &all_spans());
    assert!(missing.is_empty(), "docs/ says nothing of the audits {missing:?}");
}

#[test]
fn every_column_of_ranks_and_every_key_about_resamples_is_explained() {
    let playground = shop();
    let outputs = ["-o", "report.csv", "--ranks", "ranks.csv", "--summary", "summary.json"];
    let mut arguments = vec!["run", "--config", "datasets/shop/apportion.toml", "--quiet"];
    arguments.extend(["--bootstrap", "39"].iter().chain(&outputs));
    let (_, complaints) = said(&playground.run(arguments));
    assert_eq!(complaints, "");
    let header = csv::Reader::from_path(playground.path("ranks.csv")).unwrap();
    let header = { header }.headers().unwrap().clone();
    let known = spans(&sections_on("--ranks"));
    let dimensions = ["utm_source", "utm_medium", "below_utm_source", "below_utm_medium"];
    let missing_columns = missing(header.iter().filter(|name| !dimensions.contains(name)), &known);
    assert!(missing_columns.is_empty(), "docs/ says nothing of {missing_columns:?} of `--ranks`");
    let summary = fs::read_to_string(playground.path("summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    let mut keys = BTreeSet::new();
    collect_keys(&summary["resamples"], &mut keys);
    assert_eq!(keys.len(), 3);
    let missing_keys = missing(keys.iter().map(String::as_str), &spans(&sections_on("--summary")));
    assert!(missing_keys.is_empty(), "docs/ says nothing of {missing_keys:?} of `resamples`");
}

#[test]
fn every_column_and_key_of_a_sweep_is_explained() {
    let playground = shop();
    let (_, complaints) = said(&playground.run([
        "run",
        "--config",
        "datasets/shop/apportion.toml",
        "--spend",
        "datasets/shop/spend.parquet",
        "--sweep",
        "lookback=7d,30d",
        "--quiet",
        "-o",
        "report.csv",
        "--ranges",
        "ranges.csv",
        "--decisions",
        "decisions.csv",
        "--summary",
        "summary.json",
    ]));
    assert_eq!(complaints, "");
    let header = |name: &str| -> Vec<String> {
        let mut reader = csv::Reader::from_path(playground.path(name)).unwrap();
        reader.headers().unwrap().iter().map(str::to_owned).collect()
    };
    assert_eq!(header("report.csv")[0], "lookback");
    let of_report = all_spans();
    let dimensions = ["utm_source", "utm_medium"];
    for (output, heading) in [("ranges.csv", "--ranges"), ("decisions.csv", "--decisions")] {
        let known = spans(&sections_on(heading));
        let header = header(output);
        let own = header.iter().map(String::as_str).filter(|name| !dimensions.contains(name));
        let missing: Vec<&str> = own
            .filter(|name| {
                let figure = name.strip_suffix("_min").or_else(|| name.strip_suffix("_max"));
                let figure = figure.filter(|_| output == "ranges.csv");
                let known = figure.map_or(&known, |_| &of_report);
                !known.contains(figure.unwrap_or(name))
            })
            .collect();
        assert!(missing.is_empty(), "docs/ says nothing of {missing:?} of `{heading}`");
    }
    let summary = fs::read_to_string(playground.path("summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    let mut keys = BTreeSet::new();
    collect_keys(&summary["sweep"], &mut keys);
    let missing = missing(keys.iter().map(String::as_str), &spans(&sections_on("--summary")));
    assert!(missing.is_empty(), "docs/ says nothing of {missing:?} of `sweep`");
}

#[test]
fn every_column_of_the_identity_report_is_explained() {
    let playground = shop();
    let (_, complaints) = said(&playground.run([
        "identity",
        "--config",
        "datasets/shop/apportion.toml",
        "--quiet",
        "-o",
        "report.csv",
        "--changed",
        "changed.csv",
    ]));
    assert_eq!(complaints, "");
    for (output, heading) in [("report", "apportion identity"), ("changed", "--changed")] {
        let known = spans(&sections_on(heading));
        let path = playground.path(&format!("{output}.csv"));
        let header = csv::Reader::from_path(path).unwrap().headers().unwrap().clone();
        let dimensions = ["utm_source", "utm_medium"];
        let names = header.iter().filter(|name| !dimensions.contains(name));
        let missing = missing(names, &known);
        assert!(missing.is_empty(), "docs/ says nothing of {missing:?} of `{heading}`");
    }
}

#[test]
fn every_key_of_an_explanation_is_explained() {
    let playground = shop();
    let command = "explain oen6xtkgevqm --config datasets/shop/full.toml --model markov --format json --quiet";
    let (stdout, complaints) = said(&playground.run(command.split(' ')));
    assert_eq!(complaints, "");
    let mut keys = BTreeSet::new();
    collect_keys(&serde_json::from_str(&stdout).unwrap(), &mut keys);
    let known = spans(&sections_on("apportion explain"));
    let missing = missing(keys.iter().map(String::as_str), &known);
    assert!(missing.is_empty(), "docs/ says nothing of {missing:?} of an explanation");
}

#[test]
fn every_column_of_simulated_truth_and_scores_is_explained_and_every_key_of_a_world() {
    let playground = Playground::new();
    let worked = |arguments: &str| {
        let output = playground.run(arguments.split(' '));
        let (_, complaints) = said(&output);
        assert!(output.status.success(), "{arguments}: {complaints}");
    };
    worked("simulate --sessions 400 --bots 1 --refunds 0.5 -o world --quiet");
    let truth = fs::File::open(playground.path("world/truth.parquet")).unwrap();
    let truth = ParquetRecordBatchReaderBuilder::try_new(truth).unwrap();
    let known = spans(&sections_on("truth"));
    let unexplained = missing(truth.schema().fields().iter().map(|field| &**field.name()), &known);
    assert!(unexplained.is_empty(), "docs/ says nothing of {unexplained:?} of the truth");

    worked(
        "evaluate --seeds 1 --sessions 400 --model linear -o scores.csv --shares shares.csv --quiet",
    );
    let known = spans(&sections_on("apportion evaluate"));
    for name in ["scores.csv", "shares.csv"] {
        let mut reader = csv::Reader::from_path(playground.path(name)).unwrap();
        let unexplained = missing(reader.headers().unwrap().iter(), &known);
        assert!(unexplained.is_empty(), "docs/ says nothing of {unexplained:?} of {name}");
    }

    let world = fs::read_to_string(playground.path("world/world.toml")).unwrap();
    let world: toml::Table = toml::from_str(&world).unwrap();
    let channels = world["channel"].as_array().unwrap();
    let mut keys: BTreeSet<&str> = world.keys().map(String::as_str).collect();
    keys.extend(channels.iter().flat_map(|one| one.as_table().unwrap().keys()).map(String::as_str));
    keys.remove("channel");
    let known = all_spans();
    let unexplained = missing(keys, &known);
    assert!(unexplained.is_empty(), "docs/ says nothing of {unexplained:?} of a world");
}

/// Whether a column of persons comes from profiles: those are explained with the table of users.
fn is_of_profile(name: &str) -> bool {
    let merged = ["created_at", "is_authenticated", "signed_up_at"];
    Table::Users.column(name).is_some() && !merged.contains(&name)
}

fn collect_keys(value: &serde_json::Value, keys: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                keys.insert(key.clone());
                collect_keys(value, keys);
            }
        }
        serde_json::Value::Array(values) => {
            for value in values {
                collect_keys(value, keys);
            }
        }
        _ => {}
    }
}

#[test]
fn the_order_that_every_model_divides_is_the_golden_case_of_that_name() {
    let page = fs::read_to_string("docs/models.md").unwrap();
    let mut golden =
        csv::Reader::from_path("tests/golden/models_four_touches/credits.csv").unwrap();
    let header = golden.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|own| own == name).unwrap();
    let (model, amount) = (column("model"), column("amount"));
    let rows: Vec<csv::StringRecord> = golden.records().map(Result::unwrap).collect();
    for of_model in rows.chunk_by(|left, right| left[model] == right[model]) {
        let amounts: Vec<&str> = of_model.iter().map(|row| &row[amount]).collect();
        let (start, end) =
            (format!("| `{}`", &of_model[0][model]), format!("| {} |", amounts.join(" | ")));
        let shown = page.lines().any(|line| line.starts_with(&start) && line.ends_with(&end));
        assert!(shown, "docs/models.md has no row `{start} ... {end}`");
    }
    for entry in MODELS.iter().filter(|entry| entry.name != "custom") {
        let worked = rows.iter().any(|row| row[model] == *entry.name);
        assert!(worked, "the golden case and docs/models.md show nothing of `{}`", entry.name);
    }
}

#[test]
fn the_sample_is_what_its_command_makes() {
    let playground = shop();
    let page = fs::read_to_string("datasets/README.md").unwrap();
    let made = commands(&page);
    let (_, command) =
        made.iter().find(|(_, command)| command.contains("-o datasets/shop")).unwrap();
    let arguments: Vec<String> =
        command.split_whitespace().skip(1).chain(["--quiet"]).map(str::to_owned).collect();
    for table in ["sessions", "orders", "postviews"] {
        fs::remove_file(playground.path(&format!("datasets/shop/{table}.parquet"))).unwrap();
    }
    let (_, complaints) = said(&playground.run(&arguments));
    assert_eq!(complaints, "");
    for entry in fs::read_dir("datasets/shop").unwrap() {
        let kept = entry.unwrap().path();
        let made = playground.path("datasets/shop").join(kept.file_name().unwrap());
        assert!(fs::read(&kept).unwrap() == fs::read(made).unwrap(), "{} differs", kept.display());
    }
}

/// The cells of a line of a table.
fn cells(line: &str) -> Vec<&str> {
    line.trim().trim_matches('|').split('|').map(str::trim).collect()
}

/// Whether a number is that of a golden case, to the digits that it is written with.
fn rounds_to(golden: &str, shown: &str) -> bool {
    let digits = shown.split_once('.').map_or(0, |(_, digits)| digits.len());
    let off = golden.parse::<f64>().ok().zip(shown.parse::<f64>().ok());
    let half = 0.5 * 10_f64.powi(-i32::try_from(digits).unwrap());
    golden == shown || off.is_some_and(|(golden, shown)| (golden - shown).abs() <= half + 1e-12)
}

/// The rows of a page's table under a link to a golden case that no row of that case shows, with how
/// many rows there are. The columns are those that are called like a column of the case.
fn unworked(page: &Path, text: &str) -> (usize, Vec<String>) {
    let model = page.file_stem().unwrap().to_str().unwrap();
    let (mut rows, mut wrong) = (0, Vec::new());
    let mut case = None;
    let mut table: Vec<&str> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('|') {
            table.push(line);
            continue;
        }
        let named: Vec<String> = table
            .first()
            .map(|header| {
                cells(header).iter().map(|name| name.trim_matches('`').to_owned()).collect()
            })
            .unwrap_or_default();
        if let Some(case) = case.as_ref().filter(|_| table.len() > 2) {
            let golden =
                ["credits", "effects"].map(|file| format!("tests/golden/{case}/{file}.csv"));
            let known = golden.iter().filter_map(|path| csv::Reader::from_path(path).ok());
            let known: Vec<BTreeMap<String, String>> = known
                .flat_map(|mut reader| reader.deserialize().map(Result::unwrap).collect::<Vec<_>>())
                .collect();
            for line in &table[2..] {
                let shown: Vec<(&String, &str)> = named.iter().zip(cells(line)).collect();
                let worked = known.iter().any(|golden| {
                    let own = golden["model"].split(':').next() == Some(model)
                        || named.contains(&"model".to_owned());
                    let mut both =
                        shown.iter().filter_map(|(name, shown)| Some((golden.get(*name)?, shown)));
                    own && both.clone().count() > 1
                        && both.all(|(golden, shown)| rounds_to(golden, shown))
                });
                rows += 1;
                if !worked {
                    wrong.push(format!("{}: {line}", page.display()));
                }
            }
        }
        if !table.is_empty() || line.starts_with('#') {
            case = None;
        }
        table.clear();
        if let Some((_, rest)) = line.split_once("tests/golden/") {
            case = rest.split_once("/about.md").map(|(case, _)| case.to_owned());
        }
    }
    (rows, wrong)
}

#[test]
fn every_model_has_a_page_whose_worked_tables_are_those_of_golden_cases() {
    let index = fs::read_to_string("docs/models.md").unwrap();
    for entry in MODELS {
        let name = entry.name;
        assert!(
            index.contains(&format!("[`{name}`](models/{name}.md)")),
            "docs/models.md leaves {name} out"
        );
        let page = PathBuf::from(format!("docs/models/{name}.md"));
        let text = fs::read_to_string(&page).unwrap();
        assert!(text.starts_with(&format!("# `{name}`\n")), "{name} has another title");
        assert!(
            text.contains(&format!("$ apportion models {name}\n")),
            "{name} does not say what the program says"
        );
        assert!(text.contains("## When it misleads"), "{name} never misleads");
        let (rows, wrong) = unworked(&page, &text);
        assert!(rows > 0, "{name} has no worked table");
        assert!(wrong.is_empty(), "no golden case says so:\n{}", wrong.join("\n"));
    }
}

/// A fresh folder with the sample data where the repository has it.
fn shop() -> Playground {
    let playground = Playground::new();
    let to = playground.path("datasets/shop");
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir("datasets/shop").unwrap() {
        let from = entry.unwrap().path();
        fs::copy(&from, to.join(from.file_name().unwrap())).unwrap();
    }
    playground
}

/// The commands of a page's `sh` blocks that are `apportion`, or make a file for it, with the line of each.
fn commands(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (first, block) in blocks(text, "sh") {
        let mut lines = (first..).zip(block.lines());
        while let Some((at, line)) = lines.next() {
            let mut command = line.to_owned();
            while command.ends_with('\\') {
                let Some((_, more)) = lines.next() else { break };
                command.push('\n');
                command.push_str(more);
            }
            if command.starts_with("apportion ") || command.starts_with("head ") {
                found.push((at, command));
            }
        }
    }
    found
}

/// The exit code that a command ends with: `# exits 1` at its end says another than 0.
fn expected_code(command: &str) -> i32 {
    let said = command.rsplit_once("# exits ").map(|(_, code)| code.trim().parse());
    said.map_or(0, Result::unwrap)
}

/// Runs the commands of a page one after the other in one folder. Returns how many there are, and
/// what those said that did not end as the page says.
fn run_commands(page: &Path, text: &str) -> (usize, Vec<String>) {
    let binary = Path::new(env!("CARGO_BIN_EXE_apportion")).parent().unwrap();
    let playground = shop();
    let commands = commands(text);
    let mut wrong = Vec::new();
    for (line, command) in &commands {
        let script = format!("export PATH='{}':\"$PATH\"\n{command}\n", binary.display());
        let output = Command::new("sh")
            .args(["-c", &script])
            .current_dir(playground.path(""))
            .output()
            .unwrap();
        if output.status.code() != Some(expected_code(command)) {
            let (_, complaints) = said(&output);
            let (page, status) = (page.display(), output.status);
            wrong.push(format!("{page}:{line}: {command}\n{status}\n{complaints}"));
        }
    }
    (commands.len(), wrong)
}

#[test]
fn every_command_of_the_manual_runs_and_ends_as_it_says() {
    let ran: Vec<(usize, Vec<String>)> =
        pages().par_iter().map(|(page, text)| run_commands(page, text)).collect();
    let wrong: Vec<&str> = ran.iter().flat_map(|(_, wrong)| wrong).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ran.iter().any(|(commands, _)| *commands > 0), "no commands are found in docs/");
}

#[test]
fn every_workspace_file_of_the_manual_is_understood() {
    for (page, text) in pages() {
        for (line, block) in blocks(&text, "toml") {
            let place = format!("{}:{line}", page.display());
            let settings: Result<Settings, _> = toml::from_str(&block);
            let config = settings.map(|mut settings| {
                // The reader's own salt is not here.
                settings.hash_ids = settings.hash_ids.map(|_| "Cargo.lock".into());
                Config::new(settings, 0).err()
            });
            match config {
                Ok(None) => {}
                Ok(Some(error)) => assert_eq!(error.to_string(), "", "{place}"),
                Err(error) => assert_eq!(error.to_string(), "", "{place}"),
            }
        }
    }
}

/// How a heading is named in links: small letters, blanks as hyphens, no punctuation.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = lines(text).filter(|(line, fenced)| line.starts_with('#') && !fenced);
    let anchor = |heading: &str| -> String {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let kept =
            title.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
        kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
    };
    headings.map(|(heading, _)| anchor(heading)).collect()
}

/// The targets of a page's links, with the line of each.
fn links(text: &str) -> Vec<(usize, &str)> {
    let numbered = (1..).zip(lines(text)).filter(|(_, (_, fenced))| !fenced);
    numbered
        .flat_map(|(at, (line, _))| {
            let ends = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            ends.map(move |target| (at, target))
        })
        .filter(|(_, target)| !target.contains("://"))
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut read = pages();
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "datasets/README.md"] {
        read.push((PathBuf::from(name), fs::read_to_string(name).unwrap()));
    }
    let mut dead = Vec::new();
    for (page, text) in &read {
        for (line, link) in links(text) {
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path =
                if target.is_empty() { page.clone() } else { page.parent().unwrap().join(target) };
            let found = path.exists()
                && (anchor.is_empty()
                    || anchors(&fs::read_to_string(&path).unwrap()).contains(anchor));
            if !found {
                dead.push(format!("{}:{line}: {link}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "links that lead nowhere:\n{}", dead.join("\n"));
}
