//! Columns that apportion does not know: one canonical text a value, and the narrowest type that
//! all values of a column share.
//!
//! A value is its canonical text, and a column's type follows from the texts alone. So a type says
//! nothing that the texts do not, and a later ingest that widens a column gives the same bytes as
//! one ingest of everything.

use arrow::datatypes::{DataType, TimeUnit};
use chrono::DateTime;

use crate::calendar::{EARLIEST, LATEST, format_instant};

/// A number in its own digits as its canonical text: `1.50` is `1.5`, `1e3` is `1000`.
pub(super) fn of_number(digits: &str) -> String {
    if digits.bytes().all(|digit| digit.is_ascii_digit() || digit == b'-') && digits != "-0" {
        return digits.to_owned();
    }
    match digits.parse::<f64>() {
        Ok(number) if number.is_finite() => number.to_string(),
        _ => digits.to_owned(),
    }
}

/// A text as its canonical text: a whole RFC 3339 time is put in UTC, all else stays as it is.
pub(super) fn of_text(text: &str) -> String {
    let text = text.trim();
    time(text).map_or_else(|| text.to_owned(), format_instant)
}

fn time(text: &str) -> Option<i64> {
    // No shorter text is a time with a zone; most texts are no times.
    if text.len() < "2024-03-31T10:00:00Z".len() || !text.starts_with(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    let at = DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros();
    (EARLIEST..=LATEST).contains(&at).then_some(at)
}

/// A type that a column can take, narrowest first.
const TYPES: [fn(&str) -> bool; 4] = [
    |text| as_flag(text).is_some(),
    |text| as_integer(text).is_some(),
    |text| as_number(text).is_some(),
    |text| as_time(text).is_some(),
];

/// Which of [`TYPES`] every text of a column so far fits; none, where nothing was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Narrow(Option<[bool; TYPES.len()]>);

impl Narrow {
    /// Takes in a canonical text.
    pub(super) fn see(&mut self, text: &str) {
        let fits = self.0.get_or_insert([true; TYPES.len()]);
        for (fits, holds) in fits.iter_mut().zip(TYPES) {
            *fits = *fits && holds(text);
        }
    }

    /// The narrowest type.
    pub(super) fn data_type(self) -> DataType {
        match self.0 {
            Some([true, ..]) => DataType::Boolean,
            Some([_, true, ..]) => DataType::Int64,
            Some([_, _, true, _]) => DataType::Float64,
            Some([.., true]) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            _ => DataType::Utf8,
        }
    }
}

/// The flag that a canonical text is.
pub(super) fn as_flag(text: &str) -> Option<bool> {
    text.parse().ok()
}

/// The integer that a canonical text is.
pub(super) fn as_integer(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().filter(|number| number.to_string() == text)
}

/// The number that a canonical text is; one that a float cannot hold stays a text.
pub(super) fn as_number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| number.is_finite() && number.to_string() == text)
}

/// The instant that a canonical text is.
pub(super) fn as_time(text: &str) -> Option<i64> {
    time(text).filter(|at| format_instant(*at) == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowest(texts: &[&str]) -> DataType {
        let mut narrow = Narrow::default();
        for text in texts {
            narrow.see(text);
        }
        narrow.data_type()
    }

    #[test]
    fn a_column_takes_the_narrowest_type_that_all_its_values_share() {
        assert_eq!(narrowest(&["true", "false"]), DataType::Boolean);
        assert_eq!(narrowest(&["5", "-7"]), DataType::Int64);
        assert_eq!(narrowest(&["5", "1.5"]), DataType::Float64);
        assert_eq!(narrowest(&["5", "true"]), DataType::Utf8);
        assert_eq!(narrowest(&["01234"]), DataType::Utf8);
        assert_eq!(narrowest(&["9007199254740993", "0.5"]), DataType::Utf8);
        assert!(matches!(narrowest(&["2024-03-31T10:00:00Z"]), DataType::Timestamp(..)));
        assert_eq!(narrowest(&["2024-03-31"]), DataType::Utf8);
        assert_eq!(narrowest(&[]), DataType::Utf8);
    }

    #[test]
    fn canonical_texts_are_one_for_one_value() {
        assert_eq!(of_number("1.50"), "1.5");
        assert_eq!(of_number("1e3"), "1000");
        assert_eq!(of_number("5.0"), "5");
        assert_eq!(of_number("18446744073709551616"), "18446744073709551616");
        assert_eq!(of_text(" 2024-03-31T12:00:00.500+02:00 "), "2024-03-31T10:00:00.500000Z");
        assert_eq!(of_text("2024-03-31"), "2024-03-31");
    }
}
