//! Which mutant is switched on, if any; only in the copy of the sources that `tests/mutants/mutants.py` makes.

use std::collections::HashSet;
use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

/// The number of the mutant, 0 for none; numbers of mutants begin with 1.
static SWITCHED_ON: AtomicU32 = AtomicU32::new(NOT_READ);
const NOT_READ: u32 = u32::MAX;
/// None is switched on, and it is recorded which are passed.
const RECORDED: u32 = u32::MAX - 1;

/// Whether a mutant is switched on.
pub fn on(mutant: u32) -> bool {
    at(mutant, mutant) != 0
}

/// Which of the mutants of a place is switched on, 0 for none.
#[inline]
pub fn at(first: u32, last: u32) -> u32 {
    let switched_on = SWITCHED_ON.load(Ordering::Relaxed);
    if switched_on >= RECORDED {
        return read_or_recorded(first, last);
    }
    if (first..=last).contains(&switched_on) { switched_on } else { 0 }
}

#[cold]
fn read_or_recorded(first: u32, last: u32) -> u32 {
    static PASSED: OnceLock<Option<(String, Mutex<HashSet<u32>>)>> = OnceLock::new();
    let passed = PASSED.get_or_init(|| {
        let file = env::var("APPORTION_MUTANTS_REACHED").ok()?;
        Some((file, Mutex::new(HashSet::new())))
    });
    let Some((file, passed)) = passed else {
        let number = env::var("APPORTION_MUTANT").ok().and_then(|text| text.parse().ok());
        SWITCHED_ON.store(number.unwrap_or(0), Ordering::Relaxed);
        return at(first, last);
    };
    SWITCHED_ON.store(RECORDED, Ordering::Relaxed);
    if passed.lock().is_ok_and(|mut passed| passed.insert(first)) {
        let written = OpenOptions::new().append(true).create(true).open(file);
        let line: String = (first..=last).map(|mutant| format!("{mutant}\n")).collect();
        // A test that does not reach what it reaches would be found out by the mutants that it misses.
        let _ = written.and_then(|mut file| file.write_all(line.as_bytes()));
    }
    0
}
