//! The shell: reads arguments and the clock, calls the library, prints, and names an exit code.
//!
//! One file a command. Nothing else of the crate knows that there is a terminal. Data goes to
//! standard output, everything else to standard error.

mod channels;
mod check;
mod diff;
mod evaluate;
mod effects;
mod explain;
mod identity;
mod ingest;
mod init;
mod job;
mod models;
mod paths;
mod plot;
mod progress;
mod queries;
mod query;
mod report;
mod run;
mod runs;
mod shells;
mod signals;
mod simulate;
mod stats;
mod summary;

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use ingest::IngestArgs;
use job::JobArgs;

use crate::config::{Config, Settings};
use crate::databases::names_database;
use crate::error::{Error, Result};
use crate::output::table::printable_lines;
use crate::output::{Sink, Staged, counted};
use crate::pipeline::in_pool;
use crate::spark::Cluster;
use crate::stop::{self, Stop};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    /// It did what it was asked.
    Done,
    /// It found something that needs a look first: more rejected rows than are allowed, problems,
    /// conditions that do not hold.
    Findings,
    /// It could not.
    Failed,
    /// What it was to read was not there in time.
    NotThere,
    /// It was asked to end, or took too long.
    Stopped(Stop),
}

impl Status {
    /// The exit code: that of a shell's children, where a signal ended it.
    const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Findings => 1,
            Self::Failed | Self::Stopped(Stop::Timeout) => 2,
            Self::NotThere => 3,
            Self::Stopped(Stop::Interrupt) => 130,
            Self::Stopped(Stop::Terminate) => 143,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.code())
    }
}

#[derive(Parser)]
#[command(
    name = "apportion",
    version,
    about = "Multi-touch attribution whose totals add up to the last cent",
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Examples:
  apportion run --sessions sessions.parquet --orders orders.parquet
  apportion run --sessions 'export/sessions/*.parquet' --orders export/orders \\
      --aliases user_aliases.parquet --model last_click,time_decay:half_life=3d \\
      --by utm_source,month --lookback 30d --credits credits.parquet
  apportion check --sessions sessions.parquet --orders orders.parquet
  apportion channels --sessions sessions.parquet --orders orders.parquet
  apportion diff monday tuesday
  apportion effects --sessions sessions.parquet --orders orders.parquet
  apportion explain o17 --sessions sessions.parquet --orders orders.parquet
  apportion identity --sessions sessions.parquet --orders orders.parquet --aliases aliases.parquet
  apportion ingest items.ndjson.gz -o tables
  apportion models time_decay
  apportion paths --input paths.csv
  apportion plot --sessions sessions.parquet --orders orders.parquet -o models.png
  apportion query top_paths --sessions sessions.parquet --orders orders.parquet
  apportion report --sessions sessions.parquet --orders orders.parquet -o report.html
  apportion simulate --seed 7 -o world
  apportion evaluate --seeds 5

Exit codes: 0 done, 1 more rejected rows than are allowed, problems found or an --assert that does
not hold, 2 could not run, 3 inputs not there in time (--wait-for), 130 and 143 stopped by a signal."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Divide the credit of orders among the touches that led to them
    #[command(after_help = "Examples:
  apportion run --sessions sessions.parquet --orders orders.parquet
  apportion run --config shop/apportion.toml --from 2025-01-01 --to 2025-03-31
  apportion run --sessions s.parquet --orders o.parquet --by month --format csv -o report.csv
  apportion run --items items.ndjson --model linear
  apportion run --config shop/apportion.toml --spend spend.parquet --sweep lookback=30d,90d half_life=3d,7d
  apportion run --sessions s.parquet --orders o.parquet \\
      --column sessions.user_external_id=user_id orders.user_external_id=user_id")]
    Run(RunCommand),
    /// Read the inputs, say how they are understood and what is wrong with them, and run nothing
    #[command(after_help = "Examples:
  apportion check --sessions sessions.parquet --orders orders.parquet
  apportion check --config shop/apportion.toml

Exit codes: 0 no problems, 1 problems or too many rejected rows, 2 something cannot be read.")]
    Check(RunArgs),
    /// Say which channel rule takes what, what none takes, and what is likely misspelt
    #[command(after_help = "Examples:
  apportion channels --sessions sessions.parquet
  apportion channels --sessions sessions.parquet --orders orders.parquet --from 2025-01-01
  apportion channels --config shop/apportion.toml --format csv -o coverage.csv
  apportion channels --explain google/cpc/brand")]
    Channels(ChannelsArgs),
    /// Say why numbers changed between two kept runs
    #[command(after_help = "Examples:
  apportion run --config shop/apportion.toml --keep monday
  apportion run --config shop/apportion.toml --keep tuesday
  apportion diff monday tuesday
  apportion diff monday tuesday --from 2025-02-01 --to 2025-02-28 --model linear
  apportion diff monday tuesday --by utm_source,utm_medium -o changes.csv

Each change is divided among its causes, to the unit: orders that are new or gone, refunds, late
sessions, identity, channel rules, settings and more.")]
    Diff(diff::DiffArgs),
    /// Say what channels are worth over all journeys, beside what orders credit to them
    #[command(after_help = "Examples:
  apportion effects --sessions sessions.parquet --orders orders.parquet
  apportion effects --config shop/apportion.toml --model markov:order=auto,shapley
  apportion effects --config shop/apportion.toml --model markov:by=utm_source -o effects.csv
  apportion effects --config shop/apportion.toml --model markov:credits=fitted --bootstrap 1000

It takes the inputs and settings of a run; of its models those that learn, else markov and shapley.")]
    Effects(RunArgs),
    /// Say why one order was divided as it was
    #[command(after_help = "Examples:
  apportion explain o17 --sessions sessions.parquet --orders orders.parquet
  apportion explain o17 --config shop/apportion.toml --model linear,time_decay,markov
  apportion explain o17 --config shop/apportion.toml --format json

It takes the inputs and settings of a run, and tells of every session and view of the order's person
why it is in the journey or is not.")]
    Explain(explain::ExplainArgs),
    /// Say what identity did: to user ids, and to credit and journeys
    #[command(after_help = "Examples:
  apportion identity --sessions sessions.parquet --orders orders.parquet --aliases aliases.parquet
  apportion identity --users users.parquet --aliases aliases.parquet --reconcile email
  apportion identity --config shop/apportion.toml -o identity.csv --changed changed.csv

It takes the inputs and settings of a run; without sessions or orders it says what it can.")]
    Identity(identity::IdentityArgs),
    /// Turn JSON items into the canonical Parquet tables of a folder, merged with those there
    #[command(after_help = "Examples:
  apportion ingest items.ndjson -o tables
  apportion ingest 'stream/*.ndjson.gz' -o tables --rejects rejects.csv --max-rejects 0
  zcat items.ndjson.gz | apportion ingest - -o tables
  apportion run --sessions tables/sessions.parquet --orders tables/orders.parquet \\
      --users tables/users.parquet --aliases tables/user_aliases.parquet

A line is one item: {\"kind\": \"session\", \"user\": {\"external_id\": ...}, \"session\": {...}}.
Kinds are user, user_alias, device, session, postview and order. `apportion run --items` reads
items without writing tables.")]
    Ingest(IngestArgs),
    /// Write a commented apportion.toml
    #[command(after_help = "Examples:
  apportion init
  apportion init shop/apportion.toml")]
    Init {
        /// Where to write it
        #[arg(default_value = "apportion.toml")]
        path: PathBuf,
    },
    /// Write what completes commands and flags in a shell
    #[command(
        hide = true,
        after_help = "Examples:
  apportion completions bash > ~/.local/share/bash-completion/completions/apportion
  apportion completions zsh > _apportion"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages into a folder
    #[command(
        hide = true,
        after_help = "Examples:
  apportion manual ~/.local/share/man/man1"
    )]
    Manual {
        /// The folder; it is made where there is none
        folder: PathBuf,
    },
    /// List the models, or explain one
    #[command(after_help = "Examples:
  apportion models
  apportion models time_decay")]
    Models {
        /// The model to explain
        name: Option<String>,
    },
    /// Run models on journeys that are added up by path, without persons and times
    #[command(after_help = "Examples:
  apportion paths --input paths.csv
  apportion paths --input paths.parquet --model markov,shapley --effects effects.csv
  apportion paths --input paths.csv --separator '>' --transform remove=direct --transform exposure
  apportion paths --input paths.csv --model markov --bootstrap 1000 --ranks ranks.csv

Columns are path, total_conversions and, where there are any, total_conversion_value, total_null
and currency. `apportion run --paths PATH` writes such a table.")]
    Paths(paths::PathsArgs),
    /// Draw one chart of a run, as SVG or PNG, for a slide
    #[command(after_help = "Examples:
  apportion plot --config shop/apportion.toml -o models.png
  apportion plot --config shop/apportion.toml --chart time --width 1920 --height 1080 -o time.png
  apportion plot --config shop/apportion.toml --chart paths --theme dark -o paths.svg

It takes the inputs and settings of a run; by channel, unless --by says otherwise.")]
    Plot(plot::PlotArgs),
    /// Ask a question in SQL of a run: one of the library, or your own
    #[command(after_help = "Examples:
  apportion query attribution --sessions sessions.parquet --orders orders.parquet
  apportion query top_paths --config shop/apportion.toml --param paths=5 --format csv -o paths.csv
  apportion run --config shop/apportion.toml --keep kept
  apportion query mine.sql --run kept
  apportion query --audits --run kept

It takes the inputs and settings of a run, or a run that was kept.

Exit codes: 0 done, 1 an audit returned rows, 2 it could not be answered.")]
    Query(query::QueryArgs),
    /// List the questions that `query` knows, or show the SQL of one
    #[command(after_help = "Examples:
  apportion queries
  apportion queries top_paths > mine.sql")]
    Queries {
        /// The query to show
        name: Option<String>,
    },
    /// Make a page of a run, for a browser: charts, tables, the proof and what figures mean
    #[command(after_help = "Examples:
  apportion report --sessions sessions.parquet --orders orders.parquet -o report.html
  apportion report --config shop/apportion.toml --from 2025-03-01 --to 2025-03-31 \\
      --compare previous_period --bootstrap 1000 -o march.html

It takes the inputs and settings of a run; by channel, unless --by says otherwise. The page is one
file that asks for nothing from a network.")]
    Report(RunCommand),
    /// List the runs of a store, show one, say why two differ, or remove old ones
    #[command(after_help = "Examples:
  apportion run --config shop/apportion.toml --store store
  apportion runs --store store
  apportion runs show --store store
  apportion runs diff --store store
  apportion runs prune --keep 30 --older-than 90d --store store

Runs have names; how a name begins is enough, and `current` and `previous` are names too.")]
    Runs(runs::RunsArgs),
    /// Make the tables of an invented world whose truth is known: which orders each channel caused
    #[command(after_help = "Examples:
  apportion simulate -o world
  apportion simulate --seed 7 --sessions 1000000 --late 0.02 --stubs 0.1 --bots 1 -o world
  apportion run --config world/apportion.toml

The folder holds sessions, orders, users, user_aliases, spend, exchange_rates and truth as Parquet,
world.toml, and an apportion.toml that names the tables.")]
    Simulate(simulate::SimulateArgs),
    /// Say how near each model comes to the truth of simulated worlds
    #[command(after_help = "Examples:
  apportion evaluate
  apportion evaluate --seeds 10 --sessions 100000 --format csv -o scores.csv --shares shares.csv
  apportion evaluate --model last_click,time_decay:half_life=3d --lookback 30d

share_error is the part of the credit that is at the wrong channel, rank_agreement Kendall's tau of
the channels, regret the part of what a budget could earn that is lost where it follows the model.")]
    Evaluate(evaluate::EvaluateArgs),
}

/// The settings of a run, and what is about the command itself.
#[derive(Args)]
struct RunArgs {
    #[command(flatten)]
    settings: Settings,
    /// The workspace file [default: apportion.toml, where there is one]
    #[arg(long, value_name = "FILE", help_heading = "Running")]
    config: Option<PathBuf>,
    /// Say nothing but errors
    #[arg(short, long, help_heading = "Running")]
    quiet: bool,
}

/// Where a run is worked on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Engine {
    /// On the threads of this machine.
    #[default]
    Local,
    /// On Spark, by way of the Python package.
    Spark,
}

/// What `run` takes of where it is worked on.
#[derive(Args)]
struct EngineArgs {
    /// Where the run is worked on: on this machine, or on a cluster [default: local]
    #[arg(
        long,
        value_enum,
        value_name = "local|spark",
        hide_possible_values = true,
        help_heading = "Engine"
    )]
    engine: Option<Engine>,
    /// With --engine spark: its master, or a server of Spark Connect as sc://HOST:PORT [default: all cores of this machine]
    #[arg(long, value_name = "MASTER|sc://HOST:PORT", help_heading = "Engine")]
    spark_master: Option<String>,
    /// With --engine spark: a setting of Spark; repeatable
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Engine")]
    spark_conf: Vec<String>,
    /// With --engine spark: how many buckets persons are divided into [default: as Spark shuffles]
    #[arg(long, value_name = "N", help_heading = "Engine")]
    partitions: Option<usize>,
    /// With --engine spark: what a task holds of its bucket in memory, such as 512MiB; more waits on its disk
    #[arg(long, value_name = "SIZE", help_heading = "Engine")]
    task_memory: Option<String>,
    /// With --engine spark: the Python that has the package `apportion` [default: python3]
    #[arg(long, value_name = "PATH", help_heading = "Engine")]
    python: Option<String>,
}

impl EngineArgs {
    /// The cluster that a run is worked on by, where it is one.
    fn cluster(&self) -> Result<Option<Cluster>> {
        let given = [
            ("--spark-master", self.spark_master.is_some()),
            ("--spark-conf", !self.spark_conf.is_empty()),
            ("--partitions", self.partitions.is_some()),
            ("--task-memory", self.task_memory.is_some()),
            ("--python", self.python.is_some()),
        ];
        if self.engine != Some(Engine::Spark) {
            let alone = given.into_iter().find(|(_, given)| *given);
            return alone.map_or(Ok(None), |(flag, _)| {
                Err(Error::Contradiction(format!("`{flag}` says nothing without `--engine spark`")))
            });
        }
        Ok(Some(Cluster {
            master: self.spark_master.clone().unwrap_or_else(|| "local[*]".to_owned()),
            conf: self.spark_conf.clone(),
            partitions: self.partitions,
            task_memory: self.task_memory.clone(),
            python: self.python.clone().unwrap_or_else(|| "python3".to_owned()),
        }))
    }
}

/// What `run` takes.
#[derive(Args)]
struct RunCommand {
    #[command(flatten)]
    run: RunArgs,
    /// Say where the time went, and how much memory there was at most
    #[arg(long, help_heading = "Running")]
    stats: bool,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    job: JobArgs,
}

/// What `channels` takes: the settings of a run (orders may be missing; of those about the report
/// only its period, filters, format and place count), or one origin to explain.
#[derive(Args)]
struct ChannelsArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Say which rule would take a touch, and read nothing
    #[arg(long, value_name = "SOURCE/MEDIUM/CAMPAIGN", help_heading = "Channels")]
    explain: Option<String>,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    signals::listen();
    let done = refuse_database(&matches).and_then(|()| match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args, &mut io::stdout().lock()),
        Command::Channels(args) => channels::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Effects(args) => effects::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Identity(args) => identity::run(&args),
        Command::Ingest(args) => ingest::run(&args),
        Command::Init { path } => init::run(&path),
        Command::Paths(args) => paths::run(&args),
        Command::Plot(args) => plot::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Queries { name } => queries::run(name.as_deref(), &mut io::stdout().lock()),
        Command::Report(args) => report::run(&args),
        Command::Runs(args) => runs::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Completions { shell } => shells::completions(shell, &mut io::stdout().lock()),
        Command::Manual { folder } => shells::manual(&folder),
        Command::Models { name } => models::run(name.as_deref(), &mut io::stdout().lock()),
    });
    let status = done.unwrap_or_else(|error| {
        if !is_broken_pipe(&error) {
            print_error(&error);
        }
        status_of(&error)
    });
    status.into()
}

/// How a command ended that failed.
fn status_of(error: &Error) -> Status {
    match error {
        _ if is_broken_pipe(error) => Status::Done,
        Error::TooManyRejects { .. } | Error::NotAsserted(_) => Status::Findings,
        Error::NotThere { .. } => Status::NotThere,
        Error::Stopped(stop) => Status::Stopped(*stop),
        _ => Status::Failed,
    }
}

/// An error if a command is to load a database that does no whole run.
fn refuse_database(matches: &ArgMatches) -> Result<()> {
    let Some((command, arguments)) = matches.subcommand() else { return Ok(()) };
    let output = arguments.try_get_one::<PathBuf>("output").ok().flatten();
    if ["run", "check"].contains(&command) || !output.is_some_and(|path| names_database(path)) {
        return Ok(());
    }
    Err(Error::Contradiction(format!(
        "`apportion {command}` writes files; `apportion run -o` loads a database"
    )))
}

/// Whoever read our output has seen enough: that is no failure.
fn is_broken_pipe(error: &Error) -> bool {
    let broken = |source: &io::Error| source.kind() == ErrorKind::BrokenPipe;
    match error {
        Error::Io { source, .. } => broken(source),
        Error::Output { why, .. } => why.contains("Broken pipe"),
        _ => false,
    }
}

/// Prints what went wrong, and what would be right.
fn print_error(error: &Error) {
    if let Error::Stopped(stop) = error {
        return say(&signals::said(*stop, stop::Phase::Working));
    }
    // Names of files and columns, ids and settings are others' text.
    say(&printable_lines(&format!("error: {}", error.in_full())));
}

/// Writes the answer of a command to its file, which appears with those beside it, or to standard
/// output where it has none: after them, because whoever reads it may stop reading.
fn publish(
    place: Option<Staged>,
    beside: impl IntoIterator<Item = Staged>,
    write: impl Fn(Sink) -> Result<()>,
) -> Result<()> {
    let to_stdout = place.is_none();
    if let Some(staged) = &place {
        write(staged.sink()?)?;
    }
    let publishing = stop::publishing()?;
    Staged::commit_all(place.into_iter().chain(beside))?;
    drop(publishing);
    if to_stdout { write(Box::new(io::stdout())) } else { Ok(()) }
}

/// Says how many rows were rejected, where any were.
fn say_rejected(rejected: u64) {
    if rejected > 0 {
        let rejected = counted(rejected, "row is", "rows are");
        say(&format!("{rejected} rejected and left out; `apportion check` names them\n"));
    }
}

/// Writes to standard error, where nobody may be listening.
fn say(text: &str) {
    let mut stderr = io::stderr().lock();
    // There is nowhere left to complain to.
    drop(stderr.write_all(text.as_bytes()));
}

/// What a command is to do that takes the settings of one run; a `[sweep]` of the workspace file is
/// about runs and left alone.
fn configure(args: &RunArgs) -> Result<Config> {
    if !args.settings.sweep.is_empty() {
        let why = "`--sweep` tries several settings, and this command is about one run; `apportion run` sweeps";
        return Err(Error::Contradiction(why.to_owned()));
    }
    if args.settings.partition_by.is_some() {
        let why = "`--partition-by` divides the files of `apportion run`";
        return Err(Error::Contradiction(why.to_owned()));
    }
    configure_with(args.settings.clone(), args.config.as_deref())
}

/// Reads the workspace file and the clock, once.
fn configure_with(settings: Settings, config: Option<&Path>) -> Result<Config> {
    Config::new(settled(settings, config)?, now())
}

/// What is set by flags, else by the workspace file.
fn settled(mut settings: Settings, config: Option<&Path>) -> Result<Settings> {
    let found = Path::new("apportion.toml");
    let file = config.or_else(|| found.exists().then_some(found));
    if let Some(file) = file {
        settings = settings.over(Settings::read(file)?);
    }
    Ok(settings)
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
fn now() -> i64 {
    chrono::Utc::now().timestamp_micros()
}
