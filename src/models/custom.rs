//! Weights by position, counted from either end, as the workspace says.

use crate::error::Result;
use crate::models::arguments::whole;
use crate::models::{Arguments, Entry, Journey, Model, Parameter, figure};

pub(super) const ENTRY: Entry = Entry {
    name: "custom",
    summary: "weights by position from either end, as the workspace says",
    formula: "weight(i) = first[i] + last[n + 1 \u{2212} i] where listed; touches in neither list share \
              middle evenly; then normalised (all zero: evenly)",
    parameters: &[
        Parameter {
            name: "first",
            default: "",
            about: "weights of the first touches, in order, divided by slashes: 0.5/0.2",
        },
        Parameter {
            name: "last",
            default: "",
            about: "weights of the last touches, the very last one first: 0.3/0.1",
        },
        Parameter {
            name: "middle",
            default: "1",
            about: "what the touches in neither list share evenly",
        },
    ],
    misleads: "Says what its author believes. Compare it with others before money follows it.",
    source: "the workspace",
    build,
};

fn build(arguments: &Arguments) -> Result<Box<dyn Model>> {
    let (first, last) = (arguments.weights("first")?, arguments.weights("last")?);
    let [middle] = arguments.weights("middle")?[..] else {
        return Err(arguments.wrong("middle", "write one weight from 0 up"));
    };
    let mut weights = whole(&[&first[..], &last[..], &[middle]].concat());
    let middle = weights.pop().unwrap_or_default();
    let last = weights.split_off(first.len());
    Ok(Box::new(Custom { first: weights, last, middle }))
}

/// See [`ENTRY`]. The weights are whole numbers in proportion, so that dividing by them is exact.
struct Custom {
    first: Vec<f64>,
    last: Vec<f64>,
    middle: f64,
}

impl Model for Custom {
    fn weigh(&self, _journey: Journey<'_>, weights: &mut [f64]) {
        let touches = weights.len();
        let from = self.first.len().min(touches);
        let to = touches.saturating_sub(self.last.len()).max(from);
        // Everything times the touches between: each of them weighs the middle.
        let between = (to - from).max(1) as f64;
        for (weight, first) in weights.iter_mut().zip(&self.first) {
            *weight += first * between;
        }
        for (weight, last) in weights.iter_mut().rev().zip(&self.last) {
            *weight += last * between;
        }
        weights[from..to].fill(self.middle);
    }

    fn explain(
        &self,
        journey: Journey<'_>,
        touch: usize,
        weight: f64,
        _channel: &str,
    ) -> Option<String> {
        let from_end = journey.touches() - 1 - touch;
        let of_list = |name: &str, list: &[f64], at: usize| {
            list.get(at).map(|part| format!("{name}[{}] {}", at + 1, figure(*part)))
        };
        let listed = [of_list("first", &self.first, touch), of_list("last", &self.last, from_end)];
        let listed: Vec<String> = listed.into_iter().flatten().collect();
        let between = journey.touches().saturating_sub(self.first.len() + self.last.len()).max(1);
        Some(match (listed.as_slice(), between) {
            ([], _) => format!("middle {}", figure(weight)),
            (_, 1) => format!("{} = {}", listed.join(" + "), figure(weight)),
            _ => {
                format!("({}) \u{d7} {between} between = {}", listed.join(" + "), figure(weight))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_counted_and_the_middle_shares() {
        let custom = Custom { first: vec![5.0, 1.0], last: vec![3.0], middle: 2.0 };
        let weighed = |touches: usize| {
            let mut weights = vec![0.0; touches];
            let (at, direct) = (vec![0; touches], vec![false; touches]);
            let journey = Journey {
                order_at: 0,
                touched_at: &at,
                direct: &direct,
                channels: &[],
                watched_until: &[],
            };
            custom.weigh(journey, &mut weights);
            weights
        };
        assert_eq!(weighed(1), [8.0]);
        assert_eq!(weighed(2), [5.0, 4.0]);
        assert_eq!(weighed(3), [5.0, 1.0, 3.0]);
        assert_eq!(weighed(5), [10.0, 2.0, 2.0, 2.0, 6.0]);
    }
}
