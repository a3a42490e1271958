//! JSON items end to end, worked by hand, and the merge law: any order of arrival, any number of
//! times and any split into several ingests gives the same bytes.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use apportion::calendar::parse_instant;
use apportion::input::{Seen, Source};
use apportion::items::{self, Meaning};
use apportion::money::Currency;
use apportion::output::cell_text;
use arrow::compute::concat_batches;
use common::{Playground, said};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

/// Runs a command that must succeed, and returns what it said on either stream.
fn done(playground: &Playground, arguments: &str) -> (String, String) {
    let output = playground.run(arguments.split_whitespace());
    let (stdout, stderr) = said(&output);
    assert!(output.status.success(), "{arguments}: {stderr}");
    (stdout, stderr)
}

fn write(playground: &Playground, name: &str, lines: &[&str]) {
    fs::write(playground.path(name), lines.join("\n") + "\n").unwrap();
}

/// The named columns of a table of the folder `tables`, a text a row, sorted; `-` is null.
fn rows(playground: &Playground, table: &str, columns: &str) -> Vec<String> {
    let file = fs::File::open(playground.path(&format!("tables/{table}.parquet"))).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = Arc::clone(reader.schema());
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    let rows = concat_batches(&schema, &batches).unwrap();
    let at: Vec<usize> =
        columns.split_whitespace().map(|column| rows.schema().index_of(column).unwrap()).collect();
    let cell = |row: usize, at: &usize| cell_text(&rows, *at, row).unwrap_or_else(|| "-".into());
    let text = |row| at.iter().map(|at| cell(row, at)).collect::<Vec<_>>().join(" ");
    let mut texts: Vec<String> = (0..rows.num_rows()).map(text).collect();
    texts.sort();
    texts
}

/// Ingests lines into the folder `tables`, in one go.
fn ingest(playground: &Playground, lines: &[&str]) {
    write(playground, "items.ndjson", lines);
    done(playground, "ingest items.ndjson -o tables --max-rejects 0");
}

const SESSION: &str = r#"{"kind":"session","user":{"external_id":"u1","created_at":"2024-03-01T09:00:00Z","is_authenticated":false},"session":{"external_id":"s1","domain_id":"shop","created_at":"2024-03-01T10:00:00Z","utm_source":"google","utm_medium":"cpc","utm_campaign":"spring"}}"#;

#[test]
fn a_session_before_its_user_is_a_stub_that_its_profile_heals() {
    let playground = Playground::new();
    let order = r#"{"kind":"order","user":{"external_id":"u1"},"order":{"external_id":"o1","created_at":"2024-03-02T10:00:00Z","subtotal_price":10,"currency":"EUR"}}"#;
    let user = r#"{"kind":"user","user":{"external_id":"u1","created_at":"2024-02-01T00:00:00Z","is_authenticated":true,"country":"FR"}}"#;
    ingest(&playground, &[SESSION, order, user]);
    // Sign-up is repaired from the user's creation.
    assert_eq!(
        rows(&playground, "users", "external_id is_authenticated signed_up_at country"),
        ["u1 true 2024-02-01T00:00:00Z FR"]
    );
    assert_eq!(
        rows(&playground, "sessions", "external_id user_created_at user_is_authenticated"),
        ["s1 2024-03-01T09:00:00Z false"]
    );
    let run = "run --items items.ndjson --model linear --format csv --identity identity.csv";
    let (_, stderr) = done(&playground, run);
    assert!(stderr.contains("1 users are 1 persons; stubs: 1 seen, 1 healed, 0 left"), "{stderr}");
}

#[test]
fn an_update_before_its_original_leaves_what_is_absent_alone() {
    let playground = Playground::new();
    // At 11:00 the medium was corrected; the campaign is not spoken of.
    let update = r#"{"kind":"session","user":{"external_id":"u1"},"session":{"external_id":"s1","created_at":"2024-03-01T10:00:00Z","updated_at":"2024-03-01T11:00:00Z","utm_medium":"paid","duration":20}}"#;
    ingest(&playground, &[update]);
    ingest(&playground, &[SESSION]);
    let columns = "external_id created_at updated_at domain_id utm_medium utm_campaign duration";
    assert_eq!(
        rows(&playground, "sessions", columns),
        ["s1 2024-03-01T10:00:00Z 2024-03-01T11:00:00Z shop paid spring 20"]
    );
}

#[test]
fn null_clears_what_is_older_and_not_what_is_later_and_loses_to_a_value_of_its_own_time() {
    let at = |hour: u8, medium: &str| {
        format!(
            r#"{{"kind":"session","user":{{"external_id":"u1"}},"session":{{"external_id":"s1","created_at":"2024-03-01T00:00:00Z","updated_at":"2024-03-01T{hour:02}:00:00Z","utm_medium":{medium}}}}}"#
        )
    };
    let medium = |items: &[String]| {
        let playground = Playground::new();
        for item in items {
            ingest(&playground, &[item]);
        }
        rows(&playground, "sessions", "utm_medium").remove(0)
    };
    assert_eq!(medium(&[at(1, "\"cpc\""), at(2, "null")]), "-");
    assert_eq!(medium(&[at(2, "null"), at(1, "\"cpc\"")]), "-");
    assert_eq!(medium(&[at(2, "\"cpc\""), at(1, "null")]), "cpc");
    assert_eq!(medium(&[at(1, "null"), at(2, "\"cpc\"")]), "cpc");
    assert_eq!(medium(&[at(1, "\"cpc\""), at(1, "null")]), "cpc");
    assert_eq!(medium(&[at(2, "null"), at(1, "\"cpc\""), at(3, "\"email\"")]), "email");
}

#[test]
fn an_alias_before_both_its_ends_makes_them_one_person() {
    let playground = Playground::new();
    write(
        &playground,
        "items.ndjson",
        &[
            r#"{"kind":"user_alias","user_alias":{"from_user_external_id":"u1","to_user_external_id":"ann","created_at":"2024-03-02T00:00:00Z"}}"#,
            r#"{"kind":"order","user":{"external_id":"ann"},"order":{"external_id":"o1","created_at":"2024-03-03T00:00:00Z","subtotal_price":12.34,"currency":"EUR"}}"#,
            SESSION,
        ],
    );
    let run = "run --items items.ndjson --model last_click --format csv";
    let (report, _) = done(&playground, run);
    let line = report.lines().nth(1).unwrap();
    assert!(line.starts_with("last_click,google,cpc,EUR,1,1,12.34"), "{report}");
}

#[test]
fn nested_sessions_and_devices_are_rows_that_refer_to_each_other() {
    let playground = Playground::new();
    let order = r#"{"kind":"order","user":{"external_id":"u1"},"order":{"external_id":"o1","created_at":"2024-03-02T00:00:00Z","subtotal_price":10,"session":{"external_id":"s7","created_at":"2024-03-01T23:00:00Z","utm_source":"bing","device":{"external_id":"d7","device_type":"tablet","browser":"Firefox"}}}}"#;
    ingest(&playground, &[order]);
    assert_eq!(
        rows(&playground, "orders", "external_id user_external_id session_external_id"),
        ["o1 u1 s7"]
    );
    assert_eq!(
        rows(&playground, "sessions", "external_id user_external_id device_external_id utm_source"),
        ["s7 u1 d7 bing"]
    );
    assert_eq!(
        rows(&playground, "devices", "external_id user_external_id device_type browser"),
        ["d7 u1 tablet Firefox"]
    );
    let run = "run --items items.ndjson --model linear --by device_type --format csv";
    let (report, _) = done(&playground, run);
    assert!(report.contains("linear,tablet,"), "{report}");
}

/// An order with items at an hour of its day.
fn order(hour: u8, items: &str) -> String {
    format!(
        r#"{{"kind":"order","user":{{"external_id":"u1"}},"order":{{"external_id":"o1","created_at":"2024-03-02T00:00:00Z","updated_at":"2024-03-02T{hour:02}:00:00Z","subtotal_price":100,"currency":"EUR"{items}}}}}"#
    )
}

#[test]
fn items_are_those_of_the_newest_version_that_carries_some() {
    let shoes = order(1, r#","items":[{"external_id":"i1","category":"shoes","price":100}]"#);
    let hats = order(
        3,
        r#","items":[{"external_id":"i2","category":"hats","price":25},{"external_id":"i3","category":"bags","price":75}]"#,
    );
    let silent = order(5, "");
    for items in [[&shoes, &hats, &silent], [&silent, &hats, &shoes], [&hats, &silent, &shoes]] {
        let playground = Playground::new();
        for item in items {
            ingest(&playground, &[item.as_str()]);
        }
        // The amount is in major units; the time is that of the set.
        assert_eq!(
            rows(&playground, "order_items", "external_id order_external_id category updated_at"),
            ["i2 o1 hats 2024-03-02T03:00:00Z", "i3 o1 bags 2024-03-02T03:00:00Z"]
        );
        let run = "run --sessions tables/sessions.parquet --orders tables/orders.parquet --order-items tables/order_items.parquet --model linear --by item.category --format csv";
        let (report, _) = done(&playground, run);
        assert!(report.contains("linear,hats,EUR,0.25,0.25,25.00"), "{report}");
        assert!(report.contains("linear,bags,EUR,0.75,0.75,75.00"), "{report}");
    }
}

#[test]
fn a_newer_empty_set_takes_the_items_away_also_those_of_another_table() {
    let playground = Playground::new();
    playground.table(
        "order_items",
        "external_id,order_external_id,category,price,updated_at
i1,o1,shoes,100.00,2024-03-02T01:00:00Z
",
    );
    for empty in [r#","items":[]"#, r#","items":null"#] {
        write(&playground, "items.ndjson", &[order(2, empty).as_str()]);
        let run = "run --items items.ndjson --order-items order_items.parquet --model linear --by item.category --format csv";
        let (report, _) = done(&playground, run);
        assert!(report.contains("linear,(not set),EUR,1,1,100.00"), "{report}");
    }
    write(&playground, "items.ndjson", &[order(0, r#","items":[]"#).as_str()]);
    let run = "run --items items.ndjson --order-items order_items.parquet --model linear --by item.category --format csv";
    assert!(done(&playground, run).0.contains("linear,shoes,EUR,1,1,100.00"));
}

#[test]
fn compressed_files_and_standard_input_are_read_to_their_end() {
    let plain = Playground::new();
    let user = |name: &str| {
        format!(
            "{{\"kind\":\"user\",\"user\":{{\"external_id\":\"{name}\",\"created_at\":\"2024-01-01\"}}}}\n"
        )
    };
    let all = [user("a"), user("b"), user("c")];
    fs::write(plain.path("a.ndjson"), all.concat()).unwrap();
    done(&plain, "ingest a.ndjson -o tables");
    let expected = fs::read(plain.path("tables/users.parquet")).unwrap();
    let gzip = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let zstandard = |text: &str| zstd::encode_all(text.as_bytes(), 0).unwrap();
    let members: [Vec<u8>; 2] = [
        [gzip(&all[0]), gzip(&all[1..].concat())].concat(),
        [zstandard(&all[0]), zstandard(&all[1..].concat())].concat(),
    ];
    for (bytes, name) in members.iter().zip(["a.ndjson.gz", "a.ndjson.zst"]) {
        let playground = Playground::new();
        fs::write(playground.path(name), bytes).unwrap();
        done(&playground, &format!("ingest {name} -o tables"));
        assert_eq!(fs::read(playground.path("tables/users.parquet")).unwrap(), expected, "{name}");
        let mut child = Command::new(env!("CARGO_BIN_EXE_apportion"))
            .args(["ingest", "-", "-o"])
            .arg(playground.path("piped"))
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output).1);
        assert_eq!(fs::read(playground.path("piped/users.parquet")).unwrap(), expected);
    }
    let cut = &members[0][..members[0].len() - 9];
    fs::write(plain.path("cut.ndjson.gz"), cut).unwrap();
    let output = plain.run(["ingest", "cut.ndjson.gz", "-o", "other"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).1.contains("cannot read `cut.ndjson.gz`"));
    assert!(!plain.path("other").exists());
}

#[test]
fn bad_lines_are_rejects_with_their_file_and_number() {
    let playground = Playground::new();
    let session = |fields: &str| {
        format!(r#"{{"kind":"session","user":{{"external_id":"u1"}},"session":{{{fields}}}}}"#)
    };
    let lines = [
        SESSION.to_owned(),
        String::new(),
        "{".to_owned(),
        r#"{"kind":"visit","visit":{}}"#.to_owned(),
        r#"{"kind":"session","user":{"external_id":"u1"}}"#.to_owned(),
        session(r#""external_id":"s2""#),
        session(r#""external_id":"s3","created_at":"soon""#),
        session(r#""external_id":"s4","created_at":1709287200"#),
        session(r#""external_id":"s5","created_at":"2024-03-01","timezone":"Mars/Base""#),
        session(r#""external_id":"s6","created_at":"2024-03-01","utm_source":7"#),
        session(r#""external_id":"s7","created_at":"2024-03-01","app_list":[1]"#),
        session(r#""external_id":"s8","created_at":"2024-03-01","duration":"long""#),
        session(r#""external_id":"s9","created_at":"2999-01-01""#),
        SESSION.replace("\"u1\"", "\"{{user_id}}\""),
    ];
    let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
    write(&playground, "bad.ndjson", &texts);
    let output = playground.run(["ingest", "bad.ndjson", "-o", "tables", "--rejects", "r.csv"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).1.contains("12 of 13 rows are rejected"), "{}", said(&output).1);
    assert_eq!(playground.files(), ["bad.ndjson"]);
    let arguments = "--max-rejects 100% --rejects r.csv --as-of 2030-01-01";
    let (_, stderr) = done(&playground, &format!("ingest bad.ndjson -o tables {arguments}"));
    assert!(stderr.contains("13 read from 1 file: 1 accepted, 12 rejected"), "{stderr}");
    let rejected = fs::read_to_string(playground.path("r.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(rejected.as_bytes());
    let found: Vec<String> = reader
        .records()
        .map(|row| row.unwrap())
        .map(|row| format!("{} {} {} {} {}", &row[0], &row[1], &row[2], &row[3], &row[4]))
        .collect();
    assert_eq!(
        found,
        [
            "items bad.ndjson 3  bad_item",
            "items bad.ndjson 4  bad_item",
            "items bad.ndjson 5  bad_item",
            "sessions bad.ndjson 6 s2 missing_value",
            "sessions bad.ndjson 7 s3 bad_time",
            "sessions bad.ndjson 8 s4 bad_time",
            "sessions bad.ndjson 9 s5 bad_timezone",
            "sessions bad.ndjson 10 s6 bad_item",
            "sessions bad.ndjson 11 s7 bad_item",
            "sessions bad.ndjson 12 s8 bad_number",
            "sessions bad.ndjson 13 s9 future",
            "sessions bad.ndjson 14 s1 placeholder_user",
        ]
    );
    let run = format!("run --items bad.ndjson --format csv --summary s.json {arguments}");
    done(&playground, &run);
    assert_eq!(fs::read_to_string(playground.path("r.csv")).unwrap(), rejected);
    let summary = fs::read_to_string(playground.path("s.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    let items = &summary["tables"][0];
    assert_eq!(
        (&items["table"], &items["read"], &items["accepted"], &items["rejected"]),
        (&"items".into(), &13.into(), &1.into(), &12.into())
    );
}

#[test]
fn a_table_that_is_damaged_is_an_error_that_names_it_and_stays_as_it_is() {
    let playground = Playground::new();
    let user = |at: usize| {
        let country = if at.is_multiple_of(7) { "" } else { r#","country":"FR""# };
        format!(
            r#"{{"kind":"user","user":{{"external_id":"u{at}","created_at":"2024-01-01"{country}}}}}"#
        )
    };
    let lines: Vec<String> = (0..300).map(user).collect();
    let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
    ingest(&playground, &texts);
    let (folder, table) = (playground.path("tables"), playground.path("tables/users.parquet"));
    let whole = fs::read(&table).unwrap();
    let meaning = Meaning { currency: Currency::NONE, units: None, as_of: i64::MAX };
    let mut refused = 0;
    for at in (0..whole.len()).step_by(3) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        fs::write(&table, &damaged).unwrap();
        let waiting = items::read(&meaning, &[], &folder, &|_| ()).unwrap();
        // What is merged is not published, and so nothing is written.
        if let Err(error) = items::merge(waiting, &folder).map(drop) {
            assert!(error.to_string().contains("users.parquet"), "byte {at}: {error}");
            refused += 1;
        }
        assert!(fs::read(&table).unwrap() == damaged, "byte {at}");
    }
    assert!(refused > 50, "only {refused} of {} were noticed", whole.len() / 3);
}

#[test]
fn a_folder_of_tables_of_somebody_else_is_left_alone() {
    let playground = Playground::new();
    playground.table("users", "external_id,created_at\nu1,2024-01-01\n");
    fs::create_dir(playground.path("tables")).unwrap();
    let theirs = playground.path("tables/users.parquet");
    fs::rename(playground.path("users.parquet"), &theirs).unwrap();
    let before = fs::read(&theirs).unwrap();
    write(&playground, "items.ndjson", &[SESSION]);
    let output = playground.run(["ingest", "items.ndjson", "-o", "tables"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).1.contains("was not written by `apportion ingest`"));
    assert_eq!(fs::read(&theirs).unwrap(), before);
    assert_eq!(fs::read_dir(playground.path("tables")).unwrap().count(), 1);
}

/// The report of items is that of their tables, and that of tables made by hand of the same rows.
#[test]
fn a_run_over_items_their_tables_and_tables_made_by_hand_is_one() {
    let playground = Playground::new();
    let lines = [
        SESSION,
        r#"{"kind":"session","user":{"external_id":"u1"},"session":{"external_id":"s1","created_at":"2024-03-01T10:00:00Z","updated_at":"2024-03-01T12:00:00Z","utm_medium":"ppc","duration":30,"app_tier":2}}"#,
        // The same id under the person's other user, later and with a hole.
        r#"{"kind":"session","user":{"external_id":"ann"},"session":{"external_id":"s1","created_at":"2024-03-01T10:00:00Z","updated_at":"2024-03-01T13:00:00Z","utm_campaign":"late"}}"#,
        r#"{"kind":"session","user":{"external_id":"ann"},"session":{"external_id":"s2","created_at":"2024-03-02T10:00:00Z","utm_source":"mail","utm_medium":"email","app_tier":3}}"#,
        r#"{"kind":"user_alias","user_alias":{"from_user_external_id":"u1","to_user_external_id":"ann","created_at":"2024-03-02T00:00:00Z"}}"#,
        r#"{"kind":"order","user":{"external_id":"ann"},"order":{"external_id":"o1","created_at":"2024-03-03T10:00:00Z","subtotal_price":10.01,"currency":"EUR","items":[{"external_id":"i1","category":"hats","price":4},{"external_id":"i2","category":"bags","price":6.01}]}}"#,
    ];
    write(&playground, "items.ndjson", &lines);
    done(&playground, "ingest items.ndjson -o tables");
    playground.table("sessions", "external_id,user_external_id,created_at,updated_at,domain_id,utm_source,utm_medium,utm_campaign,duration,app_tier
s1,u1,2024-03-01T10:00:00Z,,shop,google,cpc,spring,,
s1,u1,2024-03-01T10:00:00Z,2024-03-01T12:00:00Z,,,ppc,,30,2
s1,ann,2024-03-01T10:00:00Z,2024-03-01T13:00:00Z,,,,late,,
s2,ann,2024-03-02T10:00:00Z,,,mail,email,,,3
");
    playground.table(
        "orders",
        "external_id,user_external_id,created_at,subtotal_price,currency
o1,ann,2024-03-03T10:00:00Z,10.01,EUR
",
    );
    playground.table(
        "order_items",
        "external_id,order_external_id,category,price\ni1,o1,hats,4.00\ni2,o1,bags,6.01\n",
    );
    playground.table(
        "user_aliases",
        "from_user_external_id,to_user_external_id,created_at\nu1,ann,2024-03-02T00:00:00Z\n",
    );
    let tables = |folder: &str| {
        format!(
            "--sessions {folder}sessions.parquet --orders {folder}orders.parquet --order-items {folder}order_items.parquet --aliases {folder}user_aliases.parquet"
        )
    };
    for by in [
        "utm_source,utm_medium,utm_campaign",
        "app_tier,domain_id",
        "item.category,utm_medium",
        "day,channel",
    ] {
        let run = |inputs: &str, credits: &str| {
            let format = format!("--by {by} --format csv --credits {credits}");
            done(&playground, &format!("run {inputs} {format}")).0
        };
        let of_items = run("--items items.ndjson", "a.csv");
        assert_eq!(of_items, run(&tables("tables/"), "b.csv"), "{by}");
        assert_eq!(of_items, run(&tables(""), "c.csv"), "{by}");
        let credits = |name: &str| fs::read_to_string(playground.path(name)).unwrap();
        assert_eq!(credits("a.csv"), credits("b.csv"));
        assert_eq!(credits("a.csv"), credits("c.csv"));
    }
    let output = playground
        .run(format!("run --items items.ndjson --by {}", "_times.utm_source").split_whitespace());
    assert!(said(&output).1.contains("no dimension is named `_times.utm_source`"));
}

#[test]
fn a_clear_in_one_input_of_a_run_wins_over_an_older_value_in_another() {
    let playground = Playground::new();
    playground.table(
        "sessions",
        "external_id,user_external_id,created_at,utm_source,utm_medium
s1,u1,2024-03-01T10:00:00Z,google,cpc
",
    );
    playground.table(
        "orders",
        "external_id,user_external_id,created_at,subtotal_price
o1,u1,2024-03-03T10:00:00Z,10.00
",
    );
    let clear = |at: &str| {
        format!(
            r#"{{"kind":"session","user":{{"external_id":"u1"}},"session":{{"external_id":"s1","created_at":"{at}","utm_medium":null}}}}"#
        )
    };
    let run = "run --items items.ndjson --sessions sessions.parquet --orders orders.parquet --model linear --format csv";
    write(&playground, "items.ndjson", &[&clear("2024-03-01T11:00:00Z")]);
    assert!(done(&playground, run).0.contains("linear,google,none,"));
    write(&playground, "items.ndjson", &[&clear("2024-03-01T09:00:00Z")]);
    assert!(done(&playground, run).0.contains("linear,google,cpc,"));
}

#[test]
fn names_and_units_of_other_files_leave_items_as_they_are() {
    let playground = Playground::new();
    playground.table(
        "sessions",
        "external_id,visitor,created_at,utm_source\ns1,u1,2024-03-01T10:00:00Z,google\n",
    );
    // Whole numbers in JSON are euros like all others, also in a column of one's own.
    let order = r#"{"kind":"order","user":{"external_id":"u1"},"order":{"external_id":"o1","created_at":"2024-03-02T00:00:00Z","subtotal_price":100,"app_margin":30,"currency":"EUR"}}"#;
    write(&playground, "items.ndjson", &[order]);
    let run = "run --sessions sessions.parquet --items items.ndjson --column sessions.user_external_id=visitor --model linear --format csv --units minor";
    // With minor units the same number in an item is cents.
    assert!(done(&playground, run).0.contains("linear,google,none,EUR,1,1,1.00,"));
    let run = run.replace("--units minor", "--amount app_margin");
    assert!(done(&playground, &run).0.contains("linear,google,none,EUR,1,1,30.00,"));
    done(&playground, "ingest items.ndjson -o tables");
    let run = run.replace("--items items.ndjson", "--orders tables/orders.parquet");
    let run = run.replace("--amount app_margin", "--units minor");
    assert!(done(&playground, &run).0.contains("linear,google,none,EUR,1,1,100.00,"));
}

#[test]
fn every_example_of_the_documentation_is_accepted() {
    let playground = Playground::new();
    let documentation = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/items.md");
    let text = fs::read_to_string(documentation).unwrap();
    let examples: Vec<&str> = text.lines().filter(|line| line.starts_with("{\"kind\"")).collect();
    assert_eq!(examples.len(), 8);
    ingest(&playground, &examples);
    assert_eq!(rows(&playground, "sessions", "external_id"), ["s1", "s2", "s3", "s4"]);
    assert_eq!(rows(&playground, "order_items", "external_id quantity"), ["i1 2"]);
    assert_eq!(rows(&playground, "postviews", "device_external_id"), ["d1"]);
    done(&playground, "run --items items.ndjson --model linear --format csv");
}

/// One version of some row, as a line.
fn item() -> impl Strategy<Value = String> {
    let time = (0_u8..4).prop_map(|hour| format!("2024-03-01T0{hour}:00:00Z"));
    let value = prop_oneof![
        3 => Just(None),
        1 => Just(Some("null".to_owned())),
        2 => Just(Some("\"a\"".to_owned())),
        2 => Just(Some("\"b\"".to_owned())),
    ];
    let loose = prop_oneof![
        2 => Just(None),
        1 => prop::sample::select(vec![
            "null", "true", "false", "1", "2.5", "1.0", "\"1\"", "\"x\"", "\"true\"",
            "\"2024-03-01T00:00:00.5+01:00\"", "9007199254740993", "\"\"",
        ]).prop_map(|text| Some(text.to_owned())),
    ];
    let flag = prop::sample::select(vec![None, Some("true"), Some("false"), Some("null")]);
    let amount = prop::sample::select(vec![None, Some("null"), Some("10"), Some("9.99")]);
    let set = prop::sample::select(vec![
        None,
        Some("[]"),
        Some("null"),
        Some(r#"[{"external_id":"i2","price":1},{"external_id":"i1","app_gift":true}]"#),
        Some(r#"[{"external_id":"i1","app_gift":3}]"#),
    ]);
    (
        prop::sample::select(vec!["user", "session", "order", "device", "user_alias"]),
        (0_u8..2, 0_u8..2),
        (time.clone(), prop::option::of(time)),
        (value, loose),
        (flag, amount, set),
    )
        .prop_map(
            |(kind, (id, user), (created, updated), (text, loose), (flag, amount, set))| {
                let mut fields = vec![format!(r#""created_at":"{created}""#)];
                let mut add = |name: &str, value: Option<String>| {
                    fields.extend(value.map(|value| format!(r#""{name}":{value}"#)));
                };
                add("updated_at", updated.map(|at| format!("\"{at}\"")));
                add("app_x_y", loose);
                let owned = |value: Option<&str>| value.map(str::to_owned);
                let mut head = format!(r#""user":{{"external_id":"u{user}"}},"#);
                match kind {
                    "user" => {
                        add("external_id", Some(format!("\"u{user}\"")));
                        add("country", text);
                        add("is_authenticated", owned(flag));
                        head.clear();
                    }
                    "user_alias" => {
                        add("from_user_external_id", Some(format!("\"a{id}\"")));
                        add("to_user_external_id", Some(format!("\"u{user}\"")));
                        add("to_user_is_authenticated", owned(flag));
                        head.clear();
                    }
                    "order" => {
                        add("external_id", Some(format!("\"o{id}\"")));
                        add(
                            "currency",
                            text.map(|text| text.replace('a', "EUR").replace('b', "KWD")),
                        );
                        add("subtotal_price", owned(amount));
                        add("items", owned(set));
                    }
                    _ => {
                        add("external_id", Some(format!("\"x{id}\"")));
                        add(if kind == "device" { "browser" } else { "utm_medium" }, text);
                    }
                }
                format!(r#"{{"kind":"{kind}",{head}"{kind}":{{{}}}}}"#, fields.join(","))
            },
        )
}

/// Ingests lines, a part at a time, and returns the bytes of every table.
fn tables_of(parts: &[Vec<&String>]) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let meaning = Meaning {
        currency: Currency::NONE,
        units: None,
        as_of: parse_instant("2030-01-01").unwrap(),
    };
    let tables = folder.path().join("tables");
    for lines in parts {
        let path: PathBuf = folder.path().join("items.ndjson");
        let lines: Vec<&str> = lines.iter().map(|line| line.as_str()).collect();
        fs::write(&path, lines.join("\n")).unwrap();
        let source = Source {
            path,
            hive: BTreeMap::new(),
            object: None,
            memory: None,
            seen: Seen::default(),
        };
        let waiting = items::read(&meaning, &[source], folder.path(), &|_| ()).unwrap();
        assert_eq!(waiting.account.rejects, []);
        items::merge(waiting, &tables).unwrap().publish().unwrap();
    }
    let read = |path: &Path| fs::read(path).unwrap();
    let files = items::files(&tables).into_iter();
    files.map(|(table, path)| (table.name().to_owned(), read(&path))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn order_repetition_and_split_change_no_byte(
        lines in prop::collection::vec(item(), 1..14),
        order in prop::collection::vec((any::<u16>(), 0_usize..3), 14),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let whole = tables_of(&[lines.iter().collect()]);
        let mut shuffled: Vec<(u16, usize, &String)> =
            lines.iter().zip(&order).map(|(line, (at, part))| (*at, *part, line)).collect();
        shuffled.extend(again.iter().zip(&order).map(|(index, (at, part))| {
            (*at, (*part + 1) % 3, index.get(&lines))
        }));
        shuffled.sort_by_key(|(at, ..)| *at);
        let mut parts = vec![Vec::new(); 3];
        for (_, part, line) in shuffled {
            parts[part].push(line);
        }
        let split = tables_of(&parts);
        for (table, bytes) in &whole {
            prop_assert!(split[table] == *bytes, "{} differ for {:#?}", table, lines);
        }
    }
}

/// Each line with a key of its own would make as many columns as long as the chunk.
#[test]
fn a_key_a_line_is_refused_before_columns_are_made_of_them() {
    let playground = Playground::new();
    let lines: Vec<String> = (0..10_000)
        .map(|at| {
            format!(
                r#"{{"kind":"session","user":{{"external_id":"u"}},"session":{{"external_id":"s{at}","created_at":"2024-01-01","k{at}":1}}}}"#
            )
        })
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    write(&playground, "items.ndjson", &lines);
    let output = playground.run(["ingest", "items.ndjson", "-o", "."]);
    let (_, stderr) = said(&output);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("sessions would have more than 1000 columns"), "{stderr}");
    assert_eq!(playground.files(), ["items.ndjson"]);
}
