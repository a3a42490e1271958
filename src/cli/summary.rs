//! The summary of a run, for people.

use crate::output::table::aligned;
use crate::output::{Align, thousands};
use crate::summary::Summary;

/// The summary as text: what was read, who is who, what counted, and the proof sheet.
pub(super) fn text(summary: &Summary) -> String {
    let mut lines = vec![String::new()];
    let number = |count: u64| thousands(&count.to_string());
    for table in &summary.tables {
        let files = if table.files == 1 {
            "1 file".to_owned()
        } else {
            format!("{} files", number(table.files))
        };
        let rejected = if table.rejected == 0 {
            String::new()
        } else {
            format!(", {} rejected", number(table.rejected))
        };
        lines.push(format!("{:<15} {} rows in {files}{rejected}", table.table, number(table.read)));
    }
    for rejected in &summary.rejects {
        lines.push(format!(
            "{:<15} {} {} by `{}`",
            "rejected",
            number(rejected.rows),
            rejected.table,
            rejected.rule
        ));
    }
    if summary.repaired > 0 {
        lines.push(format!(
            "{:<15} {} rows: sign-up taken from creation",
            "repaired",
            number(summary.repaired)
        ));
    }
    let identity = &summary.identity;
    lines.push(format!(
        "{:<15} {} users are {} persons; stubs: {} seen, {} healed, {} left",
        "identity",
        number(identity.users),
        number(identity.persons),
        number(identity.stubs_seen),
        number(identity.stubs_healed),
        number(identity.stubs_left)
    ));
    let findings = [
        (identity.alias_conflicts, "aliases lost to an earlier one"),
        (identity.alias_self, "aliases to itself"),
        (identity.alias_cycles, "cycles of aliases"),
        (identity.reconciled, "persons joined by a reconciliation key"),
        (identity.key_conflicts, "not joined by a key: both authenticated"),
        (identity.authenticated_conflicts, "aliases refused: both ends authenticated"),
        (summary.touches.person_conflicts, "touches under two persons"),
        (summary.orders.person_conflicts, "orders under two persons"),
        (summary.touches.versions + summary.orders.versions, "rows merged into newer versions"),
    ];
    for (count, what) in findings {
        if count > 0 {
            lines.push(format!("{:<15} {} {what}", "", number(count)));
        }
    }
    let orders = &summary.orders;
    lines.push(format!(
        "{:<15} {} counted: {} attributed, {} unattributed",
        "orders",
        number(orders.counted),
        number(orders.attributed),
        number(orders.unattributed)
    ));
    let left_out = [
        (orders.cancelled, "cancelled"),
        (orders.filtered, "left out by a filter"),
        (orders.outside_period, "outside the period"),
        (orders.without_rate, "without an exchange rate"),
    ];
    let left_out: Vec<String> = left_out
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", number(*count)))
        .collect();
    if !left_out.is_empty() {
        lines.push(format!("{:<15} not counted: {}", "", left_out.join(", ")));
    }
    for warning in &summary.warnings {
        lines.push(format!("{:<15} {warning}", "warning"));
    }
    lines.push(String::new());
    format!("{}\n{}", lines.join("\n"), proof(summary))
}

fn proof(summary: &Summary) -> String {
    let header = [
        ("proof sheet", Align::Left),
        ("orders", Align::Right),
        ("credited", Align::Right),
        ("owed", Align::Right),
        ("credited", Align::Right),
        ("", Align::Left),
    ];
    let rows = summary.proof.models.iter().map(|line| {
        vec![
            line.model.clone(),
            thousands(&line.orders.to_string()),
            thousands(&line.conversions.to_string()),
            thousands(&line.owed),
            thousands(&line.credited),
            format!(
                "{} {}",
                line.currency,
                match (line.compared, line.holds) {
                    (false, _) => "(dated by touch: not compared)",
                    (true, true) => "\u{2713}",
                    (true, false) => "\u{2717}",
                }
            ),
        ]
    });
    aligned(&header, rows.collect())
}
