//! `apportion report`: does a run and makes a page of it.

use super::{RunCommand, Status, settled};
use crate::config::Settings;
use crate::error::Result;

/// What a page is by, where nobody says it.
pub(super) const BY: &str = "channel";

pub(super) fn run(command: &RunCommand) -> Result<Status> {
    super::run::run_with("report", || settings(command.run.settings.clone(), command), command)
}

/// The settings of the run: by channel and as a page, unless something else is asked for.
fn settings(flags: Settings, command: &RunCommand) -> Result<Settings> {
    let asked = flags.format.is_some() || flags.output.is_some();
    let mut settings = settled(flags, command.run.config.as_deref())?;
    if settings.by.is_empty() {
        settings.by = vec![BY.to_owned()];
    }
    // What the workspace file says of the report's file is about `apportion run`.
    if !asked {
        (settings.output, settings.format) = (None, Some("html".to_owned()));
    }
    Ok(settings)
}
