//! `run.json`: what a kept run was asked, of which files, and what came of it.

use std::fs::{self, File};
use std::hash::Hasher;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use twox_hash::XxHash64;

use crate::calendar::format_micros;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::input::{MemoryTable, STANDARD_INPUT, find};
use crate::objects::Object;
use crate::summary::Summary;

/// The file that makes a folder a kept run.
pub const RUN_FILE: &str = "run.json";

/// How the folder is laid out: a number that grows when a table or a key no longer means what it did.
pub const LAYOUT: u32 = 2;

/// A kept run in words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// How the folder is laid out; see [`LAYOUT`].
    pub layout: u32,
    /// The run's name in its store; none of a run that was kept by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Which run of its store it is, counted from 1: clocks can be set back, and runs stay in their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// When it was put there, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_at: Option<String>,
    /// Why it was worked out in full, where it is in a store and was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anew: Option<String>,
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
    /// What each stage took until the run was written down; of a run in a store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timings: Vec<StageTime>,
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
    /// What it holds, as [`checksum`] sums it up; known of a run in a store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
}

/// What a stage of a run took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    /// The stage.
    pub stage: String,
    /// How long it took.
    pub seconds: f64,
}

/// How many rows a table has, and where they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameRows {
    /// The table.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// Its files, in the order of its rows.
    pub files: Vec<FrameFile>,
}

/// A file of a kept table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameFile {
    /// Where it is in the folder.
    pub path: String,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// What it holds, as [`checksum`] sums it up.
    pub checksum: String,
}

/// What a file holds, in sixteen hexadecimal digits: xxHash64 of its bytes.
///
/// # Errors
///
/// A file that cannot be read.
pub fn checksum(path: &Path) -> Result<String> {
    let failed = || Error::io("read", path);
    let mut file = File::open(path).map_err(failed())?;
    let mut hasher = XxHash64::with_seed(0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(failed())? {
            0 => return Ok(format!("{:016x}", hasher.finish())),
            read => hasher.write(&buffer[..read]),
        }
    }
}

impl Account {
    /// What a run says of itself, of the tables that it kept and the files that it read.
    ///
    /// # Errors
    ///
    /// A summary that cannot be written.
    pub fn new(
        config: &Config,
        summary: &Summary,
        frames: Vec<FrameRows>,
        inputs: Vec<InputFile>,
    ) -> Result<Self> {
        let failed =
            |error: serde_json::Error| Error::Output { format: "json", why: error.to_string() };
        Ok(Self {
            layout: LAYOUT,
            run: None,
            number: None,
            stored_at: None,
            anew: None,
            version: summary.version.to_owned(),
            as_of: summary.as_of.clone(),
            settings: config.understood.clone(),
            inputs,
            frames,
            timings: Vec::new(),
            summary: serde_json::to_value(summary).map_err(failed)?,
        })
    }
}

/// The files of a run, in the order of tables and paths.
///
/// # Errors
///
/// Inputs that are gone.
pub(crate) fn inputs(config: &Config) -> Result<Vec<InputFile>> {
    let mut files = Vec::new();
    for (table, patterns) in &config.inputs {
        for source in find(*table, patterns)? {
            let is_file = source.path.to_str() != Some(STANDARD_INPUT) && source.object.is_none();
            let known = fs::metadata(&source.path).ok().filter(|_| is_file);
            let modified = known.as_ref().and_then(|known| known.modified().ok());
            let since = modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            let micros = since.and_then(|since| i64::try_from(since.as_micros()).ok());
            let object = source.object.as_ref();
            let of_others = || {
                let held = source.memory.as_ref().map(MemoryTable::bytes);
                object.map(Object::bytes).or(held)
            };
            files.push(InputFile {
                table: table.name().to_owned(),
                path: source.path.to_string_lossy().into_owned(),
                bytes: known.map(|known| known.len()).or_else(of_others),
                modified_at: micros
                    .or_else(|| object.and_then(Object::modified))
                    .map(format_micros),
                checksum: None,
            });
        }
    }
    Ok(files)
}
