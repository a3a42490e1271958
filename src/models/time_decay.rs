//! The nearer a touch is to the order, the more it takes.

use crate::calendar::format_duration;
use crate::error::Result;
use crate::models::{Arguments, Entry, Journey, Model, Parameter, figure};

pub(super) const ENTRY: Entry = Entry {
    name: "time_decay",
    summary: "the more to a touch the nearer it is to the order, halving with every half-life",
    formula: "share(i) \u{221d} 2^(\u{2212}age(i) / half_life), age from the touch to the order",
    parameters: &[Parameter {
        name: "half_life",
        default: "7d",
        about: "the age at which a touch counts half as much",
    }],
    misleads: "The half-life is a choice, not a finding: try several. Where people decide slowly \
               it turns into last_click.",
    source: "industry convention; 7 days is the half-life that Google Analytics used",
    build,
};

fn build(arguments: &Arguments) -> Result<Box<dyn Model>> {
    Ok(Box::new(TimeDecay { half_life: arguments.duration("half_life")? }))
}

/// See [`ENTRY`].
struct TimeDecay {
    /// Microseconds.
    half_life: i64,
}

impl Model for TimeDecay {
    fn needs_times(&self) -> bool {
        true
    }

    fn weigh(&self, journey: Journey<'_>, weights: &mut [f64]) {
        // Ages count from the last touch: the shares are the same, and however long ago all
        // touches are, their weights do not underflow together. The power is computed in software,
        // because that of the system's library differs in its last bit from machine to machine.
        let last = journey.touched_at[journey.touches() - 1];
        for (weight, at) in weights.iter_mut().zip(journey.touched_at) {
            *weight = libm::exp2((at - last) as f64 / self.half_life as f64);
        }
    }

    fn explain(
        &self,
        journey: Journey<'_>,
        touch: usize,
        weight: f64,
        _channel: &str,
    ) -> Option<String> {
        let last = journey.touched_at[journey.touches() - 1];
        let before = format_duration(last - journey.touched_at[touch]);
        let half_life = format_duration(self.half_life);
        Some(match before.as_str() {
            "0 s" => format!("2^0 = {}, the last touch", figure(weight)),
            _ => format!("2^(\u{2212}{before} / {half_life}) = {}", figure(weight)),
        })
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "powers of two are exact")]
mod tests {
    use super::*;

    #[test]
    fn a_half_life_halves_and_a_year_of_seconds_does_not_vanish() {
        let day = 86_400_000_000;
        let mut weights = [0.0; 3];
        let journey = Journey {
            order_at: 15 * day,
            touched_at: &[0, 7 * day, 14 * day],
            direct: &[false; 3],
            channels: &[],
            watched_until: &[],
        };
        TimeDecay { half_life: 7 * day }.weigh(journey, &mut weights);
        assert_eq!(weights, [0.25, 0.5, 1.0]);
        TimeDecay { half_life: 1_000_000 }
            .weigh(Journey { order_at: 400 * day, ..journey }, &mut weights);
        assert_eq!(weights, [0.0, 0.0, 1.0]);
    }
}
