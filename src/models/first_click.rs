//! The first touch takes all.

use crate::models::{Entry, Journey, Model};

pub(super) const ENTRY: Entry = Entry {
    name: "first_click",
    summary: "the whole order to the first touch in its window",
    formula: "share(1) = 1, all others 0",
    parameters: &[],
    misleads: "Depends on the lookback: what is first in 30 days is rarely first in 90. Ignores \
               everything that kept the person interested.",
    source: "industry convention",
    build: |_| Ok(Box::new(FirstClick {})),
};

/// See [`ENTRY`].
struct FirstClick {}

impl Model for FirstClick {
    fn weigh(&self, _journey: Journey<'_>, weights: &mut [f64]) {
        if let Some(first) = weights.first_mut() {
            *first = 1.0;
        }
    }

    fn explain(
        &self,
        _journey: Journey<'_>,
        _touch: usize,
        weight: f64,
        _channel: &str,
    ) -> Option<String> {
        Some(if weight > 0.0 { "1 to the first touch" } else { "0, not the first" }.to_owned())
    }
}
