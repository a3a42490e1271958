//! What a bucket must know of all the others before it is worked on.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{BucketSums, Pass};
use crate::bootstrap::Resampled;
use crate::config::Config;
use crate::engine::{CountsByKeys, Learnt, Observed, ResampledCounts, TouchChannels, among};
use crate::error::{Error, Result};
use crate::journeys::Labels;
use crate::models::{Asked, Fitted};
use crate::money::Currency;
use crate::pipeline::bootstrap::most_memory;
use crate::pipeline::others::Merging;
use crate::pipeline::relearning::{Relearnt, relearning};
use crate::pipeline::{Named, Ordered};
use crate::report::LineKey;
use crate::stop;

/// What is known of all buckets together after a pass: nothing before the first.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Known {
    /// When the last touch or order was.
    end: Option<i64>,
    /// The channels of each column that models look at, in byte order.
    channels: Option<Vec<Vec<String>>>,
    /// The channels of paths, in byte order, where they are asked for.
    path_channels: Option<Vec<String>>,
    /// The first and the last instant of an order that is shown.
    shown: Option<(i64, i64)>,
    /// What models learnt, of each round.
    learnt: Vec<Learnt>,
    /// What they learnt of each round in each resample, the data as they are first, where they learn anew.
    relearnt: Vec<Vec<Relearnt>>,
    /// Which lines became part of others, because they are of few persons.
    merging: Merging,
    /// The currencies of orders, sorted.
    currencies: Option<Vec<Currency>>,
}

impl Known {
    /// What is known after a pass, beside what was known before it.
    ///
    /// # Errors
    ///
    /// A model that cannot be worked out from what was counted.
    pub(super) fn after(&self, config: &Config, pass: Pass, sums: &BucketSums) -> Result<Self> {
        let (models, mut known) = (&config.models[..], self.clone());
        match pass {
            Pass::Look => {
                (known.end, known.shown) = (sums.end, sums.shown);
                let channels = sums.channels.iter();
                known.channels = Some(channels.map(|of| of.iter().cloned().collect()).collect());
                let of_paths = sums.path_channels.as_ref();
                known.path_channels = of_paths.map(|of| of.iter().cloned().collect());
            }
            Pass::Learn => {
                let learnt = |observed: &Observed| {
                    Ok(without_counts(Learnt::new(models, observed.clone())?))
                };
                known.learnt = sums.observed.iter().map(learnt).collect::<Result<_>>()?;
                let relearnt = sums.recounted.iter().map(|all| self.relearn(config, all));
                known.relearnt = relearnt.collect::<Result<_>>()?;
            }
            Pass::Merge => {}
            Pass::Attribute => known.currencies = Some(sums.currencies()),
        }
        Ok(known)
    }

    /// What models learn of a round in every resample.
    fn relearn(&self, config: &Config, all: &CountsByKeys) -> Result<Vec<Relearnt>> {
        let Some(bootstrap) = relearning(config) else { return Ok(Vec::new()) };
        let (models, channels) = (&config.models, self.touch_channels(&config.models));
        let sums = Resampled::new(bootstrap.resamples, bootstrap.draws, most_memory(config));
        let counts = ResampledCounts::of_keys(models.len(), sums, all)?;
        let of_resample = |resample| {
            stop::check()?;
            let relearnt = Relearnt::of(models, counts.observed(models, &channels, resample))?;
            Ok(Relearnt { learnt: without_counts(relearnt.learnt), ..relearnt })
        };
        (0..=bootstrap.resamples).into_par_iter().map(of_resample).collect()
    }

    /// What models learnt of a round in each resample, where they learn anew.
    pub(super) fn relearnt(&self, round: usize) -> &[Relearnt] {
        self.relearnt.get(round).map(Vec::as_slice).unwrap_or_default()
    }

    /// The channels that all buckets have, as models look at them.
    pub(super) fn touch_channels(&self, models: &[Asked]) -> TouchChannels {
        let mut known = self.channels.iter().flatten();
        TouchChannels::new(models, |_| Labels {
            codes: Vec::new(),
            values: known.next().cloned().unwrap_or_default(),
        })
    }

    /// What models learnt of a round, where any learns.
    pub(super) fn learnt(&self, round: usize) -> Option<&Learnt> {
        self.learnt.get(round)
    }

    /// The rules among it; none where no model learns.
    pub(super) fn fitted(&self, round: usize) -> &[Option<Fitted>] {
        self.learnt(round).map(|learnt| &learnt.fitted[..]).unwrap_or_default()
    }

    /// Which lines became part of others.
    pub(super) fn merging(&self) -> &Merging {
        &self.merging
    }

    /// Merges more lines.
    pub(super) fn merge(&mut self, more: BTreeMap<LineKey, LineKey>) {
        self.merging.extend(more);
    }

    /// Tells the orders of a bucket what is known of all.
    ///
    /// # Errors
    ///
    /// A currency that nobody knew.
    pub(super) fn tell(&self, ordered: &mut Ordered) -> Result<()> {
        ordered.end = self.end.unwrap_or(ordered.end);
        let Some(currencies) = &self.currencies else { return Ok(()) };
        let place = |currency: &Currency| {
            let found = currencies.binary_search(currency).ok();
            let found = found.and_then(|place| u16::try_from(place).ok());
            found.ok_or_else(|| Error::Broken(format!("nobody has seen orders in {currency}")))
        };
        let own = std::mem::replace(&mut ordered.amounts.currencies, currencies.clone());
        let places: Vec<u16> = own.iter().map(place).collect::<Result<_>>()?;
        for currency in &mut ordered.orders.currency {
            // An order that is not counted may be alone in its currency, which is then none of these.
            *currency = places.get(usize::from(*currency)).copied().unwrap_or_default();
        }
        Ok(())
    }

    /// Numbers the channels of a bucket as all buckets do, once it is known which there are.
    pub(super) fn number(&self, named: &mut Named) -> Result<()> {
        if let Some(known) = &self.channels {
            named.channels = std::mem::take(&mut named.channels).among(known)?;
        }
        if let Some(known) = &self.path_channels {
            let own = named.path_channels.take();
            named.path_channels = own.map(|own| among(own, known)).transpose()?;
        }
        Ok(())
    }

    /// The first and the last instant of an order that is shown, if any is.
    pub(super) fn shown(&self) -> Option<(i64, i64)> {
        self.shown
    }

    /// The channels of paths, where they are known.
    pub(super) fn path_channels(&self) -> &[String] {
        self.path_channels.as_deref().unwrap_or_default()
    }

    /// What is known, as bytes that [`from_bytes`](Self::from_bytes) reads.
    ///
    /// # Errors
    ///
    /// None that can be met with; see [`BucketSums::to_bytes`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        super::sums::to_bytes(self)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; nothing is known of no bytes.
    ///
    /// # Errors
    ///
    /// Bytes of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if bytes.is_empty() { Ok(Self::default()) } else { super::sums::from_bytes(bytes) }
    }
}

/// What was counted may be much, and has said what it knows.
fn without_counts(learnt: Learnt) -> Learnt {
    let observed = Observed { counts: Vec::new(), ..learnt.observed };
    Learnt { observed, ..learnt }
}
