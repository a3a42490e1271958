//! `apportion run`: does a run, publishes its files, prints the report and the summary.

use std::io;

use super::progress::Bar;
use super::stats::Stopwatch;
use super::{RunCommand, Status, configure, in_pool, say, summary};
use crate::error::Result;
use crate::pipeline::{self, Progress, Published, write_report};

pub(super) fn run(command: &RunCommand) -> Result<Status> {
    let args = &command.run;
    let config = configure(args)?;
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
