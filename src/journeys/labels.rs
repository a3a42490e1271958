//! What touches and orders are called in a report: dimensions, as dictionary codes.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::BuildHasher;

use arrow::array::{Array, AsArray, RecordBatch, StringViewArray};
use arrow::datatypes::TimestampMicrosecondType;
use chrono_tz::Tz;
use hashbrown::{DefaultHashBuilder, HashTable};

use crate::calendar::{Span, day_around};
use crate::ids::Interner;

/// What a touch dimension reads where an order had no touch.
pub const UNATTRIBUTED: &str = "(unattributed)";
/// What a dimension reads where its value is missing.
pub const NOT_SET: &str = "(not set)";

/// What a report is by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dimension {
    /// A column of the touch.
    Touch(String),
    /// A column of the order.
    Order(String),
    /// A column of the order's items.
    Item(String),
    /// A span of calendar time: of the order, or of the touch where the report is dated by it.
    Span(Span),
}

impl Dimension {
    /// Reads a dimension as `--by` names it.
    ///
    /// # Example
    ///
    /// ```
    /// use apportion::{calendar::Span, journeys::Dimension};
    /// assert_eq!(Dimension::parse("week"), Dimension::Span(Span::Week));
    /// assert_eq!(Dimension::parse("order.currency"), Dimension::Order("currency".into()));
    /// assert_eq!(Dimension::parse("app_plan").to_string(), "app_plan");
    /// ```
    pub fn parse(text: &str) -> Self {
        match text.trim() {
            "day" => Self::Span(Span::Day),
            "week" => Self::Span(Span::Week),
            "month" => Self::Span(Span::Month),
            name => match name.split_once('.') {
                Some(("order", column)) => Self::Order(column.to_owned()),
                Some(("item", column)) => Self::Item(column.to_owned()),
                _ => Self::Touch(name.to_owned()),
            },
        }
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Touch(column) => formatter.write_str(column),
            Self::Order(column) => write!(formatter, "order.{column}"),
            Self::Item(column) => write!(formatter, "item.{column}"),
            Self::Span(Span::Day) => formatter.write_str("day"),
            Self::Span(Span::Week) => formatter.write_str("week"),
            Self::Span(Span::Month) => formatter.write_str("month"),
        }
    }
}

/// The values of one dimension, one code a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// The code of each row's value.
    pub codes: Vec<u32>,
    /// The value of each code.
    pub values: Vec<String>,
}

impl Labels {
    /// A column of a merged table as text; a column that is not there is never set.
    pub fn texts(rows: &RecordBatch, column: &str) -> StringViewArray {
        rows.column_by_name(column).map_or_else(
            || StringViewArray::new_null(rows.num_rows()),
            |column| label_texts(column),
        )
    }

    /// The labels of a column of a merged table; a column that is not there is never set.
    pub fn of_column(rows: &RecordBatch, column: &str) -> Self {
        let texts = rows.column_by_name(column).map_or_else(
            || StringViewArray::new_null(rows.num_rows()),
            |column| label_texts(column),
        );
        let mut interner = Interner::default();
        let codes = interner.intern_column(&texts, NOT_SET);
        Self { codes, values: values(&interner) }
    }

    /// The labels of a span of calendar time, from instants, in a zone.
    pub fn of_span(instants: impl Iterator<Item = i64>, span: Span, zone: Tz) -> Self {
        let mut interner = Interner::default();
        // Neighbours mostly share their day, and days are few: each is looked up once, by its first
        // instant. Of a day that is longer or shorter only what was asked for is known.
        let mut days: BTreeMap<i64, (i64, u32)> = BTreeMap::new();
        let mut last = (0..0, 0);
        let codes = instants
            .map(|instant| {
                if last.0.contains(&instant) {
                    return last.1;
                }
                let known = days.range(..=instant).next_back();
                let known = known.filter(|(_, (end, _))| instant < *end);
                last = if let Some((start, (end, code))) = known {
                    (*start..*end, *code)
                } else {
                    let (day, same) = day_around(instant, zone);
                    let code = interner.intern(&span.label(day));
                    days.insert(same.start, (same.end, code));
                    (same, code)
                };
                last.1
            })
            .collect();
        Self { codes, values: values(&interner) }
    }
}

fn values(interner: &Interner) -> Vec<String> {
    (0..).take(interner.len()).map(|code| interner.name(code).to_owned()).collect()
}

/// A canonical column as text; every type that a label can have.
fn label_texts(column: &dyn Array) -> StringViewArray {
    if let Some(texts) = column.as_string_view_opt() {
        return texts.clone();
    }
    if let Some(times) = column.as_primitive_opt::<TimestampMicrosecondType>() {
        return times.iter().map(|at| at.map(crate::calendar::format_instant)).collect();
    }
    match arrow::compute::cast(column, &arrow::datatypes::DataType::Utf8) {
        Ok(texts) => texts.as_string::<i32>().iter().collect(),
        Err(_) => StringViewArray::new_null(column.len()),
    }
}

/// Several dimensions as one: a code per distinct combination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Combined {
    /// The combination of each row.
    pub codes: Vec<u32>,
    /// The values of each combination, one a dimension.
    pub values: Vec<Vec<String>>,
}

/// Combines dimensions; without any, every row has the one empty combination.
///
/// # Panics
///
/// If the dimensions do not have `rows` rows each.
pub fn combine(dimensions: &[Labels], rows: usize) -> Combined {
    let mut codes = vec![0_u32; rows];
    // The combinations so far, each with its parent and the code that it adds.
    let mut values: Vec<Vec<String>> = vec![Vec::new()];
    let hasher = DefaultHashBuilder::default();
    for dimension in dimensions {
        assert_eq!(dimension.codes.len(), rows, "one code a row");
        let mut seen: HashTable<((u32, u32), u32)> = HashTable::new();
        let mut next: Vec<Vec<String>> = Vec::new();
        for (code, of_row) in codes.iter_mut().zip(&dimension.codes) {
            let key = (*code, *of_row);
            let entry = seen.entry(
                hasher.hash_one(key),
                |(known, _)| *known == key,
                |(known, _)| hasher.hash_one(known),
            );
            let found = entry.or_insert_with(|| {
                let mut of_both = values[key.0 as usize].clone();
                of_both.push(dimension.values[key.1 as usize].clone());
                next.push(of_both);
                #[expect(clippy::cast_possible_truncation, reason = "no more than there are rows")]
                let number = next.len() as u32 - 1;
                (key, number)
            });
            *code = found.get().1;
        }
        values = next;
    }
    Combined { codes, values }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray};

    use super::*;

    #[test]
    fn combinations_are_numbered_as_they_are_seen() {
        let labels =
            |codes: &[u32]| Labels { codes: codes.to_vec(), values: vec!["a".into(), "b".into()] };
        let combined = combine(&[labels(&[0, 1, 0]), labels(&[1, 1, 1])], 3);
        assert_eq!(combined.codes, [0, 1, 0]);
        assert_eq!(combined.values, [["a", "b"], ["b", "b"]]);
        assert_eq!(combine(&[], 2).codes, [0, 0]);
        assert!(combine(&[labels(&[])], 0).values.is_empty());
    }

    #[test]
    fn dimensions_are_read_as_they_are_written() {
        let names = ["utm_source", "order.currency", "item.brand", "day", "week", "month", "a.b"];
        for name in names {
            assert_eq!(Dimension::parse(name).to_string(), name);
        }
        assert_eq!(Dimension::parse("item.brand"), Dimension::Item("brand".to_owned()));
        assert_eq!(Dimension::parse("order.currency"), Dimension::Order("currency".to_owned()));
    }

    #[test]
    fn an_instant_at_the_end_of_a_day_is_of_the_next() {
        let day = crate::calendar::DAY;
        let labels = Labels::of_span([0, day, day - 1, 2 * day].into_iter(), Span::Day, Tz::UTC);
        assert_eq!(labels.codes, [0, 1, 0, 2]);
        assert_eq!(labels.values, ["1970-01-01", "1970-01-02", "1970-01-03"]);
    }

    #[test]
    fn a_day_of_23_hours_ends_an_hour_earlier() {
        let instant = |text| crate::calendar::parse_instant(text).unwrap();
        // Paris is an hour ahead, and from one in the morning of the 30th two.
        let instants = ["2025-03-29T23:00:00Z", "2025-03-30T22:00:00Z", "2025-03-30T21:59:59Z"];
        let labels =
            Labels::of_span(instants.into_iter().map(instant), Span::Day, chrono_tz::Europe::Paris);
        assert_eq!((labels.codes, labels.values.len()), (vec![0, 1, 0], 2));
        assert!(labels.values[0].ends_with("-30") && labels.values[1].ends_with("-31"));
    }

    #[test]
    fn a_missing_value_and_a_missing_column_are_not_set() {
        let flags: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None]));
        let rows = RecordBatch::try_from_iter([("app_new", flags)]).unwrap();
        assert_eq!(Labels::of_column(&rows, "app_new").values, ["true", NOT_SET]);
        assert_eq!(Labels::of_column(&rows, "nothing").values, [NOT_SET]);
    }
}
