//! Every touch takes the same.

use crate::models::{Entry, Journey, Model};

pub(super) const ENTRY: Entry = Entry {
    name: "linear",
    summary: "the order in equal parts to all touches",
    formula: "share(i) = 1 / n",
    parameters: &[],
    misleads: "Rewards what is seen often, whether or not it changed anything: retargeting and \
               newsletters gain with every impression.",
    source: "industry convention",
    build: |_| Ok(Box::new(Linear {})),
};

/// See [`ENTRY`].
struct Linear {}

impl Model for Linear {
    fn weigh(&self, _journey: Journey<'_>, weights: &mut [f64]) {
        weights.fill(1.0);
    }

    fn explain(
        &self,
        _journey: Journey<'_>,
        _touch: usize,
        _weight: f64,
        _channel: &str,
    ) -> Option<String> {
        Some("1 to every touch".to_owned())
    }
}
