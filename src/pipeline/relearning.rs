//! How uncertain it is what models learn: in every resample of the persons they learn anew, and divide the
//! orders of the resample by that, for the report and for the effects. Nothing is read again, and no row
//! is copied.
//!
//! Not for counts and for what rules credit, which are sums over persons; those are `attributing`'s.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::{
    Attributed, MergedTables, Named, Ordered, People, persons_with_orders, persons_with_touches,
    work,
};
use crate::bootstrap::{Bootstrap, Draws, MOST_DRAWN, Resampled, key_of};
use crate::config::Config;
use crate::engine::{self, Cells, Learnt, Recredited, ResampledCounts, Work, credit_drawn};
use crate::error::{Error, Result};
use crate::models::Asked;
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

/// Which resampled figures are asked for of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// Those of the report, and of effects where these are.
    Now,
    /// Those of the report: it is the period that another is compared with.
    Then,
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
    let Bootstrap { resamples, draws, .. } = bootstrap;
    let Attributed { cells, resampled, effects, unlearnt, .. } = sums;
    let work = work(config, ordered, named);
    let users = &people.identity.users;
    let learners = persons_with_touches(&work, (0..).take(people.identity.person.len()));
    let counts = {
        let sums = Resampled::new(resamples, draws, most_memory(config));
        let partitions = engine::partitions(&work, &learners);
        ResampledCounts::new(&work, &partitions, sums, &|person| users.name(person))?
    };
    let buyers = Buyers::new(persons_with_orders(merged), draws, &|person| users.name(person));
    let models: Vec<String> = config.models.iter().map(|asked| asked.name.clone()).collect();
    let mut bounds = of_effects.map(|_| effects.bounds(&bootstrap)).transpose()?;
    let plain = of_effects.map(|_| effects.plain()).transpose()?;
    let of_resample = |resample: usize| {
        let observed = counts.observed(&work, resample);
        let (learnt, refused) = Learnt::of_resample(work.models, observed)?;
        let work = Work { fitted: &learnt.fitted, ..work };
        let Recredited { numbers, by_channel } =
            credit_drawn(&work, cells, &buyers.drawn(resample))?;
        let currencies = &ordered.amounts.currencies;
        let table = of_effects.map(|_| {
            effects.of_resample(&models, &learnt, work.channels, &by_channel, currencies)?.plain()
        });
        Ok((learnt, refused, numbers, table.transpose()?))
    };
    let mut account = Account::new(&config.models, asking);
    let all: Vec<usize> = (0..=resamples).collect();
    let width = cells.width();
    let wave = together(cells, most_memory(config));
    engine::in_waves(&all, wave, of_resample, |resample, (learnt, refused, numbers, table)| {
        if *resample == 0 && table != plain {
            return Err(Error::Broken(
                "a resample that counts everybody once does not teach what was learnt".to_owned(),
            ));
        }
        if let Some(resampled) = resampled.as_mut() {
            for (column, number) in numbers.into_iter().enumerate() {
                let model = cells.model_of(column % width);
                if number != 0 && model.is_some_and(|model| learnt.fitted[model].is_some()) {
                    resampled.set(column, *resample, number)?;
                }
            }
        }
        let missing: Vec<&str> = refused.iter().map(|(model, _)| models[*model].as_str()).collect();
        if let (Some(bounds), Some(table)) = (bounds.as_mut().filter(|_| *resample > 0), table) {
            bounds.take_without(&table, &missing);
        }
        account.take(*resample, &learnt, refused, unlearnt);
        Ok(())
    })?;
    account.tell(resamples, summary);
    if let Some(bounds) = bounds {
        *effects = std::mem::take(effects).with_bounds(&bounds, &bootstrap)?;
    }
    Ok(())
}

/// How many resamples are worked on at a time: as many as keep every thread busy, and fewer where their
/// numbers, which are held until they are added, would need more than so many bytes.
fn together(cells: &Cells, most: u64) -> usize {
    // Those of the resample, and those of the persons who are counted alike in it.
    let each = 2 * cells.len() * cells.width() * size_of::<i128>();
    let fit = usize::try_from(most).unwrap_or(usize::MAX) / each.max(1);
    fit.clamp(1, 4 * rayon::current_num_threads())
}

/// The persons whose orders are divided, and how often resamples count them.
struct Buyers {
    persons: Vec<u32>,
    keys: Vec<u64>,
    draws: Draws,
}

impl Buyers {
    fn new<'n>(persons: Vec<u32>, draws: Draws, name: &(dyn Fn(u32) -> &'n str + Sync)) -> Self {
        let keys = persons.par_iter().map(|person| key_of(name(*person))).collect();
        Self { persons, keys, draws }
    }

    /// Those whom a resample counts once, then those whom it counts twice, and so on.
    fn drawn(&self, resample: usize) -> Vec<Vec<u32>> {
        let mut drawn = vec![Vec::new(); usize::try_from(MOST_DRAWN).unwrap_or_default()];
        for (person, key) in self.persons.iter().zip(&self.keys) {
            let times = usize::try_from(self.draws.times(*key, resample)).unwrap_or_default();
            if let Some(alike) = times.checked_sub(1).and_then(|at| drawn.get_mut(at)) {
                alike.push(*person);
            }
        }
        drawn
    }
}

/// What came of learning anew, by model.
struct Account<'a> {
    models: &'a [Asked],
    asking: Asking,
    learnt: BTreeMap<usize, LearntAnew>,
    /// Why each was refused first.
    refused: BTreeMap<usize, String>,
}

impl<'a> Account<'a> {
    fn new(models: &'a [Asked], asking: Asking) -> Self {
        let learning = models.iter().enumerate().filter(|(_, asked)| asked.model.learns());
        let nothing = |(number, asked): (usize, &Asked)| {
            let model = asked.name.clone();
            (number, LearntAnew { model, without_orders: 0, not_worked_out: 0 })
        };
        Self { models, asking, learnt: learning.map(nothing).collect(), refused: BTreeMap::new() }
    }

    fn take(
        &mut self,
        resample: usize,
        learnt: &Learnt,
        refused: Vec<(usize, String)>,
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
            if let Some(account) = self.learnt.get_mut(&number) {
                account.not_worked_out += 1;
            }
            unlearnt.0.entry(resample).or_default().insert(number);
            self.refused.entry(number).or_insert(why);
        }
    }

    /// Says of what the figures are, and warns of resamples that could not teach anything.
    fn tell(self, resamples: usize, summary: &mut Summary) {
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
