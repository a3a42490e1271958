//! Turns a column of whatever physical type into the one canonical type of its kind.
//!
//! | kind | canonical Arrow type |
//! |---|---|
//! | id | `Utf8View`; blank is null |
//! | text, any | `Utf8View`, trimmed; empty is null |
//! | texts | `Utf8View`, divided by commas |
//! | time | `Timestamp(Microsecond, UTC)` |
//! | day | `Date32` |
//! | flag | `Boolean` |
//! | number | `Float64` |
//! | money | `Int64` of minor units |
//!
//! A value that cannot be understood becomes null and is remembered with its row; a type that
//! cannot carry the meaning is an error of the whole column.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, DictionaryArray, FixedSizeBinaryArray,
    Float64Array, Int64Array, StringViewArray, StringViewBuilder, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal128Type, Float32Type, Float64Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use chrono::Datelike;
use uuid::Uuid;

use crate::calendar::{DAY, SECOND, format_instant, parse_day, parse_instant};
use crate::money::{self, Currency, Units};
use crate::schema::Kind;
use crate::validate::Rule;

/// How Arrow says what Parquet calls a UUID.
const UNIVERSAL_ID: DataType = DataType::FixedSizeBinary(16);

/// A decoded column and the values that could not be understood.
pub(crate) struct Decoded {
    /// The canonical array; null where a value was missing or could not be understood.
    pub(crate) array: ArrayRef,
    /// Row, rule and message of each value that could not be understood.
    pub(crate) bad: Vec<(usize, Rule, String)>,
}

impl Decoded {
    fn good(array: impl Array + 'static) -> Self {
        Self { array: Arc::new(array), bad: Vec::new() }
    }
}

/// How to read the amounts of a table.
pub(crate) struct Amounts<'a> {
    /// The row's currency, where there is a column for it.
    pub(crate) currency: Option<&'a StringViewArray>,
    /// The currency of rows that name none.
    pub(crate) default: Currency,
    /// What the workspace says that the columns hold, if it says so.
    pub(crate) units: Option<Units>,
}

/// The canonical Arrow type of a kind.
pub(crate) fn canonical_type(kind: Kind) -> DataType {
    match kind {
        Kind::Id | Kind::Text | Kind::Texts | Kind::Any => DataType::Utf8View,
        Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Kind::Day => DataType::Date32,
        Kind::Flag => DataType::Boolean,
        Kind::Number => DataType::Float64,
        Kind::Money => DataType::Int64,
    }
}

/// Decodes a column; `None` where its type cannot carry the meaning.
///
/// `text_is_fine` is true for constants and folder names, which are always text.
pub(crate) fn decode(
    array: &ArrayRef,
    kind: Kind,
    lower: bool,
    text_is_fine: bool,
    amounts: &Amounts<'_>,
) -> Option<Decoded> {
    let plain = match array.data_type() {
        DataType::Null => {
            let nulls = new_null_array(&canonical_type(kind), array.len());
            return Some(Decoded { array: nulls, bad: Vec::new() });
        }
        DataType::Dictionary(_, values) if kind_of_text(values) => {
            &cast(array, &DataType::Utf8View).ok()?
        }
        DataType::Dictionary(_, values) => &cast(array, values).ok()?,
        _ => array,
    };
    let plain = match kind {
        // A column that nothing is known of may hold anything, and what is no text is nothing there.
        Kind::Any => plain,
        _ if is_bytes(plain.data_type()) => &text_of_bytes(plain)?,
        _ => plain,
    };
    match kind {
        Kind::Id => ids(plain),
        Kind::Text => kind_of_text(plain.data_type()).then(|| text(plain, lower)).flatten(),
        Kind::Texts => texts(plain),
        Kind::Any => text(plain, lower),
        Kind::Time => times(plain),
        Kind::Day => days(plain),
        Kind::Flag => flags(plain),
        Kind::Number => numbers(plain, text_is_fine),
        Kind::Money => moneys(plain, text_is_fine, amounts),
    }
}

/// The type of a canonical column that is kept as a dictionary.
pub(super) fn repeated(values: DataType) -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(values))
}

/// Decodes a column of few distinct values: each value once.
pub(super) fn decode_repetitive(
    array: &ArrayRef,
    kind: Kind,
    lower: bool,
    text_is_fine: bool,
    amounts: &Amounts<'_>,
) -> Option<Decoded> {
    let Some(dictionary) = array.as_dictionary_opt::<Int32Type>() else {
        let Decoded { array, bad } = decode(array, kind, lower, text_is_fine, amounts)?;
        return Some(Decoded { array: cast(&array, &repeated(canonical_type(kind))).ok()?, bad });
    };
    let values = decode(dictionary.values(), kind, lower, text_is_fine, amounts)?.array;
    let decoded = DictionaryArray::try_new(dictionary.keys().clone(), values).ok()?;
    Some(Decoded::good(decoded))
}

fn kind_of_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Whether a column is of bytes, as Hive and Impala write text and others where they are asked to.
fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

/// The text that bytes hold; `None` where one of them is none, since half of an id is another id.
fn text_of_bytes(array: &ArrayRef) -> Option<ArrayRef> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, &DataType::Utf8View, &strict).ok()
}

/// What identifies something by sixteen bytes, as text: `f81d4fae-7dec-11d0-a765-00a0c91e6bf6`.
fn universal_ids(array: &FixedSizeBinaryArray) -> StringViewArray {
    let ids = array.iter().map(|id| Some(Uuid::from_slice(id?).ok()?.to_string()));
    ids.collect()
}

/// Any array as text views; columns written as bytes hold text too.
fn views(array: &ArrayRef) -> Option<StringViewArray> {
    let array = match array.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => array,
        _ => &cast(array, &DataType::Utf8).ok()?,
    };
    Some(cast(array, &DataType::Utf8View).ok()?.as_string_view().clone())
}

fn ids(array: &ArrayRef) -> Option<Decoded> {
    if *array.data_type() == UNIVERSAL_ID {
        return Some(Decoded::good(universal_ids(array.as_fixed_size_binary())));
    }
    let carries = kind_of_text(array.data_type())
        || array.data_type().is_integer()
        || matches!(
            array.data_type(),
            DataType::Decimal32(_, 0)
                | DataType::Decimal64(_, 0)
                | DataType::Decimal128(_, 0)
                | DataType::Decimal256(_, 0)
        );
    let views = views(array).filter(|_| carries)?;
    if views.iter().flatten().any(is_blank) {
        let ids = views.iter().map(|id| id.filter(|id| !is_blank(id)));
        return Some(Decoded::good(ids.collect::<StringViewArray>()));
    }
    Some(Decoded::good(views))
}

/// Whether there is nothing to see; what begins with a plain letter or digit is not looked at.
fn is_blank(text: &str) -> bool {
    !text.bytes().next().is_some_and(|first| first.is_ascii_graphic()) && text.trim().is_empty()
}

fn text(array: &ArrayRef, lower: bool) -> Option<Decoded> {
    if *array.data_type() == UNIVERSAL_ID {
        return Some(Decoded::good(universal_ids(array.as_fixed_size_binary())));
    }
    if matches!(array.data_type(), DataType::Timestamp(..)) {
        let times = times(array)?.array;
        let times = times.as_primitive::<TimestampMicrosecondType>().iter();
        return Some(Decoded::good(
            times.map(|at| at.map(format_instant)).collect::<StringViewArray>(),
        ));
    }
    let views = views(array)?;
    let untidy = |value: &str| {
        value.trim().len() != value.len()
            || value.is_empty()
            || (lower
                && value.chars().any(|letter| !letter.is_lowercase() && letter.is_alphabetic()))
    };
    if !views.iter().flatten().any(untidy) {
        return Some(Decoded::good(views));
    }
    let mut tidy = StringViewBuilder::with_capacity(views.len());
    for value in &views {
        match value.map(str::trim).filter(|value| !value.is_empty()) {
            Some(value) if lower => tidy.append_value(value.to_lowercase()),
            value => tidy.append_option(value),
        }
    }
    Some(Decoded::good(tidy.finish()))
}

/// A list of texts as one text, divided by commas.
fn texts(array: &ArrayRef) -> Option<Decoded> {
    if kind_of_text(array.data_type()) {
        return text(array, false);
    }
    let of_texts = |item: &DataType| match item {
        DataType::Dictionary(_, values) => kind_of_text(values),
        item => kind_of_text(item) || is_bytes(item),
    };
    let lists = match array.data_type() {
        DataType::List(item) | DataType::LargeList(item) if of_texts(item.data_type()) => {
            let item = item.as_ref().clone().with_data_type(DataType::Utf8View);
            let strict = CastOptions { safe: false, ..CastOptions::default() };
            cast_with_options(array, &DataType::LargeList(Arc::new(item)), &strict).ok()?
        }
        _ => return None,
    };
    let joined: StringViewArray = lists
        .as_list::<i64>()
        .iter()
        .map(|list| {
            let codes = list?;
            let codes = codes.as_string_view();
            Some(codes.iter().flatten().collect::<Vec<_>>().join(","))
        })
        .collect();
    text(&(Arc::new(joined) as ArrayRef), false)
}

fn times(array: &ArrayRef) -> Option<Decoded> {
    let mut bad = Vec::new();
    let instants: TimestampMicrosecondArray = match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            array.as_primitive::<TimestampSecondType>().unary_opt(|at| at.checked_mul(SECOND))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            array.as_primitive::<TimestampMillisecondType>().unary_opt(|at| at.checked_mul(1_000))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            array.as_primitive::<TimestampMicrosecondType>().clone()
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            array.as_primitive::<TimestampNanosecondType>().unary(|at| at.div_euclid(1_000))
        }
        DataType::Date32 => {
            array.as_primitive::<Date32Type>().unary(|day| i64::from(day).saturating_mul(DAY))
        }
        DataType::Date64 => {
            array.as_primitive::<Date64Type>().unary_opt(|at| at.checked_mul(1_000))
        }
        data_type if kind_of_text(data_type) => {
            let texts = views(array)?;
            let parsed: TimestampMicrosecondArray =
                texts.iter().map(|text| parse_instant(text?)).collect();
            note_bad(&texts, &parsed, Rule::BadTime, "is not a time", &mut bad);
            return Some(Decoded { array: Arc::new(parsed.with_timezone("UTC")), bad });
        }
        _ => return None,
    };
    for row in (0..array.len()).filter(|row| array.is_valid(*row) && instants.is_null(*row)) {
        let message = "the time does not fit 64 bits of microseconds".to_owned();
        bad.push((row, Rule::BadTime, message));
    }
    Some(Decoded { array: Arc::new(instants.with_timezone("UTC")), bad })
}

fn days(array: &ArrayRef) -> Option<Decoded> {
    if *array.data_type() == DataType::Date32 {
        return Some(Decoded { array: Arc::clone(array), bad: Vec::new() });
    }
    if kind_of_text(array.data_type()) {
        let texts = views(array)?;
        let epoch = chrono::NaiveDate::default().num_days_from_ce();
        let parsed: Date32Array = texts
            .iter()
            .map(|text| Some(parse_day(text?.trim().get(..10)?)?.num_days_from_ce() - epoch))
            .collect();
        let mut bad = Vec::new();
        note_bad(&texts, &parsed, Rule::BadTime, "is not a day", &mut bad);
        return Some(Decoded { array: Arc::new(parsed), bad });
    }
    let Decoded { array, bad } = times(array)?;
    let days: Date32Array = array
        .as_primitive::<TimestampMicrosecondType>()
        .unary_opt(|at| i32::try_from(at.div_euclid(DAY)).ok());
    Some(Decoded { array: Arc::new(days), bad })
}

fn flags(array: &ArrayRef) -> Option<Decoded> {
    if *array.data_type() == DataType::Boolean {
        return Some(Decoded { array: Arc::clone(array), bad: Vec::new() });
    }
    if !array.data_type().is_integer() && !kind_of_text(array.data_type()) {
        return None;
    }
    let texts = views(array)?;
    let parsed: BooleanArray = texts
        .iter()
        .map(|text| match text?.trim() {
            "true" | "TRUE" | "True" | "1" => Some(true),
            "false" | "FALSE" | "False" | "0" => Some(false),
            _ => None,
        })
        .collect();
    let mut bad = Vec::new();
    note_bad(&texts, &parsed, Rule::BadFlag, "is neither true nor false", &mut bad);
    Some(Decoded { array: Arc::new(parsed), bad })
}

fn numbers(array: &ArrayRef, text_is_fine: bool) -> Option<Decoded> {
    if array.data_type().is_numeric() {
        let numbers = cast(array, &DataType::Float64).ok()?;
        // NaN is how some writers say null; nothing is counted by infinity.
        let finite: Float64Array = numbers
            .as_primitive::<Float64Type>()
            .iter()
            .map(|number| number.filter(|number| number.is_finite()))
            .collect();
        return Some(Decoded::good(finite));
    }
    if !text_is_fine {
        return None;
    }
    let texts = views(array)?;
    let parsed: Float64Array = texts.iter().map(|text| text?.trim().parse().ok()).collect();
    let mut bad = Vec::new();
    note_bad(&texts, &parsed, Rule::BadNumber, "is not a number", &mut bad);
    Some(Decoded { array: Arc::new(parsed), bad })
}

fn moneys(array: &ArrayRef, text_is_fine: bool, amounts: &Amounts<'_>) -> Option<Decoded> {
    // Blank text is missing, not bad.
    let array = &if kind_of_text(array.data_type()) {
        text(array, false)?.array
    } else {
        Arc::clone(array)
    };
    let rows = array.len();
    let mut bad = Vec::new();
    let mut column = |minor: &dyn Fn(usize, u32) -> Option<i64>| {
        let mut last: (Option<&str>, u32) = (None, amounts.default.exponent());
        let mut values = Vec::with_capacity(rows);
        for row in 0..rows {
            if array.is_null(row) {
                values.push(None);
                continue;
            }
            let code =
                amounts.currency.filter(|codes| codes.is_valid(row)).map(|codes| codes.value(row));
            if code != last.0 {
                // A code that is not one is rejected by its own rule.
                let currency =
                    code.map_or(amounts.default, |code| code.parse().unwrap_or(Currency::NONE));
                last = (code, currency.exponent());
            }
            let value = minor(row, last.1);
            if value.is_none() {
                bad.push((
                    row,
                    Rule::BadAmount,
                    "an amount is not finite or does not fit 64 bits".to_owned(),
                ));
            }
            values.push(value);
        }
        Int64Array::from(values)
    };
    let minor = match array.data_type() {
        data_type if data_type.is_integer() => {
            let integers = cast(array, &DataType::Int64).ok()?;
            let integers = integers.as_primitive::<Int64Type>();
            let major = amounts.units == Some(Units::Major);
            column(&|row, exponent| {
                let value = integers.is_valid(row).then(|| integers.value(row))?;
                if major { value.checked_mul(10_i64.checked_pow(exponent)?) } else { Some(value) }
            })
        }
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => {
            let scale = match array.data_type() {
                DataType::Decimal32(_, scale)
                | DataType::Decimal64(_, scale)
                | DataType::Decimal128(_, scale)
                | DataType::Decimal256(_, scale) => *scale,
                _ => 0,
            };
            let decimals = cast(array, &DataType::Decimal128(38, scale)).ok()?;
            let decimals = decimals.as_primitive::<Decimal128Type>();
            let minor = amounts.units == Some(Units::Minor);
            column(&|row, exponent| {
                let value = decimals.is_valid(row).then(|| decimals.value(row))?;
                money::minor_from_scaled(value, scale, if minor { 0 } else { exponent })
            })
        }
        data_type if data_type.is_floating() => {
            // A short float stands for its own decimal text, not for that of the long float which
            // is nearest to it.
            let floats: Float64Array = match array.as_primitive_opt::<Float32Type>() {
                Some(short) => short.unary(|value| value.to_string().parse().unwrap_or(f64::NAN)),
                None => cast(array, &DataType::Float64).ok()?.as_primitive().clone(),
            };
            let minor = amounts.units == Some(Units::Minor);
            column(&|row, exponent| {
                money::minor_from_f64(floats.value(row), if minor { 0 } else { exponent })
            })
        }
        data_type if text_is_fine && kind_of_text(data_type) => {
            let texts = views(array)?;
            column(&|row, exponent| {
                money::minor_from_decimal(texts.value(row).trim().parse().ok()?, exponent)
            })
        }
        _ => return None,
    };
    Some(Decoded { array: Arc::new(minor), bad })
}

/// Remembers the rows that had text and have no value; blank text is missing, not bad.
fn note_bad(
    texts: &StringViewArray,
    parsed: &dyn Array,
    rule: Rule,
    complaint: &str,
    bad: &mut Vec<(usize, Rule, String)>,
) {
    for (row, text) in texts.iter().enumerate() {
        if let Some(text) = text.filter(|text| !text.trim().is_empty() && parsed.is_null(row)) {
            let shown: String = text.chars().take(60).collect();
            bad.push((row, rule, format!("`{shown}` {complaint}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        BinaryArray, Decimal128Array, DictionaryArray, Int32Array, StringArray,
        TimestampNanosecondArray,
    };
    use arrow::datatypes::Int8Type;

    use super::*;

    fn decoded(array: impl Array + 'static, kind: Kind) -> Option<Decoded> {
        let amounts = Amounts { currency: None, default: Currency::NONE, units: None };
        decode(&(Arc::new(array) as ArrayRef), kind, false, false, &amounts)
    }

    #[test]
    fn ids_may_be_text_dictionaries_or_integers_but_not_floats() {
        let dictionary: DictionaryArray<Int8Type> = vec!["a", "b", "a"].into_iter().collect();
        let ids = decoded(dictionary, Kind::Id).unwrap().array;
        assert_eq!(ids.as_string_view().value(2), "a");
        let ids = decoded(Int32Array::from(vec![7]), Kind::Id).unwrap().array;
        assert_eq!(ids.as_string_view().value(0), "7");
        assert!(decoded(Float64Array::from(vec![7.0]), Kind::Id).is_none());
    }

    #[test]
    fn bytes_are_the_text_that_they_hold_or_refused() {
        let bytes: [&[u8]; 2] = ["S\u{fc}d".as_bytes(), b" "];
        for kind in [Kind::Id, Kind::Text, Kind::Texts] {
            let texts = decoded(BinaryArray::from(bytes.to_vec()), kind).unwrap().array;
            let texts: Vec<_> = texts.as_string_view().iter().collect();
            assert_eq!(texts, [Some("S\u{fc}d"), None]);
            let broken: &[u8] = b"S\xfcd";
            assert!(decoded(BinaryArray::from(vec![broken]), kind).is_none());
        }
        let times = decoded(BinaryArray::from(vec![&b"1970-01-01T00:00:01Z"[..]]), Kind::Time);
        assert_eq!(
            times.unwrap().array.as_primitive::<TimestampMicrosecondType>().value(0),
            SECOND
        );
    }

    #[test]
    fn sixteen_bytes_are_an_id_with_hyphens() {
        let id = [
            0xf8, 0x1d, 0x4f, 0xae, 0x7d, 0xec, 0x11, 0xd0, 0xa7, 0x65, 0, 0xa0, 0xc9, 30, 107, 246,
        ];
        for kind in [Kind::Id, Kind::Any] {
            let ids = [Some(id), None].into_iter();
            let ids = FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids, 16).unwrap();
            let ids = decoded(ids, kind).unwrap().array;
            let ids: Vec<_> = ids.as_string_view().iter().collect();
            assert_eq!(ids, [Some("f81d4fae-7dec-11d0-a765-00a0c91e6bf6"), None]);
        }
        let short = FixedSizeBinaryArray::try_from_iter([[1_u8; 8]].into_iter()).unwrap();
        assert!(decoded(short, Kind::Id).is_none());
    }

    #[test]
    fn text_is_trimmed_and_empty_text_is_missing() {
        let texts = decoded(StringArray::from(vec![" a ", " ", "b"]), Kind::Text).unwrap().array;
        let texts: Vec<_> = texts.as_string_view().iter().collect();
        assert_eq!(texts, [Some("a"), None, Some("b")]);
    }

    #[test]
    fn times_of_every_unit_are_floored_to_microseconds() {
        let at = decoded(TimestampNanosecondArray::from(vec![-1]), Kind::Time).unwrap().array;
        assert_eq!(at.as_primitive::<TimestampMicrosecondType>().value(0), -1);
        let Decoded { array, bad } = decoded(
            StringArray::from(vec![Some("1970-01-01T00:00:01Z"), Some("soon"), None]),
            Kind::Time,
        )
        .unwrap();
        assert_eq!(array.as_primitive::<TimestampMicrosecondType>().value(0), SECOND);
        assert_eq!(bad, [(1, Rule::BadTime, "`soon` is not a time".to_owned())]);
    }

    #[test]
    fn an_amount_that_a_setting_leaves_blank_is_missing() {
        let blank: ArrayRef = Arc::new(StringArray::from(vec!["", "12.34", "n/a"]));
        let amounts = Amounts { currency: None, default: Currency::NONE, units: None };
        let Decoded { array, bad } = decode(&blank, Kind::Money, false, true, &amounts).unwrap();
        let minor: Vec<_> = array.as_primitive::<Int64Type>().iter().collect();
        assert_eq!(minor, [None, Some(1234), None]);
        assert_eq!(bad.iter().map(|(row, ..)| *row).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn integers_are_minor_units_and_decimals_major_ones() {
        let minor = |array: ArrayRef, units| {
            let amounts = Amounts { currency: None, default: "EUR".parse().unwrap(), units };
            let decoded = decode(&array, Kind::Money, false, false, &amounts).unwrap();
            decoded.array.as_primitive::<Int64Type>().value(0)
        };
        let integer: ArrayRef = Arc::new(Int32Array::from(vec![1234]));
        let decimal: ArrayRef =
            Arc::new(Decimal128Array::from(vec![1234]).with_precision_and_scale(9, 1).unwrap());
        let float: ArrayRef = Arc::new(Float64Array::from(vec![12.34]));
        assert_eq!(minor(Arc::clone(&integer), None), 1234);
        assert_eq!(minor(integer, Some(Units::Major)), 123_400);
        assert_eq!(minor(decimal, None), 12_340);
        assert_eq!(minor(Arc::clone(&float), None), 1234);
        assert_eq!(minor(float, Some(Units::Minor)), 12);
    }
}
