//! A table of paths, and models that learn from it.

use std::collections::BTreeMap;

use apportion::models::ask_all;
use apportion::money::Currency;
use apportion::paths::{PathsReading, column_names, credit, read};

/// Reads a table of paths and credits its channels.
pub fn run(data: &[u8]) -> String {
    let path = crate::written("paths.csv", data);
    let reading = PathsReading {
        separator: ">".to_owned(),
        names: column_names(&[]).expect("no names of its own"),
        currency: Currency::NONE,
        units: None,
        transforms: Vec::new(),
    };
    let paths = match read(&path, &reading) {
        Ok(paths) => paths,
        Err(error) => return crate::outcome::<()>(Err(error)),
    };
    // The chain of many channels is another question, and slow in a build without optimisation.
    if paths.channels.len() > 12 {
        return "many".to_owned();
    }
    let models = ask_all(&["linear", "position_based", "markov", "shapley"], &BTreeMap::new());
    crate::outcome(credit(&paths, &models.expect("models of the registry")))
}
