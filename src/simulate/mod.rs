//! Worlds whose truth is known: sessions, orders and all tables around them, made from a seed, with
//! a table of which conversions each channel caused.
//!
//! A [`World`] says how channels work, a [`Size`] how many of everything there are, a [`Plan`] is
//! both with all rates settled, and [`simulate`] writes the folder. Not for how near a model comes to
//! the truth: that is [`evaluate`](crate::evaluate).

mod chance;
mod effect;
mod ids;
mod person;
mod plan;
mod quadrature;
mod rates;
mod response;
mod rows;
mod size;
mod spool;
mod tables;
mod truth;
mod world;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use rayon::prelude::*;

use self::person::{Living, Person};
use self::response::Budget;
use self::rows::{OrderRow, SessionRow, ViewRow, order_row, session_rows, view_row};
use self::spool::Spool;
use self::tables::Spent;
use crate::error::{Error, Result};
use crate::objects;
use crate::output::{self, Staged, TableWriter};
use crate::pipeline::Progress;
use crate::stop;

pub use self::plan::Plan;
pub use self::size::{BOT_ORDERS, BOT_SESSIONS, Size};
pub use self::truth::{BOTS, ORGANIC, Truth};
pub use self::world::{Channel, World};

/// Persons that live on a thread at a time.
const PERSONS: u64 = 1_024;

/// Rows that are handed to the writer at a time.
const BATCH_ROWS: usize = 8 * 1_024;

/// The file of the truth; a folder that has it is a simulated one.
const TRUTH: &str = "truth.parquet";

/// A folder that is written and not yet in its place.
pub struct Simulated {
    /// What is true of it.
    pub truth: Truth,
    /// The rows of each table, in the order of their names.
    pub rows: Vec<(&'static str, u64)>,
    staged: Vec<Staged>,
}

impl Simulated {
    /// Makes every file of the folder appear.
    pub fn publish(self) -> Result<(Truth, Vec<(&'static str, u64)>)> {
        Staged::commit_all(self.staged)?;
        Ok((self.truth, self.rows))
    }
}

/// Makes the world of a plan in a folder.
///
/// The same plan gives the same bytes, whatever the threads. Memory holds some thousand persons, and
/// one part in some hundred of the rows; the others wait on the folder's disk.
///
/// # Errors
///
/// A folder that cannot be written to, or that holds tables that were not simulated.
///
/// # Example
///
/// ```
/// use apportion::pipeline::Silent;
/// use apportion::simulate::{Plan, Size, World, simulate};
///
/// let folder = tempfile::tempdir()?;
/// let size = Size { sessions: 2_000, orders: 100, persons: 400, ..Size::default() };
/// let (truth, _) = simulate(&Plan::new(World::read(None)?, size)?, folder.path(), &Silent)?.publish()?;
/// let caused: f64 = truth.conversions().iter().sum();
/// assert!((caused + truth.organic_conversions() - 100.0).abs() < 10.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn simulate(plan: &Plan, folder: &Path, progress: &dyn Progress) -> Result<Simulated> {
    simulate_by(plan, folder, PERSONS, progress)
}

/// The same with so many persons on a thread at a time: that changes no byte.
fn simulate_by(
    plan: &Plan,
    folder: &Path,
    persons: u64,
    progress: &dyn Progress,
) -> Result<Simulated> {
    let mut export = Export::begin(plan, folder)?;
    progress.stage("living");
    let all = plan.size.persons + plan.size.bots;
    // Each wave keeps every thread busy; what it made is taken in the order of persons.
    let wave = rayon::current_num_threads() as u64 * 2;
    let mut next = 0;
    while next < all {
        stop::check()?;
        let parts: Vec<(u64, u64)> = (0..wave)
            .map(|part| (next + part * persons, (next + (part + 1) * persons).min(all)))
            .filter(|(begin, end)| begin < end)
            .collect();
        next += wave * persons;
        let lived: Vec<Lived> =
            parts.into_par_iter().map(|(begin, end)| Lived::new(plan, begin, end)).collect();
        for lived in lived {
            progress.rows(lived.persons.iter().map(|person| person.visits.len() as u64).sum());
            export.take(&lived)?;
        }
    }
    progress.stage("exporting");
    export.finish()
}

/// Some persons' lives.
struct Lived {
    persons: Vec<Person>,
    truth: Truth,
}

impl Lived {
    fn new(plan: &Plan, begin: u64, end: u64) -> Self {
        let mut truth = Truth::new(plan.world.channels.len());
        let mut living = Living::new(plan);
        let persons = (begin..end).map(|number| living.live(number, &mut truth)).collect();
        Self { persons, truth }
    }
}

/// A table that is being written.
struct Writing {
    name: &'static str,
    staged: Staged,
    writer: Box<dyn TableWriter>,
    rows: u64,
}

impl Writing {
    fn begin(folder: &Path, name: &'static str, empty: &RecordBatch) -> Result<Self> {
        let staged = Staged::new(&folder.join(format!("{name}.parquet")))?;
        let writer = (output::format("parquet")?.begin)(staged.sink()?, &empty.schema())?;
        Ok(Self { name, staged, writer, rows: 0 })
    }

    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        self.writer.write(rows)
    }

    fn finish(self) -> Result<(Staged, (&'static str, u64))> {
        self.writer.finish()?;
        Ok((self.staged, (self.name, self.rows)))
    }
}

/// The folder as it grows.
struct Export<'a> {
    plan: &'a Plan,
    folder: &'a Path,
    truth: Truth,
    sessions: Spool<SessionRow>,
    orders: Spool<OrderRow>,
    /// Views are only told of where there are any.
    views: Option<Spool<ViewRow>>,
    devices: Option<Writing>,
    /// Users are known for their profile only where the export is not minimal.
    users: Option<Writing>,
    aliases: Option<Writing>,
    /// Sessions, orders and views so far: the next one's number.
    numbers: (u64, u64, u64),
    /// Visits that were paid for, and views, by day, then by channel and campaign.
    clicks: Vec<(i64, i64)>,
    /// Where the campaigns of each channel begin among those of a day.
    campaigns: Vec<usize>,
}

impl<'a> Export<'a> {
    fn begin(plan: &'a Plan, folder: &'a Path) -> Result<Self> {
        check_folder(folder)?;
        fs::create_dir_all(folder).map_err(Error::io("write", folder))?;
        let size = &plan.size;
        let users = if size.minimal {
            None
        } else {
            Some(Writing::begin(folder, "users", &tables::profiles(plan, &[])?)?)
        };
        let aliases = if size.alias_share > 0.0 {
            Some(Writing::begin(folder, "user_aliases", &tables::aliases(plan, &[])?)?)
        } else {
            None
        };
        let views = if plan.world.has_views() {
            // A guess will do: how many files there are changes no row.
            Some(Spool::new(folder, size.sessions, plan.period)?)
        } else {
            None
        };
        let devices = if size.full {
            Some(Writing::begin(folder, "devices", &tables::devices(plan, &[])?)?)
        } else {
            None
        };
        let campaigns = plan.world.channels.iter().scan(0, |end, channel| {
            let begin = *end;
            *end += channel.campaigns.len().max(1);
            Some(begin)
        });
        let campaigns: Vec<usize> = campaigns.collect();
        let last = plan.world.channels.last().map_or(0, |channel| channel.campaigns.len().max(1));
        let by_day = campaigns.last().copied().unwrap_or_default() + last;
        Ok(Self {
            plan,
            folder,
            truth: Truth::new(plan.world.channels.len()),
            sessions: Spool::new(folder, size.sessions + size.bots * BOT_SESSIONS, plan.period)?,
            orders: Spool::new(folder, size.orders + size.bots * BOT_ORDERS, plan.period)?,
            users,
            aliases,
            views,
            devices,
            numbers: (0, 0, 0),
            clicks: vec![(0, 0); by_day * plan.days().count()],
            campaigns,
        })
    }

    /// Takes the lives of the next persons.
    fn take(&mut self, lived: &Lived) -> Result<()> {
        let Lived { persons, truth } = lived;
        self.truth.add(truth);
        for person in persons {
            let (first_session, first_order, first_view) = self.numbers;
            for (number, visit) in (first_session..).zip(&person.visits) {
                for row in session_rows(person, visit, number) {
                    self.sessions.push(&row)?;
                }
            }
            for (number, purchase) in (first_order..).zip(&person.purchases) {
                self.orders.push(&order_row(person, purchase, number, first_session))?;
            }
            self.numbers.0 += person.visits.len() as u64;
            if let Some(views) = &mut self.views {
                for (number, view) in (first_view..).zip(&person.views) {
                    views.push(&view_row(person, view, number))?;
                }
            }
            self.numbers.1 += person.purchases.len() as u64;
            self.numbers.2 += person.views.len() as u64;
            if person.number < self.plan.size.persons {
                self.count_clicks(person);
            }
        }
        if let Some(users) = &mut self.users {
            users.write(&tables::profiles(self.plan, persons)?)?;
        }
        if let Some(aliases) = &mut self.aliases {
            aliases.write(&tables::aliases(self.plan, persons)?)?;
        }
        if let Some(devices) = &mut self.devices {
            devices.write(&tables::devices(self.plan, persons)?)?;
        }
        Ok(())
    }

    fn count_clicks(&mut self, person: &Person) {
        let by_day = self.clicks.len() / self.plan.days().count();
        let place = |at: i64, channel: u8, campaign: u8| {
            let campaign = self.campaigns[usize::from(channel)] + usize::from(campaign);
            self.plan.day(at) * by_day + campaign
        };
        for visit in &person.visits {
            self.clicks[place(visit.at, visit.channel, visit.campaign)].0 += 1;
        }
        for view in &person.views {
            self.clicks[place(view.at, view.channel, view.campaign)].1 += 1;
        }
    }

    /// Writes what waited, and what is known only at the end.
    fn finish(mut self) -> Result<Simulated> {
        let (plan, folder) = (self.plan, self.folder);
        let spent = self.spent();
        let mut done = Vec::new();
        let mut sessions = Writing::begin(folder, "sessions", &tables::sessions(plan, &[])?)?;
        self.sessions
            .drain(|rows| in_batches(rows, &|rows| tables::sessions(plan, rows), &mut sessions))?;
        let mut orders = Writing::begin(folder, "orders", &tables::orders(plan, &[])?)?;
        self.orders
            .drain(|rows| in_batches(rows, &|rows| tables::orders(plan, rows), &mut orders))?;
        done.extend([sessions, orders]);
        if let Some(views) = self.views.take() {
            let mut writing = Writing::begin(folder, "postviews", &tables::views(plan, &[])?)?;
            views
                .drain(|rows| in_batches(rows, &|rows| tables::views(plan, rows), &mut writing))?;
            done.push(writing);
        }
        done.extend(self.devices.take());
        done.extend(self.users.take());
        done.extend(self.aliases.take());
        let mut small = vec![("truth", self.truth.table(&plan.world)?)];
        if !plan.size.minimal {
            small.push(("spend", tables::spend(plan, &spent)?));
            small.push(("exchange_rates", tables::exchange_rates(plan)?));
        }
        for (name, rows) in small {
            let mut writing = Writing::begin(folder, name, &rows)?;
            writing.write(&rows)?;
            done.push(writing);
        }
        let (mut staged, mut rows) = (Vec::new(), Vec::new());
        for writing in done {
            let (file, count) = writing.finish()?;
            staged.push(file);
            rows.push(count);
        }
        staged.push(text_file(&folder.join("world.toml"), &plan.world.text)?);
        let workspace_path = folder.join("apportion.toml");
        if !has_own_workspace(&workspace_path) {
            staged.push(text_file(&workspace_path, &workspace(&rows, plan))?);
        }
        rows.sort_unstable();
        Ok(Simulated { truth: self.truth, rows, staged })
    }

    /// What was paid for the visits of each day: the more there are of a channel, the dearer each.
    fn spent(&self) -> Vec<Spent> {
        let plan = self.plan;
        let days = plan.days().count();
        let by_day = self.clicks.len() / days;
        let mut rows = Vec::new();
        for (day, clicks) in plan.days().zip(self.clicks.chunks(by_day.max(1))) {
            for (at, channel) in plan.world.channels.iter().enumerate() {
                if !channel.is_paid() {
                    continue;
                }
                let begin = self.campaigns[at];
                let clicks = &clicks[begin..begin + channel.campaigns.len().max(1)];
                let all: i64 = clicks.iter().map(|(clicks, _)| clicks).sum();
                let usual = (plan.by_themselves[at] + plan.harvested[at]) / days as f64;
                let growth = libm::pow(all as f64 / usual, 1.0 / channel.elasticity);
                let cents = 100.0 * channel.cost * usual * growth;
                for (campaign, (clicks, views)) in clicks.iter().enumerate() {
                    if *clicks + *views == 0 {
                        continue;
                    }
                    let part = cents * *clicks as f64 / all.max(1) as f64;
                    #[expect(clippy::cast_possible_truncation, reason = "casts saturate")]
                    let cents = libm::round(part) as i64;
                    rows.push(Spent {
                        day,
                        channel: at,
                        campaign,
                        cents,
                        clicks: *clicks,
                        views: *views,
                    });
                }
            }
        }
        rows
    }
}

/// Writes rows a batch at a time, those of several batches made in parallel.
fn in_batches<R: Sync>(
    rows: &[R],
    batch: &(dyn Fn(&[R]) -> Result<RecordBatch> + Sync),
    writing: &mut Writing,
) -> Result<()> {
    for several in rows.chunks(BATCH_ROWS * 8) {
        let batches: Vec<Result<RecordBatch>> = several.par_chunks(BATCH_ROWS).map(batch).collect();
        batches.into_iter().try_for_each(|batch| writing.write(&batch?))?;
    }
    Ok(())
}

fn text_file(path: &Path, text: &str) -> Result<Staged> {
    let staged = Staged::new(path)?;
    let mut sink = staged.sink()?;
    sink.write_all(text.as_bytes())
        .and_then(|()| sink.flush())
        .map_err(Error::io("write", path))?;
    Ok(staged)
}

/// The first line of the workspace file of a simulated folder, by which it is known again.
const WORKSPACE: &str = "# A simulated world: `apportion run --config` takes this file.";

/// Whether a folder has a workspace file that was written by hand, so that it stays.
fn has_own_workspace(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.lines().next() != Some(WORKSPACE))
}

/// The workspace file of a simulated folder.
fn workspace(rows: &[(&'static str, u64)], plan: &Plan) -> String {
    let mut text = format!("{WORKSPACE}\n\n");
    for (name, _) in rows {
        let key = match *name {
            "truth" => continue,
            "user_aliases" => "aliases",
            name => name,
        };
        text.push_str(&format!("{key} = \"{name}.parquet\"\n"));
    }
    text.push_str(&format!("\ncurrency = \"{CURRENCY}\"\nas_of = \"{}\"\n", {
        crate::calendar::format_instant(plan.period.1)
    }));
    if plan.size.full {
        text.push_str("\n[domains]\n");
        for (name, kind) in tables::DOMAINS {
            text.push_str(&format!("{name} = \"{kind}\"\n"));
        }
    }
    for channel in &plan.world.channels {
        if let Some(code) = &channel.code {
            let medium = channel.medium();
            let code = toml::Value::from(code.as_str());
            text.push_str(&format!("\n[vouchers.{code}]\nutm_source = "));
            text.push_str(&toml::Value::from(channel.source()).to_string());
            text.push_str(&format!("\nutm_medium = {}\n", toml::Value::from(medium)));
        }
    }
    text
}

/// The currency of prices and costs.
const CURRENCY: &str = "EUR";

/// An error if the folder is a file, or if tables would be replaced that were not simulated.
fn check_folder(folder: &Path) -> Result<()> {
    objects::refuse(folder, "a simulated world")?;
    let refused = |why: String| Err(Error::setting("--output", folder.display().to_string(), why));
    if folder.exists() && !folder.is_dir() {
        return refused("it is a file; name the folder of the tables".to_owned());
    }
    let names = [
        "sessions",
        "orders",
        "users",
        "user_aliases",
        "devices",
        "postviews",
        "spend",
        "exchange_rates",
    ];
    let files = names.map(|name| format!("{name}.parquet")).into_iter();
    let files = files.chain(["world.toml", "apportion.toml"].map(str::to_owned));
    let found: Option<PathBuf> = files.map(|name| folder.join(name)).find(|path| path.exists());
    match found {
        Some(path) if !folder.join(TRUTH).exists() => {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            refused(format!("it holds `{name}` that was not simulated; name another folder"))
        }
        _ => Ok(()),
    }
}

impl Plan {
    /// The regret of budgets that follow weights of channels, each a part from 0 to 1: of what the
    /// best split of the same budget earns beyond none at all, how much a split in the proportion of
    /// the weights does not. Nothing is paid for: none.
    pub fn regrets(&self, weights: &[Vec<f64>]) -> Vec<Option<f64>> {
        let channels = &self.world.channels;
        let spent = channels
            .iter()
            .enumerate()
            .map(|(at, channel)| channel.cost * (self.by_themselves[at] + self.harvested[at]));
        let budget = Budget {
            response: &self.response,
            spent: spent.collect(),
            elasticity: channels.iter().map(|channel| channel.elasticity).collect(),
        };
        let nothing = budget.caused(&vec![0.0; channels.len()]);
        let best = budget.caused(&budget.best());
        let regret = |weights: &Vec<f64>| {
            let follows = budget.caused(&budget.split(weights));
            (best > nothing).then(|| (best - follows) / (best - nothing))
        };
        weights.iter().map(regret).collect()
    }
}

#[cfg(test)]
mod tests;
