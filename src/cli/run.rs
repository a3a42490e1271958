//! `apportion run`: does a run, publishes its files, prints the report and the summary.

use std::io;

use super::progress::Bar;
use super::{RunArgs, Status, configure, in_pool, say, stderr_is_terminal, summary};
use crate::error::Result;
use crate::pipeline::{self, Progress, Silent, write_report};

pub(super) fn run(args: RunArgs) -> Result<Status> {
    let config = configure(&args)?;
    let show = !args.quiet && stderr_is_terminal();
    let bar = show.then(Bar::new);
    let progress: &dyn Progress = match &bar {
        Some(bar) => bar,
        None => &Silent,
    };
    let finished = in_pool(config.threads, || pipeline::run(&config, progress))??;
    drop(bar);
    if config.outputs.report.is_none() {
        write_report(&config, &finished.report, Box::new(io::stdout()))?;
    }
    if !args.quiet {
        say(&summary::text(&finished.summary));
    }
    finished.publish()?;
    Ok(Status::Done)
}
