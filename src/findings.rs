//! What an export says that a run would take, and that is likely not meant: over whole tables, and
//! from one table to another.
//!
//! A problem changes an answer without a word; a note is worth knowing, and has good reasons too.
//! Not for rows that break a rule (`validate`), nor for what cannot be read (`error`).

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray, make_comparator};
use arrow::compute::{SortOptions, max, min};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};

use crate::calendar::{day_of, format_instant};
use crate::config::Config;
use crate::error::Result;
use crate::identity::{Identity, Outcome};
use crate::ids::{group_rows, same_texts};
use crate::input::Loaded;
use crate::journeys::{MissingRate, Rates};
use crate::merge::{external_ids, field_times};
use crate::money::Currency;
use crate::output::{counted, thousands};
use crate::pipeline::{DEFAULT_AMOUNT, People, Tables};
use crate::schema::{Kind, Origin, Table, is_bookkeeping};
use crate::touchpoints::{DEVICE_COLUMNS, with_origin};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It changes an answer without a word.
    Problem,
    /// It is worth knowing.
    Note,
}

/// Something about an export that is likely not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub weight: Weight,
    /// The table.
    pub table: Table,
    /// What is found, with the file, column or ids.
    pub what: String,
    /// What would be right.
    pub right: String,
}

/// Everything that is found in tables as accepted, problems first, then in the order of tables.
pub fn findings(config: &Config, tables: &Tables, people: &People) -> Result<Vec<Finding>> {
    let mut found = Found { findings: Vec::new(), table: Table::Sessions };
    for (table, loaded) in tables {
        found.table = *table;
        columns(&mut found, loaded);
        types(&mut found, config, loaded);
        empty_columns(&mut found, loaded);
        versions(&mut found, loaded, people)?;
    }
    aliases(&mut found, &people.identity);
    references(&mut found, tables)?;
    amounts(&mut found, config, tables);
    times(&mut found, config, tables);
    let mut findings = found.findings;
    findings.sort_by_key(|finding| (finding.weight, finding.table));
    Ok(findings)
}

/// The findings so far, and the table that is looked at.
struct Found {
    findings: Vec<Finding>,
    table: Table,
}

impl Found {
    fn add(&mut self, weight: Weight, what: String, right: impl Into<String>) {
        self.findings.push(Finding { weight, table: self.table, what, right: right.into() });
    }

    fn problem(&mut self, what: String, right: impl Into<String>) {
        self.add(Weight::Problem, what, right);
    }

    fn note(&mut self, what: String, right: impl Into<String>) {
        self.add(Weight::Note, what, right);
    }
}

/// Columns that are not known, and those of them that are likely misspelt.
fn columns(found: &mut Found, loaded: &Loaded) {
    let table = found.table;
    let mut unknown: BTreeSet<&str> = BTreeSet::new();
    let mut misspelt: BTreeMap<(&str, &str), String> = BTreeMap::new();
    for file in &loaded.files {
        let there: BTreeSet<&str> =
            file.columns.iter().map(|column| column.name.as_str()).collect();
        for column in &file.columns {
            let own = matches!(column.origin, Origin::File(_)) && !column.name.starts_with("app_");
            // A session may say of its device what devices say.
            let of_device = DEVICE_COLUMNS.contains(&column.name.as_str())
                && matches!(table, Table::Sessions | Table::Postviews);
            if column.kind != Kind::Any || !own || of_device {
                continue;
            }
            let absent = table.columns().iter().map(|known| known.name);
            let absent = absent.filter(|name| !there.contains(name));
            match absent.min_by_key(|name| faults(&column.name, name)) {
                Some(near) if faults(&column.name, near) <= near.len() / LETTERS_A_FAULT => {
                    let file = file.path.display().to_string();
                    misspelt.entry((&column.name, near)).or_insert(file);
                }
                _ => {
                    unknown.insert(&column.name);
                }
            }
        }
    }
    for ((name, near), file) in misspelt {
        found.problem(
            format!("column `{name}` of `{file}` is not known and `{near}` is not there"),
            format!("if it is that one, `--column {table}.{near}={name}` takes it"),
        );
    }
    if !unknown.is_empty() {
        let names: Vec<String> = unknown.iter().map(|name| format!("`{name}`")).collect();
        let what = if names.len() == 1 { "a column is" } else { "columns are" };
        found.note(
            format!("{what} not known: {}", names.join(", ")),
            format!("dimensions of your own; `--column {table}.NAME=THIS` takes one for another"),
        );
    }
}

/// So many letters of a column's name may be one wrong one.
const LETTERS_A_FAULT: usize = 4;

/// In how many letters two names of columns differ, whatever their case and signs.
fn faults(left: &str, right: &str) -> usize {
    let bare = |name: &str| name.to_lowercase().replace(['_', '-', ' ', '.'], "");
    strsim::osa_distance(&bare(left), &bare(right))
}

/// Files of one table that disagree in what a column is.
fn types(found: &mut Found, config: &Config, loaded: &Loaded) {
    let mut by_column: BTreeMap<&str, (Kind, BTreeMap<String, String>)> = BTreeMap::new();
    for file in &loaded.files {
        for column in &file.columns {
            let of_column = by_column.entry(&column.name).or_insert((column.kind, BTreeMap::new()));
            let example = format!("{} in `{}`", column.data_type, file.path.display());
            of_column.1.entry(family(&column.data_type)).or_insert(example);
        }
    }
    for (name, (kind, families)) in by_column.iter().filter(|(_, (_, families))| families.len() > 1)
    {
        let examples: Vec<&str> = families.values().map(String::as_str).collect();
        let what = format!("column `{name}` is {}", examples.join(", and "));
        let mixed = families.contains_key("integer") && *kind == Kind::Money;
        if mixed && config.units.is_none() {
            let right = "integers are read as minor units (cents), others as major ones: write one type, or say `--units`";
            found.problem(what, right);
        } else {
            found.note(what, "both are read; one type in every file leaves no doubt");
        }
    }
    let name_sets: BTreeSet<Vec<&str>> = loaded
        .files
        .iter()
        .map(|file| {
            let known = file.columns.iter().filter(|column| column.kind != Kind::Any);
            known.map(|column| column.name.as_str()).collect()
        })
        .collect();
    let all: BTreeSet<&str> = name_sets.iter().flatten().copied().collect();
    let partly: Vec<String> = all
        .into_iter()
        .filter(|name| !is_bookkeeping(name))
        .filter(|name| name_sets.iter().any(|names| !names.contains(name)))
        .map(|name| format!("`{name}`"))
        .collect();
    if !partly.is_empty() {
        let what = format!("only some files have {}", partly.join(", "));
        found.note(what, "rows of the other files are without a value");
    }
}

/// What a physical type is, whatever its width.
fn family(data_type: &DataType) -> String {
    match data_type {
        DataType::Dictionary(_, values) => family(values),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => "time".to_owned(),
        DataType::Struct(_) | DataType::List(_) | DataType::LargeList(_) => "nested".to_owned(),
        other if other.is_integer() => "integer".to_owned(),
        other if other.is_numeric() => "number".to_owned(),
        other => other.to_string(),
    }
}

/// Columns without any value: a required one rejects every row, another says nothing.
fn empty_columns(found: &mut Found, loaded: &Loaded) {
    for file in loaded.files.iter().filter(|file| file.rows > 0) {
        let of_file = loaded
            .rejects
            .iter()
            .filter(|reject| reject.place.as_ref().is_some_and(|(path, _)| *path == file.path));
        let messages: Vec<&str> = of_file.map(|reject| reject.message.as_str()).collect();
        if messages.len() as u64 != file.rows {
            continue;
        }
        let required = found.table.columns().iter().filter(|column| column.required);
        for column in required {
            let missing = format!("`{}` is missing", column.name);
            if messages.iter().all(|message| *message == missing) {
                found.problem(
                    format!(
                        "column `{}` of `{}` is empty in every row",
                        column.name,
                        file.path.display()
                    ),
                    format!(
                        "every row needs it; `--column {}.{}=NAME` takes it from another column",
                        found.table, column.name
                    ),
                );
            }
        }
    }
    let rows = &loaded.rows;
    let empty: Vec<String> = rows
        .schema()
        .fields()
        .iter()
        .zip(rows.columns())
        .filter(|(_, column)| rows.num_rows() > 0 && column.null_count() == rows.num_rows())
        .filter(|(field, _)| {
            let name = field.name();
            !is_bookkeeping(name)
                && loaded
                    .files
                    .iter()
                    .any(|file| file.columns.iter().any(|column| column.name == *name))
        })
        .map(|(field, _)| format!("`{}`", field.name()))
        .collect();
    if !empty.is_empty() {
        found.note(
            format!("without a value in any row: {}", empty.join(", ")),
            "leave it out, or fill it",
        );
    }
}

/// Rows with the same id: versions, versions of one time that disagree, ids under two persons.
fn versions(found: &mut Found, loaded: &Loaded, people: &People) -> Result<()> {
    let rows = &loaded.rows;
    let has_ids = rows.column_by_name("external_id").is_some();
    let Some((keys, things)) = has_ids.then(|| same_texts(external_ids(rows))).flatten() else {
        return Ok(());
    };
    let ids = external_ids(rows);
    let times = field_times(rows);
    let (order, starts) = group_rows(&keys, things);
    let persons = people.users.get(&found.table).filter(|_| found.table != Table::Users);
    let person =
        |row: u32| persons.map(|users| people.identity.person[users[row as usize] as usize]);
    let compared: Vec<(String, &ArrayRef)> = rows
        .schema()
        .fields()
        .iter()
        .zip(rows.columns())
        .filter(|(field, _)| {
            let name = field.name().as_str();
            !is_bookkeeping(name) && !["created_at", "user_external_id"].contains(&name)
        })
        .map(|(field, column)| (field.name().clone(), column))
        .collect();
    let comparators = compared
        .iter()
        .map(|(_, column)| Ok(make_comparator(*column, *column, SortOptions::default())?))
        .collect::<Result<Vec<_>>>()?;
    let (mut shared, mut disagreeing, mut columns) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for thing in 0..things {
        let of_thing = &order[starts[thing] as usize..starts[thing + 1] as usize];
        let Some((first, others)) = of_thing.split_first().filter(|(_, others)| !others.is_empty())
        else {
            continue;
        };
        let id = ids.value(*first as usize);
        if others.iter().any(|row| person(*row) != person(*first)) {
            shared.insert(id);
        }
        for ((name, column), compare) in compared.iter().zip(&comparators) {
            let mut seen: BTreeMap<Option<i64>, usize> = BTreeMap::new();
            for row in of_thing.iter().map(|row| *row as usize) {
                if column.is_valid(row) {
                    let known = *seen.entry(times[row]).or_insert(row);
                    if compare(known, row).is_ne() {
                        disagreeing.insert(id);
                        columns.insert(name.as_str());
                    }
                }
            }
        }
    }
    let table = found.table;
    if let Some(id) = shared.first() {
        found.problem(
            format!(
                "{} under two persons, such as `{id}`",
                counted(shared.len(), "id occurs", "ids occur")
            ),
            "one row, one person: the latest row holds; an alias would make the two one",
        );
    }
    if let Some(id) = disagreeing.first() {
        let columns: Vec<String> = columns.iter().map(|name| format!("`{name}`")).collect();
        found.problem(
            format!(
                "rows of {} disagree at the same time, such as `{id}`, in {}",
                counted(disagreeing.len(), "id", "ids"),
                columns.join(", ")
            ),
            "give `updated_at`, so that the latest holds; now the greatest value does",
        );
    }
    let again = rows.num_rows() - things;
    found.note(
        format!(
            "{} an id that came before",
            counted(again, "row of the table has", "rows of the table have")
        ),
        format!(
            "they are merged, field by field; if {table} should be one row each, export them once"
        ),
    );
    Ok(())
}

/// Aliases that do not hold; reconciliation keys that join nobody.
fn aliases(found: &mut Found, identity: &Identity) {
    found.table = Table::UserAliases;
    let account = &identity.account;
    let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let name = |user: u32| identity.users.name(user);
    // The smallest of those that are known by name, so that every run names the same.
    let such_as = |examples: &mut dyn Iterator<Item = String>| {
        examples.min().map_or_else(String::new, |example| format!(", such as {example}"))
    };
    let of_outcome = |wanted: Outcome| {
        let users = (0_u32..).zip(&identity.outcomes);
        let of_outcome = users.filter(|(_, outcome)| **outcome == wanted);
        such_as(&mut of_outcome.map(|(user, _)| format!("`{}`", name(user))))
    };
    let of_pairs = |pairs: &[(u32, u32)]| {
        let pairs = pairs.iter();
        such_as(&mut pairs.map(|(from, to)| format!("`{}` to `{}`", name(*from), name(*to))))
    };
    if account.alias_cycles > 0 {
        let cycles = counted(number(account.alias_cycles), "cycle", "cycles");
        found.problem(
            format!("aliases lead back in {cycles}{}", of_outcome(Outcome::Cycle)),
            "an alias leads from a former id to the one that is kept",
        );
    }
    if account.authenticated_conflicts > 0 {
        let both = "alias is refused because both ends are authenticated";
        let several = "aliases are refused because both ends are authenticated";
        let what = counted(number(account.authenticated_conflicts), both, several);
        found.problem(
            format!("{what}{}", of_pairs(&identity.aliases.refused)),
            "a login is one person; `--merge-authenticated` joins them all the same",
        );
    }
    if account.alias_conflicts > 0 {
        let one = "alias loses to an earlier one of the same user";
        let several = "aliases lose to an earlier one of the same user";
        let what = counted(number(account.alias_conflicts), one, several);
        found.problem(
            format!("{what}{}", of_pairs(&identity.aliases.lost)),
            "one id leads to one other; the earliest holds",
        );
    }
    if account.alias_self > 0 {
        let one = "alias leads from a user to itself";
        let what = counted(number(account.alias_self), one, "aliases lead from a user to itself");
        found.note(
            format!("{what}{}", of_outcome(Outcome::SelfAlias)),
            "it says nothing and is ignored",
        );
    }
    if account.key_conflicts > 0 {
        found.table = Table::Users;
        let one = "person is not joined by a reconciliation key";
        let several = "persons are not joined by a reconciliation key";
        found.note(
            counted(number(account.key_conflicts), one, several),
            "both are authenticated, and two logins stay two persons",
        );
    }
}

/// The texts of a column that are there.
fn texts<'a>(rows: &'a RecordBatch, column: &str) -> Vec<&'a str> {
    let texts: Option<&StringViewArray> =
        rows.column_by_name(column).and_then(|column| column.as_string_view_opt());
    texts.map(|texts| texts.iter().flatten().collect()).unwrap_or_default()
}

/// References from one table to another that lead nowhere. An export of a period cuts some at its
/// edges, which is a note; if none leads anywhere, the two tables do not speak of the same ids.
fn references(found: &mut Found, tables: &Tables) -> Result<()> {
    for (table, column, to) in [
        (Table::OrderItems, "order_external_id", Table::Orders),
        (Table::Orders, "session_external_id", Table::Sessions),
        (Table::Sessions, "device_external_id", Table::Devices),
        (Table::Postviews, "device_external_id", Table::Devices),
    ] {
        let (Some(from), Some(there)) = (tables.get(&table), tables.get(&to)) else { continue };
        let there: BTreeSet<&str> = texts(&there.rows, "external_id").into_iter().collect();
        let named = texts(&from.rows, column);
        let nowhere: Vec<&str> = named.iter().copied().filter(|id| !there.contains(id)).collect();
        found.table = table;
        found.lead_nowhere(&nowhere, named.len(), column, &format!("is no row of {to}"));
    }
    let (Some(spend), Some(sessions)) = (tables.get(&Table::Spend), tables.get(&Table::Sessions))
    else {
        return Ok(());
    };
    let pairs = |rows: &RecordBatch| -> Vec<String> {
        let (sources, mediums) = (texts(rows, "utm_source"), texts(rows, "utm_medium"));
        sources.iter().zip(mediums).map(|(source, medium)| format!("{source} / {medium}")).collect()
    };
    let there: BTreeSet<String> = pairs(&with_origin(&sessions.rows)?).into_iter().collect();
    let named = pairs(&spend.rows);
    let nowhere: Vec<&str> =
        named.iter().filter(|pair| !there.contains(*pair)).map(String::as_str).collect();
    found.table = Table::Spend;
    found.lead_nowhere(&nowhere, named.len(), "utm_source / utm_medium", "no session has");
    Ok(())
}

impl Found {
    fn lead_nowhere(&mut self, nowhere: &[&str], named: usize, column: &str, why: &str) {
        let Some(example) = nowhere.iter().min() else { return };
        let what = format!(
            "`{column}` of {} {why}, such as `{example}`",
            counted(nowhere.len(), "row", "rows")
        );
        if nowhere.len() == named {
            self.problem(what, "not one leads anywhere: compare how both tables spell it");
        } else {
            self.note(what, "an export of a period cuts some at its edges; more means spelling");
        }
    }
}

/// Orders without a column of amounts, in several currencies, or in one without a rate.
fn amounts(found: &mut Found, config: &Config, tables: &Tables) {
    let Some(orders) = tables.get(&Table::Orders) else { return };
    found.table = Table::Orders;
    if config.amount.is_none() && orders.rows.column_by_name(DEFAULT_AMOUNT).is_none() {
        found.note(
            format!("there is no column `{DEFAULT_AMOUNT}`: every amount is zero"),
            "`--amount COLUMN` names another; conversions without an amount are fine",
        );
    } else if let Some(amounts) = orders.rows.column_by_name(DEFAULT_AMOUNT)
        && let Some(amounts) = amounts.as_primitive_opt::<Int64Type>()
        && !amounts.is_empty()
        && amounts.iter().flatten().all(|amount| amount == 0)
    {
        found.note("every amount is zero".to_owned(), "`--amount COLUMN` names another column");
    }
    let rows = &orders.rows;
    let codes = rows.column_by_name("currency").map(|codes| codes.as_string_view());
    let at = rows.column_by_name("created_at");
    let at = at.map(|at| at.as_primitive::<TimestampMicrosecondType>());
    let currency = |row: usize| -> Currency {
        let code = codes.filter(|codes| codes.is_valid(row)).map(|codes| codes.value(row));
        code.and_then(|code| code.parse().ok()).unwrap_or(config.currency)
    };
    let Some(rates) = tables.get(&Table::ExchangeRates) else {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for row in 0..rows.num_rows() {
            *counts.entry(currency(row).to_string()).or_default() += 1;
        }
        if counts.len() > 1 {
            let counts = counts
                .into_iter()
                .map(|(code, count)| format!("{} in {code}", thousands(&count.to_string())));
            found.note(
                format!(
                    "rows are in several currencies: {}",
                    counts.collect::<Vec<_>>().join(", ")
                ),
                "each has a result of its own; `--exchange-rates` makes them one",
            );
        }
        return;
    };
    let rates = Rates::new(&rates.rows);
    let ids = external_ids(rows);
    let without: BTreeSet<(&str, String)> = (0..rows.num_rows())
        .filter_map(|row| {
            let (currency, at) = (currency(row), at?.value(row));
            let day = day_of(at, config.zone);
            let missing = currency != config.currency && rates.on(currency, day).is_none();
            missing.then(|| (ids.value(row), format!("{currency} on {day}")))
        })
        .collect();
    if let Some((id, when)) = without.first() {
        let fails = config.missing_rate == MissingRate::Fail;
        found.add(
            if fails { Weight::Problem } else { Weight::Note },
            format!(
                "{} no exchange rate on or before its day (`missing_rate`), such as `{id}`: {when}",
                counted(without.len(), "order has", "orders have")
            ),
            "give an earlier rate, or `--missing-rate reject` or `keep`",
        );
    }
}

/// Sessions and orders that cannot meet because of when they were.
fn times(found: &mut Found, config: &Config, tables: &Tables) {
    let (Some(sessions), Some(orders)) = (tables.get(&Table::Sessions), tables.get(&Table::Orders))
    else {
        return;
    };
    let of = |loaded: &Loaded| {
        let at = loaded
            .rows
            .column_by_name("created_at")
            .map(|at| at.as_primitive::<TimestampMicrosecondType>().clone());
        at.and_then(|at| Some((min(&at)?, max(&at)?, at)))
    };
    let (Some((first, last, at)), Some((first_order, last_order, orders_at))) =
        (of(sessions), of(orders))
    else {
        return;
    };
    found.table = Table::Sessions;
    let after = at.iter().flatten().filter(|at| *at > last_order).count();
    if after > 0 {
        let what = format!(
            "{} after the last order, {}",
            counted(after, "row is", "rows are"),
            format_instant(last_order)
        );
        if first > last_order {
            found.problem(what, "no order can have a session: compare clocks and periods");
        } else {
            found.note(what, "they lead to no order of this export");
        }
    }
    found.table = Table::Orders;
    if let Some(lookback) = config.window.lookback {
        let reached = last.saturating_add(lookback);
        let late = orders_at.iter().flatten().filter(|at| *at > reached).count();
        let what = format!(
            "{} further from the last session, {}, than `--lookback` reaches",
            counted(late, "row is", "rows are"),
            format_instant(last)
        );
        let right = "they are unattributed; give the sessions of the orders' period";
        if 2 * late > orders_at.len() {
            found.problem(what, right);
        } else if late > 0 {
            found.note(what, right);
        }
    }
    let before = orders_at.iter().flatten().filter(|at| *at < first).count();
    if before > 0 && first <= last_order {
        found.note(
            format!(
                "{} before the first session, {} (the first at {})",
                counted(before, "row is", "rows are"),
                format_instant(first),
                format_instant(first_order)
            ),
            "they are unattributed; give sessions from a lookback before",
        );
    }
}
