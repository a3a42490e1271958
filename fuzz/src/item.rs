//! Lines of JSON items, plain and compressed, as far as their tables.

use std::fs;
use std::path::Path;

use apportion::items::{Meaning, merge, read};
use apportion::money::Currency;
use apportion::schema::Table;

/// Reads the lines and makes tables of what they say.
pub fn run(data: &[u8]) -> String {
    let path = crate::written("items.ndjson", data);
    let meaning = Meaning { currency: Currency::NONE, units: None, as_of: crate::AS_OF };
    let scratch = path.parent().unwrap_or(Path::new("."));
    let sources = crate::source(Table::Items, &path);
    let waiting = match read(&meaning, &sources, scratch, &|_| ()) {
        Ok(waiting) => waiting,
        Err(error) => return crate::outcome::<()>(Err(error)),
    };
    let account = waiting.account.clone();
    assert_eq!(
        account.accepted + account.rejects.len() as u64,
        account.read,
        "every line is counted"
    );
    let first = account.rejects.first();
    let rejected = first.map_or(String::new(), |reject| {
        format!("{} {}", reject.rule.name(), crate::outcome::<()>(Err(&reject.message)))
    });
    if account.accepted == 0 {
        return rejected;
    }
    let folder = crate::place("tables");
    drop(fs::remove_dir_all(&folder));
    fs::create_dir(&folder).expect("a temporary folder");
    let merged = merge(waiting, &folder).and_then(|ingested| {
        let tables: Vec<_> = ingested.rows.keys().map(|table| table.to_string()).collect();
        ingested.publish()?;
        Ok(tables.join(","))
    });
    match merged {
        Ok(tables) => {
            for (table, path) in apportion::items::files(&folder) {
                crate::table(table, &path).expect("what was ingested can be read");
            }
            format!("{tables} {rejected}")
        }
        Err(error) => crate::outcome::<()>(Err(error)),
    }
}
