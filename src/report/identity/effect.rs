//! What identity did to credit: every line of the report as it is and without identity.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};

use crate::engine::{Changes, Credited};
use crate::error::Result;
use crate::journeys::Dimension;
use crate::money::Currency;
use crate::report::{Line, Total};

/// One combination of dimension values in one currency, under both answers to whose touches are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectLine {
    /// The currency.
    pub currency: Currency,
    /// The value of each dimension.
    pub values: Vec<String>,
    /// Whether it is of orders that had no touch.
    pub unattributed: bool,
    /// What each model credits.
    pub with: Vec<Credited>,
    /// What each model credits where every user id is its own person.
    pub without: Vec<Credited>,
}

/// What an [`Effect`] is made of.
pub struct EffectSums<'a> {
    /// What the report is by.
    pub by: Vec<Dimension>,
    /// The models' names.
    pub models: Vec<String>,
    /// The currencies of the orders.
    pub currencies: &'a [Currency],
    /// The report's lines.
    pub with: Vec<Line>,
    /// Its lines where every user id is its own person.
    pub without: Vec<Line>,
    /// Which journeys changed.
    pub changes: Changes,
    /// Whether credit outside the period is left out, so that the two need not add up to the same.
    pub dated_by_touch: bool,
}

/// What identity did to credit and journeys.
pub struct Effect {
    /// What it is by.
    pub by: Vec<Dimension>,
    /// The models' names, in the order asked for.
    pub models: Vec<String>,
    /// The currencies of the orders, sorted.
    pub currencies: Vec<Currency>,
    /// Every combination that either side credits.
    pub lines: Vec<EffectLine>,
    /// Which journeys changed, by the position of their currency.
    pub changes: Changes,
    /// Whether credit outside the period is left out.
    pub dated_by_touch: bool,
}

impl Effect {
    /// Joins the lines of both sides.
    pub fn new(sums: EffectSums<'_>) -> Self {
        let EffectSums { by, models, currencies, with, without, changes, dated_by_touch } = sums;
        let mut lines: BTreeMap<(Currency, Vec<String>, bool), EffectLine> = BTreeMap::new();
        let none = || vec![Credited::default(); models.len()];
        for (of_with, some) in [(true, with), (false, without)] {
            for line in some {
                let Line { currency, values, unattributed, credited, .. } = line;
                let both =
                    lines.entry((currency, values.clone(), unattributed)).or_insert_with(|| {
                        EffectLine { currency, values, unattributed, with: none(), without: none() }
                    });
                *(if of_with { &mut both.with } else { &mut both.without }) = credited;
            }
        }
        let (lines, currencies) = (lines.into_values().collect(), currencies.to_vec());
        Self { by, models, currencies, lines, changes, dated_by_touch }
    }

    /// What each model credits in all, by model and currency, on one side.
    pub fn totals(&self, side: impl Fn(&EffectLine) -> &Vec<Credited>) -> Vec<Total> {
        let models = 0..self.models.len();
        let of = |model: usize, currency: Currency| {
            let lines = self.lines.iter().filter(move |line| line.currency == currency);
            let mut total = Total { model, currency, conversions: 0, amount: 0 };
            for credited in lines.map(|line| side(line)[model]) {
                total.conversions += credited.conversions;
                total.amount += credited.amount;
            }
            total
        };
        models
            .flat_map(|model| self.currencies.iter().map(move |currency| (model, *currency)))
            .map(|(model, currency)| of(model, currency))
            .collect()
    }

    /// The lines of a currency, those that a model's amount changed most on come first; then those
    /// whose conversions did, then by their values.
    pub fn ordered(&self, model: usize, currency: Currency) -> Vec<&EffectLine> {
        let mut lines: Vec<&EffectLine> =
            self.lines.iter().filter(|line| line.currency == currency).collect();
        let amount = |line: &EffectLine| {
            (line.with[model].amount - line.without[model].amount).unsigned_abs()
        };
        let conversions = |line: &EffectLine| {
            (line.with[model].conversions - line.without[model].conversions).unsigned_abs()
        };
        // Sorting is stable, and lines are in the order of their values.
        lines.sort_by_key(|line| (Reverse(amount(line)), Reverse(conversions(line))));
        lines
    }
}

/// Orders whose journey changed: one row an order, in the order of the persons.
///
/// `order_external_id`, `person`, `user_external_id`, `order_at`, `amount`, `currency`,
/// `touches_without`, `touches`, `path_without`, `path`; `journeys` and `without` are the same
/// orders' rows of the journeys table on either side.
pub fn changed_journeys(journeys: &RecordBatch, without: &RecordBatch) -> Result<RecordBatch> {
    let of = |rows: &RecordBatch, name: &str| -> Result<ArrayRef> {
        Ok(Arc::clone(rows.column(rows.schema().index_of(name)?)))
    };
    let mut columns: Vec<(&str, ArrayRef)> = Vec::new();
    for name in
        ["order_external_id", "person", "user_external_id", "order_at", "amount", "currency"]
    {
        columns.push((name, of(journeys, name)?));
    }
    columns.push(("touches_without", of(without, "touches")?));
    columns.push(("touches", of(journeys, "touches")?));
    columns.push(("path_without", of(without, "path")?));
    columns.push(("path", of(journeys, "path")?));
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}
