//! The last touch takes all.

use crate::models::{Entry, Journey, Model};

pub(super) const ENTRY: Entry = Entry {
    name: "last_click",
    summary: "the whole order to the last touch before it",
    formula: "share(n) = 1, all others 0",
    parameters: &[],
    misleads: "Rewards what harvests demand (brand search, direct, coupon sites) and hides what \
               created it. Fair only where journeys have one touch.",
    source: "industry convention; the default of early web analytics",
    build: |_| Ok(Box::new(LastClick {})),
};

/// See [`ENTRY`].
struct LastClick {}

impl Model for LastClick {
    fn weigh(&self, _journey: Journey<'_>, weights: &mut [f64]) {
        if let Some(last) = weights.last_mut() {
            *last = 1.0;
        }
    }

    fn explain(
        &self,
        _journey: Journey<'_>,
        _touch: usize,
        weight: f64,
        _channel: &str,
    ) -> Option<String> {
        Some(if weight > 0.0 { "1 to the last touch" } else { "0, not the last" }.to_owned())
    }
}
