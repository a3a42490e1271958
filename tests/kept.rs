//! Kept runs: a folder that appears whole, says what the run says, and is refused where it is none.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use apportion::kept::{Frame, Kept, LAYOUT, SHARE_WHOLE};
use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Decimal128Type, Int64Type};
use common::{Playground, said, write_parquet};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const AS_OF: [&str; 2] = ["--as-of", "2026-01-01T00:00:00Z"];

fn shop(table: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("datasets/shop/{table}.parquet"))
}

/// Runs the shop with everything that it has, models that learn among it.
fn run(playground: &Playground, arguments: &[&str]) -> std::process::Output {
    let workspace = shop("sessions").with_file_name("full.toml");
    let spend = shop("spend");
    let mut all = vec!["run", "--quiet", "--config", workspace.to_str().unwrap()];
    all.extend(["--model", "linear,last_click,markov"]);
    if !arguments.contains(&"--spend") {
        all.extend(["--spend", spend.to_str().unwrap()]);
    }
    if !arguments.contains(&AS_OF[0]) {
        all.extend(AS_OF);
    }
    all.extend(arguments);
    playground.run(all)
}

fn text<'a>(rows: &'a RecordBatch, column: &str) -> Vec<Option<&'a str>> {
    rows.column_by_name(column).unwrap().as_string_view().iter().collect()
}

fn whole(rows: &RecordBatch, column: &str) -> Vec<i64> {
    rows.column_by_name(column).unwrap().as_primitive::<Int64Type>().values().to_vec()
}

fn parquet(path: &Path) -> RecordBatch {
    let file = fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let batches: Vec<RecordBatch> = reader.map(|rows| rows.unwrap()).collect();
    arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap()
}

#[test]
fn a_kept_run_says_what_the_run_says() {
    let playground = Playground::new();
    let files = ["--credits", "credits.parquet", "--journeys", "journeys.parquet"];
    let (_, complaints) = said(&run(&playground, &[&files[..], &["--keep", "kept"]].concat()));
    assert_eq!(complaints, "");
    let kept = Kept::open(&playground.path("kept")).unwrap();
    let names: BTreeSet<&str> =
        kept.account().frames.iter().map(|frame| frame.name.as_str()).collect();
    assert_eq!(names, Frame::ALL.map(Frame::name).into());

    let orders = kept.frame(Frame::Orders).unwrap();
    let counted = orders.column_by_name("is_counted").unwrap().as_boolean().clone();
    let amounts = whole(&orders, "amount");
    let owed: i64 = counted.values().set_indices().map(|row| amounts[row]).sum();
    let proof = &kept.account().summary["proof"]["models"];
    let said_owed = proof[0]["owed"].as_str().unwrap().replace(['.', ','], "");
    assert_eq!(owed.to_string(), said_owed);
    let reasons = text(&orders, "not_counted").into_iter().flatten().count();
    assert_eq!(reasons, orders.num_rows() - counted.true_count());

    let credits = kept.frame(Frame::Credits).unwrap();
    let (models, parts) = (text(&credits, "model"), whole(&credits, "share_billionths"));
    let amounts = whole(&credits, "amount");
    for model in ["linear", "last_click", "markov"] {
        let of_model = || (0..credits.num_rows()).filter(|row| models[*row] == Some(model));
        assert_eq!(of_model().map(|row| amounts[row]).sum::<i64>(), owed);
        let orders = i64::try_from(counted.true_count()).unwrap();
        assert_eq!(of_model().map(|row| parts[row]).sum::<i64>(), orders * SHARE_WHOLE);
    }
    let written = parquet(&playground.path("credits.parquet"));
    let decimals = written.column_by_name("amount").unwrap().as_primitive::<Decimal128Type>();
    let decimals: Vec<i64> =
        decimals.values().iter().map(|cents| i64::try_from(*cents).unwrap()).collect();
    assert_eq!(amounts, decimals, "cents are cents");

    let sessions = kept.frame(Frame::Sessions).unwrap();
    let ids: BTreeSet<_> = text(&sessions, "touch_external_id").into_iter().flatten().collect();
    let credited: BTreeSet<_> = text(&credits, "touch_external_id").into_iter().flatten().collect();
    assert!(credited.is_subset(&ids), "every touch that is credited is a row of its own");
    let journeys = kept.frame(Frame::Journeys).unwrap();
    let paths = text(&journeys, "channel_path");
    assert!(paths.iter().flatten().any(|path| path.contains("Paid Search")));
    assert_eq!(journeys.num_rows(), counted.true_count());
}

#[test]
fn its_tables_are_the_same_bytes_whatever_the_order_of_rows_and_the_threads() {
    let playground = Playground::new();
    for table in ["sessions", "orders", "postviews", "spend", "users", "user_aliases"] {
        let rows = parquet(&shop(table));
        let count = u32::try_from(rows.num_rows()).unwrap();
        let reversed = UInt32Array::from_iter_values((0..count).rev());
        let rows = take_record_batch(&rows, &reversed).unwrap();
        write_parquet(&rows, &playground.path(&format!("{table}.parquet")));
    }
    let keep = |arguments: &[&str]| {
        let (_, complaints) = said(&run(&playground, arguments));
        assert_eq!(complaints, "");
    };
    keep(&["--keep", "first", "--threads", "1"]);
    let names = ["sessions", "orders", "postviews", "spend", "users"];
    let mut flags: Vec<String> =
        names.iter().flat_map(|table| [format!("--{table}"), format!("{table}.parquet")]).collect();
    flags.extend(["--aliases", "user_aliases.parquet", "--threads", "3"].map(str::to_owned));
    let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    flags.extend(["--keep", "second"]);
    keep(&flags);
    for frame in Frame::ALL {
        let bytes = |folder: &str| fs::read(playground.path(folder).join(frame.file())).unwrap();
        assert!(bytes("first") == bytes("second"), "`{frame}` depends on the order of rows");
    }
}

#[test]
fn only_a_kept_run_is_replaced_and_a_failed_run_leaves_it() {
    let playground = Playground::new();
    fs::create_dir(playground.path("photos")).unwrap();
    fs::write(playground.path("photos/cat.jpg"), "meow").unwrap();
    fs::write(playground.path("note"), "to self").unwrap();
    for (place, why) in [("photos", "something else than a kept run"), ("note", "it is a file")] {
        let (_, complaints) = said(&run(&playground, &["--keep", place]));
        assert!(complaints.contains(why), "{complaints}");
    }
    assert_eq!(fs::read_to_string(playground.path("photos/cat.jpg")).unwrap(), "meow");
    fs::create_dir(playground.path("kept")).unwrap();
    assert!(run(&playground, &["--keep", "kept"]).status.success(), "an empty folder may go");
    let before = fs::read(playground.path("kept/run.json")).unwrap();
    let late = ["--keep", "kept", "--as-of", "2024-06-01T00:00:00Z", "--max-rejects", "0"];
    assert_eq!(run(&playground, &late).status.code(), Some(1), "half the rows are of the future");
    assert_eq!(fs::read(playground.path("kept/run.json")).unwrap(), before);
    assert!(run(&playground, &["--keep", "kept", "--lookback", "7d"]).status.success());
    let kept = Kept::open(&playground.path("kept")).unwrap();
    assert_eq!(kept.account().settings["lookback"], "7d");
    assert_eq!(playground.files(), ["kept", "note", "photos"], "nothing is left beside");
    // What is read from must not go.
    fs::copy(shop("orders"), playground.path("kept/more.parquet")).unwrap();
    let (_, complaints) =
        said(&run(&playground, &["--keep", "kept", "--orders", "kept/more.parquet"]));
    assert!(complaints.contains("in it is read as orders"), "{complaints}");
    let (_, complaints) = said(&run(&playground, &["--keep", "kept", "--date-by", "touch"]));
    assert!(complaints.contains("leave out `--date-by touch`"), "{complaints}");
}

#[test]
fn a_folder_that_is_no_kept_run_is_said_to_be_none() {
    let playground = Playground::new();
    let wrong = |name: &str| Kept::open(&playground.path(name)).unwrap_err().to_string();
    assert!(wrong("nowhere").ends_with("there is no such folder"));
    fs::create_dir(playground.path("empty")).unwrap();
    assert!(wrong("empty").ends_with("it has no `run.json`"));
    assert!(run(&playground, &["--keep", "kept"]).status.success());
    let place = playground.path("kept/run.json");
    let account = fs::read_to_string(&place).unwrap();
    let other = account.replace(&format!("\"layout\": {LAYOUT}"), "\"layout\": 999");
    fs::write(&place, other).unwrap();
    assert!(wrong("kept").contains("its layout is 999 (by apportion "), "{}", wrong("kept"));
    fs::write(&place, "{").unwrap();
    assert!(wrong("kept").contains("is not JSON"), "{}", wrong("kept"));
    fs::write(&place, account).unwrap();
    fs::write(playground.path("kept/orders.parquet"), "no Parquet").unwrap();
    let kept = Kept::open(&playground.path("kept")).unwrap();
    assert!(kept.frame(Frame::Orders).unwrap_err().to_string().contains("it is damaged"));
    fs::remove_file(playground.path("kept/credits.parquet")).unwrap();
    assert!(wrong("kept").ends_with("its file `credits.parquet` is missing"));
}
