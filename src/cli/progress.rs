//! Progress on standard error, while somebody looks.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::job::Log;
use crate::pipeline::Progress;

/// A spinner with the stage and the rows read; gone when it is dropped.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// A bar where somebody looks at standard error, unless nothing is to be said.
    pub(super) fn unless(quiet: bool) -> Option<Self> {
        (!quiet && io::stderr().is_terminal()).then(Self::new)
    }

    fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {msg}  {human_pos} rows  {elapsed}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }
}

impl Progress for Bar {
    fn stage(&self, name: &str) {
        self.0.set_message(name.to_owned());
    }

    fn rows(&self, rows: u64) {
        self.0.inc(rows);
    }
}

/// Takes a bar off the terminal, before something else is written there.
pub(super) fn clear(bar: Option<&Bar>) {
    if let Some(bar) = bar {
        bar.0.finish_and_clear();
    }
}

/// Both are told.
impl Progress for (&Option<Bar>, &Log) {
    fn stage(&self, name: &str) {
        self.0.stage(name);
        self.1.stage(name);
    }

    fn rows(&self, rows: u64) {
        self.0.rows(rows);
        self.1.rows(rows);
    }

    fn note(&self, text: &str) {
        self.1.note(text);
    }
}

/// Where nobody looks there is no bar, and nothing is told.
impl Progress for Option<Bar> {
    fn stage(&self, name: &str) {
        if let Some(bar) = self {
            bar.stage(name);
        }
    }

    fn rows(&self, rows: u64) {
        if let Some(bar) = self {
            bar.rows(rows);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
