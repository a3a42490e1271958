//! What a shell and `man` want to know of the command: completions and pages, from the same words as the
//! help.
//!
//! Neither command is in the list of commands: they are for whoever installs this one.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use super::{Cli, Status};
use crate::error::{Error, Result};
use crate::output::failed;

/// Writes what completes commands, flags and their values in a shell.
pub(super) fn completions(shell: Shell, out: &mut dyn Write) -> Result<Status> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    // In one piece, because a shell that reads no further is no failure.
    let mut text = Vec::new();
    generate(shell, &mut command, name, &mut text);
    out.write_all(&text).and_then(|()| out.flush()).map_err(|error| failed("text")(&error))?;
    Ok(Status::Done)
}

/// Writes a page of the manual for the command, and one for each of its commands, into a folder.
pub(super) fn manual(folder: &Path) -> Result<Status> {
    fs::create_dir_all(folder).map_err(Error::io("write", folder))?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let shown = command.get_subcommands().filter(|one| !one.is_hide_set());
    for one in [&command].into_iter().chain(shown) {
        let name = one.get_display_name().unwrap_or_else(|| one.get_name()).to_owned();
        let path: PathBuf = folder.join(format!("{name}.1"));
        let mut page = Vec::new();
        // No date, so that the same version writes the same bytes.
        let written = Man::new(one.clone()).title(name).date("").render(&mut page);
        written.and_then(|()| fs::write(&path, page)).map_err(Error::io("write", &path))?;
    }
    Ok(Status::Done)
}
