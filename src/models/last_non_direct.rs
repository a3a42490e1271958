//! The last touch that is not direct takes all.

use crate::models::{Entry, Journey, Model};

pub(super) const ENTRY: Entry = Entry {
    name: "last_non_direct",
    summary: "the whole order to the last touch that is not direct",
    formula: "share(i) = 1 for the greatest i whose source is not direct; share(n) = 1 if all are",
    parameters: &[],
    misleads: "Like last_click, but it also denies that anybody comes back by intent. An old \
               e-mail click can take an order that a visit typed in by hand closed.",
    source: "industry convention; the default of Universal Analytics",
    build: |_| Ok(Box::new(LastNonDirect {})),
};

/// See [`ENTRY`].
struct LastNonDirect {}

impl Model for LastNonDirect {
    fn weigh(&self, journey: Journey<'_>, weights: &mut [f64]) {
        let last = journey.direct.iter().rposition(|direct| !direct);
        weights[last.unwrap_or_else(|| journey.touches() - 1)] = 1.0;
    }

    fn explain(
        &self,
        journey: Journey<'_>,
        touch: usize,
        weight: f64,
        _channel: &str,
    ) -> Option<String> {
        let all_direct = journey.direct.iter().all(|direct| *direct);
        Some(match (weight > 0.0, all_direct) {
            (true, false) => "1 to the last touch that is not direct".to_owned(),
            (true, true) => "1 to the last touch, as all are direct".to_owned(),
            (false, _) if journey.direct[touch] => "0, direct".to_owned(),
            (false, _) => "0, not the last".to_owned(),
        })
    }
}
