//! What models that learn say of channels over all journeys, beside what they credit order by order.
//!
//! A channel's effect is its part of all conversions; its credit is what its touches get of the
//! orders that they touched. The two need not agree. Not for how effects are worked out, which is
//! the models'.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, UInt64Array};

use crate::credits::{Divider, share};
use crate::engine::{ByChannel, Evidence, Learnt, TouchChannels};
use crate::error::{Error, Result};
use crate::models::{Blocked, ChannelEffect, Effects, blocked};
use crate::money::Currency;
use crate::output::table::{aligned, printable, wrapped};
use crate::output::{Align, counted, thousands};
use crate::report::terminal::{WIDTH, shortened};
use crate::report::{decimals, texts};

/// The fewest orders behind a channel that suffice to say something of it.
const ORDERS: u64 = 10;

/// The fewest journeys behind a channel that suffice to say something of it.
const JOURNEYS: u64 = 30;

/// Characters of a channel's name beside figures.
const ROOM: usize = 24;

/// What one model says of every channel.
pub struct ModelEffects {
    /// The model, as it was asked for.
    pub model: String,
    /// What it learnt.
    pub effects: Effects,
    /// Channels that keep every split of the orders from meeting the effects, where there are any.
    pub blocked: Option<Blocked>,
    /// The channels' names, by number.
    names: Vec<String>,
    lines: Vec<EffectOf>,
}

/// One channel in one currency.
struct EffectOf {
    channel: ChannelEffect,
    evidence: Evidence,
    currency: Currency,
    /// Conversions that it is owed by its effect.
    conversions: f64,
    /// Minor units that it is owed.
    amount: i64,
    /// Conversions that its touches are credited, order by order.
    credited: f64,
    /// Minor units that they are credited.
    credited_amount: i128,
}

impl EffectOf {
    /// Whether what stands behind it suffices.
    fn suffices(&self) -> &'static str {
        if self.evidence.orders < ORDERS {
            "few orders"
        } else if self.evidence.orders + self.evidence.lost < JOURNEYS {
            "few journeys"
        } else {
            "enough"
        }
    }
}

/// What every model that learns says of channels.
#[derive(Default)]
pub struct EffectsReport {
    /// The models, in the order asked for.
    pub models: Vec<ModelEffects>,
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
            let blocked = blocked(&effects);
            report.models.push(ModelEffects {
                model: models[number].clone(),
                effects,
                blocked,
                names,
                lines,
            });
        }
        Ok(report)
    }

    /// One row a model, channel and currency.
    ///
    /// `model`, `channel`, `currency`, `removal_effect`, `shapley_value`, `shapley_error`,
    /// `coefficient`, `effect_share`, `effect_conversions`, `effect_amount`, `credit_conversions`, `credit_amount`,
    /// `conversions_difference`, `amount_difference`, `touches`, `orders`, `journeys`, `evidence`.
    pub fn table(&self) -> Result<RecordBatch> {
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

/// Effects as text: what each model learnt from, a table of its channels, and whether a split of the
/// orders could meet them.
pub fn render_effects(report: &EffectsReport) -> String {
    report.models.iter().map(render_model).collect::<Vec<_>>().join("\n")
}

fn render_model(model: &ModelEffects) -> String {
    let effects = &model.effects;
    let mut text = format!("{}\n", printable(&model.model));
    let mut say = |sentence: &str| {
        for line in wrapped(sentence, WIDTH - 2) {
            text.push_str(&format!("  {line}\n"));
        }
    };
    let chain = effects.order.map(|order| format!(", a chain of order {order}"));
    say(&format!(
        "{} with an order of {}: P = {:.6}{}",
        thousands(&effects.converted.to_string()),
        counted(effects.journeys, "journey", "journeys"),
        effects.probability,
        chain.unwrap_or_default()
    ));
    effects.notes.iter().for_each(|note| say(note));
    for tried in &effects.curve {
        let chosen = if Some(tried.order) == effects.order { ", chosen" } else { "" };
        say(&format!(
            "order {}: {} probabilities, log-likelihood of a held-out step {:.6}{chosen}",
            tried.order,
            thousands(&tried.parameters.to_string()),
            tried.likelihood
        ));
    }
    if let Some(samples) = effects.samples {
        let errors = effects.channels.iter().filter_map(|channel| channel.error);
        say(&format!(
            "values are estimated from {} orders in which channels can join; standard errors are at most {:.2e}",
            thousands(&samples.to_string()),
            errors.fold(0.0, f64::max)
        ));
    }
    for of_currency in model.lines.chunk_by(|left, right| left.currency == right.currency) {
        text.push('\n');
        text.push_str(&table(model, of_currency));
    }
    text.push('\n');
    let explained = explained(model);
    for line in wrapped(&explained, WIDTH) {
        text.push_str(&format!("{line}\n"));
    }
    text
}

fn table(model: &ModelEffects, lines: &[EffectOf]) -> String {
    let currency = lines[0].currency;
    let removal = lines.iter().any(|line| line.channel.removal.is_some());
    let effect = if removal { "effect" } else { "value" };
    let header = [
        ("channel", Align::Left),
        (effect, Align::Right),
        ("share", Align::Right),
        ("owed", Align::Right),
        ("credited", Align::Right),
        (currency.code(), Align::Right),
        ("credited", Align::Right),
        ("orders", Align::Right),
        ("evidence", Align::Left),
    ];
    let row = |line: &EffectOf| {
        let value = line.channel.removal.or(line.channel.value);
        let digits = if removal { 3 } else { 5 };
        vec![
            shortened(&printable(&model.names[line.channel.channel as usize]), ROOM),
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}")),
            format!("{:.1} %", 100.0 * line.channel.share),
            thousands(&format!("{:.2}", line.conversions)),
            thousands(&format!("{:.2}", line.credited)),
            thousands(&currency.format(i128::from(line.amount))),
            thousands(&currency.format(line.credited_amount)),
            thousands(&line.evidence.orders.to_string()),
            match line.suffices() {
                "enough" => String::new(),
                few => few.to_owned(),
            },
        ]
    };
    aligned(&header, lines.iter().map(row).collect())
}

/// Why what is owed and what is credited need not agree.
fn explained(model: &ModelEffects) -> String {
    let by = match model.effects.order {
        Some(_) => "in proportion to the effects of the channels of each order",
        None => "by what each channel adds beside the others of the order",
    };
    match &model.blocked {
        Some(blocked) => {
            let names = blocked.channels.iter().map(|channel| &model.names[*channel as usize]);
            let names: Vec<String> = names.map(|name| printable(name)).collect();
            format!(
                "No split of the orders gives every channel what it is owed: {} {} owed {:.2} conversions, and touched only {}. What is credited adds up order by order, and so gives the rest to the channels that were there.",
                names.join(", "),
                if names.len() == 1 { "is" } else { "are" },
                blocked.owed,
                counted(blocked.orders, "order", "orders")
            )
        }
        None => format!(
            "What is credited adds up order by order, {by}; what is owed is a channel's part of all orders. Some split of the orders would give every channel what it is owed; dividing each in proportion is not it."
        ),
    }
}
