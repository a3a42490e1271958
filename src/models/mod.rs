//! Attribution models: how the touches of one journey compare.
//!
//! A model writes a weight per touch and nothing else. Normalising, rounding, money, windows,
//! persons and files live elsewhere. A new model is one file here and one line in [`MODELS`].

mod arguments;
mod custom;
mod first_click;
mod last_click;
mod last_non_direct;
mod linear;
mod position_based;
mod time_decay;

use std::collections::BTreeMap;

pub use arguments::Arguments;

use crate::error::{Error, Result};

/// One order's journey as a model sees it: at least one touch, oldest first.
#[derive(Debug, Clone, Copy)]
pub struct Journey<'a> {
    /// When the order was made, in microseconds since 1970.
    pub order_at: i64,
    /// When each touch was, never after the order.
    pub touched_at: &'a [i64],
    /// Whether each touch is direct.
    pub direct: &'a [bool],
}

impl Journey<'_> {
    /// How many touches there are.
    pub fn touches(&self) -> usize {
        self.touched_at.len()
    }
}

/// An attribution model, ready to weigh touches.
pub trait Model: Send + Sync {
    /// Writes the weight of every touch of a journey: finite, not negative, in any unit.
    ///
    /// `weights` holds one entry a touch, all zero. If they stay zero, the touches share evenly.
    fn weigh(&self, journey: Journey<'_>, weights: &mut [f64]);
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
];

/// The models of a run that asks for none.
pub const DEFAULT: [&str; 3] = ["last_click", "linear", "time_decay"];

/// A model that a run asks for.
pub struct Asked {
    /// How the run names it in its results: the text that asked for it.
    pub name: String,
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
/// let journey = Journey { order_at: 2 * day, touched_at: &[0, day], direct: &[false, false] };
/// let mut weights = [0.0; 2];
/// asked.model.weigh(journey, &mut weights);
/// assert_eq!(weights, [0.5, 1.0]);
/// # Ok::<(), apportion::Error>(())
/// ```
pub fn ask(text: &str, named: &BTreeMap<String, BTreeMap<String, String>>) -> Result<Asked> {
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
    let arguments = Arguments::new(entry, given)?;
    Ok(Asked { name: text.trim().to_owned(), model: (entry.build)(&arguments)? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_unique_and_every_default_is_what_the_model_takes() {
        let mut names: Vec<_> = MODELS.iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), MODELS.len());
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
            "linear:x",
            "custom:first=-1",
        ] {
            ask(text, &BTreeMap::new()).err().unwrap();
        }
    }

    proptest! {
        #[test]
        fn weights_are_finite_not_negative_and_not_all_zero(
            gaps in prop::collection::vec(0_i64..400_000_000_000_000, 1..40),
            direct in prop::collection::vec(any::<bool>(), 40),
        ) {
            let touched_at: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let journey = Journey {
                order_at: touched_at[touched_at.len() - 1],
                direct: &direct[..touched_at.len()],
                touched_at: &touched_at,
            };
            for entry in MODELS {
                let asked = ask(entry.name, &BTreeMap::new()).unwrap();
                let mut weights = vec![0.0; journey.touches()];
                asked.model.weigh(journey, &mut weights);
                prop_assert!(weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0), "{}", entry.name);
                prop_assert!(weights.iter().any(|weight| *weight > 0.0), "{}", entry.name);
            }
        }
    }
}
