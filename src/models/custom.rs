//! Weights by position, counted from either end, as the workspace says.

use crate::error::Result;
use crate::models::{Arguments, Entry, Journey, Model, Parameter};

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
    Ok(Box::new(Custom { first, last, middle }))
}

/// See [`ENTRY`].
struct Custom {
    first: Vec<f64>,
    last: Vec<f64>,
    middle: f64,
}

impl Model for Custom {
    fn weigh(&self, _journey: Journey<'_>, weights: &mut [f64]) {
        let touches = weights.len();
        for (weight, first) in weights.iter_mut().zip(&self.first) {
            *weight += first;
        }
        for (weight, last) in weights.iter_mut().rev().zip(&self.last) {
            *weight += last;
        }
        let from = self.first.len().min(touches);
        let to = touches.saturating_sub(self.last.len()).max(from);
        let between = &mut weights[from..to];
        let each = self.middle / between.len() as f64;
        between.fill(each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_counted_and_the_middle_shares() {
        let custom = Custom { first: vec![0.5, 0.1], last: vec![0.3], middle: 0.2 };
        let weighed = |touches: usize| {
            let mut weights = vec![0.0; touches];
            let (at, direct) = (vec![0; touches], vec![false; touches]);
            custom.weigh(Journey { order_at: 0, touched_at: &at, direct: &direct }, &mut weights);
            weights
        };
        assert_eq!(weighed(1), [0.8]);
        assert_eq!(weighed(2), [0.5, 0.4]);
        assert_eq!(weighed(3), [0.5, 0.1, 0.3]);
        assert_eq!(weighed(5), [0.5, 0.1, 0.1, 0.1, 0.3]);
    }
}
