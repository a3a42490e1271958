//! What the figures rest on: orders without touches, rows, identity, the proof and the settings.

use super::settings::told;
use super::{Cell, Column, Figure, Part, ROWS, Row, Section, Table, percent};
use crate::config::Config;
use crate::identity::Account;
use crate::output::thousands;
use crate::report::Journeys;
use crate::summary::{Proof, Summary};

/// Orders that nothing led to.
pub(super) fn unattributed(journeys: &Journeys, summary: &Summary) -> Section {
    let orders = &summary.orders;
    let rows = journeys.currencies.iter().enumerate().map(|(at, currency)| {
        let ((count, amount), (_, all)) = (journeys.without_touch(at), journeys.of_all(at));
        Row::line(vec![
            Cell::text(currency.code()),
            Cell::count(count),
            Cell::amount(amount, *currency),
            Cell::part(amount as f64 / all as f64),
        ])
    });
    let rows = rows.collect();
    let left_out = [
        ("cancelled", orders.cancelled),
        ("left out by a filter", orders.filtered),
        ("outside the period", orders.outside_period),
        ("without an exchange rate", orders.without_rate),
    ];
    let figure = |name: &str, count: u64, detail: String| Figure {
        name: name.to_owned(),
        word: match name {
            "Unattributed" => Some("Unattributed"),
            "Attributed" => Some("Attributed"),
            _ => None,
        },
        value: thousands(&count.to_string()),
        change: None,
        detail,
    };
    let part = |count: u64| percent(count as f64 / orders.counted as f64);
    let mut figures = vec![
        figure("Attributed", orders.attributed, part(orders.attributed)),
        figure("Unattributed", orders.unattributed, part(orders.unattributed)),
    ];
    let left_out = left_out.into_iter().filter(|(_, count)| *count > 0);
    figures.extend(
        left_out.map(|(name, count)| figure(&format!("Not counted: {name}"), count, String::new())),
    );
    Section {
        id: "unattributed",
        title: "Unattributed",
        lead: "Orders without a touch in their window. Many of them mean that sessions are missing, that users are not joined, or that the window is short.".to_owned(),
        parts: vec![
            Part::Figures(figures),
            Part::Table(Table {
                caption: "Orders without touches, and their part of the revenue".to_owned(),
                columns: vec![
                    Column::text("currency"),
                    Column::figure("orders", "Unattributed"),
                    Column::figure("amount", "Amount"),
                    Column::figure("share", "Share"),
                ],
                rows,
            }),
        ],
    }
}

pub(super) fn sections(summary: &Summary, config: &Config) -> Vec<Section> {
    vec![quality(summary), proof(summary), settings(config)]
}

/// The rows of each table that was read.
fn rows_read(summary: &Summary) -> Part {
    let rows = summary.tables.iter().map(|table| {
        Row::line(vec![
            Cell::text(table.table),
            Cell::count(table.files),
            Cell::count(table.read),
            Cell::count(table.accepted),
            Cell::count(table.rejected),
        ])
    });
    let counts = ["files", "rows", "accepted", "rejected"].map(|name| Column::figure(name, "Rows"));
    Part::Table(Table {
        caption: "Rows that were read".to_owned(),
        columns: [Column::text("table")].into_iter().chain(counts).collect(),
        rows: rows.collect(),
    })
}

/// The rows that were rejected, by rule.
fn rejects(summary: &Summary) -> Part {
    let rows = summary.rejects.iter().map(|rejected| {
        let cells =
            [Cell::text(rejected.table), Cell::text(rejected.rule), Cell::count(rejected.rows)];
        Row::line(cells.into())
    });
    Part::Table(Table {
        caption: "Rows that were rejected".to_owned(),
        columns: vec![Column::text("table"), Column::text("rule"), Column::figure("rows", "Rows")],
        rows: rows.collect(),
    })
}

/// Where spend and sessions do not meet.
fn gaps(summary: &Summary) -> Part {
    let rows = summary.spend_gaps.iter().take(ROWS).map(|gap| {
        let cost = gap.cost.clone().unwrap_or_default();
        Row::line(vec![
            Cell::text(gap.utm_source.clone()),
            Cell::text(gap.utm_medium.clone()),
            Cell::text(gap.currency.clone().unwrap_or_default()),
            Cell { text: thousands(&cost), value: gap.cost.clone() },
            Cell::count(gap.sessions),
        ])
    });
    let names = ["utm_source", "utm_medium", "currency"].map(Column::text);
    let figures = [Column::figure("cost", "Cost"), Column::figure("sessions", "Sessions")];
    Part::Table(Table {
        caption: "Spend without a session, and paid sessions without spend".to_owned(),
        columns: names.into_iter().chain(figures).collect(),
        rows: rows.collect(),
    })
}

/// What identity did, and which rows were versions of others.
fn who_is_who(summary: &Summary) -> Part {
    let Account {
        users,
        persons,
        merged,
        stubs_seen,
        stubs_healed,
        stubs_left,
        alias_conflicts,
        alias_self,
        alias_cycles,
        authenticated_conflicts,
        reconciled,
        key_conflicts,
    } = summary.identity;
    let (touches, orders) = (&summary.touches, &summary.orders);
    let counts = [
        ("users", users),
        ("persons", persons),
        ("users that are another person", merged),
        ("stubs seen", stubs_seen),
        ("stubs healed", stubs_healed),
        ("stubs left", stubs_left),
        ("aliases lost to an earlier one", alias_conflicts),
        ("aliases to itself", alias_self),
        ("cycles of aliases", alias_cycles),
        ("aliases refused: both ends authenticated", authenticated_conflicts),
        ("persons joined by a reconciliation key", reconciled),
        ("not joined by a key: both authenticated", key_conflicts),
        ("touches under two persons", touches.person_conflicts),
        ("orders under two persons", orders.person_conflicts),
        ("rows merged into newer versions", touches.versions + orders.versions),
    ];
    let row = |(name, count): (&str, u64)| Row::line(vec![Cell::text(name), Cell::count(count)]);
    Part::Table(Table {
        caption: "Who is who".to_owned(),
        columns: vec![Column::text("identity"), Column::figure("count", "Stubs")],
        rows: counts.into_iter().map(row).collect(),
    })
}

fn quality(summary: &Summary) -> Section {
    let mut parts = vec![rows_read(summary), who_is_who(summary)];
    if !summary.rejects.is_empty() {
        parts.push(rejects(summary));
    }
    if !summary.spend_gaps.is_empty() {
        parts.push(gaps(summary));
    }
    let number = |count: u64| thousands(&count.to_string());
    let devices = summary.order_measures.iter().map(|of| {
        format!(
            "{}: {} cross-device orders ({}), {} cross-domain orders ({}).",
            of.currency,
            number(of.cross_device_orders),
            percent(of.cross_device_ratio.unwrap_or(f64::NAN)),
            number(of.cross_domain_orders),
            percent(of.cross_domain_ratio.unwrap_or(f64::NAN)),
        )
    });
    parts.extend(devices.map(Part::Text));
    Section {
        id: "quality",
        title: "Identity and data quality",
        lead: format!(
            "{} rows were read, and {} of them rejected. {} users are {} persons.",
            number(summary.rows_read()),
            number(summary.rejected),
            number(summary.identity.users),
            number(summary.identity.persons),
        ),
        parts,
    }
}

fn proof_table(caption: &str, proof: &Proof) -> Table {
    let rows = proof.models.iter().map(|line| {
        let number = |text: &str| Cell { text: thousands(text), value: Some(text.to_owned()) };
        Row::line(vec![
            Cell::text(line.model.clone()),
            Cell::text(line.currency.clone()),
            Cell::count(line.orders),
            number(&line.conversions.to_string()),
            number(&line.owed),
            number(&line.credited),
            Cell::text(match (line.compared, line.holds) {
                (false, _) => "dated by touch: not compared",
                (true, true) => "\u{2713} holds",
                (true, false) => "\u{2717} broken",
            }),
        ])
    });
    Table {
        caption: caption.to_owned(),
        columns: vec![
            Column::text("model"),
            Column::text("currency"),
            Column::figure("orders", "Orders"),
            Column::figure("conversions credited", "Conversions"),
            Column::figure("owed", "Owed"),
            Column::figure("credited", "Credited"),
            Column::text("proof"),
        ],
        rows: rows.collect(),
    }
}

fn proof(summary: &Summary) -> Section {
    let mut parts = vec![Part::Table(proof_table("The proof sheet", &summary.proof))];
    if let Some(compared) = &summary.compared {
        parts.push(Part::Table(proof_table("The proof sheet of then", &compared.proof_then)));
    }
    if !summary.proof.chains.is_empty() {
        let rows = summary.proof.chains.iter().map(|chain| {
            Row::line(vec![
                Cell::text(chain.model.clone()),
                chain.order.map_or_else(Cell::default, Cell::count),
                Cell::count(chain.journeys),
                Cell::count(chain.converted),
                Cell {
                    text: format!("{:.4} %", chain.probability * 100.0),
                    value: Some(chain.probability.to_string()),
                },
            ])
        });
        parts.push(Part::Table(Table {
            caption: "What models learnt from".to_owned(),
            columns: vec![
                Column::text("model"),
                Column { word: None, ..Column::figure("order of the chain", "Orders") },
                Column { word: None, ..Column::figure("journeys", "Orders") },
                Column { word: None, ..Column::figure("with an order", "Orders") },
                Column { word: None, ..Column::figure("probability of an order", "Orders") },
            ],
            rows: rows.collect(),
        }));
    }
    Section {
        id: "proof",
        title: "The proof",
        lead: "What each model credited against what the orders are worth, to the last unit. A run that does not add up writes no page.".to_owned(),
        parts,
    }
}

fn settings(config: &Config) -> Section {
    let row =
        |(name, value): (String, String)| Row::line(vec![Cell::text(name), Cell::text(value)]);
    Section {
        id: "settings",
        title: "Settings",
        lead: "What was asked, in the words of `apportion.toml`, with defaults filled in."
            .to_owned(),
        parts: vec![Part::Table(Table {
            caption: "Settings of this run".to_owned(),
            columns: vec![Column::text("setting"), Column::text("value")],
            rows: told(&config.understood).into_iter().map(row).collect(),
        })],
    }
}
