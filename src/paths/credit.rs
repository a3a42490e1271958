//! Runs models on paths: what each channel is credited, and what models that learn say of it.
//!
//! A path is a journey as often as its totals say. Its orders are all divided alike, and what they
//! are worth is divided once. Not for how a model weighs.

use std::cmp::Reverse;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch};

use super::Paths;
use crate::bootstrap::Level;
use crate::credits::{Divider, WHOLE, share};
use crate::engine::{ByChannel, Learnt, Observed, Part, PathTotals, TouchChannels, weigh};
use crate::error::{Error, Result};
use crate::models::{Asked, BY, Journey, Model, Outcome};
use crate::money::Currency;
use crate::output::table::{aligned, printable};
use crate::output::{Align, cell_text, thousands};
use crate::report::{EffectsReport, decimals, texts};

/// What models credit to the channels of paths.
pub struct PathReport {
    /// What models that learn say of channels.
    pub effects: EffectsReport,
    /// Distinct paths.
    pub paths: u64,
    /// Journeys that ended in an order.
    pub converted: u64,
    /// Journeys that ended in none.
    pub lost: u64,
    /// How likely each channel ranks above each other one, where that was resampled and asked for.
    pub ranks: Option<RecordBatch>,
    pub(super) models: Vec<String>,
    /// The channels' names, by number.
    pub(super) channels: Vec<String>,
    pub(super) lines: Vec<Line>,
    pub(super) intervals: Option<PathIntervals>,
}

/// The bounds of what is credited, from resamples.
pub(super) struct PathIntervals {
    pub(super) resamples: usize,
    pub(super) level: Level,
    /// The table with the bounds of each figure after it.
    pub(super) table: RecordBatch,
}

/// What one model credits to one channel in one currency.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub(super) model: usize,
    /// The channel, by number.
    pub(super) channel: usize,
    /// The currency, by its place among those of the paths.
    pub(super) place: usize,
    pub(super) currency: Currency,
    pub(super) part: Part,
    /// The conversions of all channels in the currency, in units of [`WHOLE`].
    pub(super) conversions: i128,
}

impl Line {
    /// Its part of all conversions; none where there are none.
    fn share(&self) -> Option<f64> {
        let all = share(self.conversions);
        (self.conversions > 0).then(|| share(self.part.conversions) / all)
    }
}

/// Paths, each with what came of its journeys.
pub(super) type Rows<'a> = [(&'a [u32], &'a PathTotals)];

/// Divides the orders of every path among its channels, under every model.
///
/// # Errors
///
/// A model that looks at times or at another column of touches than the channel, which paths do not
/// have; one that cannot be worked out from these paths; an amount that leaves 64 bits.
pub fn credit(paths: &Paths, models: &[Asked]) -> Result<PathReport> {
    models.iter().try_for_each(check)?;
    let channels = TouchChannels::of_names(models, paths.channels.clone());
    let learnt = Learnt::new(models, observed(paths, models, &channels)?)?;
    let rows: Vec<_> = paths.sums.iter().collect();
    let names: Vec<String> = models.iter().map(|asked| asked.name.clone()).collect();
    let (credited, totals) = credited(paths, &rows, models, &learnt)?;
    let effects = EffectsReport::new(&names, &learnt, &channels, &credited, &paths.currencies)?;
    let sum = |count: &dyn Fn(&PathTotals) -> u64| rows.iter().map(|(_, of)| count(of)).sum();
    Ok(PathReport {
        effects,
        paths: rows.len() as u64,
        converted: sum(&|totals| totals.converted()),
        lost: sum(&|totals| totals.lost),
        ranks: None,
        lines: lines(paths, names.len(), &credited, &totals),
        models: names,
        channels: paths.channels.clone(),
        intervals: None,
    })
}

/// What every model credits to each channel of some paths, by what it learnt; and what these paths
/// are worth in each currency, which is as much.
pub(super) fn credited(
    paths: &Paths,
    rows: &Rows<'_>,
    models: &[Asked],
    learnt: &Learnt,
) -> Result<(ByChannel, Vec<Part>)> {
    let currencies = paths.currencies.len();
    let mut credited = ByChannel::of_channels(models.len(), paths.channels.len(), currencies);
    let mut space = Space::default();
    let (mut weights, mut divider) = (Vec::new(), Divider::default());
    let (mut shares, mut amounts) = (Vec::new(), Vec::new());
    for (path, totals) in rows.iter().filter(|(_, totals)| totals.converted() > 0) {
        for (number, asked) in models.iter().enumerate() {
            let fitted = learnt.fitted[number].as_ref();
            let rule = fitted.map_or(&*asked.model, |fitted| fitted.rule.model());
            weigh(&asked.name, rule, space.journey(paths, path, rule), &mut weights)?;
            divider.weigh(&weights);
            shares.resize(path.len(), 0);
            divider.divide(WHOLE, &mut shares);
            for (currency, orders) in totals.conversions.iter().enumerate() {
                if *orders == 0 {
                    continue;
                }
                amounts.resize(path.len(), 0);
                divider.divide(minor(totals.amounts[currency])?, &mut amounts);
                for ((channel, share), amount) in path.iter().zip(&shares).zip(&amounts) {
                    let part = Part {
                        conversions: i128::from(*share) * i128::from(*orders),
                        amount: i128::from(*amount),
                    };
                    credited.credit(number, *channel as usize * currencies + currency, part);
                }
            }
        }
    }
    let totals = prove(paths, rows, models, &credited)?;
    Ok((credited, totals))
}

/// An error if a model asks for what paths do not have.
fn check(asked: &Asked) -> Result<()> {
    if asked.model.needs_times() {
        let why =
            "it looks at when touches were, which a path does not say; `apportion run` runs it";
        return Err(Error::setting("--model", &asked.name, why));
    }
    match asked.model.channels() {
        Some(column) if column != BY.default => {
            let why = format!("a path has channels alone, and no column `{column}`");
            Err(Error::setting("--model", &asked.name, why))
        }
        _ => Ok(()),
    }
}

/// Counts every path as often as it was there, for the models that learn.
fn observed(paths: &Paths, models: &[Asked], channels: &TouchChannels) -> Result<Observed> {
    let mut observed = Observed::new(models, channels);
    let (mut space, mut sorted) = (Space::default(), Vec::new());
    let mut touches: u64 = 0;
    for (path, totals) in paths.sums.iter() {
        let outcomes = [(Outcome::Converted, totals.converted()), (Outcome::Lost, totals.lost)];
        for (outcome, times) in outcomes.into_iter().filter(|(_, times)| *times > 0) {
            // Touches are counted in 64 bits, and a journey has several.
            let more = times.checked_mul(path.len() as u64);
            let all = more.and_then(|more| touches.checked_add(more));
            touches = all.ok_or_else(|| {
                Error::Contradiction(
                    "the touches of all paths together do not fit 64 bits".to_owned(),
                )
            })?;
            observed.back(0, path, (outcome, times), &mut sorted);
            for (asked, counts) in models.iter().zip(&mut observed.counts) {
                if asked.model.learns() {
                    let journey = space.journey(paths, path, &*asked.model);
                    asked.model.observe(journey, outcome, times, counts);
                }
            }
        }
    }
    Ok(observed)
}

/// Space for what a journey is made of beside its channels.
#[derive(Default)]
pub(super) struct Space {
    /// All at one time: no model that is asked looks at it.
    touched_at: Vec<i64>,
    direct: Vec<bool>,
}

impl Space {
    /// A path as a model sees it.
    pub(super) fn journey<'j>(
        &'j mut self,
        paths: &Paths,
        path: &'j [u32],
        model: &dyn Model,
    ) -> Journey<'j> {
        self.touched_at.resize(path.len(), 0);
        self.direct.clear();
        self.direct.extend(path.iter().map(|channel| paths.direct[*channel as usize]));
        let channels = if model.channels().is_some() { path } else { &[] };
        Journey {
            order_at: 0,
            touched_at: &self.touched_at,
            direct: &self.direct,
            channels,
            watched_until: &[],
        }
    }
}

fn minor(amount: i128) -> Result<i64> {
    i64::try_from(amount).map_err(|_| Error::Overflow { what: "the value of a path".to_owned() })
}

/// What all paths are worth in each currency, after every model credits exactly that.
fn prove(
    paths: &Paths,
    rows: &Rows<'_>,
    models: &[Asked],
    credited: &ByChannel,
) -> Result<Vec<Part>> {
    let currencies = paths.currencies.len();
    let mut totals = vec![Part::default(); currencies];
    for (_, of_path) in rows {
        for (at, total) in totals.iter_mut().enumerate() {
            let conversions = i128::from(of_path.conversions[at]) * i128::from(WHOLE);
            total.add(Part { conversions, amount: of_path.amounts[at] });
        }
    }
    for (number, asked) in models.iter().enumerate() {
        for (at, total) in totals.iter().enumerate() {
            let mut sum = Part::default();
            credited.of(number).iter().skip(at).step_by(currencies).for_each(|part| sum.add(*part));
            if sum != *total {
                let (model, currency) = (&asked.name, paths.currencies[at]);
                return Err(Error::Broken(format!(
                    "`{model}` does not credit exactly what the paths are worth in {currency}"
                )));
            }
        }
    }
    Ok(totals)
}

/// Every model, currency and channel: the greatest first.
fn lines(paths: &Paths, models: usize, credited: &ByChannel, totals: &[Part]) -> Vec<Line> {
    let currencies = paths.currencies.len();
    let mut lines = Vec::new();
    for model in 0..models {
        for (place, currency) in paths.currencies.iter().enumerate() {
            let parts = credited.of(model).iter().skip(place).step_by(currencies);
            let mut of_currency: Vec<(usize, Part)> = parts.copied().enumerate().collect();
            // Channels are in the order of their names, and sorting leaves equal ones where they are.
            of_currency.sort_by_key(|(_, part)| Reverse((part.conversions, part.amount)));
            lines.extend(of_currency.into_iter().map(|(channel, part)| Line {
                model,
                channel,
                place,
                currency: *currency,
                part,
                conversions: totals[place].conversions,
            }));
        }
    }
    lines
}

impl PathReport {
    /// One row a model, currency and channel: `model`, `channel`, `currency`, `conversions`,
    /// `amount`, `share`; where it was resampled, each figure `NAME` is followed by `NAME_low` and
    /// `NAME_high`.
    pub fn table(&self) -> Result<RecordBatch> {
        match &self.intervals {
            Some(intervals) => Ok(intervals.table.clone()),
            None => self.table_of(&self.lines),
        }
    }

    /// The table of lines of the same models and channels, without intervals.
    pub(super) fn table_of(&self, lines: &[Line]) -> Result<RecordBatch> {
        let scale = lines.iter().map(|line| line.currency.exponent()).max().unwrap_or(2);
        let lines = || lines.iter();
        let conversions = lines().map(|line| Some(share(line.part.conversions)));
        let amounts = lines().map(|line| Some((line.part.amount, line.currency)));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("model", texts(lines().map(|line| self.models[line.model].as_str()))),
            ("channel", texts(lines().map(|line| self.channel(line)))),
            ("currency", texts(lines().map(|line| line.currency.code()))),
            ("conversions", Arc::new(conversions.collect::<Float64Array>())),
            ("amount", decimals(amounts, scale)?),
            ("share", Arc::new(lines().map(Line::share).collect::<Float64Array>())),
        ];
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
    }

    /// The name of a line's model.
    pub(super) fn model(&self, line: &Line) -> &str {
        &self.models[line.model]
    }

    /// The name of a line's channel.
    pub(super) fn channel(&self, line: &Line) -> &str {
        &self.channels[line.channel]
    }

    /// The same for reading: a table a model and currency.
    pub fn text(&self) -> String {
        let same = |left: &Line, right: &Line| {
            (left.model, left.currency) == (right.model, right.currency)
        };
        let mut row = 0;
        let blocks = self.lines.chunk_by(same).map(|lines| {
            let first = row;
            row += lines.len();
            match &self.intervals {
                Some(intervals) => self.block_with_bounds(lines, first, intervals),
                None => self.block(lines),
            }
        });
        let blocks = blocks.collect::<Vec<_>>().join("\n");
        let Some(PathIntervals { resamples, level, .. }) = &self.intervals else { return blocks };
        let resamples = thousands(&resamples.to_string());
        format!("low to high: {level} of {resamples} resamples\n\n{blocks}")
    }

    fn block(&self, lines: &[Line]) -> String {
        let header = [
            (self.model(&lines[0]), Align::Left),
            ("conversions", Align::Right),
            (lines[0].currency.code(), Align::Right),
            ("share", Align::Right),
        ];
        let row = |line: &Line| {
            vec![
                printable(self.channel(line)),
                conversions(line.part),
                thousands(&line.currency.format(line.part.amount)),
                line.share()
                    .map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", 100.0 * share)),
            ]
        };
        aligned(&header, lines.iter().map(row).collect())
    }

    /// The same with bounds, of the amount where there is any; `first` is the first row of the lines.
    fn block_with_bounds(&self, lines: &[Line], first: usize, intervals: &PathIntervals) -> String {
        let worth = lines.iter().any(|line| line.part.amount != 0);
        let mut header = vec![(self.model(&lines[0]), Align::Left), ("conversions", Align::Right)];
        if worth {
            header.push((lines[0].currency.code(), Align::Right));
        }
        header.extend([("low", Align::Right), ("high", Align::Right)]);
        let bound = |row: usize, end: &str| {
            let figure = if worth { "amount" } else { "conversions" };
            let place = intervals.table.schema().index_of(&format!("{figure}_{end}")).ok();
            let text = place.and_then(|place| cell_text(&intervals.table, place, row));
            match text.as_deref().map(str::parse::<f64>) {
                Some(Ok(number)) if !worth => thousands(&format!("{number:.2}")),
                Some(Ok(_)) => thousands(&text.unwrap_or_default()),
                _ => "-".to_owned(),
            }
        };
        let row = |(at, line): (usize, &Line)| {
            let mut cells = vec![printable(self.channel(line)), conversions(line.part)];
            if worth {
                cells.push(thousands(&line.currency.format(line.part.amount)));
            }
            cells.extend(["low", "high"].map(|end| bound(first + at, end)));
            cells
        };
        aligned(&header, lines.iter().enumerate().map(row).collect())
    }
}

/// Conversions as text.
fn conversions(part: Part) -> String {
    thousands(&format!("{:.2}", share(part.conversions)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::engine::PathSums;
    use crate::models::{MODELS, ask, ask_all};

    fn paths(rows: &[(&[u32], u64, i128, u64)]) -> Paths {
        let mut sums = PathSums::new(1);
        for (path, orders, amount, lost) in rows {
            sums.convert(path, 0, (*orders, *amount));
            sums.lose(path, *lost);
        }
        let channels: Vec<String> = (0..5).map(|channel| format!("C{channel}")).collect();
        Paths { direct: vec![false; 5], currencies: vec![Currency::NONE], channels, sums }
    }

    fn without_times() -> Vec<Asked> {
        let names: Vec<&str> = MODELS.iter().map(|entry| entry.name).collect();
        let mut models = ask_all(&names, &BTreeMap::new()).unwrap();
        models.retain(|asked| !asked.model.needs_times());
        models
    }

    #[test]
    fn three_paths_worked_by_hand() {
        let paths = paths(&[(&[1, 2, 3], 1, 10_000, 0), (&[1], 0, 0, 1), (&[2, 3], 0, 0, 1)]);
        let report = credit(&paths, &[ask("markov", &BTreeMap::new()).unwrap()]).unwrap();
        let effects = &report.effects.models[0].effects;
        assert!((effects.probability - 1.0 / 3.0).abs() < 1e-15);
        let removal: Vec<f64> = effects.channels.iter().filter_map(|one| one.removal).collect();
        for (found, worked) in removal.iter().zip([0.5, 1.0, 1.0]) {
            assert!((found - worked).abs() < 1e-12, "{removal:?}");
        }
        // One order of 100.00 in the proportion 1 : 2 : 2.
        let amounts: Vec<(&str, i128)> =
            report.lines.iter().map(|line| (report.channel(line), line.part.amount)).collect();
        assert_eq!(amounts[..3], [("C2", 4000), ("C3", 4000), ("C1", 2000)]);
    }

    #[test]
    fn what_a_path_does_not_say_is_refused() {
        for (model, why) in [
            ("time_decay", "it looks at when touches were"),
            ("markov:by=utm_source", "no column `utm_source`"),
        ] {
            let error = credit(&paths(&[]), &[ask(model, &BTreeMap::new()).unwrap()]);
            let error = error.err().unwrap().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_paths_are_worth_is_credited_exactly_under_every_model(
            rows in prop::collection::vec(
                (prop::collection::vec(0_u32..5, 1..7), 0_u64..4, -5_000_i128..50_000, 0_u64..4),
                0..12,
            ),
        ) {
            let worth = |orders: u64, amount: i128| if orders > 0 { amount } else { 0 };
            let rows: Vec<_> = rows
                .iter()
                .map(|(path, orders, amount, lost)| (&path[..], *orders, worth(*orders, *amount), *lost))
                .collect();
            let models = without_times();
            let report = credit(&paths(&rows), &models).unwrap();
            let owed: i128 = rows.iter().map(|(_, _, amount, _)| amount).sum();
            let orders: u64 = rows.iter().map(|(_, orders, _, _)| orders).sum();
            for number in 0..models.len() {
                let of_model = || report.lines.iter().filter(|line| line.model == number);
                prop_assert_eq!(of_model().map(|line| line.part.amount).sum::<i128>(), owed);
                let credited: i128 = of_model().map(|line| line.part.conversions).sum();
                prop_assert_eq!(credited, i128::from(orders) * i128::from(WHOLE));
            }
        }
    }
}
