//! `params`: the one row of what was asked of a query. Values are cells of it, never text of the query.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringViewArray,
    TimestampMicrosecondArray,
};
use serde_json::Value;

use crate::calendar::{parse_day, parse_instant};
use crate::error::{Error, Result};
use crate::kept::Account;
use crate::queries::{ParameterType, Query};

/// The name of the frame.
pub(super) const PARAMS: &str = "params";

/// The one row: what every run says (`as_of`, `currency`, `timezone`), then the parameters of the query
/// in the order of its header, as `given` (`NAME=VALUE`) or by default.
///
/// # Errors
///
/// A name that the query does not declare, a value of another type.
pub(super) fn params(query: &Query, given: &[String], account: &Account) -> Result<RecordBatch> {
    let declared = &query.header.parameters;
    let mut values: Vec<&str> = declared.iter().map(|known| known.default.as_str()).collect();
    for text in given {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            Error::setting("--param", text, "write `NAME=VALUE`, such as `model=linear`")
        })?;
        let at = declared.iter().position(|known| known.name == name.trim());
        let at = at.ok_or_else(|| unknown(query, name.trim()))?;
        values[at] = value.trim();
    }
    let as_of = TimestampMicrosecondArray::from(vec![parse_instant(&account.as_of)]);
    let said = |key: &str| -> ArrayRef {
        let text = account.settings.get(key).and_then(Value::as_str);
        Arc::new(StringViewArray::from(vec![text]))
    };
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("as_of", Arc::new(as_of.with_timezone("UTC"))),
        ("currency", said("currency")),
        ("timezone", said("timezone")),
    ];
    for (parameter, value) in declared.iter().zip(values) {
        let wrong = || wrong(&parameter.name, value, parameter.kind);
        let cell: ArrayRef = match parameter.kind {
            ParameterType::Text => Arc::new(StringViewArray::from(vec![value])),
            ParameterType::Day => {
                parse_day(value).filter(|_| value.len() == 10).ok_or_else(wrong)?;
                Arc::new(StringViewArray::from(vec![value]))
            }
            ParameterType::Integer => {
                let whole: i64 = value.parse().map_err(|_| wrong())?;
                Arc::new(Int64Array::from(vec![whole]))
            }
            ParameterType::Number => {
                let number: f64 = value.parse().map_err(|_| wrong())?;
                Arc::new(Float64Array::from(vec![
                    Some(number).filter(|number| number.is_finite()).ok_or_else(wrong)?,
                ]))
            }
            ParameterType::Flag => {
                let flag: bool = value.parse().map_err(|_| wrong())?;
                Arc::new(BooleanArray::from(vec![flag]))
            }
        };
        columns.push((&parameter.name, cell));
    }
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

fn unknown(query: &Query, name: &str) -> Error {
    let known: Vec<String> =
        query.header.parameters.iter().map(|known| known.name.clone()).collect();
    if known.is_empty() {
        return Error::Contradiction(format!(
            "the query `{}` has no parameters, so it cannot be asked for `{name}`",
            query.name
        ));
    }
    Error::Unknown { kind: "parameter of the query", name: name.to_owned(), known }
}

fn wrong(name: &str, value: &str, kind: ParameterType) -> Error {
    let why = match kind {
        ParameterType::Text => "write any text",
        ParameterType::Integer => "write a whole number, such as `20`",
        ParameterType::Number => "write a number, such as `0.5`",
        ParameterType::Flag => "write `true` or `false`",
        ParameterType::Day => "write a day, such as `2025-03-31`",
    };
    Error::setting(format!("--param {name}"), value, why)
}
