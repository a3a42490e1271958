//! One row per thing: many versions of a row become one, whatever order they came in.
//!
//! Per field the latest present value wins, and of equally late ones the greatest, so holes are
//! filled from older versions and nothing depends on order. `created_at` and `signed_up_at` take
//! the minimum, `last_interaction_at` the maximum, and `is_authenticated` is true once any version
//! says so. A table from JSON items names the times of single fields, and those that were cleared
//! ([`FIELD_TIMES`]): they hold in place of the row's. Not for deciding
//! which rows are versions of one thing: the caller groups them.

use std::cmp::Ordering;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DynComparator, RecordBatch, StringViewArray,
    TimestampMicrosecondArray, UInt32Array, make_comparator,
};
use arrow::compute::{SortOptions, take};
use arrow::datatypes::TimestampMicrosecondType;

use crate::error::Result;
use crate::ids::{group_rows, same_texts};
use crate::schema::{FIELD_TIMES, ITEMS_AT, field_times_of};

/// Which rows are versions of one thing, and which of them come first.
#[derive(Debug, Clone, Copy)]
pub struct Versions<'a> {
    /// The thing that each row is a version of, numbered from zero.
    pub keys: &'a [u32],
    /// How many things there are.
    pub things: usize,
    /// Rows whose values win over those of the others, however late those are.
    pub own: Option<&'a [bool]>,
    /// Rows that take no part.
    pub dropped: Option<&'a [bool]>,
}

/// One row per thing, in the order of the things' numbers.
///
/// A thing of which every row is dropped, or that has none, is null in every column. The times of
/// single fields are left out: they have been used.
///
/// ```text
/// key  updated_at  medium  campaign          medium  campaign
///  0   2024-01-01  cpc     spring      →  0  email   spring
///  0   2024-01-02  email   null
/// ```
pub fn merge(rows: &RecordBatch, versions: &Versions<'_>) -> Result<RecordBatch> {
    let (order, starts) = group_rows(versions.keys, versions.things);
    let times = row_times(rows);
    let kept = without_field_times(rows)?;
    let columns = kept
        .schema()
        .fields()
        .iter()
        .zip(kept.columns())
        .map(|(field, column)| {
            let of_fields = rows.column_by_name(&field_times_of(field.name()));
            let of_fields = of_fields.map(|times| times.as_primitive());
            let best = Best::of(field.name(), column, &times, of_fields, versions.own)?;
            let winners: UInt32Array = (0..versions.things)
                .map(|thing| {
                    let (from, to) = (starts[thing] as usize, starts[thing + 1] as usize);
                    best.winner(order[from..to].iter().copied().filter(|row| {
                        versions.dropped.is_none_or(|dropped| !dropped[*row as usize])
                    }))
                })
                .collect();
            Ok(take(column, &winners, None)?)
        })
        .collect::<Result<Vec<ArrayRef>>>()?;
    Ok(RecordBatch::try_new(kept.schema(), columns)?)
}

/// One row per `external_id`; the rows as they are where every id occurs once.
pub fn merge_rows(rows: &RecordBatch) -> Result<RecordBatch> {
    match same_texts(external_ids(rows)) {
        None => without_field_times(rows),
        Some((keys, things)) => {
            merge(rows, &Versions { keys: &keys, things, own: None, dropped: None })
        }
    }
}

/// The ids of a table's rows, as text.
///
/// # Panics
///
/// If the table has no `external_id`; every table that is asked has one.
pub fn external_ids(rows: &RecordBatch) -> &StringViewArray {
    rows.column_by_name("external_id").expect("external_id is required").as_string_view()
}

/// The rows without the times of single fields.
pub fn without_field_times(rows: &RecordBatch) -> Result<RecordBatch> {
    let schema = rows.schema();
    let kept = |at: &usize| schema.field(*at).name().split('.').next() != Some(FIELD_TIMES);
    Ok(rows.project(&(0..rows.num_columns()).filter(kept).collect::<Vec<_>>())?)
}

/// The time of each row's newest field; the row's own, unless several were merged into it.
pub fn field_times(rows: &RecordBatch) -> Vec<Option<i64>> {
    let times = row_times(rows);
    // An id is a field of every version.
    match rows.column_by_name(&field_times_of("external_id")) {
        Some(newest) => {
            let newest = newest.as_primitive::<TimestampMicrosecondType>().iter();
            newest.zip(times).map(|(newest, time)| newest.or(time)).collect()
        }
        None => times,
    }
}

/// The time of fields that name none: `updated_at` where later than `created_at`, else
/// `created_at`.
fn row_times(rows: &RecordBatch) -> Vec<Option<i64>> {
    let column = |name: &str| {
        rows.column_by_name(name).map(|times| times.as_primitive::<TimestampMicrosecondType>())
    };
    match (column("created_at"), column("updated_at")) {
        (Some(created), Some(updated)) => {
            created.iter().zip(updated).map(|(created, updated)| created.max(updated)).collect()
        }
        (Some(times), None) | (None, Some(times)) => times.iter().collect(),
        (None, None) => vec![None; rows.num_rows()],
    }
}

/// How the best of several versions of one column is found.
struct Best<'a> {
    column: &'a ArrayRef,
    /// The times of fields that are not those of their rows.
    field_times: Option<&'a TimestampMicrosecondArray>,
    compare: DynComparator,
    choice: Choice<'a>,
    own: Option<&'a [bool]>,
}

/// Which of several values of a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// The latest.
    Latest,
    /// The least.
    Least,
    /// The greatest.
    Greatest,
    /// True, once any is.
    Once,
}

/// Which of several values of a column holds.
pub(crate) fn holds(column: &str) -> Holds {
    match column {
        "created_at" | "signed_up_at" | "user_created_at" | "user_signed_up_at"
        | "to_user_created_at" => Holds::Least,
        "last_interaction_at" | ITEMS_AT => Holds::Greatest,
        "is_authenticated" | "user_is_authenticated" | "to_user_is_authenticated" => Holds::Once,
        _ => Holds::Latest,
    }
}

enum Choice<'a> {
    Latest(&'a [Option<i64>]),
    Least,
    Greatest,
    AnyTrue(&'a BooleanArray),
}

impl<'a> Best<'a> {
    fn of(
        name: &str,
        column: &'a ArrayRef,
        times: &'a [Option<i64>],
        field_times: Option<&'a TimestampMicrosecondArray>,
        own: Option<&'a [bool]>,
    ) -> Result<Self> {
        let choice = match holds(name) {
            Holds::Least => Choice::Least,
            Holds::Greatest => Choice::Greatest,
            Holds::Once => Choice::AnyTrue(column.as_boolean()),
            Holds::Latest => Choice::Latest(times),
        };
        // Where not the latest holds, times decide nothing.
        let field_times = field_times.filter(|_| matches!(choice, Choice::Latest(_)));
        let compare = make_comparator(column, column, SortOptions::default())?;
        Ok(Self { column, field_times, compare, choice, own })
    }

    fn winner(&self, rows: impl Iterator<Item = u32>) -> Option<u32> {
        rows.filter(|row| self.column.is_valid(*row as usize) || self.time(*row as usize).is_some())
            .max_by(|left, right| self.order(*left as usize, *right as usize))
    }

    /// The time of a field of its own. Beside a null it says that the field was cleared.
    fn time(&self, row: usize) -> Option<i64> {
        self.field_times.filter(|times| times.is_valid(row)).map(|times| times.value(row))
    }

    fn order(&self, left: usize, right: usize) -> Ordering {
        let by_value = || (self.compare)(left, right);
        match &self.choice {
            Choice::Least => by_value().reverse(),
            Choice::Greatest => by_value(),
            Choice::AnyTrue(flags) => flags.value(left).cmp(&flags.value(right)),
            Choice::Latest(times) => {
                let own = self.own.map_or(Ordering::Equal, |own| own[left].cmp(&own[right]));
                let time = |row: usize| self.time(row).or(times[row]);
                let there = |row: usize| self.column.is_valid(row);
                own.then_with(|| time(left).cmp(&time(right)))
                    .then_with(|| there(left).cmp(&there(right)))
                    .then_with(by_value)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{StringViewArray, TimestampMicrosecondArray};
    use proptest::prelude::*;

    use super::*;

    type Version = (u8, i64, Option<i64>, Option<u8>, Option<bool>);

    fn batch(versions: &[Version]) -> (RecordBatch, Vec<u32>) {
        let text = |value: Option<u8>| value.map(|value| format!("v{value}"));
        let columns: [(&str, ArrayRef); 4] = [
            (
                "created_at",
                Arc::new(TimestampMicrosecondArray::from_iter_values(versions.iter().map(|v| v.1))),
            ),
            (
                "updated_at",
                Arc::new(versions.iter().map(|v| v.2).collect::<TimestampMicrosecondArray>()),
            ),
            ("medium", Arc::new(versions.iter().map(|v| text(v.3)).collect::<StringViewArray>())),
            ("is_authenticated", Arc::new(versions.iter().map(|v| v.4).collect::<BooleanArray>())),
        ];
        (
            RecordBatch::try_from_iter_with_nullable(
                columns.map(|(name, column)| (name, column, true)),
            )
            .unwrap(),
            versions.iter().map(|v| u32::from(v.0)).collect(),
        )
    }

    fn merged(versions: &[Version]) -> RecordBatch {
        let (rows, keys) = batch(versions);
        merge(&rows, &Versions { keys: &keys, things: 3, own: None, dropped: None }).unwrap()
    }

    #[test]
    fn a_hole_is_filled_from_an_older_version_and_a_tie_goes_to_the_greatest() {
        let rows = merged(&[
            (0, 5, Some(9), None, Some(false)),
            (0, 3, None, Some(1), Some(true)),
            (1, 1, None, Some(2), None),
            (1, 1, None, Some(7), None),
        ]);
        let mediums: Vec<_> = rows.column(2).as_string_view().iter().collect();
        assert_eq!(mediums, [Some("v1"), Some("v7"), None]);
        assert_eq!(rows.column(0).as_primitive::<TimestampMicrosecondType>().value(0), 3);
        assert!(rows.column(3).as_boolean().value(0));
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_changes_nothing(
            versions in prop::collection::vec((0_u8..3, 0_i64..4, prop::option::of(0_i64..4), prop::option::of(0_u8..3), any::<Option<bool>>()), 0..12),
            seed in any::<u64>(),
        ) {
            let mut shuffled = versions.clone();
            let mut state = seed;
            for at in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                shuffled.swap(at, (state >> 33) as usize % (at + 1));
            }
            prop_assert_eq!(merged(&versions), merged(&shuffled));
        }
    }
}
