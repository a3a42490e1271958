//! Resampling: what a figure might have been, had other persons of the same kind come.
//!
//! A resample counts every person a random number of times, once on average. No row is copied: a
//! person's part of each sum is worked out once, and added as often as each resample counts the
//! person. `draws` says how often that is, `journeys` the same where only a number of journeys is known,
//! and `sums` adds it up. Not for which sums there are (that is `engine`), nor for what follows from them
//! (`report`).

mod draws;
mod journeys;
mod sums;

pub(crate) use draws::mixed;
pub use draws::{Draws, MOST_DRAWN, key_of};
pub use journeys::Journeys;
pub use sums::{PersonRows, Resampled};

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

/// How much a run resamples, and what it says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bootstrap {
    /// How many resamples are made.
    pub resamples: usize,
    /// How often each counts a person.
    pub draws: Draws,
    /// Which part of the resamples an interval holds.
    pub level: Level,
}

/// The part of all resamples that an interval holds, in millionths: between none and all.
///
/// # Example
///
/// ```
/// use apportion::bootstrap::Level;
/// let level: Level = "95%".parse().unwrap();
/// assert_eq!((level, level.to_string()), ("0.95".parse().unwrap(), "95 %".to_owned()));
/// assert_eq!((level.rank(1000), level.rank(38), level.least()), (25, 0, 39));
/// assert!("1".parse::<Level>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    millionths: u64,
}

const MILLION: u64 = 1_000_000;

impl Default for Level {
    fn default() -> Self {
        Self { millionths: 950_000 }
    }
}

impl Level {
    /// Which of so many values in their order is an interval's lower bound, from one; its upper
    /// bound is as far from the other end. Zero where there are too few values.
    ///
    /// It is the whole part of (values + 1)(1 − level)/2, so that a bound is always a value that
    /// occurred (Efron and Tibshirani 1993, section 12.5).
    pub fn rank(self, values: usize) -> usize {
        let rank = (values as u64 + 1) * (MILLION - self.millionths) / (2 * MILLION);
        usize::try_from(rank).unwrap_or(usize::MAX)
    }

    /// The least number of resamples that have both bounds.
    pub fn least(self) -> usize {
        let least = (2 * MILLION).div_ceil(MILLION - self.millionths) - 1;
        usize::try_from(least).unwrap_or(usize::MAX)
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || "write a part between 0 and 1 such as `0.95`, or `95%`".to_owned();
        let (number, unit) = match text.trim().strip_suffix('%') {
            Some(percent) => (percent.trim_end(), MILLION / 100),
            None => (text.trim(), MILLION),
        };
        let number: Decimal = number.parse().map_err(|_| wrong())?;
        let millionths = number.checked_mul(unit.into()).ok_or_else(wrong)?;
        let whole = u64::try_from(millionths).ok().filter(|_| millionths.is_integer());
        match whole {
            Some(millionths) if (1..MILLION).contains(&millionths) => Ok(Self { millionths }),
            _ => Err(wrong()),
        }
    }
}

impl Display for Level {
    fn fmt(&self, to: &mut Formatter<'_>) -> std::fmt::Result {
        write!(to, "{} %", Decimal::new(self.millionths.cast_signed(), 4).normalize())
    }
}

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(self.millionths as f64 / MILLION as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_part_between_none_and_all() {
        for text in ["0", "1", "100%", "-0.5", "ninety", "", "0.12345678", "1e99"] {
            assert!(text.parse::<Level>().is_err(), "{text}");
        }
        for (text, least) in [("90%", 19), ("0.8", 9), ("0.99", 199), ("99.9%", 1999)] {
            let level: Level = text.parse().unwrap();
            assert_eq!(level.least(), least, "{text}");
            assert_eq!((level.rank(least - 1), level.rank(least)), (0, 1), "{text}");
        }
    }
}
