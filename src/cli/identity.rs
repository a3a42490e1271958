//! `apportion identity`: says what identity did to user ids, and to credit and journeys.

use std::io;
use std::path::PathBuf;

use clap::{Arg, Args};

use super::progress::Bar;
use super::{RunArgs, Status, in_pool, now, say, say_rejected, settled};
use crate::config::{Config, Settings};
use crate::error::{Error, Result};
use crate::pipeline;

/// The settings that only a run has: what it writes, and further columns of its report.
const OF_RUNS: [&str; 16] = [
    "credits",
    "journeys",
    "orders_report",
    "spend_gaps",
    "effects",
    "paths",
    "ranges",
    "decisions",
    "sweep",
    "persons",
    "identity",
    "rejects",
    "summary",
    "measures",
    "compare",
    "wide",
];

/// What only a run has is not offered.
pub(super) fn offered(argument: Arg) -> Arg {
    if OF_RUNS.contains(&argument.get_id().as_str()) { argument.hide(true) } else { argument }
}

/// The settings of a run, and what is told of it.
#[derive(Args)]
#[command(mut_args(offered))]
pub(super) struct IdentityArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Write every order whose journey identity changed, with its touches and path on both sides
    #[arg(
        long,
        value_name = "PATH",
        help_heading = "Outputs (other formats by the file's name: .parquet .csv .ndjson .json .arrow .md)"
    )]
    changed: Option<PathBuf>,
}

pub(super) fn run(args: &IdentityArgs) -> Result<Status> {
    let config = configure(args)?;
    let bar = Bar::unless(args.run.quiet);
    let audited = in_pool(config.threads, || pipeline::identity(&config, &bar))??;
    drop(bar);
    let (report, summary) = audited.publish()?;
    if config.outputs.report.is_none() {
        report.write(config.outputs.format, Box::new(io::stdout()))?;
    }
    for warning in summary.warnings.iter().filter(|_| !args.run.quiet) {
        say(&format!("warning: {warning}\n"));
    }
    if !args.run.quiet {
        say_rejected(summary.rejected);
    }
    Ok(Status::Done)
}

/// The settings of a run without its outputs and the further columns of its report: those that a
/// workspace file names are a run's, and nothing is made of them.
fn configure(args: &IdentityArgs) -> Result<Config> {
    let flags = &args.run.settings;
    let of_runs = [
        ("--credits", &flags.credits),
        ("--journeys", &flags.journeys),
        ("--orders-report", &flags.orders_report),
        ("--spend-gaps", &flags.spend_gaps),
        ("--ranks", &flags.ranks),
        ("--effects", &flags.effects),
        ("--paths", &flags.paths),
        ("--ranges", &flags.ranges),
        ("--decisions", &flags.decisions),
        ("--persons", &flags.persons),
        ("--identity", &flags.identity),
        ("--rejects", &flags.rejects),
        ("--summary", &flags.summary),
    ];
    if let Some((flag, _)) = of_runs.iter().find(|(_, path)| path.is_some()) {
        return Err(Error::Contradiction(format!(
            "`{flag}` is written by `apportion run`; `apportion identity` writes `-o` and `--changed`"
        )));
    }
    let of_reports = [
        ("--sweep", !flags.sweep.is_empty()),
        ("--compare", flags.compare.is_some()),
        ("--bootstrap", flags.bootstrap.is_some()),
        ("--seed", flags.seed.is_some()),
        ("--level", flags.level.is_some()),
        ("--measures", flags.measures.is_some()),
        ("--wide", flags.wide.is_some()),
        ("--min-persons", flags.min_persons.is_some()),
    ];
    if let Some((flag, _)) = of_reports.iter().find(|(_, given)| *given) {
        return Err(Error::Contradiction(format!(
            "`{flag}` is of the report of `apportion run`; `apportion identity` has both sides of its own"
        )));
    }
    let mut settled = settled(flags.clone(), args.run.config.as_deref())?;
    settled.forget_outputs();
    let settings = Settings {
        format: flags.format.clone(),
        output: flags.output.clone(),
        changed: args.changed.clone(),
        sweep: Vec::new(),
        measures: None,
        compare: None,
        bootstrap: None,
        seed: None,
        level: None,
        min_persons: None,
        ..settled
    };
    Config::new(settings, now())
}
