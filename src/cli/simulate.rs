//! `apportion simulate`: makes a folder of tables whose truth is known.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use clap::Args;

use super::progress::Bar;
use super::{Status, in_pool, say};
use crate::calendar::parse_day;
use crate::config::check_threads;
use crate::error::{Error, Result};
use crate::output::{counted, thousands};
use crate::simulate::{Plan, Size, Truth, World, simulate};

/// How large a world is, and how it works.
#[derive(Args)]
pub(super) struct WorldArgs {
    /// Which of all worlds; the same seed gives the same bytes
    #[arg(long, value_name = "S", default_value_t = 1, help_heading = "World")]
    seed: u64,
    /// How many sessions are expected
    #[arg(long, value_name = "N", default_value_t = 20_000, help_heading = "World")]
    sessions: u64,
    /// How many orders are expected [default: 7.5 for 100 sessions]
    #[arg(long, value_name = "N", help_heading = "World")]
    orders: Option<u64>,
    /// How many persons there are, whatever number of ids they have [default: 1 for 8 sessions]
    #[arg(long, value_name = "N", help_heading = "World")]
    users: Option<u64>,
    /// The first day
    #[arg(long, value_name = "DATE", default_value = "2025-01-01", help_heading = "World")]
    start: String,
    /// How many days
    #[arg(long, value_name = "N", default_value_t = 365, help_heading = "World")]
    days: u32,
    /// A file that says how channels work [default: the world of docs/simulation.md]
    #[arg(long, value_name = "FILE", help_heading = "World")]
    world: Option<PathBuf>,
    /// Exponent of the Pareto distribution of how busy persons are: the smaller, the busier the busiest
    #[arg(long, value_name = "A", default_value_t = 1.5, help_heading = "World")]
    tail: f64,
    /// How many times as busy as the least busy person one can be
    #[arg(long, value_name = "N", default_value_t = 500.0, help_heading = "World")]
    busiest: f64,
    /// Share of the sessions that is under an anonymous id with an alias
    #[arg(long, value_name = "SHARE", default_value_t = 0.25, help_heading = "Export")]
    alias_share: f64,
    /// Share of the sessions that arrive twice: when they began, and whole up to three days later
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, help_heading = "Export")]
    late: f64,
    /// Share of the orders that are paid back
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, help_heading = "Export")]
    refunds: f64,
    /// Share of the orders that are cancelled
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, help_heading = "Export")]
    cancellations: f64,
    /// Share of the anonymous ids of customers that no alias joins to them
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, help_heading = "Export")]
    unjoined: f64,
    /// Robots, each with 20,000 sessions and 5,000 orders
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Export")]
    bots: u64,
}

impl WorldArgs {
    /// How channels work.
    pub(super) fn world(&self) -> Result<World> {
        World::read(self.world.as_deref())
    }

    /// How large it is.
    pub(super) fn size(&self) -> Result<Size> {
        let start: NaiveDate = parse_day(&self.start).ok_or_else(|| {
            Error::setting("--start", &self.start, "write a day such as `2025-01-01`")
        })?;
        Ok(Size {
            seed: self.seed,
            sessions: self.sessions,
            orders: self.orders.unwrap_or_else(|| self.sessions.saturating_mul(3) / 40),
            persons: self.users.unwrap_or_else(|| (self.sessions / 8).max(1)),
            start,
            days: self.days,
            tail: self.tail,
            busiest: self.busiest,
            alias_share: self.alias_share,
            late: self.late,
            refunds: self.refunds,
            cancellations: self.cancellations,
            unjoined: self.unjoined,
            bots: self.bots,
            ..Size::default()
        })
    }
}

/// What `apportion simulate` is to do.
#[derive(Args)]
pub(super) struct SimulateArgs {
    /// The folder of the tables
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    #[command(flatten)]
    world: WorldArgs,
    /// Share of the users that have no profile
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, help_heading = "Export")]
    stubs: f64,
    /// Characters of an id, 8 to 64
    #[arg(long, value_name = "N", default_value_t = 20, help_heading = "Export")]
    id_length: usize,
    /// Write sessions, orders and aliases alone, with the required columns, source, medium and price
    #[arg(long, help_heading = "Export")]
    minimal: bool,
    /// Tell of devices, domains, time zones, impressions and dimensions of the shop's own too
    #[arg(long, conflicts_with = "minimal", help_heading = "Export")]
    full: bool,
    /// Threads to work on [default: all cores]
    #[arg(long, value_name = "N", help_heading = "Running")]
    threads: Option<usize>,
    /// Say nothing but errors
    #[arg(short, long, help_heading = "Running")]
    quiet: bool,
}

pub(super) fn run(args: &SimulateArgs) -> Result<Status> {
    check_threads(args.threads)?;
    let size = Size {
        stubs: args.stubs,
        id_length: args.id_length,
        minimal: args.minimal,
        full: args.full,
        ..args.world.size()?
    };
    let plan = Plan::new(args.world.world()?, size)?;
    let bar = Bar::unless(args.quiet);
    let made = in_pool(args.threads, || simulate(&plan, &args.output, &bar))??;
    let (truth, rows) = made.publish()?;
    drop(bar);
    if !args.quiet {
        say(&said(&args.output, &truth, &rows));
    }
    Ok(Status::Done)
}

/// What the folder holds, and where to go from there.
fn said(folder: &Path, truth: &Truth, rows: &[(&'static str, u64)]) -> String {
    let mut text = String::from("\n");
    for (name, count) in rows {
        text.push_str(&format!("{name:<15} {}\n", counted(*count, "row", "rows")));
    }
    let (caused, organic) = truth.caused_and_organic_orders();
    let number = |count: u64| thousands(&count.to_string());
    let expected: f64 = truth.conversions().iter().sum();
    text.push_str(&format!(
        "{:<15} {} orders by a channel, {} by none; of such visits {expected:.1} and {:.1} are expected\n",
        "caused",
        number(caused),
        number(organic),
        truth.organic_conversions()
    ));
    let workspace = folder.join("apportion.toml");
    text.push_str(&format!("{:<15} apportion run --config {}\n", "next", workspace.display()));
    text
}
