//! The summary of a run, for people.

use crate::databases::{Loaded, LoadedTable};
use crate::output::table::{aligned, printable};
use crate::output::{Align, thousands};
use crate::report::{GapKind, OrderMeasures};
use crate::summary::{Compared, Proof, ProofLine, Resamples, SpendGap, Summary};

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
    let attributed = attributed(summary);
    lines.push(format!("{:<15} {} counted: {attributed}", "orders", number(orders.counted)));
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
    lines.extend(measures(summary));
    if let Some(Resamples { resamples, seed: Some(seed), level }) = &summary.resamples {
        let resamples = number(*resamples as u64);
        lines.push(format!(
            "{:<15} {resamples} resamples of persons, seed {seed}: intervals hold {level} of them",
            "bootstrap"
        ));
        let learnt: Vec<&str> =
            summary.learnt_anew.iter().map(|learnt| learnt.model.as_str()).collect();
        if !learnt.is_empty() {
            lines.push(format!("{:<15} learnt anew in each: {}", "", learnt.join(", ")));
        }
    }
    for warning in &summary.warnings {
        lines.push(format!("{:<15} {warning}", "warning"));
    }
    lines.push(String::new());
    let proved = match &summary.sweep {
        Some(_) => proof_of_sweep(&summary.proof),
        None => proof("proof sheet", &summary.proof),
    };
    let mut text = format!("{}\n{proved}", lines.join("\n"));
    if let Some(compared) = &summary.compared {
        text.push_str(&format!("\n{}", proof("proof then", &compared.proof_then)));
    }
    text
}

/// What was loaded into a database: a line a table.
pub(super) fn loaded(loaded: &Loaded) -> String {
    let table = |table: &LoadedTable| {
        let LoadedTable { name, rows, replaced } = table;
        let (rows, replaced) = (thousands(&rows.to_string()), thousands(&replaced.to_string()));
        format!("{:<15} {rows} rows of `{name}`, {replaced} replaced\n", "")
    };
    let tables: String = loaded.tables.iter().map(table).collect();
    format!("\n{:<15} {}\n{tables}", "loaded into", printable(&loaded.database))
}

/// How many orders have touches; in a sweep, from how many to how many by window.
fn attributed(summary: &Summary) -> String {
    let number = |count: u64| thousands(&count.to_string());
    let Some(sweep) = &summary.sweep else {
        let orders = &summary.orders;
        let (with, without) = (number(orders.attributed), number(orders.unattributed));
        return format!("{with} attributed, {without} unattributed");
    };
    let attributed = || sweep.windows.iter().map(|window| window.attributed);
    let (fewest, most) =
        (attributed().min().unwrap_or_default(), attributed().max().unwrap_or_default());
    if fewest == most {
        return format!("{} attributed in every window", number(most));
    }
    format!("from {} to {} attributed, by window", number(fewest), number(most))
}

/// The proof of every window and model of a sweep, summed up: a line a currency.
fn proof_of_sweep(proof: &Proof) -> String {
    let mut by_currency: Vec<(&ProofLine, u64)> = Vec::new();
    for line in &proof.models {
        match by_currency.iter_mut().find(|(known, _)| known.currency == line.currency) {
            Some((_, proofs)) => *proofs += 1,
            None => by_currency.push((line, 1)),
        }
    }
    let header = [
        ("proof sheet", Align::Left),
        ("proofs", Align::Right),
        ("orders", Align::Right),
        ("owed", Align::Right),
        ("credited in each", Align::Right),
        ("", Align::Left),
    ];
    let rows = by_currency.into_iter().map(|(line, proofs)| {
        vec![
            "window and model".to_owned(),
            thousands(&proofs.to_string()),
            thousands(&line.orders.to_string()),
            thousands(&line.owed),
            if line.compared { thousands(&line.credited) } else { String::new() },
            held(line),
        ]
    });
    aligned(&header, rows.collect())
}

/// Whether what was credited is what was owed, after the currency.
fn held(line: &ProofLine) -> String {
    let held = match (line.compared, line.holds) {
        (false, _) => "(dated by touch: not compared)",
        (true, true) => "\u{2713}",
        (true, false) => "\u{2717}",
    };
    format!("{} {held}", line.currency)
}

/// What was measured beside credit: of orders, of spend, of the period that is compared with.
fn measures(summary: &Summary) -> Vec<String> {
    let mut lines: Vec<String> = summary.order_measures.iter().flat_map(of_orders).collect();
    lines.extend(gaps(&summary.spend_gaps));
    if let Some(compared) = &summary.compared {
        let Compared { from, to, from_then, to_then, orders_then, .. } = compared;
        let orders = thousands(&orders_then.to_string());
        lines.push(format!(
            "{:<15} {from} to {to} with {from_then} to {to_then}: {orders} orders then",
            "compared"
        ));
    }
    lines
}

/// What is known of the orders of one currency.
fn of_orders(orders: &OrderMeasures) -> Vec<String> {
    // Each line is about orders that there are, so that no figure of it is missing.
    let decimals = |value: Option<f64>| thousands(&format!("{:.2}", value.unwrap_or_default()));
    let percent = |value: Option<f64>| format!("{:.1} %", value.unwrap_or_default() * 100.0);
    let days = |seconds: Option<f64>| decimals(seconds.map(|seconds| seconds / 86_400.0));
    let number = |count: u64| thousands(&count.to_string());
    let mut lines = vec![
        format!(
            "{} from {} orders of {} persons, {} each",
            thousands(&orders.revenue),
            number(orders.orders),
            number(orders.persons),
            decimals(orders.average_cart)
        ),
        format!(
            "{} repeat orders ({})",
            number(orders.repeat_orders),
            percent(orders.retention_ratio)
        ),
    ];
    if orders.attributed_orders > 0 {
        lines.push(format!(
            "with touches: {} each, {} days from the first, median {}",
            decimals(orders.touches_per_order),
            days(orders.average_time_to_conversion),
            days(orders.median_time_to_conversion)
        ));
        lines.push(format!(
            "{} cross-device ({}), {} cross-domain ({})",
            number(orders.cross_device_orders),
            percent(orders.cross_device_ratio),
            number(orders.cross_domain_orders),
            percent(orders.cross_domain_ratio)
        ));
    }
    if orders.web_to_retail_orders + orders.retail_to_web_orders > 0 {
        lines.push(format!(
            "{} web to retail, {} retail to web",
            number(orders.web_to_retail_orders),
            number(orders.retail_to_web_orders)
        ));
    }
    let titles = std::iter::once(orders.currency.as_str()).chain(std::iter::repeat(""));
    titles.zip(lines).map(|(title, line)| format!("{title:<15} {line}")).collect()
}

/// Where spend and sessions do not meet: one line a kind, with the first source and medium.
fn gaps(gaps: &[SpendGap]) -> Vec<String> {
    let line = |kind: GapKind, what: &str| {
        let of = || gaps.iter().filter(|gap| gap.gap == kind);
        let first = of().next()?;
        let value = match (&first.cost, &first.currency) {
            (Some(cost), Some(currency)) => format!("{} {currency}", thousands(cost)),
            _ => format!("{} sessions", thousands(&first.sessions.to_string())),
        };
        let more = match of().count() - 1 {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let origin = printable(&format!("{} / {}", first.utm_source, first.utm_medium));
        Some(format!("{:<15} {what}: {origin} ({value}){more}", "spend"))
    };
    let lines = [
        line(GapKind::NoSessions, "without a session"),
        line(GapKind::NoSpend, "none for paid sessions"),
    ];
    lines.into_iter().flatten().collect()
}

fn proof(title: &str, proof: &Proof) -> String {
    let header = [
        (title, Align::Left),
        ("orders", Align::Right),
        ("credited", Align::Right),
        ("owed", Align::Right),
        ("credited", Align::Right),
        ("", Align::Left),
    ];
    let rows = proof.models.iter().map(|line| {
        vec![
            line.model.clone(),
            thousands(&line.orders.to_string()),
            thousands(&line.conversions.to_string()),
            thousands(&line.owed),
            thousands(&line.credited),
            held(line),
        ]
    });
    aligned(&header, rows.collect())
}
