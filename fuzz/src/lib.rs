//! Everything that apportion reads from outside, one target each: bytes in, and what became of them in a few
//! words. A target must not panic, hang or take memory without end, whatever the bytes are.
//!
//! `main.rs` breaks inputs of the corpus at random, on any toolchain; `fuzz_targets/` hands the same
//! functions to cargo-fuzz, which follows what they reach.

pub mod columns;
pub mod condition;
pub mod item;
pub mod manifest;
pub mod parquet;
pub mod paths;
pub mod rule;
pub mod workspace;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use apportion::input::{Input, Loaded, Needs, Reading, Source, find, read};
use apportion::money::Currency;
use apportion::schema::{Mapping, Table};
use tempfile::TempDir;

/// A target.
pub struct Target {
    /// Its name, and that of its folder in the corpus.
    pub name: &'static str,
    /// Runs it on some bytes, and says what became of them.
    pub run: fn(&[u8]) -> String,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "item", run: item::run },
    Target { name: "parquet", run: parquet::run },
    Target { name: "columns", run: columns::run },
    Target { name: "workspace", run: workspace::run },
    Target { name: "rule", run: rule::run },
    Target { name: "paths", run: paths::run },
    Target { name: "condition", run: condition::run },
    Target { name: "manifest", run: manifest::run },
];

/// The clock of every run: 2030-01-01.
pub const AS_OF: i64 = 1_893_456_000_000_000;

/// A folder of this process.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().expect("a temporary folder"));

/// Where something of this name is while this process runs.
pub fn place(name: &str) -> PathBuf {
    FOLDER.path().join(name)
}

/// Writes bytes into a file of this process.
pub fn written(name: &str, data: &[u8]) -> PathBuf {
    let path = place(name);
    fs::write(&path, data).expect("a temporary file");
    path
}

/// The file as an input of a table.
pub fn source(table: Table, path: &std::path::Path) -> Vec<Source> {
    let path = path.to_str().expect("its name is ours").to_owned();
    find(table, &[Input::from(path)]).expect("it is there")
}

/// Reads every column of a file, and checks that no row is lost.
pub fn table(table: Table, path: &std::path::Path) -> apportion::Result<Loaded> {
    let mapping = Mapping::default();
    let reading = Reading {
        table,
        needs: Needs::All,
        mapping: &mapping,
        money: None,
        currency: Currency::NONE,
        units: None,
        lower: true,
        as_of: AS_OF,
        only: None,
        pseudonyms: None,
    };
    let loaded = read(&reading, &source(table, path), &|_| ())?;
    let rejected: BTreeSet<_> = loaded.rejects.iter().map(|reject| reject.place.clone()).collect();
    assert_eq!(rejected.len(), loaded.rejects.len(), "a row is rejected once");
    assert_eq!(
        loaded.rows.num_rows() + rejected.len(),
        loaded.read as usize,
        "every row is counted"
    );
    Ok(loaded)
}

/// What became of something, without what is its own in it: digits and what stands in quotes.
pub fn outcome<T>(result: Result<T, impl std::fmt::Display>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => {
            let mut quoted = false;
            let text = error.to_string();
            let own = |letter: &char| {
                quoted ^= matches!(letter, '`' | '"' | '\'');
                !quoted && !letter.is_ascii_digit()
            };
            text.chars().filter(own).take(120).collect()
        }
    }
}
