//! `apportion channels` on an export that is misspelt on purpose, worked by hand.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::fs;

use common::{Playground, said};

/// Twenty sessions of google / cpc and one of each misspelling, a person each.
fn sessions() -> String {
    let mut csv = "external_id,user_external_id,created_at,utm_source,utm_medium\n".to_owned();
    let mut add = |id: &str, source: &str, medium: &str| {
        csv.push_str(&format!("{id},user-{id},2024-03-01T10:00:00Z,{source},{medium}\n"));
    };
    for at in 0..20 {
        add(&format!("g{at}"), "google", "cpc");
    }
    add("a", "googel", "cpc");
    add("b", "google%20ads", "cpc");
    add("c", "Google", "cpc");
    add("d", "google ", "cpc%20");
    add("e", "crm", "emial");
    add("f", "booth", "fair");
    add("g", "", "");
    csv
}

const ORDERS: &str = "external_id,user_external_id,created_at,subtotal_price,currency
o1,user-g0,2024-03-02T10:00:00Z,100.00,EUR
o2,user-a,2024-03-02T10:00:00Z,20.00,EUR
o3,user-e,2024-03-02T10:00:00Z,7.50,EUR
o4,user-f,2024-03-02T10:00:00Z,3.00,EUR
o5,nobody,2024-03-02T10:00:00Z,1.00,EUR
";

const RULES: &str = r#"
[[channel]]
name = "Fairs"
group = "Owned"
when = [{ field = "utm_medium", equals = "trade fair" }]
"#;

fn playground() -> Playground {
    let playground = Playground::new();
    playground.table("sessions", &sessions());
    playground.table("orders", ORDERS);
    fs::write(playground.path("apportion.toml"), RULES).unwrap();
    playground
}

const CHANNELS: [&str; 3] = ["channels", "--sessions", "sessions.parquet"];

fn rows(csv: &str, columns: &[&str]) -> Vec<String> {
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    let header = rows.headers().unwrap().clone();
    let at: Vec<usize> = columns
        .iter()
        .map(|name| header.iter().position(|column| column == *name).unwrap())
        .collect();
    let row = |row: csv::StringRecord| at.iter().map(|at| &row[*at]).collect::<Vec<_>>().join(",");
    rows.records().map(|record| row(record.unwrap())).collect()
}

/// The hand-worked answer. Blanks around `google ` are trimmed on reading, so its session is
/// google's, and its medium `cpc%20` is what is misspelt. Last click gives each order to the one
/// session of its person: o1 to google / cpc, o2 to googel, o3 to the misspelt mail, o4 to the
/// booth; o5 has none. 100.00 + 20.00 + 7.50 + 3.00 + 1.00 = 131.50, which is what the orders are.
#[test]
fn every_source_and_medium_says_its_rule_and_what_it_is_near_to() {
    let playground = playground();
    let arguments = ["--orders", "orders.parquet", "--format", "csv", "-o", "coverage.csv"];
    let output = playground.run(CHANNELS.iter().chain(&arguments));
    let (stdout, stderr) = said(&output);
    assert_eq!((output.status.code(), stdout.as_str()), (Some(0), ""), "{stderr}");
    let csv = fs::read_to_string(playground.path("coverage.csv")).unwrap();
    let columns = [
        "utm_source",
        "utm_medium",
        "channel_rule",
        "mapped",
        "near_source",
        "near_medium",
        "sessions",
        "amount",
    ];
    assert_eq!(
        rows(&csv, &columns),
        [
            "google,cpc,default rule 5: Paid Search,true,,,20,100.00",
            "googel,cpc,default rule 10: Paid Other,true,google,,1,20.00",
            "crm,emial,not-mapped,false,,email,1,7.50",
            "booth,fair,not-mapped,false,,,1,3.00",
            "(unattributed),(unattributed),(unattributed),false,,,0,1.00",
            "Google,cpc,default rule 5: Paid Search,true,google,,1,0.00",
            "direct,none,default rule 1: Direct,true,,,1,0.00",
            "google,cpc%20,default rule 5: Paid Search,true,,cpc,1,0.00",
            "google%20ads,cpc,default rule 10: Paid Other,true,google,,1,0.00",
            ",,own rule 1: Fairs,,,,0,",
        ]
    );
}

#[test]
fn sessions_alone_are_covered_without_revenue() {
    let playground = playground();
    let output = playground.run(CHANNELS.iter().chain(&["--format", "csv"]));
    let (stdout, stderr) = said(&output);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
    let counted: u64 =
        rows(&stdout, &["sessions"]).iter().map(|row| row.parse::<u64>().unwrap()).sum();
    assert_eq!(counted, 27);
    assert!(!stdout.contains("amount") && !stdout.contains("unattributed"), "{stdout}");
}

#[test]
fn a_terminal_of_eighty_columns_holds_every_table_and_adds_up() {
    let playground = playground();
    let output = playground.run(CHANNELS.iter().chain(&["--orders", "orders.parquet"]));
    let (stdout, _) = said(&output);
    assert!(stdout.lines().all(|line| line.chars().count() <= 80), "{stdout}");
    assert!(stdout.contains("25 of 27 sessions are mapped to a channel (92.6 %)"), "{stdout}");
    assert!(stdout.contains("own rules that took nothing\n\nown rule 1: Fairs\n"), "{stdout}");
    assert_eq!(stdout.matches("131.50").count(), 3, "three tables add up to the orders: {stdout}");
}

#[test]
fn one_origin_is_explained_without_any_input() {
    let playground = playground();
    for (origin, rule) in [
        ("google/cpc/brand", "default rule 5: Paid Search"),
        ("crm/trade fair", "own rule 1: Fairs"),
        ("", "default rule 1: Direct"),
        ("flyer", "none takes it"),
    ] {
        let output = playground.run(["channels", "--explain", origin]);
        let (stdout, _) = said(&output);
        assert!(output.status.success() && stdout.contains(rule), "{origin}: {stdout}");
    }
    let output = playground.run(["channels", "--explain", "googel/emial"]);
    let (stdout, _) = said(&output);
    assert!(stdout.contains("near to `google`") && stdout.contains("near to `email`"), "{stdout}");
}

#[test]
fn what_cannot_be_done_is_refused_and_writes_nothing() {
    let playground = playground();
    let before = playground.files();
    for (more, message) in [
        (&["-o", "sessions.parquet"][..], "is both an output and a file of sessions"),
        (&["--format", "xml"], "no format is named `xml`"),
    ] {
        let output = playground.run(CHANNELS.iter().chain(more));
        let (_, stderr) = said(&output);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(message), "{stderr}");
    }
    let output = playground.run(["channels"]);
    assert!(said(&output).1.contains("no sessions are given"));
    assert_eq!(playground.files(), before);
}

#[test]
fn rows_in_any_order_and_any_threads_give_the_same_bytes_and_no_other_file() {
    let playground = playground();
    let arguments = ["--orders", "orders.parquet", "--format", "csv"];
    let (expected, _) = said(&playground.run(CHANNELS.iter().chain(&arguments)));
    let csv = sessions();
    let (header, rows) = csv.split_once('\n').unwrap();
    let reversed: Vec<&str> = rows.lines().rev().collect();
    playground.table("sessions", &format!("{header}\n{}\n", reversed.join("\n")));
    let more = ["--threads", "1", "--by", "day", "--model", "linear", "--credits", "credits.csv"];
    let before = playground.files();
    let output = playground.run(CHANNELS.iter().chain(&arguments).chain(&more));
    let (stdout, stderr) = said(&output);
    assert_eq!((stdout, stderr.as_str()), (expected, ""));
    assert_eq!(playground.files(), before);
}

/// Francs are in their own lines, and sessions stand beside both currencies.
#[test]
fn every_currency_adds_up_to_its_own_orders() {
    let playground = playground();
    playground.table("orders", &ORDERS.replace("7.50,EUR", "7.50,CHF"));
    let output =
        playground.run(CHANNELS.iter().chain(&["--orders", "orders.parquet", "--format", "csv"]));
    let (stdout, _) = said(&output);
    for (currency, cents, counted) in [("CHF", 750, 27), ("EUR", 12_400, 27)] {
        let of_currency = rows(&stdout, &["currency", "amount", "sessions"]);
        let of_currency: Vec<Vec<&str>> = of_currency
            .iter()
            .map(|row| row.split(',').collect::<Vec<&str>>())
            .filter(|row| row[0] == currency)
            .collect();
        let sum = |at: usize| -> u64 {
            of_currency.iter().map(|row| row[at].replace('.', "").parse::<u64>().unwrap()).sum()
        };
        assert_eq!((sum(1), sum(2)), (cents, counted), "{currency}: {stdout}");
    }
}
