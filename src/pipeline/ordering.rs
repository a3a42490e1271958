//! Touches and orders in their order, and which of them are asked for.
//!
//! Not for how rows are put in order; that is `journeys`.

use arrow::array::RecordBatch;

use super::inputs::Inputs;
use super::lean::{Gathered, Ordering, Waiting};
use super::{DEFAULT_AMOUNT, MergedTables, People, Tables, memory, wants_channels};
use crate::config::{Cancelled, Config};
use crate::error::Result;
use crate::identity::persons_table;
use crate::journeys::{Amounts, Labels, OrderSettings, Orders, Rates, TouchNames, Touches, Window};
use crate::merge::external_ids;
use crate::schema::Table;
use crate::summary::Summary;
use crate::validate::{Reject, Rule, count_by_rule};
use crate::vouchers::Replacement;
use crate::{channels, journeys, report, vouchers};

/// Touches and orders in their order, person by person.
pub(super) struct Ordered {
    /// The touches, unless they wait.
    pub(super) touches: Touches,
    pub(super) waiting: Option<Waiting>,
    /// What touches are called, where their rows do not say so.
    pub(super) names: Option<TouchNames>,
    pub(super) orders: Orders,
    pub(super) amounts: Amounts,
    pub(super) rates: Option<Rates>,
    pub(super) rejects: Vec<Reject>,
    pub(super) replacements: Vec<Replacement>,
    /// Which persons are asked for, by their number, where not all are.
    pub(super) wanted_persons: Option<Vec<bool>>,
    /// The instants that are reported: from the first, before the second.
    pub(super) period: (i64, i64),
    /// The latest instant of any touch that is looked at, or order.
    pub(super) end: i64,
    /// The rules of a journey's window.
    pub(super) window: Window,
}

impl Ordered {
    /// Reports another period.
    pub(super) fn report(&mut self, period: (i64, i64)) {
        let reported = self.orders.at.iter().map(|at| (period.0..period.1).contains(at));
        self.orders.reported = reported.collect();
        self.period = period;
    }
}

/// Touches in their order, or waiting in their parts where each can be put in order by itself.
#[derive(Default)]
pub(super) struct OrderedTouches {
    /// The touches, unless they wait.
    pub(super) touches: Touches,
    pub(super) waiting: Option<Waiting>,
    /// What touches are called, where their rows do not say so.
    pub(super) names: Option<TouchNames>,
}

impl From<Touches> for OrderedTouches {
    /// Touches whose rows are their own.
    fn from(touches: Touches) -> Self {
        Self { touches, ..Self::default() }
    }
}

/// Puts touches in their order, or lets them wait.
pub(super) fn order_touches(
    config: &Config,
    inputs: &Inputs,
    tables: &Tables,
    people: &People,
    merged: &MergedTables,
    gathered: Option<Gathered>,
) -> Result<OrderedTouches> {
    let ordering = Ordering { config, inputs, tables };
    match gathered {
        Some(gathered) if memory::can_wait(config) => {
            let waiting = Some(ordering.later(gathered, &merged.touches)?);
            Ok(OrderedTouches { waiting, ..OrderedTouches::default() })
        }
        Some(gathered) => {
            let (touches, names) = ordering.all(gathered, &merged.touches)?;
            Ok(OrderedTouches { names, ..touches.into() })
        }
        None => {
            let (rows, person) = (&merged.touches, &merged.touch_persons);
            let persons = people.identity.person.len();
            Ok(journeys::touches(rows, person, persons, merged.sessions).into())
        }
    }
}

pub(super) fn order(
    config: &Config,
    inputs: &Inputs,
    tables: &Tables,
    merged: &MergedTables,
    people: &People,
    OrderedTouches { touches, waiting, names }: OrderedTouches,
    summary: &mut Summary,
) -> Result<Ordered> {
    let persons = people.identity.person.len();
    let rates = tables.get(&Table::ExchangeRates).map(|loaded| Rates::new(&loaded.rows));
    let settings = order_settings(config, rates.as_ref());
    if merged.orders.rows.column_by_name(settings.amount).is_none() {
        summary.warnings.push(format!(
            "orders have no column `{}`: every amount is zero (`--amount COLUMN` names another)",
            settings.amount
        ));
    }
    let (orders, amounts) =
        journeys::orders(&merged.orders.rows, &merged.orders.person, persons, &settings)?;
    let rejects =
        Table::ALL.iter().filter_map(|table| tables.get(table)).flat_map(|loaded| &loaded.rejects);
    let mut rejects: Vec<Reject> = inputs.rejects().iter().chain(rejects).cloned().collect();
    rejects.extend(without_rate(merged, &amounts));
    let last = match &waiting {
        Some(waiting) => waiting.last,
        None => touches.at.iter().copied().max(),
    };
    let end = last.max(orders.at.iter().copied().max()).unwrap_or(i64::MIN);
    Ok(Ordered {
        touches,
        waiting,
        names,
        orders,
        amounts,
        rates,
        rejects,
        replacements: Vec::new(),
        wanted_persons: None,
        period: config.period,
        end,
        window: config.window,
    })
}

/// How orders are counted.
pub(super) fn order_settings<'a>(
    config: &'a Config,
    rates: Option<&'a Rates>,
) -> OrderSettings<'a> {
    OrderSettings {
        amount: config.amount.as_deref().unwrap_or(DEFAULT_AMOUNT),
        currency: config.currency,
        rates,
        missing_rate: config.missing_rate,
        zone: config.zone,
        count_cancelled: config.cancelled == Cancelled::Include,
        period: config.period,
        compared: config.compare.map(|comparison| comparison.period()),
    }
}

/// Applies the filters of orders and persons: which orders are asked for.
pub(super) fn want(
    config: &Config,
    tables: &Tables,
    people: &People,
    merged: &MergedTables,
    ordered: &mut Ordered,
) -> Result<()> {
    if let Some(filter) = &config.where_orders {
        let holds = filter.holds(&merged.orders.rows, Some(config.currency))?;
        let of_row = |row: &u32| holds[*row as usize];
        ordered.orders.wanted = ordered.orders.row.iter().map(of_row).collect();
    }
    let Some(filter) = &config.where_persons else { return Ok(()) };
    let persons = all_persons(tables, people, ordered)?;
    // The values of persons are decimals in major units; their whole numbers count something.
    let holds = filter.holds(&persons, None)?;
    let mut wanted = vec![false; people.identity.person.len()];
    let names = Labels::texts(&persons, "person");
    for (name, holds) in names.iter().zip(holds) {
        if let Some(person) = name.and_then(|name| people.identity.users.get(name)) {
            wanted[person as usize] = holds;
        }
    }
    for (order, row) in ordered.orders.row.iter().enumerate() {
        ordered.orders.wanted[order] &= wanted[merged.orders.person[*row as usize] as usize];
    }
    ordered.wanted_persons = Some(wanted);
    Ok(())
}

/// The persons table: who each is, and what it ordered.
pub(super) fn all_persons(
    tables: &Tables,
    people: &People,
    ordered: &Ordered,
) -> Result<RecordBatch> {
    let profiles = tables
        .get(&Table::Users)
        .map(|loaded| (&loaded.rows, people.users[&Table::Users].as_slice()));
    let persons = persons_table(&people.identity, profiles)?;
    let currencies = &ordered.amounts.currencies;
    report::with_orders(&persons, &people.identity, &ordered.orders, currencies)
}

/// Lets discount codes say where their orders came from, then finds the channels.
pub(super) fn reattribute(
    config: &Config,
    merged: &mut MergedTables,
    ordered: &mut Ordered,
) -> Result<()> {
    ordered.replacements = vouchers::reattribute(
        &config.vouchers,
        &ordered.window,
        &mut ordered.touches,
        &mut merged.touches,
        &ordered.orders,
        &merged.orders.rows,
    )?;
    if let Some(names) = &mut ordered.names {
        let replaced = ordered.replacements.iter();
        names.stand_in(replaced.map(|replacement| (replacement.to, replacement.from)));
    }
    // After codes have said what they know, because channels follow from it.
    if wants_channels(config) {
        merged.touches = channels::with_channels(&merged.touches, &config.channels)?;
    }
    Ok(())
}

/// Orders that are rejected for want of a rate. They were merged from rows of any file, so that
/// they have an id, and no file or row.
pub(super) fn without_rate(merged: &MergedTables, amounts: &Amounts) -> Vec<Reject> {
    let ids = external_ids(&merged.orders.rows);
    let reject = |(row, message): &(u32, String)| Reject {
        table: Table::Orders,
        place: None,
        external_id: Some(ids.value(*row as usize).to_owned()),
        rule: Rule::MissingRate,
        message: message.clone(),
    };
    let mut rejects: Vec<Reject> = amounts.without_rate.iter().map(reject).collect();
    // Rows have no order of their own.
    rejects.sort_by(|left, right| left.external_id.cmp(&right.external_id));
    rejects
}

pub(super) fn check_rejects(
    config: &Config,
    inputs: &Inputs,
    tables: &Tables,
    rejects: &[Reject],
    summary: &mut Summary,
) -> Result<()> {
    let counts = count_by_rule(rejects);
    summary.reject(&counts);
    let read = tables.values().map(|loaded| loaded.read).sum();
    config.max_rejects.check(inputs.rows_read(read), &counts)
}
