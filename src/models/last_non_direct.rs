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
}
