//! `apportion run`: does a run, publishes its files, prints the report and the summary.

use std::io;
use std::time::Duration;

use super::job::{Job, Log, wait};
use super::progress::{Bar, clear};
use super::stats::Stopwatch;
use super::{Engine, RunCommand, Status, in_pool, now, say, settled, summary};
use crate::config::{Config, Settings};
use crate::error::Result;
use crate::pipeline::{self, Progress, write_report, write_sweep};
use crate::spark;

pub(super) fn run(command: &RunCommand) -> Result<Status> {
    let args = &command.run;
    run_with("run", || settled(args.settings.clone(), args.config.as_deref()), command)
}

/// Does what a run does with these settings.
pub(super) fn run_with(
    name: &'static str,
    settings: impl FnOnce() -> Result<Settings>,
    command: &RunCommand,
) -> Result<Status> {
    let quiet = command.run.quiet;
    let log = Log::new(command.job.log_format, quiet);
    let bar = Bar::unless(quiet || log.is_events());
    let told = (&bar, &log);
    let stopwatch = Stopwatch::new(&told);
    let mut job = Job::new(&command.job, name, &log, &stopwatch)?;
    let done = settings().and_then(|settings| {
        let there = once_there(job.wait_for(), settings.clone(), &stopwatch)?;
        Ok((settings, there))
    });
    let done = done.and_then(|(settings, (config, again))| {
        job.work(&config)?;
        let of_run = OfRun { command, job: &mut job, stopwatch: &stopwatch, bar: &bar };
        if config.sweep.is_some() && command.engine.engine != Some(Engine::Spark) {
            of_run.sweep(config)
        } else {
            of_run.run(&config, &settings, &again)
        }
    });
    clear(bar.as_ref());
    job.end(done)
}

/// What the settings mean, once the inputs are there, and what makes sense of them once more.
fn once_there(
    wait_for: Option<Duration>,
    settings: Settings,
    progress: &dyn Progress,
) -> Result<(Config, impl Fn() -> Result<Config> + Sync + use<>)> {
    if let Some(most) = wait_for {
        wait(&Config::new(settings.clone(), now())?, most, progress)?;
    }
    // The clock of the run is read after the wait, or what came meanwhile would lie in its future.
    let began = now();
    let again = move || configured(settings.clone(), began);
    Ok((again()?, again))
}

/// What the settings mean, with what the environment says of a database.
fn configured(settings: Settings, began: i64) -> Result<Config> {
    let mut config = Config::new(settings, began)?;
    if let Some(target) = &mut config.outputs.database {
        target.database.take_environment(variable);
    }
    Ok(config)
}

/// What the environment says.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A run, and who is told of it.
struct OfRun<'a, 'j> {
    command: &'a RunCommand,
    job: &'a mut Job<'j>,
    stopwatch: &'a Stopwatch<'j>,
    bar: &'a Option<Bar>,
}

impl OfRun<'_, '_> {
    /// Does one run.
    fn run(
        self,
        config: &Config,
        settings: &Settings,
        again: &(dyn Fn() -> Result<Config> + Sync),
    ) -> Result<Status> {
        let Self { command, job, stopwatch, bar } = self;
        let cluster = command.engine.cluster()?;
        let finished = in_pool(config.threads, || match (&cluster, &config.store) {
            (Some(cluster), _) => spark::run(config, settings, cluster, stopwatch),
            (None, Some(_)) => pipeline::run_stored(again()?, &again, stopwatch),
            (None, None) => pipeline::run(config, stopwatch),
        })??;
        job.check(&finished.summary)?;
        stopwatch.stage("publishing");
        // Files first: whoever reads the report may stop reading it.
        let published = finished.publish()?;
        job.published();
        let stats = command.stats.then(|| stopwatch.text(&published.summary));
        clear(bar.as_ref());
        if config.outputs.report.is_none() && config.outputs.database.is_none() {
            write_report(config, published.outcome(), Box::new(io::stdout()))?;
        }
        let mut text = summary::text(&published.summary);
        text.extend(published.loaded.iter().map(summary::loaded));
        said(command, job, &text, stats);
        Ok(Status::Done)
    }

    /// The same where several values of a setting are tried.
    fn sweep(self, config: Config) -> Result<Status> {
        let Self { command, job, stopwatch, bar } = self;
        let (threads, outputs) = (config.threads, config.outputs.clone());
        let swept = in_pool(threads, || pipeline::sweep(config, stopwatch))??;
        job.check(&swept.summary)?;
        stopwatch.stage("publishing");
        let (report, summary) = swept.publish()?;
        job.published();
        let stats = command.stats.then(|| stopwatch.text(&summary));
        clear(bar.as_ref());
        if outputs.report.is_none() {
            write_sweep(outputs.format, &report, Box::new(io::stdout()))?;
        }
        said(command, job, &summary::text(&summary), stats);
        Ok(Status::Done)
    }
}

/// Says what was done, where it is not said in events.
fn said(command: &RunCommand, job: &Job<'_>, summary: &str, stats: Option<String>) {
    if job.is_events() {
        return;
    }
    if !command.run.quiet {
        say(summary);
    }
    if let Some(stats) = stats {
        say(&stats);
    }
}
