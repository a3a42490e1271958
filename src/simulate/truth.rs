//! What is true of a simulated world: which conversions each channel caused, and which none did.
//!
//! Sums are whole numbers, so that persons add up in any order. Not for how one visit works: that
//! is `effect`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, UInt64Array};

use super::effect::Effect;
use super::world::World;
use crate::error::Result;
use crate::report::texts;

/// The name of the row of conversions that no channel caused.
pub const ORGANIC: &str = "(organic)";
/// The name of the row of robots.
pub const BOTS: &str = "(bots)";

/// A conversion, or a cent, in the units that are summed.
const ONE: f64 = 1_099_511_627_776.0; // 2^40

/// The truth of some persons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    channels: Vec<Sums>,
    organic: Sums,
    bots: Sums,
}

/// What is summed, by channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    sessions: u64,
    views: u64,
    harvested: u64,
    orders: u64,
    conversions: i128,
    amount: i128,
    lost_conversions: i128,
    lost_amount: i128,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.sessions += other.sessions;
        self.views += other.views;
        self.harvested += other.harvested;
        self.orders += other.orders;
        self.conversions += other.conversions;
        self.amount += other.amount;
        self.lost_conversions += other.lost_conversions;
        self.lost_amount += other.lost_amount;
    }
}

impl Truth {
    pub(super) fn new(channels: usize) -> Self {
        Self {
            channels: vec![Sums::default(); channels],
            organic: Sums::default(),
            bots: Sums::default(),
        }
    }

    /// A visit that came by itself. Of the orders that it sets off, `in_time` are placed before the
    /// end; each chance is worth `cents`.
    pub(super) fn visit(&mut self, channel: usize, effect: &Effect, in_time: f64, cents: f64) {
        self.channels[channel].sessions += 1;
        for (sums, (value, lost)) in
            self.channels.iter_mut().zip(effect.value.iter().zip(&effect.lost))
        {
            sums.conversions += units(value * in_time);
            sums.amount += units(value * cents);
            sums.lost_conversions += units(lost * in_time);
            sums.lost_amount += units(lost * cents);
        }
    }

    /// A view of an advertisement.
    pub(super) fn viewed(&mut self, channel: usize) {
        self.channels[channel].views += 1;
    }

    /// A visit of a person who had decided.
    pub(super) fn harvested(&mut self, channel: usize) {
        self.channels[channel].sessions += 1;
        self.channels[channel].harvested += 1;
    }

    /// An order that a visit set off.
    pub(super) fn caused(&mut self, channel: usize) {
        self.channels[channel].orders += 1;
    }

    /// What is expected of a person without any channel.
    pub(super) fn organic(&mut self, conversions: f64, cents: f64) {
        self.organic.conversions += units(conversions);
        self.organic.amount += units(cents);
    }

    /// An order that nothing caused.
    pub(super) fn uncaused(&mut self) {
        self.organic.orders += 1;
    }

    /// The orders of a robot: which share of them is kept, and what each that is kept is worth.
    pub(super) fn robot(&mut self, orders: u64, kept: f64, cents: f64) {
        let sums = &mut self.bots;
        sums.sessions += super::size::BOT_SESSIONS;
        sums.orders += orders;
        sums.conversions += units(orders as f64 * kept);
        sums.amount += units(orders as f64 * kept * cents);
    }

    /// Adds that of other persons.
    pub(super) fn add(&mut self, other: &Self) {
        for (sums, other) in self.channels.iter_mut().zip(&other.channels) {
            sums.add(other);
        }
        self.organic.add(&other.organic);
        self.bots.add(&other.bots);
    }

    /// Conversions that each channel caused; they sum to all that were caused.
    pub fn conversions(&self) -> Vec<f64> {
        self.channels.iter().map(|sums| fraction(sums.conversions)).collect()
    }

    /// Conversions that would be lost without each channel.
    pub fn lost(&self) -> Vec<f64> {
        self.channels.iter().map(|sums| fraction(sums.lost_conversions)).collect()
    }

    /// Conversions that are expected without any channel.
    pub fn organic_conversions(&self) -> f64 {
        fraction(self.organic.conversions)
    }

    /// Orders that a visit set off, and those that nothing did.
    pub fn caused_and_organic_orders(&self) -> (u64, u64) {
        (self.channels.iter().map(|sums| sums.orders).sum(), self.organic.orders)
    }

    /// Sessions that there are, by channel.
    pub fn channel_sessions(&self) -> Vec<u64> {
        self.channels.iter().map(|sums| sums.sessions).collect()
    }

    /// Visits of persons who had decided, by channel.
    pub fn harvested_sessions(&self) -> Vec<u64> {
        self.channels.iter().map(|sums| sums.harvested).collect()
    }

    /// Orders that there are.
    pub fn orders(&self) -> u64 {
        self.rows().map(|sums| sums.orders).sum()
    }

    /// Sessions that there are.
    pub fn sessions(&self) -> u64 {
        self.rows().map(|sums| sums.sessions).sum()
    }

    fn rows(&self) -> impl Iterator<Item = &Sums> {
        self.channels.iter().chain([&self.organic, &self.bots])
    }

    /// The table: a row a channel, one of what none caused, and one of robots where there are any.
    pub(super) fn table(&self, world: &World) -> Result<RecordBatch> {
        let bots = (self.bots != Sums::default()).then_some(&self.bots);
        let rows: Vec<&Sums> = self.channels.iter().chain([&self.organic]).chain(bots).collect();
        let channels = world.channels.iter();
        let named = [(ORGANIC, ORGANIC), (BOTS, BOTS)];
        let places: Vec<(&str, &str)> = channels
            .map(|channel| (channel.source(), channel.medium()))
            .chain(named)
            .take(rows.len())
            .collect();
        let counts = |of: fn(&Sums) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|sums| of(sums))))
        };
        let fractions = |of: fn(&Sums) -> i128, unit: f64| -> ArrayRef {
            let values = rows.iter().map(|sums| fraction(of(sums)) / unit);
            Arc::new(Float64Array::from_iter_values(values))
        };
        let mut columns = vec![
            ("utm_source", texts(places.iter().map(|place| place.0))),
            ("utm_medium", texts(places.iter().map(|place| place.1))),
            ("sessions", counts(|sums| sums.sessions)),
        ];
        if world.has_views() {
            columns.push(("views", counts(|sums| sums.views)));
        }
        columns.extend([
            ("harvested", counts(|sums| sums.harvested)),
            ("orders", counts(|sums| sums.orders)),
            ("conversions", fractions(|sums| sums.conversions, 1.0)),
            ("amount", fractions(|sums| sums.amount, 100.0)),
            ("lost_conversions", fractions(|sums| sums.lost_conversions, 1.0)),
            ("lost_amount", fractions(|sums| sums.lost_amount, 100.0)),
        ]);
        Ok(RecordBatch::try_from_iter(columns)?)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "casts from floats saturate")]
fn units(value: f64) -> i128 {
    libm::round(value * ONE) as i128
}

fn fraction(units: i128) -> f64 {
    units as f64 / ONE
}
