//! What a run says of a model's parameters, read into values that are right.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::calendar::parse_duration;
use crate::error::{Error, Result};
use crate::journeys::Dimension;
use crate::models::markov::ORDERS;
use crate::models::{BY, Entry};

/// Decimals as whole numbers in proportion, as far as a float holds them.
///
/// `0.4, 0.4, 0.2` becomes `4, 4, 2`.
pub(super) fn whole(decimals: &[Decimal]) -> Vec<f64> {
    let scale = decimals.iter().map(|decimal| decimal.normalize().scale()).max().unwrap_or(0);
    let factor = Decimal::from(10_u64.pow(scale.min(12)));
    // Shares and weights are at most a million: times a factor of at most 10^12 they fit.
    decimals.iter().map(|decimal| (decimal * factor).to_f64().unwrap_or_default()).collect()
}

/// The arguments of one model; a parameter that is not given has its default.
#[derive(Debug, Clone)]
pub struct Arguments {
    model: &'static str,
    values: BTreeMap<String, String>,
}

impl Arguments {
    /// Checks that every argument is a parameter of the model, and fills in the defaults.
    pub fn new(entry: &Entry, given: BTreeMap<String, String>) -> Result<Self> {
        let known = || entry.parameters.iter().map(|parameter| parameter.name.to_owned());
        for name in given.keys() {
            if !known().any(|parameter| parameter == *name) {
                if entry.parameters.is_empty() {
                    let why = "the model has no parameters";
                    return Err(Error::setting(format!("--model {}", entry.name), name, why));
                }
                return Err(Error::Unknown {
                    kind: "parameter",
                    name: name.clone(),
                    known: known().collect(),
                });
            }
        }
        let mut values: BTreeMap<String, String> = entry
            .parameters
            .iter()
            .map(|parameter| (parameter.name.to_owned(), parameter.default.to_owned()))
            .collect();
        values.extend(given);
        Ok(Self { model: entry.name, values })
    }

    /// A duration above zero, in microseconds.
    pub fn duration(&self, name: &str) -> Result<i64> {
        let text = self.text(name);
        parse_duration(text)
            .filter(|duration| *duration > 0)
            .ok_or_else(|| self.wrong(name, "write a duration above zero, such as `7d` or `12h`"))
    }

    /// A share from 0 to 1, exactly as it is written.
    pub fn share(&self, name: &str) -> Result<Decimal> {
        let share = self.text(name).parse::<Decimal>().ok();
        share
            .filter(|share| (Decimal::ZERO..=Decimal::ONE).contains(share))
            .ok_or_else(|| self.wrong(name, "write a share from 0 to 1, such as `0.4`"))
    }

    /// Weights from 0 up, exactly as they are written, divided by slashes: `0.5/0.3/0.2`; none if
    /// empty.
    pub fn weights(&self, name: &str) -> Result<Vec<Decimal>> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let within = |weight: &Decimal| (Decimal::ZERO..=Decimal::from(1_000_000)).contains(weight);
        let weights = text.split('/').map(|text| text.trim().parse().ok().filter(within));
        weights
            .collect::<Option<_>>()
            .ok_or_else(|| self.wrong(name, "write weights from 0 to a million, such as `0.5/0.3`"))
    }

    /// How much a coefficient is drawn to zero, 0.001 to a million.
    pub(super) fn penalty(&self, name: &str) -> Result<f64> {
        let penalty = self.text(name).parse().ok();
        penalty
            .filter(|penalty| (0.001..=1e6).contains(penalty))
            .ok_or_else(|| self.wrong(name, "write a number from 0.001 to a million, such as `1`"))
    }

    /// A whole number within bounds.
    pub fn whole(&self, name: &str, bounds: RangeInclusive<u64>) -> Result<u64> {
        let number = self.text(name).parse().ok().filter(|number| bounds.contains(number));
        let (least, most) = (bounds.start(), bounds.end());
        number.ok_or_else(|| {
            self.wrong(name, &format!("write a whole number from {least} to {most}"))
        })
    }

    /// The order of a chain; `or` says what else can be written.
    pub(super) fn order(&self, name: &str, or: &str) -> Result<usize> {
        let number = self.text(name).parse().ok().filter(|number| ORDERS.contains(number));
        let why = || self.wrong(name, &format!("write a whole number from 1 to 4{or}"));
        number.and_then(|number| usize::try_from(number).ok()).ok_or_else(why)
    }

    /// The column of touches that [`BY`] names.
    pub fn column(&self) -> Result<String> {
        match Dimension::parse(self.text(BY.name)) {
            Dimension::Touch(column) if !column.is_empty() => Ok(column),
            _ => Err(self.wrong(BY.name, "write a column of touches, such as `utm_source`")),
        }
    }

    /// An error about the value of a parameter.
    pub fn wrong(&self, name: &str, why: &str) -> Error {
        Error::setting(format!("--model {}:{name}", self.model), self.text(name), why)
    }

    /// The value of a parameter, as it was written.
    pub fn text(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }
}
