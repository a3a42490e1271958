//! The first and the last touch take a fixed part each, those between share the rest.

use crate::error::Result;
use crate::models::{Arguments, Entry, Journey, Model, Parameter};

const FORMULA: &str = "share(1) = first, share(n) = last, the others (1 \u{2212} first \u{2212} last) / (n \u{2212} 2) each; \
                       n = 2: first : last; n = 1: all";

const FIRST: &str = "the first touch's share";
const LAST: &str = "the last touch's share";

pub(super) const ENTRY: Entry = Entry {
    name: "position_based",
    summary: "a fixed part each to the first and the last touch, the rest evenly between (U shape)",
    formula: FORMULA,
    parameters: &[
        Parameter { name: "first", default: "0.4", about: FIRST },
        Parameter { name: "last", default: "0.4", about: LAST },
    ],
    misleads: "The parts are a choice, and what lies between is worth less the more of it there \
               is. The first touch depends on the lookback.",
    source: "industry convention; 40 / 20 / 40 as in Google Analytics",
    build,
};

pub(super) const J_CURVE: Entry = Entry {
    name: "j_curve",
    summary: "position_based with 20 % to the first touch and 60 % to the last",
    parameters: &[
        Parameter { name: "first", default: "0.2", about: FIRST },
        Parameter { name: "last", default: "0.6", about: LAST },
    ],
    source: "industry convention",
    ..ENTRY
};

pub(super) const INVERSE_J: Entry = Entry {
    name: "inverse_j",
    summary: "position_based with 60 % to the first touch and 20 % to the last",
    parameters: &[
        Parameter { name: "first", default: "0.6", about: FIRST },
        Parameter { name: "last", default: "0.2", about: LAST },
    ],
    source: "industry convention",
    ..ENTRY
};

fn build(arguments: &Arguments) -> Result<Box<dyn Model>> {
    let (first, last) = (arguments.share("first")?, arguments.share("last")?);
    // A sum that rounding alone lifts above one is one.
    if first + last > 1.0 + 1e-12 {
        return Err(arguments.wrong("first", "`first` and `last` together must not exceed 1"));
    }
    Ok(Box::new(PositionBased { first, last }))
}

/// See [`ENTRY`].
struct PositionBased {
    first: f64,
    last: f64,
}

impl Model for PositionBased {
    fn weigh(&self, _journey: Journey<'_>, weights: &mut [f64]) {
        match weights {
            [only] => *only = 1.0,
            [first, between @ .., last] => {
                *first = self.first;
                *last = self.last;
                let rest = (1.0 - self.first - self.last).max(0.0);
                let each = rest / between.len() as f64;
                between.fill(each);
            }
            [] => {}
        }
    }
}
