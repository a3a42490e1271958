//! How the report reads in a pull request or a chat: a headline, its tables, what is not attributed,
//! and whether it adds up.

use std::collections::BTreeMap;

use crate::credits::share;
use crate::engine::Credited;
use crate::money::Currency;
use crate::output::{counted, markdown_table, thousands};
use crate::report::Report;
use crate::report::terminal::{Layout, side_by_side_tables, tables};
use crate::summary::Summary;

/// The report as Markdown, `wide` with the models side by side. Every table adds up: what is not
/// shown is summed up in a row of its own.
pub fn markdown(report: &Report, summary: &Summary, wide: bool) -> String {
    let layout = Layout { table: markdown_table, width: None };
    let tables = if wide { side_by_side_tables(report, &layout) } else { tables(report, &layout) };
    let mut parts = vec![headline(report, summary)];
    if let Some(compared) = &summary.compared {
        parts.push(format!(
            "{} to {}, compared with {} to {}.",
            compared.from, compared.to, compared.from_then, compared.to_then
        ));
    }
    for (title, table) in tables {
        parts.push(format!("#### {}\n\n{}", title.replace('|', "\\|"), table.trim_end()));
    }
    parts.extend(summary.warnings.iter().map(|warning| format!("> **Note:** {warning}")));
    parts.push(proof(summary));
    format!("{}\n", parts.join("\n\n"))
}

/// What the orders are worth, and how much of it nothing is credited with, one line a currency.
///
/// Where the report is by nothing that a touch has, orders without touches have no line of their own:
/// only how many there are is known then.
fn headline(report: &Report, summary: &Summary) -> String {
    let mut sums: BTreeMap<Currency, [Credited; 2]> = BTreeMap::new();
    for line in &report.lines {
        let Some(credited) = line.credited.first() else { continue };
        let [all, without] = sums.entry(line.currency).or_default();
        all.add(credited);
        if line.unattributed {
            without.add(credited);
        }
    }
    let told = report.lines.iter().any(|line| line.unattributed);
    let line = |(currency, [all, without]): (&Currency, &[Credited; 2])| {
        let orders = |conversions: i128| thousands(&share(conversions).round().to_string());
        let money = |amount: i128| format!("{} {currency}", thousands(&currency.format(amount)));
        // Leads are worth nothing in money.
        if all.amount == 0 {
            let made = format!("**{} orders**", orders(all.conversions));
            let without = orders(without.conversions);
            return if told {
                format!("{made}, {without} of them unattributed.")
            } else {
                format!("{made}.")
            };
        }
        let made = format!("**{}** from {} orders.", money(all.amount), orders(all.conversions));
        if !told {
            return made;
        }
        let part = without.amount as f64 / all.amount as f64 * 100.0;
        format!(
            "{made} Unattributed: {} orders, {} ({part:.1} %).",
            orders(without.conversions),
            money(without.amount)
        )
    };
    let mut lines: Vec<String> = sums.iter().map(line).collect();
    let without = summary.orders.unattributed;
    if !told && without > 0 {
        lines.push(format!("Unattributed: {}.", counted(without, "order", "orders")));
    }
    // Two blanks at the end of a line keep lines apart.
    lines.join("  \n")
}

/// The proof sheet in a line.
fn proof(summary: &Summary) -> String {
    let lines = &summary.proof.models;
    let compared = lines.iter().filter(|line| line.compared).count();
    match compared {
        0 if lines.is_empty() => "Proof: no orders, nothing to divide.".to_owned(),
        0 => "Proof: every order is divided to the last unit; dated by touch, the report is not compared with all orders.".to_owned(),
        _ => {
            let owed = lines.iter().map(|line| format!("{}: {} {}", line.model, thousands(&line.credited), line.currency));
            format!(
                "Proof: credited equals owed, to the last unit \u{2713} ({})",
                owed.collect::<Vec<_>>().join(", ")
            )
        }
    }
}
