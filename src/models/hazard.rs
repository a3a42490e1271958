//! How likely a touch is to have triggered the order, in an additive hazard of all touches.

use std::f64::consts::LN_2;

use serde::{Deserialize, Serialize};

use crate::calendar::{DAY, SECOND};
use crate::error::Result;
use crate::models::ages::{middle, step};
use crate::models::intensities::{Cell, Intensities, Watched};
use crate::models::{
    Arguments, BY, ChannelEffect, Counts, Effects, Entry, Fitted, Journey, Model, Outcome,
    Parameter, figure, unlearnt,
};

pub(super) const ENTRY: Entry = Entry {
    name: "hazard",
    summary: "in proportion to how likely the touch is to have triggered the order, where touches of \
              a channel trigger orders with a strength and a half-life that are learnt from journeys \
              with and without one",
    formula: "share(i) \u{221d} \u{3b2} \u{3c9} exp(\u{2212}\u{3c9} age(i)), with the strength \u{3b2} \
              and the rate \u{3c9} = ln 2 / half-life of the channel of i, age from the touch to the \
              order",
    parameters: &[
        Parameter {
            name: "penalty",
            default: "1",
            about: "how much strengths and rates of channels are drawn to each other: about as if \
                    each channel had triggered so many orders more, as the others do",
        },
        Parameter {
            name: "iterations",
            default: "10000",
            about: "how often who triggered what is worked out at most",
        },
        BY,
    ],
    misleads: "All orders are the touches' work, so that orders that would have come anyway go to whom \
               they followed. A touch that people make when they are about to buy, such as direct, \
               is followed by orders soon: that looks like strength. Touches do not help each other.",
    source: "Zhang, Wei and Ren 2014, Multi-touch attribution in online advertising with survival \
             theory",
    build,
};

fn build(arguments: &Arguments) -> Result<Box<dyn Model>> {
    Ok(Box::new(Hazard {
        column: arguments.column()?,
        penalty: arguments.penalty("penalty")?,
        iterations: arguments.whole("iterations", 1..=1_000_000)?,
    }))
}

/// What a key begins with: how the journeys ended that it counts.
const LOST: u32 = 0;
const CONVERTED: u32 = 1;

/// See [`ENTRY`].
struct Hazard {
    column: String,
    penalty: f64,
    iterations: u64,
}

impl Model for Hazard {
    fn channels(&self) -> Option<&str> {
        Some(&self.column)
    }

    fn needs_times(&self) -> bool {
        true
    }

    fn learns(&self) -> bool {
        true
    }

    /// Of a journey without an order only matters how long touches of each channel were watched; of
    /// one with an order, which touches were there together.
    fn observe(&self, journey: Journey<'_>, outcome: Outcome, times: u64, counts: &mut Counts) {
        let channels = journey.channels.iter().enumerate();
        let mut touches: Vec<(u32, u32)> =
            channels.map(|(at, channel)| (*channel, step(journey.watched(at)))).collect();
        touches.sort_unstable();
        let alike = touches.chunk_by(|left, right| left == right);
        match outcome {
            Outcome::Lost => {
                counts.add(&[LOST], times);
                for some in alike {
                    counts.add(&[LOST, some[0].0, some[0].1], times * some.len() as u64);
                }
            }
            Outcome::Converted => {
                let mut key = vec![CONVERTED];
                for some in alike {
                    let count = u32::try_from(some.len()).unwrap_or(u32::MAX);
                    key.extend([some[0].0, some[0].1, count]);
                }
                counts.add(&key, times);
            }
        }
    }

    fn fit(&self, counts: &Counts) -> Result<Option<Fitted>> {
        let journeys = Journeys::new(counts);
        let found = Intensities::new(&journeys.watched, self.penalty, self.iterations)?;
        let orders: f64 = found.triggered.iter().sum();
        let learnt = |of: &[f64], at: usize| of.get(at).copied();
        let effect = |(at, channel): (usize, &u32)| ChannelEffect {
            channel: *channel,
            strength: learnt(&found.strengths, at),
            half_life: learnt(&found.rates, at).map(|rate| LN_2 / rate),
            share: learnt(&found.triggered, at).map_or(0.0, |triggered| triggered / orders),
            ..ChannelEffect::default()
        };
        let all = journeys.converted + journeys.lost;
        let effects = Effects {
            journeys: all,
            converted: journeys.converted,
            probability: journeys.converted as f64 / all.max(1) as f64,
            channels: journeys.channels.iter().enumerate().map(effect).collect(),
            notes: told(&journeys, &found),
            sets: journeys.sets(),
            ..Effects::default()
        };
        let both = found.strengths.iter().zip(&found.rates);
        let rule = Learnt {
            column: self.column.clone(),
            // Where nothing was found, no channel is known.
            channels: if orders > 0.0 { journeys.channels } else { Vec::new() },
            heights: both.map(|(strength, rate)| libm::log(strength * rate)).collect(),
            rates: found.rates,
        };
        Ok(Some(Fitted { rule: rule.into(), effects }))
    }
}

/// What was counted of journeys.
struct Journeys {
    /// The channels that occur, ascending, as journeys number them.
    channels: Vec<u32>,
    converted: u64,
    lost: u64,
    watched: Watched,
}

impl Journeys {
    fn new(counts: &Counts) -> Self {
        let mut sorted = counts.sorted();
        // A journey that a resample leaves out is not there.
        sorted.retain(|(_, times)| *times > 0);
        let (mut converted, mut lost) = (0, 0);
        // Every channel and step that occurs, with how many touches of it there are.
        let mut watched: Vec<((u32, u32), u64)> = Vec::new();
        let mut orders: Vec<(&[u32], u64)> = Vec::new();
        for (key, times) in sorted {
            match *key {
                [LOST] => lost = times,
                [LOST, channel, step] => watched.push(((channel, step), times)),
                _ => {
                    let touched = &key[1..];
                    converted += times;
                    orders.push((touched, times));
                    let touched = touched.chunks_exact(3);
                    watched.extend(
                        touched.map(|some| ((some[0], some[1]), times * u64::from(some[2]))),
                    );
                }
            }
        }
        watched.sort_unstable();
        watched.dedup_by(|next, before| {
            let same = next.0 == before.0;
            before.1 += if same { next.1 } else { 0 };
            same
        });
        let mut channels: Vec<u32> = watched.iter().map(|((channel, _), _)| *channel).collect();
        channels.dedup();
        let cell = |((channel, step), touches): &((u32, u32), u64)| Cell {
            channel: channels.partition_point(|other| other < channel),
            age: middle(*step),
            touches: *touches,
        };
        let cells = watched.iter().map(cell).collect();
        let mut all = Watched { channels: channels.len(), cells, ..Watched::default() };
        for (touched, times) in orders {
            for some in touched.chunks_exact(3) {
                let cell = watched.partition_point(|(known, _)| *known < (some[0], some[1]));
                all.touched.push((u32::try_from(cell).unwrap_or(u32::MAX), some[2]));
            }
            all.orders.push((all.touched.len(), times));
        }
        Self { channels, converted, lost, watched: all }
    }

    /// The sets of channels of journeys that converted, and how many did.
    fn sets(&self) -> Vec<(Vec<u32>, u64)> {
        let of_cell = |cell: u32| self.channels[self.watched.cells[cell as usize].channel];
        let of_journey = |(touched, orders): (&[(u32, u32)], u64)| {
            let mut set: Vec<u32> = touched.iter().map(|(cell, _)| of_cell(*cell)).collect();
            set.dedup();
            (set, orders)
        };
        let mut sets: Vec<(Vec<u32>, u64)> = self.watched.journeys().map(of_journey).collect();
        sets.sort_unstable();
        sets.dedup_by(|next, before| {
            let same = next.0 == before.0;
            before.1 += if same { next.1 } else { 0 };
            same
        });
        sets
    }
}

/// How the fit went, in sentences.
fn told(journeys: &Journeys, found: &Intensities) -> Vec<String> {
    if journeys.converted == 0 {
        return vec![
            "no journey ended in an order; nothing tells channels apart, and touches share evenly"
                .to_owned(),
        ];
    }
    let mut told = vec![format!(
        "a hazard on {} distinct journeys with an order, converged in {} iterations",
        journeys.watched.orders.len(),
        found.iterations
    )];
    if journeys.lost == 0 {
        told.push(
            "every journey ended in an order: strengths say how soon, and not how often".to_owned(),
        );
    }
    if found.unfading > 0 {
        told.push(format!(
            "of {} channels touches fade too slowly to be told: their rate is one by the longest age",
            found.unfading
        ));
    }
    told
}

/// What a hazard says of the touches of a journey.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Learnt {
    column: String,
    /// The channels, ascending, as journeys number them.
    channels: Vec<u32>,
    /// The logarithm of the intensity of a touch of each just after it, per second.
    heights: Vec<f64>,
    /// How fast that fades, per second.
    rates: Vec<f64>,
}

impl Learnt {
    /// The logarithm of the intensity of a touch so many microseconds ago; of a channel that was
    /// never learnt of nothing is known, and it triggers nothing.
    fn logarithm(&self, channel: u32, age: i64) -> f64 {
        let known = self.channels.binary_search(&channel);
        known.map_or(f64::NEG_INFINITY, |at| {
            self.heights[at] - self.rates[at] * (age as f64 / SECOND as f64)
        })
    }
}

impl Model for Learnt {
    fn channels(&self) -> Option<&str> {
        Some(&self.column)
    }

    fn needs_times(&self) -> bool {
        true
    }

    fn weigh(&self, journey: Journey<'_>, weights: &mut [f64]) {
        let touches = journey.channels.iter().zip(journey.touched_at);
        for (weight, (channel, at)) in weights.iter_mut().zip(touches) {
            *weight = self.logarithm(*channel, journey.order_at - at);
        }
        // In proportion to the greatest: however long ago touches are, they do not vanish together.
        let greatest = weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for weight in weights {
            *weight = if greatest.is_finite() { libm::exp(*weight - greatest) } else { 1.0 };
        }
    }

    fn explain(
        &self,
        journey: Journey<'_>,
        touch: usize,
        weight: f64,
        channel: &str,
    ) -> Option<String> {
        let Ok(at) = self.channels.binary_search(&journey.channels[touch]) else {
            return Some(unlearnt(channel));
        };
        let seconds = (DAY / SECOND) as f64;
        let age = (journey.order_at - journey.touched_at[touch]) as f64 / DAY as f64;
        Some(format!(
            "{} a day \u{d7} e^(\u{2212}{} \u{d7} {} d), of the greatest {}",
            figure(libm::exp(self.heights[at]) * seconds),
            figure(self.rates[at] * seconds),
            figure(age),
            figure(weight)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: Hazard = Hazard { column: String::new(), penalty: 1.0, iterations: 10_000 };
    const HOUR: i64 = 3_600 * SECOND;

    /// Touches so many hours before the order, or before the end of the data.
    fn saw(counts: &mut Counts, touches: &[(u32, i64)], outcome: Outcome, times: u64) {
        let channels: Vec<u32> = touches.iter().map(|(channel, _)| *channel).collect();
        let touched_at: Vec<i64> = touches.iter().map(|(_, hours)| -hours * HOUR).collect();
        let until = vec![0; touches.len()];
        let journey = Journey {
            order_at: if outcome == Outcome::Lost { touched_at[touches.len() - 1] } else { 0 },
            touched_at: &touched_at,
            direct: &vec![false; touches.len()],
            channels: &channels,
            watched_until: if outcome == Outcome::Lost { &until } else { &[] },
        };
        MODEL.observe(journey, outcome, times, counts);
    }

    fn weights(rule: &dyn Model, channels: &[u32], hours: &[i64]) -> Vec<f64> {
        let touched_at: Vec<i64> = hours.iter().map(|hours| -hours * HOUR).collect();
        let mut weights = vec![0.0; channels.len()];
        let direct = vec![false; channels.len()];
        let journey = Journey {
            order_at: 0,
            touched_at: &touched_at,
            direct: &direct,
            channels,
            watched_until: &[],
        };
        rule.weigh(journey, &mut weights);
        weights
    }

    #[test]
    fn counts_do_not_grow_with_journeys_that_are_alike() {
        let mut counts = Counts::default();
        for _ in 0..1_000 {
            saw(&mut counts, &[(1, 30), (2, 5), (2, 5)], Outcome::Converted, 1);
            saw(&mut counts, &[(1, 30), (2, 5), (2, 5)], Outcome::Lost, 1);
        }
        // One order; of the lost ones their number and a step of each channel.
        assert_eq!(counts.len(), 4);
        let journeys = Journeys::new(&counts);
        assert_eq!((journeys.converted, journeys.lost), (1_000, 1_000));
        let touches: Vec<u64> = journeys.watched.cells.iter().map(|cell| cell.touches).collect();
        assert_eq!((journeys.channels.clone(), touches), (vec![1, 2], vec![2_000, 4_000]));
        assert_eq!(
            (journeys.watched.touched.clone(), journeys.sets()),
            (vec![(0, 1), (1, 2)], vec![(vec![1, 2], 1_000)])
        );
    }

    #[test]
    fn an_order_is_divided_by_the_intensities_of_its_touches() {
        let rule = Learnt {
            column: String::new(),
            channels: vec![3, 8],
            heights: vec![0.0, 3_f64.ln()],
            // Half-lives of an hour and of two.
            rates: vec![LN_2 / 3_600.0, LN_2 / 7_200.0],
        };
        let found = weights(&rule, &[3, 8, 8, 5], &[2, 2, 4, 1]);
        // 1/4 of 1, 1/2 and 1/4 of 3; nobody has heard of channel 5.
        for (weight, worked) in found.iter().zip([1.0 / 6.0, 1.0, 1.0 / 2.0, 0.0]) {
            assert!((weight - worked).abs() < 1e-12, "{found:?}");
        }
        // Of two touches years ago the later one is not forgotten.
        assert_eq!(weights(&rule, &[3, 3], &[90_000, 80_000]), [0.0, 1.0]);
        assert_eq!(weights(&rule, &[5, 5], &[2, 1]), [1.0, 1.0]);
    }

    #[test]
    fn the_intensity_of_a_touch_is_explained_by_the_day() {
        let a_day = (DAY / SECOND) as f64;
        let rule = Learnt {
            column: "channel".to_owned(),
            channels: vec![3],
            heights: vec![(0.5 / a_day).ln()],
            rates: vec![0.25 / a_day],
        };
        let journey = Journey {
            order_at: DAY,
            touched_at: &[-DAY, 0],
            direct: &[false; 2],
            channels: &[3, 5],
            watched_until: &[],
        };
        assert_eq!(
            rule.explain(journey, 0, 1.0, "mail").unwrap(),
            "0.5 a day \u{d7} e^(\u{2212}0.25 \u{d7} 2 d), of the greatest 1"
        );
        assert_eq!(rule.explain(journey, 1, 0.0, "web").unwrap(), "0, nothing was learnt of web");
        assert_eq!((rule.channels(), rule.needs_times()), (Some("channel"), true));
    }

    #[test]
    fn what_is_owed_is_what_touches_are_likely_to_have_triggered() {
        let mut counts = Counts::default();
        saw(&mut counts, &[(1, 40), (2, 3)], Outcome::Converted, 20);
        saw(&mut counts, &[(1, 9)], Outcome::Converted, 5);
        saw(&mut counts, &[(2, 2)], Outcome::Converted, 10);
        saw(&mut counts, &[(1, 900), (2, 500)], Outcome::Lost, 60);
        let Fitted { rule, effects } = MODEL.fit(&counts).unwrap().unwrap();
        let both = weights(rule.model(), &[1, 2], &[40, 3]);
        let of_first = 20.0 * both[0] / (both[0] + both[1]) + 5.0;
        // But for the steps that ages are counted in.
        assert!((35.0 * effects.channels[0].share - of_first).abs() < 0.02, "{effects:?}");
        assert_eq!((effects.journeys, effects.converted), (95, 35));
        assert!(
            (effects.channels.iter().map(|channel| channel.share).sum::<f64>() - 1.0).abs() < 1e-12
        );
        assert_eq!(effects.sets, [(vec![1], 5), (vec![1, 2], 20), (vec![2], 10)]);
    }

    #[test]
    fn journeys_that_teach_nothing_or_little_are_said_to() {
        let mut counts = Counts::default();
        let none = MODEL.fit(&counts).unwrap().unwrap();
        assert_eq!(none.effects.channels, []);
        saw(&mut counts, &[(1, 40), (2, 3)], Outcome::Lost, 4);
        let lost = MODEL.fit(&counts).unwrap().unwrap();
        assert!(lost.effects.notes[0].starts_with("no journey ended in an order"));
        assert_eq!(
            (lost.effects.channels[0].strength, lost.effects.channels[0].share),
            (None, 0.0)
        );
        assert_eq!(weights(lost.rule.model(), &[1, 2], &[40, 3]), [1.0, 1.0]);
        let mut counts = Counts::default();
        saw(&mut counts, &[(1, 40), (2, 3)], Outcome::Converted, 1);
        let one = MODEL.fit(&counts).unwrap().unwrap();
        assert!(one.effects.notes[1].starts_with("every journey ended in an order"));
        let unfading = Intensities { unfading: 2, iterations: 7, ..Intensities::default() };
        let told = told(&Journeys::new(&counts), &unfading);
        assert!(told[2].starts_with("of 2 channels touches fade too slowly"), "{told:?}");
        assert!(
            weights(one.rule.model(), &[1, 2], &[40, 3]).iter().all(|weight| weight.is_finite())
        );
    }
}
