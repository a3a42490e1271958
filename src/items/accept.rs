//! The raw rows of a chunk of lines to accepted rows: the same decoding and the same rules as for
//! Parquet, over columns that are built from the lines.
//!
//! A line is accepted whole or not at all: where one of its rows breaks a rule, none of them is
//! taken.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, RecordBatch, StringViewArray};
use arrow::compute::kernels::cast_utils::parse_decimal;
use arrow::datatypes::{
    Decimal128Type, Field as Column, Float64Type, Schema, TimestampMicrosecondType,
};
use rayon::prelude::*;

use super::Meaning;
use super::lines::Line;
use super::narrow;
use super::parse::{Field, RawRow, parse, shown};
use super::row::{Cell, Item, Name, Row, Value};
use super::tables::{MONEY_DECIMALS, MONEY_DIGITS, MOST_COLUMNS, too_many_columns};
use crate::calendar::EARLIEST;
use crate::error::Result;
use crate::input::{Amounts, Decoded, decode};
use crate::merge::{Holds, holds};
use crate::money::{Currency, Units};
use crate::schema::{ITEMS_AT, Kind, Table};
use crate::validate::{BadValue, Judge, Reject, Rule, judge};

/// What became of a chunk of lines.
pub(super) struct Accepted {
    /// How many lines were accepted.
    pub(super) lines: u64,
    /// The rows of the accepted lines.
    pub(super) rows: Vec<Row>,
    /// The lines that were not, by their numbers.
    pub(super) rejects: Vec<Reject>,
    /// How many accepted rows were repaired.
    pub(super) repaired: u64,
}

/// A raw row with its line and its place in it.
type Placed<'a> = (usize, usize, &'a RawRow);

/// Parses, decodes and judges the lines of a file.
pub(super) fn accept(meaning: &Meaning, path: &Path, lines: &[Line]) -> Result<Accepted> {
    let parsed: Vec<Result<Vec<RawRow>, String>> = lines
        .par_iter()
        .map(|line| match &line.text {
            Some(text) => parse(text),
            None => Err("it is longer than 16 MiB".to_owned()),
        })
        .collect();
    // The first thing that is wrong with each line, by the place of the row in it.
    let mut wrong: BTreeMap<usize, (usize, Reject)> = BTreeMap::new();
    let mut raw: BTreeMap<Table, Vec<Placed<'_>>> = BTreeMap::new();
    for (line, rows) in parsed.iter().enumerate() {
        match rows {
            Ok(rows) => {
                for (place, row) in rows.iter().enumerate() {
                    raw.entry(row.table).or_default().push((line, place, row));
                }
            }
            Err(message) => {
                let reject = Reject {
                    table: Table::Items,
                    place: None,
                    external_id: None,
                    rule: Rule::BadItem,
                    message: message.clone(),
                };
                wrong.insert(line, (0, reject));
            }
        }
    }
    let tables: Vec<(Table, Vec<Placed<'_>>)> = raw.into_iter().collect();
    let judged: Vec<Judged> = tables
        .par_iter()
        .map(|(table, rows)| {
            let rows: Vec<&RawRow> = rows.iter().map(|(_, _, row)| *row).collect();
            judge_rows(meaning, *table, &rows)
        })
        .collect::<Result<_>>()?;
    let mut made: BTreeMap<(usize, usize), (Row, bool)> = BTreeMap::new();
    for ((_, rows), judged) in tables.iter().zip(judged) {
        for (row, reject) in judged.rejects {
            let (line, place, _) = rows[row];
            if wrong.get(&line).is_none_or(|(known, _)| place < *known) {
                wrong.insert(line, (place, reject));
            }
        }
        for ((line, place, _), row) in rows.iter().zip(judged.rows) {
            made.insert((*line, *place), row);
        }
    }
    let good = (0..lines.len()).filter(|line| !wrong.contains_key(line)).count() as u64;
    let mut accepted = Accepted { lines: good, rows: Vec::new(), rejects: Vec::new(), repaired: 0 };
    let mut orders: BTreeMap<usize, usize> = BTreeMap::new();
    for ((line, place), (row, repaired)) in made {
        if wrong.contains_key(&line) {
            continue;
        }
        accepted.repaired += u64::from(repaired);
        if row.table == Table::OrderItems {
            if let Some(order) = orders.get(&line) {
                add_item(&mut accepted.rows[*order], row);
            }
            continue;
        }
        let has_items = parsed[line].as_ref().is_ok_and(|rows| rows[place].has_items);
        let mut row = row;
        if has_items {
            orders.insert(line, accepted.rows.len());
            let empty = Cell { at: row.at(), value: Some(Value::Items(Vec::new())) };
            row.cells.insert(ITEMS_AT.into(), empty);
        }
        accepted.rows.push(row);
    }
    for row in &mut accepted.rows {
        if let Some(Cell { value: Some(Value::Items(items)), .. }) = row.cells.get_mut(ITEMS_AT) {
            sort_items(items);
        }
    }
    accepted.rejects = wrong
        .into_iter()
        .map(|(line, (_, reject))| Reject {
            place: Some((path.to_path_buf(), lines[line].number)),
            ..reject
        })
        .collect();
    Ok(accepted)
}

/// Puts an item into the set of its order. An item is as old as its order, whatever it says.
fn add_item(order: &mut Row, item: Row) {
    let Some(Cell { value: Some(Value::Items(items)), .. }) = order.cells.get_mut(ITEMS_AT) else {
        return;
    };
    let of_order = ["order_external_id", "created_at", "updated_at"];
    let cells = item.cells.into_iter().filter(|(name, _)| !of_order.contains(&&**name));
    items.push(cells.filter_map(|(name, cell)| Some((name, cell.value?))).collect());
}

/// The order of a set of items: by id, then by all else.
pub(super) fn sort_items(items: &mut [Item]) {
    items.sort_by(|left, right| {
        let id = |item: &Item| item.get("external_id").cloned();
        id(left).cmp(&id(right)).then_with(|| left.cmp(right))
    });
}

/// What became of the raw rows of one table.
struct Judged {
    /// Every row, whether it is accepted or not, and whether it was repaired.
    rows: Vec<(Row, bool)>,
    /// The rows that are not, by their position.
    rejects: Vec<(usize, Reject)>,
}

fn judge_rows(meaning: &Meaning, table: Table, raw: &[&RawRow]) -> Result<Judged> {
    let mut names: BTreeSet<&str> =
        raw.iter().flat_map(|row| row.fields.keys()).map(String::as_str).collect();
    names.extend(table.columns().iter().filter(|column| column.required).map(|column| column.name));
    // Every column is as long as the chunk, whatever few lines have it.
    if let Some(name) = names.iter().nth(MOST_COLUMNS) {
        return Err(too_many_columns(table, name));
    }
    // Who is authenticated signed up, known or not.
    for prefix in ["", "user_"] {
        let signed_up = table.column(&format!("{prefix}signed_up_at"));
        if names.contains(format!("{prefix}is_authenticated").as_str()) {
            names.extend(signed_up.map(|column| column.name));
        }
    }
    let mut bad = Vec::new();
    let mut columns: Vec<(&str, ArrayRef)> = Vec::new();
    let mut amounts: BTreeMap<&str, Decimal128Array> = BTreeMap::new();
    // Amounts are read in the row's currency, so money comes last.
    let (money, others): (Vec<&str>, Vec<&str>) =
        names.iter().partition(|name| table.kind_of(name) == Kind::Money);
    for name in others.into_iter().chain(money) {
        let kind = table.kind_of(name);
        let fields: Vec<Option<&Field>> = raw.iter().map(|row| row.fields.get(name)).collect();
        let currency = columns
            .iter()
            .find(|(known, _)| *known == "currency")
            .map(|(_, codes)| codes.as_string_view().clone());
        let read = Amounts { currency: currency.as_ref(), default: meaning.currency, units: None };
        let mut of_column = Vec::new();
        let array: ArrayRef = if kind == Kind::Money {
            let exponents = exponents(meaning, currency.as_ref(), raw.len());
            let decimals = decimals(&fields, &exponents, &mut of_column);
            amounts.insert(name, decimals.clone());
            Arc::new(decimals)
        } else {
            Arc::new(texts(name, kind, &fields, &mut of_column))
        };
        if let Some(Decoded { array, bad }) = decode(&array, kind, false, true, &read) {
            of_column.extend(bad);
            columns.push((name, array));
        }
        let of_column = of_column.into_iter();
        bad.extend(of_column.map(|(row, rule, message)| BadValue {
            row,
            column: name.to_owned(),
            rule,
            message,
        }));
    }
    let schema =
        columns.iter().map(|(name, array)| Column::new(*name, array.data_type().clone(), true));
    let schema = Arc::new(Schema::new(schema.collect::<Vec<_>>()));
    let arrays = columns.iter().map(|(_, array)| Arc::clone(array)).collect();
    let decoded = RecordBatch::try_new(schema, arrays)?;
    let before = decoded.clone();
    let context = Judge { table, file: Path::new(""), first_row: 0, as_of: meaning.as_of };
    let verdict = judge(&context, decoded, bad)?;
    let rejects = verdict
        .rejects
        .into_iter()
        .filter_map(|reject| {
            let row = reject.place.as_ref()?.1 - 1;
            Some((usize::try_from(row).ok()?, reject))
        })
        .collect();
    let columns: Vec<Filled<'_>> = verdict
        .rows
        .schema_ref()
        .fields()
        .iter()
        .zip(verdict.rows.columns())
        .map(|(field, array)| Filled {
            name: Name::from(field.name().as_str()),
            kind: table.kind_of(field.name()),
            array,
            amounts: amounts.get(field.name().as_str()),
            clears: table.column(field.name()).is_none_or(|column| !column.required)
                && holds(field.name()) == Holds::Latest
                && field.name() != "updated_at",
            repaired_from: before.column_by_name(field.name()),
        })
        .collect();
    let rows = raw.iter().enumerate().map(|(row, raw)| filled(table, &columns, row, raw));
    Ok(Judged { rows: rows.collect(), rejects })
}

/// A decoded column, and what is done with it.
struct Filled<'a> {
    name: Name,
    kind: Kind,
    array: &'a ArrayRef,
    /// The exact amounts, where it holds some.
    amounts: Option<&'a Decimal128Array>,
    /// Whether a null clears it.
    clears: bool,
    repaired_from: Option<&'a ArrayRef>,
}

/// A row of the decoded columns, and whether it was repaired.
fn filled(table: Table, columns: &[Filled<'_>], row: usize, raw: &RawRow) -> (Row, bool) {
    let at = raw.at.unwrap_or(EARLIEST);
    let mut repaired = false;
    let mut cells = BTreeMap::new();
    for column in columns {
        let value = match column.amounts {
            Some(amounts) => amounts.is_valid(row).then(|| Value::Money(amounts.value(row))),
            None => value(column.kind, column.array, row),
        };
        repaired |= value.is_some() && column.repaired_from.is_some_and(|array| array.is_null(row));
        let null = match raw.fields.get(&*column.name) {
            Some(Field::Null) => true,
            // An order without codes is one whose codes were taken away.
            Some(Field::Nested(list)) => list == "[]" && column.kind == Kind::Texts,
            _ => false,
        };
        if value.is_some() || (null && column.clears) {
            cells.insert(Name::clone(&column.name), Cell { at, value });
        }
    }
    (Row { table, cells }, repaired)
}

/// A value of a canonical array.
pub(super) fn value(kind: Kind, array: &ArrayRef, row: usize) -> Option<Value> {
    if array.is_null(row) {
        return None;
    }
    Some(match kind {
        Kind::Time => Value::Time(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        Kind::Flag => Value::Flag(array.as_boolean().value(row)),
        Kind::Number => Value::Number(array.as_primitive::<Float64Type>().value(row)),
        Kind::Money | Kind::Day => return None,
        Kind::Id | Kind::Text | Kind::Texts | Kind::Any => {
            Value::Text(array.as_string_view().value(row).to_owned())
        }
    })
}

/// How many decimals the minor unit of each row stands for, where amounts are given in it.
fn exponents(meaning: &Meaning, codes: Option<&StringViewArray>, rows: usize) -> Vec<u32> {
    if meaning.units != Some(Units::Minor) {
        return vec![0; rows];
    }
    let currency = |row: usize| {
        let code = codes.filter(|codes| codes.is_valid(row)).map(|codes| codes.value(row));
        code.and_then(|code| code.parse().ok()).unwrap_or(meaning.currency)
    };
    (0..rows).map(|row| Currency::exponent(currency(row))).collect()
}

type Bad = (usize, Rule, String);

/// Amounts in major units, exact from their own digits.
fn decimals(fields: &[Option<&Field>], exponents: &[u32], bad: &mut Vec<Bad>) -> Decimal128Array {
    let amounts: Decimal128Array = fields
        .iter()
        .zip(exponents)
        .enumerate()
        .map(|(row, (field, exponent))| {
            let text = match field {
                None | Some(Field::Null) => return None,
                Some(Field::Number(text) | Field::Text(text)) => text.trim(),
                Some(Field::Flag(_) | Field::Nested(_)) => "",
            };
            if text.is_empty() && matches!(field, Some(Field::Text(_))) {
                return None;
            }
            let scale = MONEY_DECIMALS - i8::try_from(*exponent).unwrap_or_default();
            let amount = parse_decimal::<Decimal128Type>(text, MONEY_DIGITS, scale);
            if amount.is_err() {
                let message = format!("`{}` is not an amount that can be held", shown(text));
                bad.push((row, Rule::BadAmount, message));
            }
            amount.ok()
        })
        .collect();
    amounts.with_data_type(super::tables::money())
}

/// The values of a column as text that its kind is decoded from.
fn texts(name: &str, kind: Kind, fields: &[Option<&Field>], bad: &mut Vec<Bad>) -> StringViewArray {
    let rule = match kind {
        Kind::Time | Kind::Day => Rule::BadTime,
        Kind::Flag => Rule::BadFlag,
        Kind::Number => Rule::BadNumber,
        Kind::Money => Rule::BadAmount,
        Kind::Id | Kind::Text | Kind::Texts | Kind::Any => Rule::BadItem,
    };
    fields
        .iter()
        .enumerate()
        .map(|(row, field)| match (*field)? {
            Field::Null => None,
            field => {
                let text = as_text(name, kind, field);
                if text.is_none() {
                    let found = match field {
                        Field::Null => "null",
                        Field::Flag(_) => "true or false",
                        Field::Number(_) => "a number",
                        Field::Text(_) => "text",
                        Field::Nested(_) => "a list or an object",
                    };
                    let wanted = wanted(kind);
                    bad.push((row, rule, format!("`{name}` is {found}, but {wanted} is needed")));
                }
                text
            }
        })
        .collect()
}

fn as_text(name: &str, kind: Kind, field: &Field) -> Option<String> {
    let whole = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit() || digit == b'-');
    let finite = |digits: &str| digits.parse::<f64>().is_ok_and(f64::is_finite);
    match (kind, field) {
        (Kind::Any, Field::Number(digits)) => Some(narrow::of_number(digits)),
        (Kind::Any, Field::Text(text)) => Some(narrow::of_text(text)),
        // What is nobody's column passes through, whatever it is.
        (Kind::Any, Field::Nested(json)) => (!name.starts_with("app_")).then(|| json.clone()),
        (Kind::Any | Kind::Flag, Field::Flag(flag)) => Some(flag.to_string()),
        (Kind::Id, Field::Number(digits)) => whole(digits).then(|| digits.clone()),
        (Kind::Flag, Field::Number(digits)) => {
            matches!(&**digits, "0" | "1").then(|| digits.clone())
        }
        (Kind::Number, Field::Number(digits)) => finite(digits).then(|| digits.clone()),
        (Kind::Texts, Field::Nested(list)) => {
            serde_json::from_str::<Vec<String>>(list).ok().map(|codes| codes.join(","))
        }
        (Kind::Number | Kind::Money, Field::Text(_)) => None,
        (_, Field::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

/// What a value of a kind needs to be in an item, in words.
fn wanted(kind: Kind) -> &'static str {
    match kind {
        Kind::Id => "text or an integer",
        Kind::Text => "text",
        Kind::Time => "RFC 3339 text",
        Kind::Texts => "a list of texts",
        Kind::Any => "text, a number, true or false",
        Kind::Day | Kind::Flag | Kind::Number | Kind::Money => kind.expected(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::parse_instant;

    fn accepted(lines: &[&str], units: Option<Units>) -> Accepted {
        let meaning = Meaning {
            currency: "EUR".parse().unwrap(),
            units,
            as_of: parse_instant("2030-01-01").unwrap(),
        };
        let lines: Vec<Line> = (1..)
            .zip(lines)
            .map(|(number, text)| Line { number, text: Some(text.as_bytes().to_vec()) })
            .collect();
        accept(&meaning, Path::new("a.ndjson"), &lines).unwrap()
    }

    #[test]
    fn amounts_are_exact_from_their_own_digits_and_scaled_from_minor_units_by_the_rows_currency() {
        let order = |more: &str| {
            format!(
                r#"{{"kind":"order","user":{{"external_id":"u"}},"order":{{"external_id":"o","created_at":"2024-01-01",{more}}}}}"#
            )
        };
        let amount = |more: &str, units| {
            let accepted = accepted(&[&order(more)], units);
            assert!(accepted.rejects.is_empty(), "{:?}", accepted.rejects);
            accepted.rows[0].cells["subtotal_price"].value.clone().unwrap()
        };
        let thousandths = |count: i128| Value::Money(count * 10_i128.pow(15));
        assert_eq!(amount(r#""subtotal_price":12.345"#, None), thousandths(12_345));
        assert_eq!(amount(r#""subtotal_price":"12.5""#, None), thousandths(12_500));
        assert_eq!(amount(r#""subtotal_price":1e3"#, None), thousandths(1_000_000));
        let minor = Some(Units::Minor);
        assert_eq!(amount(r#""subtotal_price":1234"#, minor), thousandths(12_340));
        assert_eq!(amount(r#""subtotal_price":1234,"currency":"KWD""#, minor), thousandths(1_234));
    }

    #[test]
    fn a_line_is_taken_whole_or_not_at_all() {
        let line = r#"{"kind":"session","user":{"external_id":"u"},"session":{"external_id":"s","created_at":"2024-01-01","device":{"device_type":"mobile"}}}"#;
        let accepted = accepted(&[line], None);
        assert!(accepted.rows.is_empty());
        let reject = &accepted.rejects[0];
        assert_eq!((reject.table, reject.rule), (Table::Devices, Rule::MissingValue));
        assert_eq!(reject.place, Some(("a.ndjson".into(), 1)));
    }
}
