//! Conditions in SQL, over a small table, and those of `--assert`.

use std::sync::Arc;

use apportion::assertions::Assertion;
use apportion::filter::Filter;
use arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringViewArray};

/// Works a condition out.
pub fn run(data: &[u8]) -> String {
    let text = String::from_utf8_lossy(data);
    let columns: [(&str, ArrayRef); 3] = [
        (
            "utm_source",
            Arc::new(StringViewArray::from(vec![
                Some("google"),
                None,
                Some("2024-03-01T00:00:00.000000Z"),
            ])),
        ),
        ("subtotal_price", Arc::new(Float64Array::from(vec![Some(1.5), None, Some(f64::MAX)]))),
        ("is_authenticated", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
    ];
    let rows =
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true)))
            .expect("columns of one length");
    let held = Filter::new("--where-orders", &text).holds(&rows, None);
    let asserted = crate::outcome(Assertion::parse(&text));
    match held {
        Ok(held) => format!("{held:?} {asserted}"),
        Err(error) => format!("{} {asserted}", crate::outcome::<()>(Err(error))),
    }
}
