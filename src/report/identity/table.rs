//! The identity report as one table, a row a finding: `section` says what a row is about, and with
//! it which columns it has.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringViewArray, UInt64Array};

use crate::credits::share;
use crate::engine::{Change, Changed, Credited};
use crate::error::Result;
use crate::money::Currency;
use crate::report::decimals;
use crate::report::identity::{Conflict, Effect, IdentityReport, Why};

/// The columns of the table beside the dimensions of the credit.
pub(crate) const IDENTITY_COLUMNS: [&str; 22] = [
    "section",
    "name",
    "user_external_id",
    "other_user_external_id",
    "person",
    "key",
    "key_value",
    "model",
    "currency",
    "count",
    "users",
    "persons",
    "sessions",
    "orders",
    "touches",
    "touches_without",
    "conversions",
    "conversions_without",
    "conversions_difference",
    "amount",
    "amount_without",
    "amount_difference",
];

/// One row; what a section does not have is empty.
#[derive(Default)]
struct Row {
    section: &'static str,
    name: String,
    user: Option<String>,
    other: Option<String>,
    person: Option<String>,
    key: Option<&'static str>,
    key_value: Option<String>,
    model: Option<String>,
    values: Vec<String>,
    currency: Option<Currency>,
    count: Option<u64>,
    users: Option<u64>,
    persons: Option<u64>,
    sessions: Option<u64>,
    orders: Option<u64>,
    touches: Option<(u64, u64)>,
    credited: Option<(Credited, Credited)>,
    amount: Option<i128>,
}

impl Row {
    fn new(section: &'static str, name: &str) -> Self {
        Self { section, name: name.to_owned(), ..Self::default() }
    }
}

/// Every finding, section by section, each in its own order.
pub(super) fn table(report: &IdentityReport) -> Result<RecordBatch> {
    let mut rows = counts(report);
    rows.extend(
        report.cluster_sizes.iter().map(|size| Row {
            persons: Some(size.persons),
            ..Row::new("cluster_sizes", size.users)
        }),
    );
    rows.extend(report.largest.iter().zip(1..).map(|(cluster, rank)| Row {
        person: Some(cluster.person.clone()),
        users: Some(cluster.users),
        sessions: cluster.sessions,
        orders: cluster.orders,
        currency: cluster.amount.map(|(currency, _)| currency),
        amount: cluster.amount.map(|(_, amount)| amount),
        ..Row::new("clusters", &rank.to_string())
    }));
    rows.extend(report.conflicts.iter().map(conflict));
    for cycle in &report.cycles {
        rows.extend(cycle.members.iter().zip(1..).map(|(member, step)| Row {
            user: Some(member.clone()),
            other: Some(cycle.members[0].clone()),
            person: Some(cycle.person.clone()),
            ..Row::new("cycles", &step.to_string())
        }));
    }
    rows.extend(report.largest_keys.iter().zip(1..).map(|(held, rank)| Row {
        key: Some(held.key.column()),
        key_value: Some(held.value.clone()),
        users: Some(held.users),
        persons: Some(held.persons),
        ..Row::new("keys", &rank.to_string())
    }));
    let mut dimensions = Vec::new();
    if let Some(effect) = &report.effect {
        rows.extend(credit(effect));
        rows.extend(journeys(effect));
        dimensions = effect.by.iter().map(ToString::to_string).collect();
    }
    columns(&rows, &dimensions)
}

/// Figures by their names.
fn counts(report: &IdentityReport) -> Vec<Row> {
    let (account, aliases, under) = (&report.account, &report.aliases, &report.under);
    let users = [
        ("users", account.users),
        ("persons", account.persons),
        ("merged", account.merged),
        ("stubs_seen", account.stubs_seen),
        ("stubs_healed", account.stubs_healed),
        ("stubs_left", account.stubs_left),
        ("touches_under_two_persons", under.touches),
        ("orders_under_two_persons", under.orders),
        ("touches_under_two_users_of_one_person", under.touches_of_one_person),
        ("orders_under_two_users_of_one_person", under.orders_of_one_person),
    ];
    let fates = [
        ("rows", aliases.rows),
        ("applied", aliases.applied),
        ("repeated", aliases.repeated),
        ("lost", aliases.lost),
        ("self", aliases.itself),
        ("cut", aliases.cut),
        ("refused", aliases.refused),
    ];
    let row = |section: &'static str| {
        move |(name, count): (&str, u64)| Row { count: Some(count), ..Row::new(section, name) }
    };
    let mut rows: Vec<Row> = users.into_iter().map(row("users")).collect();
    let outcomes = report.outcomes.iter().map(|(outcome, users)| (outcome.name(), *users));
    rows.extend(outcomes.map(row("outcomes")));
    rows.extend(fates.into_iter().map(row("aliases")));
    for counts in &report.keys {
        let of_key = [
            ("values", counts.values.values),
            ("unusable", counts.values.unusable),
            ("joined", counts.joined),
            ("refused", counts.refused),
        ];
        let key = Some(counts.values.key.column());
        rows.extend(of_key.into_iter().map(row("reconciliation")).map(|row| Row { key, ..row }));
    }
    rows
}

fn conflict(conflict: &Conflict) -> Row {
    let (key, key_value) = match &conflict.why {
        Why::Key { column, value } => (Some(*column), Some(value.clone())),
        Why::Lost | Why::Refused => (None, None),
    };
    Row {
        user: Some(conflict.user.clone()),
        other: Some(conflict.other.clone()),
        person: Some(conflict.person.clone()),
        key,
        key_value,
        ..Row::new("conflicts", conflict.why.name())
    }
}

/// Credit by model and currency: every line, then its total.
fn credit(effect: &Effect) -> Vec<Row> {
    let mut rows = Vec::new();
    for (model, name) in effect.models.iter().enumerate() {
        for currency in &effect.currencies {
            let row = |section: &'static str, kind: &str| Row {
                model: Some(name.clone()),
                currency: Some(*currency),
                ..Row::new(section, kind)
            };
            let mut total = (Credited::default(), Credited::default());
            for line in effect.ordered(model, *currency) {
                total.0.add(&line.with[model]);
                total.1.add(&line.without[model]);
                rows.push(Row {
                    values: line.values.clone(),
                    credited: Some((line.with[model], line.without[model])),
                    ..row("credit", if line.unattributed { "unattributed" } else { "attributed" })
                });
            }
            rows.push(Row { credited: Some(total), ..row("credit", "total") });
        }
    }
    rows
}

/// Journeys by kind of change and currency.
fn journeys(effect: &Effect) -> Vec<Row> {
    let mut rows = Vec::new();
    for change in Change::ALL {
        for (at, currency) in effect.currencies.iter().enumerate() {
            let Changed { orders, amount, touches, touches_without } =
                effect.changes.of(change, at);
            rows.push(Row {
                currency: Some(*currency),
                orders: Some(orders),
                touches: Some((touches, touches_without)),
                amount: Some(amount),
                ..Row::new("journeys", change.name())
            });
        }
    }
    rows
}

fn columns(rows: &[Row], dimensions: &[String]) -> Result<RecordBatch> {
    let scale = rows.iter().filter_map(|row| row.currency).map(Currency::exponent).max();
    let scale = scale.unwrap_or(2);
    let text = |value: &dyn Fn(&Row) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(value).collect::<StringViewArray>())
    };
    let number = |value: &dyn Fn(&Row) -> Option<u64>| -> ArrayRef {
        Arc::new(rows.iter().map(value).collect::<UInt64Array>())
    };
    let float = |value: &dyn Fn(&Credited, &Credited) -> i128| -> ArrayRef {
        let shares = rows.iter().map(|row| {
            let (with, without) = row.credited.as_ref()?;
            Some(share(value(with, without)))
        });
        Arc::new(shares.collect::<Float64Array>())
    };
    let amount = |value: &dyn Fn(&Row) -> Option<i128>| {
        decimals(rows.iter().map(|row| Some((value(row)?, row.currency?))), scale)
    };
    let of_both = |value: &dyn Fn(&Credited, &Credited) -> i128, row: &Row| {
        row.credited.as_ref().map(|(with, without)| value(with, without))
    };
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("section".into(), text(&|row| Some(row.section.to_owned()))),
        ("name".into(), text(&|row| Some(row.name.clone()))),
        ("user_external_id".into(), text(&|row| row.user.clone())),
        ("other_user_external_id".into(), text(&|row| row.other.clone())),
        ("person".into(), text(&|row| row.person.clone())),
        ("key".into(), text(&|row| row.key.map(str::to_owned))),
        ("key_value".into(), text(&|row| row.key_value.clone())),
        ("model".into(), text(&|row| row.model.clone())),
    ];
    for (at, dimension) in dimensions.iter().enumerate() {
        columns.push((dimension.clone(), text(&|row| row.values.get(at).cloned())));
    }
    columns.extend([
        ("currency".into(), text(&|row| row.currency.map(|code| code.to_string()))),
        ("count".into(), number(&|row| row.count)),
        ("users".into(), number(&|row| row.users)),
        ("persons".into(), number(&|row| row.persons)),
        ("sessions".into(), number(&|row| row.sessions)),
        ("orders".into(), number(&|row| row.orders)),
        ("touches".into(), number(&|row| row.touches.map(|(with, _)| with))),
        ("touches_without".into(), number(&|row| row.touches.map(|(_, without)| without))),
        ("conversions".into(), float(&|with, _| with.conversions)),
        ("conversions_without".into(), float(&|_, without| without.conversions)),
        (
            "conversions_difference".into(),
            float(&|with, without| with.conversions - without.conversions),
        ),
        (
            "amount".into(),
            amount(&|row| row.amount.or_else(|| of_both(&|with, _| with.amount, row)))?,
        ),
        ("amount_without".into(), amount(&|row| of_both(&|_, without| without.amount, row))?),
        (
            "amount_difference".into(),
            amount(&|row| of_both(&|with, without| with.amount - without.amount, row))?,
        ),
    ]);
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}
