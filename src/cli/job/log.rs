//! Standard error as events: one JSON object a line, for whoever collects logs.
//!
//! An event says what happened and nothing of any row: no ids of users or orders but those that an error
//! is about, and no password or token of an address.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value, json};

use crate::calendar::format_instant;
use crate::cli::{now, say};
use crate::error::Error;
use crate::pipeline::Progress;
use crate::secrets::concealed_value;
use crate::summary::Summary;

/// How standard error is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(in crate::cli) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An event a line.
    Json,
}

/// Who hears of events; nobody, where text is written.
pub(in crate::cli) struct Log {
    format: LogFormat,
    quiet: bool,
    rows: AtomicU64,
}

impl Log {
    /// A log of a format; a `quiet` one has only errors.
    pub(in crate::cli) fn new(format: Option<LogFormat>, quiet: bool) -> Self {
        Self { format: format.unwrap_or_default(), quiet, rows: AtomicU64::new(0) }
    }

    /// Whether events are written.
    pub(in crate::cli) fn is_events(&self) -> bool {
        self.format == LogFormat::Json
    }

    fn event(&self, level: &str, event: &str, fields: Value) {
        if !self.is_events() || (self.quiet && level != "error") {
            return;
        }
        let mut line = Map::new();
        line.insert("time".to_owned(), format_instant(now()).into());
        line.insert("level".to_owned(), level.into());
        line.insert("event".to_owned(), event.into());
        if let Value::Object(fields) = fields {
            line.extend(fields);
        }
        say(&format!("{}\n", concealed_value(Value::Object(line))));
    }

    /// A job begins.
    pub(super) fn begin(&self, command: &str, job: &str) {
        let version = env!("CARGO_PKG_VERSION");
        self.event("info", "begin", json!({"command": command, "job": job, "version": version}));
    }

    /// Everything is worked out, and nothing published.
    pub(super) fn summary(&self, summary: &Summary) {
        for table in &summary.tables {
            let event = json!({
                "table": table.table,
                "files": table.files,
                "rows": table.read,
                "accepted": table.accepted,
                "rejected": table.rejected,
            });
            self.event("info", "read", event);
        }
        for warning in &summary.warnings {
            self.event("warning", "warning", json!({"message": warning}));
        }
        let summary = serde_json::to_value(summary).unwrap_or_default();
        self.event("info", "summary", json!({"summary": summary}));
    }

    /// A file is in its place.
    pub(super) fn file(&self, path: &Path) {
        self.event("info", "written", json!({"path": path.display().to_string()}));
    }

    /// The job failed.
    pub(super) fn error(&self, error: &Error, exit_code: u8) {
        let mut causes = Vec::new();
        let mut cause = std::error::Error::source(error);
        while let Some(source) = cause {
            causes.push(source.to_string());
            cause = source.source();
        }
        let event = json!({
            "message": error.to_string(),
            "causes": causes,
            "hint": error.hint(),
            "exit_code": exit_code,
        });
        self.event("error", "error", event);
    }

    /// The job is over.
    pub(super) fn end(&self, exit_code: u8, seconds: f64) {
        let seconds = (seconds * 1e3).round() / 1e3;
        self.event("info", "end", json!({"exit_code": exit_code, "seconds": seconds}));
    }
}

impl Progress for Log {
    fn stage(&self, name: &str) {
        let rows = self.rows.load(Ordering::Relaxed);
        self.event("info", "stage", json!({"stage": name, "rows": rows}));
    }

    fn rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    fn note(&self, text: &str) {
        if self.is_events() {
            self.event("info", "note", json!({"message": text}));
        } else if !self.quiet {
            say(&format!("{text}\n"));
        }
    }
}
