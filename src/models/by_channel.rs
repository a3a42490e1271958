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
