//! `apportion evaluate`: holds every model against worlds whose truth is known.

use std::path::PathBuf;

use clap::Args;

use super::progress::Bar;
use super::simulate::WorldArgs;
use super::{Status, in_pool, publish};
use crate::config::{Settings, check_threads};
use crate::error::{Error, Result};
use crate::evaluate::{Trial, evaluate};
use crate::journeys::DirectPolicy;
use crate::models::MODELS;
use crate::output::{self, Staged, by_extension};

/// What `apportion evaluate` is to do.
#[derive(Args)]
pub(super) struct EvaluateArgs {
    /// How many worlds are made, with the seeds from `--seed` on
    #[arg(long, value_name = "N", default_value_t = 5, help_heading = "World")]
    seeds: u64,
    #[command(flatten)]
    world: WorldArgs,
    /// The models [default: every one]
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Attribution")]
    model: Vec<String>,
    /// How long before an order a touch still counts, or `none` [default: 90d]
    #[arg(long, value_name = "DURATION", help_heading = "Attribution")]
    lookback: Option<String>,
    /// A touch may serve several orders: the previous order does not end the window
    #[arg(long, help_heading = "Attribution")]
    overlap: bool,
    /// Whether direct touches count beside others [default: include]
    #[arg(
        long,
        value_enum,
        value_name = "include|skip",
        hide_possible_values = true,
        help_heading = "Attribution"
    )]
    direct: Option<DirectPolicy>,
    /// The format of the scores, and of the output where its name says none [default: table]
    #[arg(long, value_name = "FORMAT", help_heading = "Report")]
    format: Option<String>,
    /// Write the scores to a file
    #[arg(short, long, value_name = "PATH", help_heading = "Report")]
    output: Option<PathBuf>,
    /// Write what each model credits to each channel of each world, beside what was caused
    #[arg(long, value_name = "PATH", help_heading = "Report")]
    shares: Option<PathBuf>,
    /// Threads to work on [default: all cores]
    #[arg(long, value_name = "N", help_heading = "Running")]
    threads: Option<usize>,
    /// Show no progress
    #[arg(short, long, help_heading = "Running")]
    quiet: bool,
}

pub(super) fn run(args: &EvaluateArgs) -> Result<Status> {
    check_threads(args.threads)?;
    let every = || MODELS.iter().map(|entry| entry.name.to_owned()).collect();
    let trial = Trial {
        world: args.world.world()?,
        size: args.world.size()?,
        seeds: args.seeds,
        settings: Settings {
            model: if args.model.is_empty() { every() } else { args.model.clone() },
            lookback: args.lookback.clone(),
            overlap: args.overlap.then_some(true),
            direct: args.direct,
            ..Settings::default()
        },
    };
    let format = output::chosen(args.format.as_deref(), args.output.as_deref())?;
    if args.output.is_some() && args.output == args.shares {
        return Err(Error::Contradiction(
            "`--output` and `--shares` name one file; a file has one table".to_owned(),
        ));
    }
    // Every place is tried before the work.
    let scores = args.output.as_deref().map(Staged::new).transpose()?;
    let shares = match &args.shares {
        Some(path) => Some((by_extension(path)?, Staged::new(path)?)),
        None => None,
    };
    let bar = Bar::unless(args.quiet);
    let found = in_pool(args.threads, || evaluate(&trial, &bar))??;
    drop(bar);
    if let Some((format, staged)) = &shares {
        output::write(format, staged.sink()?, &found.shares()?)?;
    }
    publish(scores, shares.map(|(_, staged)| staged), |sink| {
        output::write_result(format, sink, || found.text(), || found.table())
    })?;
    Ok(Status::Done)
}
