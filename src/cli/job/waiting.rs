//! Waits until the inputs of a run are there, as whole files.

use std::thread;
use std::time::Duration;

use super::until;
use crate::calendar::format_duration;
use crate::cli::stats::clock;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::input;
use crate::pipeline::Progress;
use crate::schema::Table;
use crate::stop;

/// How long until inputs are looked for again, at least and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// How long until it is noticed that everything is to stop.
const STEP: Duration = Duration::from_millis(100);

/// Waits until every input is there, at most for `most`.
///
/// # Errors
///
/// [`Error::NotThere`] where that is in vain; what makes the run impossible however long it waits.
pub(in crate::cli) fn wait(config: &Config, most: Duration, progress: &dyn Progress) -> Result<()> {
    let end = until(most);
    let pause = (most / 100).clamp(PAUSE.0, PAUSE.1);
    let mut told = false;
    while let Some(error) = missing(config)? {
        if end.is_some_and(|end| clock() >= end) {
            return Err(match error {
                Error::NoFiles { table, pattern } => {
                    let waited = i64::try_from(most.as_micros()).unwrap_or(i64::MAX);
                    Error::NotThere { table, pattern, waited: format_duration(waited) }
                }
                // A file that is there and was not finished is an error like any other.
                other => other,
            });
        }
        if !std::mem::replace(&mut told, true) {
            progress.stage("waiting for inputs");
        }
        let mut left = end.map_or(pause, |end| pause.min(end.saturating_duration_since(clock())));
        while !left.is_zero() {
            stop::check()?;
            let step = left.min(STEP);
            thread::sleep(step);
            left -= step;
        }
    }
    Ok(())
}

/// Why an input is not there yet, if one is not.
fn missing(config: &Config) -> Result<Option<Error>> {
    for (table, patterns) in &config.inputs {
        // What is not whole yet is to be looked at again.
        let sources = match input::find_anew(*table, patterns) {
            Ok(sources) => sources,
            Err(error @ Error::NoFiles { .. }) => return Ok(Some(error)),
            Err(error) => return Err(error),
        };
        if *table == Table::Items {
            continue;
        }
        for source in sources {
            match input::describe(*table, &source, config.mapping(*table)) {
                // Whoever writes it may not be at its end.
                Err(error @ Error::NotParquet { .. }) => return Ok(Some(error)),
                // It was there a moment ago, and is being replaced.
                Err(error @ Error::Io { .. }) if !source.path.exists() => return Ok(Some(error)),
                // What else is wrong is wrong after the wait too.
                Ok(_) | Err(_) => {}
            }
        }
    }
    Ok(None)
}
