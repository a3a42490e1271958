//! Reads tables: each by itself, its rows judged and counted.
//!
//! Not for what is read of a table; that is `needs`.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::StringViewArray;
use rayon::prelude::*;

use super::inputs::Inputs;
use super::lean::everyone::Scans;
use super::{DEFAULT_AMOUNT, Progress, lean, memory, needs};
use crate::config::Config;
use crate::error::{Error, MissingColumn, Result};
use crate::input::{FileRead, Loaded, Needs, Reading, Source};
use crate::journeys::Dimension;
use crate::report::is_own_column;
use crate::schema::{Kind, Table, is_bookkeeping};
use crate::summary::Summary;
use crate::{channels, input, touchpoints};

/// The tables as accepted.
pub type Tables = BTreeMap<Table, Loaded>;

/// Whether what the report is by can be had.
pub(super) fn check(config: &Config, inputs: &Inputs) -> Result<()> {
    if let Some(item) = config.by.iter().find(|dimension| matches!(dimension, Dimension::Item(_)))
        && !inputs.paths.contains_key(&Table::OrderItems)
    {
        return Err(Error::Contradiction(format!(
            "`--by {item}` needs the items of orders; `--order-items PATH` names them"
        )));
    }
    check_dimensions(config, inputs)
}

/// Reads every table that is given, all at once and without judging them together. Touches are scanned where that will do, and read whole where it will not.
pub(super) fn read(
    config: &Config,
    inputs: &Inputs,
    progress: &dyn Progress,
    summary: &mut Summary,
) -> Result<(Scans, Tables)> {
    progress.stage("reading");
    let is_touches = |table: &Table| matches!(table, Table::Sessions | Table::Postviews);
    let (touches, others): (Vec<Table>, Vec<Table>) = Table::ALL.into_iter().partition(is_touches);
    let (scanned, read) = rayon::join(
        || lean::everyone::scan(config, inputs, progress),
        || read_tables(config, inputs, &others, progress),
    );
    let (mut tables, (scans, scanned)) = (read?, scanned?);
    if scans.is_lean() {
        tables.extend(scanned);
    } else {
        memory::check_whole(config, inputs, false)?;
        tables.extend(read_tables(config, inputs, &touches, progress)?);
    }
    let accepted = |(table, loaded): (&Table, &Loaded)| {
        (*table, scans.accepted(*table).unwrap_or_else(|| loaded.rows.num_rows()))
    };
    count_rows(inputs, &tables.iter().map(accepted).collect(), &tables, summary);
    Ok((scans, tables))
}

/// Reads those of some tables that are given, all at once.
pub(super) fn read_tables(
    config: &Config,
    inputs: &Inputs,
    tables: &[Table],
    progress: &dyn Progress,
) -> Result<Tables> {
    let one = |table: &Table| {
        let loaded = read_table(config, inputs, *table, needs(config, *table), progress)?;
        Ok(loaded.map(|loaded| (*table, loaded)))
    };
    let read: Vec<Result<Option<(Table, Loaded)>>> = tables.par_iter().map(one).collect();
    read.into_iter().filter_map(Result::transpose).collect()
}

/// Reads every table that is given, as [`read`] does, and all of them whole.
pub(super) fn read_whole(
    config: &Config,
    inputs: &Inputs,
    progress: &dyn Progress,
    summary: &mut Summary,
) -> Result<Tables> {
    progress.stage("reading");
    let tables = read_tables(config, inputs, &Table::ALL, progress)?;
    let accepted = tables.iter().map(|(table, loaded)| (*table, loaded.rows.num_rows()));
    count_rows(inputs, &accepted.collect(), &tables, summary);
    Ok(tables)
}

/// Tells the summary what was read of every table, and how many rows were accepted.
pub(super) fn count_rows(
    inputs: &Inputs,
    accepted: &BTreeMap<Table, usize>,
    tables: &Tables,
    summary: &mut Summary,
) {
    if let Some(items) = &inputs.items {
        summary.read_items(&items.account);
    }
    for table in Table::ALL {
        if let Some((loaded, accepted)) = tables.get(&table).zip(accepted.get(&table)) {
            summary.read(table, loaded, *accepted);
        }
    }
}

/// Reads one table, if it is given.
pub fn read_table(
    config: &Config,
    inputs: &Inputs,
    table: Table,
    needs: Needs,
    progress: &dyn Progress,
) -> Result<Option<Loaded>> {
    let read = read_numbered(config, inputs, table, needs, (&[], &|_| Vec::new()), progress)?;
    Ok(read.map(|(loaded, _)| loaded))
}

/// What gives numbers to texts.
pub(super) type Number<'a> = &'a (dyn Fn(&StringViewArray) -> Vec<u32> + Sync);

/// Reads one table, if it is given; of some text columns there are only the numbers.
pub(super) fn read_numbered(
    config: &Config,
    inputs: &Inputs,
    table: Table,
    needs: Needs,
    (columns, number): (&[&str], Number<'_>),
    progress: &dyn Progress,
) -> Result<Option<(Loaded, Vec<Vec<u32>>)>> {
    let Some(paths) = inputs.paths.get(&table) else { return Ok(None) };
    let sources = input::find(table, paths)?;
    let reading = reading(config, table, needs)?;
    let rows = |rows| progress.rows(rows);
    let (loaded, numbers) = input::read_numbered(&reading, &sources, columns, number, &rows)?;
    match missing_amount(config, table, &loaded.files) {
        Some(error) => Err(error),
        None => Ok(Some((loaded, numbers))),
    }
}

/// A table of which some files may not be readable.
pub struct Examined {
    /// What the readable files hold; none where there is none.
    pub loaded: Option<Loaded>,
    /// Why the others are not, everything that is wrong with each.
    pub unreadable: Vec<Error>,
}

/// Reads what can be read of a table that is given, and says of the rest why not: an error does
/// not hide the next one.
///
/// # Errors
///
/// Settings that cannot be meant.
pub fn examine_table(
    config: &Config,
    inputs: &Inputs,
    table: Table,
    needs: Needs,
) -> Result<Examined> {
    let reading = reading(config, table, needs)?;
    let mut unreadable = Vec::new();
    let paths = inputs.paths.get(&table).map(Vec::as_slice).unwrap_or_default();
    let sources = input::find(table, paths).unwrap_or_else(|_| {
        let each = paths.iter().map(|path| input::find(table, std::slice::from_ref(path)));
        let (found, missing): (Vec<_>, Vec<_>) = each.partition(Result::is_ok);
        unreadable.extend(missing.into_iter().filter_map(Result::err));
        found.into_iter().flatten().flatten().collect()
    });
    let read = |sources: &[Source]| input::read(&reading, sources, &|_| ());
    let mut readable = Vec::new();
    for source in sources {
        let wrong = input::examine(&reading, &source);
        if wrong.is_empty() {
            readable.push(source);
        }
        unreadable.extend(wrong);
    }
    let mut loaded = read(&readable);
    if loaded.is_err() {
        // What a footer promises the pages need not hold: find out whose do not.
        readable.retain(|source| {
            let error = read(std::slice::from_ref(source)).err();
            let fine = error.is_none();
            unreadable.extend(error);
            fine
        });
        loaded = read(&readable);
    }
    if readable.is_empty() {
        return Ok(Examined { loaded: None, unreadable });
    }
    let loaded = loaded?;
    unreadable.extend(missing_amount(config, table, &loaded.files));
    Ok(Examined { loaded: Some(loaded), unreadable })
}

/// How a table is to be read.
pub(super) fn reading(config: &Config, table: Table, needs: Needs) -> Result<Reading<'_>> {
    let amount = config.amount.as_deref().filter(|_| table == Table::Orders);
    if let Some(column) = amount.and_then(|amount| table.column(amount))
        && column.kind != Kind::Money
    {
        let why = format!("it holds {}, not an amount", column.kind.expected());
        return Err(Error::setting("--amount", column.name, why));
    }
    Ok(Reading {
        table,
        needs,
        mapping: config.mapping(table),
        money: amount.filter(|amount| table.column(amount).is_none()),
        currency: config.currency,
        units: config.units,
        lower: config.lower,
        as_of: config.as_of,
        only: config.only.as_ref(),
        pseudonyms: config.pseudonyms.as_ref(),
    })
}

/// An error if a file of orders does not have the column that amounts are to be taken from.
pub(super) fn missing_amount(config: &Config, table: Table, files: &[FileRead]) -> Option<Error> {
    let amount = config.amount.as_deref().filter(|_| table == Table::Orders)?;
    let file =
        files.iter().find(|file| !file.columns.iter().any(|column| column.name == *amount))?;
    Some(Error::MissingColumn(Box::new(MissingColumn {
        table: table.name(),
        path: file.path.clone(),
        column: amount.to_owned(),
        columns: file.columns.iter().map(|column| column.name.clone()).collect(),
        taken: Vec::new(),
        canonical: DEFAULT_AMOUNT.to_owned(),
    })))
}

/// What the report is by must be a column that there is, or one that there could be.
pub(super) fn check_dimensions(config: &Config, inputs: &Inputs) -> Result<()> {
    let columns = |table: Table| -> Result<BTreeSet<String>> {
        let mut names: BTreeSet<String> =
            table.columns().iter().map(|column| column.name.to_owned()).collect();
        if let Some(paths) = inputs.paths.get(&table) {
            for source in input::find(table, paths)? {
                let file = input::describe(table, &source, config.mapping(table))?;
                let columns = file.columns.into_iter().map(|column| column.name);
                names.extend(columns.filter(|name| !is_bookkeeping(name)));
            }
        }
        Ok(names)
    };
    let of_orders = columns(Table::Orders)?;
    let of_items = columns(Table::OrderItems)?;
    let mut of_touches = columns(Table::Sessions)?;
    of_touches.extend(columns(Table::Postviews)?);
    of_touches.extend(touchpoints::DEVICE_COLUMNS.map(str::to_owned));
    of_touches.extend(touchpoints::LOCAL_COLUMNS.map(str::to_owned));
    of_touches.insert(touchpoints::DOMAIN_TYPE.to_owned());
    of_touches.extend(channels::COLUMNS.map(str::to_owned));
    for dimension in &config.by {
        if is_own_column(&dimension.to_string()) {
            return Err(Error::Contradiction(format!(
                "`{dimension}` is a column of the report itself; `--column sessions.app_{dimension}={dimension}` gives yours another name"
            )));
        }
        let known = match dimension {
            Dimension::Touch(column) => of_touches.contains(column),
            Dimension::Order(column) => of_orders.contains(column),
            Dimension::Item(column) => of_items.contains(column),
            Dimension::Span(_) => true,
        };
        if !known {
            let mut known: Vec<String> = ["none", "day", "week", "month"].map(str::to_owned).into();
            known.extend(of_touches.clone());
            known.extend(of_orders.iter().map(|column| format!("order.{column}")));
            known.extend(of_items.iter().map(|column| format!("item.{column}")));
            return Err(Error::Unknown { kind: "dimension", name: dimension.to_string(), known });
        }
    }
    let of_models = config.models.iter().filter_map(|asked| asked.model.channels());
    if let Some(column) = of_models.into_iter().find(|column| !of_touches.contains(*column)) {
        let (name, known) = (column.to_owned(), of_touches.into_iter().collect());
        return Err(Error::Unknown { kind: "column of touches", name, known });
    }
    Ok(())
}
