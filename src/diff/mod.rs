//! Why numbers changed between two kept runs: how much each [`Cause`] does to each channel, adding up to
//! the whole difference.
//!
//! [`compare`] reads two folders that `apportion run --keep` wrote. `reading.rs` takes out of them what
//! is compared, `account.rs` leads every order from the first run to the second in steps, and
//! `terminal.rs` is how it reads. Not for comparing two periods of one run: that is `--compare`.

mod account;
mod causes;
mod reading;
mod terminal;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringViewArray, UInt64Array};
use chrono::NaiveDate;
use serde_json::{Map, Value};

use account::{Pair, Parts, changed};
pub use account::{Part, Step};
pub use causes::Cause;
use reading::{Numbers, Side};
pub use terminal::render;

use crate::calendar::parse_day;
use crate::error::{Error, Result};
use crate::kept::{Kept, SHARE_WHOLE};
use crate::money::Currency;
use crate::report::{decimals, texts};
use crate::schema::Table;

/// Settings that say which files were read and when, and how a report looks: not what an order is given.
const NOT_OF_CREDIT: [&str; 8] =
    ["as_of", "by", "wide", "measures", "compare", "bootstrap", "seed", "level"];

/// What of two runs is compared.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The columns of credits that the difference is by; none are the totals.
    pub by: Vec<String>,
    /// The models; none are those that both runs have.
    pub models: Vec<String>,
    /// The first day of the orders, by the clock of each run.
    pub from: Option<NaiveDate>,
    /// The last day.
    pub to: Option<NaiveDate>,
}

impl Asked {
    /// What is asked for in words: by `channel` unless something else is named, or `none`.
    ///
    /// # Errors
    ///
    /// A day that is none.
    pub fn new(
        by: &[String],
        models: &[String],
        (from, to): (Option<&str>, Option<&str>),
    ) -> Result<Self> {
        let day = |flag: &str, text: Option<&str>| -> Result<Option<NaiveDate>> {
            let Some(text) = text else { return Ok(None) };
            let wrong = || Error::setting(flag, text, "write a day such as `2024-03-31`");
            parse_day(text).ok_or_else(wrong).map(Some)
        };
        let by = match by {
            [] => vec!["channel".to_owned()],
            [none] if none.trim() == "none" => Vec::new(),
            columns => columns.iter().map(|column| column.trim().to_owned()).collect(),
        };
        let models = models.iter().map(|model| model.trim().to_owned()).collect();
        Ok(Self { by, models, from: day("--from", from)?, to: day("--to", to)? })
    }

    /// Whether orders of a day are asked for; days are text that sorts as they do.
    fn holds(&self, day: &str) -> bool {
        self.from.is_none_or(|from| day >= from.to_string().as_str())
            && self.to.is_none_or(|to| day <= to.to_string().as_str())
    }

    /// An error for a period that ends before it begins.
    fn check(&self) -> Result<()> {
        match (self.from, self.to) {
            (Some(from), Some(to)) if to < from => {
                Err(Error::Contradiction(format!("`--to` {to} is before `--from` {from}")))
            }
            _ => Ok(()),
        }
    }
}

/// A setting that is another in the second run.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangedSetting {
    /// Its key in `apportion.toml`.
    pub key: String,
    /// Its value in the first run; none where it says nothing.
    pub before: Option<Value>,
    /// Its value in the second.
    pub after: Option<Value>,
}

/// One of the runs, in a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFacts {
    /// Its folder.
    pub folder: PathBuf,
    /// Its clock.
    pub as_of: String,
    /// Its orders that are compared.
    pub orders: u64,
}

/// What one step does to dimension values under a model, in a currency.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The model.
    pub model: String,
    /// The currency.
    pub currency: Currency,
    /// The dimension values; none for the sum over all of them.
    pub values: Option<Vec<String>>,
    /// The step.
    pub step: Step,
    /// How much.
    pub part: Part,
}

/// Why numbers changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Differences {
    /// What it is by.
    pub by: Vec<String>,
    /// The first run and the second.
    pub runs: [RunFacts; 2],
    /// The models that are compared, in the order of the first run.
    pub models: Vec<String>,
    /// Models that only one of the runs has.
    pub left_out: Vec<String>,
    /// Settings that the credit of orders can follow from, and are others.
    pub settings: Vec<ChangedSetting>,
    /// What each step does: by model, currency, dimension values and step, the sums first.
    pub lines: Vec<Line>,
}

/// Compares two kept runs.
///
/// The difference of every model, currency and combination of dimension values is divided among the
/// causes. It is worked out in whole units and checked: where the causes do not add up to it, or the
/// credits of a run not to its orders, the comparison fails.
///
/// # Errors
///
/// A folder that is no kept run; runs without a model in common; a dimension that credits do not have.
pub fn compare(before: &Path, after: &Path, asked: &Asked) -> Result<Differences> {
    compare_kept(&Kept::open(before)?, &Kept::open(after)?, asked)
}

/// Compares two kept runs that are open, as [`compare`] does.
///
/// # Errors
///
/// As of [`compare`].
pub fn compare_kept(before: &Kept, after: &Kept, asked: &Asked) -> Result<Differences> {
    asked.check()?;
    let kept = [before, after];
    let mut numbers = Numbers::default();
    let first = Side::read(kept[0], asked, &mut numbers)?;
    let of_first = numbers.models.len();
    let second = Side::read(kept[1], asked, &mut numbers)?;
    let has =
        |side: &Side, model: u32| side.credits.values().any(|credits| credits.contains_key(&model));
    // A run that has no order of the period has no model of its own either, and lacks none.
    let lacks = |side: &Side, model: u32| !side.credits.is_empty() && !has(side, model);
    let all = (0_u32..).take(numbers.models.len());
    let (models, left_out): (Vec<u32>, Vec<u32>) =
        all.partition(|model| !lacks(&first, *model) && !lacks(&second, *model));
    let name = |model: &u32| numbers.models.name(*model).to_owned();
    let unknown = |model: &&String| numbers.models.get(model).is_none();
    if let Some(model) = asked.models.iter().find(unknown) {
        return Err(Error::Contradiction(format!(
            "no run has the model `{model}` for an order that is compared"
        )));
    }
    if models.is_empty() && !left_out.is_empty() {
        let known = left_out.iter().filter(|model| (**model as usize) < of_first).map(name);
        let known: Vec<String> = known.collect();
        return Err(Error::Contradiction(format!(
            "the runs have no model in common: the first has {}",
            known.join(", ")
        )));
    }
    let settings = changed_settings(&kept[0].account().settings, &kept[1].account().settings);
    let wanted = changed(&first, &second);
    let touches = [
        reading::touches(kept[0], &wanted, &mut numbers)?,
        reading::touches(kept[1], &wanted, &mut numbers)?,
    ];
    let pair =
        Pair { before: &first, after: &second, touches, settings_differ: !settings.is_empty() };
    let parts = pair.account(&models);
    prove(&parts)?;
    for (side, step, folder) in
        [(&first, Step::Before, before.folder()), (&second, Step::After, after.folder())]
    {
        prove_owed(side, asked, &models, &parts, step, folder)?;
    }
    let name = |model: &u32| numbers.models.name(*model).to_owned();
    let facts = |at: usize, side: &Side| RunFacts {
        folder: kept[at].folder().to_path_buf(),
        as_of: kept[at].account().as_of.clone(),
        orders: side.credits.len() as u64,
    };
    Ok(Differences {
        by: asked.by.clone(),
        runs: [facts(0, &first), facts(1, &second)],
        models: models.iter().map(name).collect(),
        left_out: left_out.iter().map(name).collect(),
        settings,
        lines: lines(&parts, &numbers)?,
    })
}

/// The settings that credit can follow from and are others.
fn changed_settings(
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> Vec<ChangedSetting> {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let is_input = |key: &str| Table::ALL.iter().any(|table| table.name() == key) || key == "items";
    let differ = keys.into_iter().filter(|key| {
        before.get(*key) != after.get(*key)
            && !is_input(key)
            && !NOT_OF_CREDIT.contains(&key.as_str())
    });
    let changed = differ.map(|key| ChangedSetting {
        key: key.clone(),
        before: before.get(key).cloned(),
        after: after.get(key).cloned(),
    });
    changed.collect()
}

/// An error unless what the first run credits and all causes sum to what the second credits.
fn prove(parts: &Parts) -> Result<()> {
    let mut left: BTreeMap<(u32, &str, Option<u32>), (i128, i128)> = BTreeMap::new();
    for ((model, currency, label, step), part) in parts {
        let sign = if *step == Step::After { -1 } else { 1 };
        let cell = left.entry((*model, currency, *label)).or_default();
        *cell = (cell.0 + sign * part.conversions, cell.1 + sign * part.amount);
    }
    match left.values().find(|left| **left != (0, 0)) {
        None => Ok(()),
        Some((conversions, amount)) => Err(Error::Broken(format!(
            "the causes of a difference leave {conversions} billionths of a conversion and {amount} minor units"
        ))),
    }
}

/// An error unless the credits of a run sum to the orders that it reports.
fn prove_owed(
    side: &Side,
    asked: &Asked,
    models: &[u32],
    parts: &Parts,
    step: Step,
    folder: &Path,
) -> Result<()> {
    let mut owed: BTreeMap<&str, (i128, i128)> = BTreeMap::new();
    let reported = side.orders.values().filter(|order| order.not_counted.is_none());
    for order in reported.filter(|order| asked.holds(&order.day)) {
        let cell = owed.entry(order.currency.as_deref().unwrap_or_default()).or_default();
        *cell = (
            cell.0 + i128::from(SHARE_WHOLE),
            cell.1 + i128::from(order.amount.unwrap_or_default()),
        );
    }
    for model in models {
        for (currency, owed) in &owed {
            let key = (*model, (*currency).to_owned(), None, step);
            let part = parts.get(&key).copied().unwrap_or_default();
            if (part.conversions, part.amount) != *owed {
                return Err(Error::Broken(format!(
                    "the credits of `{}` do not sum to its orders in {currency}",
                    folder.display()
                )));
            }
        }
    }
    Ok(())
}

/// The parts by name: by model, currency, dimension values and step.
fn lines(parts: &Parts, numbers: &Numbers) -> Result<Vec<Line>> {
    let line =
        |((model, currency, label, step), part): (&(u32, String, Option<u32>, Step), &Part)| {
            Ok((
                *model,
                Line {
                    model: numbers.models.name(*model).to_owned(),
                    currency: currency.parse().map_err(Error::Contradiction)?,
                    values: label.map(|label| numbers.values(label)),
                    step: *step,
                    part: *part,
                },
            ))
        };
    let shown = parts
        .iter()
        .filter(|((.., step), part)| part.orders > 0 || matches!(step, Step::Before | Step::After));
    let mut lines: Vec<(u32, Line)> = shown.map(line).collect::<Result<_>>()?;
    lines.sort_by(|(left_model, left), (right_model, right)| {
        let key =
            |model: &u32, line: &Line| (*model, line.currency, line.values.clone(), line.step);
        key(left_model, left).cmp(&key(right_model, right))
    });
    Ok(lines.into_iter().map(|(_, line)| line).collect())
}

impl Differences {
    /// The difference as a table: one row a model, currency, combination of dimension values and step.
    ///
    /// `model`, `currency`, the dimensions, `cause` (`before`, the causes, `after`), `orders`,
    /// `conversions`, `amount`. Of each combination `before` and all causes sum to `after`.
    pub fn table(&self) -> Result<RecordBatch> {
        let lines: Vec<&Line> = self.lines.iter().filter(|line| line.values.is_some()).collect();
        let scale = lines.iter().map(|line| line.currency.exponent()).max().unwrap_or(2);
        let value = |line: &&Line, at: usize| {
            line.values.as_ref().and_then(|values| values.get(at).cloned())
        };
        let mut columns: Vec<(String, ArrayRef)> = vec![
            ("model".into(), texts(lines.iter().map(|line| line.model.as_str()))),
            ("currency".into(), texts(lines.iter().map(|line| line.currency.code()))),
        ];
        for (at, name) in self.by.iter().enumerate() {
            let values: StringViewArray = lines.iter().map(|line| value(line, at)).collect();
            columns.push((name.clone(), Arc::new(values)));
        }
        let conversions =
            lines.iter().map(|line| line.part.conversions as f64 / SHARE_WHOLE as f64);
        let amounts = lines.iter().map(|line| Some((line.part.amount, line.currency)));
        let orders = lines.iter().map(|line| line.part.orders);
        columns.extend([
            ("cause".to_owned(), texts(lines.iter().map(|line| line.step.name()))),
            ("orders".to_owned(), Arc::new(UInt64Array::from_iter_values(orders)) as ArrayRef),
            ("conversions".to_owned(), Arc::new(Float64Array::from_iter_values(conversions))),
            ("amount".to_owned(), decimals(amounts, scale)?),
        ]);
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
    }
}

impl Step {
    /// The step's name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Cause(cause) => cause.name(),
            Self::After => "after",
        }
    }
}
