//! Whether everything is to stop, because of a signal or because time is up.
//!
//! A signal is to a process, so this is of the process too. Whoever works for long asks [`check`] between
//! two pieces of work; what is written beside its place goes as on any error. What is in temporary places
//! is listed here ([`temporary`]), so that it can be removed even where a piece of work does not end in
//! time. Not for hearing signals; that is `cli`.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};

/// Why everything stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Somebody pressed Ctrl-C, or sent the signal of it.
    Interrupt,
    /// Somebody, such as a scheduler, asked the process to end.
    Terminate,
    /// It takes longer than it may.
    Timeout,
}

impl Stop {
    const ALL: [Self; 3] = [Self::Interrupt, Self::Terminate, Self::Timeout];

    const fn number(self) -> i32 {
        match self {
            Self::Interrupt => 1,
            Self::Terminate => 2,
            Self::Timeout => 3,
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Interrupt => "interrupted (SIGINT)",
            Self::Terminate => "asked to end (SIGTERM)",
            Self::Timeout => "it takes longer than `--timeout` allows",
        })
    }
}

/// The number of why everything stops; zero while nothing does.
static STOP: AtomicI32 = AtomicI32::new(0);

/// Asks everything to stop; the first reason holds.
pub fn request(stop: Stop) {
    // Nothing is to be done where it was asked before.
    let _known = STOP.compare_exchange(0, stop.number(), Ordering::SeqCst, Ordering::SeqCst);
}

/// Why everything is to stop, if it is.
pub fn requested() -> Option<Stop> {
    let number = STOP.load(Ordering::SeqCst);
    Stop::ALL.into_iter().find(|stop| stop.number() == number)
}

/// Forgets that everything was to stop: of a process that goes on after it, such as a notebook.
pub fn resume() {
    STOP.store(0, Ordering::SeqCst);
}

/// An error once everything is to stop.
///
/// # Errors
///
/// [`Error::Stopped`].
///
/// # Example
///
/// ```standalone_crate
/// use apportion::stop::{Stop, check, request, requested, resume};
/// assert!(check().is_ok());
/// request(Stop::Interrupt);
/// request(Stop::Timeout);
/// assert_eq!(requested(), Some(Stop::Interrupt));
/// assert!(check().unwrap_err().to_string().contains("SIGINT"));
/// resume();
/// assert!(check().is_ok());
/// ```
pub fn check() -> Result<()> {
    requested().map_or(Ok(()), |stop| Err(Error::Stopped(stop)))
}

/// How far it has come with putting things in their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Nothing is in its place.
    #[default]
    Working,
    /// Some of it may be.
    Publishing,
    /// All of it is.
    Published,
}

static PHASE: Mutex<Phase> = Mutex::new(Phase::Working);

fn phase() -> MutexGuard<'static, Phase> {
    PHASE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is put in its places is put there whole: until this is dropped nothing stops.
#[derive(Debug)]
pub struct Publishing(());

/// Begins to put things in their places.
///
/// # Errors
///
/// [`Error::Stopped`] where everything is to stop: then nothing is in its place.
pub fn publishing() -> Result<Publishing> {
    let mut phase = phase();
    check()?;
    *phase = Phase::Publishing;
    Ok(Publishing(()))
}

impl Drop for Publishing {
    fn drop(&mut self) {
        *phase() = Phase::Published;
    }
}

/// Ends the process by `end` unless things are being put in their places; what is temporary is removed
/// first, and nothing can be put in its place meanwhile.
pub(crate) fn end(end: impl FnOnce(Phase)) {
    let phase = phase();
    if *phase != Phase::Publishing {
        remove_temporaries();
        end(*phase);
    }
}

static TEMPORARIES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn temporaries() -> MutexGuard<'static, Vec<PathBuf>> {
    TEMPORARIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Places beyond which those are forgotten that are gone.
const MANY: usize = 1024;

/// Lists a file or folder that its owner removes or moves, to be removed where the process ends before.
pub fn temporary(path: &Path) {
    let mut known = temporaries();
    if known.len() >= MANY {
        known.retain(|path| path.exists());
    }
    known.push(std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()));
}

/// Removes every temporary place, where whoever has one may not come to it before the process ends; what
/// cannot be removed is left.
pub fn remove_temporaries() {
    for path in temporaries().iter() {
        let _left = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_are_gone_are_forgotten_when_there_are_many() {
        let folder = tempfile::tempdir().unwrap();
        temporary(folder.path());
        for number in 0..2 * MANY {
            temporary(&folder.path().join(number.to_string()));
        }
        let known = temporaries();
        assert!(known.len() <= MANY + 1, "{}", known.len());
        assert!(known.iter().any(|path| path == folder.path()));
    }
}
