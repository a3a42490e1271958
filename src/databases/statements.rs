//! The SQL that every database is asked in, and what of a table a run replaces.

use chrono::NaiveDate;

use super::columns::Column;
use super::{Engine, LoadTable, Replace, Target};
use crate::calendar::format_micros;

/// The first day that a row of the report covers.
pub(super) const FROM: &str = "period_from";
/// The last day that a row of the report covers.
pub(super) const TO: &str = "period_to";

/// A name as SQL writes it.
pub(super) fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL writes it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The names of columns, as SQL writes them.
pub(super) fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| name(&column.name)).collect::<Vec<_>>().join(", ")
}

/// Makes a table, with an index on what its rows are replaced and mostly looked for by. DuckDB keeps
/// the least and greatest value of every column of every part of a table, and needs none.
pub(super) fn create(
    table: &str,
    target: &Target,
    of: LoadTable,
    columns: &[Column],
) -> Vec<String> {
    let columns: Vec<String> = columns
        .iter()
        .map(|column| format!("{} {}", name(&column.name), column.sql_type))
        .collect();
    let mut statements = vec![format!("create table {table} ({})", columns.join(", "))];
    let by = match of {
        LoadTable::Report => format!("{FROM}, {TO}, model"),
        LoadTable::Credits => "order_at, model".to_owned(),
    };
    let index = name(&format!("{}_period", target.database.table(of)));
    if target.database.engine != Engine::DuckDb {
        statements.push(format!("create index {index} on {table} ({by})"));
    }
    statements
}

/// Which rows a run replaces.
pub(super) fn replaced(target: &Target, of: LoadTable) -> String {
    if target.database.replace == Replace::All {
        return "1 = 1".to_owned();
    }
    let covered = match of {
        LoadTable::Report => within(target.days, target.database.engine),
        LoadTable::Credits => ordered_within(target.period, target.database.engine),
    };
    let mut conditions = vec![of_models(target)];
    conditions.extend(covered);
    conditions.join(" and ")
}

/// Which rows of the report a run covers in part, so that it can neither replace them nor stand
/// beside them.
pub(super) fn covered_in_part(target: &Target) -> String {
    let (from, to) = target.days;
    let engine = target.database.engine;
    let mut conditions = vec![of_models(target)];
    conditions.extend(from.map(|from| format!("({TO} is null or {TO} >= {})", day(from, engine))));
    conditions.extend(to.map(|to| format!("({FROM} is null or {FROM} <= {})", day(to, engine))));
    let within = within(target.days, engine);
    conditions.push(match &within[..] {
        [] => "1 = 0".to_owned(),
        within => format!("not ({})", within.join(" and ")),
    });
    conditions.join(" and ")
}

fn of_models(target: &Target) -> String {
    let models: Vec<String> = target.models.iter().map(|model| literal(model)).collect();
    format!("model in ({})", models.join(", "))
}

/// Conditions of rows that lie in some days altogether; none where these are all.
fn within((from, to): (Option<NaiveDate>, Option<NaiveDate>), engine: Engine) -> Vec<String> {
    let from = from.map(|from| format!("({FROM} is not null and {FROM} >= {})", day(from, engine)));
    let to = to.map(|to| format!("({TO} is not null and {TO} <= {})", day(to, engine)));
    from.into_iter().chain(to).collect()
}

fn ordered_within((start, end): (i64, i64), engine: Engine) -> Vec<String> {
    let instant = |at: i64| match engine {
        Engine::Sqlite => literal(&format_micros(at)),
        Engine::Postgres | Engine::DuckDb => format!("timestamptz {}", literal(&format_micros(at))),
    };
    let start = (start != i64::MIN).then(|| format!("order_at >= {}", instant(start)));
    let end = (end != i64::MAX).then(|| format!("order_at < {}", instant(end)));
    start.into_iter().chain(end).collect()
}

fn day(day: NaiveDate, engine: Engine) -> String {
    let text = literal(&day.to_string());
    if engine == Engine::Sqlite { text } else { format!("date {text}") }
}
