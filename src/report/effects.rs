//! What models that learn say of channels over all journeys, beside what they credit order by order.
//!
//! A channel's effect is its part of all conversions; its credit is what its touches get of the
//! orders that they touched. The two need not agree. Not for how effects are worked out, which is
//! the models', nor for how they read on a terminal: that is `effects_text`.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, UInt64Array};

use crate::bootstrap::{Bootstrap, Level};
use crate::credits::{Divider, share};
use crate::engine::{ByChannel, Evidence, Learnt, TouchChannels};
use crate::error::{Error, Result};
use crate::models::{Blocked, ChannelEffect, Effects, blocked};
use crate::money::Currency;
use crate::report::{Bounds, decimals, texts};

/// The fewest orders behind a channel that suffice to say something of it.
const ORDERS: u64 = 10;

/// The fewest journeys behind a channel that suffice to say something of it.
const JOURNEYS: u64 = 30;

/// What one model says of every channel.
pub struct ModelEffects {
    /// The model, as it was asked for.
    pub model: String,
    /// What it learnt.
    pub effects: Effects,
    /// Channels that keep every split of the orders from meeting the effects, where there are any.
    pub blocked: Option<Blocked>,
    /// The channels' names, by number.
    pub(super) names: Vec<String>,
    pub(super) lines: Vec<EffectOf>,
}

/// One channel in one currency.
#[derive(Clone, Copy)]
pub(super) struct EffectOf {
    pub(super) channel: ChannelEffect,
    pub(super) evidence: Evidence,
    pub(super) currency: Currency,
    /// Conversions that it is owed by its effect.
    pub(super) conversions: f64,
    /// Minor units that it is owed.
    pub(super) amount: i64,
    /// Conversions that its touches are credited, order by order.
    pub(super) credited: f64,
    /// Minor units that they are credited.
    pub(super) credited_amount: i128,
}

impl EffectOf {
    /// Whether what stands behind it suffices.
    pub(super) fn suffices(&self) -> &'static str {
        if self.evidence.orders < ORDERS {
            "few orders"
        } else if self.evidence.orders + self.evidence.lost < JOURNEYS {
            "few journeys"
        } else {
            "enough"
        }
    }

    /// The same channel where no journey has it: nothing is lost without it, nothing is owed to it.
    ///
    /// `of` is what the model says of another channel of the same journeys.
    fn absent(&self, of: Option<&Self>) -> Self {
        let nothing = |effect: Option<f64>| effect.map(|_| 0.0);
        let channel = ChannelEffect {
            channel: self.channel.channel,
            removal: of.and_then(|of| nothing(of.channel.removal)),
            value: of.and_then(|of| nothing(of.channel.value)),
            ..ChannelEffect::default()
        };
        Self {
            channel,
            evidence: Evidence::default(),
            currency: self.currency,
            conversions: 0.0,
            amount: 0,
            credited: 0.0,
            credited_amount: 0,
        }
    }
}

/// What every model that learns says of channels.
#[derive(Default)]
pub struct EffectsReport {
    /// The models, in the order asked for.
    pub models: Vec<ModelEffects>,
    pub(super) intervals: Option<EffectIntervals>,
}

/// The bounds of the figures of effects, from resamples in each of which models learnt anew.
pub(super) struct EffectIntervals {
    pub(super) resamples: usize,
    pub(super) level: Level,
    /// The table with the bounds of each figure after it.
    pub(super) table: RecordBatch,
}

impl EffectsReport {
    /// Joins what models learnt with what they credited.
    ///
    /// # Errors
    ///
    /// An amount that leaves 64 bits.
    pub fn new(
        models: &[String],
        learnt: &Learnt,
        channels: &TouchChannels,
        credited: &ByChannel,
        currencies: &[Currency],
    ) -> Result<Self> {
        let mut report = Self::joined(models, learnt, channels, credited, currencies)?;
        for model in &mut report.models {
            model.blocked = blocked(&model.effects);
        }
        Ok(report)
    }

    /// The same lines of a resample, from what models learnt and credited there; of one that learnt
    /// nothing they say nothing.
    ///
    /// # Errors
    ///
    /// As of [`new`](Self::new).
    pub fn of_resample(
        &self,
        models: &[String],
        learnt: &Learnt,
        channels: &TouchChannels,
        credited: &ByChannel,
        currencies: &[Currency],
    ) -> Result<Self> {
        // Which of all models have effects is known from what they are called: no two are alike.
        let mut resample = Self::joined(models, learnt, channels, credited, currencies)?;
        let of_model = |like: &ModelEffects| {
            let found = resample.models.iter_mut().find(|model| model.model == like.model);
            let known: BTreeMap<(Currency, u32), EffectOf> = found
                .iter()
                .flat_map(|model| &model.lines)
                .map(|line| ((line.currency, line.channel.channel), *line))
                .collect();
            let of_line = |line: &EffectOf| {
                let found = known.get(&(line.currency, line.channel.channel)).copied();
                found.unwrap_or_else(|| line.absent(known.values().next()))
            };
            ModelEffects {
                model: like.model.clone(),
                effects: found.map(|model| std::mem::take(&mut model.effects)).unwrap_or_default(),
                blocked: None,
                names: like.names.clone(),
                lines: like.lines.iter().map(of_line).collect(),
            }
        };
        Ok(Self { models: self.models.iter().map(of_model).collect(), intervals: None })
    }

    /// No bounds yet of the figures of these effects.
    ///
    /// # Errors
    ///
    /// As of [`table`](Self::table).
    pub fn bounds(&self, bootstrap: &Bootstrap) -> Result<Bounds> {
        Ok(Bounds::new(&self.plain()?, bootstrap.level.rank(bootstrap.resamples)))
    }

    /// The same effects with the bounds of their figures.
    ///
    /// # Errors
    ///
    /// As of [`table`](Self::table).
    pub fn with_bounds(self, bounds: &Bounds, bootstrap: &Bootstrap) -> Result<Self> {
        let Bootstrap { resamples, level, .. } = *bootstrap;
        let table = bounds.beside(&self.plain()?, level)?;
        Ok(Self { intervals: Some(EffectIntervals { resamples, level, table }), ..self })
    }

    /// What models learnt beside what they credited, without asking whether the one could be met by
    /// the other.
    fn joined(
        models: &[String],
        learnt: &Learnt,
        channels: &TouchChannels,
        credited: &ByChannel,
        currencies: &[Currency],
    ) -> Result<Self> {
        let mut report = Self::default();
        for (number, fitted) in learnt.fitted.iter().enumerate() {
            let (Some(fitted), Some(column)) = (fitted, channels.of_model[number]) else {
                continue;
            };
            let names = channels.columns[column].values.clone();
            let evidence = &learnt.observed.evidence[column];
            let of_model = credited.of(number);
            let effects = fitted.effects.clone();
            let mut lines = Vec::new();
            for (at, currency) in currencies.iter().enumerate() {
                let parts = of_model.iter().skip(at).step_by(currencies.len());
                let conversions: i128 = parts.clone().map(|part| part.conversions).sum();
                let amount: i128 = parts.map(|part| part.amount).sum();
                let amount = i64::try_from(amount).map_err(|_| Error::Overflow {
                    what: format!("the amount of all orders in {currency}"),
                })?;
                let shares: Vec<f64> = effects.channels.iter().map(|one| one.share).collect();
                let (mut amounts, mut divider) = (vec![0; shares.len()], Divider::default());
                divider.weigh(&shares);
                divider.divide(amount, &mut amounts);
                for (channel, amount) in effects.channels.iter().zip(amounts) {
                    let credit = of_model[channel.channel as usize * currencies.len() + at];
                    lines.push(EffectOf {
                        channel: *channel,
                        evidence: evidence[channel.channel as usize],
                        currency: *currency,
                        conversions: channel.share * share(conversions),
                        amount,
                        credited: share(credit.conversions),
                        credited_amount: credit.amount,
                    });
                }
            }
            let by_share = |left: &EffectOf, right: &EffectOf| {
                let share = right.channel.share.total_cmp(&left.channel.share);
                let value = |line: &EffectOf| line.channel.removal.or(line.channel.value);
                let effect = value(right).partial_cmp(&value(left)).unwrap_or(Ordering::Equal);
                share.then(effect).then(left.channel.channel.cmp(&right.channel.channel))
            };
            lines.sort_by(|left, right| {
                left.currency.cmp(&right.currency).then_with(|| by_share(left, right))
            });
            report.models.push(ModelEffects {
                model: models[number].clone(),
                effects,
                blocked: None,
                names,
                lines,
            });
        }
        Ok(report)
    }

    /// One row a model, channel and currency.
    ///
    /// `model`, `channel`, `currency`, `removal_effect`, `shapley_value`, `shapley_error`,
    /// `coefficient`, `strength`, `half_life`, `effect_share`, `effect_conversions`, `effect_amount`,
    /// `credit_conversions`, `credit_amount`, `conversions_difference`, `amount_difference`, `touches`,
    /// `orders`, `journeys`, `evidence`; where effects were resampled, each figure `NAME` is followed by
    /// `NAME_low` and `NAME_high`.
    pub fn table(&self) -> Result<RecordBatch> {
        match &self.intervals {
            Some(intervals) => Ok(intervals.table.clone()),
            None => self.plain(),
        }
    }

    /// The table without intervals.
    ///
    /// # Errors
    ///
    /// As of [`table`](Self::table).
    pub fn plain(&self) -> Result<RecordBatch> {
        let lines = || {
            let models = self.models.iter();
            models.flat_map(|model| model.lines.iter().map(move |line| (model, line)))
        };
        let scale = lines().map(|(_, line)| line.currency.exponent()).max().unwrap_or(2);
        let floats = |value: &dyn Fn(&EffectOf) -> Option<f64>| -> ArrayRef {
            Arc::new(lines().map(|(_, line)| value(line)).collect::<Float64Array>())
        };
        let counts = |count: &dyn Fn(&Evidence) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(lines().map(|(_, line)| count(&line.evidence))))
        };
        let amounts = |amount: &dyn Fn(&EffectOf) -> i128| {
            decimals(lines().map(|(_, line)| Some((amount(line), line.currency))), scale)
        };
        let name = |(model, line): (&'_ ModelEffects, &EffectOf)| {
            model.names[line.channel.channel as usize].clone()
        };
        let names: Vec<String> = lines().map(name).collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("model", texts(lines().map(|(model, _)| model.model.as_str()))),
            ("channel", texts(names.iter().map(String::as_str))),
            ("currency", texts(lines().map(|(_, line)| line.currency.code()))),
            ("removal_effect", floats(&|line| line.channel.removal)),
            ("shapley_value", floats(&|line| line.channel.value)),
            ("shapley_error", floats(&|line| line.channel.error)),
            ("coefficient", floats(&|line| line.channel.coefficient)),
            ("strength", floats(&|line| line.channel.strength)),
            ("half_life", floats(&|line| line.channel.half_life)),
            ("effect_share", floats(&|line| Some(line.channel.share))),
            ("effect_conversions", floats(&|line| Some(line.conversions))),
            ("effect_amount", amounts(&|line| i128::from(line.amount))?),
            ("credit_conversions", floats(&|line| Some(line.credited))),
            ("credit_amount", amounts(&|line| line.credited_amount)?),
            ("conversions_difference", floats(&|line| Some(line.conversions - line.credited))),
            ("amount_difference", amounts(&|line| i128::from(line.amount) - line.credited_amount)?),
            ("touches", counts(&|evidence| evidence.touches)),
            ("orders", counts(&|evidence| evidence.orders)),
            ("journeys", counts(&|evidence| evidence.orders + evidence.lost)),
            ("evidence", texts(lines().map(|(_, line)| line.suffices()))),
        ];
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
    }
}
