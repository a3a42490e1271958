//! Which rows take part: an SQL condition over a table's columns, evaluated by the SQL layer.
//!
//! Only the columns that the condition names cross into it. Numbers and amounts (in major units)
//! are numbers, flags are flags, everything else is text; a time is RFC 3339 text with
//! microseconds, `2024-03-31T08:00:00.000000Z`, so that it compares as it runs.

use std::collections::BTreeSet;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};

use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, Tokenizer};

use crate::calendar::format_micros;
use crate::error::{Error, Result, nearest};
use crate::frames::{Frame, Values, rows_where};
use crate::journeys::Labels;
use crate::money::Currency;

/// Bytes of a condition.
const MOST_BYTES: usize = 1 << 20;

/// Words and signs of a condition that are no values and name no column: it may be as deep as it has.
const MOST_PARTS: usize = 1_000;

/// How often a condition joins texts: each is worked out within the one after it, on the threads of the SQL
/// layer, whose stacks are small.
const MOST_JOINS: usize = 60;

/// Whether a token is a value or a name, or stands between such.
fn is_operand(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.keyword == Keyword::NoKeyword,
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::Whitespace(_)
        | Token::Comma => true,
        _ => false,
    }
}

/// An SQL condition, such as `utm_medium = 'cpc' and landing_page like '/sale%'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The flag that gave it.
    flag: &'static str,
    text: String,
}

impl Filter {
    /// A condition as a flag gives it.
    pub fn new(flag: &'static str, text: &str) -> Self {
        Self { flag, text: text.to_owned() }
    }

    /// The words of the condition that could be columns.
    ///
    /// # Example
    ///
    /// ```
    /// use apportion::filter::Filter;
    /// let filter = Filter::new("--where-orders", "subtotal_price > 10 and currency = 'EUR'");
    /// assert!(filter.words().contains("subtotal_price"));
    /// ```
    pub fn words(&self) -> BTreeSet<&str> {
        let words = self.text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        words.filter(|word| !word.is_empty()).collect()
    }

    /// An error if a condition is so long or has so many parts that it would be nobody's own.
    fn check_size(&self) -> Result<()> {
        let wrong = |why: String| {
            let beginning: String = self.text.chars().take(60).collect();
            Error::setting(self.flag, format!("{beginning}\u{2026}"), why)
        };
        if self.text.len() > MOST_BYTES {
            return Err(wrong(format!("it is longer than {} KiB", MOST_BYTES >> 10)));
        }
        // What cannot be divided into words is told of where it is parsed.
        let tokens = Tokenizer::new(&GenericDialect {}, &self.text).tokenize().unwrap_or_default();
        let parts = tokens.iter().filter(|token| !is_operand(token)).count();
        if parts > MOST_PARTS {
            return Err(wrong(format!(
                "it has {parts} comparisons, operators and the like, more than {MOST_PARTS}; \
                 `column in ('a', 'b')` takes any number of values"
            )));
        }
        let joins = tokens.iter().filter(|token| **token == Token::StringConcat).count();
        if joins > MOST_JOINS {
            return Err(wrong(format!(
                "it has `||` {joins} times, more than {MOST_JOINS}; `concat(a, b)` takes any number of texts"
            )));
        }
        Ok(())
    }

    /// Which rows the condition holds for; it does not where it is null.
    ///
    /// `minor` is for tables whose whole numbers are amounts in minor units: the currency of rows
    /// that name none.
    ///
    /// # Errors
    ///
    /// A condition that names an unknown column, or cannot be understood.
    pub fn holds(&self, rows: &RecordBatch, minor: Option<Currency>) -> Result<Vec<bool>> {
        self.check_size()?;
        let words = self.words();
        let schema = rows.schema();
        let named = || {
            schema
                .fields()
                .iter()
                .zip(rows.columns())
                .filter(|(field, _)| words.contains(field.name().as_str()))
        };
        let mut frame: Frame<'_> = named()
            .map(|(field, column)| {
                (field.name().as_str(), values(rows, field.name(), column, minor))
            })
            .collect();
        // A condition that names no column is as long as the table all the same.
        let count = i64::try_from(rows.num_rows()).unwrap_or(i64::MAX);
        frame.push((ROW, Values::Integers((0..count).collect())));
        let wrong = |error: Error| {
            let known = named().map(|(field, _)| field.name().as_str()).collect::<Vec<_>>();
            let why = match error {
                Error::Query { source, .. } => source.to_string(),
                other => other.to_string(),
            };
            if let Some(unknown) = unknown_column(&why) {
                let read = schema.fields().iter().map(|field| field.name().clone());
                let read: Vec<String> = read.collect();
                let why = match nearest(unknown, &read) {
                    Some(near) => format!("no column is `{unknown}`; did you mean `{near}`?"),
                    None => format!("no column is `{unknown}`; some that are: {}", read.join(", ")),
                };
                return Error::setting(self.flag, &self.text, why);
            }
            let known = if known.is_empty() {
                "no column of the table".to_owned()
            } else {
                known.join(", ")
            };
            Error::setting(self.flag, &self.text, format!("{why} (it names {known})"))
        };
        let kept = rows_where(&self.text, frame, ROW).map_err(wrong)?;
        let mut holds = vec![false; rows.num_rows()];
        for row in kept.into_iter().flatten() {
            holds[usize::try_from(row).unwrap_or_default()] = true;
        }
        Ok(holds)
    }
}

/// The column that the SQL layer says it did not find.
fn unknown_column(why: &str) -> Option<&str> {
    let (_, rest) = why.split_once("unable to find column \"")?;
    rest.split_once('"').map(|(name, _)| name)
}

/// The name of the column that numbers rows; no table has it.
const ROW: &str = "apportion_row_number";

fn values(rows: &RecordBatch, name: &str, column: &ArrayRef, minor: Option<Currency>) -> Values {
    match column.data_type() {
        DataType::Boolean => Values::SomeFlags(column.as_boolean().iter().collect()),
        DataType::Float64 => {
            Values::SomeFloats(column.as_primitive::<Float64Type>().iter().collect())
        }
        DataType::UInt64 => {
            let counts = column.as_primitive::<UInt64Type>().iter();
            Values::SomeIntegers(counts.map(|count| i64::try_from(count?).ok()).collect())
        }
        DataType::Decimal128(_, scale) => {
            let decimals = column.as_primitive::<Decimal128Type>().iter();
            let unit = 10_f64.powi(i32::from(*scale));
            Values::SomeFloats(decimals.map(|decimal| Some(decimal? as f64 / unit)).collect())
        }
        DataType::Int64 => {
            let numbers = column.as_primitive::<Int64Type>().iter();
            let Some(default) = minor else { return Values::SomeIntegers(numbers.collect()) };
            let codes =
                rows.column_by_name("currency").and_then(|codes| codes.as_string_view_opt());
            Values::SomeFloats(
                numbers
                    .enumerate()
                    .map(|(row, minor)| {
                        let code =
                            codes.filter(|codes| codes.is_valid(row)).map(|codes| codes.value(row));
                        let currency = code.and_then(|code| code.parse().ok()).unwrap_or(default);
                        Some(minor? as f64 / 10_f64.powi(currency.exponent().cast_signed()))
                    })
                    .collect(),
            )
        }
        DataType::Timestamp(..) => {
            let times = column.as_primitive::<TimestampMicrosecondType>().iter();
            Values::SomeTexts(times.map(|at| at.map(format_micros)).collect())
        }
        _ => {
            let texts = Labels::texts(rows, name);
            Values::SomeTexts(texts.iter().map(|text| text.map(str::to_owned)).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, Decimal128Array, Int64Array, StringViewArray, TimestampMicrosecondArray,
        UInt64Array,
    };

    use super::*;

    fn rows() -> RecordBatch {
        let columns: [(&str, ArrayRef); 4] = [
            ("utm_medium", Arc::new(StringViewArray::from(vec![Some("cpc"), None, Some("email")]))),
            ("subtotal_price", Arc::new(Int64Array::from(vec![Some(1250), Some(99), None]))),
            ("app_new", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
            (
                "created_at",
                Arc::new(
                    TimestampMicrosecondArray::from(vec![0, 86_400_000_000, 1])
                        .with_timezone("UTC"),
                ),
            ),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn holds(condition: &str) -> Result<Vec<bool>> {
        Filter::new("--where-touches", condition).holds(&rows(), "EUR".parse().ok())
    }

    /// A chain is a tree as deep as it is long: one of as much as is taken is worked out, and one of more
    /// says so instead of ending the process.
    #[test]
    fn a_condition_is_as_deep_as_it_may_be_and_no_deeper() {
        let chain = |part: &str, times: usize, last: &str| holds(&(part.repeat(times) + last));
        assert_eq!(chain("utm_medium = 'a' or ", 499, "app_new").unwrap(), [true, false, false]);
        assert_eq!(chain("1 + ", 998, "1 = 999").unwrap(), [true, true, true]);
        assert_eq!(chain("utm_medium || ", 60, "'a' > 'c'").unwrap(), [true, false, true]);
        let refused = |part: &str, times: usize, last: &str| {
            chain(part, times, last).unwrap_err().to_string()
        };
        assert!(refused("app_new or ", 90_000, "app_new").contains("90000 comparisons"));
        assert!(refused("(", 1_001, "").contains("more than 1000; `column in"));
        assert!(refused("utm_medium || ", 61, "'a' = 'b'").contains("`||` 61 times, more than 60"));
        assert!(refused("app_new or app_new ", 60_000, "").contains("longer than 1024 KiB"));
        // Values of a list are as many as one likes.
        let values: Vec<String> = (0..20_000).map(|value| format!("'{value}'")).collect();
        let listed = format!("utm_medium in ({}, 'cpc')", values.join(", "));
        assert_eq!(holds(&listed).unwrap(), [true, false, false]);
    }

    #[test]
    fn conditions_hold_row_by_row_and_not_where_they_are_null() {
        assert_eq!(holds("utm_medium <> 'email'").unwrap(), [true, false, false]);
        assert_eq!(
            holds("subtotal_price >= 12.5 or app_new = false").unwrap(),
            [true, true, false]
        );
        assert_eq!(holds("created_at >= '1970-01-02'").unwrap(), [false, true, false]);
        assert_eq!(holds("utm_medium like 'c%' and app_new").unwrap(), [true, false, false]);
        assert_eq!(holds("1 = 1").unwrap(), [true; 3]);
    }

    #[test]
    fn a_column_that_is_not_there_is_named_with_the_nearest() {
        let said = |condition: &str| holds(condition).unwrap_err().to_string();
        let price = said("subtotal > 5");
        assert!(price.ends_with("`subtotal`; did you mean `subtotal_price`?"), "{price}");
        let other = said("zzz = 1");
        let some = "some that are: utm_medium, subtotal_price, app_new, created_at";
        assert!(other.ends_with(some), "{other}");
    }

    #[test]
    fn counts_decimals_and_whole_numbers_that_are_no_amounts_are_numbers() {
        let values = Decimal128Array::from(vec![Some(9_950), Some(10_050), None]);
        let columns: [(&str, ArrayRef); 3] = [
            ("orders_count", Arc::new(UInt64Array::from(vec![1, 10, 2]))),
            ("lifetime_value", Arc::new(values.with_precision_and_scale(38, 2).unwrap())),
            ("seconds", Arc::new(Int64Array::from(vec![Some(60), Some(3_600), None]))),
        ];
        let persons = RecordBatch::try_from_iter(columns).unwrap();
        let holds =
            |text: &str| Filter::new("--where-persons", text).holds(&persons, None).unwrap();
        assert_eq!(holds("orders_count > 1"), [false, true, true]);
        assert_eq!(holds("lifetime_value >= 100"), [false, true, false]);
        assert_eq!(holds("seconds = 60"), [true, false, false]);
    }

    #[test]
    fn what_cannot_be_understood_is_said() {
        for condition in ["utm_medum = 'cpc'", "utm_medium =", "utm_medium = 'cpc'); select 1 --"] {
            let error = holds(condition).unwrap_err().to_string();
            assert!(error.starts_with("`--where-touches` cannot be"), "{error}");
        }
    }
}
