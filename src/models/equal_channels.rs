//! Every channel of a journey takes the same, however often it was there.

use crate::error::Result;
use crate::models::{Arguments, BY, Entry, Journey, Model, figure};

pub(super) const ENTRY: Entry = Entry {
    name: "equal_channels",
    summary: "the order in equal parts to its channels, each one's part to its touches",
    formula: "share(i) = 1 / (channels of the order \u{00d7} touches of the channel of i)",
    parameters: &[BY],
    misleads: "A channel that is in every journey takes the same part as the one that made the \
               difference. It needs no journeys without an order, so it cannot see what does not \
               help.",
    source: "Zhao, Mahboobi and Bagheri 2018, Shapley value methods for attribution modeling: the \
             simplified Shapley value",
    build,
};

fn build(arguments: &Arguments) -> Result<Box<dyn Model>> {
    Ok(Box::new(EqualChannels { column: arguments.column()? }))
}

/// The greatest whole number below which a float holds them all.
const MOST: u64 = 1 << 53;

/// See [`ENTRY`].
struct EqualChannels {
    column: String,
}

impl Model for EqualChannels {
    fn channels(&self) -> Option<&str> {
        Some(&self.column)
    }

    fn weigh(&self, journey: Journey<'_>, weights: &mut [f64]) {
        // How many touches the channel of each has: runs of the sorted channels.
        let mut sorted = journey.channels.to_vec();
        sorted.sort_unstable();
        let touches = |channel: u32| {
            let from = sorted.partition_point(|other| *other < channel);
            sorted[from..].partition_point(|other| *other == channel) as u64
        };
        // Whole numbers where they fit, so that dividing by them is exact: 3, 3, 2, 2, 2 for 2 and
        // 3 touches.
        let runs = sorted.chunk_by(|left, right| left == right).map(|run| run.len() as u64);
        let multiple = runs.fold(1, common_multiple) as f64;
        for (weight, channel) in weights.iter_mut().zip(journey.channels) {
            *weight = multiple / touches(*channel) as f64;
        }
    }

    fn explain(
        &self,
        journey: Journey<'_>,
        touch: usize,
        weight: f64,
        channel: &str,
    ) -> Option<String> {
        let own = journey.channels[touch];
        let touches = journey.channels.iter().filter(|other| **other == own).count();
        // As `weigh` has it: the weight of a channel is the same for each, and divided by its touches.
        let of_channel = figure(weight * touches as f64);
        Some(match touches {
            1 => format!("{of_channel} to {channel}"),
            _ => format!("{of_channel} / {touches} touches of {channel} = {}", figure(weight)),
        })
    }
}

/// The least common multiple of two counts, or the first of them where a float would not hold it.
fn common_multiple(multiple: u64, count: u64) -> u64 {
    let (mut divisor, mut rest) = (multiple, count);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    let both = (multiple / divisor).checked_mul(count);
    both.filter(|both| *both <= MOST).unwrap_or(multiple)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multiple_of_two_counts_is_the_least() {
        assert_eq!(
            [(4, 6), (6, 6), (1, 7), (12, 8)].map(|(one, other)| common_multiple(one, other)),
            [12, 6, 7, 24]
        );
    }

    #[test]
    fn channels_share_evenly_and_their_touches_too() {
        let model = EqualChannels { column: "channel".into() };
        let weighed = |channels: &[u32]| {
            let (at, direct) = (vec![0; channels.len()], vec![false; channels.len()]);
            let mut weights = vec![0.0; channels.len()];
            let journey = Journey {
                order_at: 0,
                touched_at: &at,
                direct: &direct,
                channels,
                watched_until: &[],
            };
            model.weigh(journey, &mut weights);
            weights
        };
        assert_eq!(weighed(&[7]), [1.0]);
        assert_eq!(weighed(&[1, 0]), [1.0, 1.0]);
        assert_eq!(weighed(&[1, 0, 1, 0, 1]), [2.0, 3.0, 2.0, 3.0, 2.0]);
    }
}
