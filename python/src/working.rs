//! Work that takes long: done on another thread without the interpreter's lock, while the calling thread
//! hears of Ctrl-C and says how far it has come.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use apportion::Error;
use apportion::error::panic_text;
use apportion::pipeline::Progress;
use apportion::stop::{self, Stop};
use pyo3::prelude::{Bound, Py, PyAny, PyErr, PyResult, Python};

use crate::errors::exception;

/// How soon a signal is heard, and how often it is said how far the work has come.
const TICK: Duration = Duration::from_millis(50);

/// What the work says of itself, until somebody asks.
#[derive(Default)]
struct Told {
    stages: Mutex<Vec<String>>,
    rows: AtomicU64,
}

impl Progress for Told {
    fn stage(&self, name: &str) {
        locked(&self.stages).push(name.to_owned());
    }

    fn rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    fn note(&self, text: &str) {
        self.stage(text);
    }
}

/// What came of the work, once it has ended.
struct Done<T> {
    outcome: Mutex<Option<thread::Result<Result<T, Error>>>>,
    ended: Condvar,
}

/// Does some work and waits for it.
///
/// `told` is called with the name of each stage and the rows that were read by then.
///
/// # Errors
///
/// What the work says, a signal that was heard, or what `told` raises.
pub(crate) fn work<T: Send>(
    py: Python<'_>,
    told: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&dyn Progress) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let told = told.map(|told| told.clone().unbind());
    let outcome = py.detach(|| {
        let (progress, done) =
            (Told::default(), Done { outcome: Mutex::new(None), ended: Condvar::new() });
        let interrupted = thread::scope(|scope| {
            scope.spawn(|| {
                let outcome = catch_unwind(AssertUnwindSafe(|| work(&progress)));
                *locked(&done.outcome) = Some(outcome);
                done.ended.notify_all();
            });
            attend(&progress, &done, told.as_ref())
        });
        match (interrupted, locked(&done.outcome).take()) {
            (Some(error), _) => Err(error),
            (None, Some(outcome)) => Ok(outcome),
            (None, None) => Err(broken("it ended without an answer")),
        }
    })?;
    match outcome {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(crate::errors::raised(&error)),
        Err(panic) => Err(broken(panic_text(panic.as_ref()).unwrap_or("no reason given"))),
    }
}

/// Waits until the work is done. Returns what made it stop, if something did.
fn attend<T>(progress: &Told, done: &Done<T>, told: Option<&Py<PyAny>>) -> Option<PyErr> {
    let mut interrupted = None;
    let (mut stage, mut known) = (String::new(), None);
    loop {
        let has_ended = {
            let outcome = locked(&done.outcome);
            let waited = done.ended.wait_timeout_while(outcome, TICK, |outcome| outcome.is_none());
            waited.unwrap_or_else(PoisonError::into_inner).0.is_some()
        };
        if interrupted.is_none() {
            let heard = Python::attach(|py| {
                py.check_signals()?;
                told.map_or(Ok(()), |told| tell(py, progress, told, (&mut stage, &mut known)))
            });
            if let Err(error) = heard {
                stop::request(Stop::Interrupt);
                interrupted = Some(error);
            }
        }
        if has_ended {
            if interrupted.is_some() {
                stop::resume();
            }
            return interrupted;
        }
    }
}

/// Calls whoever wants to know of every stage, and of rows that were read since.
fn tell(
    py: Python<'_>,
    progress: &Told,
    told: &Py<PyAny>,
    (stage, known): (&mut String, &mut Option<u64>),
) -> PyResult<()> {
    let stages = std::mem::take(&mut *locked(&progress.stages));
    let rows = progress.rows.load(Ordering::Relaxed);
    for name in stages {
        told.call1(py, (name.as_str(), rows))?;
        (*stage, *known) = (name, Some(rows));
    }
    if known.is_some_and(|known| known != rows) {
        told.call1(py, (stage.as_str(), rows))?;
        *known = Some(rows);
    }
    Ok(())
}

/// What is guarded; nothing is left half done by a thread that panics.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error for a bug, of whoever's.
fn broken(why: &str) -> PyErr {
    exception(
        "ApportionError",
        format!("apportion broke: {why}\n\nhint: this is a bug in apportion; please report it"),
    )
}
