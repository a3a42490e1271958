//! The rule of models that say what a channel is worth: every touch weighs what its channel does.

use serde::{Deserialize, Serialize};

use crate::models::{Journey, Model, figure, unlearnt};

/// Weights by channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ByChannel {
    column: String,
    /// What a weight is: `removal effect`.
    what: String,
    /// The channels, ascending, as journeys number them.
    channels: Vec<u32>,
    /// What each weighs: finite, and not negative.
    weights: Vec<f64>,
}

impl ByChannel {
    /// The rule of channels of a column with their weights; `what` is what a weight is.
    pub(super) fn new(column: &str, what: &str, channels: &[u32], weights: Vec<f64>) -> Self {
        Self {
            column: column.to_owned(),
            what: what.to_owned(),
            channels: channels.to_vec(),
            weights,
        }
    }

    /// The part of each channel in all weights; nothing where all are zero.
    pub(super) fn shares(&self) -> Vec<f64> {
        let sum: f64 = self.weights.iter().sum();
        let share = |weight: &f64| if sum > 0.0 { weight / sum } else { 0.0 };
        self.weights.iter().map(share).collect()
    }
}

impl Model for ByChannel {
    fn channels(&self) -> Option<&str> {
        Some(&self.column)
    }

    fn weigh(&self, journey: Journey<'_>, weights: &mut [f64]) {
        for (weight, channel) in weights.iter_mut().zip(journey.channels) {
            // One that was never learnt of weighs nothing.
            let known = self.channels.binary_search(channel);
            *weight = known.map_or(0.0, |at| self.weights[at]);
        }
    }

    fn explain(
        &self,
        journey: Journey<'_>,
        touch: usize,
        weight: f64,
        channel: &str,
    ) -> Option<String> {
        if self.channels.binary_search(&journey.channels[touch]).is_err() {
            return Some(unlearnt(channel));
        }
        Some(format!("{} of {channel} = {}", self.what, figure(weight)))
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "weights are handed on as they are")]
mod tests {
    use super::*;

    #[test]
    fn touches_weigh_what_their_channels_do_and_say_so() {
        let rule = ByChannel::new("channel", "removal effect", &[3, 8], vec![0.25, 0.75]);
        let channels = [8, 3, 5];
        let journey = Journey {
            order_at: 0,
            touched_at: &[0; 3],
            direct: &[false; 3],
            channels: &channels,
            watched_until: &[],
        };
        let mut weights = [0.0; 3];
        rule.weigh(journey, &mut weights);
        assert_eq!(weights, [0.75, 0.25, 0.0]);
        assert_eq!(rule.channels(), Some("channel"));
        let told = |touch: usize, channel| rule.explain(journey, touch, weights[touch], channel);
        assert_eq!(told(0, "shop").unwrap(), "removal effect of shop = 0.75");
        assert_eq!(told(2, "web").unwrap(), "0, nothing was learnt of web");
    }

    #[test]
    fn shares_are_parts_of_all_weights() {
        let shares = |weights: &[f64]| {
            ByChannel::new("channel", "value", &[1, 2], weights.to_vec()).shares()
        };
        assert_eq!(shares(&[1.5, 0.5]), [0.75, 0.25]);
        assert_eq!(shares(&[0.0, 0.0]), [0.0, 0.0]);
    }
}
