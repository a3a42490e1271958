//! `apportion run`: does a run, publishes its files, prints the report and the summary.

use std::io;

use super::progress::Bar;
use super::{RunArgs, Status, configure, in_pool, say, stderr_is_terminal, summary};
use crate::error::Result;
use crate::pipeline::{self, Progress, Published, Silent, write_report};

pub(super) fn run(args: &RunArgs) -> Result<Status> {
    let config = configure(args)?;
    let show = !args.quiet && stderr_is_terminal();
    let bar = show.then(Bar::new);
    let progress: &dyn Progress = match &bar {
        Some(bar) => bar,
        None => &Silent,
    };
    let finished = in_pool(config.threads, || pipeline::run(&config, progress))??;
    drop(bar);
    // Files first: whoever reads the report may stop reading it.
    let Published { report, summary } = finished.publish()?;
    if config.outputs.report.is_none() {
        write_report(&config, &report, Box::new(io::stdout()))?;
    }
    if !args.quiet {
        say(&summary::text(&summary));
    }
    Ok(Status::Done)
}
