//! What identity did, from end to end: the stages of a run, and from their order on a second time
//! with every user id as its own person. [`identity`] is the table of contents.
//!
//! Rows are read and merged once. Versions of a row are one row, whoever they came under, so both
//! sides have the same touches and the same orders, worth the same, and differ only in whose they
//! are. Not for how a stage works, nor for what is told of it: that is `report::identity`.

use arrow::array::RecordBatch;

use super::{
    Attributed, Inputs, MergedTables, Named, Ordered, People, Progress, Tables, Unlearnt, Writers,
    check, check_rejects, label, learn, merge, order, order_touches, persons_with_orders,
    read_whole, reattribute, resolve, steps, want, work,
};
use crate::config::{Config, DateBy};
use crate::engine::{self, Cells, Changes, JourneyRows, Learnt, Partition, Side, Tally, Work};
use crate::error::{Error, Result};
use crate::identity::Keep;
use crate::ids::group_rows;
use crate::input::Loaded;
use crate::journeys::Dimension;
use crate::output::Staged;
use crate::report::{
    self, CreditTable, Effect, EffectSums, EffectsReport, Findings, IDENTITY_COLUMNS,
    IdentityReport, OrderSums, Steps, Sums, Under, changed_journeys,
};
use crate::schema::Table;
use crate::summary::{Summary, prove};

/// An identity report that is done, its files written and not yet in their places.
pub struct Audited {
    /// The report.
    pub report: IdentityReport,
    /// What was read, and what a reader should know.
    pub summary: Summary,
    staged: Vec<Staged>,
}

impl Audited {
    /// Makes every file appear.
    pub fn publish(self) -> Result<(IdentityReport, Summary)> {
        let Self { report, summary, staged } = self;
        Staged::commit_all(staged)?;
        Ok((report, summary))
    }
}

/// Reports what identity did: to user ids, and with sessions and orders to credit and journeys.
///
/// # Errors
///
/// Whatever makes a run impossible; nothing has appeared then.
pub fn identity(config: &Config, progress: &dyn Progress) -> Result<Audited> {
    let mut summary = Summary::new(config.as_of);
    let mut writers = Writers::begin(config)?;
    let inputs = Inputs::gather(config, progress)?;
    check_inputs(config, &inputs)?;
    check(config, &inputs)?;
    let mut tables = read_whole(config, &inputs, progress, &mut summary)?;
    let orders_are_given = tables.contains_key(&Table::Orders);
    let sessions_are_given = tables.contains_key(&Table::Sessions);
    for table in [Table::Sessions, Table::Orders] {
        tables.entry(table).or_insert_with(|| Loaded::none(table));
    }
    progress.stage("resolving identity");
    let people = resolve(config, &tables, &mut summary);
    progress.stage("merging versions");
    let merged = merge(config, &mut tables, &people, Keep::Users, &mut summary)?;
    let under = Under {
        touches: summary.touches.person_conflicts,
        orders: summary.orders.person_conflicts,
        touches_of_one_person: merged.touch_user_conflicts,
        orders_of_one_person: merged.orders.user_conflicts,
    };
    progress.stage("ordering touches");
    let apart = merged.apart();
    let read = (&inputs, &tables, &people);
    let joined = arrange(config, read, merged, None, &mut summary)?;
    check_rejects(config, &inputs, &tables, &joined.ordered.rejects, &mut summary)?;
    let effect = if sessions_are_given && orders_are_given {
        let wanted = Some(joined.wanted());
        let mut apart = arrange(config, read, apart, wanted, &mut Summary::new(config.as_of))?;
        let of_persons = joined.ordered.wanted_persons.as_ref();
        apart.ordered.wanted_persons = of_persons.map(|wanted| {
            let of_user = |person: &u32| wanted[*person as usize];
            people.identity.person.iter().map(of_user).collect()
        });
        progress.stage("attributing orders twice");
        Some(compare(config, &people, &joined, &apart, &mut writers)?)
    } else {
        None
    };
    progress.stage("reporting");
    let report = IdentityReport::new(Findings {
        identity: &people.identity,
        under,
        touches: sessions_are_given.then_some(&joined.ordered.touches),
        orders: orders_are_given.then_some(&joined.ordered.orders),
        currencies: &joined.ordered.amounts.currencies,
        effect,
    });
    if !orders_are_given {
        summary.warnings.clear();
    }
    let staged = finish(config, writers, &report)?;
    Ok(Audited { report, summary, staged })
}

/// Something that names users must be given; what is told of orders needs sessions too.
fn check_inputs(config: &Config, inputs: &Inputs) -> Result<()> {
    let given = |table: &Table| inputs.paths.contains_key(table);
    let users = [Table::Sessions, Table::Orders, Table::Users, Table::UserAliases];
    if !users.iter().any(given) {
        return Err(Error::Contradiction(
            "nothing that names users is given; `--aliases PATH`, `--users PATH`, `--sessions PATH` and `--orders PATH` name it, or apportion.toml".to_owned(),
        ));
    }
    let taken = |dimension: &&Dimension| IDENTITY_COLUMNS.contains(&dimension.to_string().as_str());
    if let Some(dimension) = config.by.iter().find(taken) {
        return Err(Error::Contradiction(format!(
            "`{dimension}` is a column of every identity report; `--column sessions.app_{dimension}={dimension}` gives yours another name"
        )));
    }
    let needed = [Table::Sessions, Table::Orders];
    match needed.iter().find(|table| config.outputs.changed.is_some() && !given(table)) {
        None => Ok(()),
        Some(needed) => Err(Error::Contradiction(format!(
            "`--changed` needs {needed}; `--{needed} PATH` names them, or `{needed}` in apportion.toml"
        ))),
    }
}

impl MergedTables {
    /// The same rows, each under its own user id.
    fn apart(&self) -> Self {
        let mut apart = self.clone();
        apart.touch_persons.clone_from(&self.touch_users);
        apart.orders.person.clone_from(&self.orders.user);
        apart
    }
}

/// Rows in order under one answer to whose they are.
struct Arranged {
    merged: MergedTables,
    ordered: Ordered,
    named: Named,
    /// The position of every merged row of orders.
    positions: Vec<u32>,
}

impl Arranged {
    /// Whether each merged row of orders is asked for.
    fn wanted(&self) -> Vec<bool> {
        self.positions.iter().map(|order| self.ordered.orders.wanted[*order as usize]).collect()
    }

    fn work<'a>(&'a self, config: &'a Config) -> Work<'a> {
        Work { journeys: true, ..work(config, &self.ordered, &self.named) }
    }

    /// The orders of some users that are those of a part of their person's orders on the other
    /// side. Orders are by time on either side, so that each user's part is in one piece.
    fn share<'a>(&self, users: &'a [u32], part: Partition<'_>, other: &Self) -> Vec<Partition<'a>> {
        let of_person = part.persons.iter().map(|person| other.ordered.orders.of(*person).start);
        let first = of_person.min().unwrap_or_default();
        let place = |user: &u32, until: usize| {
            let orders = self.ordered.orders.of(*user);
            let before = |order: &usize| {
                let position = other.positions[self.ordered.orders.row[*order] as usize] as usize;
                position - first < until
            };
            orders.take_while(before).count()
        };
        let users = users.chunks(1);
        let share = |user: &'a [u32]| Partition {
            persons: user,
            orders: (place(&user[0], part.orders.0), place(&user[0], part.orders.1)),
        };
        users.map(share).collect()
    }
}

/// Puts rows in order; `wanted` says which orders are asked for, where that is known already.
fn arrange(
    config: &Config,
    (inputs, tables, people): (&Inputs, &Tables, &People),
    mut merged: MergedTables,
    wanted: Option<Vec<bool>>,
    summary: &mut Summary,
) -> Result<Arranged> {
    let touches = order_touches(config, inputs, tables, people, &merged, None)?;
    let mut ordered = order(config, inputs, tables, &merged, people, touches, summary)?;
    match wanted {
        // The orders of persons that are asked for stay the same orders when persons are not.
        Some(wanted) => {
            let of_row = |row: &u32| wanted[*row as usize];
            ordered.orders.wanted = ordered.orders.row.iter().map(of_row).collect();
        }
        None => want(config, tables, people, &merged, &mut ordered)?,
    }
    reattribute(config, &mut merged, &mut ordered)?;
    let named = label(config, &config.by, tables, &merged, &ordered)?;
    let mut positions = vec![0; ordered.orders.row.len()];
    for (position, row) in (0..).zip(&ordered.orders.row) {
        positions[*row as usize] = position;
    }
    Ok(Arranged { merged, ordered, named, positions })
}

/// What one partition comes to on one side, and the journeys that changed there.
struct Half {
    cells: Cells,
    tally: Tally,
    changed: JourneyRows,
}

/// Attributes every order on both sides, partition by partition of the joined persons, and writes
/// those whose journey changed.
fn compare(
    config: &Config,
    people: &People,
    joined: &Arranged,
    apart: &Arranged,
    writers: &mut Writers,
) -> Result<Effect> {
    let (with, without) = (joined.work(config), apart.work(config));
    // Each side learns from its own journeys.
    let learn = |work: &Work<'_>, of: &Arranged| learn(work, (&of.ordered, &of.named), people);
    let (learnt, learnt_apart) = (learn(&with, joined)?, learn(&without, apart)?);
    let with = Work { fitted: &learnt.fitted, ..with };
    let without = Work { fitted: &learnt_apart.fitted, ..without };
    let currencies = with.currencies;
    let (members, starts) = members(people);
    let attribute = |partition: Partition<'_>| -> Result<(Half, Half, Changes)> {
        let here = engine::attribute(&with, partition)?;
        let users: Vec<u32> = partition
            .persons
            .iter()
            .flat_map(|person| {
                &members[starts[*person as usize] as usize..starts[*person as usize + 1] as usize]
            })
            .copied()
            .collect();
        let there = if partition == Partition::whole(partition.persons) {
            engine::attribute(&without, Partition::whole(&users))?
        } else {
            engine::attribute_all(&without, &apart.share(&users, partition, joined))?
        };
        let mut some = Changes::new(currencies);
        let (after, before) = some.take(
            (Side { work: &with, positions: &joined.positions }, &here.journeys),
            (Side { work: &without, positions: &apart.positions }, &there.journeys),
        );
        Ok((
            Half { cells: here.cells, tally: here.tally, changed: after },
            Half { cells: there.cells, tally: there.tally, changed: before },
            some,
        ))
    };
    let models: Vec<String> = config.models.iter().map(|asked| asked.name.clone()).collect();
    let empty = || Attributed {
        by_channel: engine::ByChannel::default(),
        cells: Cells::new(models.len(), with.by_role),
        tally: Tally::new(currencies),
        orders: OrderSums::default(),
        resampled: None,
        unlearnt: Unlearnt::default(),
        effects: EffectsReport::default(),
        learnt: Learnt::default(),
    };
    let (mut sums, mut sums_without) = (empty(), empty());
    let mut changes = Changes::new(currencies);
    let both_steps = writers.changed.is_some().then(|| {
        let of = |side: &Arranged| steps(config, &side.merged, &side.ordered.touches);
        (of(joined), of(apart))
    });
    let mut persons = persons_with_orders(&joined.merged);
    people.identity.users.sort(&mut persons);
    let partitions = engine::partitions(&with, &persons);
    let wave = 4 * rayon::current_num_threads();
    engine::in_waves(&partitions, wave, attribute, |_, (here, there, some)| {
        sums.cells.merge(&here.cells);
        sums.tally.merge(&here.tally);
        sums_without.cells.merge(&there.cells);
        sums_without.tally.merge(&there.tally);
        changes.merge(&some);
        if let (Some(writer), Some((steps, steps_without))) = (&mut writers.changed, &both_steps) {
            let kinds = &joined.ordered.amounts.kinds;
            let rows = |side: &Arranged, half: &Half, steps: &Steps| {
                journeys(people, side, &half.changed, steps, kinds)
            };
            writer.write(&changed_journeys(
                &rows(joined, &here, steps)?,
                &rows(apart, &there, steps_without)?,
            )?)?;
        }
        Ok(())
    })?;
    let effect = Effect::new(EffectSums {
        by: config.by.clone(),
        models: models.clone(),
        currencies: &joined.ordered.amounts.currencies,
        with: report::lines(sums_of(config, joined, &sums)),
        without: report::lines(sums_of(config, apart, &sums_without)),
        changes,
        dated_by_touch: !is_complete(config),
    });
    for (side, totals) in [
        (&sums, effect.totals(|line| &line.with)),
        (&sums_without, effect.totals(|line| &line.without)),
    ] {
        let codes = &joined.ordered.amounts.currencies;
        prove(&side.tally, &totals, &models, codes, is_complete(config))?;
    }
    Ok(effect)
}

/// Whether credit adds up to the orders: not where it is dated by touch within a period.
fn is_complete(config: &Config) -> bool {
    config.date_by == DateBy::Order || config.period == (i64::MIN, i64::MAX)
}

/// The users of each person, in the byte order of their ids, and where each person's begin.
fn members(people: &People) -> (Vec<u32>, Vec<u32>) {
    let identity = &people.identity;
    let (mut members, starts) = group_rows(&identity.person, identity.person.len());
    for range in starts.windows(2).filter(|range| range[1] - range[0] > 1) {
        let name = |user: &u32| identity.users.name(*user);
        members[range[0] as usize..range[1] as usize]
            .sort_unstable_by(|left, right| name(left).cmp(name(right)));
    }
    (members, starts)
}

fn sums_of<'a>(config: &'a Config, side: &'a Arranged, sums: &'a Attributed) -> Sums<'a> {
    Sums {
        by: &config.by,
        dated_by_touch: config.date_by == DateBy::Touch,
        models: config.models.len(),
        cells: &sums.cells,
        touches: &side.named.touches,
        orders: &side.named.orders,
        currencies: &side.ordered.amounts.currencies,
        default_currency: config.currency,
        sessions: None,
        spending: None,
    }
}

fn journeys(
    people: &People,
    side: &Arranged,
    rows: &JourneyRows,
    steps: &Steps,
    kinds: &[String],
) -> Result<RecordBatch> {
    let orders = &side.ordered.orders;
    let person_of = |order: u32| {
        let row = orders.row[order as usize] as usize;
        people.identity.users.name(side.merged.orders.person[row])
    };
    let table = CreditTable {
        touches: &side.ordered.touches,
        touch_rows: &side.merged.touches,
        names: None,
        orders,
        order_rows: &side.merged.orders.rows,
        persons: &person_of,
        models: &[],
        currencies: &side.ordered.amounts.currencies,
        extra: &[],
    };
    report::journey_rows(&table, rows, steps, kinds)
}

fn finish(config: &Config, writers: Writers, report: &IdentityReport) -> Result<Vec<Staged>> {
    let Writers { changed, staged, .. } = writers;
    if let Some(writer) = changed {
        writer.finish()?;
    }
    if let Some(path) = &config.outputs.report {
        report.write(config.outputs.format, staged[path].sink()?)?;
    }
    Ok(staged.into_values().collect())
}
