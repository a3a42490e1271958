//! How the identity report reads on a terminal: who is who first, then what that did.

use crate::credits::share;
use crate::engine::{Change, Changed, Credited};
use crate::money::Currency;
use crate::output::table::{aligned, printable};
use crate::output::{Align, counted, thousands};
use crate::report::identity::{Cluster, Conflict, Effect, EffectLine, IdentityReport, Why};
use crate::report::terminal::{WIDTH, label, labels};

/// Rows of a table before the rest is counted or summed up; the file has them all.
const ROWS: usize = 20;

/// Members of a cycle before the rest is counted.
const MEMBERS: usize = 6;

/// The report as text.
pub(super) fn render(report: &IdentityReport) -> String {
    let mut blocks = vec![who(report), cluster_sizes(report)];
    blocks.extend(clusters(report));
    blocks.extend(conflicts(report));
    blocks.extend(cycles(report));
    blocks.extend(keys(report));
    match &report.effect {
        Some(effect) => {
            blocks.push(journeys(effect));
            blocks.extend(credit(effect));
        }
        None => blocks.push(
            "what identity did to credit takes both sessions and orders to tell\n".to_owned(),
        ),
    }
    blocks.join("\n")
}

fn number(count: u64) -> String {
    thousands(&count.to_string())
}

/// A title, and one line a figure that is not zero.
fn figures(title: &str, figures: &[(u64, &str)]) -> String {
    let mut text = format!("{title}\n");
    for (count, what) in figures.iter().filter(|(count, _)| *count > 0) {
        text.push_str(&format!("{:>12} {what}\n", number(*count)));
    }
    text
}

fn who(report: &IdentityReport) -> String {
    let (account, aliases, under) = (&report.account, &report.aliases, &report.under);
    let mut text = format!(
        "{} {}\n",
        counted(account.users, "user id is", "user ids are"),
        counted(account.persons, "person", "persons")
    );
    text.push_str(&figures(
        &format!(
            "\nstubs: {} known from rows that name them",
            counted(account.stubs_seen, "user id", "user ids")
        ),
        &[(account.stubs_healed, "healed by a profile"), (account.stubs_left, "left without one")],
    ));
    text.push_str(&figures(
        &format!("\naliases: {}", counted(aliases.rows, "row", "rows")),
        &[
            (aliases.applied, "applied"),
            (aliases.repeated, "say what another row says"),
            (aliases.lost, "lost to an earlier one of the same user"),
            (aliases.itself, "of a user to itself"),
            (aliases.cut, "cut, for they closed a cycle"),
            (aliases.refused, "refused: both ends are authenticated"),
        ],
    ));
    for key in &report.keys {
        let values = &key.values;
        text.push_str(&figures(
            &format!(
                "\nkey {}: {}",
                values.key.column(),
                counted(values.values, "value", "values")
            ),
            &[
                (values.unusable, "are no such key, and join nobody"),
                (key.joined, "joined another person by it"),
                (key.refused, "did not: both are authenticated"),
            ],
        ));
    }
    let several = [
        (under.touches, "touches under two persons: the latest row holds"),
        (under.orders, "orders under two persons: the latest row holds"),
        (under.touches_of_one_person, "touches under two user ids of one person"),
        (under.orders_of_one_person, "orders under two user ids of one person"),
    ];
    if several.iter().any(|(count, _)| *count > 0) {
        text.push_str(&figures("\none id in several places", &several));
    }
    text
}

fn cluster_sizes(report: &IdentityReport) -> String {
    let header = [("user ids", Align::Left), ("persons", Align::Right), ("share", Align::Right)];
    let persons = report.account.persons;
    let rows = report.cluster_sizes.iter().filter(|size| size.persons > 0).map(|size| {
        vec![size.users.to_owned(), number(size.persons), percent(size.persons, persons)]
    });
    aligned(&header, rows.collect())
}

/// A part of a whole; empty where there is none.
fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return String::new();
    }
    format!("{:.1} %", part as f64 / whole as f64 * 100.0)
}

fn clusters(report: &IdentityReport) -> Option<String> {
    if report.largest.is_empty() {
        return None;
    }
    let some = |known: fn(&Cluster) -> bool| report.largest.iter().any(known);
    let sessions = some(|cluster| cluster.sessions.is_some());
    let orders = some(|cluster| cluster.orders.is_some());
    let mut header = vec![("largest persons", Align::Left), ("user ids", Align::Right)];
    header.extend(sessions.then_some(("sessions", Align::Right)));
    if orders {
        header.extend([("orders", Align::Right), ("amount", Align::Right), ("", Align::Left)]);
    }
    let rows = report.largest.iter().map(|cluster| {
        let mut cells = vec![printable(&cluster.person), number(cluster.users)];
        if sessions {
            cells.push(cluster.sessions.map_or_else(String::new, number));
        }
        if orders {
            let (amount, code) = match cluster.amount {
                Some((currency, amount)) => (currency.format(amount), currency.to_string()),
                None => (String::new(), String::new()),
            };
            cells.push(cluster.orders.map_or_else(String::new, number));
            cells.extend([thousands(&amount), code]);
        }
        cells
    });
    Some(aligned(&header, rows.collect()))
}

/// A table with a line that counts what is not shown.
fn listed(header: &[(&str, Align)], mut rows: Vec<Vec<String>>) -> String {
    let count = rows.len();
    if count > ROWS + 1 {
        rows.truncate(ROWS);
        let more = (count - ROWS) as u64;
        rows.push(label(&format!("({} more)", number(more)), header.len()));
    }
    aligned(header, rows)
}

fn conflicts(report: &IdentityReport) -> Option<String> {
    if report.conflicts.is_empty() {
        return None;
    }
    let header = [
        ("conflict of", Align::Left),
        ("with", Align::Left),
        ("remains", Align::Left),
        ("because", Align::Left),
    ];
    let row = |conflict: &Conflict| {
        let because = match &conflict.why {
            Why::Lost => "an earlier alias holds".to_owned(),
            Why::Refused => "both are authenticated".to_owned(),
            Why::Key { column, .. } => format!("both authenticated; same {column}"),
        };
        let ids = [&conflict.user, &conflict.other, &conflict.person];
        ids.map(|id| printable(id)).into_iter().chain([because]).collect()
    };
    Some(listed(&header, report.conflicts.iter().map(row).collect()))
}

fn cycles(report: &IdentityReport) -> Option<String> {
    if report.cycles.is_empty() {
        return None;
    }
    let header = [("cycle survived by", Align::Left), ("members, along the aliases", Align::Left)];
    let rows = report.cycles.iter().map(|cycle| {
        let shown = cycle.members.iter().take(MEMBERS).map(|id| printable(id));
        let mut members: Vec<String> = shown.collect();
        let survivor = members[0].clone();
        if cycle.members.len() > MEMBERS {
            let more = (cycle.members.len() - MEMBERS) as u64;
            members.push(format!("({} more)", number(more)));
        }
        vec![survivor, members.join(" > ")]
    });
    Some(listed(&header, rows.collect()))
}

fn keys(report: &IdentityReport) -> Option<String> {
    // Two user ids with one key are what keys are for; more may be a desk's mailbox.
    let mut many = report.largest_keys.iter().filter(|held| held.users > 2).peekable();
    many.peek()?;
    let header = [
        ("most shared keys", Align::Left),
        ("", Align::Left),
        ("user ids", Align::Right),
        ("persons", Align::Right),
    ];
    let rows = many.map(|held| {
        vec![
            printable(&held.value),
            held.key.column().to_owned(),
            number(held.users),
            number(held.persons),
        ]
    });
    Some(aligned(&header, rows.collect()))
}

/// Which journeys changed, one line a kind and currency.
fn journeys(effect: &Effect) -> String {
    let header = [
        ("journeys", Align::Left),
        ("orders", Align::Right),
        ("share", Align::Right),
        ("amount", Align::Right),
        ("", Align::Left),
        ("touches", Align::Right),
        ("without", Align::Right),
    ];
    let mut rows = Vec::new();
    for (at, currency) in effect.currencies.iter().enumerate() {
        let all = effect.changes.of(Change::Any, at);
        for change in Change::ALL {
            let of_kind = effect.changes.of(change, at);
            if of_kind.orders > 0 {
                rows.push(journeys_row(change, &of_kind, all.orders, *currency));
            }
        }
    }
    if rows.is_empty() {
        return "no order counts: there is no credit that identity could change\n".to_owned();
    }
    format!(
        "{}\ntouches: on average, with identity and without it: every user id its own person\n",
        aligned(&header, rows)
    )
}

fn journeys_row(change: Change, of_kind: &Changed, all: u64, currency: Currency) -> Vec<String> {
    let what = match change {
        Change::Any => "all",
        Change::Touches => "changed by identity",
        Change::Gained => "  attributed only with",
        Change::Lost => "  attributed only without",
    };
    let mean = |touches: u64| format!("{:.2}", touches as f64 / of_kind.orders as f64);
    vec![
        what.to_owned(),
        number(of_kind.orders),
        percent(of_kind.orders, all),
        thousands(&currency.format(of_kind.amount)),
        currency.to_string(),
        mean(of_kind.touches),
        mean(of_kind.touches_without),
    ]
}

/// Credit with and without identity: a block a model and currency.
fn credit(effect: &Effect) -> Vec<String> {
    let mut blocks = Vec::new();
    for (model, name) in effect.models.iter().enumerate() {
        for currency in &effect.currencies {
            let mut text = format!("{name} \u{b7} {currency}\n\n");
            text.push_str(&block(effect, model, *currency));
            if effect.dated_by_touch {
                text.push_str("\ndated by touch: the totals need not agree\n");
            }
            blocks.push(text);
        }
    }
    blocks
}

fn block(effect: &Effect, model: usize, currency: Currency) -> String {
    let lines = effect.ordered(model, currency);
    let names: Vec<String> = effect.by.iter().map(ToString::to_string).collect();
    let columns = names.len().max(1);
    let shown = if lines.len() > ROWS + 1 { ROWS } else { lines.len() };
    let mut rows: Vec<(Vec<String>, Credited, Credited)> = lines[..shown]
        .iter()
        .map(|line| {
            (
                labels(&line.values, line.unattributed, columns),
                line.with[model],
                line.without[model],
            )
        })
        .collect();
    let summed = |names: Vec<String>, lines: &[&EffectLine]| {
        let (mut with, mut without) = (Credited::default(), Credited::default());
        for line in lines {
            with.add(&line.with[model]);
            without.add(&line.without[model]);
        }
        (names, with, without)
    };
    if shown < lines.len() {
        let more = (lines.len() - shown) as u64;
        rows.push(summed(label(&format!("({} more)", number(more)), columns), &lines[shown..]));
    }
    rows.push(summed(label("total", columns), &lines));
    // What is wider than a terminal loses the conversions without, which can best be done without.
    let full = laid_out(&names, &rows, currency, true);
    if full.lines().any(|line| line.chars().count() > WIDTH) {
        return laid_out(&names, &rows, currency, false);
    }
    full
}

fn laid_out(
    names: &[String],
    rows: &[(Vec<String>, Credited, Credited)],
    currency: Currency,
    both_conversions: bool,
) -> String {
    let mut header: Vec<(&str, Align)> =
        names.iter().map(|name| (name.as_str(), Align::Left)).collect();
    if names.is_empty() {
        header.push(("", Align::Left));
    }
    header.push(("conversions", Align::Right));
    if both_conversions {
        header.push(("without", Align::Right));
    }
    header.extend([
        ("amount", Align::Right),
        ("without", Align::Right),
        ("difference", Align::Right),
    ]);
    let cells = rows.iter().map(|(names, with, without)| {
        let conversions =
            |credited: &Credited| thousands(&format!("{:.2}", share(credited.conversions)));
        let money = |amount: i128| thousands(&currency.format(amount));
        let mut cells = names.clone();
        cells.push(conversions(with));
        if both_conversions {
            cells.push(conversions(without));
        }
        cells.extend([with.amount, without.amount].map(money));
        let difference = with.amount - without.amount;
        let sign = if difference > 0 { "+" } else { "" };
        cells.push(format!("{sign}{}", money(difference)));
        cells
    });
    aligned(&header, cells.collect())
}
