//! `apportion run`: does a run, publishes its files, prints the report and the summary.

use std::io;

use super::progress::Bar;
use super::stats::Stopwatch;
use super::{RunCommand, Status, in_pool, now, say, settled, summary};
use crate::config::{Config, Settings};
use crate::error::Result;
use crate::pipeline::{self, Progress, write_report, write_sweep};

pub(super) fn run(command: &RunCommand) -> Result<Status> {
    let args = &command.run;
    run_with(settled(args.settings.clone(), args.config.as_deref())?, command)
}

/// Does what a run does with these settings.
pub(super) fn run_with(settings: Settings, command: &RunCommand) -> Result<Status> {
    let args = &command.run;
    let config = Config::new(settings, now())?;
    if config.sweep.is_some() {
        return sweep(command, config);
    }
    let bar = Bar::unless(args.quiet);
    let stopwatch = Stopwatch::new(&bar);
    let finished = in_pool(config.threads, || pipeline::run(&config, &stopwatch))??;
    stopwatch.stage("publishing");
    // Files first: whoever reads the report may stop reading it.
    let published = finished.publish()?;
    let stats = command.stats.then(|| stopwatch.text(&published.summary));
    drop(bar);
    if config.outputs.report.is_none() {
        write_report(&config, published.outcome(), Box::new(io::stdout()))?;
    }
    if !args.quiet {
        say(&summary::text(&published.summary));
    }
    if let Some(stats) = stats {
        say(&stats);
    }
    Ok(Status::Done)
}

/// The same where several values of a setting are tried.
fn sweep(command: &RunCommand, config: Config) -> Result<Status> {
    let quiet = command.run.quiet;
    let bar = Bar::unless(quiet);
    let stopwatch = Stopwatch::new(&bar);
    let (threads, outputs) = (config.threads, config.outputs.clone());
    let swept = in_pool(threads, || pipeline::sweep(config, &stopwatch))??;
    stopwatch.stage("publishing");
    let (report, summary) = swept.publish()?;
    let stats = command.stats.then(|| stopwatch.text(&summary));
    drop(bar);
    if outputs.report.is_none() {
        write_sweep(outputs.format, &report, Box::new(io::stdout()))?;
    }
    if !quiet {
        say(&summary::text(&summary));
    }
    if let Some(stats) = stats {
        say(&stats);
    }
    Ok(Status::Done)
}
