//! What a query answered, as a table and as text for people.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema};

use crate::error::{Error, Result};
use crate::money::Currency;
use crate::output::table::{aligned, printable};
use crate::output::{Align, cell_text, thousands};
use crate::queries::{Beside, Query};
use crate::report::{decimals, texts};

/// What a query answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The rows, amounts in units of their currency.
    pub rows: RecordBatch,
}

/// Decimals that a number has on a terminal, where it has so many.
const DECIMALS: usize = 4;

impl Answer {
    /// The rows of a query as they are written: counts are 64-bit whole numbers, amounts decimals of
    /// their row's `currency`.
    pub(super) fn new(query: &Query, rows: &RecordBatch) -> Result<Self> {
        let schema = rows.schema();
        let mut fields = Vec::new();
        let mut columns: Vec<ArrayRef> = Vec::new();
        for (field, column) in schema.fields().iter().zip(rows.columns()) {
            let column = match column.data_type() {
                kind if query.header.amounts.contains(field.name()) && kind.is_integer() => {
                    amounts(query, rows, &cast(column, &DataType::Int64)?)?
                }
                kind if kind.is_integer() => cast(column, &DataType::Int64)?,
                DataType::Float32 => cast(column, &DataType::Float64)?,
                DataType::Utf8 | DataType::LargeUtf8 => cast(column, &DataType::Utf8View)?,
                _ => ArrayRef::clone(column),
            };
            fields.push(Field::new(field.name(), column.data_type().clone(), true));
            columns.push(column);
        }
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        Ok(match &query.header.beside {
            Some(beside) => Self { rows: side_by_side(query, &rows, beside)? },
            None => Self { rows },
        })
    }

    /// What audits found, one row each: `audit`, `title`, and the number of `rows` that it returned.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn of_audits(audits: &[Query], answers: &[Self]) -> Result<RecordBatch> {
        let rows = answers.iter().map(|answer| answer.rows.num_rows() as u64);
        let columns: [(&str, ArrayRef); 3] = [
            ("audit", texts(audits.iter().map(|audit| audit.name.as_str()))),
            ("title", texts(audits.iter().map(|audit| audit.header.title.as_str()))),
            ("rows", Arc::new(UInt64Array::from_iter_values(rows))),
        ];
        Ok(RecordBatch::try_from_iter(columns)?)
    }

    /// The rows as a terminal shows them: numbers in groups of three and to four decimals.
    pub fn text(&self) -> String {
        let rows = &self.rows;
        let schema = rows.schema();
        let header: Vec<(&str, Align)> = schema
            .fields()
            .iter()
            .map(|field| (field.name().as_str(), Align::of(field.data_type())))
            .collect();
        let cell = |row: usize, at: usize| {
            let floats = rows.column(at).as_primitive_opt::<Float64Type>();
            let float =
                floats.filter(|floats| floats.is_valid(row)).map(|floats| floats.value(row));
            let text = match float {
                Some(float) => shortened(float),
                None => cell_text(rows, at, row).unwrap_or_default(),
            };
            if header[at].1 == Align::Right { thousands(&text) } else { printable(&text) }
        };
        let row = |row: usize| (0..rows.num_columns()).map(|at| cell(row, at)).collect();
        aligned(&header, (0..rows.num_rows()).map(row).collect())
    }
}

/// A number to four decimals, without zeros that say nothing.
fn shortened(number: f64) -> String {
    let text = format!("{number:.DECIMALS$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Rows that differ by some columns only as one row, in the place of the first of them; the columns stand
/// side by side, in the byte order of what tells them apart.
fn side_by_side(query: &Query, rows: &RecordBatch, beside: &Beside) -> Result<RecordBatch> {
    let schema = rows.schema();
    let place = |name: &String| {
        schema.index_of(name).map_err(|_| Error::Sql {
            query: query.name.clone(),
            why: format!(
                "its header puts `{name}` side by side, but its answer has no such column"
            ),
            hint: None,
        })
    };
    let by = place(&beside.by)?;
    let values = beside.values.iter().map(place).collect::<Result<Vec<usize>>>()?;
    let keys = (0..rows.num_columns()).filter(|at| *at != by && !values.contains(at));
    let keys: Vec<usize> = keys.collect();
    let mut firsts: Vec<u32> = Vec::new();
    let mut known: BTreeMap<Vec<Option<String>>, usize> = BTreeMap::new();
    // Of every name the row that has it, line by line.
    let mut named: BTreeMap<String, Vec<Option<u32>>> = BTreeMap::new();
    for (row, number) in (0..rows.num_rows()).zip(0_u32..) {
        let key = keys.iter().map(|at| cell_text(rows, *at, row)).collect();
        let line = *known.entry(key).or_insert_with(|| {
            firsts.push(number);
            firsts.len() - 1
        });
        let lines = named.entry(cell_text(rows, by, row).unwrap_or_default()).or_default();
        lines.resize(lines.len().max(line + 1), None);
        lines[line] = Some(number);
    }
    let firsts = UInt32Array::from(firsts);
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for at in (0..rows.num_columns()).filter(|at| *at != by) {
        let (name, column) = (schema.field(at).name(), rows.column(at));
        if keys.contains(&at) {
            columns.push((name.clone(), take(column, &firsts, None)?));
            continue;
        }
        for (of, lines) in &mut named {
            lines.resize(firsts.len(), None);
            let lines = UInt32Array::from(lines.clone());
            columns.push((format!("{of}_{name}"), take(column, &lines, None)?));
        }
    }
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

/// Whole minor units as decimals of the row's currency.
fn amounts(query: &Query, rows: &RecordBatch, minor: &ArrayRef) -> Result<ArrayRef> {
    let codes = rows.column_by_name("currency").ok_or_else(|| Error::Sql {
        query: query.name.clone(),
        why: "its header names `amounts`, but its answer has no column `currency`".to_owned(),
        hint: Some("add `currency` to what it selects and groups by".to_owned()),
    })?;
    let codes = cast(codes, &DataType::Utf8View)?;
    let currencies: Vec<Option<Currency>> =
        codes.as_string_view().iter().map(|code| code.and_then(|code| code.parse().ok())).collect();
    let scale = currencies.iter().flatten().map(|currency| currency.exponent()).max().unwrap_or(2);
    let minor = minor.as_primitive::<Int64Type>().iter();
    let amounts =
        minor.zip(currencies).map(|(minor, currency)| Some((i128::from(minor?), currency?)));
    decimals(amounts, scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_more_decimals_than_they_need() {
        let texts = [0.5, 1.0 / 3.0, 1200.0, -0.00001, 0.0].map(shortened);
        assert_eq!(texts, ["0.5", "0.3333", "1200", "0", "0"]);
    }
}
