//! A table beside the same table of another period: what each figure was then, and its change.
//!
//! Not for which days are compared; that is `config`. Not for matching lines; that is
//! [`meet`](crate::report::meet).

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float64Type, Int64Type, UInt64Type,
};

use crate::error::Result;
use crate::report::Columns;

/// Parts of a whole and rates: their change is a difference, and a relative one would mislead.
const PARTS: [&str; 3] = ["_share", "_rate", "_ratio"];

/// Puts the rows of two tables side by side: the same rows, in the same order, of two periods.
///
/// After every figure `NAME` come `NAME_then`, `NAME_change` (now minus then) and
/// `NAME_change_ratio` (the change as a part of what was, where that was not zero); shares, rates
/// and ratios have no relative change. A figure that is missing in either has no change. Texts are
/// those of `now`.
pub(super) fn side_by_side(now: &RecordBatch, then: &RecordBatch) -> Result<RecordBatch> {
    let mut columns = Columns::new();
    for (at, field) in now.schema().fields().iter().enumerate() {
        let (of_now, of_then) = (now.column(at), then.column(at));
        let name = field.name();
        columns.push((name.clone(), Arc::clone(of_now)));
        let Some((change, relative)) = change(of_now, of_then)? else { continue };
        columns.push((format!("{name}_then"), Arc::clone(of_then)));
        columns.push((format!("{name}_change"), change));
        if !PARTS.iter().any(|part| name.ends_with(part)) && name != "ctr" {
            columns.push((format!("{name}_change_ratio"), relative));
        }
    }
    Ok(RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )?)
}

/// The change of a column of figures, absolute and relative; none for texts.
fn change(now: &ArrayRef, then: &ArrayRef) -> Result<Option<(ArrayRef, ArrayRef)>> {
    let exact = match now.data_type() {
        DataType::UInt64 => pairs::<UInt64Type, _>(now, then, i128::from),
        DataType::Int64 => pairs::<Int64Type, _>(now, then, i128::from),
        DataType::Decimal128(..) => pairs::<Decimal128Type, _>(now, then, |figure| figure),
        DataType::Float64 => {
            let pairs = pairs::<Float64Type, _>(now, then, |figure| figure);
            let absolute = pairs.iter().map(|pair| pair.map(|(now, then)| now - then));
            let relative = pairs.iter().map(|pair| {
                let (now, then) = (*pair)?;
                relative_change(now - then, then)
            });
            return Ok(Some((
                Arc::new(absolute.collect::<Float64Array>()),
                Arc::new(relative.collect::<Float64Array>()),
            )));
        }
        _ => return Ok(None),
    };
    let changes = exact.iter().map(|pair| pair.map(|(now, then)| now - then));
    let absolute: ArrayRef = if let DataType::Decimal128(precision, scale) = now.data_type() {
        let changes = changes.collect::<Decimal128Array>();
        Arc::new(changes.with_precision_and_scale(*precision, *scale)?)
    } else {
        let changes = changes.map(|change| i64::try_from(change?).ok());
        Arc::new(changes.collect::<Int64Array>())
    };
    let relative = exact.iter().map(|pair| {
        let (now, then) = (*pair)?;
        relative_change((now - then) as f64, then as f64)
    });
    Ok(Some((absolute, Arc::new(relative.collect::<Float64Array>()))))
}

/// A change as a part of what was; none where that was nothing.
///
/// A cost that falls from 200 to 150 changes by −0.25, and so does a loss that grows by a quarter.
pub(super) fn relative_change(change: f64, then: f64) -> Option<f64> {
    Some(change / then.abs() + 0.0).filter(|ratio| ratio.is_finite())
}

/// What two columns hold in each row, where both hold something.
fn pairs<T: ArrowPrimitiveType, N>(
    now: &ArrayRef,
    then: &ArrayRef,
    figure: impl Fn(T::Native) -> N,
) -> Vec<Option<(N, N)>> {
    let (now, then) = (now.as_primitive::<T>(), then.as_primitive::<T>());
    let both = now.iter().zip(then).map(|(now, then)| Some((figure(now?), figure(then?))));
    both.collect()
}
