//! What can be done to a path before a model sees it: repeats, length, a channel that is left out.
//!
//! Each looks at one path alone. Not for what channels are called, but for `frequency`.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The channel.
    pub channel: String,
    /// Whether it is direct, whatever a transform calls it.
    pub direct: bool,
}

/// What is done to every path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transform {
    /// Nothing.
    AsIs,
    /// Of a channel several times in a row, one remains.
    Exposure,
    /// Of a channel, the first remains.
    First,
    /// Of a channel, the first remains, and is called by how often it occurred.
    Frequency,
    /// The last so many steps remain.
    KeepLast(usize),
    /// The steps of a channel are left out, unless there are no others.
    Remove(String),
}

/// The names of transforms, as they are asked for.
const NAMES: [&str; 7] =
    ["as_is", "unique", "exposure", "first", "frequency", "keep_last=N", "remove=CHANNEL"];

impl Transform {
    /// Reads a transform as `--transform` names it.
    ///
    /// # Example
    ///
    /// ```
    /// use apportion::paths::Transform;
    /// assert_eq!(Transform::parse("keep_last=4")?, Transform::KeepLast(4));
    /// assert_eq!(Transform::parse("unique")?, Transform::AsIs);
    /// assert!(Transform::parse("keep_last=0").is_err());
    /// # Ok::<(), apportion::Error>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (text, None),
        };
        let wrong = |why: &str| Err(Error::setting("--transform", text, why));
        match (name, value) {
            ("as_is" | "unique", None) => Ok(Self::AsIs),
            ("exposure", None) => Ok(Self::Exposure),
            ("first", None) => Ok(Self::First),
            ("frequency", None) => Ok(Self::Frequency),
            ("keep_last", value) => match value.and_then(|value| value.parse().ok()) {
                Some(steps) if steps > 0 => Ok(Self::KeepLast(steps)),
                _ => wrong("write how many steps remain, at least one, such as `keep_last=4`"),
            },
            ("remove", value) => match value {
                Some(channel) if !channel.is_empty() => Ok(Self::Remove(channel.to_owned())),
                _ => wrong("write the channel that is left out, such as `remove=direct`"),
            },
            ("as_is" | "unique" | "exposure" | "first" | "frequency", Some(_)) => {
                wrong("it takes no value")
            }
            _ => Err(Error::Unknown {
                kind: "transform",
                name: name.to_owned(),
                known: NAMES.map(str::to_owned).into(),
            }),
        }
    }

    /// Does it to a path; at least one step of one remains.
    pub fn apply(&self, path: &mut Vec<Step>) {
        match self {
            Self::AsIs => {}
            Self::Exposure => path.dedup_by(|next, step| next.channel == step.channel),
            Self::First => {
                let mut seen = BTreeSet::new();
                path.retain(|step| seen.insert(step.channel.clone()));
            }
            Self::Frequency => {
                let mut times: BTreeMap<String, u64> = BTreeMap::new();
                for step in path.iter() {
                    *times.entry(step.channel.clone()).or_default() += 1;
                }
                path.retain_mut(|step| match times.remove(&step.channel) {
                    Some(times) => {
                        step.channel = format!("{}({times})", step.channel);
                        true
                    }
                    None => false,
                });
            }
            Self::KeepLast(steps) => {
                path.drain(..path.len().saturating_sub(*steps));
            }
            Self::Remove(channel) => {
                if path.iter().any(|step| step.channel != *channel) {
                    path.retain(|step| step.channel != *channel);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transformed(path: &str, transforms: &[&str]) -> String {
        let step = |channel: &str| Step { channel: channel.to_owned(), direct: channel == "D" };
        let mut path: Vec<Step> = path.split(' ').map(step).collect();
        for transform in transforms {
            Transform::parse(transform).unwrap().apply(&mut path);
        }
        path.into_iter().map(|step| step.channel).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_does_what_its_name_says() {
        for (transform, path) in [
            ("as_is", "D A B B C D C C"),
            ("unique", "D A B B C D C C"),
            ("exposure", "D A B C D C"),
            ("first", "D A B C"),
            ("frequency", "D(2) A(1) B(2) C(3)"),
            ("keep_last=3", "D C C"),
            ("keep_last=9", "D A B B C D C C"),
            ("remove=C", "D A B B D"),
            ("remove=X", "D A B B C D C C"),
        ] {
            assert_eq!(transformed("D A B B C D C C", &[transform]), path, "{transform}");
        }
        assert_eq!(transformed("D D", &["remove=D"]), "D D");
    }

    #[test]
    fn several_are_done_in_their_order() {
        assert_eq!(transformed("A D A B", &["remove=D", "exposure"]), "A B");
        assert_eq!(transformed("A D A B", &["exposure", "remove=D"]), "A A B");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in ["keep_last", "keep_last=x", "remove=", "first=2", "firts", ""] {
            Transform::parse(text).unwrap_err();
        }
        assert!(Transform::parse("expsure").unwrap_err().hint().unwrap().contains("`exposure`"));
    }
}
