//! Money as integers of minor units: currencies, exact conversion, exact printing.
//!
//! Not for dividing an amount among touches; that is `credits`.

use std::fmt;
use std::str::FromStr;

use rust_decimal::prelude::{FromPrimitive, ToPrimitive};
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

/// An ISO 4217 currency, or `XXX` where none is known.
///
/// # Example
///
/// ```
/// use apportion::money::Currency;
/// let yen: Currency = "JPY".parse()?;
/// assert_eq!((yen.exponent(), yen.format(1234)), (0, "1234".to_owned()));
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Currency([u8; 3]);

impl Currency {
    /// No currency: two decimals, never converted.
    pub const NONE: Self = Self(*b"XXX");

    /// The three letters of the code.
    ///
    /// # Panics
    ///
    /// Never: a code holds three ASCII letters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a code is three ASCII letters")
    }

    /// How many decimals the minor unit stands for, by ISO 4217: JPY 0, EUR 2, KWD 3.
    pub fn exponent(self) -> u32 {
        if self == Self::NONE {
            return 2;
        }
        iso_currency::Currency::from_code(self.code())
            .and_then(iso_currency::Currency::exponent)
            .map_or(2, u32::from)
    }

    /// An amount in minor units as an exact decimal in major units.
    pub fn format(self, minor: i128) -> String {
        format_scaled(minor, self.exponent())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let code = text.trim().to_ascii_uppercase();
        match <[u8; 3]>::try_from(code.as_bytes()) {
            Ok(letters) if code == "XXX" || iso_currency::Currency::from_code(&code).is_some() => {
                Ok(Self(letters))
            }
            _ => Err(format!("`{text}` is not an ISO 4217 currency; write a code such as EUR")),
        }
    }
}

/// An integer with `scale` decimals as text: `format_scaled(1234, 2)` is `12.34`.
pub fn format_scaled(value: i128, scale: u32) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = value.unsigned_abs().to_string();
    let scale = scale as usize;
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (major, minor) = padded.split_at(padded.len() - scale);
    format!("{sign}{major}.{minor}")
}

/// Whether an input column holds minor units (`1234`) or major units (`12.34`).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Units {
    /// Hundredths, for a currency with two decimals.
    Minor,
    /// Whole units, with decimals.
    Major,
}

/// Below this (2^52) a float holds halves exactly.
const EXACT: f64 = 4_503_599_627_370_496.0;

/// A float in major units as minor units, half to even.
///
/// The float stands for its shortest decimal text, which is what the export showed: 49.99 is
/// 4,999 minor units of two decimals. `None` where it is not finite or leaves 64 bits.
pub fn minor_from_f64(major: f64, exponent: u32) -> Option<i64> {
    let scaled = major * 10_f64.powi(i32::try_from(exponent).ok()?);
    if !scaled.is_finite() {
        return None;
    }
    let nearest = scaled.round_ties_even();
    // Far from a half, and small enough for every integer to be exact, rounding cannot be wrong.
    if nearest.abs() < EXACT && (scaled - nearest).abs() < 0.499 {
        #[expect(clippy::cast_possible_truncation, reason = "below 2^52 by the check above")]
        return Some(nearest as i64);
    }
    let exact: Decimal =
        major.to_string().parse().ok().or_else(|| Decimal::from_f64_retain(major))?;
    minor_from_decimal(exact, exponent)
}

/// A decimal in major units as minor units, half to even; `None` where it leaves 64 bits.
pub fn minor_from_decimal(major: Decimal, exponent: u32) -> Option<i64> {
    let rounded = major.round_dp_with_strategy(exponent, RoundingStrategy::MidpointNearestEven);
    rounded.checked_mul(Decimal::from(10_i64.checked_pow(exponent)?))?.to_i64()
}

/// An integer with `scale` decimals, in major units, as minor units, half to even.
pub fn minor_from_scaled(value: i128, scale: i8, exponent: u32) -> Option<i64> {
    let shift = i32::from(scale) - i32::try_from(exponent).ok()?;
    let minor = if shift <= 0 {
        value.checked_mul(10_i128.checked_pow(shift.unsigned_abs())?)?
    } else {
        match 10_i128.checked_pow(shift.unsigned_abs()) {
            None => 0,
            Some(divisor) => {
                let (quotient, rest) = (value.div_euclid(divisor), value.rem_euclid(divisor));
                let up = match rest.cmp(&(divisor - rest)) {
                    std::cmp::Ordering::Less => 0,
                    std::cmp::Ordering::Equal => quotient & 1,
                    std::cmp::Ordering::Greater => 1,
                };
                quotient + up
            }
        }
    };
    i64::try_from(minor).ok()
}

/// An amount of one currency in another, half to even.
///
/// `rate` is units of `from` for one unit of `to`. `None` where the result leaves 64 bits or the
/// rate is zero.
pub fn convert(minor: i64, from: Currency, to: Currency, rate: Decimal) -> Option<i64> {
    let major = Decimal::from(minor).checked_div(Decimal::from(10_i64.pow(from.exponent())))?;
    minor_from_decimal(major.checked_div(rate)?, to.exponent())
}

/// A rate as an exact decimal; `None` unless it is finite and above zero.
pub fn rate_from_f64(rate: f64) -> Option<Decimal> {
    if !rate.is_finite() || rate <= 0.0 {
        return None;
    }
    rate.to_string().parse().ok().or_else(|| Decimal::from_f64(rate)).filter(|rate| !rate.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_are_those_of_iso_4217() {
        let exponent = |code: &str| code.parse::<Currency>().unwrap().exponent();
        assert_eq!(
            (exponent("JPY"), exponent("EUR"), exponent("KWD"), exponent("CLF")),
            (0, 2, 3, 4)
        );
        assert_eq!((exponent("xxx"), exponent("usd")), (2, 2));
        assert!("EURO".parse::<Currency>().is_err() && "ZZZ".parse::<Currency>().is_err());
    }

    #[test]
    fn floats_round_as_their_decimal_text_does_half_to_even() {
        assert_eq!(minor_from_f64(49.99, 2), Some(4999));
        assert_eq!(minor_from_f64(1.005, 2), Some(100));
        assert_eq!(minor_from_f64(1.015, 2), Some(102));
        assert_eq!(minor_from_f64(0.125, 2), Some(12));
        assert_eq!(minor_from_f64(-0.135, 2), Some(-14));
        assert_eq!(minor_from_f64(2.5, 0), Some(2));
        assert_eq!(minor_from_f64(f64::NAN, 2), None);
        assert_eq!(minor_from_f64(1e300, 2), None);
        assert_eq!(minor_from_f64(1e-300, 2), Some(0));
    }

    #[test]
    fn scaled_integers_round_half_to_even_on_both_sides_of_zero() {
        assert_eq!(minor_from_scaled(1250, 3, 2), Some(125));
        assert_eq!(minor_from_scaled(1255, 3, 2), Some(126));
        assert_eq!(minor_from_scaled(1245, 3, 2), Some(124));
        assert_eq!(minor_from_scaled(-1245, 3, 2), Some(-124));
        assert_eq!(minor_from_scaled(-1255, 3, 2), Some(-126));
        assert_eq!(minor_from_scaled(12, 0, 2), Some(1200));
        assert_eq!(minor_from_scaled(i128::from(i64::MAX), 0, 2), None);
    }

    #[test]
    fn amounts_print_with_every_decimal_and_a_sign() {
        assert_eq!(format_scaled(5, 2), "0.05");
        assert_eq!(format_scaled(-1234, 3), "-1.234");
        assert_eq!(format_scaled(-7, 0), "-7");
    }

    #[test]
    fn conversion_divides_by_the_rate() {
        let (usd, jpy) = ("USD".parse().unwrap(), "JPY".parse().unwrap());
        assert_eq!(convert(1100, usd, "EUR".parse().unwrap(), Decimal::new(11, 1)), Some(1000));
        assert_eq!(convert(1600, jpy, usd, Decimal::from(160)), Some(1000));
        assert_eq!(convert(1, usd, jpy, Decimal::ZERO), None);
    }
}
