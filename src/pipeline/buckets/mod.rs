//! A run over buckets of persons, each worked on by itself wherever it is, and what all of them come to.
//!
//! A bucket holds whole persons: every user that anything joins, with every row of theirs. So a bucket is
//! worked on by the very stages of a run ([`BucketRun::work`]), and what comes of it ([`BucketSums`]) are counts and
//! exact sums, which are those of a run over everything once they are added up, in any order.
//! [`BucketRun::conclude`] makes the report of them, and writes the files. Models that learn need to know what all
//! buckets have: each [`Pass`] gathers it, and [`Known`] takes it to the next.
//!
//! Not for which person is in which bucket, nor for how rows get there: that is whoever shuffles them.

mod arriving;
mod columns;
mod components;
mod conclude;
mod keys;
mod known;
mod parcels;
mod sending;
mod shared;
mod sums;
mod travelling;

use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use self::sums::PeriodSums;
use self::travelling::Travelling;
use super::sweep::{Windows, prepare_sweep};
use super::{
    Named, Ready, SessionsBeside, Silent, Writers, all_persons, attribute_by, count_orders, gaps,
    label, make_ready, observe, overview, paths, reattribute, relearns, sessions_beside,
    work as work_on,
};
use crate::config::{Config, Extent, Sweep};
use crate::engine::{self, Observed};
use crate::error::{Error, Result};
use crate::identity::audit_table;
use crate::journeys::{Touches, Window};
use crate::output::TableWriter;
use crate::schema::Table;
use crate::summary::Summary;
use crate::validate::Reject;

pub use self::arriving::{ArrivedBucket, Arriving, FILE, FILE_ROW, Origins};
pub use self::columns::{Columns, Place, check_inputs, keys_of_users};
pub use self::components::Components;
pub use self::conclude::{Concluded, Rows};
pub use self::keys::{Keyed, Keys, Members, node};
pub use self::known::Known;
pub use self::parcels::{Arrived, Opener, Parcels};
pub use self::sending::{PAIRS, Paired, Sending, pairs_parcels};
pub use self::shared::Shared;
pub use self::sums::{BucketSums, MOST_REJECTS};

/// What is worked out of every bucket before anything more can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// Which channels there are, and when the last touch or order was.
    Look,
    /// What models learn from.
    Learn,
    /// The credit of every order.
    Attribute,
}

/// The tables whose rows come bucket by bucket; all others are small, and each bucket has them whole.
pub const DIVIDED: [Table; 6] = [
    Table::Sessions,
    Table::Postviews,
    Table::Orders,
    Table::OrderItems,
    Table::Users,
    Table::UserAliases,
];

/// A table of rows that a run can write, and that buckets can have rows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowTable {
    /// Touches with what they are credited.
    Credits,
    /// Orders with their journeys.
    Journeys,
    /// Persons.
    Persons,
    /// User ids with whom each is.
    Identity,
}

impl RowTable {
    /// Every such table.
    pub const ALL: [Self; 4] = [Self::Credits, Self::Journeys, Self::Persons, Self::Identity];

    /// Its name, which is the name of the setting that says where it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Credits => "credits",
            Self::Journeys => "journeys",
            Self::Persons => "persons",
            Self::Identity => "identity",
        }
    }

    /// The table of this name.
    ///
    /// # Errors
    ///
    /// A name that is none.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name).ok_or_else(|| Error::Unknown {
            kind: "table of rows",
            name: name.to_owned(),
            known: Self::ALL.iter().map(|table| table.name().to_owned()).collect(),
        })
    }

    /// The column whose byte order its rows are in.
    const fn order(self) -> &'static str {
        match self {
            Self::Credits | Self::Journeys | Self::Persons => "person",
            Self::Identity => "user_external_id",
        }
    }
}

/// The column that rows of buckets are put in the order of a run by, before [`ROW`].
pub const PERSON: &str = "_person";

/// Where a row stands among those of its bucket.
pub const ROW: &str = "_row";

/// Where a row of a table was read, by its number in the bucket from 1; none where nobody knows.
pub type Origin<'a> = &'a dyn Fn(Table, u64) -> Option<(PathBuf, u64)>;

/// A run that is done bucket by bucket.
pub struct BucketRun {
    config: Config,
    /// What is tried, where several values of a setting are.
    sweep: Option<Sweep>,
    rounds: Vec<Round>,
}

/// What orders are attributed by: once for each round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Round {
    window: Window,
    period: (i64, i64),
}

impl BucketRun {
    /// The run that `config` means.
    ///
    /// # Errors
    ///
    /// What needs all persons at once, in a setting's words.
    pub fn new(mut config: Config) -> Result<Self> {
        let outputs = &config.outputs;
        let asked = [
            ("--items", config.inputs.contains_key(&Table::Items)),
            ("--store", config.store.is_some()),
            ("--keep", outputs.kept.is_some()),
            (
                "--bootstrap of models that learn, which learn anew in every resample,",
                relearns(&config),
            ),
            ("--min-persons", config.min_persons.is_some()),
        ];
        if let Some((what, _)) = asked.into_iter().find(|(_, asked)| *asked) {
            return Err(Error::Contradiction(format!(
                "{what} cannot be had bucket by bucket yet: leave it out, or run on one machine (`--engine local`)"
            )));
        }
        let sweep = config.sweep.take();
        let Some(mut sweep) = sweep else {
            let then = config.compare.map(|compare| compare.period());
            let periods = [Some(config.period), then].into_iter().flatten();
            let rounds = periods.map(|period| Round { window: config.window, period }).collect();
            return Ok(Self { config, sweep: None, rounds });
        };
        prepare_sweep(&mut config, &mut sweep);
        let windows = Windows::new(&sweep.windows).distinct.into_iter();
        let rounds = windows.map(|window| Round { window, period: config.period }).collect();
        Ok(Self { config, sweep: Some(sweep), rounds })
    }

    /// What the run is.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The passes of the run, in their order: those before the last only where a model learns, or where
    /// paths or a page are asked for.
    pub fn passes(&self) -> &'static [Pass] {
        if engine::learns(&self.config.models) {
            &[Pass::Look, Pass::Learn, Pass::Attribute]
        } else if self.config.outputs.paths.is_some() || self.config.extent == Extent::Page {
            &[Pass::Look, Pass::Attribute]
        } else {
            &[Pass::Attribute]
        }
    }

    /// The tables of rows that the run writes.
    pub fn written(&self) -> impl Iterator<Item = RowTable> {
        let config = &self.config;
        RowTable::ALL.into_iter().filter(|table| match table {
            // They may go to a database too.
            RowTable::Credits => config.wants_credits(),
            RowTable::Journeys => config.outputs.journeys.is_some(),
            RowTable::Persons => config.outputs.persons.is_some(),
            RowTable::Identity => config.outputs.identity.is_some(),
        })
    }

    /// An error if a place that the run writes to cannot be written to: better known before the work.
    ///
    /// # Errors
    ///
    /// What is wrong with the place.
    pub fn check_places(&self) -> Result<()> {
        Writers::begin(&self.config).map(drop)
    }

    /// Works on the bucket that the tables of the run's configuration hold.
    ///
    /// # Errors
    ///
    /// As of [`run`](super::run), but for rejects: how many are too many is known of all buckets together.
    pub fn work(&self, known: &Known, pass: Pass, origin: Origin<'_>) -> Result<BucketSums> {
        let mut summary = Summary::new(self.config.as_of);
        let mut bucket = Bucket::new(self, known, &mut summary)?;
        let mut sums = BucketSums::default();
        for (number, round) in self.rounds.iter().enumerate() {
            bucket.turn_to(&self.config, known, *round)?;
            match pass {
                Pass::Look => sums.see(&bucket.ready.ordered, &bucket.named),
                Pass::Learn => sums.observed.push(bucket.observe(&self.config)?),
                Pass::Attribute => {
                    bucket.attribute(self, known, number, &mut sums, &mut summary)?;
                }
            }
        }
        if pass == Pass::Attribute {
            let Ready { tables, ordered, .. } = &bucket.ready;
            let rejects = ordered.rejects.iter().filter(|reject| DIVIDED.contains(&reject.table));
            let rejects = rejects.map(|reject| placed(reject.clone(), origin)).collect();
            sums.account(tables, &summary, rejects);
        }
        Ok(sums)
    }
}

/// A bucket whose touches and orders are in their order, with what they are called.
struct Bucket {
    ready: Ready,
    named: Named,
    round: Round,
    /// Touches as they were before discount codes said where orders came from, where that depends on the
    /// round.
    clean: Option<(Touches, RecordBatch)>,
}

impl Bucket {
    fn new(run: &BucketRun, known: &Known, summary: &mut Summary) -> Result<Self> {
        let BucketRun { config, rounds, .. } = run;
        let mut ready = make_ready(config, &Silent, summary)?;
        let Ready { tables, merged, ordered, .. } = &mut ready;
        known.tell(ordered)?;
        let clean = (!config.vouchers.is_empty() && rounds.len() > 1)
            .then(|| (ordered.touches.clone(), merged.touches.clone()));
        ordered.window = rounds[0].window;
        reattribute(config, merged, ordered)?;
        let mut named = label(config, &config.by, tables, merged, ordered)?;
        known.number(&mut named)?;
        Ok(Self { ready, named, round: rounds[0], clean })
    }

    /// Attributes by another round from now on.
    fn turn_to(&mut self, config: &Config, known: &Known, round: Round) -> Result<()> {
        let Self { ready, named, clean, .. } = self;
        let Ready { tables, merged, ordered, .. } = ready;
        if self.round.window != round.window {
            ordered.window = round.window;
            if let Some((touches, rows)) = clean {
                (ordered.touches, merged.touches) = (touches.clone(), rows.clone());
                reattribute(config, merged, ordered)?;
                *named = label(config, &config.by, tables, merged, ordered)?;
                known.number(named)?;
            }
        }
        if self.round.period != round.period {
            ordered.report(round.period);
        }
        self.round = round;
        Ok(())
    }

    fn observe(&self, config: &Config) -> Result<Observed> {
        let Ready { people, ordered, .. } = &self.ready;
        observe(&work_on(config, ordered, &self.named), (ordered, &self.named), people)
    }

    /// Attributes the orders of a round, and counts what stands beside them.
    fn attribute(
        &self,
        run: &BucketRun,
        known: &Known,
        number: usize,
        sums: &mut BucketSums,
        summary: &mut Summary,
    ) -> Result<()> {
        let (config, Self { named, .. }) = (&run.config, self);
        let Ready { tables, people, merged, ordered, .. } = &self.ready;
        let whose = (merged, people);
        let fitted = known.fitted(number);
        let attributed = attribute_by(config, whose, ordered, named, fitted, &mut Writers::none())?;
        // Sessions are those of the period, whatever the window.
        let beside = if number == 0 || run.sweep.is_none() {
            sessions_beside(config, whose, ordered)?
        } else {
            SessionsBeside { counted: None, resampled: None, bounces: false }
        };
        if number == 0 {
            if let Some(paths) = paths(config, ordered, named, people)? {
                sums.walk(&paths);
            }
            if config.extent == Extent::Page {
                let (_, by) = overview::by_time(config, known.shown());
                let mut by_time = label(config, &by, tables, merged, ordered)?;
                // What models learnt is of channels as all buckets number them.
                known.number(&mut by_time)?;
                let over_time = overview::sums(config, by_time, merged, ordered, fitted)?;
                sums.over_time = over_time.map(PeriodSums::over_time);
            }
            count_orders(ordered, &attributed, summary)?;
            if tables.contains_key(&Table::Spend) {
                let counted = beside.counted.as_ref();
                let of_gaps = gaps::sessions(config, merged, ordered, counted)?;
                sums.gap_sessions = Some(of_gaps.into_owned());
            }
        }
        sums.periods.push(PeriodSums::new(ordered, named, attributed, beside));
        Ok(())
    }
}

/// A reject with where its row was read, not where it stands in the bucket.
fn placed(reject: Reject, origin: Origin<'_>) -> Reject {
    let place = reject.place.and_then(|(_, row)| origin(reject.table, row));
    Reject { place, ..reject }
}

impl BucketRun {
    /// The rows of a table that a bucket has, with [`PERSON`] and [`ROW`], by which rows of all buckets are
    /// put in the order that they have in a run over everything; in types that every engine knows, with
    /// the schema of the run in the metadata of theirs.
    ///
    /// # Errors
    ///
    /// As of [`work`](Self::work).
    pub fn rows(
        &self,
        known: &Known,
        table: RowTable,
        take: &mut dyn FnMut(RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let mut summary = Summary::new(self.config.as_of);
        let Bucket { ready, named, .. } = Bucket::new(self, known, &mut summary)?;
        let Ready { tables, people, merged, ordered, .. } = ready;
        let mut taken = Travelling::new(table, take);
        match table {
            RowTable::Credits | RowTable::Journeys => {
                let (sender, rows) = mpsc::channel();
                let mut writers = Writers::none();
                let gathered: Box<dyn TableWriter> = Box::new(Gathered(sender));
                let place = if table == RowTable::Credits {
                    &mut writers.credits
                } else {
                    &mut writers.journeys
                };
                *place = Some(gathered);
                let (whose, fitted) = ((&merged, &people), known.fitted(0));
                attribute_by(&self.config, whose, &ordered, &named, fitted, &mut writers)?;
                drop(writers);
                rows.into_iter().try_for_each(|rows| taken.take(&rows))
            }
            RowTable::Persons => taken.take(&all_persons(&tables, &people, &ordered)?),
            RowTable::Identity => taken.take(&audit_table(&people.identity)?),
        }
    }
}

/// Rows that are gathered.
struct Gathered(Sender<RecordBatch>);

impl TableWriter for Gathered {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        // Nobody stops listening before the last row.
        self.0.send(rows.clone()).map_err(|error| Error::Broken(error.to_string()))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
