//! Asks a query of a kept run.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;

use crate::error::{Error, Result, nearest};
use crate::frames;
use crate::kept::{Frame, Kept};
use crate::queries::parameters::{PARAMS, params};
use crate::queries::{Answer, Query, Statement};

/// The frames that a query can read; the report itself is none.
const FRAMES: [Frame; 9] = [
    Frame::Sessions,
    Frame::Orders,
    Frame::Persons,
    Frame::Identity,
    Frame::Credits,
    Frame::Journeys,
    Frame::Spend,
    Frame::Effects,
    Frame::Rejects,
];

/// Answers a query from a kept run; `given` are parameters, `NAME=VALUE`.
///
/// Of the frames that the query names only those columns are read that it can mean.
///
/// # Errors
///
/// A query that cannot be understood, that names what is not there, or a parameter of another type.
pub fn ask(query: &Query, given: &[String], kept: &Kept) -> Result<Answer> {
    let statement = Statement::parse(&query.name, &query.sql)?;
    let mut frames = vec![(PARAMS, params(query, given, kept.account())?)];
    for frame in FRAMES.into_iter().filter(|frame| statement.names(*frame)) {
        let schema = kept.schema(frame)?;
        let first = schema.fields().first().map(|field| field.name().clone());
        let named = schema.fields().iter().any(|field| statement.takes(field.name()));
        // A query that only counts rows names no column.
        let rows = kept.columns(frame, |name| {
            statement.takes(name) || (!named && first.as_deref() == Some(name))
        })?;
        check_sums(frame, &rows)?;
        frames.push((frame.name(), rows));
    }
    let answer = frames::ask(&query.sql, &frames);
    let rows = answer.map_err(|wrong| explained(query, &statement, kept, &wrong))?;
    Answer::new(query, &rows)
}

/// An error where whole numbers of a frame could leave 64 bits when they are added up: the SQL layer
/// would go on with a wrong number.
fn check_sums(frame: Frame, rows: &RecordBatch) -> Result<()> {
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        let Some(numbers) = column.as_primitive_opt::<Int64Type>() else { continue };
        let sum: i128 = numbers.iter().flatten().map(|number| i128::from(number).abs()).sum();
        if i64::try_from(sum).is_err() {
            let what = format!("the sum of `{}` of `{frame}`", field.name());
            return Err(Error::Overflow { what });
        }
    }
    Ok(())
}

/// What is wrong with a query, in words, and what would be right.
fn explained(query: &Query, statement: &Statement, kept: &Kept, wrong: &frames::Wrong) -> Error {
    let failed =
        |why: String, hint: Option<String>| Error::Sql { query: query.name.clone(), why, hint };
    let columns_of = |frame: Frame| -> Vec<String> {
        let schema = kept.schema(frame);
        let names = schema.map(|schema| {
            schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>()
        });
        names.unwrap_or_default()
    };
    match wrong {
        frames::Wrong::Column(name) => {
            let frames = statement.frames();
            let all: Vec<String> = frames.iter().flat_map(|frame| columns_of(*frame)).collect();
            let near = nearest(name, &all).map(|near| format!("did you mean `{near}`? "));
            let has = frames
                .iter()
                .map(|frame| format!("`{frame}` has: {}", columns_of(*frame).join(", ")));
            let hint =
                format!("{}{}", near.unwrap_or_default(), has.collect::<Vec<_>>().join("; "));
            failed(format!("there is no column `{name}` where it is named"), Some(hint))
        }
        frames::Wrong::Relation(name) => {
            let mut known: Vec<String> = FRAMES.map(|frame| frame.name().to_owned()).into();
            known.push(PARAMS.to_owned());
            let near = nearest(name, &known).map(|near| format!("did you mean `{near}`? "));
            let hint =
                format!("{}a query can read: {}", near.unwrap_or_default(), known.join(", "));
            failed(format!("there is no table `{name}`"), Some(hint))
        }
        frames::Wrong::Other(why) => failed(why.clone(), None),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn whole_numbers_whose_sum_leaves_64_bits_stop_the_query() {
        let rows = |amounts: Vec<Option<i64>>| {
            RecordBatch::try_from_iter([("amount", Arc::new(Int64Array::from(amounts)) as _)])
                .unwrap()
        };
        assert!(check_sums(Frame::Orders, &rows(vec![Some(i64::MAX), None])).is_ok());
        let error = check_sums(Frame::Orders, &rows(vec![Some(i64::MAX), Some(-1)])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the sum of `amount` of `orders` does not fit 64 bits of minor units"
        );
    }
}
