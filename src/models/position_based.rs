//! The first and the last touch take a fixed part each, those between share the rest.

use rust_decimal::Decimal;

use crate::error::Result;
use crate::models::arguments::whole;
use crate::models::{Arguments, Entry, Journey, Model, Parameter, figure};

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
    let rest = Decimal::ONE - first - last;
    if rest < Decimal::ZERO {
        return Err(arguments.wrong("first", "`first` and `last` together must not exceed 1"));
    }
    let shares = whole(&[first, last, rest]);
    Ok(Box::new(PositionBased { first: shares[0], last: shares[1], rest: shares[2] }))
}

/// See [`ENTRY`]. The shares are whole numbers in proportion, so that dividing by them is exact.
struct PositionBased {
    first: f64,
    last: f64,
    rest: f64,
}

impl Model for PositionBased {
    fn weigh(&self, _journey: Journey<'_>, weights: &mut [f64]) {
        match weights {
            [only] => *only = 1.0,
            [first, last] => (*first, *last) = (self.first, self.last),
            [first, between @ .., last] => {
                // Everything times the touches between: each of them weighs the rest.
                let touches = between.len() as f64;
                (*first, *last) = (self.first * touches, self.last * touches);
                between.fill(self.rest);
            }
            [] => {}
        }
    }

    fn explain(
        &self,
        journey: Journey<'_>,
        touch: usize,
        weight: f64,
        _channel: &str,
    ) -> Option<String> {
        let weight = figure(weight);
        // As `weigh` has it: everything times the touches between.
        let between = |part: f64| match journey.touches() {
            2 => weight.clone(),
            touches => format!("{} \u{d7} {} between = {weight}", figure(part), touches - 2),
        };
        Some(match touch {
            _ if journey.touches() == 1 => "1, the only touch".to_owned(),
            0 => format!("first: {}", between(self.first)),
            _ if touch + 1 == journey.touches() => format!("last: {}", between(self.last)),
            _ => format!("between: {weight}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::credits::Divider;
    use crate::models::ask;

    fn divided(model: &str, touches: usize, amount: i64) -> Vec<i64> {
        let model = ask(model, &BTreeMap::new()).unwrap().model;
        let (at, direct) = (vec![0; touches], vec![false; touches]);
        let (mut weights, mut parts) = (vec![0.0; touches], vec![0; touches]);
        let journey = Journey {
            order_at: 0,
            touched_at: &at,
            direct: &direct,
            channels: &[],
            watched_until: &[],
        };
        model.weigh(journey, &mut weights);
        let mut divider = Divider::default();
        divider.weigh(&weights);
        divider.divide(amount, &mut parts);
        parts
    }

    #[test]
    fn ties_of_decimal_shares_go_to_the_earlier_touch() {
        // 1.5 and 0.5; 1.2, 0.2, 0.2, 0.2, 1.2; 1.4, 0.4, 0.2.
        assert_eq!(divided("inverse_j", 2, 2), [2, 0]);
        assert_eq!(divided("position_based", 5, 3), [2, 0, 0, 0, 1]);
        assert_eq!(divided("position_based:first=0.7:last=0.1", 3, 2), [2, 0, 0]);
    }
}
