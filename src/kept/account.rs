//! `run.json`: what a kept run was asked, of which files, and what came of it.

use std::fs;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::calendar::format_instant;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::input::{STANDARD_INPUT, find};
use crate::kept::Frame;
use crate::summary::Summary;

/// The file that makes a folder a kept run.
pub const RUN_FILE: &str = "run.json";

/// How the folder is laid out: a number that grows when a table or a key no longer means what it did.
pub const LAYOUT: u32 = 1;

/// A kept run in words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// How the folder is laid out; see [`LAYOUT`].
    pub layout: u32,
    /// The version that ran.
    pub version: String,
    /// The run's clock.
    pub as_of: String,
    /// The settings under the names of their keys in `apportion.toml`, with every default filled in.
    pub settings: Map<String, Value>,
    /// The files that were read.
    pub inputs: Vec<InputFile>,
    /// The tables that were kept.
    pub frames: Vec<FrameRows>,
    /// The summary of the run, with its proof sheet.
    pub summary: Value,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// The table that it was given for.
    pub table: String,
    /// Where it was.
    pub path: String,
    /// Its size, where it is a file.
    pub bytes: Option<u64>,
    /// When it was written, where that is known.
    pub modified_at: Option<String>,
}

/// How many rows a table has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameRows {
    /// The table.
    pub name: String,
    /// Its rows.
    pub rows: u64,
}

impl Account {
    /// What a run says of itself; `rows` has the rows of every table that was kept.
    ///
    /// # Errors
    ///
    /// Inputs that are gone, a summary that cannot be written.
    pub fn new(
        config: &Config,
        summary: &Summary,
        rows: impl IntoIterator<Item = (Frame, u64)>,
    ) -> Result<Self> {
        let failed =
            |error: serde_json::Error| Error::Output { format: "json", why: error.to_string() };
        let frames =
            rows.into_iter().map(|(frame, rows)| FrameRows { name: frame.name().to_owned(), rows });
        Ok(Self {
            layout: LAYOUT,
            version: summary.version.to_owned(),
            as_of: summary.as_of.clone(),
            settings: config.understood.clone(),
            inputs: inputs(config)?,
            frames: frames.collect(),
            summary: serde_json::to_value(summary).map_err(failed)?,
        })
    }
}

/// The files of a run, in the order of tables and paths.
fn inputs(config: &Config) -> Result<Vec<InputFile>> {
    let mut files = Vec::new();
    for (table, patterns) in &config.inputs {
        for source in find(*table, patterns)? {
            let is_file = source.path.to_str() != Some(STANDARD_INPUT);
            let known = fs::metadata(&source.path).ok().filter(|_| is_file);
            let modified = known.as_ref().and_then(|known| known.modified().ok());
            let since = modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            let micros = since.and_then(|since| i64::try_from(since.as_micros()).ok());
            files.push(InputFile {
                table: table.name().to_owned(),
                path: source.path.to_string_lossy().into_owned(),
                bytes: known.map(|known| known.len()),
                modified_at: micros.map(format_instant),
            });
        }
    }
    Ok(files)
}
