//! Inputs as they come: awkward names, types, folders and places that must not change an answer,
//! and those that must be refused.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::collections::BTreeMap;
use std::fs;
#[cfg(unix)]
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, DictionaryArray, Float32Array, Int64Array, LargeStringArray,
    RecordBatch, StringArray, StringViewArray, StructArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray, UInt8Array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Int16Type};
use common::{Playground, parquet_from_rows, said, write_parquet};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, Int96};
use parquet::file::metadata::{
    ColumnChunkMetaData, ParquetMetaDataReader, ParquetMetaDataWriter, RowGroupMetaDataBuilder,
};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

const SESSIONS: &str = "external_id,user_external_id,created_at,utm_source,utm_medium
s1,u1,2024-03-01T10:00:00Z,google,cpc
s2,u1,2024-03-02T10:00:00Z,newsletter,email
";

const ORDERS: &str = "external_id,user_external_id,created_at,subtotal_price,currency
o1,u1,2024-03-03T10:00:00Z,10.00,EUR
";

fn playground() -> Playground {
    let playground = Playground::new();
    playground.table("sessions", SESSIONS);
    playground.table("orders", ORDERS);
    playground
}

const RUN: [&str; 9] = [
    "run",
    "--sessions",
    "sessions.parquet",
    "--orders",
    "orders.parquet",
    "--format",
    "csv",
    "--model",
    "linear",
];

/// Runs with more arguments and returns the named columns of the report, a line a row.
fn report(playground: &Playground, more: &[&str], columns: &[&str]) -> Vec<String> {
    let output = playground.run(RUN.iter().chain(more));
    let (stdout, stderr) = said(&output);
    assert!(output.status.success(), "{stderr}");
    let mut rows = csv::Reader::from_reader(stdout.as_bytes());
    let header = rows.headers().unwrap().clone();
    let at: Vec<usize> = columns
        .iter()
        .map(|name| header.iter().position(|column| column == *name).unwrap())
        .collect();
    let row = |row: csv::StringRecord| at.iter().map(|at| &row[*at]).collect::<Vec<_>>().join(" ");
    rows.records().map(|record| row(record.unwrap())).collect()
}

fn fails(playground: &Playground, arguments: &[&str], code: i32, message: &str) {
    let before = playground.files();
    let output = playground.run(arguments);
    let (stdout, stderr) = said(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert!(stderr.contains(message), "{arguments:?}: no `{message}` in: {stderr}");
    assert_eq!((stdout.as_str(), playground.files()), ("", before), "{arguments:?}");
}

fn text(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn a_dot_in_a_name_is_part_of_it() {
    let playground = playground();
    let rows = RecordBatch::try_from_iter([
        ("external_id", text(&["s1"])),
        ("user_external_id", text(&["u1"])),
        ("created_at", text(&["2024-03-01T10:00:00Z"])),
        ("ad.group", text(&["shoes"])),
    ]);
    write_parquet(&rows.unwrap(), &playground.path("sessions.parquet"));
    let by = report(&playground, &["--by", "ad.group"], &["ad.group", "amount"]);
    assert_eq!(by, ["shoes 10.00"]);
    let mapped = ["--column", "sessions.utm_campaign=ad.group", "--by", "utm_campaign"];
    assert_eq!(report(&playground, &mapped, &["utm_campaign", "amount"]), ["shoes 10.00"]);
}

#[test]
fn every_type_that_carries_the_meaning_gives_the_same_answer() {
    let second = 1_709_287_200; // 2024-03-01T10:00:00Z
    let ids: [ArrayRef; 5] = [
        Arc::new(Int64Array::from(vec![7])),
        Arc::new(UInt8Array::from(vec![7])),
        Arc::new(LargeStringArray::from(vec!["7"])),
        Arc::new(StringViewArray::from(vec!["7"])),
        Arc::new(vec!["7"].into_iter().collect::<DictionaryArray<Int16Type>>()),
    ];
    let times: [ArrayRef; 5] = [
        Arc::new(TimestampSecondArray::from(vec![second])),
        Arc::new(TimestampMillisecondArray::from(vec![second * 1_000]).with_timezone("+02:00")),
        Arc::new(TimestampNanosecondArray::from(vec![second * 1_000_000_000])),
        text(&["2024-03-01T11:00:00+01:00"]),
        Arc::new(Date32Array::from(vec![19_783])),
    ];
    for user in &ids {
        for time in &times {
            let playground = playground();
            let rows = RecordBatch::try_from_iter([
                ("external_id", text(&["s1"])),
                ("user_external_id", Arc::clone(user)),
                ("created_at", Arc::clone(time)),
                ("utm_source", text(&["google"])),
            ]);
            write_parquet(&rows.unwrap(), &playground.path("sessions.parquet"));
            playground.table("orders", &ORDERS.replace("u1", "7"));
            let said = report(&playground, &[], &["utm_source", "amount"]);
            assert_eq!(said, ["google 10.00"], "{} {}", user.data_type(), time.data_type());
        }
    }
}

/// A Parquet file of one row with times of 96 bits, alone and in a struct, which no Arrow writer makes.
fn write_wide_times(at: [Int96; 2], path: &Path) {
    let schema = "message sessions {
        required binary external_id (string);
        required int96 created_at;
        required group user {
            required binary external_id (string);
            required int96 created_at;
        }
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut texts = vec![ByteArray::from("u1"), ByteArray::from("s1")];
    let mut times = at.to_vec();
    while let Some(mut column) = group.next_column().unwrap() {
        match column.untyped() {
            ColumnWriter::ByteArrayColumnWriter(column) => {
                column.write_batch(&[texts.pop().unwrap()], None, None).map(drop)
            }
            ColumnWriter::Int96ColumnWriter(column) => {
                column.write_batch(&[times.pop().unwrap()], None, None).map(drop)
            }
            _ => unreachable!("the schema has no other columns"),
        }
        .unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

/// Nanoseconds of 64 bits end in 2262, and 9999-12-31 is what many systems write for ever.
#[test]
fn times_of_96_bits_hold_every_year() {
    let julian = |days: u32, seconds: u64| {
        let nanoseconds = seconds * 1_000_000_000;
        let mut time = Int96::new();
        let low = u32::try_from(nanoseconds & u64::from(u32::MAX)).unwrap();
        time.set_data(low, u32::try_from(nanoseconds >> 32).unwrap(), 2_440_588 + days);
        time
    };
    // 1970-01-02T00:00:01Z, and 9999-12-31T23:59:59Z.
    let (early, late) = (julian(1, 1), julian(2_932_896, 86_399));
    for (user, touched, said) in [(late, early, "1970-01-02"), (early, late, "9999-12-31")] {
        let playground = playground();
        write_wide_times([user, touched], &playground.path("sessions.parquet"));
        let never = ORDERS.replace("2024-03-03T10:00:00Z", "9999-12-31T23:59:59.5Z");
        playground.table("orders", &never);
        let clock = ["--as-of", "9999-12-31T23:59:59.9Z", "--lookback", "none"];
        let dated = ["--date-by", "touch", "--by", "day", "--persons", "persons.csv"];
        let rows = report(&playground, &[&clock[..], &dated].concat(), &["day", "amount"]);
        assert_eq!(rows, [format!("{said} 10.00")]);
        let persons = fs::read_to_string(playground.path("persons.csv")).unwrap();
        let created =
            if said == "1970-01-02" { "9999-12-31T23:59:59Z" } else { "1970-01-02T00:00:01Z" };
        assert!(persons.contains(created), "{persons}");
    }
}

#[test]
fn a_user_that_is_nothing_is_missing_even_where_its_fields_never_are() {
    let playground = playground();
    let field = Arc::new(Field::new("external_id", DataType::Int64, false));
    let user = StructArray::new(
        vec![field].into(),
        vec![Arc::new(Int64Array::from(vec![1, 0])) as ArrayRef],
        Some(NullBuffer::from(vec![true, false])),
    );
    let rows = RecordBatch::try_from_iter([
        ("external_id", text(&["s1", "s2"])),
        ("user", Arc::new(user) as ArrayRef),
        ("created_at", text(&["2024-03-01", "2024-03-01"])),
    ]);
    write_parquet(&rows.unwrap(), &playground.path("sessions.parquet"));
    playground.table("orders", &ORDERS.replace("u1", "0"));
    let loose = ["--max-rejects", "100%", "--rejects", "rejects.csv"];
    assert_eq!(report(&playground, &loose, &["utm_source"]), ["direct", "(unattributed)"]);
    let rejects = fs::read_to_string(playground.path("rejects.csv")).unwrap();
    assert!(rejects.contains("s2,missing_value,`user_external_id` is missing"), "{rejects}");
}

#[test]
fn a_blank_time_is_missing_whatever_stands_beside_it() {
    for beside in ["", "2024-03-04T10:00:00Z"] {
        let playground = playground();
        let rows = RecordBatch::try_from_iter([
            ("external_id", text(&["o1", "o2"])),
            ("user_external_id", text(&["u1", "u1"])),
            ("created_at", text(&["2024-03-03", "2024-03-03"])),
            ("subtotal_price", Arc::new(Float32Array::from(vec![1.015, 0.01])) as ArrayRef),
            ("cancelled_at", text(&[" ", beside])),
        ]);
        write_parquet(&rows.unwrap(), &playground.path("orders.parquet"));
        let amount = if beside.is_empty() { "1.03" } else { "1.02" };
        assert_eq!(report(&playground, &["--by", "none"], &["amount"]), [amount]);
    }
}

#[test]
fn a_currency_that_another_version_names_is_no_default() {
    let playground = playground();
    playground.table(
        "orders",
        "external_id,user_external_id,created_at,updated_at,subtotal_price,currency
o1,u1,2024-03-03T10:00:00Z,2024-03-05T10:00:00Z,100,
o1,u1,2024-03-03T10:00:00Z,2024-03-04T10:00:00Z,,JPY
",
    );
    assert_eq!(report(&playground, &["--by", "none"], &["amount", "currency"]), ["100 JPY"]);
}

#[test]
fn hive_folders_are_columns_and_the_same_file_is_read_once() {
    let playground = Playground::new();
    playground.table("orders", ORDERS);
    playground.table("sessions", &SESSIONS.replace(",utm_medium", ",app_medium"));
    let folder = playground.path("in/utm_medium=cpc");
    fs::create_dir_all(&folder).unwrap();
    fs::rename(playground.path("sessions.parquet"), folder.join("part-0.parquet")).unwrap();
    fs::write(folder.join("_SUCCESS"), "").unwrap();
    let run = ["run", "--sessions", "in", "in/*/*", "in/../in", "--orders", "orders.parquet"];
    let output = playground.run(run.iter().chain(&["--by", "utm_medium", "--format", "csv"]));
    let (stdout, stderr) = said(&output);
    assert!(stdout.contains("last_click,cpc,EUR,1,1,10.00"), "{stdout}{stderr}");
    assert!(stderr.contains("sessions        2 rows in 1 file"), "{stderr}");
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_is_written() {
    let playground = playground();
    let run = |more: &[&'static str]| RUN.iter().chain(more).copied().collect::<Vec<&str>>();
    fails(&playground, &run(&["--amount", "created_at"]), 2, "not an amount");
    fails(&playground, &run(&["--credits", "orders.parquet"]), 2, "both an output and a file");
    fails(&playground, &run(&["-o", "nowhere/report.csv"]), 2, "cannot write `nowhere/report.csv`");
    fails(&playground, &run(&["-o", "report.csv/"]), 2, "it is a folder");
    fails(&playground, &run(&["--by", "currency"]), 2, "is a column of the report itself");
    fails(&playground, &run(&["--by", "item.brand"]), 2, "--order-items");
    fails(&playground, &run(&["--threads", "0"]), 2, "from 1 to 1024");
    fails(&playground, &run(&["--missing-rate", "keep"]), 2, "without `--exchange-rates`");
    fails(&playground, &run(&["--config", "missing.toml"]), 2, "cannot read `missing.toml`");
    fs::write(playground.path("apportion.toml"), "lookbak = '7d'").unwrap();
    fails(&playground, &run(&[]), 2, "cannot be understood");
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    let playground = playground();
    let whole = fs::read(playground.path("orders.parquet")).unwrap();
    for length in (0..whole.len()).step_by(97) {
        fs::write(playground.path("orders.parquet"), &whole[..length]).unwrap();
        fails(&playground, &RUN, 2, "is not readable as Parquet");
    }
}

#[test]
fn a_byte_that_changed_never_makes_it_panic() {
    let playground = playground();
    let whole = fs::read(playground.path("orders.parquet")).unwrap();
    for at in (0..whole.len()).step_by(23) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        fs::write(playground.path("orders.parquet"), &damaged).unwrap();
        let output = playground.run(RUN);
        let (_, stderr) = said(&output);
        assert!(matches!(output.status.code(), Some(0..=2)), "byte {at}: {stderr}");
    }
}

/// Lets a file say something else of its only row group.
fn claim(path: &Path, says: impl Fn(RowGroupMetaDataBuilder) -> RowGroupMetaDataBuilder) {
    let whole = fs::read(path).unwrap();
    let footer = ParquetMetaDataReader::new().parse_and_finish(&fs::File::open(path).unwrap());
    let footer = footer.unwrap();
    let group = says(footer.row_group(0).clone().into_builder()).build().unwrap();
    let footer = footer.into_builder().set_row_groups(vec![group]).build();
    // What stands after the pages is written anew.
    let length: [u8; 4] = whole[whole.len() - 8..whole.len() - 4].try_into().unwrap();
    let pages = whole.len() - 8 - u32::from_le_bytes(length) as usize;
    let mut claimed = whole[..pages].to_vec();
    ParquetMetaDataWriter::new(&mut claimed, &footer).finish().unwrap();
    fs::write(path, claimed).unwrap();
}

#[test]
fn a_row_group_that_says_it_is_larger_than_any_is_refused_with_the_limit() {
    for rows in [i64::MAX, 1 << 40, (1 << 31) + 1] {
        for table in ["sessions", "orders"] {
            let playground = playground();
            let path = playground.path(&format!("{table}.parquet"));
            claim(&path, |group| group.set_num_rows(rows));
            let wanted = format!(
                "its row group 1 says that it has {rows} rows, more than 2147483648; write the file again with smaller row groups"
            );
            fails(&playground, &RUN, 2, &wanted);
        }
    }
    let playground = playground();
    claim(&playground.path("sessions.parquet"), |group| {
        let group = group.build().unwrap();
        let chunks = group.columns().to_vec();
        let large = |chunk: ColumnChunkMetaData| {
            chunk.into_builder().set_total_uncompressed_size(9 << 30).build().unwrap()
        };
        group.into_builder().set_column_metadata(chunks.into_iter().map(large).collect())
    });
    let wanted = "its row group 1 says that column `external_id` takes 9.0 GiB decompressed, more than 8.0 GiB; write the file again with smaller row groups";
    fails(&playground, &RUN, 2, wanted);
    // What it says may be wrong and yet not too much: then its pages tell.
    let playground = self::playground();
    claim(&playground.path("sessions.parquet"), |group| group.set_num_rows(1 << 30));
    let output = playground.run(RUN);
    assert!(matches!(output.status.code(), Some(0..=2)), "{}", said(&output).1);
}

#[test]
fn a_flag_replaces_what_the_workspace_says_of_a_column() {
    let playground = playground();
    fs::write(
        playground.path("apportion.toml"),
        "by = 'utm_campaign'\n[set.sessions]\nutm_campaign = 'spring'\n",
    )
    .unwrap();
    assert_eq!(report(&playground, &[], &["utm_campaign"]), ["spring"]);
    let flag = ["--column", "sessions.utm_campaign=utm_medium"];
    assert_eq!(report(&playground, &flag, &["utm_campaign"]), ["cpc", "email"]);
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link_and_a_device_is_written_to() {
    let playground = playground();
    fs::write(playground.path("there.csv"), "old").unwrap();
    symlink("there.csv", playground.path("link.csv")).unwrap();
    let output = playground.run(RUN.iter().chain(&["-o", "link.csv"]));
    assert!(output.status.success());
    assert!(playground.path("link.csv").is_symlink());
    assert!(fs::read_to_string(playground.path("there.csv")).unwrap().starts_with("model,"));
    let output = playground.run(RUN.iter().chain(&["-o", "/dev/stdout"]));
    assert!(said(&output).0.starts_with("model,utm_source"), "{}", said(&output).1);
}

/// One with so many sessions and orders that its orders are several partitions.
#[test]
fn a_robot_is_one_person_however_its_orders_are_divided() {
    let playground = Playground::new();
    let minute = |at: usize| format!("2024-01-01T{:02}:{:02}:00Z", at / 60, at % 60);
    let rows = |count: usize, prefix: &str, last: &str| {
        (0..count)
            .map(|at| vec![format!("{prefix}{at:04}"), "robot".into(), minute(at), last.into()])
            .collect::<Vec<Vec<String>>>()
    };
    let header = |last: &str| {
        ["external_id", "user_external_id", "created_at", last].map(str::to_owned).to_vec()
    };
    let sessions = playground.path("sessions.parquet");
    parquet_from_rows("sessions", &header("utm_source"), &rows(1_440, "s", "crawl"), &sessions);
    let orders = playground.path("orders.parquet");
    parquet_from_rows("orders", &header("subtotal_price"), &rows(1_400, "o", "1.00"), &orders);
    let output = playground.run(RUN.iter().chain(&["--overlap", "--model", "last_click"]));
    let (report, stderr) = said(&output);
    assert!(output.status.success(), "{stderr}");
    let mut lines = csv::Reader::from_reader(report.as_bytes());
    let columns = lines.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = lines.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2, "{report}");
    for row in rows {
        let cell = |name: &str| {
            let at = columns.iter().position(|column| column == name).unwrap();
            row.get(at).unwrap().to_owned()
        };
        assert_eq!((cell("persons"), cell("orders")), ("1".into(), "1400".into()));
        assert_eq!((cell("conversions"), cell("amount")), ("1400".into(), "1400.00".into()));
        assert_eq!((cell("acquisition_conversions"), cell("alone")), ("1".into(), "1".into()));
        // The order of a minute has a touch of each minute until then: 0 + 0 + 1 + ... + 1,398.
        assert_eq!(cell("assisting"), (1_398 * 1_399 / 2).to_string());
    }
}

/// The same under two user ids in turns, so that each has a part of every partition's orders.
#[test]
fn a_robot_of_two_user_ids_is_compared_with_itself_order_by_order() {
    let playground = Playground::new();
    let parity = |at: usize| if at.is_multiple_of(2) { "even" } else { "odd" };
    let minute = |at: usize| format!("2024-01-01T{:02}:{:02}:00Z", at / 60, at % 60);
    let rows = |count: usize, prefix: &str, last: &dyn Fn(usize) -> String| {
        (0..count)
            .map(|at| vec![format!("{prefix}{at:04}"), parity(at).into(), minute(at), last(at)])
            .collect::<Vec<Vec<String>>>()
    };
    let write = |table: &str, last: &str, rows: &[Vec<String>]| {
        let header = ["external_id", "user_external_id", "created_at", last];
        let path = playground.path(&format!("{table}.parquet"));
        parquet_from_rows(table, &header.map(str::to_owned), rows, &path);
    };
    write("sessions", "utm_source", &rows(1_440, "s", &|at| parity(at).to_owned()));
    write("orders", "subtotal_price", &rows(1_400, "o", &|_| "1.00".to_owned()));
    let header = ["from_user_external_id", "to_user_external_id"].map(str::to_owned);
    let alias = [vec!["odd".to_owned(), "even".to_owned()]];
    parquet_from_rows("user_aliases", &header, &alias, &playground.path("aliases.parquet"));
    let flags = ["--overlap", "--model", "first_click", "--aliases", "aliases.parquet"];
    let changed = ["--changed", "changed.csv"];
    let arguments = ["identity"].iter().chain(&RUN[1..]).chain(&flags).chain(&changed);
    let (report, stderr) = said(&playground.run(arguments));
    let mut lines = csv::Reader::from_reader(report.as_bytes());
    let rows: Vec<BTreeMap<String, String>> = lines.deserialize().map(Result::unwrap).collect();
    let cells = |section: &str, columns: [&str; 4]| -> Vec<[String; 4]> {
        let of_section = rows.iter().filter(|row| row["section"] == section);
        of_section.map(|row| columns.map(|column| row[column].clone())).collect()
    };
    // Together an order has the touches of all minutes until its own, 1 + 2 + ... + 1,400; apart
    // those of its parity, 1 + 1 + 2 + 2 + ... + 700 + 700. The first order has one either way.
    let (together, apart) = (1_400 * 1_401 / 2, 700 * 701);
    let journeys = cells("journeys", ["name", "orders", "touches", "touches_without"]);
    assert_eq!(
        journeys[..2],
        [
            ["orders".into(), "1400".into(), together.to_string(), apart.to_string()],
            ["changed".into(), "1399".into(), (together - 1).to_string(), (apart - 1).to_string()],
        ],
        "{stderr}"
    );
    // The very first touch is even.
    let columns = ["name", "utm_source", "conversions", "conversions_without"];
    let of_linear = rows.iter().filter(|row| row["model"] == "linear").count();
    let credit = cells("credit", columns).split_off(of_linear);
    let expected = [
        ["attributed", "even", "1400", "700"],
        ["attributed", "odd", "0", "700"],
        ["total", "", "1400", "1400"],
    ];
    assert_eq!(credit, expected.map(|row| row.map(str::to_owned)));
    let changed = fs::read_to_string(playground.path("changed.csv")).unwrap();
    assert_eq!(changed.lines().count(), 1_400);
}
