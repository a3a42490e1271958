//! How uncertain effects are: in every resample of the persons models learn anew, and divide the orders
//! of the resample by that. Nothing is read again, and no row is copied.

use rayon::prelude::*;

use super::{
    MergedTables, Named, Ordered, People, persons_with_orders, persons_with_touches, work,
};
use crate::bootstrap::{Bootstrap, Resampled, key_of};
use crate::config::Config;
use crate::engine::{self, Learnt, ResampledCounts, Work, credit_channels};
use crate::error::{Error, Result};
use crate::report::EffectsReport;

use super::bootstrap::most_memory;

/// Resamples whose tables are held at a time.
const TOGETHER: usize = 64;

/// The effects with the bounds of their figures, where these are asked for.
///
/// # Errors
///
/// What the data as they are teach that is not what was learnt from them; a model that cannot be
/// worked out from a resample.
pub(super) fn with_intervals(
    config: &Config,
    merged: &MergedTables,
    ordered: &Ordered,
    named: &Named,
    people: &People,
    effects: EffectsReport,
) -> Result<EffectsReport> {
    let Some(bootstrap) = config.effects_bootstrap.filter(|_| !effects.models.is_empty()) else {
        return Ok(effects);
    };
    let Bootstrap { resamples, draws, .. } = bootstrap;
    let work = work(config, ordered, named);
    let users = &people.identity.users;
    let learners = persons_with_touches(&work, (0..).take(people.identity.person.len()));
    let sums = Resampled::new(resamples, draws, most_memory(config));
    let partitions = engine::partitions(&work, &learners);
    let counts = ResampledCounts::new(&work, &partitions, sums, &|person| users.name(person))?;
    let buyers = persons_with_orders(merged);
    let keys: Vec<u64> = buyers.par_iter().map(|person| key_of(users.name(*person))).collect();
    let partitions = engine::partitions(&work, &buyers);
    let of_resample = |resample: usize| {
        let learnt = Learnt::new(work.models, counts.observed(&work, resample))?;
        let work = Work { fitted: &learnt.fitted, ..work };
        let times = |person: u32| match buyers.binary_search(&person) {
            Ok(at) => draws.times(keys[at], resample),
            Err(_) => 0,
        };
        let credited = credit_channels(&work, &partitions, &times)?;
        let currencies = &ordered.amounts.currencies;
        effects.of_resample(&learnt, work.channels, &credited, currencies)?.plain()
    };
    if of_resample(0)? != effects.plain()? {
        return Err(Error::Broken(
            "a resample that counts everybody once does not teach what was learnt".to_owned(),
        ));
    }
    let mut bounds = effects.bounds(&bootstrap)?;
    let all: Vec<usize> = (1..=resamples).collect();
    for some in all.chunks(TOGETHER) {
        let tables: Vec<Result<_>> =
            some.par_iter().map(|resample| of_resample(*resample)).collect();
        for table in tables {
            bounds.take(&table?);
        }
    }
    effects.with_bounds(&bounds, &bootstrap)
}
