//! One cell of a table as text, the same in every text format.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType, UInt32Type,
    UInt64Type,
};
use arrow::util::display::array_value_to_string;

use crate::calendar::format_instant;
use crate::money::{Currency, format_scaled};

/// On which side a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

impl Align {
    /// The side of a type.
    pub fn of(data_type: &DataType) -> Self {
        if data_type.is_numeric() { Self::Right } else { Self::Left }
    }
}

/// A cell as text; `None` where there is no value.
///
/// Amounts (decimals) are written with the decimals of their row's `currency`.
pub fn cell_text(rows: &RecordBatch, column: usize, row: usize) -> Option<String> {
    let array = rows.column(column);
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Utf8View => array.as_string_view().value(row).to_owned(),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).to_string(),
        DataType::Timestamp(..) => {
            format_instant(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Decimal128(_, scale) => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            amount_text(value, *scale, currency_of(rows, row))
        }
        _ => array_value_to_string(array, row).unwrap_or_default(),
    })
}

fn currency_of(rows: &RecordBatch, row: usize) -> Option<Currency> {
    let codes = rows.column_by_name("currency")?;
    codes.as_string_view_opt().filter(|codes| codes.is_valid(row))?.value(row).parse().ok()
}

/// A decimal with the decimals of its currency, where those are fewer than the column has.
fn amount_text(value: i128, scale: i8, currency: Option<Currency>) -> String {
    let scale = u32::from(scale.unsigned_abs());
    let exponent = currency.map_or(scale, Currency::exponent).min(scale);
    let surplus = 10_i128.pow(scale - exponent);
    if value % surplus == 0 {
        format_scaled(value / surplus, exponent)
    } else {
        format_scaled(value, scale)
    }
}

/// Digits in groups of three: `-1234567.5` is `-1,234,567.5`.
///
/// # Example
///
/// ```
/// use apportion::output::thousands;
/// assert_eq!(thousands("-1234567.891"), "-1,234,567.891");
/// ```
pub fn thousands(number: &str) -> String {
    let (sign, rest) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (whole, fraction) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{fraction}")
}

/// A count and what is counted: `1 row`, `2,500 rows`.
///
/// # Example
///
/// ```
/// use apportion::output::counted;
/// assert_eq!(counted(1_usize, "row", "rows"), "1 row");
/// assert_eq!(counted(2_500_u64, "row", "rows"), "2,500 rows");
/// ```
pub fn counted<T: Copy + ToString + PartialEq + From<u8>>(
    count: T,
    one: &str,
    several: &str,
) -> String {
    let name = if count == T::from(1) { one } else { several };
    format!("{} {name}", thousands(&count.to_string()))
}

/// A label of no more than so many characters, which leaves room for the figures.
pub(crate) fn shortened(label: &str, room: usize) -> String {
    if label.chars().count() <= room {
        return label.to_owned();
    }
    label.chars().take(room - 1).chain(['\u{2026}']).collect()
}
