//! When the touches of each person can lie in a journey: what lies outside need not be kept.

use crate::config::Config;
use crate::identity::Merged;
use crate::touchpoints;

/// When the touches of each person can lie in a journey.
pub(super) struct Spans {
    /// The place of each user's person among those who ordered.
    place: Vec<u32>,
    /// From when until when, by that place.
    span: Vec<(i64, i64)>,
    /// Whether touches are kept wherever they lie: what led to no order is looked at too.
    all: bool,
}

impl Spans {
    const NONE: u32 = u32::MAX;

    /// `person` is the person of each user.
    pub(super) fn new(config: &Config, orders: &Merged, person: &[u32]) -> Self {
        let at = touchpoints::instants(&orders.rows);
        let window = &config.window;
        let longest = match (window.lookback, window.view_lookback) {
            (Some(sessions), Some(views)) => Some(sessions.max(views)),
            _ => None,
        };
        let all = config.needs_everybody();
        let mut places = vec![Self::NONE; person.len()];
        let mut span: Vec<(i64, i64)> = Vec::new();
        for (person, at) in orders.person.iter().zip(at) {
            let from = longest.map_or(i64::MIN, |longest| at.saturating_sub(longest));
            let place = &mut places[*person as usize];
            if *place == Self::NONE {
                *place = u32::try_from(span.len()).unwrap_or(Self::NONE);
                span.push((from, at));
            } else {
                let (first, last) = &mut span[*place as usize];
                (*first, *last) = ((*first).min(from), (*last).max(at));
            }
        }
        let place = person.iter().map(|person| places[*person as usize]).collect();
        Self { place, span, all }
    }

    /// Whether a touch of a user at some instant can lie in a journey.
    pub(super) fn hold(&self, user: u32, at: i64) -> bool {
        let place = self.place[user as usize];
        self.all
            || place != Self::NONE && {
                let (from, until) = self.span[place as usize];
                (from..=until).contains(&at)
            }
    }
}
