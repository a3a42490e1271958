//! `apportion run`: does a run, publishes its files, prints the report and the summary.

use std::io;

use super::progress::Bar;
use super::stats::Stopwatch;
use super::{RunCommand, Status, configure, in_pool, say, summary};
use crate::config::Config;
use crate::error::Result;
use crate::pipeline::{self, Progress, Published, write_report, write_sweep};

pub(super) fn run(command: &RunCommand) -> Result<Status> {
    let args = &command.run;
    let config = configure(args)?;
    if config.sweep.is_some() {
        return sweep(command, config);
    }
    let bar = Bar::unless(args.quiet);
    let stopwatch = Stopwatch::new(&bar);
    let finished = in_pool(config.threads, || pipeline::run(&config, &stopwatch))??;
    stopwatch.stage("publishing");
    // Files first: whoever reads the report may stop reading it.
    let Published { report, summary, .. } = finished.publish()?;
    let stats = command.stats.then(|| stopwatch.text(&summary));
    drop(bar);
    if config.outputs.report.is_none() {
        write_report(&config, &report, Box::new(io::stdout()))?;
    }
    if !args.quiet {
        say(&summary::text(&summary));
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
