//! Golden runs: every folder of `tests/golden` is an input, a command and what it must answer,
//! worked by hand (see each `about.md`).
//!
//! Every case runs as it is, with its rows reversed, and with every table split into two files in
//! either order: what it answers must not depend on that.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot set itself up has failed"
)]

mod common;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Playground, parquet_from_rows, said};

/// Columns that hold floats, compared to 1e-9; every other cell is compared as text.
const FLOATS: [&str; 38] = [
    "share",
    "weight",
    "conversions",
    "conversions_without",
    "conversions_difference",
    "conversions_share",
    "amount_share",
    "acquisition_conversions",
    "retention_conversions",
    "average_time_to_conversion",
    "bounce_rate",
    "conversion_rate",
    "cpa",
    "roas",
    "average_duration",
    "average_pageviews",
    "clicks",
    "impressions",
    "cpc",
    "ctr",
    "average_cart",
    "orders_per_person",
    "retention_ratio",
    "strength",
    "half_life",
    "touches_per_order",
    "median_time_to_conversion",
    "average_device_types",
    "average_domains",
    "cross_device_ratio",
    "cross_domain_ratio",
    "removal_effect",
    "shapley_value",
    "shapley_error",
    "coefficient",
    "effect_share",
    "_ratio",
    "_conversions",
];

/// Tables and the flags that name them.
const TABLES: [(&str, &str); 9] = [
    ("order_items", "--order-items"),
    ("sessions", "--sessions"),
    ("orders", "--orders"),
    ("users", "--users"),
    ("user_aliases", "--aliases"),
    ("postviews", "--postviews"),
    ("devices", "--devices"),
    ("spend", "--spend"),
    ("exchange_rates", "--exchange-rates"),
];

const OUTPUTS: [&str; 5] = ["credits", "journeys", "persons", "identity", "rejects"];

/// Outputs that change what a run works out, or that need an input: only where a case expects them.
const ASKED_FOR: [&str; 5] = ["orders-report", "spend-gaps", "effects", "ranges", "decisions"];

/// Outputs that are of one combination of settings: a sweep has none of them.
const OF_ONE: [&str; 2] = ["credits", "journeys"];

/// How the rows of a case are laid out in files.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Layout {
    AsGiven,
    Reversed,
    SplitInTwo,
    SplitTheOtherWay,
}

type Rows = Vec<Vec<String>>;

fn csv_rows(text: &str) -> (Vec<String>, Rows) {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let header = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let rows = reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect());
    (header, rows.collect())
}

/// Writes the tables of a case and returns the arguments that name them.
fn lay_out(case: &Path, playground: &Playground, layout: Layout) -> Vec<String> {
    let mut arguments = Vec::new();
    for (table, flag) in TABLES {
        let Ok(text) = fs::read_to_string(case.join(format!("input/{table}.csv"))) else {
            continue;
        };
        let (header, mut rows) = csv_rows(&text);
        if layout == Layout::Reversed {
            rows.reverse();
        }
        let half = rows.len().div_ceil(2);
        let files: Vec<&[Vec<String>]> = match layout {
            Layout::AsGiven | Layout::Reversed => vec![&rows],
            Layout::SplitInTwo => vec![&rows[..half], &rows[half..]],
            Layout::SplitTheOtherWay => vec![&rows[half..], &rows[..half]],
        };
        arguments.push(flag.to_owned());
        for (part, rows) in files.into_iter().enumerate() {
            let name = if layout == Layout::AsGiven || layout == Layout::Reversed {
                format!("input/{table}.parquet")
            } else {
                format!("input/{table}-{part}.parquet")
            };
            parquet_from_rows(table, &header, rows, &playground.path(&name));
            arguments.push(name);
        }
    }
    arguments
}

/// The cells of the wanted columns, one text a row, sorted.
fn picked(header: &[String], rows: &Rows, wanted: &[String]) -> Rows {
    let at: Vec<usize> = wanted
        .iter()
        .map(|name| {
            let found = header.iter().position(|column| column == name);
            found.unwrap_or_else(|| panic!("there is no column `{name}` among {header:?}"))
        })
        .collect();
    let mut picked: Rows =
        rows.iter().map(|row| at.iter().map(|at| row[*at].clone()).collect()).collect();
    picked.sort_by_key(|row| sortable(wanted, row));
    picked
}

/// Floats are left out of the order, because they may differ in their last digit.
fn sortable(header: &[String], row: &[String]) -> Vec<String> {
    let exact = header.iter().zip(row).filter(|(name, _)| !is_float(name));
    let floats = header.iter().zip(row).filter(|(name, _)| is_float(name));
    let rounded = floats.map(|(_, cell)| {
        cell.parse::<f64>().map_or(String::new(), |value| format!("{value:020.6}"))
    });
    exact.map(|(_, cell)| cell.clone()).chain(rounded).collect()
}

/// Whether a column holds floats, then or now, the change of one or a bound; roles share two endings.
fn is_float(name: &str) -> bool {
    let bounds = ["_low", "_high", "_min", "_max"];
    let name = bounds.iter().find_map(|bound| name.strip_suffix(bound)).unwrap_or(name);
    let figure = name.strip_suffix("_then").or_else(|| name.strip_suffix("_change"));
    let figure = figure.unwrap_or(name);
    FLOATS
        .iter()
        .any(|float| figure == *float || (float.starts_with('_') && figure.ends_with(float)))
}

fn same(name: &str, left: &str, right: &str) -> bool {
    if left == right {
        return true;
    }
    match (is_float(name), left.parse::<f64>(), right.parse::<f64>()) {
        (true, Ok(left), Ok(right)) => (left - right).abs() <= 1e-9 * right.abs().max(1.0),
        _ => false,
    }
}

fn compare(title: &str, expected: &str, actual: &str) -> Option<String> {
    let (wanted, expected_rows) = csv_rows(expected);
    let (header, actual_rows) = csv_rows(actual);
    let expected_rows = picked(&wanted, &expected_rows, &wanted);
    let actual_rows = picked(&header, &actual_rows, &wanted);
    let agree = expected_rows.len() == actual_rows.len()
        && expected_rows.iter().zip(&actual_rows).all(|(left, right)| {
            wanted
                .iter()
                .zip(left.iter().zip(right))
                .all(|(name, (left, right))| same(name, left, right))
        });
    let shown = |rows: &Rows| rows.iter().map(|row| row.join(",")).collect::<Vec<_>>().join("\n");
    (!agree).then(|| {
        format!(
            "{title}\n{}\n---- expected ----\n{}\n---- actual ----\n{}\n",
            wanted.join(","),
            shown(&expected_rows),
            shown(&actual_rows)
        )
    })
}

/// What the identity report of a case says wrongly: its table, and the journeys that changed.
fn identity_failures(
    case: &Path,
    playground: &Playground,
    run: &[String],
    title: &dyn Fn(&str) -> String,
) -> Vec<String> {
    let expected = ["identity_report", "changed"].map(|name| {
        let text = fs::read_to_string(case.join(format!("{name}.csv"))).ok();
        text.map(|text| (name, text))
    });
    if expected.iter().all(Option::is_none) {
        return Vec::new();
    }
    let mut arguments = run.to_vec();
    "identity".clone_into(&mut arguments[0]);
    let outputs = ["--format", "csv", "-o", "identity_report.csv", "--changed", "changed.csv"];
    arguments.extend(outputs.map(str::to_owned));
    let output = playground.run(&arguments);
    if !output.status.success() {
        return vec![format!("{}\n{}", title("the identity report failed"), said(&output).1)];
    }
    let wrong = expected.iter().flatten().filter_map(|(name, text)| {
        let actual = fs::read_to_string(playground.path(&format!("{name}.csv"))).unwrap();
        compare(&title(name), text, &actual)
    });
    wrong.collect()
}

/// What explanations of a case say of its orders, their touches and their credits: tables of the
/// columns that are expected, out of the JSON of one explanation after the other.
fn explained(playground: &Playground, run: &[String], orders: &[String]) -> [String; 3] {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let line = |cells: Vec<String>| cells.join(",") + "\n";
    let mut tables = [
        "order_external_id,person,counts,is_first_conversion,price,refunded_price,price_currency,rate,rate_date,amount,currency,sessions_from,views_from,previous\n",
        "order_external_id,touch_external_id,position,reason\n",
        "order_external_id,model,position,weight,share,amount,left_over\n",
    ]
    .map(str::to_owned);
    for order in orders {
        let mut arguments = vec!["explain".to_owned(), order.clone()];
        arguments.extend_from_slice(&run[1..]);
        arguments.extend(["--format", "json", "--quiet"].map(str::to_owned));
        let (stdout, stderr) = said(&playground.run(&arguments));
        let told: serde_json::Value = serde_json::from_str(&stdout).expect(&stderr);
        let at = |path: &str| told.pointer(path).map(text).unwrap_or_default();
        let facts = ["/order/order_external_id", "/order/person", "/order/counts"];
        let amount = ["price", "refunded_price", "price_currency", "rate", "rate_date"];
        let amount = amount.into_iter().chain(["amount", "currency"]);
        let mut cells: Vec<String> = facts.map(at).to_vec();
        cells.push(at("/order/is_first_conversion"));
        cells.extend(amount.map(|name| at(&format!("/amount/{name}"))));
        cells.extend(["sessions/from", "views/from"].map(|path| at(&format!("/window/{path}"))));
        cells.push(at("/window/previous/0"));
        tables[0].push_str(&line(cells));
        for touch in told["touches"].as_array().unwrap() {
            let cells = ["touch_external_id", "position", "reason"].map(|name| text(&touch[name]));
            tables[1].push_str(&line([std::slice::from_ref(order), &cells[..]].concat()));
        }
        for model in told["models"].as_array().unwrap() {
            for credit in model["credits"].as_array().unwrap() {
                let cells = ["position", "weight", "share", "amount", "left_over"];
                let cells = cells.map(|name| text(&credit[name]));
                let first = [order.clone(), text(&model["model"])];
                tables[2].push_str(&line([&first[..], &cells[..]].concat()));
            }
        }
    }
    tables
}

/// What explanations of a case say wrongly.
fn explanation_failures(
    case: &Path,
    playground: &Playground,
    run: &[String],
    title: &dyn Fn(&str) -> String,
) -> Vec<String> {
    let names = ["explained_orders", "explained_touches", "explained_credits"];
    let expected = names.map(|name| fs::read_to_string(case.join(format!("{name}.csv"))).ok());
    let Some(orders) = &expected[0] else { return Vec::new() };
    let (_, rows) = csv_rows(orders);
    let orders: Vec<String> = rows.into_iter().map(|row| row[0].clone()).collect();
    let actual = explained(playground, run, &orders);
    let tables = names.iter().zip(expected.iter().zip(&actual));
    let wrong =
        tables.filter_map(|(name, (text, actual))| compare(&title(name), text.as_ref()?, actual));
    wrong.collect()
}

/// What a case says wrongly, if anything.
fn failures(case: &Path, layout: Layout) -> Vec<String> {
    let name = case.file_name().unwrap().to_string_lossy().into_owned();
    let title = |what: &str| format!("==== {name} ({layout:?}): {what}");
    let playground = Playground::new();
    let command = fs::read_to_string(case.join("command")).unwrap();
    let mut arguments = vec!["run".to_owned()];
    arguments.extend(command.split_whitespace().map(str::to_owned));
    arguments.extend(lay_out(case, &playground, layout));
    if !command.contains("--as-of") {
        arguments.extend(["--as-of", "2030-01-01T00:00:00Z"].map(str::to_owned));
    }
    let asked = arguments.clone();
    arguments.extend(["--format", "csv", "--summary", "summary.json"].map(str::to_owned));
    let sweeps = command.contains("--sweep");
    for output in OUTPUTS.iter().filter(|output| !sweeps || !OF_ONE.contains(output)) {
        arguments.extend([format!("--{output}"), format!("{output}.csv")]);
    }
    for output in ASKED_FOR.iter().filter(|output| case.join(format!("{output}.csv")).exists()) {
        arguments.extend([format!("--{output}"), format!("{output}.csv")]);
    }
    let workspace = case.join("apportion.toml");
    if workspace.exists() {
        fs::copy(workspace, playground.path("apportion.toml")).unwrap();
    }
    let output = playground.run(&arguments);
    let (stdout, stderr) = said(&output);
    let mut failures = Vec::new();
    if let Ok(error) = fs::read_to_string(case.join("error.txt")) {
        if output.status.success() {
            failures.push(title("it should have failed"));
        }
        for line in error.lines().filter(|line| !line.is_empty() && !stderr.contains(line)) {
            failures.push(format!("{}\nno `{line}` in:\n{stderr}", title("the error")));
        }
        let left: Vec<String> = playground.files();
        if left != ["input"] {
            failures.push(format!("{}: {left:?}", title("a failed run left files")));
        }
        return failures;
    }
    if !output.status.success() {
        return vec![format!("{}\n{stderr}", title("it failed"))];
    }
    if let Ok(expected) = fs::read_to_string(case.join("report.csv")) {
        failures.extend(compare(&title("report"), &expected, &stdout));
    }
    for output in OUTPUTS.into_iter().chain(ASKED_FOR) {
        if let Ok(expected) = fs::read_to_string(case.join(format!("{output}.csv"))) {
            let actual = fs::read_to_string(playground.path(&format!("{output}.csv"))).unwrap();
            failures.extend(compare(&title(output), &expected, &actual));
        }
    }
    if let Ok(expected) = fs::read_to_string(case.join("summary.json")) {
        let actual = fs::read_to_string(playground.path("summary.json")).unwrap();
        let actual: serde_json::Value = serde_json::from_str(&actual).unwrap();
        let expected: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(&expected).unwrap();
        for (key, value) in expected {
            let found = actual.pointer(&format!("/{}", key.replace('.', "/")));
            if found != Some(&value) {
                failures.push(format!("{}: {key} is {found:?}, not {value}", title("summary")));
            }
        }
    }
    failures.extend(identity_failures(case, &playground, &asked, &title));
    failures.extend(explanation_failures(case, &playground, &asked, &title));
    failures
}

#[test]
#[expect(clippy::disallowed_methods, reason = "which cases are wanted is asked outside")]
fn every_golden_case_answers_what_was_worked_by_hand() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 80, "only {} cases are there", cases.len());
    // Some alone, for who works on them: names divided by blanks.
    if let Ok(wanted) = env::var("GOLDEN_CASES") {
        let wanted: Vec<&str> = wanted.split_whitespace().collect();
        cases.retain(|case| wanted.iter().any(|name| case.ends_with(name)));
        assert_eq!(cases.len(), wanted.len(), "some of {wanted:?} are not there");
    }
    let mut wrong = Vec::new();
    for case in &cases {
        wrong.extend(failures(case, Layout::AsGiven));
        let fails = case.join("error.txt").exists();
        if !fails && !case.join("fixed_order").exists() {
            for layout in [Layout::Reversed, Layout::SplitInTwo, Layout::SplitTheOtherWay] {
                wrong.extend(failures(case, layout));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
