//! What a scheduler asks of a run: to wait for its inputs, to stop in time, to publish only what meets
//! conditions, and to leave behind what monitors read.
//!
//! None of it changes an answer. Not for hearing signals; that is `signals`.

mod lineage;
mod log;
mod metrics;
mod waiting;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

pub(super) use self::log::{Log, LogFormat};
pub(super) use self::waiting::wait;
use super::stats::{Stopwatch, clock};
use super::{Status, is_broken_pipe, signals, status_of};
use crate::assertions::{Assertion, Figures};
use crate::calendar::parse_duration;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::output::Staged;
use crate::pipeline::refuse_inputs;
use crate::summary::Summary;

/// What a job is called that is given no name.
const NAME: &str = "apportion";

/// How a run is done as a job.
#[derive(Args, Clone, Default)]
pub(super) struct JobArgs {
    /// What the job is called in metrics and lineage [default: apportion]
    #[arg(long, value_name = "NAME", help_heading = "Jobs")]
    job: Option<String>,
    /// Wait for inputs that are not there yet, at most so long, such as 2h; exit code 3 if it is in vain
    #[arg(long, value_name = "DURATION", help_heading = "Jobs")]
    wait_for: Option<String>,
    /// Stop, and write nothing, where it takes longer, such as 30m; the wait for inputs does not count
    #[arg(long, value_name = "DURATION", help_heading = "Jobs")]
    timeout: Option<String>,
    /// Publish only where this holds, such as `unattributed_share < 0.4`; exit code 1 if it does not; repeatable
    #[arg(
        long = "assert",
        value_name = "CONDITION",
        allow_hyphen_values = true,
        help_heading = "Jobs"
    )]
    assertions: Vec<String>,
    /// How standard error is written: text, or json, an event a line [default: text]
    #[arg(
        long,
        value_enum,
        value_name = "text|json",
        hide_possible_values = true,
        help_heading = "Jobs"
    )]
    pub(super) log_format: Option<LogFormat>,
    /// Write figures of the run for Prometheus (its text format, as a textfile collector reads it)
    #[arg(long, value_name = "PATH", help_heading = "Jobs")]
    metrics: Option<PathBuf>,
    /// Write what was read and written as OpenLineage events, one a line
    #[arg(long, value_name = "PATH", help_heading = "Jobs")]
    openlineage: Option<PathBuf>,
}

/// A job while it is done.
pub(super) struct Job<'a> {
    name: &'a str,
    command: &'static str,
    wait_for: Option<Duration>,
    timeout: Option<Duration>,
    assertions: Vec<Assertion>,
    log: &'a Log,
    stopwatch: &'a Stopwatch<'a>,
    metrics: Option<(&'a Path, Staged)>,
    openlineage: Option<(&'a Path, Staged)>,
    /// What monitors and lineage are told, as far as it is known.
    told: Told,
}

/// What is known of a run.
#[derive(Default)]
struct Told {
    began: i64,
    summary: Option<Summary>,
    inputs: Vec<lineage::Dataset>,
    outputs: Vec<PathBuf>,
}

impl<'a> Job<'a> {
    /// Begins a job: what is wrong with its flags is known before the work.
    pub(super) fn new(
        args: &'a JobArgs,
        command: &'static str,
        log: &'a Log,
        stopwatch: &'a Stopwatch<'a>,
    ) -> Result<Self> {
        let name = args.job.as_deref().unwrap_or(NAME);
        if name.is_empty() || name.contains(char::is_control) {
            return Err(Error::setting("--job", name, "write a name, such as `daily`"));
        }
        let assertions = args.assertions.iter().map(|text| Assertion::parse(text));
        let staged = |flag, path: &'a Option<PathBuf>, begins| -> Result<_> {
            let Some(path) = path.as_deref() else { return Ok(None) };
            refuse_others(flag, path, begins)?;
            Ok(Some((path, Staged::new(path)?)))
        };
        if args.metrics.is_some() && args.metrics == args.openlineage {
            let why = "`--metrics` and `--openlineage` name one file; name two";
            return Err(Error::Contradiction(why.to_owned()));
        }
        let job = Self {
            name,
            command,
            wait_for: duration("--wait-for", args.wait_for.as_deref())?,
            timeout: duration("--timeout", args.timeout.as_deref())?,
            assertions: assertions.collect::<Result<_>>()?,
            log,
            stopwatch,
            metrics: staged("--metrics", &args.metrics, metrics::BEGINS)?,
            openlineage: staged("--openlineage", &args.openlineage, lineage::BEGINS)?,
            told: Told { began: super::now(), ..Told::default() },
        };
        job.log.begin(job.command, job.name);
        Ok(job)
    }

    /// Whether what happens is said in events.
    pub(super) fn is_events(&self) -> bool {
        self.log.is_events()
    }

    /// How long inputs may be waited for, where they are.
    pub(super) fn wait_for(&self) -> Option<Duration> {
        self.wait_for
    }

    /// Begins the work itself, from which on time counts; an error if one of the job's own files is one
    /// that is read or written otherwise.
    pub(super) fn work(&mut self, config: &Config) -> Result<()> {
        if let Some(timeout) = self.timeout {
            signals::stop_after(timeout);
        }
        // What is refused is not written to, not even to say so.
        let own = (self.metrics.take(), self.openlineage.take());
        let paths = [&own.0, &own.1].into_iter().flatten();
        let paths: Vec<PathBuf> = paths.map(|(path, _)| path.to_path_buf()).collect();
        if let Err(error) = refuse_inputs(config, &paths) {
            if !matches!(error, Error::Contradiction(_)) {
                // Not about these files: an input that is not there is a failure to tell of.
                (self.metrics, self.openlineage) = own;
            }
            return Err(error);
        }
        let outputs = &config.outputs;
        let files = outputs.files().map(|output| &output.path);
        let files = files.chain(&outputs.report).chain(&outputs.summary);
        self.told.outputs = files.cloned().collect();
        let same = |path: &PathBuf| self.told.outputs.iter().any(|other| is_same(path, other));
        if let Some(path) = paths.iter().find(|path| same(path)) {
            let path = path.display();
            return Err(Error::Contradiction(format!(
                "`{path}` is an output of the run too; name another file"
            )));
        }
        (self.metrics, self.openlineage) = own;
        self.told.outputs.extend(outputs.kept.iter().map(|kept| kept.folder.clone()));
        if self.openlineage.is_some() {
            self.told.inputs = lineage::inputs(config);
        }
        Ok(())
    }

    /// Takes note of what was done, before it is published.
    ///
    /// # Errors
    ///
    /// Conditions that do not hold.
    pub(super) fn check(&mut self, summary: &Summary) -> Result<()> {
        self.told.summary = Some(summary.clone());
        self.log.summary(summary);
        if self.assertions.is_empty() {
            return Ok(());
        }
        let figures = Figures::new(summary);
        let failures = self.assertions.iter().filter_map(|assertion| assertion.failure(&figures));
        let failures: Vec<String> = failures.collect();
        if failures.is_empty() { Ok(()) } else { Err(Error::NotAsserted(failures)) }
    }

    /// Takes note of files that are in their places.
    pub(super) fn published(&self) {
        for path in &self.told.outputs {
            self.log.file(path);
        }
    }

    /// Ends the job: writes what monitors and lineage are told, and says an error as an event where events
    /// are written.
    pub(super) fn end(self, done: Result<Status>) -> Result<Status> {
        let status = match &done {
            Ok(status) => *status,
            Err(error) => status_of(error),
        };
        let Self { name, log, stopwatch, metrics, openlineage, told, .. } = self;
        let stages = stopwatch.stages();
        let seconds = stages.iter().map(|(_, took)| took.as_secs_f64()).sum();
        if let Some((path, staged)) = metrics {
            let summary = told.summary.as_ref();
            let text = metrics::text(name, summary, &stages, status.code(), super::now())?;
            write(path, staged, &text)?;
        }
        if let Some((path, staged)) = openlineage {
            let (ended, error) = (super::now(), done.as_ref().err());
            let run = lineage::Run { name, told: &told, ended, error };
            write(path, staged, &run.events())?;
        }
        if let Err(error) = &done
            && !is_broken_pipe(error)
        {
            log.error(error, status.code());
        }
        log.end(status.code(), seconds);
        match done {
            // It is said already.
            Err(_) if log.is_events() => Ok(status),
            done => done,
        }
    }
}

/// An error if a file is there that no job wrote: a job that fails writes its own files before it is known
/// which others are read and written.
fn refuse_others(flag: &str, path: &Path, begins: &str) -> Result<()> {
    if !path.is_file() {
        return Ok(());
    }
    let mut there = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(begins.len() as u64).read_to_end(&mut there));
    read.map_err(Error::io("read", path))?;
    if there.is_empty() || there == begins.as_bytes() {
        return Ok(());
    }
    let why = "a file is there that no run wrote for this; name another";
    Err(Error::setting(flag, path.display().to_string(), why))
}

/// Writes a file of the job's own, whole.
fn write(path: &Path, staged: Staged, text: &str) -> Result<()> {
    let mut sink = staged.sink()?;
    let written = sink.write_all(text.as_bytes()).and_then(|()| sink.flush());
    written.map_err(Error::io("write", path))?;
    drop(sink);
    staged.commit()
}

/// Whether two paths are of one file, as far as is known before both are there.
fn is_same(left: &Path, right: &Path) -> bool {
    let whole = |path: &Path| {
        path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.into())
    };
    whole(left) == whole(right)
}

fn duration(flag: &str, text: Option<&str>) -> Result<Option<Duration>> {
    let Some(text) = text else { return Ok(None) };
    let micros = parse_duration(text).and_then(|micros| u64::try_from(micros).ok());
    match micros.filter(|micros| *micros > 0) {
        Some(micros) => Ok(Some(Duration::from_micros(micros))),
        None => {
            Err(Error::setting(flag, text, "write a number and one of `s m h d w`, such as `30m`"))
        }
    }
}

/// When something that begins now is over.
fn until(duration: Duration) -> Option<Instant> {
    clock().checked_add(duration)
}
