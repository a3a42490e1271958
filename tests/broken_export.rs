//! `apportion check` on exports that are broken on purpose: it names every problem, each with its
//! table, its file, row or column, and what would be right.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use apportion::validate::Rule;
use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use common::{Playground, said, write_parquet};

/// Every table with, for each rule that it can break, a row that breaks it; the first row is right.
const BROKEN_ROWS: [(&str, &str, &[&str], &str); 9] = [
    (
        "sessions",
        "--sessions",
        &["missing_value", "placeholder_user", "bad_time", "bad_timezone", "bad_flag", "future"],
        "external_id,user_external_id,created_at,timezone,user_is_authenticated
s1,u1,2024-03-01T10:00:00Z,Europe/Paris,true
,u1,2024-03-01T10:00:00Z,,
s3,{{user_id}},2024-03-01T10:00:00Z,,
s4,u1,yesterday,,
s5,u1,2024-03-01T10:00:00Z,Europe/Pariss,
s6,u1,2024-03-01T10:00:00Z,,maybe
s7,u1,2031-03-01T10:00:00Z,,
",
    ),
    (
        "postviews",
        "--postviews",
        &["missing_value", "placeholder_user", "bad_time", "bad_flag", "future"],
        "external_id,user_external_id,created_at,user_is_authenticated
v1,u1,2024-03-01T10:00:00Z,
v2,,2024-03-01T10:00:00Z,
v3,undefined,2024-03-01T10:00:00Z,
v4,u1,yesterday,
v5,u1,2024-03-01T10:00:00Z,maybe
v6,u1,2031-03-01T10:00:00Z,
",
    ),
    (
        "orders",
        "--orders",
        &[
            "missing_value",
            "placeholder_user",
            "bad_time",
            "bad_currency",
            "bad_amount",
            "bad_flag",
            "negative_price",
            "future",
        ],
        "external_id,user_external_id,created_at,subtotal_price,currency,user_is_authenticated
o1,u1,2024-03-02T10:00:00Z,10.5,EUR,
o2,u1,,10.5,EUR,
o3,null,2024-03-02T10:00:00Z,10.5,EUR,
o4,u1,yesterday,10.5,EUR,
o5,u1,2024-03-02T10:00:00Z,10.5,EURO,
o6,u1,2024-03-02T10:00:00Z,NaN,EUR,
o7,u1,2024-03-02T10:00:00Z,10.5,EUR,maybe
o8,u1,2024-03-02T10:00:00Z,-1,EUR,
o9,u1,2031-03-02T10:00:00Z,10.5,EUR,
",
    ),
    (
        "order_items",
        "--order-items",
        &["missing_value", "bad_time", "bad_amount", "negative_price", "future"],
        "external_id,order_external_id,created_at,price
i1,o1,2024-03-02T10:00:00Z,10.5
i2,,2024-03-02T10:00:00Z,10.5
i3,o1,yesterday,10.5
i4,o1,2024-03-02T10:00:00Z,inf
i5,o1,2024-03-02T10:00:00Z,-1
i6,o1,2031-03-02T10:00:00Z,10.5
",
    ),
    (
        "users",
        "--users",
        &["missing_value", "placeholder_user", "bad_time", "bad_timezone", "bad_flag", "future"],
        "external_id,created_at,timezone,is_authenticated
u1,2024-03-01T10:00:00Z,,
u2,,,
undefined,2024-03-01T10:00:00Z,,
u4,yesterday,,
u5,2024-03-01T10:00:00Z,Mars,
u6,2024-03-01T10:00:00Z,,maybe
u7,2031-03-01T10:00:00Z,,
",
    ),
    (
        "aliases",
        "--aliases",
        &["missing_value", "placeholder_user", "bad_time", "bad_flag", "future"],
        "from_user_external_id,to_user_external_id,created_at,to_user_is_authenticated
u8,u1,2024-03-01T10:00:00Z,
u9,,2024-03-01T10:00:00Z,
anonymous,u1,2024-03-01T10:00:00Z,
u10,u1,yesterday,
u11,u1,2024-03-01T10:00:00Z,maybe
u12,u1,2031-03-01T10:00:00Z,
",
    ),
    (
        "devices",
        "--devices",
        &["missing_value", "placeholder_user", "bad_time", "future"],
        "external_id,user_external_id,created_at
d1,u1,2024-03-01T10:00:00Z
,u1,2024-03-01T10:00:00Z
d3,nil,2024-03-01T10:00:00Z
d4,u1,yesterday
d5,u1,2031-03-01T10:00:00Z
",
    ),
    (
        "spend",
        "--spend",
        &["missing_value", "bad_time", "bad_currency", "bad_amount", "negative_price"],
        "date,utm_source,utm_medium,cost,currency
2024-03-01,google,cpc,1.5,EUR
2024-03-01,,cpc,1.5,EUR
yesterday,google,cpc,1.5,EUR
2024-03-01,google,cpc,1.5,EURO
2024-03-01,google,cpc,NaN,EUR
2024-03-01,google,cpc,-1,EUR
",
    ),
    (
        "exchange_rates",
        "--exchange-rates",
        &["missing_value", "bad_time", "bad_currency", "bad_number"],
        "date,currency,rate
2024-03-01,USD,1.5
2024-03-01,,1.5
yesterday,USD,1.5
2024-03-01,DOLLAR,1.5
2024-03-01,USD,0
",
    ),
];

/// What `check` says of a table, without what it says in the end.
fn section<'a>(stdout: &'a str, table: &str) -> &'a str {
    let from = stdout.find(&format!("{table}: ")).unwrap();
    let rest = &stdout[from..];
    &rest[..rest
        .find("rejected")
        .map_or(rest.len(), |at| rest[at..].find("\n\n").map_or(rest.len(), |end| at + end))]
}

#[test]
fn every_rule_is_named_in_every_table_that_can_break_it() {
    let playground = Playground::new();
    let mut arguments = vec!["check", "--currency", "EUR", "--as-of", "2030-01-01T00:00:00Z"];
    let paths: Vec<String> =
        BROKEN_ROWS.iter().map(|(table, ..)| format!("{table}.parquet")).collect();
    for ((table, flag, _, csv), path) in BROKEN_ROWS.iter().zip(&paths) {
        playground.table(table, csv);
        arguments.extend([*flag, path.as_str()]);
    }
    let output = playground.run(&arguments);
    let (stdout, stderr) = said(&output);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(1), ""), "{stdout}");
    let mut named = BTreeSet::new();
    for (at, (table, _, rules, csv)) in BROKEN_ROWS.iter().enumerate() {
        let section = section(&stdout, table);
        for (rule, row) in rules.iter().zip(2..) {
            // A rate and a price of one table may be tried in another order than they are written.
            let said = section.lines().find(|line| line.contains(&format!("by `{rule}`")));
            assert!(said.is_some(), "{table} does not say `{rule}`: {section}");
            let bare = section.split_whitespace().collect::<Vec<_>>().join(" ");
            let place = format!("1 by `{rule}`, first in row {row} of {}: ", paths[at]);
            assert!(bare.contains(&place), "{table} does not say `{place}`: {bare}");
            named.insert(*rule);
        }
        let rows = csv.lines().count() - 1;
        let counts = format!("1 accepted, {} rejected", rows - 1);
        assert!(section.contains(&counts), "{table}: no `{counts}` in {section}");
    }
    // A line of items breaks a rule of its own.
    fs::write(playground.path("items.ndjson"), "not json\n").unwrap();
    let output = playground.run(["check", "--items", "items.ndjson"]);
    let bad_item = Rule::BadItem.name();
    let place = format!("1 by `{bad_item}`, first in row 1 of items.ndjson");
    assert!(says(&said(&output).0, &place), "{}", said(&output).0);
    named.insert(bad_item);
    // The last rule is broken by an order as merged; see the test of what tables say together.
    let all: BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    named.insert(Rule::MissingRate.name());
    assert_eq!(named, all);
    let columns = |line: &str| line.chars().count();
    assert!(stdout.lines().all(|line| columns(line) <= 80), "{stdout}");
}

fn text(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// Whether a text says another, wherever its lines end.
fn says(stdout: &str, text: &str) -> bool {
    let bare = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    bare(stdout).contains(&bare(text))
}

#[test]
fn what_cannot_be_read_is_named_all_at_once_and_the_rest_is_checked() {
    let playground = Playground::new();
    playground
        .table("sessions", "external_id,user_external_id,created_at\ns1,u1,2024-03-01T10:00:00Z\n");
    let good = fs::read(playground.path("sessions.parquet")).unwrap();
    fs::write(playground.path("empty.parquet"), "").unwrap();
    fs::write(playground.path("text.parquet"), "external_id,created_at\n").unwrap();
    fs::write(playground.path("truncated.parquet"), &good[..good.len() / 2]).unwrap();
    let no_ids = RecordBatch::try_from_iter([("createdat", text(&["2024-03-01"]))]).unwrap();
    write_parquet(&no_ids, &playground.path("no_ids.parquet"));
    let wrong_types = RecordBatch::try_from_iter([
        ("external_id", Arc::new(Float64Array::from(vec![1.5])) as ArrayRef),
        ("user_external_id", text(&["u1"])),
        ("created_at", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
        ("user_is_authenticated", Arc::new(Float64Array::from(vec![1.0])) as ArrayRef),
        ("subtotal_price", Arc::new(BooleanArray::from(vec![true])) as ArrayRef),
    ]);
    write_parquet(&wrong_types.unwrap(), &playground.path("wrong_types.parquet"));
    let output = playground.run([
        "check",
        "--sessions",
        "sessions.parquet",
        "empty.parquet",
        "text.parquet",
        "truncated.parquet",
        "no_ids.parquet",
        "nowhere/*.parquet",
        "--orders",
        "wrong_types.parquet",
        "--users",
        "nowhere.parquet",
    ]);
    let (stdout, stderr) = said(&output);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(2), ""), "{stdout}");
    for said in [
        "sessions: 1 rows in sessions.parquet",
        "12 things cannot be read",
        "the sessions file `empty.parquet` is not readable as Parquet: it is empty",
        "the sessions file `text.parquet` is not readable as Parquet: it is something else",
        "the sessions file `truncated.parquet` is not readable as Parquet",
        "the sessions file `no_ids.parquet` has no column `external_id`",
        "the sessions file `no_ids.parquet` has no column `user_external_id`",
        "the sessions file `no_ids.parquet` has no column `created_at`",
        "`createdat` is nearest: `--column sessions.created_at=createdat` takes it",
        "no sessions file is found at `nowhere/*.parquet`",
        "column `external_id` of the orders file `wrong_types.parquet` is Float64, but text or integers is needed",
        "column `created_at` of the orders file `wrong_types.parquet` is Int64, but a timestamp",
        "integers have no unit",
        "column `user_is_authenticated` of the orders file `wrong_types.parquet` is Float64",
        "column `subtotal_price` of the orders file `wrong_types.parquet` is Boolean",
        "no users file is found at `nowhere.parquet`",
    ] {
        assert!(says(&stdout, said), "no `{said}` in {stdout}");
    }
}

/// Tables whose rows are right one by one, and not together.
const TOGETHER: [(&str, &str); 8] = [
        // s1 under two persons; s2 twice at one time and not the same; s3 after the last order.
        (
            "sessions",
            "external_id,user_external_id,created_at,utm_sorce,utm_medium,device_external_id,shelf
s1,u1,2024-03-01T10:00:00Z,google,cpc,d1,top
s1,u2,2024-03-01T10:00:00Z,google,cpc,d1,top
s2,u3,2024-03-01T10:00:00Z,google,cpc,d9,top
s2,u3,2024-03-01T10:00:00Z,google,organic,d9,top
s3,u3,2024-04-01T10:00:00Z,google,organic,d1,top
",
        ),
        // o1 in francs, for which there is no rate; o2 of a session that is not there.
        (
            "orders",
            "external_id,user_external_id,created_at,subtotal_price,currency,session_external_id,conversion_type
o1,u1,2024-03-02T10:00:00Z,10.00,CHF,s1,
o2,u1,2024-03-02T10:00:00Z,10.00,EUR,s77,
o3,u1,2024-02-02T10:00:00Z,10.00,EUR,,
",
        ),
        (
            "order_items",
            "external_id,order_external_id,price\ni1,o77,1.00\ni2,o78,1.00\n",
        ),
        (
            "user_aliases",
            "from_user_external_id,to_user_external_id,created_at
a1,a1,2024-03-01T10:00:00Z
b1,b2,2024-03-01T10:00:00Z
b2,b1,2024-03-01T10:00:00Z
c1,c2,2024-03-01T10:00:00Z
c1,c3,2024-03-02T10:00:00Z
e1,e2,2024-03-01T10:00:00Z
",
        ),
        (
            "users",
            "external_id,created_at,is_authenticated,signed_up_at
e1,2024-03-01T10:00:00Z,true,2024-03-01T10:00:00Z
e2,2024-03-01T10:00:00Z,true,2024-03-01T10:00:00Z
",
        ),
        ("devices", "external_id,user_external_id,device_type\nd1,u1,mobile\n"),
        ("spend", "date,utm_source,utm_medium,cost\n2024-03-01,googel,cpc,1.00\n"),
        ("exchange_rates", "date,currency,rate\n2024-03-01,USD,1.1\n"),
];

#[test]
fn what_tables_say_together_is_named() {
    let playground = Playground::new();
    for (table, csv) in TOGETHER {
        playground.table(table, csv);
    }
    // A second file of orders whose amounts are integers, which are read as cents.
    let cents = RecordBatch::try_from_iter([
        ("external_id", text(&["o4"])),
        ("user_external_id", text(&["u1"])),
        ("created_at", text(&["2024-03-02T10:00:00Z"])),
        ("subtotal_price", Arc::new(Int64Array::from(vec![1000])) as ArrayRef),
        ("currency", text(&["EUR"])),
    ]);
    write_parquet(&cents.unwrap(), &playground.path("more_orders.parquet"));
    let unnamed = RecordBatch::try_from_iter([
        ("external_id", text(&["v1"])),
        ("user_external_id", Arc::new(StringArray::new_null(1)) as ArrayRef),
        ("created_at", text(&["2024-03-02T10:00:00Z"])),
    ]);
    write_parquet(&unnamed.unwrap(), &playground.path("views.parquet"));
    let arguments = [
        "check",
        "--currency",
        "EUR",
        "--as-of",
        "2030-01-01T00:00:00Z",
        "--max-rejects",
        "100%",
        "--sessions",
        "sessions.parquet",
        "--orders",
        "orders.parquet",
        "more_orders.parquet",
        "--order-items",
        "order_items.parquet",
        "--aliases",
        "user_aliases.parquet",
        "--users",
        "users.parquet",
        "--devices",
        "devices.parquet",
        "--spend",
        "spend.parquet",
        "--postviews",
        "views.parquet",
    ];
    let with_rates = ["--exchange-rates", "exchange_rates.parquet"];
    let output = playground.run(arguments.iter().chain(&with_rates));
    let (stdout, stderr) = said(&output);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(1), ""), "{stdout}");
    let (problems, notes) = stdout.split_at(stdout.find(" notes\n").unwrap());
    for said in [
        "sessions: column `utm_sorce` of `sessions.parquet` is not known and `utm_source` is not there > if it is that one, `--column sessions.utm_source=utm_sorce` takes it",
        "sessions: 1 id occurs under two persons, such as `s1`",
        "sessions: rows of 1 id disagree at the same time, such as `s2`, in `utm_medium`",
        "orders: column `subtotal_price` is Int64 in `more_orders.parquet`, and Decimal128(28, 4) in `orders.parquet`",
        "orders: 1 order has no exchange rate on or before its day (`missing_rate`), such as `o1`: CHF on 2024-03-02",
        "order_items: `order_external_id` of 2 rows is no row of orders, such as `o77`",
        "postviews: column `user_external_id` of `views.parquet` is empty in every row",
        "aliases: aliases lead back in 1 cycle, such as `b1`",
        "aliases: 1 alias is refused because both ends are authenticated, such as `e1` to `e2`",
        "aliases: 1 alias loses to an earlier one of the same user, such as `c1` to `c3`",
        "spend: `utm_source / utm_medium` of 1 row no session has, such as `googel / cpc`",
    ] {
        assert!(says(problems, said), "no problem `{said}` in {stdout}");
    }
    for said in [
        "sessions: a column is not known: `shelf`",
        "sessions: 2 rows of the table have an id that came before",
        "sessions: `device_external_id` of 2 rows is no row of devices, such as `d9`",
        "sessions: 1 row is after the last order, 2024-03-02T10:00:00Z",
        "orders: `session_external_id` of 1 row is no row of sessions, such as `s77`",
        "orders: 1 row is before the first session, 2024-03-01T10:00:00Z",
        "orders: without a value in any row: `conversion_type`",
        "aliases: 1 alias leads from a user to itself, such as `a1`",
    ] {
        assert!(says(notes, said), "no note `{said}` in {stdout}");
    }
    assert!(stdout.lines().all(|line| line.chars().count() <= 80), "{stdout}");
    // Without rates every currency is a result of its own.
    let (stdout, _) = said(&playground.run(arguments));
    assert!(
        says(&stdout, "orders: rows are in several currencies: 1 in CHF, 3 in EUR"),
        "{stdout}"
    );
}

#[test]
fn tables_that_cannot_meet_are_a_problem_and_a_sound_export_has_none() {
    let playground = Playground::new();
    let sessions = "external_id,user_external_id,created_at,utm_source,utm_medium
s1,u1,2024-03-01T10:00:00Z,google,cpc
";
    let orders = "external_id,user_external_id,created_at,subtotal_price
o1,u1,2024-03-02T10:00:00Z,10.00
";
    playground.table("sessions", sessions);
    playground.table("orders", orders);
    let check = ["check", "--sessions", "sessions.parquet", "--orders", "orders.parquet"];
    let output = playground.run(check);
    let (stdout, _) = said(&output);
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    assert!(stdout.ends_with("no problems\n"), "{stdout}");
    playground.table("orders", &orders.replace("2024-03-02", "2024-02-01"));
    let output = playground.run(check);
    let (stdout, _) = said(&output);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert!(says(&stdout, "no order can have a session: compare clocks and periods"), "{stdout}");
    playground.table("orders", &orders.replace("2024-03-02", "2024-09-02"));
    let output = playground.run(check);
    let (stdout, _) = said(&output);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    let reach = "orders: 1 row is further from the last session, 2024-03-01T10:00:00Z, than";
    assert!(says(&stdout, reach), "{stdout}");
}
