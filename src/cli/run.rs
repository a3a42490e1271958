//! `apportion run`: does a run, publishes its files, prints the report and the summary.

use std::io;
use std::time::Duration;

use super::job::{Job, Log, wait};
use super::progress::{Bar, clear};
use super::stats::Stopwatch;
use super::{RunCommand, Status, in_pool, now, say, settled, summary};
use crate::config::{Config, Outputs, Settings};
use crate::error::Result;
use crate::pipeline::buckets::{BucketRun, Concluded};
use crate::pipeline::{self, Finished, Progress, Swept, write_report, write_sweep};
use crate::spark::{self, Cluster};

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
        match command.engine.cluster()? {
            Some(cluster) => of_run.on_spark(config, &settings, &cluster),
            None if config.sweep.is_some() => of_run.sweep(config),
            None => of_run.run(&config, &again),
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
    fn run(self, config: &Config, again: &(dyn Fn() -> Result<Config> + Sync)) -> Result<Status> {
        let stopwatch = self.stopwatch;
        let finished = in_pool(config.threads, || match config.store {
            Some(_) => pipeline::run_stored(again()?, &again, stopwatch),
            None => pipeline::run(config, stopwatch),
        })??;
        self.finish(config, finished)
    }

    /// Does a run, or tries several values of a setting, on Spark.
    fn on_spark(self, config: Config, settings: &Settings, cluster: &Cluster) -> Result<Status> {
        let stopwatch = self.stopwatch;
        let run = BucketRun::begin(config, stopwatch)?;
        let threads = run.config().threads;
        match in_pool(threads, || spark::run(&run, settings, cluster, stopwatch))?? {
            Concluded::Run(finished) => self.finish(run.config(), *finished),
            Concluded::Sweep(swept) => self.finish_sweep(&run.config().outputs, *swept),
        }
    }

    /// Publishes a run, and says what was done.
    fn finish(self, config: &Config, finished: Finished) -> Result<Status> {
        let Self { command, job, stopwatch, bar } = self;
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
        let (threads, outputs) = (config.threads, config.outputs.clone());
        let stopwatch = self.stopwatch;
        let swept = in_pool(threads, || pipeline::sweep(config, stopwatch))??;
        self.finish_sweep(&outputs, swept)
    }

    fn finish_sweep(self, outputs: &Outputs, swept: Swept) -> Result<Status> {
        let Self { command, job, stopwatch, bar } = self;
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
