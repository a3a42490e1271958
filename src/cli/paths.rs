//! `apportion paths`: runs every model that needs no clock on journeys that are added up by path.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Status, in_pool, publish, say, settled};
use crate::bootstrap::Bootstrap;
use crate::config::{self, Settings, check_threads};
use crate::error::{Error, Result};
use crate::models::{self, Asked, Entry, MODELS};
use crate::money::{Currency, Units};
use crate::output::{self, Staged, by_extension, counted};
use crate::paths::{
    COLUMNS, PathReport, PathsReading, SEPARATOR, Transform, column_names, with_intervals,
};

/// What `apportion paths` is to do.
#[derive(Args)]
pub(super) struct PathsArgs {
    /// The table of paths: CSV or Parquet
    #[arg(long, value_name = "FILE", help_heading = "Inputs")]
    input: PathBuf,
    /// What stands between the steps of a path
    #[arg(long, value_name = "TEXT", default_value = SEPARATOR, help_heading = "Inputs")]
    separator: String,
    /// Take a column by the name that the file gives it
    #[arg(long, value_name = "paths.COLUMN=NAME", num_args = 1.., help_heading = "Inputs")]
    column: Vec<String>,
    /// The currency of values that name none [default: the workspace's]
    #[arg(long, value_name = "CODE", help_heading = "Inputs")]
    currency: Option<String>,
    /// Whether values are in major units, 12.34, or in minor ones, 1234 [default: integers of
    /// Parquet are minor]
    #[arg(
        long,
        value_enum,
        value_name = "minor|major",
        hide_possible_values = true,
        help_heading = "Inputs"
    )]
    units: Option<Units>,
    /// Change every path first; several transforms are done in their order
    #[arg(
        long,
        value_name = "as_is|unique|exposure|first|frequency|keep_last=N|remove=CHANNEL",
        num_args = 1..,
        help_heading = "Attribution"
    )]
    transform: Vec<String>,
    /// The models [default: every one that needs no clock and no weights]
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Attribution")]
    model: Vec<String>,
    /// Say how uncertain each figure is: an interval, from so many resamples of journeys
    #[arg(long, value_name = "N", help_heading = "Attribution")]
    bootstrap: Option<usize>,
    /// What resamples are drawn by: the same seed gives the same bytes [default: 1]
    #[arg(long, value_name = "S", help_heading = "Attribution")]
    seed: Option<u64>,
    /// The part of the resamples that an interval holds [default: 0.95]
    #[arg(long, value_name = "PART", help_heading = "Attribution")]
    level: Option<String>,
    /// The format of the result, and of the output where its name says none [default: table]
    #[arg(long, value_name = "FORMAT", help_heading = "Outputs")]
    format: Option<String>,
    /// Write the result to a file
    #[arg(short, long, value_name = "PATH", help_heading = "Outputs")]
    output: Option<PathBuf>,
    /// Write what models that learn say of channels, beside what they credit
    #[arg(long, value_name = "PATH", help_heading = "Outputs")]
    effects: Option<PathBuf>,
    /// Write how likely each channel ranks above each other one; needs --bootstrap
    #[arg(long, value_name = "PATH", help_heading = "Outputs")]
    ranks: Option<PathBuf>,
    /// The workspace file, for its currency, units and models [default: apportion.toml, where there
    /// is one]
    #[arg(long, value_name = "FILE", help_heading = "Running")]
    config: Option<PathBuf>,
    /// Threads to work on [default: all cores]
    #[arg(long, value_name = "N", help_heading = "Running")]
    threads: Option<usize>,
    /// Say nothing but errors
    #[arg(short, long, help_heading = "Running")]
    quiet: bool,
}

pub(super) fn run(args: &PathsArgs) -> Result<Status> {
    check_threads(args.threads)?;
    let own =
        Settings { currency: args.currency.clone(), units: args.units, ..Settings::default() };
    let settings = settled(own, args.config.as_deref())?;
    let models = asked(args, &settings)?;
    let reading = reading(args, &settings)?;
    let format = output::chosen(args.format.as_deref(), args.output.as_deref())?;
    let learns = models.iter().any(|asked| asked.model.learns());
    let resampling = resampling(args)?;
    check_outputs(args, learns)?;
    // Every place is tried before the work.
    let result = args.output.as_deref().map(Staged::new).transpose()?;
    let staged = |path: &Option<PathBuf>| match path {
        Some(path) => Ok(Some((by_extension(path)?, Staged::new(path)?))),
        None => Ok::<_, Error>(None),
    };
    let (effects, ranks) = (staged(&args.effects)?, staged(&args.ranks)?);
    let report = in_pool(args.threads, || {
        let paths = crate::paths::read(&args.input, &reading)?;
        let report = crate::paths::credit(&paths, &models)?;
        match &resampling {
            Some(bootstrap) => with_intervals(&paths, &models, report, bootstrap, ranks.is_some()),
            None => Ok(report),
        }
    })??;
    if let Some((format, staged)) = &effects {
        output::write(format, staged.sink()?, &report.effects.table()?)?;
    }
    if let (Some((format, staged)), Some(table)) = (&ranks, &report.ranks) {
        output::write(format, staged.sink()?, table)?;
    }
    publish(result, effects.into_iter().chain(ranks).map(|(_, staged)| staged), |sink| {
        output::write_result(format, sink, || report.text(), || report.table())
    })?;
    if !args.quiet {
        say(&said(&report, learns));
    }
    Ok(Status::Done)
}

/// The models that are asked for, else every one that a path can be given to as it is.
fn asked(args: &PathsArgs, settings: &Settings) -> Result<Vec<Asked>> {
    if !args.model.is_empty() {
        let texts: Vec<&str> = args.model.iter().map(String::as_str).collect();
        return models::ask_all(&texts, &settings.models);
    }
    // One that has to be told something first says nothing of its own.
    let told = |entry: &&Entry| entry.parameters.iter().all(|one| !one.default.is_empty());
    let names: Vec<&str> = MODELS.iter().filter(told).map(|entry| entry.name).collect();
    let mut models = models::ask_all(&names, &settings.models)?;
    models.retain(|asked| !asked.model.needs_times());
    Ok(models)
}

fn reading(args: &PathsArgs, settings: &Settings) -> Result<PathsReading> {
    if args.separator.is_empty() {
        let why = "write what stands between the steps of a path, such as ` > `";
        return Err(Error::setting("--separator", "", why));
    }
    let currency = match &settings.currency {
        Some(code) => {
            code.parse().map_err(|why: String| Error::setting("--currency", code, why))?
        }
        None => Currency::NONE,
    };
    let transforms = args.transform.iter().map(|text| Transform::parse(text));
    Ok(PathsReading {
        separator: args.separator.clone(),
        names: column_names(&args.column)?,
        currency,
        units: settings.units,
        transforms: transforms.collect::<Result<_>>()?,
    })
}

/// How much is to be resampled: by flags alone, as a workspace file says it of runs.
fn resampling(args: &PathsArgs) -> Result<Option<Bootstrap>> {
    config::bootstrap(&Settings {
        bootstrap: args.bootstrap,
        seed: args.seed,
        level: args.level.clone(),
        ranks: args.ranks.clone(),
        ..Settings::default()
    })
}

/// An error if what is to be written cannot be, or would stand in the place of something else.
fn check_outputs(args: &PathsArgs, learns: bool) -> Result<()> {
    if args.effects.is_some() && !learns {
        return Err(Error::Contradiction(
            "`--effects` says nothing without a model that learns, such as `--model markov`"
                .to_owned(),
        ));
    }
    let named =
        [("--output", &args.output), ("--effects", &args.effects), ("--ranks", &args.ranks)];
    for (at, (flag, place)) in named.iter().enumerate() {
        let same = |(_, other): &&(&str, &Option<PathBuf>)| place.is_some() && other == place;
        if let Some((other, _)) = named[at + 1..].iter().find(same) {
            return Err(Error::Contradiction(format!(
                "`{flag}` and `{other}` name one file; a file has one table"
            )));
        }
    }
    let there = |path: &Path| fs::canonicalize(path).ok();
    let input = there(&args.input);
    let mut places = args.output.iter().chain(&args.effects).chain(&args.ranks);
    match places.find(|place| input.is_some() && there(place) == input) {
        None => Ok(()),
        Some(place) => Err(Error::Contradiction(format!(
            "`{}` is both an output and the file of paths; name another output",
            place.display()
        ))),
    }
}

/// What was read, and what it does not say.
fn said(report: &PathReport, learns: bool) -> String {
    let mut text = format!(
        "\n{}: {} with an order, {} without\n",
        counted(report.paths, "path", "paths"),
        counted(report.converted, "journey", "journeys"),
        output::thousands(&report.lost.to_string())
    );
    if learns && report.lost == 0 && report.converted > 0 {
        text.push_str(&format!(
            "warning: no path has a `{}`: models that learn see only journeys with an order\n",
            COLUMNS[3]
        ));
    }
    text
}
