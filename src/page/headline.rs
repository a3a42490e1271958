//! The first section: what everybody asks for, and how it changed.

use std::cmp::Ordering;

use chrono::{Datelike, Months, NaiveDate};

use super::{Change, Figure, Part, Section, major, percent};
use crate::config::Config;
use crate::credits::share;
use crate::engine::Credited;
use crate::money::Currency;
use crate::output::{counted, thousands};
use crate::report::{Journeys, Overview, Report};
use crate::summary::Summary;

/// What the figures of the page are of.
pub(super) fn facts(
    report: &Report,
    overview: &Overview,
    config: &Config,
) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let days = &overview.journeys.days;
    let period = match (&config.compare, days.keys().next(), days.keys().next_back()) {
        (Some(comparison), ..) => format!(
            "{} to {}, compared with {} to {}",
            comparison.now.0, comparison.now.1, comparison.then.0, comparison.then.1
        ),
        (None, Some(first), Some(last)) => format!("orders from {first} to {last}"),
        _ => "no orders".to_owned(),
    };
    facts.push(("Period".to_owned(), format!("{period} ({})", config.zone)));
    facts.push(("Models".to_owned(), report.models.join(", ")));
    let by: Vec<String> = report.by.iter().map(ToString::to_string).collect();
    facts.push(("By".to_owned(), if by.is_empty() { "none".to_owned() } else { by.join(", ") }));
    facts
}

pub(super) fn section(report: &Report, overview: &Overview, summary: &Summary) -> Section {
    let mut parts = Vec::new();
    let mut currencies: Vec<Currency> = report.totals.iter().map(|total| total.currency).collect();
    currencies.sort_unstable();
    currencies.dedup();
    for currency in &currencies {
        if currencies.len() > 1 {
            parts.push(Part::Heading(currency.to_string()));
        }
        parts.push(Part::Figures(figures(report, &overview.journeys, summary, *currency)));
    }
    let lead = match &summary.compared {
        Some(compared) => format!(
            "{} to {}, and the change since {} to {}.",
            compared.from, compared.to, compared.from_then, compared.to_then
        ),
        None => match full_months(&overview.journeys) {
            Some((before, latest)) => {
                parts.push(Part::Heading(format!("{latest}, the latest full month, against {before}")));
                let currencies = overview.journeys.currencies.iter().enumerate();
                let months = currencies
                    .flat_map(|(at, currency)| of_month(&overview.journeys, at, *currency, &before, &latest));
                parts.push(Part::Figures(months.collect()));
                "All orders of the report. No period is compared with another (`--from`, `--to` and `--compare` do that); below are the last two full months of these orders.".to_owned()
            }
            None => "All orders of the report. No period is compared with another, and the orders are not of two full months: `--from`, `--to` and `--compare` say which days to compare.".to_owned(),
        },
    };
    Section { id: "headline", title: "At a glance", lead, parts }
}

/// How much more or less a figure is than it was.
fn changed(now: f64, then: f64, was: &str) -> Option<Change> {
    if !now.is_finite() || !then.is_finite() {
        return None;
    }
    let relative = (now - then) / then.abs();
    let text = if relative.is_finite() {
        format!("{}{:.1}\u{a0}% (was {was})", if now > then { "+" } else { "" }, relative * 100.0)
    } else if now.total_cmp(&then).is_eq() {
        return None;
    } else {
        format!("was {was}")
    };
    Some(Change { text, direction: now.partial_cmp(&then).unwrap_or(Ordering::Equal) })
}

/// The sums of a report in a currency, by its first model: all models have the same.
#[derive(Debug, Clone, Copy)]
struct Whole {
    currency: Currency,
    all: Credited,
    without: Credited,
    sessions: u64,
    cost: Option<i64>,
}

impl Whole {
    fn new(report: &Report, currency: Currency) -> Self {
        let (all, without) = (Credited::default(), Credited::default());
        let mut whole = Self { currency, all, without, sessions: 0, cost: None };
        for line in report.lines.iter().filter(|line| line.currency == currency) {
            let Some(credited) = line.credited.first() else { continue };
            whole.all.add(credited);
            if line.unattributed {
                whole.without.add(credited);
            }
            whole.sessions += line.sessions.map_or(0, |counts| counts.sessions);
            if let Some(spent) = line.spent {
                whole.cost = Some(whole.cost.unwrap_or(0).saturating_add(spent.cost));
            }
        }
        whole
    }

    fn orders(&self) -> f64 {
        share(self.all.conversions)
    }

    fn revenue(&self) -> f64 {
        major(self.all.amount, self.currency)
    }

    fn average(&self) -> f64 {
        self.revenue() / self.orders()
    }

    /// The part of the amount that touches are credited with.
    fn attributed(&self) -> String {
        percent(1.0 - self.without.amount as f64 / self.all.amount as f64)
    }
}

/// A number in words: whole, or with two decimals.
fn whole_number(number: f64) -> String {
    thousands(&format!("{number:.0}"))
}

fn two_decimals(number: f64) -> String {
    thousands(&format!("{number:.2}"))
}

/// A figure that has not changed, as far as is known.
fn figure(name: String, word: &'static str, value: String) -> Figure {
    Figure { name, word: Some(word), value, change: None, detail: String::new() }
}

/// The part of the amount of orders in a currency that a touch led to.
fn attributed(journeys: &Journeys, currency: Currency) -> f64 {
    let at = journeys.currencies.iter().position(|known| *known == currency);
    let (without, all) =
        at.map_or((0, 0), |at| (journeys.without_touch(at).1, journeys.of_all(at).1));
    1.0 - without as f64 / all as f64
}

fn figures(
    report: &Report,
    journeys: &Journeys,
    summary: &Summary,
    currency: Currency,
) -> Vec<Figure> {
    let now = Whole::new(report, currency);
    let then = report.then().map(|then| Whole::new(then, currency));
    let change = |of: fn(&Whole) -> f64, text: fn(f64) -> String| {
        let then = of(then.as_ref()?);
        changed(of(&now), then, &text(then))
    };
    let money = |amount: i128| thousands(&currency.format(amount));
    let orders = figure("Orders".to_owned(), "Orders", whole_number(now.orders()));
    let mut figures = vec![Figure { change: change(Whole::orders, whole_number), ..orders }];
    // Leads are worth nothing in money.
    if now.all.amount != 0 || then.is_some_and(|then| then.all.amount != 0) {
        let revenue = figure(format!("Revenue, {currency}"), "Revenue", money(now.all.amount));
        figures.insert(0, Figure { change: change(Whole::revenue, whole_number), ..revenue });
        let value =
            if now.orders() > 0.0 { two_decimals(now.average()) } else { "none".to_owned() };
        let average = figure(format!("Average order, {currency}"), "Average order", value);
        figures.push(Figure { change: change(Whole::average, two_decimals), ..average });
        let part = percent(attributed(journeys, currency));
        let part = if part.is_empty() { "none".to_owned() } else { part };
        let attributed = figure("Attributed revenue".to_owned(), "Attributed", part);
        // Then is only known by line, where orders without touches have one.
        let then = then.filter(|_| report.lines.iter().any(|line| line.unattributed));
        let was = then.map_or_else(String::new, |then| format!("was {}", then.attributed()));
        figures.push(Figure { detail: was, ..attributed });
    }
    let measures = summary.order_measures.iter().find(|of| of.currency == currency.code());
    if let Some(measures) = measures {
        let buyers = thousands(&measures.persons.to_string());
        let repeated = counted(measures.repeat_orders, "repeat order", "repeat orders");
        let part = percent(measures.retention_ratio.unwrap_or(f64::NAN));
        let detail = format!("{repeated}, {part}");
        figures.push(Figure { detail, ..figure("Buyers".to_owned(), "Buyers", buyers) });
    }
    if report.measures.sessions {
        let sessions = thousands(&now.sessions.to_string());
        let change = change(|whole| whole.sessions as f64, whole_number);
        figures.push(Figure { change, ..figure("Sessions".to_owned(), "Sessions", sessions) });
    }
    if let Some(cost) = now.cost {
        let roas = now.all.amount as f64 / cost as f64;
        let of_cost = |whole: &Whole| {
            whole.cost.map_or(f64::NAN, |cost| major(i128::from(cost), whole.currency))
        };
        figures.push(Figure {
            change: change(of_cost, whole_number),
            detail: if cost > 0 {
                format!("ROAS {roas:.2} over all revenue")
            } else {
                String::new()
            },
            ..figure(format!("Cost, {currency}"), "Cost", money(i128::from(cost)))
        });
    }
    figures
}

/// A month, `2025-03`.
fn month(day: NaiveDate) -> String {
    crate::calendar::Span::Month.label(day)
}

/// The last month that orders were made in to its end, and the one before it: both of these orders.
///
/// A month is full if there are orders on its last day or after, and on its first day or before.
fn full_months(journeys: &Journeys) -> Option<(String, String)> {
    let (first, last) = (*journeys.days.keys().next()?, *journeys.days.keys().next_back()?);
    let begins = last.with_day(1)?;
    let ends_month = last.succ_opt()?.day() == 1;
    let latest = if ends_month { begins } else { begins.checked_sub_months(Months::new(1))? };
    let before = latest.checked_sub_months(Months::new(1))?;
    (first <= before).then(|| (month(before), month(latest)))
}

fn of_month(
    journeys: &Journeys,
    at: usize,
    currency: Currency,
    before: &str,
    latest: &str,
) -> Vec<Figure> {
    let sum = |name: &str| {
        let days = journeys.days.iter().filter(|(day, _)| month(**day) == name);
        days.map(|(_, worth)| worth.of(at))
            .fold((0_u64, 0_i128), |sum, day| (sum.0 + day.0, sum.1 + day.1))
    };
    let ((orders, amount), (orders_then, amount_then)) = (sum(latest), sum(before));
    let money = |amount: i128| thousands(&currency.format(amount));
    let revenue = figure(format!("Revenue, {currency}"), "Revenue", money(amount));
    let several = journeys.currencies.len() > 1;
    let name = if several { format!("Orders in {currency}") } else { "Orders".to_owned() };
    let made = figure(name, "Orders", thousands(&orders.to_string()));
    let was = thousands(&orders_then.to_string());
    vec![
        Figure {
            change: changed(amount as f64, amount_then as f64, &money(amount_then)),
            ..revenue
        },
        Figure { change: changed(orders as f64, orders_then as f64, &was), ..made },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::parse_day;

    #[test]
    fn months_are_full_that_orders_reach_over() {
        let months = |days: &[&str]| {
            let days =
                days.iter().map(|day| (parse_day(day).unwrap(), crate::report::Worth::default()));
            full_months(&Journeys { days: days.collect(), ..Journeys::default() })
        };
        let named = |before: &str, latest: &str| Some((before.to_owned(), latest.to_owned()));
        assert_eq!(months(&["2025-01-01", "2025-03-15"]), named("2025-01", "2025-02"));
        assert_eq!(months(&["2025-01-01", "2025-03-31"]), named("2025-02", "2025-03"));
        // January began before these orders do.
        assert_eq!(months(&["2025-01-02", "2025-03-15"]), None);
        assert_eq!(months(&[]), None);
    }
}
