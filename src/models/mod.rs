//! Attribution models: how the touches of one journey compare.
//!
//! A model writes a weight per touch and nothing else. One that learns counts journeys first
//! ([`Model::observe`]), and what it learnt ([`Model::fit`]) is the model that weighs. Normalising,
//! rounding, money, windows, persons and files live elsewhere. A new model is one file here and one
//! line in [`MODELS`].

mod ages;
mod arguments;
mod by_channel;
mod chain;
mod counts;
mod custom;
mod equal_channels;
mod first_click;
mod fitted;
mod hazard;
mod intensities;
mod last_click;
mod last_non_direct;
mod learnt;
mod linear;
mod logistic;
mod markov;
mod position_based;
mod regression;
mod shapley;
mod split;
mod time_decay;

use std::collections::BTreeMap;

pub use arguments::Arguments;
use by_channel::ByChannel;
pub use counts::Counts;
use fitted::{CREDITS, Credits};
pub use fitted::{Fitting, Level};
pub use learnt::LearntRule;
pub use split::{Blocked, blocked};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// One order's journey as a model sees it: at least one touch, oldest first.
#[derive(Debug, Clone, Copy)]
pub struct Journey<'a> {
    /// When the order was made, in microseconds since 1970; of a journey without one, when its last
    /// touch was.
    pub order_at: i64,
    /// When each touch was, never after the order.
    pub touched_at: &'a [i64],
    /// Whether each touch is direct.
    pub direct: &'a [bool],
    /// The channel of each touch, numbered in the byte order of the channels' names; empty for a
    /// model that names no [column](Model::channels).
    pub channels: &'a [u32],
    /// Until when each touch of a journey without an order was watched for one: the last instant of
    /// the data, or that at which the touch left every window. Empty for the journey of an order,
    /// which was watched until the order.
    pub watched_until: &'a [i64],
}

/// How a journey ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// In an order.
    Converted,
    /// In nothing, so far.
    Lost,
}

impl Outcome {
    /// That of a journey that ended in this order, if in any.
    pub(crate) fn of(order: Option<usize>) -> Self {
        order.map_or(Self::Lost, |_| Self::Converted)
    }
}

impl Journey<'_> {
    /// How many touches there are.
    pub fn touches(&self) -> usize {
        self.touched_at.len()
    }

    /// How long a touch was watched for an order, in microseconds.
    pub fn watched(&self, touch: usize) -> i64 {
        let until = self.watched_until.get(touch).copied().unwrap_or(self.order_at);
        until.saturating_sub(self.touched_at[touch])
    }
}

/// An attribution model, ready to weigh touches.
pub trait Model: Send + Sync {
    /// Writes the weight of every touch of a journey: finite, not negative, in any unit.
    ///
    /// `weights` holds one entry a touch, all zero. If they stay zero, the touches share evenly.
    /// A model that learns leaves it at that: until it has learnt, they do.
    fn weigh(&self, _journey: Journey<'_>, _weights: &mut [f64]) {}

    /// How the weight of one touch comes about, with the numbers filled in: `2^(−3.2 d / 7 d) = 0.728`.
    ///
    /// For whoever asks why an order was divided so. `weight` is what [`weigh`](Self::weigh) gave the
    /// touch, `channel` what its channel is called, for a model that looks at channels. [`figure`]
    /// writes numbers. A model that says nothing has its weights shown as they are.
    fn explain(
        &self,
        _journey: Journey<'_>,
        _touch: usize,
        _weight: f64,
        _channel: &str,
    ) -> Option<String> {
        None
    }

    /// The column of touches whose values are the model's channels; none for one that does not look
    /// at channels.
    fn channels(&self) -> Option<&str> {
        None
    }

    /// Whether it looks at when touches were, and not only at their order.
    fn needs_times(&self) -> bool {
        false
    }

    /// Whether it learns from journeys before it weighs any.
    fn learns(&self) -> bool {
        false
    }

    /// Counts a journey, `times` times; a rule has nothing to learn.
    ///
    /// What is counted must not depend on the journeys that were counted before.
    fn observe(&self, _journey: Journey<'_>, _outcome: Outcome, _times: u64, _counts: &mut Counts) {
    }

    /// What the counts of all journeys teach; nothing, unless it learns.
    ///
    /// # Errors
    ///
    /// An invariant that does not hold, or data that the model cannot be worked out from: it says
    /// so, and does not guess.
    fn fit(&self, _counts: &Counts) -> Result<Option<Fitted>> {
        Ok(None)
    }
}

/// Why a touch weighs nothing whose channel a model that learns did not meet.
fn unlearnt(channel: &str) -> String {
    format!("0, nothing was learnt of {channel}")
}

/// A number of an explanation, in four digits where it has a fraction.
///
/// # Example
///
/// ```
/// use apportion::models::figure;
/// assert_eq!([0.72837, 12.0, 123456.7, 0.00001234].map(figure), ["0.7284", "12", "123457", "1.234e-5"]);
/// ```
pub fn figure(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return format!("{number}");
    }
    let size = number.abs();
    if !(1e-3..1e15).contains(&size) {
        return format!("{number:.3e}");
    }
    let decimals =
        [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0].iter().filter(|bound| size < **bound).count();
    let text = format!("{number:.decimals$}");
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

/// What a model has learnt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fitted {
    /// The rule: it weighs touches by what was learnt.
    pub rule: LearntRule,
    /// What each channel is worth over all journeys.
    pub effects: Effects,
}

/// What a model says of channels over all journeys, not order by order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Effects {
    /// The journeys that it learnt from.
    pub journeys: u64,
    /// Those of them that ended in an order.
    pub converted: u64,
    /// How likely a journey ends in an order, by the fitted model; the observed rate.
    pub probability: f64,
    /// How many touches the model remembers at a time: the order of its chain, where it has one.
    pub order: Option<usize>,
    /// Every channel that occurs, in the order of their numbers.
    pub channels: Vec<ChannelEffect>,
    /// Every order that was tried, where the data chose it.
    pub curve: Vec<Tried>,
    /// How many samples values are estimated from; none where they are exact.
    pub samples: Option<u64>,
    /// What else is to be known of the fit, each a sentence.
    pub notes: Vec<String>,
    /// The sets of channels of journeys that converted, and how many did.
    pub sets: Vec<(Vec<u32>, u64)>,
    /// How orders are divided so that channels get what they are owed, where that is asked for.
    pub fitting: Option<Fitting>,
}

/// What a model says of one channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ChannelEffect {
    /// The channel, as journeys number it.
    pub channel: u32,
    /// The part of conversions that is lost without it, where the model tells.
    pub removal: Option<f64>,
    /// Its Shapley value, where the model tells: values sum to the probability of conversion.
    pub value: Option<f64>,
    /// The standard error of that value, where it is estimated from samples.
    pub error: Option<f64>,
    /// What it adds to the log-odds of an order, where the model tells.
    pub coefficient: Option<f64>,
    /// How many orders a touch of it would trigger, were it watched for ever, where the model tells.
    pub strength: Option<f64>,
    /// The seconds in which the intensity of a touch of it halves, where the model tells.
    pub half_life: Option<f64>,
    /// Its part of all effects: what it is owed of all conversions.
    pub share: f64,
}

/// An order of a chain that was tried on what it had not learnt from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// The order.
    pub order: usize,
    /// How many numbers the chain is made of.
    pub parameters: u64,
    /// The mean logarithm of the likelihood of a step that was held out.
    pub likelihood: f64,
}

/// A parameter of a model.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// The value that it has unless one is given.
    pub default: &'static str,
    /// What it means.
    pub about: &'static str,
}

/// Of models that look at channels: what a channel is.
pub const BY: Parameter = Parameter {
    name: "by",
    default: "channel",
    about: "the column of touches whose values are the channels",
};

/// A model as the registry knows it.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The model's name.
    pub name: &'static str,
    /// What it says, in one line.
    pub summary: &'static str,
    /// The share of touch i of n.
    pub formula: &'static str,
    /// What can be set.
    pub parameters: &'static [Parameter],
    /// When its answer misleads.
    pub misleads: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// Makes the model from its arguments.
    pub build: fn(&Arguments) -> Result<Box<dyn Model>>,
}

/// Every model, in the order in which they are listed.
pub const MODELS: &[Entry] = &[
    last_click::ENTRY,
    first_click::ENTRY,
    last_non_direct::ENTRY,
    linear::ENTRY,
    time_decay::ENTRY,
    position_based::ENTRY,
    position_based::J_CURVE,
    position_based::INVERSE_J,
    custom::ENTRY,
    equal_channels::ENTRY,
    markov::ENTRY,
    shapley::ENTRY,
    logistic::ENTRY,
    hazard::ENTRY,
];

/// The models of a run that asks for none.
pub const DEFAULT: [&str; 3] = ["last_click", "linear", "time_decay"];

/// A model that a run asks for.
pub struct Asked {
    /// How the run names it in its results: the text that asked for it.
    pub name: String,
    /// Its page in the registry.
    pub entry: &'static Entry,
    /// The model.
    pub model: Box<dyn Model>,
}

/// The registry's entry of a name.
pub fn entry(name: &str) -> Result<&'static Entry> {
    MODELS.iter().find(|entry| entry.name == name).ok_or_else(|| Error::Unknown {
        kind: "model",
        name: name.to_owned(),
        known: MODELS.iter().map(|entry| entry.name.to_owned()).collect(),
    })
}

/// Reads `NAME` or `NAME:parameter=value:parameter=value`.
///
/// `named` holds the workspace's own models, each a set of arguments with its `model` among them.
///
/// # Example
///
/// ```
/// # use std::collections::BTreeMap;
/// use apportion::models::{Journey, ask};
/// let asked = ask("time_decay:half_life=1d", &BTreeMap::new())?;
/// let day = 86_400_000_000;
/// let journey = Journey {
///     order_at: 2 * day,
///     touched_at: &[0, day],
///     direct: &[false, false],
///     channels: &[],
///     watched_until: &[],
/// };
/// let mut weights = [0.0; 2];
/// asked.model.weigh(journey, &mut weights);
/// assert_eq!(weights, [0.5, 1.0]);
/// # Ok::<(), apportion::Error>(())
/// ```
pub fn ask(text: &str, named: &BTreeMap<String, BTreeMap<String, String>>) -> Result<Asked> {
    let (entry, given) = read(text, named)?;
    let arguments = Arguments::new(entry, given)?;
    Ok(Asked { name: text.trim().to_owned(), entry, model: (entry.build)(&arguments)? })
}

/// Whether a parameter of a model is left open by the text that asks for it; none where the model has
/// no such parameter.
///
/// # Errors
///
/// A text that [`ask`] would not understand.
pub fn takes(
    text: &str,
    named: &BTreeMap<String, BTreeMap<String, String>>,
    parameter: &str,
) -> Result<Option<bool>> {
    let (entry, given) = read(text, named)?;
    let has_it = entry.parameters.iter().any(|one| one.name == parameter);
    Ok(has_it.then(|| !given.contains_key(parameter)))
}

/// The model that a text asks for, and the arguments that it gives.
fn read(
    text: &str,
    named: &BTreeMap<String, BTreeMap<String, String>>,
) -> Result<(&'static Entry, BTreeMap<String, String>)> {
    let mut parts = text.trim().split(':').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let mut given = named.get(name).cloned().unwrap_or_default();
    let base = given.remove("model").unwrap_or_else(|| name.to_owned());
    for part in parts {
        let Some((key, value)) = part.split_once('=') else {
            let why = format!("`{part}` is not `parameter=value`");
            return Err(Error::setting("--model", text, why));
        };
        given.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    let known = || {
        let registry = MODELS.iter().map(|entry| entry.name.to_owned());
        registry.chain(named.keys().cloned()).collect()
    };
    let entry = entry(&base).map_err(|_| Error::Unknown {
        kind: "model",
        name: base.clone(),
        known: known(),
    })?;
    Ok((entry, given))
}

/// Reads several models, each as [`ask`] does.
///
/// # Errors
///
/// One that is asked for twice: results are told apart by its text.
pub fn ask_all(
    texts: &[&str],
    named: &BTreeMap<String, BTreeMap<String, String>>,
) -> Result<Vec<Asked>> {
    let mut asked: Vec<Asked> = Vec::with_capacity(texts.len());
    for text in texts {
        let one = ask(text, named)?;
        if asked.iter().any(|other| other.name == one.name) {
            return Err(Error::Contradiction(format!("`--model` names `{}` twice", one.name)));
        }
        asked.push(one);
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::calendar::DAY;

    #[test]
    fn names_are_unique_and_every_default_is_what_the_model_takes() {
        let mut names: Vec<_> = MODELS.iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), MODELS.len());
        let mut summaries: Vec<_> = MODELS.iter().map(|entry| entry.summary).collect();
        summaries.sort_unstable();
        summaries.dedup();
        assert_eq!(summaries.len(), MODELS.len());
        for entry in MODELS {
            let spelled: Vec<_> = entry
                .parameters
                .iter()
                .filter(|parameter| !parameter.default.is_empty())
                .map(|parameter| format!(":{}={}", parameter.name, parameter.default))
                .collect();
            ask(&format!("{}{}", entry.name, spelled.concat()), &BTreeMap::new()).unwrap();
        }
        for name in DEFAULT {
            entry(name).unwrap();
        }
    }

    #[test]
    fn a_wrong_name_lists_the_right_ones() {
        let wrong = |text| ask(text, &BTreeMap::new()).err().unwrap();
        assert!(wrong("lineer").hint().unwrap().starts_with("did you mean `linear`?"));
        assert!(wrong("time_decay:halflife=3d").hint().unwrap().contains("half_life"));
        for text in [
            "time_decay:half_life=soon",
            "time_decay:half_life=0d",
            "position_based:first=2",
            "position_based:first=0.6:last=0.5",
            "linear:x",
            "custom:first=-1",
            "custom:middle=1/2",
            "custom:middle=1000001",
            "markov:order=0",
            "markov:order=5",
            "markov:by=",
            "logistic:penalty=0.0009",
            "logistic:penalty=1000001",
            "logistic:penalty=much",
            "hazard:iterations=0",
            "logistic:credits=all",
        ] {
            ask(text, &BTreeMap::new()).err().unwrap();
        }
    }

    /// What a model says of each touch: how many days before the order it was, its channel, and
    /// whether it is direct.
    fn explained(model: &str, touches: &[(i64, u32, bool)]) -> Vec<String> {
        let model = ask(model, &BTreeMap::new()).unwrap().model;
        let touched_at: Vec<i64> = touches.iter().map(|(days, ..)| -days * DAY).collect();
        let channels: Vec<u32> = touches.iter().map(|(_, channel, _)| *channel).collect();
        let direct: Vec<bool> = touches.iter().map(|(.., direct)| *direct).collect();
        let journey = Journey {
            order_at: 0,
            touched_at: &touched_at,
            direct: &direct,
            channels: &channels,
            watched_until: &[],
        };
        let mut weights = vec![0.0; touches.len()];
        model.weigh(journey, &mut weights);
        let of_touch = |(at, weight): (usize, &f64)| {
            let channel = ["mail", "shop"][channels[at] as usize];
            model.explain(journey, at, *weight, channel).unwrap()
        };
        weights.iter().enumerate().map(of_touch).collect()
    }

    #[test]
    fn rules_explain_every_weight_with_its_numbers() {
        let touches = [(15, 0, false), (8, 1, true), (4, 0, false), (1, 0, true)];
        assert_eq!(
            explained("last_click", &touches[2..]),
            ["0, not the last", "1 to the last touch"]
        );
        assert_eq!(
            explained("first_click", &touches[2..]),
            ["1 to the first touch", "0, not the first"]
        );
        assert_eq!(explained("linear", &touches[2..]), ["1 to every touch", "1 to every touch"]);
        assert_eq!(
            explained("last_non_direct", &touches),
            ["0, not the last", "0, direct", "1 to the last touch that is not direct", "0, direct"]
        );
        assert_eq!(
            explained("last_non_direct", &[touches[1], touches[3]]),
            ["0, direct", "1 to the last touch, as all are direct"]
        );
        assert_eq!(
            explained("time_decay", &[touches[0], touches[1], touches[3]]),
            [
                "2^(\u{2212}14 d / 7 d) = 0.25",
                "2^(\u{2212}7 d / 7 d) = 0.5",
                "2^0 = 1, the last touch"
            ]
        );
        // Of the default 0.4, 0.4 and 0.2 the same in whole numbers.
        assert_eq!(
            explained("position_based", &touches),
            [
                "first: 4 \u{d7} 2 between = 8",
                "between: 2",
                "between: 2",
                "last: 4 \u{d7} 2 between = 8"
            ]
        );
        assert_eq!(explained("position_based", &touches[..2]), ["first: 4", "last: 4"]);
        assert_eq!(explained("position_based", &touches[..1]), ["1, the only touch"]);
        assert_eq!(
            explained("equal_channels", &touches[..3]),
            ["2 / 2 touches of mail = 1", "2 to shop", "2 / 2 touches of mail = 1"]
        );
    }

    #[test]
    fn rules_weigh_by_place() {
        let journey = Journey {
            order_at: 0,
            touched_at: &[-DAY, -1],
            direct: &[false; 2],
            channels: &[0, 1],
            watched_until: &[],
        };
        for (model, expected) in [
            ("linear", [1.0_f64, 1.0]),
            ("last_click", [0.0, 1.0]),
            ("first_click", [1.0, 0.0]),
            ("last_non_direct", [0.0, 1.0]),
            ("position_based:first=0.75:last=0.25", [3.0, 1.0]),
            ("j_curve", [1.0, 3.0]),
            ("inverse_j", [3.0, 1.0]),
        ] {
            let mut weights = [0.0; 2];
            ask(model, &BTreeMap::new()).unwrap().model.weigh(journey, &mut weights);
            let parts = weights.map(|weight| weight / (weights[0] + weights[1]));
            let sum: f64 = expected[0] + expected[1];
            assert_eq!(
                parts.map(f64::to_bits),
                expected.map(|part| (part / sum).to_bits()),
                "{model}"
            );
        }
        let equal = ask("equal_channels", &BTreeMap::new()).unwrap().model;
        assert_eq!(equal.channels(), Some("channel"));
    }

    /// A journey and how many are alike: the channel of each touch, and how many days it was before the order,
    /// or before the end of the data.
    type Told<'a> = (&'a [(u32, i64)], Outcome, u64);

    /// What a model learns of journeys.
    fn fitted(model: &str, journeys: &[Told<'_>]) -> Fitted {
        let model = ask(model, &BTreeMap::new()).unwrap().model;
        assert!(model.learns());
        assert_eq!(model.channels(), Some("channel"));
        let mut counts = Counts::default();
        for (touches, outcome, times) in journeys {
            let touched_at: Vec<i64> = touches.iter().map(|(_, days)| -days * DAY).collect();
            let channels: Vec<u32> = touches.iter().map(|(channel, _)| *channel).collect();
            let (direct, until) = (vec![false; touches.len()], vec![0; touches.len()]);
            let is_lost = *outcome == Outcome::Lost;
            let journey = Journey {
                order_at: if is_lost { touched_at[touches.len() - 1] } else { 0 },
                touched_at: &touched_at,
                direct: &direct,
                channels: &channels,
                watched_until: if is_lost { &until } else { &[] },
            };
            model.observe(journey, *outcome, *times, &mut counts);
        }
        model.fit(&counts).unwrap().unwrap()
    }

    #[test]
    fn models_tell_all_that_they_learnt_of_some_journeys() {
        let journeys: [Told<'_>; 6] = [
            (&[(3, 2), (7, 1)], Outcome::Converted, 4),
            (&[(3, 3), (7, 1)], Outcome::Converted, 2),
            (&[(3, 5)], Outcome::Converted, 1),
            (&[(3, 20)], Outcome::Lost, 5),
            (&[(7, 30)], Outcome::Lost, 5),
            (&[(3, 15), (7, 10)], Outcome::Lost, 3),
        ];
        for model in ["markov:order=1", "markov:order=auto", "shapley", "logistic", "hazard"] {
            let Fitted { rule, effects } = fitted(model, &journeys);
            assert_eq!(rule.model().channels(), Some("channel"), "{model}");
            assert_eq!((effects.journeys, effects.converted), (20, 7), "{model}");
            assert!((effects.probability - 0.35).abs() < 1e-9, "{model} {effects:?}");
            assert_eq!(effects.sets, [(vec![3], 1), (vec![3, 7], 6)], "{model}");
            let channels: Vec<u32> = effects.channels.iter().map(|of| of.channel).collect();
            assert_eq!(channels, [3, 7], "{model}");
            let shares: f64 = effects.channels.iter().map(|of| of.share).sum();
            assert!((shares - 1.0).abs() < 1e-9, "{model} {effects:?}");
            assert_eq!(effects.samples, None, "{model}");
            let all = |has: fn(&ChannelEffect) -> bool| effects.channels.iter().all(has);
            assert_eq!(all(|of| of.removal.is_some()), !["shapley", "hazard"].contains(&model));
            assert_eq!(all(|of| of.value.is_some()), model == "shapley");
            assert!(all(|of| of.error.is_none()));
            assert_eq!(all(|of| of.coefficient.is_some()), model == "logistic");
            assert_eq!(all(|of| of.strength.is_some()), model == "hazard");
            assert_eq!(all(|of| of.half_life.is_some_and(|of| of > 0.0)), model == "hazard");
            let is_chain = model.starts_with("markov") || model == "shapley";
            assert_eq!(effects.order.is_some(), is_chain, "{model}");
            assert_eq!(!effects.curve.is_empty(), model == "markov:order=auto", "{model}");
            assert_eq!(effects.notes.len(), usize::from(!is_chain), "{model} {:?}", effects.notes);
        }
        let Fitted { effects, .. } = fitted("markov:order=1:credits=fitted", &journeys);
        assert!(effects.fitting.is_some_and(|fitting| fitting.off < 1e-8));
        let half_life = |days: i64| {
            let journeys: [Told<'_>; 2] =
                [(&[(3, days)], Outcome::Converted, 9), (&[(3, 900)], Outcome::Lost, 9)];
            fitted("hazard", &journeys).effects.channels[0].half_life.unwrap()
        };
        // It is a time: what takes five times as long has five times that, but for the steps of ages.
        assert!((half_life(5) / half_life(1) - 5.0).abs() < 0.2);
    }

    #[test]
    fn sampled_values_say_how_many_were_drawn_and_how_far_they_may_be_off() {
        let touches: Vec<(u32, i64)> = (1..=22).map(|channel| (channel, 1)).collect();
        let journeys: Vec<Told<'_>> = (0..21)
            .flat_map(|at| {
                [
                    (&touches[at..=at], Outcome::Lost, 3),
                    (&touches[at..at + 2], Outcome::Converted, 1 + at as u64),
                ]
            })
            .collect();
        let Fitted { effects, .. } = fitted("shapley:samples=101", &journeys);
        assert_eq!(effects.samples, Some(102));
        assert!(effects.channels.iter().all(|of| of.error.is_some_and(|error| error > 0.0)));
    }

    #[test]
    fn where_every_journey_ended_in_an_order_nothing_is_owed_by_effects() {
        let Fitted { effects, .. } = fitted(
            "logistic",
            &[(&[(3, 2)], Outcome::Converted, 4), (&[(7, 2)], Outcome::Converted, 5)],
        );
        assert_eq!((effects.journeys, effects.converted), (9, 9));
        assert!((effects.probability - 1.0).abs() < f64::EPSILON);
        assert!(
            effects.channels.iter().all(|of| of.share.abs() < f64::EPSILON && of.removal.is_none())
        );
    }

    #[test]
    fn custom_weights_are_explained_by_their_places() {
        let model = "custom:first=5/1:last=3:middle=2";
        let of = |touches: usize| explained(model, &vec![(0, 0, false); touches]);
        assert_eq!(of(1), ["first[1] 5 + last[1] 3 = 8"]);
        assert_eq!(of(2), ["first[1] 5 = 5", "first[2] 1 + last[1] 3 = 4"]);
        assert_eq!(of(4), ["first[1] 5 = 5", "first[2] 1 = 1", "middle 2", "last[1] 3 = 3"]);
        assert_eq!(
            of(5),
            [
                "(first[1] 5) \u{d7} 2 between = 10",
                "(first[2] 1) \u{d7} 2 between = 2",
                "middle 2",
                "middle 2",
                "(last[1] 3) \u{d7} 2 between = 6"
            ]
        );
    }

    #[test]
    fn numbers_of_explanations_have_four_digits_where_they_have_a_fraction() {
        let figures =
            [0.0, -2.0, 1e15, 0.5, -0.123_456, 12.345_67, 999.96, 1_234.5, 0.001, 9.999e-4, 1e-9];
        assert_eq!(
            figures.map(figure),
            [
                "0", "-2", "1.000e15", "0.5", "-0.1235", "12.35", "1000", "1234", "0.001",
                "9.999e-4", "1.000e-9"
            ]
        );
    }

    proptest! {
        #[test]
        fn weights_are_finite_not_negative_and_not_all_zero(
            gaps in prop::collection::vec(0_i64..400_000_000_000_000, 1..40),
            direct in prop::collection::vec(any::<bool>(), 40),
            channels in prop::collection::vec(0_u32..6, 40),
        ) {
            let touched_at: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let journey = Journey {
                order_at: touched_at[touched_at.len() - 1],
                direct: &direct[..touched_at.len()],
                touched_at: &touched_at,
                channels: &channels[..touched_at.len()],
                watched_until: &[],
            };
            for entry in MODELS {
                let asked = ask(entry.name, &BTreeMap::new()).unwrap();
                let mut rule = None;
                let mut counts = Counts::default();
                asked.model.observe(journey, Outcome::Converted, 1, &mut counts);
                if let Some(fitted) = asked.model.fit(&counts).unwrap() {
                    rule = Some(fitted.rule);
                }
                let mut weights = vec![0.0; journey.touches()];
                let rule = rule.as_ref().map_or(&*asked.model, LearntRule::model);
                rule.weigh(journey, &mut weights);
                prop_assert!(weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0), "{}", entry.name);
                prop_assert!(weights.iter().any(|weight| *weight > 0.0), "{}", entry.name);
            }
        }
    }
}
