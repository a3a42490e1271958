//! The library of queries: every one has an answer that was worked by hand, its numbers add up to the
//! orders, every audit finds what it is for, and what is asked wrongly is said.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apportion::kept::{Frame, Kept};
use apportion::queries::{AUDITS, QUERIES, Query, Statement, ask};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Int64Type, Schema};
use common::{Playground, parquet_from_rows, said, write_parquet};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/queries")
}

fn csv_rows(text: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let header = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let rows = reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect());
    (header, rows.collect())
}

/// The small world, laid out and kept as `kept`; gives the flags that name its inputs.
fn world() -> (Playground, Vec<String>) {
    let playground = Playground::new();
    let command = fs::read_to_string(folder().join("world/command")).unwrap();
    let mut flags: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    for table in ["sessions", "postviews", "orders", "users", "spend"] {
        let text = fs::read_to_string(folder().join(format!("world/input/{table}.csv"))).unwrap();
        let (header, rows) = csv_rows(&text);
        let name = format!("{table}.parquet");
        parquet_from_rows(table, &header, &rows, &playground.path(&name));
        flags.extend([format!("--{table}"), name]);
    }
    let mut run = vec!["run".to_owned(), "--quiet".to_owned()];
    run.extend(flags.iter().cloned());
    run.extend(["--keep", "kept"].map(str::to_owned));
    let (_, complaints) = said(&playground.run(&run));
    assert_eq!(complaints, "");
    (playground, flags)
}

/// A number, or a division of two.
fn number(cell: &str) -> Option<f64> {
    match cell.split_once('/') {
        Some((part, whole)) => Some(part.parse::<f64>().ok()? / whole.parse::<f64>().ok()?),
        None => cell.parse().ok(),
    }
}

/// Whether a cell is what was worked by hand: text as it is, a division to 1e-9.
fn same(expected: &str, actual: &str) -> bool {
    let near =
        |expected: f64, actual: f64| (expected - actual).abs() <= 1e-9 * expected.abs().max(1.0);
    let numbers = number(expected).zip(actual.parse::<f64>().ok());
    expected == actual
        || (expected.contains(['/', '.']) && numbers.is_some_and(|(left, right)| near(left, right)))
}

#[test]
fn every_query_answers_what_was_worked_by_hand() {
    let (playground, flags) = world();
    let mut wrong = Vec::new();
    for entry in QUERIES {
        let expected = fs::read_to_string(folder().join(format!("answers/{}.csv", entry.name)));
        let expected = expected
            .unwrap_or_else(|_| format!("tests/queries/answers/{}.csv is missing\n", entry.name));
        let ask = ["query", entry.name, "--quiet", "--format", "csv"].map(str::to_owned).to_vec();
        let from_kept =
            playground.run([&ask[..], &["--run".to_owned(), "kept".to_owned()]].concat());
        let from_inputs = playground.run([&ask[..], &flags].concat());
        let (answer, complaints) = said(&from_kept);
        if answer != said(&from_inputs).0 {
            wrong.push(format!("{}: inputs answer something else than the kept run", entry.name));
        }
        let ((header, rows), (named, answered)) = (csv_rows(&expected), csv_rows(&answer));
        let agree = header == named
            && rows.len() == answered.len()
            && rows
                .iter()
                .flatten()
                .zip(answered.iter().flatten())
                .all(|(left, right)| same(left, right));
        if !agree {
            wrong.push(format!(
                "==== {}\n{complaints}---- expected ----\n{expected}---- actual ----\n{answer}",
                entry.name
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let answers = fs::read_dir(folder().join("answers")).unwrap().count();
    assert_eq!(answers, QUERIES.len(), "every answer is one of a query");
}

#[test]
fn every_query_says_what_it_answers_and_reads_what_it_says() {
    let names: BTreeSet<&str> = QUERIES.iter().chain(AUDITS).map(|entry| entry.name).collect();
    assert_eq!(names.len(), QUERIES.len() + AUDITS.len(), "names are unique");
    for entry in QUERIES.iter().chain(AUDITS) {
        let query = Query::named(entry.name).unwrap();
        let header = &query.header;
        let says = query.is_audit || !header.answers.is_empty();
        assert!(!header.title.is_empty() && !header.output.is_empty() && says, "{}", entry.name);
        let read = Statement::parse(entry.name, entry.sql).unwrap().frames();
        let said: BTreeSet<Frame> =
            header.inputs.iter().map(|name| Frame::from_name(name).unwrap()).collect();
        assert_eq!(said, read, "the inputs of {}", entry.name);
        let last = entry.sql.rfind("order by").unwrap();
        assert!(!entry.sql[last..].contains("from"), "{} does not end in an order", entry.name);
    }
    let count = |folder: &str| {
        let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
        let is_query = |path: PathBuf| path.extension().is_some_and(|ending| ending == "sql");
        entries.filter(|entry| is_query(entry.as_ref().unwrap().path())).count()
    };
    assert_eq!((count("queries"), count("queries/audits")), (QUERIES.len(), AUDITS.len()));
}

/// Amounts of a table by model and currency, in cents; the model is `any` where there is none.
fn sums(answer: &RecordBatch, amounts: &[&str]) -> BTreeMap<(String, String), i128> {
    let text = |name: &str, row: usize| {
        let texts = answer.column_by_name(name)?.as_string_view();
        texts.is_valid(row).then(|| texts.value(row).to_owned())
    };
    let mut sums = BTreeMap::new();
    for row in 0..answer.num_rows() {
        let model = text("model", row).unwrap_or_else(|| "any".to_owned());
        let Some(currency) = text("currency", row) else { continue };
        for name in amounts {
            let column = answer.column_by_name(name).unwrap();
            let decimals = column.as_primitive::<arrow::datatypes::Decimal128Type>();
            *sums.entry((model.clone(), currency.clone())).or_default() += decimals.value(row);
        }
    }
    sums
}

#[test]
fn what_must_add_up_to_the_orders_does() {
    let playground = Playground::new();
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/shop");
    let (workspace, spend) = (shop.join("full.toml"), shop.join("spend.parquet"));
    let run = ["run", "--quiet", "--as-of", "2026-01-01T00:00:00Z", "--keep", "kept", "--config"];
    let mut run: Vec<&str> = run.to_vec();
    run.extend([workspace.to_str().unwrap(), "--spend", spend.to_str().unwrap()]);
    let (_, complaints) = said(&playground.run(run));
    assert_eq!(complaints, "");
    let kept = Kept::open(&playground.path("kept")).unwrap();
    let orders = kept.frame(Frame::Orders).unwrap();
    let counted = orders.column_by_name("is_counted").unwrap().as_boolean().clone();
    let amounts = orders.column_by_name("amount").unwrap().as_primitive::<Int64Type>().clone();
    let owed: i128 = counted.values().set_indices().map(|row| i128::from(amounts.value(row))).sum();
    let answer = |name: &str| ask(&Query::named(name).unwrap(), &[], &kept).unwrap().rows;
    for (name, columns, models) in [
        ("attribution", &["amount"][..], 3),
        ("channels_by_month", &["amount"], 3),
        ("models", &["last_click_amount"], 1),
        ("models", &["linear_amount"], 1),
        ("acquisition_and_retention", &["acquisition_amount", "retention_amount"], 3),
        ("path_length", &["amount"], 1),
        ("new_and_repeat", &["new_amount", "repeat_amount"], 1),
        ("cohorts", &["amount"], 1),
    ] {
        let sums = sums(&answer(name), columns);
        assert_eq!(sums.len(), models, "{name}");
        for ((model, _), sum) in sums {
            assert_eq!(sum, owed, "{name} under {model}");
        }
    }
    // Those that leave out orders without touches agree with one another.
    let unattributed: i128 =
        sums(&answer("path_length").slice(0, 1), &["amount"]).into_values().sum();
    for name in ["time_lag", "first_to_last"] {
        let sum: i128 = sums(&answer(name), &["amount"]).into_values().sum();
        assert_eq!(sum, owed - unattributed, "{name}");
    }
    for ((model, _), sum) in sums(&answer("return_on_spend"), &["amount"]) {
        assert_eq!(sum, owed - unattributed, "return_on_spend under {model}");
    }
    for audit in AUDITS {
        assert_eq!(answer(audit.name).num_rows(), 0, "{} returns rows", audit.name);
    }
}

/// A table with another column in the place of the one of its name.
fn with(rows: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let at = rows.schema().index_of(name).unwrap();
    let mut columns = rows.columns().to_vec();
    let mut fields: Vec<Field> =
        rows.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields[at] = Field::new(name, column.data_type().clone(), true);
    columns[at] = column;
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// A table in which a whole number is one more in every row.
fn one_more(rows: &RecordBatch, name: &str) -> RecordBatch {
    let numbers = rows.column_by_name(name).unwrap().as_primitive::<Int64Type>();
    let more: Int64Array = numbers.iter().map(|number| number.map(|number| number + 1)).collect();
    with(rows, name, Arc::new(more))
}

/// A table in which a text is `nobody` wherever there is one.
fn nobody(rows: &RecordBatch, name: &str) -> RecordBatch {
    let texts = rows.column_by_name(name).unwrap().as_string_view();
    let texts: StringViewArray = texts.iter().map(|text| text.map(|_| "nobody")).collect();
    with(rows, name, Arc::new(texts))
}

/// What somebody could do to a table.
type Break = fn(&RecordBatch) -> RecordBatch;

#[test]
fn every_audit_finds_what_it_is_for() {
    let (playground, _) = world();
    let kept = Kept::open(&playground.path("kept")).unwrap();
    let breaks: [(&str, Frame, Break); 10] = [
        ("amounts_add_up", Frame::Credits, |rows| one_more(rows, "amount")),
        ("shares_sum_to_one", Frame::Credits, |rows| one_more(rows, "share_billionths")),
        ("orders_have_journeys", Frame::Journeys, |rows| rows.slice(1, rows.num_rows() - 1)),
        ("journeys_have_orders", Frame::Journeys, |rows| {
            concat_batches(&rows.schema(), [rows, &rows.slice(0, 1)]).unwrap()
        }),
        ("credits_have_orders", Frame::Credits, |rows| nobody(rows, "order_external_id")),
        ("credits_have_touches", Frame::Credits, |rows| nobody(rows, "touch_external_id")),
        ("touches_come_before_orders", Frame::Credits, |rows| {
            let late = Int64Array::from(vec![-1; rows.num_rows()]);
            with(rows, "time_to_conversion", Arc::new(late))
        }),
        ("positions_are_whole", Frame::Credits, |rows| one_more(rows, "position")),
        ("persons_keep_together", Frame::Sessions, |rows| nobody(rows, "person")),
        ("persons_know_their_orders", Frame::Persons, |rows| one_more(rows, "orders_count")),
    ];
    let broken: BTreeSet<&str> = breaks.iter().map(|(audit, ..)| *audit).collect();
    assert_eq!(broken, AUDITS.iter().map(|audit| audit.name).collect());
    for (audit, frame, broken) in breaks {
        let path = playground.path("kept").join(frame.file());
        let rows = kept.frame(frame).unwrap();
        let query = Query::named(audit).unwrap();
        assert_eq!(ask(&query, &[], &kept).unwrap().rows.num_rows(), 0, "{audit}");
        write_parquet(&broken(&rows), &path);
        assert!(ask(&query, &[], &kept).unwrap().rows.num_rows() > 0, "{audit} finds nothing");
        let output = playground.run(["query", "--audits", "--run", "kept"]);
        let (text, _) = said(&output);
        assert!(text.contains(&query.header.title), "{audit}: {text}");
        assert_eq!(output.status.code(), Some(1));
        write_parquet(&rows, &path);
    }
    let output = playground.run(["query", "--audits", "--run", "kept"]);
    assert_eq!((said(&output).0.as_str(), output.status.code()), ("", Some(0)));
}

#[test]
fn parameters_are_cells_and_every_type_of_column_comes_back() {
    let (playground, _) = world();
    let sql = "-- parameter: model (text): which\n-- parameter: least (number, 0.25): share\n-- parameter: since (day, 2025-01-01): when\n-- parameter: firsts (flag, true): only\n-- amounts: amount\nselect c.order_external_id, c.amount, c.currency, c.touch_at, c.share, c.is_first_conversion, c.position from credits as c cross join params as p where c.model = p.model and c.share >= p.least and c.order_day >= p.since and c.is_first_conversion = p.firsts order by c.order_external_id, c.position";
    fs::write(playground.path("mine.sql"), sql).unwrap();
    let ask = |more: &[&str]| {
        let first = ["query", "mine.sql", "--run", "kept", "--format", "csv"];
        said(&playground.run([&first[..], more].concat()))
    };
    let (answer, complaints) = ask(&["--param", "model=linear", "--param", "since=2025-02-01"]);
    assert_eq!(complaints, "");
    assert_eq!(
        answer,
        "order_external_id,amount,currency,touch_at,share,is_first_conversion,position\n\
         o5,30.00,EUR,2025-02-20T08:00:00Z,0.5,true,1\n\
         o5,30.00,EUR,2025-02-20T09:00:00Z,0.5,true,2\n\
         o6,500,JPY,2025-02-22T08:00:00Z,1,true,1\n"
    );
    let (_, complaints) = ask(&["-o", "kept/orders.csv"]);
    assert!(complaints.contains("written into the kept run `kept`"), "{complaints}");
    let (answer, _) = ask(&["--param", "model=linear' or '1' = '1"]);
    assert_eq!(answer.lines().count(), 1, "a value is not text of the query");
    for (wrong, why) in [
        ("mode=linear", "did you mean `model`?"),
        ("least=half", "write a number, such as `0.5`"),
        ("since=spring", "write a day, such as `2025-03-31`"),
        ("firsts=yes", "write `true` or `false`"),
        ("model", "write `NAME=VALUE`"),
    ] {
        let (_, complaints) = ask(&["--param", wrong]);
        assert!(complaints.contains(why), "{complaints}");
    }
}

#[test]
fn the_query_of_the_manual_answers() {
    let (playground, _) = world();
    let manual = fs::read_to_string("docs/queries.md").unwrap();
    let block = manual.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    fs::write(playground.path("manual.sql"), block).unwrap();
    let ask = ["query", "manual.sql", "--run", "kept", "--format", "csv", "--param", "least=50"];
    let (answer, complaints) = said(&playground.run(ask));
    assert_eq!(complaints, "");
    // Under linear o1 gives 50.00 to each of its touches, and o6 is 500 JPY: enough of either unit.
    assert_eq!(
        answer,
        "currency,channel,amount\nEUR,Email,50.00\nEUR,Paid Search,50.00\nJPY,Paid Search,500\n"
    );
}
