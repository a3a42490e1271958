//! How uncertain it is what models learn: in every resample of the persons they learn anew, and divide the
//! orders of the resample by that, for the report and for the effects. Nothing is read again, and no row
//! is copied.
//!
//! Not for counts and for what rules credit, which are sums over persons; those are `attributing`'s.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    Attributed, MergedTables, Named, Ordered, People, persons_with_orders, persons_with_touches,
    work,
};
use crate::bootstrap::{Bootstrap, Draws, MOST_DRAWN, Resampled, key_of};
use crate::config::Config;
use crate::engine::{
    self, ByChannel, Cells, Learnt, Observed, Recredited, ResampledCounts, TouchChannels, Work,
    credit_drawn,
};
use crate::error::{Error, Result};
use crate::models::Asked;
use crate::money::Currency;
use crate::report::{Bounds, EffectsReport};
use crate::summary::{LearntAnew, Summary};

use super::bootstrap::most_memory;

/// The resamples in which some models learnt nothing, because they cannot be worked out there.
#[derive(Debug, Default)]
pub(super) struct Unlearnt(BTreeMap<usize, BTreeSet<usize>>);

impl Unlearnt {
    /// The models that learnt nothing in a resample.
    pub(super) fn of(&self, resample: usize) -> impl Iterator<Item = usize> {
        self.0.get(&resample).into_iter().flatten().copied()
    }
}

/// Whether models learn anew in every resample of a run.
pub(super) fn relearns(config: &Config) -> bool {
    let resamples = config.bootstrap.or(config.effects_bootstrap);
    resamples.is_some() && engine::learns(&config.models)
}

/// The resamples in which models learn anew, where there are any.
pub(super) fn relearning(config: &Config) -> Option<Bootstrap> {
    config.bootstrap.or(config.effects_bootstrap).filter(|_| relearns(config))
}

/// Which resampled figures are asked for of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// Those of the report, and of effects where these are.
    Now,
    /// Those of the report: it is the period that another is compared with.
    Then,
}

/// What models learnt in a resample.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Relearnt {
    pub(super) learnt: Learnt,
    /// The models that learnt nothing, because they cannot be worked out there, each with why.
    pub(super) refused: Vec<(usize, String)>,
}

impl Relearnt {
    /// What models make of what is counted in a resample.
    ///
    /// # Errors
    ///
    /// What is no refusal.
    pub(super) fn of(models: &[Asked], observed: Observed) -> Result<Self> {
        let (learnt, refused) = Learnt::of_resample(models, observed)?;
        Ok(Self { learnt, refused })
    }

    /// Puts the numbers of the models that learnt beside those of the others.
    pub(super) fn put(
        &self,
        resample: usize,
        (numbers, cells): (Vec<i128>, &Cells),
        sums: &mut Resampled,
    ) -> Result<()> {
        let width = cells.width();
        for (column, number) in numbers.into_iter().enumerate() {
            let model = cells.model_of(column % width);
            if number != 0 && model.is_some_and(|model| self.learnt.fitted[model].is_some()) {
                sums.set(column, resample, number)?;
            }
        }
        Ok(())
    }
}

/// Counts what models learn from in every resample.
///
/// # Errors
///
/// Counts that need more memory than they may take.
pub(super) fn recount(
    config: &Config,
    people: &People,
    work: &Work<'_>,
    bootstrap: &Bootstrap,
) -> Result<ResampledCounts> {
    let users = &people.identity.users;
    let learners = persons_with_touches(work, (0..).take(people.identity.person.len()));
    let sums = Resampled::new(bootstrap.resamples, bootstrap.draws, most_memory(config));
    let partitions = engine::partitions(work, &learners);
    ResampledCounts::new(work, &partitions, sums, &|person| users.name(person))
}

/// Lets the models of a run learn anew in every resample: adds what they credit there to the sums of
/// resamples, and gives effects the bounds of their figures, where either is asked for.
///
/// # Errors
///
/// Counts or sums that need more memory than they may take; what the data as they are teach that is not what
/// was learnt from them.
pub(super) fn relearn(
    config: &Config,
    (merged, people): (&MergedTables, &People),
    (ordered, named): (&Ordered, &Named),
    sums: &mut Attributed,
    asking: Asking,
    summary: &mut Summary,
) -> Result<()> {
    let of_effects = config.effects_bootstrap.filter(|_| asking == Asking::Now);
    let Some(bootstrap) = config.bootstrap.or(of_effects).filter(|_| relearns(config)) else {
        return Ok(());
    };
    let Attributed { cells, resampled, effects, unlearnt, .. } = sums;
    let work = work(config, ordered, named);
    let counts = recount(config, people, &work, &bootstrap)?;
    let recrediting = Recrediting::new(work, (merged, people), cells, bootstrap.draws);
    let bounding = of_effects.map(|_| Bounding::new(&config.models, effects)).transpose()?;
    let mut bounds = of_effects.map(|_| effects.bounds(&bootstrap)).transpose()?;
    let of_resample = |resample: usize| {
        let observed = counts.observed(work.models, work.channels, resample);
        let relearnt = Relearnt::of(work.models, observed)?;
        let Recredited { numbers, by_channel } = recrediting.credit(resample, &relearnt)?;
        let credited = (&by_channel, &ordered.amounts.currencies[..]);
        let table = bounding
            .as_ref()
            .map(|of| of.effects(&relearnt, work.channels, credited))
            .transpose()?;
        Ok((relearnt, numbers, table))
    };
    let mut account = Account::new(&config.models, asking);
    let all: Vec<usize> = (0..=bootstrap.resamples).collect();
    let wave = together(cells, most_memory(config));
    engine::in_waves(&all, wave, of_resample, |resample, (relearnt, numbers, table)| {
        if let Some(resampled) = resampled.as_mut() {
            relearnt.put(*resample, (numbers, cells), resampled)?;
        }
        if let (Some(of), Some(bounds), Some(table)) = (&bounding, &mut bounds, table) {
            of.take(*resample, &relearnt, &table, bounds)?;
        }
        account.take(*resample, &relearnt, unlearnt);
        Ok(())
    })?;
    account.tell(bootstrap.resamples, summary);
    if let Some(bounds) = bounds {
        *effects = std::mem::take(effects).with_bounds(&bounds, &bootstrap)?;
    }
    Ok(())
}

/// What effects are in resamples, beside what they are.
pub(super) struct Bounding<'a> {
    effects: &'a EffectsReport,
    models: Vec<String>,
    plain: RecordBatch,
}

impl<'a> Bounding<'a> {
    pub(super) fn new(models: &[Asked], effects: &'a EffectsReport) -> Result<Self> {
        let models = models.iter().map(|asked| asked.name.clone()).collect();
        Ok(Self { effects, models, plain: effects.plain()? })
    }

    /// The effects in a resample, from what models learnt and credited there.
    pub(super) fn effects(
        &self,
        relearnt: &Relearnt,
        channels: &TouchChannels,
        (credited, currencies): (&ByChannel, &[Currency]),
    ) -> Result<RecordBatch> {
        let Self { effects, models, .. } = self;
        effects.of_resample(models, &relearnt.learnt, channels, credited, currencies)?.plain()
    }

    /// Takes note of the effects in a resample.
    ///
    /// # Errors
    ///
    /// Those of the data as they are that are not the effects.
    pub(super) fn take(
        &self,
        resample: usize,
        relearnt: &Relearnt,
        effects: &RecordBatch,
        bounds: &mut Bounds,
    ) -> Result<()> {
        if resample > 0 {
            let missing = relearnt.refused.iter().map(|(model, _)| self.models[*model].as_str());
            bounds.take_without(effects, &missing.collect::<Vec<_>>());
        } else if *effects != self.plain {
            return Err(Error::Broken(
                "a resample that counts everybody once does not teach what was learnt".to_owned(),
            ));
        }
        Ok(())
    }
}

/// How many resamples are worked on at a time: as many as keep every thread busy, and fewer where their
/// numbers, which are held until they are added, would need more than so many bytes.
fn together(cells: &Cells, most: u64) -> usize {
    // Those of the resample, and those of the persons who are counted alike in it.
    let each = 2 * cells.len() * cells.width() * size_of::<i128>();
    let fit = usize::try_from(most).unwrap_or(usize::MAX) / each.max(1);
    fit.clamp(1, 4 * rayon::current_num_threads())
}

/// What divides the orders of resamples by what is learnt there.
pub(super) struct Recrediting<'a> {
    work: Work<'a>,
    cells: &'a Cells,
    /// The persons whose orders are divided.
    buyers: Vec<u32>,
    keys: Vec<u64>,
    draws: Draws,
}

impl<'a> Recrediting<'a> {
    /// `cells` are those of everybody.
    pub(super) fn new(
        work: Work<'a>,
        (merged, people): (&MergedTables, &People),
        cells: &'a Cells,
        draws: Draws,
    ) -> Self {
        let buyers = persons_with_orders(merged);
        let key = |person: &u32| key_of(people.identity.users.name(*person));
        Self { work, cells, keys: buyers.par_iter().map(key).collect(), buyers, draws }
    }

    /// Divides the orders of a resample.
    ///
    /// # Errors
    ///
    /// As of [`credit_drawn`].
    pub(super) fn credit(&self, resample: usize, relearnt: &Relearnt) -> Result<Recredited> {
        let work = Work { fitted: &relearnt.learnt.fitted, ..self.work };
        credit_drawn(&work, self.cells, &self.drawn(resample))
    }

    /// Those whom a resample counts once, then those whom it counts twice, and so on.
    fn drawn(&self, resample: usize) -> Vec<Vec<u32>> {
        let mut drawn = vec![Vec::new(); usize::try_from(MOST_DRAWN).unwrap_or_default()];
        for (person, key) in self.buyers.iter().zip(&self.keys) {
            let times = usize::try_from(self.draws.times(*key, resample)).unwrap_or_default();
            if let Some(alike) = times.checked_sub(1).and_then(|at| drawn.get_mut(at)) {
                alike.push(*person);
            }
        }
        drawn
    }
}

/// What came of learning anew, by model.
pub(super) struct Account<'a> {
    models: &'a [Asked],
    asking: Asking,
    learnt: BTreeMap<usize, LearntAnew>,
    /// Why each was refused first.
    refused: BTreeMap<usize, String>,
}

impl<'a> Account<'a> {
    pub(super) fn new(models: &'a [Asked], asking: Asking) -> Self {
        let learning = models.iter().enumerate().filter(|(_, asked)| asked.model.learns());
        let nothing = |(number, asked): (usize, &Asked)| {
            let model = asked.name.clone();
            (number, LearntAnew { model, without_orders: 0, not_worked_out: 0 })
        };
        Self { models, asking, learnt: learning.map(nothing).collect(), refused: BTreeMap::new() }
    }

    pub(super) fn take(
        &mut self,
        resample: usize,
        Relearnt { learnt, refused }: &Relearnt,
        unlearnt: &mut Unlearnt,
    ) {
        if resample == 0 {
            return;
        }
        for (number, fitted) in learnt.fitted.iter().enumerate() {
            let converted = fitted.as_ref().map(|fitted| fitted.effects.converted);
            if let Some(account) = self.learnt.get_mut(&number).filter(|_| converted == Some(0)) {
                account.without_orders += 1;
            }
        }
        for (number, why) in refused {
            if let Some(account) = self.learnt.get_mut(number) {
                account.not_worked_out += 1;
            }
            unlearnt.0.entry(resample).or_default().insert(*number);
            self.refused.entry(*number).or_insert_with(|| why.clone());
        }
    }

    /// Says of what the figures are, and warns of resamples that could not teach anything.
    pub(super) fn tell(self, resamples: usize, summary: &mut Summary) {
        let period = match self.asking {
            Asking::Now => "",
            Asking::Then => " of the period compared with",
        };
        for (number, account) in &self.learnt {
            let model = &self.models[*number].name;
            let LearntAnew { without_orders, not_worked_out, .. } = account;
            // Where nobody ever ordered, that is known without resamples.
            if (1..resamples).contains(without_orders) {
                summary.warn(&format!(
                    "in {without_orders} of {resamples} resamples{period} no journey ended in an order: `{model}` learns nothing there, and credits nothing"
                ));
            }
            if *not_worked_out > 0 {
                let why = self.refused.get(number).map_or("", String::as_str);
                summary.warn(&format!(
                    "`{model}` cannot be worked out in {not_worked_out} of {resamples} resamples{period}: its intervals are of the others ({why})"
                ));
            }
        }
        if self.asking == Asking::Now {
            summary.learnt_anew = self.learnt.into_values().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_resamples_are_worked_on_at_a_time_where_they_need_more_memory() {
        let mut cells = Cells::new(3, false);
        let busy = 4 * rayon::current_num_threads();
        assert_eq!(together(&cells, 1 << 20), busy);
        (0..100).for_each(|touch| {
            cells.find(touch, 0);
        });
        let each = (2 * 100 * cells.width() * 16) as u64;
        assert_eq!([each - 1, 2 * each, u64::MAX].map(|most| together(&cells, most)), [1, 2, busy]);
    }
}
