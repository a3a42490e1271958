//! When the touches of each person can lie in a journey: what lies outside need not be kept.

use crate::config::Config;
use crate::identity::Merged;
use crate::touchpoints;

/// When the touches of each person can lie in a journey.
pub(super) struct Spans {
    /// The place of each user's person among the spans.
    place: Vec<u32>,
    /// From when until when, by that place; the last is that of whoever did not order.
    span: Vec<(i64, i64)>,
}

/// What every touch lies in, and what none does.
const ALWAYS: (i64, i64) = (i64::MIN, i64::MAX);
const NEVER: (i64, i64) = (i64::MAX, i64::MIN);

impl Spans {
    /// `person` is the person of each user.
    pub(super) fn new(config: &Config, orders: &Merged, person: &[u32]) -> Self {
        // What led to no order is looked at too.
        if config.needs_everybody() {
            return Self { place: Vec::new(), span: vec![ALWAYS] };
        }
        let at = touchpoints::instants(&orders.rows);
        let window = &config.window;
        let longest = match (window.lookback, window.view_lookback) {
            (Some(sessions), Some(views)) => Some(sessions.max(views)),
            _ => None,
        };
        let mut places = vec![u32::MAX; person.len()];
        let mut span: Vec<(i64, i64)> = Vec::new();
        for (person, at) in orders.person.iter().zip(at) {
            let from = longest.map_or(i64::MIN, |longest| at.saturating_sub(longest));
            let place = &mut places[*person as usize];
            if let Some((first, last)) = span.get_mut(*place as usize) {
                (*first, *last) = ((*first).min(from), (*last).max(at));
            } else {
                *place = u32::try_from(span.len()).unwrap_or(u32::MAX);
                span.push((from, at));
            }
        }
        let place = person.iter().map(|person| places[*person as usize]).collect();
        span.push(NEVER);
        Self { place, span }
    }

    /// Whether a touch of a user at some instant can lie in a journey; a user that is not known did
    /// not order.
    pub(super) fn hold(&self, user: u32, at: i64) -> bool {
        let place = self.place.get(user as usize).map_or(usize::MAX, |place| *place as usize);
        let (from, until) = self.span[place.min(self.span.len() - 1)];
        (from..=until).contains(&at)
    }
}
