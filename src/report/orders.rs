//! What is known of orders alone, whatever the model: revenue, carts, repeat orders, and how long
//! and through which devices and domains their journeys went.
//!
//! These figures are an order's and not a touch's, so they stand in a table of their own, by the
//! dimensions that an order has: each order is in one line, and lines add up. Not for the journeys
//! themselves, row by row; those are `rows`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, UInt64Array};
use serde::{Deserialize, Serialize};

use crate::engine::JourneyRows;
use crate::error::Result;
use crate::frames::{Values, query};
use crate::journeys::{Combined, Dimension, Labels, Orders, Touches};
use crate::money::Currency;
use crate::report::compare::side_by_side;
use crate::report::rows::distinct_labels;
use crate::report::{Columns, Steps, decimals, texts};

const ORDERS: &str = include_str!("../../queries/report/orders.sql");

/// What the query derives, one column each.
const RATIOS: [&str; 9] = [
    "average_cart",
    "orders_per_person",
    "retention_ratio",
    "average_time_to_conversion",
    "touches_per_order",
    "average_device_types",
    "average_domains",
    "cross_device_ratio",
    "cross_domain_ratio",
];

/// What the orders of one line have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sums {
    orders: u64,
    amount: i128,
    persons: u64,
    repeat: u64,
    attributed: u64,
    touches: u64,
    device_types: u64,
    domains: u64,
    cross_device: u64,
    cross_domain: u64,
    web_to_retail: u64,
    retail_to_web: u64,
    /// Seconds from the first touch to the order, of each order that has one: a median needs them
    /// all.
    seconds: Vec<i64>,
    #[serde(skip)]
    last_person: Option<u32>,
}

/// Where the orders of a run stand in the table, and what they are made at.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The combination of dimension values of each order, by its position; the currency first.
    pub lines: Combined,
    /// The type of the domain of each order, by its position.
    pub domain_types: Labels,
    /// The person of each order, by its position.
    pub persons: Vec<u32>,
}

/// The exact sums of every line of the table, and of each currency.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderSums {
    lines: BTreeMap<Vec<String>, Sums>,
    totals: BTreeMap<Vec<String>, Sums>,
}

impl OrderSums {
    /// Adds the orders of a partition. Partitions hold whole persons, whose orders come together.
    pub fn add(
        &mut self,
        places: &Places,
        (touches, orders): (&Touches, &Orders),
        steps: &Steps,
        journeys: &JourneyRows,
    ) {
        let mut seen = Vec::new();
        for (at, order) in journeys.order.iter().enumerate() {
            let order = *order as usize;
            let journey = &journeys.touches[journeys.starts[at]..journeys.starts[at + 1]];
            let passes = |kind: &str| {
                let of = |touch: &u32| {
                    let code = steps.domain_types.codes[*touch as usize];
                    steps.domain_types.values[code as usize] == kind
                };
                journey.iter().any(of)
            };
            let made_at =
                places.domain_types.values[places.domain_types.codes[order] as usize].as_str();
            let device_types = distinct_labels(journey, &steps.device_types, &mut seen);
            let domains = distinct_labels(journey, &steps.domains, &mut seen);
            let seconds = journey.first().map(|touch| {
                (orders.at[order] - touches.at[*touch as usize]).div_euclid(1_000_000)
            });
            let one = Sums {
                orders: 1,
                amount: i128::from(orders.amount[order]),
                persons: 1,
                repeat: u64::from(!journeys.first[at]),
                attributed: u64::from(!journey.is_empty()),
                touches: journey.len() as u64,
                device_types,
                domains,
                cross_device: u64::from(device_types > 1),
                cross_domain: u64::from(domains > 1),
                web_to_retail: u64::from(made_at == "retail" && passes("web")),
                retail_to_web: u64::from(made_at == "web" && passes("retail")),
                seconds: seconds.into_iter().collect(),
                last_person: Some(places.persons[order]),
            };
            let values = &places.lines.values[places.lines.codes[order] as usize];
            add(&mut self.lines, values, &one);
            add(&mut self.totals, &values[..1], &one);
        }
    }
}

impl OrderSums {
    /// Adds the sums of other persons.
    pub fn merge(&mut self, other: Self) {
        let both = [(&mut self.lines, other.lines), (&mut self.totals, other.totals)];
        for (mine, theirs) in both {
            for (values, sums) in theirs {
                mine.entry(values).or_default().merge(sums);
            }
        }
    }

    /// Calls values of a dimension by other names, one for one.
    pub fn rename(&mut self, dimension: usize, names: &BTreeMap<String, String>) {
        let renamed = std::mem::take(&mut self.lines).into_iter().map(|(mut values, sums)| {
            // The currency comes first.
            if let Some(name) = names.get(&values[dimension + 1]) {
                name.clone_into(&mut values[dimension + 1]);
            }
            (values, sums)
        });
        self.lines = renamed.collect();
    }

    /// Gives the sums of two periods the same lines; what only one has is nothing in the other.
    pub fn meet(&mut self, other: &mut Self) {
        for values in self.lines.keys() {
            other.lines.entry(values.clone()).or_default();
        }
        for values in other.lines.keys() {
            self.lines.entry(values.clone()).or_default();
        }
    }
}

fn add(lines: &mut BTreeMap<Vec<String>, Sums>, values: &[String], one: &Sums) {
    if !lines.contains_key(values) {
        lines.insert(values.to_vec(), Sums::default());
    }
    if let Some(sums) = lines.get_mut(values) {
        sums.add(one);
    }
}

impl Sums {
    /// Adds one order; a person whose order was the last to be added is counted already.
    fn add(&mut self, one: &Self) {
        self.persons += u64::from(self.last_person != one.last_person);
        self.last_person = one.last_person;
        self.orders += one.orders;
        self.amount += one.amount;
        self.repeat += one.repeat;
        self.attributed += one.attributed;
        self.touches += one.touches;
        self.device_types += one.device_types;
        self.domains += one.domains;
        self.cross_device += one.cross_device;
        self.cross_domain += one.cross_domain;
        self.web_to_retail += one.web_to_retail;
        self.retail_to_web += one.retail_to_web;
        self.seconds.extend(&one.seconds);
    }

    /// Adds the orders of other persons.
    fn merge(&mut self, mut other: Self) {
        let persons = self.persons + other.persons;
        (self.last_person, other.last_person) = (None, None);
        self.add(&other);
        self.persons = persons;
    }

    /// The middle of the times, or the mean of the two in the middle.
    fn median(&self) -> Option<f64> {
        let mut times = self.seconds.clone();
        times.sort_unstable();
        let upper = *times.get(times.len() / 2)?;
        let lower = if times.len().is_multiple_of(2) { times[times.len() / 2 - 1] } else { upper };
        Some(f64::midpoint(lower as f64, upper as f64))
    }
}

/// The table: lines with what follows from their sums, in their order.
pub struct OrderTable {
    by: Vec<Dimension>,
    lines: Vec<(Currency, Vec<String>, Sums)>,
    ratios: BTreeMap<&'static str, Vec<Option<f64>>>,
    /// The lines in the order of the table.
    order: Vec<usize>,
    totals: Vec<OrderMeasures>,
}

/// What is known of all orders of one currency.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub struct OrderMeasures {
    /// The currency.
    pub currency: String,
    /// Orders that count.
    pub orders: u64,
    /// What they are worth.
    pub revenue: String,
    /// What one is worth on average, in major units.
    pub average_cart: Option<f64>,
    /// Their persons.
    pub persons: u64,
    /// Orders a person.
    pub orders_per_person: Option<f64>,
    /// Orders that are not their person's first.
    pub repeat_orders: u64,
    /// The part of the orders that they are.
    pub retention_ratio: Option<f64>,
    /// Orders with touches.
    pub attributed_orders: u64,
    /// Their touches, once for each order.
    pub contributions: u64,
    /// Touches an order with touches.
    pub touches_per_order: Option<f64>,
    /// Seconds from the first touch to the order.
    pub average_time_to_conversion: Option<f64>,
    /// The middle one of these times.
    pub median_time_to_conversion: Option<f64>,
    /// Distinct types of devices of a journey.
    pub average_device_types: Option<f64>,
    /// Distinct domains of a journey.
    pub average_domains: Option<f64>,
    /// Orders whose journey has more than one type of device.
    pub cross_device_orders: u64,
    /// The part of the orders with touches that they are.
    pub cross_device_ratio: Option<f64>,
    /// Orders whose journey has more than one domain.
    pub cross_domain_orders: u64,
    /// The part of the orders with touches that they are.
    pub cross_domain_ratio: Option<f64>,
    /// Orders made in a shop after a touch on the web.
    pub web_to_retail_orders: u64,
    /// Orders made on the web after a touch in a shop.
    pub retail_to_web_orders: u64,
}

impl OrderTable {
    /// Derives ratios and the order of lines from exact sums.
    ///
    /// `by` are the dimensions beside the currency.
    pub fn new(by: Vec<Dimension>, sums: OrderSums) -> Result<Self> {
        let OrderSums { lines, totals } = sums;
        let (totals, ratios, _) = derive(&[], totals)?;
        let totals = (0..totals.len()).map(|line| measures(&totals[line], line, &ratios)).collect();
        let (lines, ratios, order) = derive(&by, lines)?;
        Ok(Self { by, lines, ratios, order, totals })
    }

    /// What is known of all orders, by currency.
    pub fn totals(&self) -> &[OrderMeasures] {
        &self.totals
    }

    fn rows(&self, order: &[usize]) -> Result<RecordBatch> {
        let lines = || order.iter().map(|line| &self.lines[*line]);
        let scale = lines().map(|(currency, ..)| currency.exponent()).max().unwrap_or(2);
        let counts = |count: &dyn Fn(&Sums) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(lines().map(|(.., sums)| count(sums))))
        };
        let ratio = |name: &str| -> ArrayRef {
            let values = &self.ratios[name];
            Arc::new(order.iter().map(|line| values[*line]).collect::<Float64Array>())
        };
        let medians = lines().map(|(.., sums)| sums.median()).collect::<Float64Array>();
        let amounts = lines().map(|(currency, _, sums)| Some((sums.amount, *currency)));
        let mut columns = Columns::new();
        for (at, dimension) in self.by.iter().enumerate() {
            let values = lines().map(|(_, values, _)| values[at + 1].as_str());
            columns.push((dimension.to_string(), texts(values)));
        }
        columns.extend([
            ("currency".into(), texts(lines().map(|(currency, ..)| currency.code()))),
            ("orders".into(), counts(&|sums| sums.orders)),
            ("revenue".into(), decimals(amounts, scale)?),
            ("average_cart".into(), ratio("average_cart")),
            ("persons".into(), counts(&|sums| sums.persons)),
            ("orders_per_person".into(), ratio("orders_per_person")),
            ("repeat_orders".into(), counts(&|sums| sums.repeat)),
            ("retention_ratio".into(), ratio("retention_ratio")),
            ("attributed_orders".into(), counts(&|sums| sums.attributed)),
            ("contributions".into(), counts(&|sums| sums.touches)),
            ("touches_per_order".into(), ratio("touches_per_order")),
            ("average_time_to_conversion".into(), ratio("average_time_to_conversion")),
            ("median_time_to_conversion".into(), Arc::new(medians)),
            ("average_device_types".into(), ratio("average_device_types")),
            ("average_domains".into(), ratio("average_domains")),
            ("cross_device_orders".into(), counts(&|sums| sums.cross_device)),
            ("cross_device_ratio".into(), ratio("cross_device_ratio")),
            ("cross_domain_orders".into(), counts(&|sums| sums.cross_domain)),
            ("cross_domain_ratio".into(), ratio("cross_domain_ratio")),
            ("web_to_retail_orders".into(), counts(&|sums| sums.web_to_retail)),
            ("retail_to_web_orders".into(), counts(&|sums| sums.retail_to_web)),
        ]);
        Ok(RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, column)| (name, column, true)),
        )?)
    }
}

/// The table of orders; beside that of another period, where there is one: every figure `NAME` with
/// `NAME_then`, `NAME_change` and `NAME_change_ratio` after it.
///
/// Both are made of sums that have met, so that they have the same lines; see [`OrderSums::meet`].
pub fn order_rows(now: &OrderTable, then: Option<&OrderTable>) -> Result<RecordBatch> {
    let rows = now.rows(&now.order)?;
    match then {
        Some(then) => side_by_side(&rows, &then.rows(&now.order)?),
        None => Ok(rows),
    }
}

type Derived =
    (Vec<(Currency, Vec<String>, Sums)>, BTreeMap<&'static str, Vec<Option<f64>>>, Vec<usize>);

/// What follows from sums, by line, and the order of lines.
fn derive(by: &[Dimension], lines: BTreeMap<Vec<String>, Sums>) -> Result<Derived> {
    let currency = |values: &[String]| {
        values.first().and_then(|code| code.parse().ok()).unwrap_or(Currency::NONE)
    };
    let lines: Vec<(Currency, Vec<String>, Sums)> =
        lines.into_iter().map(|(values, sums)| (currency(&values), values, sums)).collect();
    let period = |values: &[String]| {
        let spans = by.iter().zip(&values[1..]);
        let spans = spans.filter(|(dimension, _)| matches!(dimension, Dimension::Span(_)));
        spans.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" ")
    };
    let text = |text: &dyn Fn(Currency, &[String]) -> String| {
        Values::Texts(lines.iter().map(|(currency, values, _)| text(*currency, values)).collect())
    };
    let float = |value: &dyn Fn(&Sums) -> f64| {
        Values::Floats(lines.iter().map(|(.., sums)| value(sums)).collect())
    };
    let count = |value: &dyn Fn(&Sums) -> u64| float(&|sums| value(sums) as f64);
    let seconds = |sums: &Sums| sums.seconds.iter().map(|time| i128::from(*time)).sum::<i128>();
    let numbers = (0..lines.len() as u64).map(u64::cast_signed);
    let minor_units = lines.iter().map(|(code, ..)| 10_i64.pow(code.exponent()));
    let frame = vec![
        ("line", Values::Integers(numbers.collect())),
        ("currency", text(&|currency, _| currency.to_string())),
        ("period", text(&|_, values| period(values))),
        ("label", text(&|_, values| values.join("\u{1f}"))),
        ("minor_units", Values::Integers(minor_units.collect())),
        ("orders", count(&|sums| sums.orders)),
        ("revenue", float(&|sums| sums.amount as f64)),
        ("persons", count(&|sums| sums.persons)),
        ("repeat_orders", count(&|sums| sums.repeat)),
        ("attributed", count(&|sums| sums.attributed)),
        ("touches", count(&|sums| sums.touches)),
        ("seconds", float(&|sums| seconds(sums) as f64)),
        ("device_types", count(&|sums| sums.device_types)),
        ("domains", count(&|sums| sums.domains)),
        ("cross_device_orders", count(&|sums| sums.cross_device)),
        ("cross_domain_orders", count(&|sums| sums.cross_domain)),
    ];
    let answer = query("orders", ORDERS, vec![("lines", frame)])?;
    let order: Vec<usize> = answer
        .integers("line")?
        .into_iter()
        .flatten()
        .map(|line| usize::try_from(line).unwrap_or_default())
        .collect();
    let mut ratios = BTreeMap::new();
    for name in RATIOS {
        let mut by_line = vec![None; lines.len()];
        for (line, value) in order.iter().zip(answer.floats(name)?) {
            by_line[*line] = value;
        }
        ratios.insert(name, by_line);
    }
    Ok((lines, ratios, order))
}

fn measures(
    (currency, _, sums): &(Currency, Vec<String>, Sums),
    line: usize,
    ratios: &BTreeMap<&'static str, Vec<Option<f64>>>,
) -> OrderMeasures {
    let ratio = |name: &str| ratios.get(name).and_then(|values| values[line]);
    OrderMeasures {
        currency: currency.to_string(),
        orders: sums.orders,
        revenue: currency.format(sums.amount),
        average_cart: ratio("average_cart"),
        persons: sums.persons,
        orders_per_person: ratio("orders_per_person"),
        repeat_orders: sums.repeat,
        retention_ratio: ratio("retention_ratio"),
        attributed_orders: sums.attributed,
        contributions: sums.touches,
        touches_per_order: ratio("touches_per_order"),
        average_time_to_conversion: ratio("average_time_to_conversion"),
        median_time_to_conversion: sums.median(),
        average_device_types: ratio("average_device_types"),
        average_domains: ratio("average_domains"),
        cross_device_orders: sums.cross_device,
        cross_device_ratio: ratio("cross_device_ratio"),
        cross_domain_orders: sums.cross_domain,
        cross_domain_ratio: ratio("cross_domain_ratio"),
        web_to_retail_orders: sums.web_to_retail,
        retail_to_web_orders: sums.retail_to_web,
    }
}
