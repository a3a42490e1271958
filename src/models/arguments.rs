//! What a run says of a model's parameters, read into values that are right.

use std::collections::BTreeMap;

use crate::calendar::parse_duration;
use crate::error::{Error, Result};
use crate::models::Entry;

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

    /// A share from 0 to 1.
    pub fn share(&self, name: &str) -> Result<f64> {
        let share = self.text(name).parse::<f64>().ok();
        share
            .filter(|share| (0.0..=1.0).contains(share))
            .ok_or_else(|| self.wrong(name, "write a share from 0 to 1, such as `0.4`"))
    }

    /// Weights from 0 up, divided by slashes: `0.5/0.3/0.2`; none if empty.
    pub fn weights(&self, name: &str) -> Result<Vec<f64>> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let weight = |text: &str| {
            text.trim().parse::<f64>().ok().filter(|weight| weight.is_finite() && *weight >= 0.0)
        };
        text.split('/')
            .map(weight)
            .collect::<Option<_>>()
            .ok_or_else(|| self.wrong(name, "write weights from 0 up, such as `0.5/0.3`"))
    }

    /// An error about the value of a parameter.
    pub fn wrong(&self, name: &str, why: &str) -> Error {
        Error::setting(format!("--model {}:{name}", self.model), self.text(name), why)
    }

    fn text(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }
}
