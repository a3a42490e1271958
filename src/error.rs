//! Everything that can stop a run, each with what, where, and what would be right.
//!
//! Not for rows that break a rule: those are rejects (`validate`), and a run goes on without them.

use std::any::Any;
use std::collections::BTreeSet;
use std::error::Error as _;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use crate::secrets::concealed;
use crate::stop::Stop;

/// The result of every fallible function of the library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a run could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system said no.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried: `read`, `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },

    /// A store of objects said no, or nothing.
    #[error("cannot {action} `{address}`: {why}")]
    Object {
        /// What was tried: `read`, `list`, `write`, `reach`.
        action: &'static str,
        /// The address, without what it says of who is asking.
        address: String,
        /// What the store answered, or what became of the question.
        why: String,
        /// What would be right, where that is known.
        hint: Option<String>,
    },

    /// A path, folder or glob that holds no file of the table.
    #[error("no {table} file is found at `{pattern}`")]
    NoFiles {
        /// The table that the path was given for.
        table: &'static str,
        /// The path as given.
        pattern: String,
    },

    /// A glob that cannot be understood.
    #[error("`{pattern}` is not a glob")]
    Glob {
        /// The pattern as given.
        pattern: String,
        /// Where it goes wrong.
        source: glob::PatternError,
    },

    /// A file that is empty, truncated or something else than Parquet.
    #[error("{} is not readable as Parquet: {why}", called(table, path))]
    NotParquet {
        /// The table that the file was given for.
        table: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it, in a few words.
        why: String,
        /// What the Parquet reader said.
        source: Option<ParquetError>,
    },

    /// A table in memory whose stream of batches breaks off.
    #[error("{} cannot be read to its end", path.display())]
    Stream {
        /// What stands for its path.
        path: PathBuf,
        /// What went wrong.
        source: ArrowError,
    },

    /// A required column that a file does not have.
    #[error("{0}")]
    MissingColumn(Box<MissingColumn>),

    /// A column whose physical type cannot carry its meaning.
    #[error("column `{column}` of {} is {found}, but {expected} is needed", called(table, path))]
    WrongType {
        /// The table.
        table: &'static str,
        /// The file.
        path: PathBuf,
        /// The column's name in the file.
        column: String,
        /// Its type there.
        found: String,
        /// What would be right.
        expected: &'static str,
    },

    /// A name that is not in a registry.
    #[error("no {kind} is named `{name}`")]
    Unknown {
        /// The registry: `model`, `dimension`, `format` and so on.
        kind: &'static str,
        /// The name that was asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },

    /// A setting whose value cannot be understood.
    #[error("`{setting}` cannot be `{value}`: {why}")]
    Setting {
        /// The setting's name, as a flag says it.
        setting: String,
        /// The value given.
        value: String,
        /// What is wrong with it and what would be right.
        why: String,
    },

    /// Settings that exclude each other, or one that is missing.
    #[error("{0}")]
    Contradiction(String),

    /// A workspace file that is not valid.
    #[error("the workspace file `{}` cannot be understood", path.display())]
    Workspace {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        source: Box<toml::de::Error>,
    },

    /// A file that is to say what a simulated world is like, and does not.
    #[error("the world `{}` cannot be understood", path.display())]
    World {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        source: Box<toml::de::Error>,
    },

    /// A table of paths that says something that cannot be.
    #[error("the paths file `{}`, {place}: {why}", path.display())]
    Paths {
        /// The file.
        path: PathBuf,
        /// Where in it: `line 3`.
        place: String,
        /// What is wrong, and what would be right.
        why: String,
    },

    /// An input file that was written to, replaced or removed while it was read.
    #[error("`{}` changed while it was read: {how}; run again when it is whole", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// What became of it: `it is gone`.
        how: String,
    },

    /// A run that cannot go on from the one before, and is done in full instead.
    #[error("the run cannot go on from the last one: {0}")]
    BeginAnew(String),

    /// A folder that is no store, or not one that can be read.
    #[error("`{}` is not a store that can be read: {why}", folder.display())]
    NotStore {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it, and what would be right.
        why: String,
    },

    /// A store that another run writes to.
    #[error("another run writes to the store `{}`: {holder} holds it", store.display())]
    StoreHeld {
        /// The store.
        store: PathBuf,
        /// Who holds it.
        holder: String,
    },

    /// A folder that is no kept run, or not one that can be read.
    #[error("`{}` is not a kept run that can be read: {why}", folder.display())]
    NotKept {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it.
        why: String,
    },

    /// More rejected rows than the run allows.
    #[error(
        "{rejected} of {read} rows are rejected, more than the {limit} that `--max-rejects` allows"
    )]
    TooManyRejects {
        /// Rows rejected.
        rejected: u64,
        /// Rows read.
        read: u64,
        /// The limit as it was given.
        limit: String,
        /// The rules and how many rows broke each.
        by_rule: String,
    },

    /// Inputs that were waited for in vain.
    #[error("no {table} file is found at `{pattern}` after waiting {waited}")]
    NotThere {
        /// The table that the path was given for.
        table: &'static str,
        /// The path as given.
        pattern: String,
        /// How long it was waited for.
        waited: String,
    },

    /// Conditions on the figures of a run that do not hold: nothing is published.
    #[error("{}", .0.join("\n"))]
    NotAsserted(Vec<String>),

    /// Everything was asked to stop.
    #[error("stopped: {0}")]
    Stopped(Stop),

    /// Work that cannot fit the disk.
    #[error("`{}` has {free} free, and {what} at least {needed}", folder.display())]
    NoSpace {
        /// A folder of the disk.
        folder: PathBuf,
        /// What is free there.
        free: String,
        /// What needs more, as the beginning of a sentence: `touches that wait there take`.
        what: &'static str,
        /// What that is at least.
        needed: String,
    },

    /// An order that a run does not have.
    #[error("no order is named `{order}`")]
    NoOrder {
        /// The id that was asked for.
        order: String,
        /// Where that id was found instead, each a sentence.
        found: Vec<String>,
        /// The ids of orders that are most like it, the nearest first.
        near: Vec<String>,
    },

    /// A sum that leaves 64 bits.
    #[error("{what} does not fit 64 bits of minor units")]
    Overflow {
        /// Which amount.
        what: String,
    },

    /// Sums of resamples that need more memory than they may take.
    #[error(
        "`--bootstrap {resamples}` needs at least {} for {sums} sums, more than the {} that it may take",
        gigabytes(*need), gigabytes(*most)
    )]
    Resamples {
        /// How many resamples were asked for.
        resamples: usize,
        /// How many sums each has, as far as is known.
        sums: u64,
        /// The memory that these need, in bytes.
        need: u64,
        /// The memory that they may take, in bytes.
        most: u64,
    },

    /// An order in a currency that has no exchange rate on or before its day.
    #[error("no exchange rate for {currency} on or before {day} (order `{order}`)")]
    MissingRate {
        /// The currency.
        currency: String,
        /// The order's day in the workspace's timezone.
        day: String,
        /// The order's id.
        order: String,
    },

    /// An invariant of the proof sheet that does not hold: a bug of ours.
    #[error("the proof sheet does not hold: {0}")]
    Broken(String),

    /// The columnar layer failed.
    #[error("columns could not be worked on")]
    Arrow(#[from] ArrowError),

    /// A query over results failed.
    #[error("the query `{name}` failed")]
    Query {
        /// The query's name.
        name: String,
        /// What the SQL layer said.
        source: Box<polars::error::PolarsError>,
    },

    /// A query of the library or of a user's that cannot be answered.
    #[error("the query `{query}` cannot be answered: {why}")]
    Sql {
        /// The query's name or file.
        query: String,
        /// What is wrong with it.
        why: String,
        /// What would be right, where that is known.
        hint: Option<String>,
    },

    /// A database that could not be loaded.
    #[error("cannot load `{database}`: {why}")]
    Database {
        /// The database, without a password.
        database: String,
        /// What is wrong.
        why: String,
        /// What would be right, where that is known.
        hint: Option<String>,
    },

    /// Spark did not do its part of a run.
    #[error("the run on Spark failed: {why}")]
    Spark {
        /// What it said.
        why: String,
        /// What would be right, where that is known.
        hint: Option<String>,
    },

    /// An output could not be written in its format.
    #[error("cannot write {format}: {why}")]
    Output {
        /// The output format.
        format: &'static str,
        /// What went wrong.
        why: String,
    },
}

/// What a panic says, where it says something.
pub fn panic_text(panic: &(dyn Any + Send)) -> Option<&str> {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
}

impl Error {
    /// Whether nothing more could be written, because a disk is full.
    fn met_full_disk(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            // What fills a file in its format tells only in words why it cannot.
            Self::Output { why, .. } => why.contains("No space left"),
            _ => false,
        }
    }

    /// What would be right, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { name, known, .. } => Some(match nearest(name, known) {
                Some(near) => format!("did you mean `{near}`? choose one of: {}", known.join(", ")),
                None => format!("choose one of: {}", known.join(", ")),
            }),
            Self::MissingColumn(missing) => Some(missing.hint()),
            Self::NoOrder { found, .. } if !found.is_empty() => Some(found.join("; ")),
            Self::NoOrder { near, .. } if !near.is_empty() => {
                let near: Vec<String> = near.iter().map(|id| format!("`{id}`")).collect();
                Some(format!("the nearest ids are {}", near.join(", ")))
            }
            Self::NoOrder { .. } => {
                Some("an order is named by its `external_id`, as exports and credits have it".into())
            }
            Self::TooManyRejects { by_rule, .. } => Some(format!(
                "{by_rule}; `apportion check` shows them, `--rejects rejects.csv --max-rejects 100%` keeps them and goes on"
            )),
            Self::Resamples { .. } => Some(
                "fewer resamples, fewer models, a coarser `--by` or `--measures usual` need less"
                    .to_owned(),
            ),
            Self::MissingRate { .. } => Some(
                "`--missing-rate reject` leaves such orders out, `--missing-rate keep` reports them in their own currency"
                    .to_owned(),
            ),
            Self::NoFiles { table: "items", .. } => Some(
                "give a file of JSON lines, a folder that holds some, a quoted glob, or `-` for standard input"
                    .to_owned(),
            ),
            Self::NotThere { .. } => Some(
                "a folder or glob is there as soon as one file of it is; `--wait-for` with more time waits longer"
                    .to_owned(),
            ),
            Self::NotAsserted(_) => Some(
                "nothing is published; look at the data, or change what `--assert` asks for".to_owned(),
            ),
            _ if self.met_full_disk() => {
                Some("free some space, or name a place on another disk".to_owned())
            }
            Self::NoSpace { .. } => Some(
                "free some space, or name another place: `TMPDIR` is where touches wait".to_owned(),
            ),
            Self::NoFiles { .. } => {
                Some("give a Parquet file, a folder that holds some, or a quoted glob".to_owned())
            }
            Self::WrongType { expected: TIME, found, .. } if found.contains("Int") => Some(
                "integers have no unit: convert the column to a timestamp, or to RFC 3339 text"
                    .to_owned(),
            ),
            Self::Workspace { .. } => {
                Some("`apportion init` writes a commented workspace file".to_owned())
            }
            Self::World { .. } => Some(
                "`apportion simulate` writes a `world.toml` that is complete, and docs/simulation.md explains its keys"
                    .to_owned(),
            ),
            Self::Sql { hint, .. }
            | Self::Object { hint, .. }
            | Self::Database { hint, .. }
            | Self::Spark { hint, .. } => hint.clone(),
            Self::NotKept { .. } => {
                Some("`apportion run --keep FOLDER` keeps a run in a folder".to_owned())
            }
            Self::NotStore { .. } => {
                Some("`apportion run --store FOLDER` begins a store".to_owned())
            }
            Self::StoreHeld { .. } => {
                Some("`--store-wait 10m` waits until it is done".to_owned())
            }
            Self::Broken(_) => {
                Some("this is a bug in apportion; please report it with the command".to_owned())
            }
            _ => None,
        }
    }

    /// A headline, one line a cause, and what would be right; without passwords and tokens, although an
    /// error may quote what was typed.
    pub fn in_full(&self) -> String {
        let mut text = format!("{self}\n");
        let mut cause = self.source();
        while let Some(source) = cause {
            for line in source.to_string().trim_end().lines() {
                text.push_str(&format!("  caused by: {line}\n"));
            }
            cause = source.source();
        }
        if let Some(hint) = self.hint() {
            text.push_str(&format!("\nhint: {hint}\n"));
        }
        concealed(&text)
    }

    /// Wraps a failure of the file system with the path it is about.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// A setting that cannot be understood.
    pub fn setting(
        name: impl Into<String>,
        value: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self::Setting { setting: name.into(), value: value.into(), why: why.into() }
    }
}

/// A column that is needed and not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingColumn {
    /// The table.
    pub table: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The name that was looked for.
    pub column: String,
    /// The canonical name, to show how it is mapped.
    pub canonical: String,
    /// The columns there are.
    pub columns: Vec<String>,
    /// Those of them that are known under their own name.
    pub taken: Vec<String>,
}

impl MissingColumn {
    fn hint(&self) -> String {
        // A column that is something else already is not what was misspelt.
        let free = self.columns.iter().filter(|name| !self.taken.contains(name)).cloned();
        let flag = format!("--column {}.{}", self.table, self.canonical);
        let cure = match nearest(&self.column, &free.collect::<Vec<_>>()) {
            Some(near) => format!("`{near}` is nearest: `{flag}={near}` takes it"),
            None => format!("`{flag}=NAME` takes another name"),
        };
        let what = if is_in_memory(&self.path) { "table" } else { "file" };
        format!("the {what} has: {}; {cure}", self.columns.join(", "))
    }
}

impl fmt::Display for MissingColumn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, column, .. } = self;
        write!(formatter, "{} has no column `{column}`", called(table, &self.path))
    }
}

impl std::error::Error for MissingColumn {}

/// How what stands for the path of a table in memory ends.
pub(crate) const IN_MEMORY: &str = " in memory)";

fn is_in_memory(path: &Path) -> bool {
    path.to_string_lossy().ends_with(IN_MEMORY)
}

/// What messages call a file of a table, or what stands for one.
fn called(table: &str, path: &Path) -> String {
    let path_said = path.display();
    if is_in_memory(path) {
        path_said.to_string()
    } else {
        format!("the {table} file `{path_said}`")
    }
}

/// What a time column needs to be; named here because a hint depends on it.
pub(crate) const TIME: &str = "a timestamp, a date or RFC 3339 text";

/// Bytes in gigabytes, as people read them.
fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

/// At most so many ids that are like one, the nearest first.
pub(crate) fn nearest_ids<'a>(
    id: &str,
    known: impl Iterator<Item = &'a str>,
    most: usize,
) -> Vec<String> {
    let scored = known.map(|other| (strsim::jaro_winkler(id, other), other));
    let mut near: Vec<(f64, &str)> = scored.filter(|(score, _)| *score > 0.8).collect();
    near.sort_unstable_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(right.1)));
    near.dedup();
    near.into_iter().take(most).map(|(_, other)| other.to_owned()).collect()
}

/// The known name that is most like `name`, if one is like it at all.
pub(crate) fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a String> {
    let score = |other: &str| {
        let (name, other) = (name.to_lowercase(), other.to_lowercase());
        strsim::jaro_winkler(&name, &other).max(1.05 * shared_words(&name, &other))
    };
    known
        .iter()
        .map(|other| (score(other), other))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, other)| other)
}

/// The part of the words of two names that they share (Dice's coefficient).
fn shared_words(left: &str, right: &str) -> f64 {
    let words = |name: &str| name.split(['_', '.', '-', ' ']).map(str::to_owned).collect();
    let (left, right): (BTreeSet<String>, BTreeSet<String>) = (words(left), words(right));
    2.0 * left.intersection(&right).count() as f64 / (left.len() + right.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_or_none_is_offered() {
        let columns = ["website_session_id", "created_at", "user_id"].map(str::to_owned);
        assert_eq!(nearest("user_external_id", &columns).unwrap(), "user_id");
        assert_eq!(nearest("createdat", &columns).unwrap(), "created_at");
        assert_eq!(nearest("zzz", &columns), None);
    }
}
