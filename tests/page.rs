//! The page and its pictures: the figures of the report, the same bytes whatever the threads and the
//! order of rows, and nothing that a name could break. What a browser makes of it is tested in one, by
//! `tests/browser/`.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use common::{Playground, said};

/// Two persons of one journey each, one of nothing, and a source that would break a page.
fn playground(reversed: bool) -> Playground {
    let playground = Playground::new();
    let table = |name: &str, header: &str, rows: &[&str]| {
        let mut rows = rows.to_vec();
        if reversed {
            rows.reverse();
        }
        playground.table(name, &format!("{header}\n{}\n", rows.join("\n")));
    };
    table(
        "sessions",
        "external_id,user_external_id,created_at,utm_source,utm_medium",
        &[
            "s1,u1,2025-01-30T10:00:00Z,google,cpc",
            "s2,u1,2025-02-01T10:00:00Z,a|b <i>,email",
            "s3,u2,2025-02-01T09:00:00Z,google,cpc",
        ],
    );
    table(
        "orders",
        "external_id,user_external_id,created_at,subtotal_price,currency",
        &[
            "o1,u1,2025-02-01T10:30:00Z,100.01,EUR",
            "o2,u2,2025-03-03T09:00:00Z,50.00,EUR",
            "o3,u3,2025-03-04T09:00:00Z,7.50,EUR",
        ],
    );
    playground
}

const INPUTS: [&str; 6] = [
    "--sessions",
    "sessions.parquet",
    "--orders",
    "orders.parquet",
    "--as-of",
    "2026-01-01T00:00:00Z",
];

fn made(playground: &Playground, command: &str, arguments: &[&str]) -> Vec<u8> {
    let output = playground.run([command, "--quiet"].iter().chain(&INPUTS).chain(arguments));
    let (complaints, success) = (String::from_utf8_lossy(&output.stderr), output.status.success());
    assert!(success && complaints.is_empty(), "{command} {arguments:?}: {complaints}");
    output.stdout
}

fn page(playground: &Playground, arguments: &[&str]) -> String {
    String::from_utf8(made(playground, "report", arguments)).unwrap()
}

#[test]
fn threads_and_the_order_of_rows_change_no_byte_of_a_page_or_a_picture() {
    let (one, other) = (playground(false), playground(true));
    let by = ["--by", "utm_source,utm_medium"];
    let with = |threads: &'static str| [&by[..], &["--threads", threads]].concat();
    assert_eq!(page(&one, &with("1")), page(&other, &with("3")));
    for chart in ["models", "time", "paths", "lag", "length", "roles"] {
        let arguments = |threads| [&with(threads)[..], &["--chart", chart]].concat();
        let drawn = made(&one, "plot", &arguments("1"));
        assert!(drawn.starts_with(b"<svg ") && drawn.ends_with(b"</svg>\n"), "{chart}");
        assert_eq!(drawn, made(&other, "plot", &arguments("3")), "{chart}");
    }
}

#[test]
fn a_page_has_the_figures_of_the_report_to_the_last_unit() {
    let playground = playground(false);
    let text = page(&playground, &["--by", "utm_source,utm_medium", "--model", "linear"]);
    // 100.01 over two touches is 50.01 and 50.00: the earlier touch gets the cent.
    for figure in ["50.01", "50.00", "100.01", "7.50", "157.51"] {
        assert!(text.contains(&format!(">{figure}<")), "{figure}");
    }
    // Every row of the report's own table is there, by the names of its columns.
    assert!(text.contains("average_time_to_conversion") && text.contains("acquisition_amount"));
    // Lags: half an hour before, two days before; classes that nothing is in are zero.
    assert!(text.contains("google / cpc &gt; a|b &lt;i&gt; / email"), "the path is named");
}

#[test]
fn nothing_that_is_called_by_others_is_markup() {
    let playground = playground(false);
    let text = page(&playground, &["--by", "utm_source"]);
    assert!(text.contains("a|b &lt;i&gt;") && !text.contains("<i>"));
    let markdown = made(&playground, "run", &["--by", "utm_source", "--format", "markdown"]);
    let markdown = String::from_utf8(markdown).unwrap();
    assert!(markdown.contains("| a\\|b \\<i> |"), "{markdown}");
    // Each line of a table has as many cells as its header.
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    for table in markdown.split("\n\n").filter(|part| part.starts_with('|')) {
        let counts: Vec<usize> = table.lines().map(cells).collect();
        assert!(counts.windows(2).all(|pair| pair[0] == pair[1]), "{table}");
    }
}

#[test]
fn the_last_two_full_months_are_compared_where_no_period_is() {
    let playground = playground(false);
    // Orders from 1 February to 4 March: February is full, January is not.
    assert!(page(&playground, &[]).contains("not of two full months"));
    let compared = page(
        &playground,
        &["--from", "2025-03-01", "--to", "2025-03-31", "--compare", "2025-02-01..2025-02-28"],
    );
    // 57.50 after 100.01: two orders after one.
    assert!(
        compared.contains("(was 100)") && compared.contains("+100.0\u{a0}% (was 1)"),
        "{compared}"
    );
}

#[test]
fn a_page_of_no_orders_says_so_and_a_picture_of_them_is_empty() {
    let playground = playground(false);
    let none = ["--from", "2020-01-01", "--to", "2020-01-31"];
    assert!(page(&playground, &none).contains("no orders"));
    let (_, complaints) = said(
        &playground.run(["plot", "--chart", "paths", "--quiet"].iter().chain(&INPUTS).chain(&none)),
    );
    assert_eq!(complaints, "");
}

#[test]
fn a_picture_is_as_large_as_it_is_asked_for() {
    let playground = playground(false);
    let flags = ["--width", "1200", "--height", "500", "-o", "models.png"];
    let output = playground.run(["plot", "--quiet"].iter().chain(&INPUTS).chain(&flags));
    let (_, complaints) = said(&output);
    if complaints.contains("no font to write with") {
        // A machine without fonts is told so, and nothing is written.
        assert!(!playground.path("models.png").exists());
        return;
    }
    assert_eq!(complaints, "");
    let bytes = std::fs::read(playground.path("models.png")).unwrap();
    assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
    assert_eq!(&bytes[16..24], [1200_u32.to_be_bytes(), 500_u32.to_be_bytes()].concat());
}
