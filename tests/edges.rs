//! Numbers, times and texts at the edge of what there is: each is either right to the unit, or refused with
//! a reason, and none is obeyed by whoever reads it.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::fs;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray, StringViewArray,
    TimestampMicrosecondArray,
};
use common::{Playground, picked, said, write_parquet};

/// The most that 64 bits hold, as cents.
const MOST: i128 = i64::MAX as i128;

fn text<T: AsRef<str>>(values: &[T]) -> ArrayRef {
    Arc::new(values.iter().map(|value| Some(value.as_ref())).collect::<StringViewArray>())
}

/// Amounts with two decimals.
fn cents(values: &[i128]) -> ArrayRef {
    let cents = Decimal128Array::from(values.to_vec());
    Arc::new(cents.with_precision_and_scale(38, 2).unwrap())
}

fn write(playground: &Playground, table: &str, columns: Vec<(&str, ArrayRef)>) {
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    write_parquet(&rows, &playground.path(&format!("{table}.parquet")));
}

/// Sessions of users at times, each of a source.
fn sessions(playground: &Playground, rows: &[[&str; 4]]) {
    let column = |at: usize| text(&rows.iter().map(|row| row[at]).collect::<Vec<_>>());
    let columns = ["external_id", "user_external_id", "created_at", "utm_source"];
    let columns = columns.into_iter().enumerate().map(|(at, name)| (name, column(at)));
    write(playground, "sessions", columns.collect());
}

/// Orders of users at times, in euros.
fn orders(playground: &Playground, rows: &[[&str; 3]], amounts: &[i128]) {
    let column = |at: usize| text(&rows.iter().map(|row| row[at]).collect::<Vec<_>>());
    let mut columns = vec![
        ("external_id", column(0)),
        ("user_external_id", column(1)),
        ("created_at", column(2)),
        ("subtotal_price", cents(amounts)),
    ];
    columns.push(("currency", text(&vec!["EUR"; rows.len()])));
    write(playground, "orders", columns);
}

/// The least weight above zero that can be written.
const LEAST: &str = "0.0000000000000000000000000001";

/// What every run here is given.
const RUN: [&str; 9] = [
    "run",
    "--quiet",
    "--sessions",
    "sessions.parquet",
    "--orders",
    "orders.parquet",
    "--as-of",
    "9999-12-31T23:59:59.999999Z",
    "--format",
];

/// The named columns of the CSV that a run prints, a line a row.
fn report(playground: &Playground, more: &[&str], columns: &[&str]) -> Vec<String> {
    let output = playground.run(RUN.iter().chain(&["csv"]).chain(more));
    let (stdout, stderr) = said(&output);
    assert_eq!(stderr, "", "{more:?}");
    picked(&stdout, columns)
}

/// An order of so many cents after touches of the sources `a`, `b` and `c`.
fn three_touches(amount: i128) -> Playground {
    let playground = Playground::new();
    let rows = [
        ["s1", "u1", "2024-03-01", "a"],
        ["s2", "u1", "2024-03-02", "b"],
        ["s3", "u1", "2024-03-03", "c"],
    ];
    sessions(&playground, &rows);
    orders(&playground, &[["o1", "u1", "2024-03-04"]], &[amount]);
    playground
}

/// What a run says that must fail, and leave nothing.
fn refused(playground: &Playground, more: &[&str]) -> String {
    let before = playground.files();
    let output = playground.run(RUN.iter().chain(&["csv"]).chain(more));
    let (stdout, stderr) = said(&output);
    assert_eq!((output.status.code(), stdout.as_str()), (Some(2), ""), "{more:?}: {stderr}");
    assert_eq!(playground.files(), before, "{more:?}");
    stderr
}

#[test]
fn the_largest_amounts_are_divided_to_the_cent() {
    let playground = three_touches(MOST);
    // 9,223,372,036,854,775,807 is 3 times 3,074,457,345,618,258,602, and one more for the earliest.
    let linear = report(&playground, &["--model", "linear"], &["utm_source", "amount"]);
    assert_eq!(
        linear,
        ["a 30744573456182586.03", "b 30744573456182586.02", "c 30744573456182586.02"]
    );
    // A refund of all of it, and one of more than there was.
    for (price, first, last) in
        [(MOST, "0.00", "0.00"), (0, "-30744573456182586.02", "-30744573456182586.03")]
    {
        write(
            &playground,
            "orders",
            vec![
                ("external_id", text(&["o1"])),
                ("user_external_id", text(&["u1"])),
                ("created_at", text(&["2024-03-04"])),
                ("subtotal_price", cents(&[price])),
                ("refunded_price", cents(&[MOST])),
                ("currency", text(&["EUR"])),
            ],
        );
        let linear = report(&playground, &["--model", "linear"], &["utm_source", "amount"]);
        let mut sorted = linear.clone();
        sorted.sort();
        assert_eq!(sorted[0], format!("a {}", if price == 0 { last } else { first }), "{linear:?}");
        assert_eq!(sorted[1], format!("b {first}"), "{linear:?}");
    }
}

#[test]
fn an_amount_or_a_sum_that_does_not_fit_is_refused_and_never_wrong() {
    let playground = Playground::new();
    let rows = [["s1", "u1", "2024-03-01", "a"], ["s2", "u2", "2024-03-01", "b"]];
    sessions(&playground, &rows);
    let both = [["o1", "u1", "2024-03-04"], ["o2", "u2", "2024-03-04"]];
    orders(&playground, &both, &[MOST, MOST]);
    // Each line fits, and their total has no limit of its own.
    let lines = report(&playground, &["--model", "linear"], &["utm_source", "amount"]);
    assert_eq!(lines, ["a 92233720368547758.07", "b 92233720368547758.07"]);
    let table = playground.run(RUN.iter().chain(&["table", "--model", "linear"]));
    assert!(said(&table).0.contains("184,467,440,737,095,516.14"), "{}", said(&table).0);
    // In one line they do not fit.
    let message = refused(&playground, &["--model", "linear", "--by", "none", "-o", "report.csv"]);
    assert!(message.contains("does not fit 64 bits of minor units"), "{message}");

    orders(&playground, &both, &[MOST + 1, 1]);
    let loose = ["--max-rejects", "100%", "--rejects", "rejects.csv", "--model", "linear"];
    let lines = report(&playground, &loose, &["utm_source", "amount"]);
    assert_eq!(lines, ["b 0.01", "a 0.00"]);
    let rejects = fs::read_to_string(playground.path("rejects.csv")).unwrap();
    assert!(rejects.contains("o1,bad_amount,an amount is not finite or does not fit 64 bits"));

    // What fits in one currency may not in another.
    orders(&playground, &both, &[MOST, 1]);
    write(
        &playground,
        "rates",
        vec![
            ("date", text(&["2024-01-01", "2024-01-01"])),
            ("currency", text(&["EUR", "USD"])),
            ("rate", Arc::new(arrow::array::Float64Array::from(vec![1e-9, 1.0]))),
        ],
    );
    let rates = ["--currency", "USD", "--exchange-rates", "rates.parquet"];
    let message = refused(&playground, &rates);
    assert!(message.contains("order `o1` in USD does not fit 64 bits of minor units"), "{message}");
}

#[test]
fn every_exponent_of_iso_4217_has_its_own_units() {
    // ISO 4217, List one: the currencies whose exponent is not 2.
    let none = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
    let (three, four) = ("BHD IQD JOD KWD LYD OMR TND", "CLF UYW");
    let two = "EUR USD HUF MGA MRU TWD XXX";
    let currencies: Vec<&str> =
        [none, two, three, four].iter().flat_map(|codes| codes.split(' ')).collect();
    let ids: Vec<String> = (0..currencies.len()).map(|at| format!("o{at}")).collect();
    let playground = Playground::new();
    sessions(&playground, &[["s1", "nobody", "2024-03-01", "a"]]);
    let write_orders = |prices: ArrayRef| {
        let columns = vec![
            ("external_id", text(&ids)),
            ("user_external_id", text(&ids)),
            ("created_at", text(&vec!["2024-03-04"; ids.len()])),
            ("subtotal_price", prices),
            ("currency", text(&currencies)),
        ];
        write(&playground, "orders", columns);
    };
    let said = |expected: [&str; 4]| {
        let rows = report(&playground, &["--model", "linear"], &["currency", "amount"]);
        let rows: Vec<&String> = rows.iter().filter(|row| !row.contains(" 0")).collect();
        assert_eq!(rows.len(), currencies.len());
        for (codes, amount) in [none, two, three, four].iter().zip(expected) {
            for code in codes.split(' ') {
                assert!(rows.contains(&&format!("{code} {amount}")), "{code} {amount}: {rows:?}");
            }
        }
    };
    let ten = |value: i128| -> ArrayRef {
        let values = Decimal128Array::from(vec![value; ids.len()]);
        Arc::new(values.with_precision_and_scale(20, 5).unwrap())
    };
    // Half to even, in each: 2.5 is 2, 0.125 is 0.12, 1.2345 is 1.234, and 1.23455 is 1.2346.
    write_orders(ten(250_000));
    said(["2", "2.50", "2.500", "2.5000"]);
    write_orders(ten(112_500));
    said(["1", "1.12", "1.125", "1.1250"]);
    write_orders(ten(123_450));
    said(["1", "1.23", "1.234", "1.2345"]);
    write_orders(ten(123_455));
    said(["1", "1.23", "1.235", "1.2346"]);
    // Integers are minor units of each.
    write_orders(Arc::new(Int64Array::from(vec![12_345; ids.len()])));
    said(["12345", "123.45", "12.345", "1.2345"]);
}

#[test]
fn the_first_and_the_last_instant_are_times_like_others() {
    let playground = Playground::new();
    let rows = [
        ["s1", "u1", "0001-01-01T00:00:00Z", "first"],
        ["s2", "u1", "9999-12-31T23:59:58.999999Z", "last"],
    ];
    sessions(&playground, &rows);
    orders(&playground, &[["o1", "u1", "9999-12-31T23:59:59.999999Z"]], &[100]);
    let ever = ["--lookback", "none", "--date-by", "touch", "--by", "utm_source,day,week,month"];
    let columns = ["utm_source", "day", "week", "month", "amount", "average_time_to_conversion"];
    // 9999 Gregorian years are 3,652,059 days.
    let seconds = 3_652_059_i64 * 86_400 - 1;
    for (zone, first) in
        [("UTC", "0001-W01"), ("Pacific/Kiritimati", "0001-W01"), ("Pacific/Pago_Pago", "0001-W01")]
    {
        let flags = [&ever[..], &["--model", "linear", "--timezone", zone]].concat();
        let mut rows = report(&playground, &flags, &columns);
        rows.sort();
        let expected = [
            format!("first 0001-01-01 {first} 0001-01 0.50 {seconds}"),
            "last 9999-12-31 9999-W52 9999-12 0.50 1".to_owned(),
        ];
        assert_eq!(rows, expected, "{zone}");
    }
    // With a window of ninety days the first touch is long gone.
    let rows = report(&playground, &["--model", "linear"], &["utm_source", "amount"]);
    assert_eq!(rows, ["last 1.00", "first 0.00"]);
    // Before and after there is nothing.
    for outside in
        ["0000-12-31T23:59:59Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"]
    {
        sessions(&playground, &[["s1", "u1", outside, "a"]]);
        let loose = ["--max-rejects", "100%", "--rejects", "rejects.csv"];
        report(&playground, &loose, &["amount"]);
        let rejects = fs::read_to_string(playground.path("rejects.csv")).unwrap();
        assert!(rejects.contains("bad_time"), "{outside}: {rejects}");
    }
}

#[test]
fn a_weight_too_small_to_see_is_a_touch_without_credit_and_all_of_them_are_divided_still() {
    let playground = Playground::new();
    let rows = [
        ["s1", "u1", "2023-03-05", "year"],
        ["s0", "u1", "2024-03-03T23:43:20Z", "thousand"],
        ["s2", "u1", "2024-03-03T23:58:00Z", "minutes"],
        ["s3", "u1", "2024-03-03T23:59:59Z", "second"],
    ];
    sessions(&playground, &rows);
    orders(&playground, &[["o1", "u1", "2024-03-04"]], &[10_000]);
    let fast = ["--model", "time_decay:half_life=1s", "--lookback", "none"];
    // 2^-1,000 is 1e-301, 2^-31,536,000 is nothing, and 2^-119 less than any unit of a share.
    let rows = report(&playground, &fast, &["utm_source", "amount", "assisting"]);
    assert_eq!(rows, ["second 100.00 0", "minutes 0.00 1", "thousand 0.00 1", "year 0.00 0"]);
    // Where all are as old, they are worth as much as touches of today.
    sessions(
        &playground,
        &[["s1", "u1", "2023-03-05", "a"], ["s2", "u1", "2023-03-05T00:00:01Z", "b"]],
    );
    let rows = report(&playground, &fast, &["utm_source", "amount"]);
    assert_eq!(rows, ["b 66.67", "a 33.33"]);
}

#[test]
fn weights_of_any_size_are_compared_with_each_other_alone() {
    let playground = three_touches(10_000);
    for (weights, expected) in [
        // As small as decimals go, and as large as is allowed.
        (format!("first={LEAST}:middle={LEAST}:last={LEAST}"), ["a 33.34", "b 33.33", "c 33.33"]),
        ("first=500000:middle=500000:last=1000000".to_owned(), ["c 50.00", "a 25.00", "b 25.00"]),
        // Beside a million it is less than a cent, and with nothing beside it it is all.
        (format!("first={LEAST}:middle=1000000:last=1000000"), ["b 50.00", "c 50.00", "a 0.00"]),
        (format!("first={LEAST}:middle=0:last=0"), ["a 100.00", "b 0.00", "c 0.00"]),
        ("first=0:middle=0:last=0".to_owned(), ["a 33.34", "b 33.33", "c 33.33"]),
    ] {
        let model = format!("custom:{weights}");
        let rows = report(&playground, &["--model", &model], &["utm_source", "amount"]);
        assert_eq!(rows, expected, "{model}");
    }
    for wrong in ["first=inf", "first=nan", "first=-1", "first=1e-300", "first=1000001"] {
        let message = refused(&playground, &["--model", &format!("custom:{wrong}")]);
        assert!(message.contains("custom"), "{message}");
    }
}

#[test]
fn orders_worth_nothing_count_and_prices_below_zero_do_not() {
    let playground = Playground::new();
    sessions(&playground, &[["s1", "u1", "2024-03-01", "a"], ["s2", "u1", "2024-03-02", "b"]]);
    let rows = [["o1", "u1", "2024-03-03"], ["o2", "u2", "2024-03-03"], ["o3", "u3", "2024-03-03"]];
    orders(&playground, &rows, &[0, 1, -1]);
    let loose = ["--max-rejects", "100%", "--rejects", "rejects.csv", "--model", "linear"];
    let rows = report(&playground, &loose, &["utm_source", "conversions", "amount"]);
    assert_eq!(rows, ["a 0.5 0.00", "b 0.5 0.00", "(unattributed) 1 0.01"]);
    let rejects = fs::read_to_string(playground.path("rejects.csv")).unwrap();
    assert_eq!(rejects.lines().count(), 2);
    assert!(rejects.contains("o3,negative_price"), "{rejects}");
}

#[test]
fn an_id_is_its_bytes() {
    let playground = Playground::new();
    // Apart: composed and decomposed, upper and lower, with a mark that nobody sees, with a NUL, and two
    // of 64 KiB that differ in the last byte.
    let long = "x".repeat(65_535);
    let users: Vec<String> = [
        "\u{e9}",
        "e\u{301}",
        "E\u{301}",
        "\u{c9}",
        "a",
        "A",
        "a\u{200b}",
        "a\0",
        "a\0b",
        "\u{5d0}\u{5d1}",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain([format!("{long}y"), format!("{long}z")])
    .collect();
    let rows: Vec<[&str; 4]> =
        users.iter().map(|user| [user.as_str(), user, "2024-03-01", user]).collect();
    sessions(&playground, &rows);
    let rows: Vec<[&str; 3]> =
        users.iter().map(|user| [user.as_str(), user, "2024-03-02"]).collect();
    let amounts: Vec<i128> = (1..=12).collect();
    orders(&playground, &rows, &amounts);
    let flags = [
        "--model",
        "linear",
        "--by",
        "utm_source",
        "--credits",
        "credits.csv",
        "--persons",
        "persons.csv",
    ];
    let rows = report(&playground, &flags, &["utm_source", "orders", "persons", "amount"]);
    assert_eq!(rows.len(), users.len());
    for (user, cents) in users.iter().zip(1..) {
        assert!(rows.contains(&format!("{user} 1 1 0.{cents:02}")), "{:?} {cents}", &user[..1]);
    }
    let credits = fs::read_to_string(playground.path("credits.csv")).unwrap();
    let pairs = picked(&credits, &["order_external_id", "touch_external_id"]);
    for user in &users {
        assert!(pairs.contains(&format!("{user} {user}")));
    }
    let persons = fs::read_to_string(playground.path("persons.csv")).unwrap();
    assert_eq!(picked(&persons, &["person"]).len(), users.len());
}

#[test]
fn an_empty_text_is_missing_and_a_blank_id_is_none() {
    let playground = Playground::new();
    sessions(&playground, &[["s1", "u1", "2024-03-01", ""], ["s2", "u1", "2024-03-02", " \t"]]);
    orders(&playground, &[["o1", "u1", "2024-03-03"]], &[100]);
    let rows = report(&playground, &["--model", "linear"], &["utm_source", "utm_medium", "amount"]);
    assert_eq!(rows, ["direct none 1.00"]);
    for blank in ["", " ", "\u{a0}", "\t\n"] {
        sessions(&playground, &[["s1", blank, "2024-03-01", "a"], ["s2", "u1", "2024-03-02", "b"]]);
        let loose = ["--max-rejects", "100%", "--rejects", "rejects.csv"];
        report(&playground, &loose, &["amount"]);
        let rejects = fs::read_to_string(playground.path("rejects.csv")).unwrap();
        assert!(rejects.contains("s1,missing_value"), "{blank:?}: {rejects}");
    }
}

/// What anybody may write into a link, and somebody else will read.
const NASTY: [&str; 14] = [
    "=cmd()|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\u{1b}]0;title\u{7}\u{1b}[31mred\u{1b}[2J",
    "c1\u{9b}31m",
    "invoice\u{202e}fdp.exe",
    "line\u{2028}end",
    "nul\0nul",
    "a\r\n| b | c |",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "[x](javascript:alert(1)) ![y](z)",
    "\u{5e9}\u{5dc}\u{5d5}\u{5dd}",
    "_a_ ~~b~~ &lt; $c$ \"d\" 'e'",
];

/// A run's inputs with each of these as a source, a session and an order.
fn nasty() -> Playground {
    let playground = Playground::new();
    let users: Vec<String> = (0..NASTY.len()).map(|at| format!("u{at}")).collect();
    let labels = NASTY.iter().zip(&users);
    let rows: Vec<[&str; 4]> =
        labels.clone().map(|(label, user)| [label, user.as_str(), "2024-03-01", label]).collect();
    sessions(&playground, &rows);
    let rows: Vec<[&str; 3]> =
        labels.map(|(label, user)| [*label, user.as_str(), "2024-03-02"]).collect();
    orders(&playground, &rows, &[100; NASTY.len()]);
    playground
}

/// Letters that a terminal, a browser or an XML reader obeys or refuses.
fn obeyed(text: &str) -> String {
    let is_obeyed = |letter: &char| {
        (letter.is_control() && !matches!(letter, '\n' | '\t'))
            || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().filter(is_obeyed).flat_map(char::escape_default).collect()
}

#[test]
fn no_label_is_obeyed_by_who_reads_it() {
    let playground = nasty();
    let by = ["--model", "linear", "--by", "utm_source"];
    let read = |format: &str| {
        let (stdout, stderr) = said(&playground.run(RUN.iter().chain(&[format]).chain(&by)));
        assert_eq!(stderr, "", "{format}");
        stdout
    };
    for format in ["table", "markdown", "html"] {
        assert_eq!(obeyed(&read(format)), "", "{format}");
    }
    for command in ["explain", "identity", "report", "channels"] {
        let mut arguments = vec![command];
        arguments.extend(&RUN[2..8]);
        match command {
            "explain" => arguments.push(NASTY[4]),
            "report" => arguments.extend(["--quiet", "-o", "page.html"]),
            "channels" => arguments.extend(["--by", "utm_source"]),
            _ => {}
        }
        let output = playground.run(&arguments);
        let (stdout, stderr) = said(&output);
        assert!(output.status.success(), "{command}: {stderr}");
        assert_eq!(obeyed(&(stdout + &stderr)), "", "{command}");
    }
    assert_eq!(obeyed(&fs::read_to_string(playground.path("page.html")).unwrap()), "");
    let page = fs::read_to_string(playground.path("page.html")).unwrap();
    assert!(!page.contains("<script>alert") && !page.contains("<img src=x"));

    // A table in Markdown has as many cells in every line.
    let markdown = read("markdown");
    let cells = |line: &str| line.replace("\\\\", "").replace("\\|", "").matches('|').count();
    let rows: Vec<&str> = markdown.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), NASTY.len() + 3);
    assert!(rows.iter().all(|row| cells(row) == cells(rows[0])), "{markdown}");
    assert!(!markdown.contains("<script>") || markdown.contains("\\<script>"), "{markdown}");
}

#[test]
fn data_stays_what_it_is_and_a_spreadsheet_gets_no_formula() {
    let playground = nasty();
    let by = ["--model", "linear", "--by", "utm_source"];
    let mut rows = report(&playground, &by, &["utm_source"]);
    let mut labels = NASTY.map(|label| label.trim().to_owned()).to_vec();
    rows.sort();
    labels.sort();
    assert_eq!(rows, labels);
    let json = playground.run(RUN.iter().chain(&["json"]).chain(&by));
    let json: Vec<serde_json::Value> = serde_json::from_str(&said(&json).0).unwrap();
    let mut sources: Vec<&str> =
        json.iter().map(|row| row["utm_source"].as_str().unwrap()).collect();
    sources.sort_unstable();
    assert_eq!(sources, labels);

    let sheet = playground.run(RUN.iter().chain(&["spreadsheet"]).chain(&by));
    let sheet = said(&sheet).0;
    let sheet = sheet.strip_prefix('\u{feff}').unwrap();
    assert!(sheet.ends_with("\r\n"));
    let sources = picked(sheet, &["utm_source"]);
    for label in NASTY {
        let formula = label.starts_with(['=', '+', '-', '@']);
        let expected = if formula { format!("'{label}") } else { label.to_owned() };
        assert!(sources.contains(&expected), "{expected}: {sources:?}");
    }
    // Numbers below zero are no text.
    assert!(picked(sheet, &["amount"]).iter().all(|amount| amount == "1.00"));
}

#[test]
fn a_chart_of_any_labels_is_xml_and_a_picture() {
    let playground = nasty();
    for place in ["models.svg", "models.png"] {
        let mut arguments =
            vec!["plot", "--chart", "models", "--quiet", "--by", "utm_source", "-o", place];
        arguments.extend(&RUN[2..8]);
        let output = playground.run(&arguments);
        assert!(output.status.success(), "{}", said(&output).1);
    }
    let drawn = fs::read_to_string(playground.path("models.svg")).unwrap();
    assert_eq!(obeyed(&drawn), "");
    assert!(!drawn.contains("<script>") && drawn.contains("\\u{1b}"), "{drawn}");
}

#[test]
fn messages_show_what_others_wrote_and_do_not_obey_it() {
    let playground = nasty();
    for more in [
        &["--by", "\u{1b}[31mred"][..],
        &["--rejects", "\u{1b}[2J/rejects.csv"],
        &["--where-orders", "\u{202e} = 1"],
        &["--column", "orders.currency=\u{9b}1m"],
    ] {
        let message = refused(&playground, more);
        assert_eq!(obeyed(&message), "", "{message}");
        assert!(message.contains("\\u{"), "{message}");
    }
    // The names of a file's own columns too.
    write(&playground, "orders", vec![("\u{1b}[31mexternal_id", text(&["o1"]))]);
    let message = refused(&playground, &[]);
    assert!(obeyed(&message).is_empty() && message.contains("\\u{1b}[31mexternal_id"), "{message}");
}

/// A person with this many touches, and orders: one at the end, and `--overlap` for one that sees all.
fn robot(playground: &Playground, touches: usize) {
    let minute = 1_000_000_i64;
    let start = 1_700_000_000_000_000_i64;
    let at = |touch: usize| start + i64::try_from(touch).unwrap() * minute;
    let schema = RecordBatch::try_from_iter([
        ("external_id", text(&["s"])),
        ("user_external_id", text(&["robot"])),
        (
            "created_at",
            Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC")) as ArrayRef,
        ),
        ("utm_source", text(&["crawl"])),
    ])
    .unwrap()
    .schema();
    let file = fs::File::create(playground.path("sessions.parquet")).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, Arc::clone(&schema), None).unwrap();
    for from in (0..touches).step_by(100_000) {
        let range = from..touches.min(from + 100_000);
        let ids: StringArray = range.clone().map(|touch| Some(format!("s{touch:08}"))).collect();
        let times: TimestampMicrosecondArray = range.clone().map(|touch| Some(at(touch))).collect();
        let sources: StringArray =
            range.clone().map(|touch| Some(["crawl", "feed", "mail"][touch % 3])).collect();
        let users = StringArray::from(vec!["robot"; range.len()]);
        let columns: Vec<ArrayRef> = vec![
            arrow::compute::cast(&ids, schema.field(0).data_type()).unwrap(),
            arrow::compute::cast(&users, schema.field(1).data_type()).unwrap(),
            Arc::new(times.with_timezone("UTC")),
            arrow::compute::cast(&sources, schema.field(3).data_type()).unwrap(),
        ];
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()).unwrap();
    }
    writer.close().unwrap();
    let end = apportion::calendar::format_instant(at(touches));
    orders(playground, &[["o1", "robot", &end]], &[MOST]);
}

/// An order's conversions and amounts add up over this many touches, under every kind of weight.
fn one_order_of(touches: usize) {
    let playground = Playground::new();
    robot(&playground, touches);
    let models = "last_click,first_click,linear,time_decay,position_based,equal_channels,time_decay:half_life=1s";
    let flags = ["--model", models, "--lookback", "none", "--by", "utm_source"];
    let columns = ["model", "utm_source", "alone", "initiator", "assisting", "closer", "amount"];
    let rows = report(&playground, &flags, &columns);
    let mut totals = std::collections::BTreeMap::<&str, (i128, usize)>::new();
    for row in &rows {
        let cells: Vec<&str> = row.split(' ').collect();
        let cents: i128 = cells[6].replace('.', "").parse().unwrap();
        let roles: usize = cells[2..6].iter().map(|count| count.parse::<usize>().unwrap()).sum();
        let total = totals.entry(cells[0]).or_default();
        *total = (total.0 + cents, total.1 + roles);
    }
    assert_eq!(totals.len(), 7, "{rows:?}");
    for (model, total) in totals {
        assert_eq!(total, (MOST, touches), "{model}: {rows:?}");
    }
}

#[test]
fn an_order_of_many_touches_adds_up() {
    one_order_of(100_000);
}

#[test]
#[ignore = "takes two gigabytes, and a release build to be quick"]
fn an_order_of_ten_million_touches_adds_up() {
    one_order_of(1_000_000);
    one_order_of(10_000_000);
}
