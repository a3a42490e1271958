//! Questions in SQL about a run: a library of them, and whatever a user writes.
//!
//! A query is one file with a header that says what it answers and which parameters it has (`header`).
//! It reads the tables of a kept run by their names, and `params`, one row with what was asked.
//! [`QUERIES`] is the library, [`AUDITS`] are the queries that must return no rows. Not for what the
//! report itself derives from its sums; those queries stand in `queries/report/`.

mod answer;
mod ask;
mod header;
mod parameters;
mod statement;

use std::fs;
use std::path::Path;

pub use answer::Answer;
pub use ask::ask;
pub use header::{Beside, Header, Parameter, ParameterType};
pub use statement::Statement;

use crate::error::{Error, Result};

/// A query of the library.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Its text.
    pub sql: &'static str,
}

/// A query of `queries/`.
macro_rules! query {
    ($name:literal) => {
        Entry { name: $name, sql: include_str!(concat!("../../queries/", $name, ".sql")) }
    };
}

/// A query of `queries/audits/`.
macro_rules! audit {
    ($name:literal) => {
        Entry { name: $name, sql: include_str!(concat!("../../queries/audits/", $name, ".sql")) }
    };
}

/// The library, in the order in which it is listed.
pub const QUERIES: &[Entry] = &[
    query!("attribution"),
    query!("channels_by_month"),
    query!("models"),
    query!("acquisition_and_retention"),
    query!("roles"),
    query!("top_paths"),
    query!("path_length"),
    query!("time_lag"),
    query!("first_to_last"),
    query!("cross_device"),
    query!("cross_domain"),
    query!("assists"),
    query!("channel_overlap"),
    query!("return_on_spend"),
    query!("cohorts"),
    query!("not_mapped"),
    query!("new_and_repeat"),
    query!("landing_pages"),
    query!("data_quality"),
];

/// Queries that must return no rows, in the order in which they are asked.
pub const AUDITS: &[Entry] = &[
    audit!("amounts_add_up"),
    audit!("shares_sum_to_one"),
    audit!("orders_have_journeys"),
    audit!("journeys_have_orders"),
    audit!("credits_have_orders"),
    audit!("credits_have_touches"),
    audit!("touches_come_before_orders"),
    audit!("positions_are_whole"),
    audit!("persons_keep_together"),
    audit!("persons_know_their_orders"),
];

/// A query that can be asked.
#[derive(Debug, Clone)]
pub struct Query {
    /// What it is called: its name in the library, or its file.
    pub name: String,
    /// Its text.
    pub sql: String,
    /// What it says of itself.
    pub header: Header,
    /// Whether rows of its answer are findings.
    pub is_audit: bool,
}

impl Query {
    /// The query of a name of the library, or in a file whose name ends with `.sql`.
    ///
    /// # Errors
    ///
    /// A name that is none, a file that cannot be read, a header that cannot be understood.
    pub fn named(name: &str) -> Result<Self> {
        let is_file = Path::new(name).extension().is_some_and(|ending| ending == "sql");
        if is_file {
            let path = Path::new(name);
            let sql = fs::read_to_string(path).map_err(Error::io("read", path))?;
            return Self::new(name, &sql, false);
        }
        let found = QUERIES.iter().map(|entry| (entry, false));
        let mut found = found.chain(AUDITS.iter().map(|entry| (entry, true)));
        match found.find(|(entry, _)| entry.name == name) {
            Some((entry, is_audit)) => Self::new(entry.name, entry.sql, is_audit),
            None => Err(Error::Unknown { kind: "query", name: name.to_owned(), known: known() }),
        }
    }

    /// Every audit.
    ///
    /// # Errors
    ///
    /// None that a test has not found.
    pub fn audits() -> Result<Vec<Self>> {
        AUDITS.iter().map(|entry| Self::new(entry.name, entry.sql, true)).collect()
    }

    fn new(name: &str, sql: &str, is_audit: bool) -> Result<Self> {
        let header = Header::read(name, sql)?;
        Ok(Self { name: name.to_owned(), sql: sql.to_owned(), header, is_audit })
    }
}

fn known() -> Vec<String> {
    QUERIES.iter().chain(AUDITS).map(|entry| entry.name.to_owned()).collect()
}
