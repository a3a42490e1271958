//! A run over buckets of persons, each worked on by itself wherever it is, and what all of them come to.
//!
//! A bucket holds whole persons: every user that anything joins, with every row of theirs. So a bucket is
//! worked on by the very stages of a run ([`work`]), and what comes of it ([`BucketSums`]) are counts and
//! exact sums, which are those of a run over everything once they are added up, in any order.
//! [`conclude`] makes the report of them, and writes the files. Models that learn need to know what all
//! buckets have: each [`Pass`] gathers it, and [`Known`] takes it to the next.
//!
//! Not for which person is in which bucket, nor for how rows get there: that is whoever shuffles them.

mod arriving;
mod columns;
mod components;
mod conclude;
mod known;
mod sums;
mod travelling;

use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use self::sums::PeriodSums;
use self::travelling::Travelling;
use super::{
    Named, Ready, Silent, Writers, all_persons, attribute_by, count_orders, gaps, label,
    make_ready, observe, paths, reattribute, sessions_beside, work as work_on,
};
use crate::config::{Config, Extent};
use crate::engine;
use crate::error::{Error, Result};
use crate::identity::audit_table;
use crate::output::TableWriter;
use crate::schema::Table;
use crate::summary::Summary;
use crate::validate::Reject;

pub use self::arriving::{Arriving, FILE, FILE_ROW, Origins, TABLE};
pub use self::columns::{Columns, Place, check_columns, keys_of_users};
pub use self::components::Components;
pub use self::conclude::{Rows, conclude};
pub use self::known::Known;
pub use self::sums::BucketSums;

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

impl Pass {
    /// The passes of a run, in their order: those before the last only where a model learns, or where paths
    /// are asked for.
    pub fn of(config: &Config) -> &'static [Self] {
        if engine::learns(&config.models) {
            &[Self::Look, Self::Learn, Self::Attribute]
        } else if config.outputs.paths.is_some() {
            &[Self::Look, Self::Attribute]
        } else {
            &[Self::Attribute]
        }
    }
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

/// An error if a run asks for what needs all persons at once.
///
/// # Errors
///
/// What that is, in a setting's words.
pub fn check(config: &Config) -> Result<()> {
    let outputs = &config.outputs;
    let asked = [
        ("--items", config.inputs.contains_key(&Table::Items)),
        ("--store", config.store.is_some()),
        ("--keep", outputs.kept.is_some()),
        ("--format html", config.extent == Extent::Page),
        ("--bootstrap with --effects", config.effects_bootstrap.is_some()),
        ("--min-persons", config.min_persons.is_some()),
        ("several values of a setting", config.sweep.is_some()),
    ];
    match asked.into_iter().find(|(_, asked)| *asked) {
        None => Ok(()),
        Some((what, _)) => Err(Error::Contradiction(format!(
            "{what} cannot be had bucket by bucket yet: leave it out, or run on one machine (`--engine local`)"
        ))),
    }
}

/// An error if a place that the run writes to cannot be written to: better known before the work.
///
/// # Errors
///
/// What is wrong with the place.
pub fn check_places(config: &Config) -> Result<()> {
    Writers::begin(config).map(drop)
}

/// A bucket whose touches and orders are in their order, with what they are called.
struct Bucket {
    ready: Ready,
    named: Named,
}

impl Bucket {
    fn new(config: &Config, known: &Known, summary: &mut Summary) -> Result<Self> {
        let mut ready = make_ready(config, &Silent, summary)?;
        let Ready { tables, merged, ordered, .. } = &mut ready;
        known.tell(ordered)?;
        reattribute(config, merged, ordered)?;
        let mut named = label(config, &config.by, tables, merged, ordered)?;
        known.number(&mut named)?;
        Ok(Self { ready, named })
    }
}

/// Works on the bucket that the tables of `config` hold.
///
/// # Errors
///
/// As of [`run`](super::run), but for rejects: how many are too many is known of all buckets together.
pub fn work(config: &Config, known: &Known, pass: Pass, origin: Origin<'_>) -> Result<BucketSums> {
    let mut summary = Summary::new(config.as_of);
    let Bucket { ready, named } = Bucket::new(config, known, &mut summary)?;
    let Ready { tables, people, merged, mut ordered, .. } = ready;
    let mut sums = BucketSums::default();
    if pass == Pass::Look {
        sums.see(&ordered, &named);
        return Ok(sums);
    }
    let periods = [Some(config.period), config.compare.map(|compare| compare.period())];
    if pass == Pass::Attribute
        && let Some(paths) = paths(config, &ordered, &named, &people)?
    {
        sums.walk(&paths);
    }
    for (number, period) in periods.into_iter().flatten().enumerate() {
        if number > 0 {
            ordered.report(period);
        }
        if pass == Pass::Learn {
            let of_period = work_on(config, &ordered, &named);
            sums.observed.push(observe(&of_period, (&ordered, &named), &people)?);
            continue;
        }
        let learnt = known.learnt(number);
        let whose = (&merged, &people);
        let attributed =
            attribute_by(config, whose, &ordered, &named, learnt, &mut Writers::none())?;
        let beside = sessions_beside(config, whose, &ordered)?;
        if number == 0 {
            count_orders(&ordered, &attributed, &mut summary)?;
            if tables.contains_key(&Table::Spend) {
                let counted = beside.counted.as_ref();
                let of_gaps = gaps::sessions(config, &merged, &ordered, counted)?;
                sums.gap_sessions = Some(of_gaps.into_owned());
            }
        }
        sums.periods.push(PeriodSums::new(&ordered, &named, attributed, beside));
    }
    if pass == Pass::Attribute {
        let rejects = ordered.rejects.iter().filter(|reject| DIVIDED.contains(&reject.table));
        let rejects = rejects.map(|reject| placed(reject.clone(), origin)).collect();
        sums.account(&tables, &summary, rejects);
    }
    Ok(sums)
}

/// A reject with where its row was read, not where it stands in the bucket.
fn placed(reject: Reject, origin: Origin<'_>) -> Reject {
    let place = reject.place.and_then(|(_, row)| origin(reject.table, row));
    Reject { place, ..reject }
}

/// The rows of a table that a bucket has, with [`PERSON`] and [`ROW`], by which rows of all buckets are
/// put in the order that they have in a run over everything; in types that every engine knows, with the
/// schema of the run in the metadata of theirs.
///
/// # Errors
///
/// As of [`work`].
pub fn rows(
    config: &Config,
    known: &Known,
    table: RowTable,
    take: &mut dyn FnMut(RecordBatch) -> Result<()>,
) -> Result<()> {
    let mut summary = Summary::new(config.as_of);
    let Bucket { ready, named } = Bucket::new(config, known, &mut summary)?;
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
            attribute_by(
                config,
                (&merged, &people),
                &ordered,
                &named,
                known.learnt(0),
                &mut writers,
            )?;
            drop(writers);
            rows.into_iter().try_for_each(|rows| taken.take(&rows))
        }
        RowTable::Persons => taken.take(&all_persons(&tables, &people, &ordered)?),
        RowTable::Identity => taken.take(&audit_table(&people.identity)?),
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
