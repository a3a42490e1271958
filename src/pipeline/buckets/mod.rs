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
mod packing;
mod parcels;
mod sending;
mod shared;
mod sums;
mod travelling;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use self::sums::PeriodSums;
use self::travelling::Travelling;
use super::relearning::{Recrediting, Relearnt, recount, relearning};
use super::stored::{Stored, begin_elsewhere};
use super::sweep::{Windows, prepare_sweep};
use super::{
    Attributed, Inputs, Named, OfPersons, Progress, Ready, SessionsBeside, Silent, Writers,
    all_persons, attribute_by, count_orders, gaps, label, make_ready, observe, overview, paths,
    reattribute, sessions_beside, work as work_on,
};
use crate::config::{Config, Extent, Sweep};
use crate::engine::{self, ByChannel, CountsByKeys, Observed, Recredited};
use crate::error::{Error, Result};
use crate::identity::audit_table;
use crate::journeys::{Touches, Window};
use crate::kept::Frame;
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
    /// How many persons there are in each line, where lines of few are merged: made until every line has enough.
    Merge,
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
    /// A table of the run that is kept, of persons or of what they did.
    Kept(Frame),
}

impl RowTable {
    /// Every such table that has a place of its own.
    pub const ALL: [Self; 4] = [Self::Credits, Self::Journeys, Self::Persons, Self::Identity];

    /// Those that a kept run has.
    pub const KEPT: [Self; 6] = [
        Self::Kept(Frame::Credits),
        Self::Kept(Frame::Journeys),
        Self::Kept(Frame::Sessions),
        Self::Kept(Frame::Orders),
        Self::Kept(Frame::Persons),
        Self::Kept(Frame::Identity),
    ];

    /// Its name, which is the name of the setting that says where it is written, if one does.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Credits => "credits",
            Self::Journeys => "journeys",
            Self::Persons => "persons",
            Self::Identity => "identity",
            Self::Kept(Frame::Credits) => "kept_credits",
            Self::Kept(Frame::Journeys) => "kept_journeys",
            Self::Kept(Frame::Sessions) => "kept_sessions",
            Self::Kept(Frame::Orders) => "kept_orders",
            Self::Kept(Frame::Persons) => "kept_persons",
            Self::Kept(Frame::Identity) => "kept_identity",
            Self::Kept(frame) => frame.name(),
        }
    }

    /// The table of this name.
    ///
    /// # Errors
    ///
    /// A name that is none.
    pub fn from_name(name: &str) -> Result<Self> {
        let mut all = Self::ALL.into_iter().chain(Self::KEPT);
        all.find(|table| table.name() == name).ok_or_else(|| Error::Unknown {
            kind: "table of rows",
            name: name.to_owned(),
            known: Self::ALL.iter().map(|table| table.name().to_owned()).collect(),
        })
    }

    /// The column whose byte order its rows are in.
    const fn order(self) -> &'static str {
        match self {
            Self::Identity | Self::Kept(Frame::Identity) => "user_external_id",
            _ => "person",
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
    /// What it reads, where that is known beforehand.
    inputs: Option<Inputs>,
    /// The store that the run is put in, where it is.
    stored: Option<Arc<Stored>>,
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
        if config.store.is_some() {
            return Err(Error::Contradiction(
                "`--store` looks for what has changed in files: name files, by `apportion run --engine spark`".to_owned(),
            ));
        }
        let sweep = config.sweep.take();
        let Some(mut sweep) = sweep else {
            let then = config.compare.map(|compare| compare.period());
            let periods = [Some(config.period), then].into_iter().flatten();
            let rounds = periods.map(|period| Round { window: config.window, period }).collect();
            return Ok(Self { config, inputs: None, stored: None, sweep: None, rounds });
        };
        prepare_sweep(&mut config, &mut sweep);
        let windows = Windows::new(&sweep.windows).distinct.into_iter();
        let rounds = windows.map(|window| Round { window, period: config.period }).collect();
        Ok(Self { config, inputs: None, stored: None, sweep: Some(sweep), rounds })
    }

    /// The same run, whose buckets others work on: finds its files, makes tables of items, and begins to put it
    /// in the store of `config` where that names one, which is held until what comes of the run is published.
    ///
    /// # Errors
    ///
    /// As of [`new`](Self::new); items that cannot be read; a store that another run holds, or that cannot be
    /// written to.
    pub fn begin(mut config: Config, progress: &dyn Progress) -> Result<Self> {
        let stored = begin_elsewhere(&mut config, progress)?.map(Arc::new);
        let inputs = Inputs::gather(&config, progress)?;
        Ok(Self { stored, inputs: Some(inputs), ..Self::new(config)? })
    }

    /// What the run reads, where it was begun.
    pub fn inputs(&self) -> Option<&Inputs> {
        self.inputs.as_ref()
    }

    /// What the run is.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The passes of the run, in their order: those before the last only where a model learns, where lines of
    /// few persons are merged, or where paths or a page are asked for.
    pub fn passes(&self) -> Vec<Pass> {
        let Config { models, outputs, extent, min_persons, .. } = &self.config;
        let learns = engine::learns(models);
        let passes = [
            (Pass::Look, learns || outputs.paths.is_some() || *extent == Extent::Page),
            (Pass::Learn, learns),
            (Pass::Merge, min_persons.is_some()),
            (Pass::Attribute, true),
        ];
        passes.into_iter().filter_map(|(pass, is_made)| is_made.then_some(pass)).collect()
    }

    /// What is known of all buckets after a pass, beside what was known before it; and whether the pass has to be
    /// made once more, with that known. `sums` are those of all buckets.
    ///
    /// # Errors
    ///
    /// A model that cannot be worked out from what was counted.
    pub fn known_after(
        &self,
        known: &Known,
        pass: Pass,
        sums: &BucketSums,
    ) -> Result<(Known, bool)> {
        let mut known = known.after(&self.config, pass, sums)?;
        let again = pass == Pass::Merge && self.merge_more(&mut known, sums)?;
        Ok((known, again))
    }

    /// The tables of rows that the run writes.
    pub fn written(&self) -> impl Iterator<Item = RowTable> {
        let config = &self.config;
        RowTable::ALL.into_iter().chain(RowTable::KEPT).filter(|table| match table {
            RowTable::Credits => config.outputs.credits.is_some() || config.outputs.loads_credits(),
            RowTable::Kept(frame) => config.keeps(*frame),
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
                Pass::Learn => {
                    sums.observed.push(bucket.observe(&self.config)?);
                    sums.recounted.extend(bucket.recount(&self.config)?);
                }
                Pass::Merge => sums.periods.push(bucket.sums(&self.config, known, number)?),
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
        let mut bucket = Self { ready, named, round: rounds[0], clean };
        if !known.merging().is_empty() {
            // What others stand for is known once it is known which combinations there are.
            let cells = bucket.attributed(config, known, 0)?.cells;
            known.merging().name(config, &cells, &mut bucket.named);
        }
        Ok(bucket)
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

    /// What models learn from in each resample, where they learn anew.
    fn recount(&self, config: &Config) -> Result<Option<CountsByKeys>> {
        let Some(bootstrap) = relearning(config) else { return Ok(None) };
        let Ready { people, ordered, .. } = &self.ready;
        let work = work_on(config, ordered, &self.named);
        Ok(Some(recount(config, people, &work, &bootstrap)?.by_keys()))
    }

    /// Divides the orders of every resample by what models learnt there: puts the numbers of cells beside those
    /// of other models, and returns what is credited to channels.
    fn credit_anew(
        &self,
        config: &Config,
        relearnt: &[Relearnt],
        sums: &mut Attributed,
    ) -> Result<Vec<ByChannel>> {
        let Some(bootstrap) = relearning(config) else { return Ok(Vec::new()) };
        let Ready { people, merged, ordered, .. } = &self.ready;
        let Attributed { cells, resampled, .. } = sums;
        let work = work_on(config, ordered, &self.named);
        let recrediting = Recrediting::new(work, (merged, people), cells, bootstrap.draws);
        let mut by_channels = Vec::with_capacity(relearnt.len());
        for (resample, relearnt) in relearnt.iter().enumerate() {
            let Recredited { numbers, by_channel } = recrediting.credit(resample, relearnt)?;
            if let Some(resampled) = resampled {
                relearnt.put(resample, (numbers, cells), resampled)?;
            }
            by_channels.push(by_channel);
        }
        Ok(by_channels)
    }

    /// Divides the credit of a round's orders.
    fn attributed(&self, config: &Config, known: &Known, number: usize) -> Result<Attributed> {
        let Ready { people, merged, ordered, .. } = &self.ready;
        let fitted = known.fitted(number);
        let whose = (merged, people);
        attribute_by(config, whose, ordered, &self.named, fitted, &mut Writers::none())
    }

    /// The sums of a round, with its sessions.
    fn sums(&self, config: &Config, known: &Known, number: usize) -> Result<PeriodSums> {
        let Ready { people, merged, ordered, .. } = &self.ready;
        let beside = sessions_beside(config, (merged, people), ordered)?;
        let attributed = self.attributed(config, known, number)?;
        Ok(PeriodSums::new(ordered, &self.named, attributed, beside))
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
        let mut attributed = self.attributed(config, known, number)?;
        let anew = self.credit_anew(config, known.relearnt(number), &mut attributed)?;
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
        let mut of_period = PeriodSums::new(ordered, named, attributed, beside);
        if number == 0 && config.effects_bootstrap.is_some() {
            of_period.credit_anew(&anew, &ordered.amounts.currencies);
        }
        sums.periods.push(of_period);
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
            RowTable::Kept(frame @ (Frame::Credits | Frame::Journeys)) => {
                let mut writers = Writers::none();
                writers.gathered = Some([(frame, Vec::new())].into());
                let (whose, fitted) = ((&merged, &people), known.fitted(0));
                attribute_by(&self.config, whose, &ordered, &named, fitted, &mut writers)?;
                let mut gathered = writers.gathered.into_iter().flatten();
                gathered.try_for_each(|(_, all)| all.iter().try_for_each(|rows| taken.take(rows)))
            }
            RowTable::Kept(frame) => {
                let of_persons = OfPersons {
                    config: &self.config,
                    tables: &tables,
                    people: &people,
                    merged: &merged,
                    ordered: &ordered,
                };
                let rows = of_persons.frame(frame)?;
                let unknown = || Error::Broken(format!("no bucket has the table `{frame}`"));
                taken.take(&rows.ok_or_else(unknown)?)
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
