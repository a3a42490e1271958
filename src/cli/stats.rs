//! `--stats`: where the time of a run went, and how much memory it had.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::output::table::aligned;
use crate::output::{Align, thousands};
use crate::pipeline::Progress;
use crate::summary::Summary;

/// A progress that notes when each stage began, and tells another one all it hears.
pub(super) struct Stopwatch<'a> {
    other: &'a dyn Progress,
    begun: Mutex<Vec<(String, Instant)>>,
}

#[expect(clippy::disallowed_methods, reason = "a stopwatch reads the clock")]
pub(super) fn clock() -> Instant {
    Instant::now()
}

impl<'a> Stopwatch<'a> {
    /// Begins with what comes before the first stage.
    pub(super) fn new(other: &'a dyn Progress) -> Self {
        Self { other, begun: Mutex::new(vec![("preparing".to_owned(), clock())]) }
    }

    /// What each stage took until now.
    pub(super) fn stages(&self) -> Vec<(String, Duration)> {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = begun[1..].iter().map(|(_, begun)| *begun).chain([clock()]);
        // A stage may be entered for each of several tables: it is one line.
        let mut stages: Vec<(String, Duration)> = Vec::new();
        for ((name, start), end) in begun.iter().zip(ends) {
            let took = end - *start;
            match stages.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += took,
                None => stages.push((name.clone(), took)),
            }
        }
        stages
    }

    /// What the stages took until now, for people: a table, then rows, bytes and memory.
    pub(super) fn text(&self, summary: &Summary) -> String {
        let stages = self.stages();
        let whole: Duration = stages.iter().map(|(_, took)| *took).sum();
        let row = |name: &str, took: Duration| {
            let share = took.as_secs_f64() / whole.as_secs_f64().max(f64::MIN_POSITIVE);
            vec![
                name.to_owned(),
                format!("{:.3}", took.as_secs_f64()),
                format!("{:.1} %", 100.0 * share),
            ]
        };
        let mut rows: Vec<Vec<String>> =
            stages.iter().map(|(name, took)| row(name, *took)).collect();
        rows.push(row("total", whole));
        let header =
            [("stage", Align::Left), ("seconds", Align::Right), ("of the time", Align::Right)];
        let mut text = format!("\n{}\n", aligned(&header, rows));
        let (read, bytes) = summary
            .tables
            .iter()
            .fold((0, 0), |(rows, bytes), table| (rows + table.read, bytes + table.bytes));
        let each_second = |count: u64| {
            let rate = count as f64 / whole.as_secs_f64().max(f64::MIN_POSITIVE);
            thousands(&format!("{rate:.0}"))
        };
        let lines = [
            ("rows", format!("{}, {} a second", thousands(&read.to_string()), each_second(read))),
            (
                "bytes",
                format!("{}, {} a second", thousands(&bytes.to_string()), each_second(bytes)),
            ),
            ("peak memory", peak_memory().map_or_else(|| "not known here".to_owned(), mebibytes)),
        ];
        for (name, said) in lines {
            text.push_str(&format!("{name:<15} {said}\n"));
        }
        text
    }
}

impl Progress for Stopwatch<'_> {
    fn stage(&self, name: &str) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.push((name.to_owned(), clock()));
        self.other.stage(name);
    }

    fn rows(&self, rows: u64) {
        self.other.rows(rows);
    }

    fn timings(&self) -> Vec<(String, f64)> {
        self.stages().into_iter().map(|(name, took)| (name, took.as_secs_f64())).collect()
    }

    fn note(&self, text: &str) {
        self.other.note(text);
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", thousands(&(bytes >> 20).to_string()))
}

/// The most memory that this process had at a time, in bytes, where the system says it.
pub(super) fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes << 10)
}
