//! What is lost of the probability of an order without a channel, in a logistic regression.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::models::regression::{Regression, Set, drop_without, probability};
use crate::models::{
    Arguments, BY, CREDITS, ChannelEffect, Counts, Credits, Effects, Entry, Fitted, Journey, Model,
    Outcome, Parameter, figure,
};

pub(super) const ENTRY: Entry = Entry {
    name: "logistic",
    summary: "in proportion to what the touch's channel adds to the probability of an order, in a \
              logistic regression on the channels of journeys with and without one",
    formula: "share(i) \u{221d} max(0, P(S) \u{2212} P(S without the channel of i)) / touches of that \
              channel, where S is the set of the order's channels",
    parameters: &[
        Parameter {
            name: "penalty",
            default: "1",
            about: "how much coefficients are drawn to zero: half of it times the sum of their \
                    squares is taken from the log-likelihood",
        },
        Parameter {
            name: "iterations",
            default: "100",
            about: "how many steps are taken at most; ten are usual",
        },
        CREDITS,
        BY,
    ],
    misleads: "It sees which channels a journey has, not their order, number or age. A channel that \
               likely buyers meet anyway looks like one that made them buy. What all channels have \
               in common is nobody's.",
    source: "Shao and Li 2011, Data-driven multi-touch attribution models, with a ridge penalty \
             (Hoerl and Kennard 1970; le Cessie and van Houwelingen 1992) in place of bagging",
    build,
};

fn build(arguments: &Arguments) -> Result<Box<dyn Model>> {
    Ok(Box::new(Logistic {
        column: arguments.column()?,
        penalty: arguments.penalty("penalty")?,
        credits: Credits::parse(arguments)?,
        iterations: arguments.whole("iterations", 1..=1_000_000)?,
    }))
}

/// What a key begins with: how the journeys ended whose channels follow.
const LOST: u32 = 0;
const CONVERTED: u32 = 1;

/// See [`ENTRY`].
struct Logistic {
    column: String,
    penalty: f64,
    credits: Credits,
    iterations: u64,
}

impl Model for Logistic {
    fn channels(&self) -> Option<&str> {
        Some(&self.column)
    }

    fn learns(&self) -> bool {
        true
    }

    fn observe(&self, journey: Journey<'_>, outcome: Outcome, times: u64, counts: &mut Counts) {
        let end = match outcome {
            Outcome::Converted => CONVERTED,
            Outcome::Lost => LOST,
        };
        let mut key = journey.channels.to_vec();
        key.sort_unstable();
        key.dedup();
        key.insert(0, end);
        counts.add(&key, times);
    }

    fn fit(&self, counts: &Counts) -> Result<Option<Fitted>> {
        let (channels, sets) = sets(counts);
        let regression = Regression::new(&sets, channels.len(), self.penalty, self.iterations)?;
        let journeys: u64 = sets.iter().map(|set| set.journeys).sum();
        let converted: u64 = sets.iter().map(|set| set.converted).sum();
        let removals = removals(&regression, &sets, converted);
        let owed = |removal: &Option<f64>| removal.unwrap_or_default().max(0.0);
        let all: f64 = removals.iter().map(owed).sum();
        let effect = |(at, channel): (usize, &u32)| ChannelEffect {
            channel: *channel,
            removal: removals[at],
            coefficient: removals[at].map(|_| regression.coefficients[at]),
            share: if all > 0.0 { owed(&removals[at]) / all } else { 0.0 },
            ..ChannelEffect::default()
        };
        let named = |set: &Set| set.channels.iter().map(|at| channels[*at as usize]).collect();
        let of_orders = sets.iter().filter(|set| set.converted > 0);
        let mut effects = Effects {
            journeys,
            converted,
            probability: if regression.steps > 0 {
                regression.expected(&sets) / journeys as f64
            } else {
                converted as f64 / journeys.max(1) as f64
            },
            channels: channels.iter().enumerate().map(effect).collect(),
            notes: vec![told(&regression, &sets, converted)],
            sets: of_orders.map(|set| (named(set), set.converted)).collect(),
            ..Effects::default()
        };
        let rule = Learnt { column: self.column.clone(), channels, regression };
        let rule = self.credits.rule(&self.column, rule.into(), &mut effects)?;
        Ok(Some(Fitted { rule, effects }))
    }
}

/// The channels that occur, ascending, and the journeys with each set of them, in order.
fn sets(counts: &Counts) -> (Vec<u32>, Vec<Set>) {
    let sorted = counts.sorted();
    let mut channels: Vec<u32> = sorted.iter().flat_map(|(key, _)| &key[1..]).copied().collect();
    channels.sort_unstable();
    channels.dedup();
    // Those of one set, lost before converted, stand together when sorted by the set.
    let mut keys: Vec<(&[u32], u32, u64)> = Vec::with_capacity(sorted.len());
    keys.extend(sorted.iter().map(|(key, times)| (&key[1..], key[0], *times)));
    keys.sort_unstable();
    let place = |channel: &u32| {
        u32::try_from(channels.partition_point(|other| other < channel)).unwrap_or(u32::MAX)
    };
    let one = |same: &[(&[u32], u32, u64)]| {
        let times = |(_, _, times): &(&[u32], u32, u64)| *times;
        Set {
            channels: same[0].0.iter().map(place).collect(),
            journeys: same.iter().map(times).sum(),
            converted: same.iter().filter(|(_, end, _)| *end == CONVERTED).map(times).sum(),
        }
    };
    // Whatever was not counted has no key.
    let sets = keys.chunk_by(|left, right| left.0 == right.0).map(one).collect();
    (channels, sets)
}

/// The part of expected orders that is lost without each channel; none where nothing was found.
fn removals(regression: &Regression, sets: &[Set], converted: u64) -> Vec<Option<f64>> {
    if regression.steps == 0 {
        return vec![None; regression.coefficients.len()];
    }
    let mut lost = vec![0.0; regression.coefficients.len()];
    for set in sets {
        let log_odds = regression.log_odds(&set.channels);
        for channel in &set.channels {
            let channel = *channel as usize;
            let coefficient = regression.coefficients[channel];
            lost[channel] += set.journeys as f64 * drop_without(log_odds, coefficient);
        }
    }
    lost.into_iter().map(|lost| Some(lost / converted as f64)).collect()
}

/// How the fit went, in a sentence.
fn told(regression: &Regression, sets: &[Set], converted: u64) -> String {
    let nothing = "; nothing tells channels apart, and touches share evenly";
    match regression.steps {
        0 if converted == 0 => format!("no journey ended in an order{nothing}"),
        0 => format!("every journey ended in an order{nothing}"),
        _ if regression.coefficients.iter().all(|coefficient| *coefficient == 0.0) => {
            format!("journeys convert alike whatever channels they have{nothing}")
        }
        steps => format!(
            "a regression on {} distinct sets of channels, converged in {steps} steps; the log-odds of its baseline are {:.6}",
            sets.len(),
            regression.baseline
        ),
    }
}

/// What a regression says of the touches of a journey.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Learnt {
    column: String,
    /// The channels, ascending, as journeys number them.
    channels: Vec<u32>,
    regression: Regression,
}

impl Learnt {
    /// What a channel adds to the log-odds; one that was never learnt of adds nothing.
    fn coefficient(&self, channel: u32) -> f64 {
        let known = self.channels.binary_search(&channel);
        known.map_or(0.0, |at| self.regression.coefficients[at])
    }

    /// The log-odds of an order after touches of these channels.
    fn log_odds(&self, channels: &[u32]) -> f64 {
        let mut sorted = channels.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let added: f64 = sorted.into_iter().map(|channel| self.coefficient(channel)).sum();
        self.regression.baseline + added
    }
}

impl Model for Learnt {
    fn channels(&self) -> Option<&str> {
        Some(&self.column)
    }

    fn weigh(&self, journey: Journey<'_>, weights: &mut [f64]) {
        let log_odds = self.log_odds(journey.channels);
        let mut sorted = journey.channels.to_vec();
        sorted.sort_unstable();
        for run in sorted.chunk_by(|left, right| left == right) {
            let lost = drop_without(log_odds, self.coefficient(run[0])).max(0.0);
            let touches = weights.iter_mut().zip(journey.channels);
            for (weight, _) in touches.filter(|(_, channel)| **channel == run[0]) {
                *weight = lost / run.len() as f64;
            }
        }
        if weights.iter().all(|weight| *weight <= 0.0) {
            // No channel of it adds anything.
            weights.fill(1.0);
        }
    }

    fn explain(
        &self,
        journey: Journey<'_>,
        touch: usize,
        weight: f64,
        channel: &str,
    ) -> Option<String> {
        let log_odds = self.log_odds(journey.channels);
        let own = journey.channels[touch];
        let (with, without) =
            (probability(log_odds), probability(log_odds - self.coefficient(own)));
        let lost = format!("P {} \u{2212} {} without {channel}", figure(with), figure(without));
        let touches = journey.channels.iter().filter(|other| **other == own).count();
        Some(match touches {
            _ if without >= with && weight > 0.0 => "no channel adds anything: evenly".to_owned(),
            _ if without >= with => format!("max(0, {lost}) = 0"),
            1 => format!("{lost} = {}", figure(weight)),
            _ => format!("({lost}) / {touches} touches = {}", figure(weight)),
        })
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "weights of touches that share evenly are ones")]
mod tests {
    use super::*;

    fn journey(channels: &[u32]) -> Journey<'_> {
        const AT: [i64; 8] = [0; 8];
        const DIRECT: [bool; 8] = [false; 8];
        let touches = channels.len();
        Journey {
            order_at: 0,
            touched_at: &AT[..touches],
            direct: &DIRECT[..touches],
            channels,
            watched_until: &[],
        }
    }

    /// Channels 7 and 9 with coefficients ln 3 and 2 ln 3 over −ln 3, see `regression`: 1/2, 3/4, and
    /// 9/10 with both.
    fn learnt() -> Fitted {
        let model = Logistic {
            column: "channel".into(),
            penalty: 1.0 / 3_f64.ln(),
            credits: Credits::Proportional,
            iterations: 100,
        };
        let mut counts = Counts::default();
        let mut saw = |channels: &[u32], converted, lost| {
            model.observe(journey(channels), Outcome::Converted, converted, &mut counts);
            model.observe(journey(channels), Outcome::Lost, lost, &mut counts);
        };
        saw(&[7], 0, 4);
        saw(&[9, 9], 2, 2);
        saw(&[7, 9], 30, 0);
        saw(&[9, 7, 9], 9, 1);
        model.fit(&counts).unwrap().unwrap()
    }

    #[test]
    fn effects_are_the_expected_orders_that_are_lost() {
        let effects = learnt().effects;
        assert_eq!((effects.journeys, effects.converted), (48, 41));
        // Without 7: 4 × (1/2 − 1/4) + 40 × (9/10 − 3/4) = 7 orders; without 9:
        // 4 × (3/4 − 1/4) + 40 × (9/10 − 1/2) = 18.
        let lost: Vec<f64> = effects
            .channels
            .iter()
            .filter_map(|channel| channel.removal)
            .map(|lost| 41.0 * lost)
            .collect();
        assert!((lost[0] - 7.0).abs() < 1e-11 && (lost[1] - 18.0).abs() < 1e-11, "{lost:?}");
        assert!((effects.channels[0].share - 7.0 / 25.0).abs() < 1e-12);
        assert_eq!(effects.sets, [(vec![7, 9], 39), (vec![9], 2)]);
    }

    #[test]
    fn an_order_is_divided_by_what_its_own_channels_add() {
        let rule = learnt().rule;
        let mut weights = [0.0; 4];
        rule.model().weigh(journey(&[7, 9, 7, 1]), &mut weights);
        // 9/10 less 3/4, by two touches, and 9/10 less 1/2; nobody has heard of channel 1.
        for (weight, known) in weights.iter().zip([0.075, 0.4, 0.075, 0.0]) {
            assert!((weight - known).abs() < 1e-12, "{weights:?}");
        }
    }

    #[test]
    fn what_a_touch_weighs_is_explained_by_what_is_lost_without_its_channel() {
        let fitted = learnt();
        let journey = journey(&[7, 9, 7, 1]);
        let mut weights = [0.0; 4];
        fitted.rule.model().weigh(journey, &mut weights);
        let told = |touch: usize, channel| {
            fitted.rule.model().explain(journey, touch, weights[touch], channel).unwrap()
        };
        assert_eq!(told(0, "mail"), "(P 0.9 \u{2212} 0.75 without mail) / 2 touches = 0.075");
        assert_eq!(told(1, "shop"), "P 0.9 \u{2212} 0.5 without shop = 0.4");
        assert_eq!(told(3, "web"), "max(0, P 0.9 \u{2212} 0.9 without web) = 0");
        // The logarithm of 1/3.
        let note = &fitted.effects.notes[0];
        assert!(note.starts_with("a regression on 3 distinct sets of channels, converged in "));
        assert!(note.ends_with(" steps; the log-odds of its baseline are -1.098612"), "{note}");
    }

    #[test]
    fn journeys_that_teach_nothing_are_said_to() {
        let model = Logistic {
            column: "channel".into(),
            penalty: 1.0,
            credits: Credits::Proportional,
            iterations: 100,
        };
        let mut counts = Counts::default();
        model.observe(journey(&[0, 1]), Outcome::Converted, 3, &mut counts);
        let fitted = model.fit(&counts).unwrap().unwrap();
        assert!(fitted.effects.notes[0].starts_with("every journey ended in an order"));
        assert_eq!(fitted.effects.channels[0].removal, None);
        let mut weights = [0.0; 2];
        fitted.rule.model().weigh(journey(&[0, 1]), &mut weights);
        assert_eq!(weights, [1.0, 1.0]);
        model.observe(journey(&[0, 1]), Outcome::Lost, 4, &mut counts);
        let fitted = model.fit(&counts).unwrap().unwrap();
        assert!(fitted.effects.notes[0].starts_with("journeys convert alike"));
        let told = fitted.rule.model().explain(journey(&[0, 1]), 1, 1.0, "mail").unwrap();
        assert_eq!(told, "no channel adds anything: evenly");
        let mut lost = Counts::default();
        model.observe(journey(&[0, 1]), Outcome::Lost, 4, &mut lost);
        let fitted = model.fit(&lost).unwrap().unwrap();
        assert!(fitted.effects.notes[0].starts_with("no journey ended in an order"));
        assert_eq!(model.fit(&Counts::default()).unwrap().unwrap().effects.channels, []);
    }
}
