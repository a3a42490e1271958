//! A sweep: settings that take several values in one run, and the combinations that follow.
//!
//! Not for what a combination answers: that is a run like any other, of which the pipeline makes as
//! many as there are distinct windows.

use std::collections::BTreeSet;

use clap::ValueEnum;

use super::{Settings, window};
use crate::error::{Error, Result};
use crate::journeys::{ViewPolicy, Window};
use crate::models::{self, Asked, MODELS};

/// Results that a sweep may have: beyond them nobody reads a range.
const MOST_RESULTS: usize = 1_000;

/// The settings of a window that can be swept, as flags name them.
const OF_WINDOWS: [&str; 5] = ["lookback", "view_lookback", "views", "direct", "overlap"];

/// What a sweep tries.
pub struct Sweep {
    /// The settings, in the order asked for.
    pub settings: Vec<SweptSetting>,
    /// Every combination of settings that make a window, the last setting varying fastest.
    pub windows: Vec<SweptWindow>,
    /// Every model under every combination of those of its parameters that are swept, in the order
    /// asked for.
    pub results: Vec<SweptModel>,
    /// The models themselves, each once.
    pub models: Vec<Asked>,
    /// A window that holds every touch that any of the windows holds.
    pub widest: Window,
}

/// A setting and the values that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweptSetting {
    /// Its name, as a flag or a model says it.
    pub name: String,
    /// Its values, in the order asked for.
    pub values: Vec<String>,
}

/// A window, and which values make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweptWindow {
    /// The value of each setting of the sweep; none of those that are a model's.
    pub values: Vec<Option<String>>,
    /// The window.
    pub window: Window,
}

/// A model under some values of its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweptModel {
    /// The text that asked for it.
    pub name: String,
    /// The value of each setting of the sweep; none of those that are not its parameters.
    pub values: Vec<Option<String>>,
    /// Its position among the models.
    pub model: usize,
}

impl Sweep {
    /// Makes sense of what is to be swept; none where nothing is.
    ///
    /// A parameter is swept in every model that has it and does not say it itself.
    ///
    /// # Errors
    ///
    /// A setting that no sweep knows or no model asked for has, a value that cannot be meant, more
    /// combinations than anybody reads.
    pub(super) fn new(settings: &Settings, texts: &[&str]) -> Result<Option<Self>> {
        if settings.sweep.is_empty() {
            return Ok(None);
        }
        let swept = settings.sweep.iter().map(|text| read(text)).collect::<Result<Vec<_>>>()?;
        check(&swept, settings, texts)?;
        let of_window = |setting: &SweptSetting| OF_WINDOWS.contains(&setting.name.as_str());
        let concerns = |text: &str, setting: &SweptSetting| {
            Ok(!of_window(setting)
                && models::takes(text, &settings.models, &setting.name)? == Some(true))
        };
        // How many there are is known before the first is made.
        let count = |settings: &[bool]| {
            let lengths = swept.iter().zip(settings).filter(|(_, taken)| **taken);
            lengths.fold(1_usize, |all, (setting, _)| all.saturating_mul(setting.values.len()))
        };
        let of_windows: Vec<bool> = swept.iter().map(of_window).collect();
        let mut of_models = Vec::with_capacity(texts.len());
        for text in texts {
            let taken = swept.iter().map(|setting| concerns(text, setting));
            of_models.push(taken.collect::<Result<Vec<bool>>>()?);
        }
        let results = of_models.iter().fold(0_usize, |all, taken| all.saturating_add(count(taken)));
        let results = results.saturating_mul(count(&of_windows));
        if results > MOST_RESULTS {
            return Err(Error::Contradiction(format!(
                "a sweep of {results} results is more than the {MOST_RESULTS} that it may have; fewer values, settings or models have fewer"
            )));
        }
        let mut windows = Vec::new();
        for values in combinations(&swept, &of_windows) {
            let mut one = settings.clone();
            for (setting, value) in swept.iter().zip(&values) {
                value.iter().try_for_each(|value| set(&mut one, &setting.name, value))?;
            }
            windows.push(SweptWindow { values, window: window(&one)? });
        }
        let (mut results, mut models) = (Vec::new(), Vec::<Asked>::new());
        for (text, taken) in texts.iter().zip(&of_models) {
            for values in combinations(&swept, taken) {
                let arguments = swept.iter().zip(&values).filter_map(|(setting, value)| {
                    Some(format!(":{}={}", setting.name, value.as_ref()?))
                });
                let asked = models::ask(
                    &format!("{}{}", text.trim(), arguments.collect::<String>()),
                    &settings.models,
                )?;
                let known = models.iter().position(|other| other.name == asked.name);
                let model = known.unwrap_or_else(|| {
                    models.push(asked);
                    models.len() - 1
                });
                results.push(SweptModel { name: text.trim().to_owned(), values, model });
            }
        }
        let widest = widest(&windows, window(settings)?);
        Ok(Some(Self { settings: swept, windows, results, models, widest }))
    }
}

/// Reads `NAME=VALUE,VALUE`.
fn read(text: &str) -> Result<SweptSetting> {
    let wrong = |why: &str| Err(Error::setting("--sweep", text, why));
    let Some((name, values)) = text.split_once('=') else {
        return wrong("write `NAME=VALUE,VALUE`, for example `lookback=30d,90d`");
    };
    let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
    if values.iter().any(String::is_empty) {
        return wrong("a value is empty");
    }
    if values.iter().collect::<BTreeSet<_>>().len() < values.len() {
        return wrong("a value is there twice");
    }
    Ok(SweptSetting { name: name.trim().replace('-', "_"), values })
}

/// An error if a setting is there twice, cannot be swept, or is of no model that is asked for.
fn check(swept: &[SweptSetting], settings: &Settings, texts: &[&str]) -> Result<()> {
    for (at, SweptSetting { name, .. }) in swept.iter().enumerate() {
        if swept[..at].iter().any(|other| other.name == *name) {
            return Err(Error::Contradiction(format!("`--sweep` names `{name}` twice")));
        }
        if OF_WINDOWS.contains(&name.as_str()) {
            continue;
        }
        let of = |entry: &&models::Entry| entry.parameters.iter().any(|one| one.name == *name);
        let having: Vec<&str> = MODELS.iter().filter(of).map(|entry| entry.name).collect();
        if having.is_empty() {
            let parameters = MODELS.iter().flat_map(|entry| entry.parameters);
            let parameters: BTreeSet<&str> = parameters.map(|one| one.name).collect();
            let known = OF_WINDOWS.into_iter().chain(parameters).map(str::to_owned);
            return Err(Error::Unknown {
                kind: "setting of a sweep",
                name: name.clone(),
                known: known.collect(),
            });
        }
        let mut said = false;
        let mut taken = false;
        for text in texts {
            match models::takes(text, &settings.models, name)? {
                Some(true) => taken = true,
                Some(false) => said = true,
                None => {}
            }
        }
        if !taken {
            let why = if said {
                "every model asked for that has it says it itself".to_owned()
            } else {
                let having = having.join("`, `");
                format!("no model asked for has it; `--model` can name `{having}`")
            };
            return Err(Error::setting("--sweep", name, why));
        }
    }
    Ok(())
}

/// Every combination of the values of those settings that are taken, the last varying fastest.
fn combinations(swept: &[SweptSetting], taken: &[bool]) -> Vec<Vec<Option<String>>> {
    let mut all = vec![Vec::new()];
    for (setting, taken) in swept.iter().zip(taken) {
        let values: Vec<Option<String>> =
            if *taken { setting.values.iter().cloned().map(Some).collect() } else { vec![None] };
        let longer = |begun: &Vec<Option<String>>| {
            let begun = begun.clone();
            values.clone().into_iter().map(move |value| [begun.clone(), vec![value]].concat())
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

/// Gives a setting of windows a value.
fn set(settings: &mut Settings, name: &str, value: &str) -> Result<()> {
    match name {
        "lookback" => settings.lookback = Some(value.to_owned()),
        "view_lookback" => settings.view_lookback = Some(value.to_owned()),
        "views" => settings.views = Some(choice(name, value)?),
        "direct" => settings.direct = Some(choice(name, value)?),
        _ => {
            let flag = value.parse();
            let wrong = |_| Error::setting(format!("--{name}"), value, "write `true` or `false`");
            settings.overlap = Some(flag.map_err(wrong)?);
        }
    }
    Ok(())
}

/// One of the values that a setting can have.
fn choice<T: ValueEnum>(name: &str, value: &str) -> Result<T> {
    T::from_str(value, false).map_err(|_| {
        let known = T::value_variants().iter().filter_map(T::to_possible_value);
        let known: Vec<String> = known.map(|value| format!("`{}`", value.get_name())).collect();
        Error::setting(format!("--{name}"), value, format!("choose one of: {}", known.join(", ")))
    })
}

/// A window that holds what any of these does.
fn widest(windows: &[SweptWindow], mut widest: Window) -> Window {
    let longest = |of: fn(&Window) -> Option<i64>| {
        let mut lookbacks = windows.iter().map(|one| of(&one.window));
        // None is for ever.
        lookbacks.try_fold(0, |longest, one| Some(one?.max(longest)))
    };
    widest.lookback = longest(|window| window.lookback);
    widest.view_lookback = longest(|window| window.view_lookback);
    widest.views = ViewPolicy::All;
    widest.overlap = windows.iter().any(|one| one.window.overlap);
    widest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::DAY;

    fn sweep(text: &str) -> Result<Sweep> {
        let settings: Settings = toml::from_str(text).unwrap();
        let texts: Vec<&str> = settings.model.iter().map(String::as_str).collect();
        Sweep::new(&settings, &texts).map(Option::unwrap)
    }

    #[test]
    fn every_combination_is_there_once_and_a_model_takes_its_own_parameters_only() {
        let sweep = sweep(
            "model = ['last_click', 'time_decay', 'time_decay:half_life=3d']\n\
             [sweep]\nhalf_life = ['3d', '7d']\nlookback = '30d,none'\n",
        )
        .unwrap();
        let names: Vec<&str> = sweep.settings.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["half_life", "lookback"]);
        let windows: Vec<_> = sweep.windows.iter().map(|one| one.window.lookback).collect();
        assert_eq!(windows, [Some(30 * DAY), None]);
        assert_eq!(sweep.windows[0].values, [None, Some("30d".to_owned())]);
        let results: Vec<(&str, Option<&str>, usize)> = sweep
            .results
            .iter()
            .map(|one| (one.name.as_str(), one.values[0].as_deref(), one.model))
            .collect();
        let expected = [
            ("last_click", None, 0),
            ("time_decay", Some("3d"), 1),
            ("time_decay", Some("7d"), 2),
            // The same model, asked for by another text.
            ("time_decay:half_life=3d", None, 1),
        ];
        assert_eq!(results, expected);
        assert_eq!((sweep.models.len(), sweep.widest.lookback), (3, None));
    }

    #[test]
    fn what_cannot_be_swept_is_refused_with_what_can() {
        for (text, message) in [
            ("[sweep]\nlockback = '7d'", "no setting of a sweep is named `lockback`"),
            (
                "model = 'linear'\n[sweep]\nhalf_life = '7d'",
                "`--sweep` cannot be `half_life`: no model asked for has it; `--model` can name `time_decay`",
            ),
            (
                "model = 'time_decay:half_life=1d'\n[sweep]\nhalf_life = '7d'",
                "`--sweep` cannot be `half_life`: every model asked for that has it says it itself",
            ),
            (
                "[sweep]\nlookback = '7d,7d'",
                "`--sweep` cannot be `lookback=7d,7d`: a value is there twice",
            ),
            ("[sweep]\nlookback = '7d,'", "`--sweep` cannot be `lookback=7d,`: a value is empty"),
            (
                "[sweep]\nviews = 'some'",
                "`--views` cannot be `some`: choose one of: `none`, `first`, `last`, `all`",
            ),
            (
                "[sweep]\noverlap = 'maybe'",
                "`--overlap` cannot be `maybe`: write `true` or `false`",
            ),
        ] {
            assert_eq!(sweep(text).err().unwrap().to_string(), message);
        }
        let days = |from: u32| (from..from + 40).map(|day| format!("'{day}d'"));
        let list = |from| days(from).collect::<Vec<_>>().join(", ");
        let many = format!(
            "model = 'linear'\n[sweep]\nlookback = [{}]\nview_lookback = [{}]",
            list(1),
            list(1)
        );
        assert!(sweep(&many).err().unwrap().to_string().contains("1600 results is more than"));
    }
}
