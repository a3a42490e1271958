//! One partition: all models over the orders of some whole persons, in one pass.

use std::mem::swap;

use hashbrown::HashMap;

use crate::bootstrap::PersonRows;
use crate::config::DateBy;
use crate::credits::{Divider, WHOLE};
#[cfg(doc)]
use crate::engine::UNATTRIBUTED_CELL;
use crate::engine::destinations::{Destinations, Earning};
use crate::engine::{Cells, Part, TouchChannels};
use crate::error::{Error, Result};
use crate::journeys::{Orders, Role, Selected, Touches, Window, previous_orders};
use crate::models::{Asked, Fitted, Journey, Model};
use crate::vouchers::Replacement;

/// What is the same for every partition of a run.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that a run may want or not")]
pub struct Work<'a> {
    /// The touches of all persons.
    pub touches: &'a Touches,
    /// Their orders.
    pub orders: &'a Orders,
    /// The combination of dimensions of each touch.
    pub touch_cells: &'a [u32],
    /// The combination that orders without touches have: [`UNATTRIBUTED_CELL`] where there are
    /// touch dimensions, else that of all touches.
    pub unattributed: u32,
    /// The combination of dimensions of each order.
    pub order_cells: &'a [u32],
    /// The parts that each order's credit is divided into, where there is more than one cell.
    pub parts: Option<&'a Parts>,
    /// Touches that stand in the place of others in one order's journey, by order.
    pub replacements: &'a [Replacement],
    /// The rules of a journey's window.
    pub window: Window,
    /// The models.
    pub models: &'a [Asked],
    /// What models learnt; empty before, and where none learns.
    pub fitted: &'a [Option<Fitted>],
    /// The channels of touches, for the models that look at them.
    pub channels: &'a TouchChannels,
    /// The cells that stand for others, by their combinations, where lines of few persons are merged.
    pub others: Option<&'a Others>,
    /// Which persons are asked for, by their number, where not all are.
    pub wanted: Option<&'a [bool]>,
    /// What credits are dated by.
    pub date_by: DateBy,
    /// The instants that are reported: from the first, before the second.
    pub period: (i64, i64),
    /// The latest instant of any touch or order: until then it is known that who did not order did not.
    ///
    /// The run's clock would not do: an export that is looked at a month later says nothing of that month.
    pub end: i64,
    /// How many currencies orders are in.
    pub currencies: usize,
    /// Whether each touch's credits are wanted.
    pub credits: bool,
    /// Whether each order's journey is wanted.
    pub journeys: bool,
    /// Whether credit is wanted by role.
    pub by_role: bool,
    /// Whether each person's part of the sums is wanted: of counts, and of what rules credit.
    pub by_person: bool,
    /// Whether only models that learn credit touches: rules do not change with what was learnt.
    pub relearns: bool,
}

/// The combinations of touch and order dimensions that stand for others in the sums.
pub type Others = HashMap<(u32, u32), (u32, u32)>;

/// The parts of all orders: by its items, an order's credit goes to several cells.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Parts {
    /// Where each order's parts begin, by its position; one more entry than there are orders.
    pub starts: Vec<u32>,
    /// The combination of order dimensions of each part; distinct within an order.
    pub cells: Vec<u32>,
    /// What each part weighs.
    pub weights: Vec<f64>,
}

impl Parts {
    /// The parts of orders from their items: items of one combination are one part.
    ///
    /// `starts` says where each order's items begin; `cells` and `weights` are one an item.
    pub fn new(starts: &[u32], cells: &[u32], weights: &[f64]) -> Self {
        let mut parts = Self { starts: vec![0], ..Self::default() };
        for range in starts.windows(2) {
            let first = parts.cells.len();
            for item in range[0] as usize..range[1] as usize {
                let known = parts.cells[first..].iter().position(|cell| *cell == cells[item]);
                if let Some(known) = known {
                    parts.weights[first + known] += weights[item];
                } else {
                    parts.cells.push(cells[item]);
                    parts.weights.push(weights[item]);
                }
            }
            #[expect(clippy::cast_possible_truncation, reason = "rows are numbered in 32 bits")]
            parts.starts.push(parts.cells.len() as u32);
        }
        parts
    }
}

impl Work<'_> {
    /// The model that weighs: what it learnt, where it learns.
    pub fn rule(&self, model: usize) -> &dyn Model {
        let fitted = self.fitted.get(model).and_then(Option::as_ref);
        fitted.map_or(&*self.models[model].model, |fitted| fitted.rule.model())
    }

    /// The channels of a journey's touches, a list for each column that a model names.
    pub(super) fn codes(&self, selected: &Selected, codes: &mut Vec<Vec<u32>>) {
        codes.resize_with(self.channels.columns.len(), Vec::new);
        for (codes, labels) in codes.iter_mut().zip(&self.channels.columns) {
            codes.clear();
            codes.extend(selected.touches.iter().map(|touch| labels.codes[*touch as usize]));
        }
    }

    /// A journey as a model sees it, with the channels of the column that it names.
    pub(super) fn journey<'j>(
        &self,
        model: usize,
        selected: &'j Selected,
        order_at: i64,
        codes: &'j [Vec<u32>],
    ) -> Journey<'j> {
        let column = self.channels.of_model.get(model).copied().flatten();
        let channels = column.map_or(&[][..], |column| &codes[column]);
        Journey { channels, ..selected.journey(order_at) }
    }

    /// The touch of an order that another stands in the place of, and that other.
    pub(super) fn replaced(&self, order: usize) -> Option<(u32, u32)> {
        let order = u32::try_from(order).ok()?;
        let found = self.replacements.binary_search_by_key(&order, |replacement| replacement.order);
        found.ok().map(|at| (self.replacements[at].from, self.replacements[at].to))
    }
}

/// Some whole persons, or some orders of one who has more than a partition should hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition<'a> {
    /// Their numbers, in the order of their ids.
    pub persons: &'a [u32],
    /// The orders of each person: from the first place among them, before the second.
    pub orders: (usize, usize),
}

impl<'a> Partition<'a> {
    /// Every order of some persons.
    pub fn whole(persons: &'a [u32]) -> Self {
        Self { persons, orders: (0, usize::MAX) }
    }

    /// Whether an order is of the partition, by its place among its person's.
    pub fn holds(&self, place: usize) -> bool {
        (self.orders.0..self.orders.1).contains(&place)
    }

    /// Whether a partition before has orders of the same person.
    pub fn goes_on(&self) -> bool {
        self.orders.0 > 0
    }
}

/// The credits of a partition as columns: one row per order and touch, or one for an order
/// without touches.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CreditRows {
    /// The order, as a position in [`Orders`].
    pub order: Vec<u32>,
    /// The touch, as a position in [`Touches`]; none for an order without.
    pub touch: Vec<Option<u32>>,
    /// The touch's position in its journey, from zero.
    pub position: Vec<u32>,
    /// How many touches the journey has.
    pub touches: Vec<u32>,
    /// Whether the order is its person's first.
    pub first: Vec<bool>,
    /// The share of each model, in units of [`WHOLE`]: rows times models.
    pub shares: Vec<i64>,
    /// The amount of each model, in minor units: rows times models.
    pub amounts: Vec<i64>,
}

/// The journeys of a partition as columns, one row per order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct JourneyRows {
    /// The order, as a position in [`Orders`].
    pub order: Vec<u32>,
    /// Whether it is its person's first.
    pub first: Vec<bool>,
    /// Where the journey's touches begin in `touches`; one more entry than there are orders.
    pub starts: Vec<usize>,
    /// The touches, as positions in [`Touches`], oldest first.
    pub touches: Vec<u32>,
}

/// What a partition counted, for the summary and the proof sheet.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Orders that count and are reported; dated by touch, those with a touch in the period.
    pub counted: u64,
    /// Those of them with touches.
    pub attributed: u64,
    /// What counted orders are worth, by currency, in minor units.
    pub owed: Vec<i128>,
    /// Counted orders, by currency.
    pub conversions: Vec<u64>,
    /// Touches that earned credit: once for each order.
    pub touches: u64,
    /// Orders whose shares or amounts did not add up under some model; always none.
    pub broken: u64,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new(currencies: usize) -> Self {
        Self { owed: vec![0; currencies], conversions: vec![0; currencies], ..Self::default() }
    }

    /// Adds what other persons counted.
    pub fn merge(&mut self, other: &Self) {
        self.counted += other.counted;
        self.attributed += other.attributed;
        self.touches += other.touches;
        self.broken += other.broken;
        for (sum, more) in self.owed.iter_mut().zip(&other.owed) {
            *sum += more;
        }
        for (sum, more) in self.conversions.iter_mut().zip(&other.conversions) {
            *sum += more;
        }
    }
}

/// The result of one partition.
pub struct Partial {
    /// The report's sums.
    pub cells: Cells,
    /// What was counted.
    pub tally: Tally,
    /// Credits, if they are wanted.
    pub credits: CreditRows,
    /// Journeys, if they are wanted.
    pub journeys: JourneyRows,
    /// Each person's part of the numbers of the cells, if it is wanted.
    pub by_person: PersonRows,
    /// What models that learnt credit to each channel, by currency.
    pub by_channel: ByChannel,
}

/// What models that learnt credit to each channel: of each model, currencies within channels.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ByChannel(Vec<Vec<Part>>);

impl ByChannel {
    /// Nothing yet; models that learnt nothing have no channels.
    pub fn new(work: &Work<'_>) -> Self {
        let channels = |model: usize| {
            let fitted = work.fitted.get(model).is_some_and(Option::is_some);
            let column = work.channels.of_model.get(model).copied().flatten();
            column.filter(|_| fitted).map_or(0, |at| work.channels.columns[at].values.len())
        };
        let models = 0..work.models.len();
        Self(models.map(|model| vec![Part::default(); channels(model) * work.currencies]).collect())
    }

    /// Nothing yet, of some models over so many channels and currencies.
    pub fn of_channels(models: usize, channels: usize, currencies: usize) -> Self {
        Self(vec![vec![Part::default(); channels * currencies]; models])
    }

    /// Nothing yet, of models with so many places each.
    pub fn of_each(places: impl Iterator<Item = usize>) -> Self {
        Self(places.map(|places| vec![Part::default(); places]).collect())
    }

    /// What each model credits, currencies within channels.
    pub fn of_models(&self) -> impl Iterator<Item = &[Part]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// Adds what a model credits to a channel, by its place among channels and currencies.
    pub fn credit(&mut self, model: usize, place: usize, part: Part) {
        self.0[model][place].add(part);
    }

    /// Adds what is credited for other persons, so many times.
    pub(super) fn merge_times(&mut self, other: &Self, times: i128) {
        for (mine, theirs) in self.0.iter_mut().flatten().zip(other.0.iter().flatten()) {
            let Part { conversions, amount } = *theirs;
            mine.add(Part { conversions: conversions * times, amount: amount * times });
        }
    }

    /// What a model credits to each channel in each currency.
    pub fn of(&self, model: usize) -> &[Part] {
        &self.0[model]
    }

    /// Adds what is credited for other persons.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().flatten().zip(other.0.iter().flatten()) {
            mine.add(*theirs);
        }
    }
}

/// Space for the journeys of one person after the other.
#[derive(Default)]
pub(super) struct Walk {
    previous: Vec<Option<i64>>,
    pub(super) selected: Selected,
}

/// Space that is used again for every order.
#[derive(Default)]
struct Scratch {
    /// The channels of the journey's touches, a list for each column that a model names.
    codes: Vec<Vec<u32>>,
    weights: Vec<f64>,
    divider: Divider,
    shares: Vec<i64>,
    amounts: Vec<i64>,
    destinations: Destinations,
}

/// Divides the credit of every order of a partition's persons, under every model.
///
/// # Errors
///
/// A model that gives a weight that is negative or not finite.
pub fn attribute(work: &Work<'_>, partition: Partition<'_>) -> Result<Partial> {
    let mut partial = Partial {
        cells: Cells::new(work.models.len(), work.by_role),
        tally: Tally::new(work.currencies),
        credits: CreditRows::default(),
        journeys: JourneyRows::default(),
        by_person: PersonRows::default(),
        by_channel: ByChannel::new(work),
    };
    let (mut walk, mut scratch) = (Walk::default(), Scratch::default());
    let learns: Vec<bool> = work.models.iter().map(|asked| asked.model.learns()).collect();
    // The cells of one person alone, where its part of the sums is wanted.
    let mut own = Cells::new(work.models.len(), work.by_role);
    for person in partition.persons {
        if work.by_person {
            swap(&mut partial.cells, &mut own);
        }
        each_journey(work, partition, *person, &mut walk, |order, first, selected| {
            let of = (*person, order, first);
            attribute_order(work, of, selected, &mut partial, &mut scratch)
        })?;
        if work.by_person {
            swap(&mut partial.cells, &mut own);
            let places = partial.cells.merge(&own);
            own.push_person(&places, *person, &learns, &mut partial.by_person);
            own.clear();
        }
    }
    if work.journeys {
        partial.journeys = partial.journeys.ended();
    }
    Ok(partial)
}

/// Attributes the orders of several partitions, as if they were one.
pub fn attribute_all(work: &Work<'_>, partitions: &[Partition<'_>]) -> Result<Partial> {
    let mut all = attribute(work, Partition::whole(&[]))?;
    all.journeys = JourneyRows::default();
    for partition in partitions {
        let one = attribute(work, *partition)?;
        all.cells.merge(&one.cells);
        all.tally.merge(&one.tally);
        all.by_channel.merge(&one.by_channel);
        all.journeys.append(&one.journeys);
    }
    all.journeys = all.journeys.ended();
    Ok(all)
}

/// Visits the journeys of the orders of a person that are asked for, with each order and whether it
/// is the person's first.
pub(super) fn each_journey(
    work: &Work<'_>,
    partition: Partition<'_>,
    person: u32,
    walk: &mut Walk,
    mut visit: impl FnMut(usize, bool, &Selected) -> Result<()>,
) -> Result<()> {
    let orders = work.orders.of(person);
    let touches = work.touches.of(person);
    previous_orders(work.orders, orders.clone(), &mut walk.previous);
    let mut first = true;
    for (at, order) in orders.enumerate() {
        if !work.orders.counted[order] {
            continue;
        }
        let is_first = std::mem::take(&mut first);
        let reported = work.date_by == DateBy::Touch || work.orders.reported[order];
        if !reported || !work.orders.wanted[order] || !partition.holds(at) {
            continue;
        }
        let (order_at, previous) = (work.orders.at[order], walk.previous[at]);
        let replaced = work.replaced(order);
        let selected = &mut walk.selected;
        let of_person = touches.clone();
        selected.select(&work.window, work.touches, of_person, order_at, previous, replaced);
        visit(order, is_first, selected)?;
    }
    Ok(())
}

impl Work<'_> {
    /// Whether a touch earns: by order, every touch of a reported order does; by touch, those of
    /// the period do.
    fn earns(&self, touched_at: i64) -> bool {
        self.date_by == DateBy::Order || (self.period.0..self.period.1).contains(&touched_at)
    }
}

/// Whether anything of an order is shown: dated by touch, one of which nothing is shown does not
/// count.
pub(super) fn shown(work: &Work<'_>, order: usize, selected: &Selected) -> bool {
    let journey = selected.journey(work.orders.at[order]);
    if journey.touches() == 0 {
        work.orders.reported[order]
    } else {
        journey.touched_at.iter().any(|at| work.earns(*at))
    }
}

fn attribute_order(
    work: &Work<'_>,
    (person, order, first): (u32, usize, bool),
    selected: &Selected,
    partial: &mut Partial,
    scratch: &mut Scratch,
) -> Result<()> {
    let Scratch { codes, weights, divider, shares, amounts, destinations } = scratch;
    let (order_at, amount) = (work.orders.at[order], work.orders.amount[order]);
    #[expect(clippy::cast_possible_truncation, reason = "orders are numbered in 32 bits")]
    let earning = Earning { order: order as u32, person, first };
    let journey = selected.journey(order_at);
    let count = journey.touches();
    if !shown(work, order, selected) {
        return Ok(());
    }
    tally_order(work, order, &mut partial.tally);
    if work.journeys {
        partial.journeys.push(earning.order, first, &selected.touches);
    }
    destinations.begin(work, order);
    if count == 0 {
        destinations.unattributed(work, &mut partial.cells, earning, amount);
        if work.credits {
            partial.credits.push(earning.order, None, 0, 0, first);
            partial.credits.shares.extend(work.models.iter().map(|_| WHOLE));
            partial.credits.amounts.extend(work.models.iter().map(|_| amount));
        }
        return Ok(());
    }
    partial.tally.attributed += 1;
    partial.tally.touches += count as u64;
    let first_credit = partial.credits.order.len();
    for (position, touch) in selected.touches.iter().enumerate() {
        if !work.earns(journey.touched_at[position]) {
            destinations.pass();
            continue;
        }
        let seconds = (order_at - journey.touched_at[position]).div_euclid(1_000_000);
        let combination = work.touch_cells[*touch as usize];
        let of_touch = (Role::of(position, count), seconds);
        destinations.add(work, &mut partial.cells, earning, combination, of_touch);
        if work.credits {
            partial.credits.push(earning.order, Some(*touch), position, count, first);
        }
    }
    let models = work.models.len();
    if work.credits {
        let rows = partial.credits.order.len();
        partial.credits.shares.resize(rows * models, 0);
        partial.credits.amounts.resize(rows * models, 0);
    }
    work.codes(selected, codes);
    shares.resize(count, 0);
    amounts.resize(count, 0);
    for (number, asked) in work.models.iter().enumerate() {
        if work.relearns && !asked.model.learns() {
            continue;
        }
        let journey = work.journey(number, selected, order_at, codes);
        weigh(&asked.name, work.rule(number), journey, weights)?;
        divider.weigh(weights);
        let by_channel = &mut partial.by_channel.0[number];
        if let Some(position) = divider.alone()
            && !work.credits
            && by_channel.is_empty()
        {
            // Nobody looks at the others, which get nothing.
            (shares[position], amounts[position]) = (WHOLE, amount);
        } else {
            divider.divide(WHOLE, shares);
            divider.divide(amount, amounts);
            if sum(shares) != i128::from(WHOLE) || sum(amounts) != i128::from(amount) {
                partial.tally.broken += 1;
            }
        }
        let channels = if by_channel.is_empty() { &[] } else { journey.channels };
        let currency = work.orders.currency[order] as usize;
        for (position, channel) in channels.iter().enumerate() {
            let part = &mut by_channel[*channel as usize * work.currencies + currency];
            part.conversions += i128::from(shares[position]);
            part.amount += i128::from(amounts[position]);
        }
        let credited = (&shares[..], &amounts[..]);
        destinations.credit(&mut partial.cells, number, earning, credited, divider.alone());
        if work.credits {
            let mut row = first_credit;
            for (position, touched_at) in journey.touched_at.iter().enumerate() {
                if work.earns(*touched_at) {
                    partial.credits.shares[row * models + number] = shares[position];
                    partial.credits.amounts[row * models + number] = amounts[position];
                    row += 1;
                }
            }
        }
    }
    Ok(())
}

/// Lets a rule weigh the touches of a journey.
///
/// # Errors
///
/// A weight that is negative or not finite.
pub fn weigh(
    model: &str,
    rule: &dyn Model,
    journey: Journey<'_>,
    weights: &mut Vec<f64>,
) -> Result<()> {
    weights.clear();
    weights.resize(journey.touches(), 0.0);
    rule.weigh(journey, weights);
    // Not one by one until the first: all at once is quicker, and none is wrong.
    if !weights.iter().fold(true, |good, weight| good & (0.0..f64::INFINITY).contains(weight)) {
        let why = format!("`{model}` weighs a touch below zero or without end");
        return Err(Error::Broken(why));
    }
    Ok(())
}

fn tally_order(work: &Work<'_>, order: usize, tally: &mut Tally) {
    let currency = work.orders.currency[order] as usize;
    tally.counted += 1;
    tally.owed[currency] += i128::from(work.orders.amount[order]);
    tally.conversions[currency] += 1;
}

/// The exact sum, by halves that 64 bits hold however many touches there are.
fn sum(parts: &[i64]) -> i128 {
    let high: i64 = parts.iter().map(|part| part >> 32).sum();
    let low: u64 = parts.iter().map(|part| part.cast_unsigned() & u64::from(u32::MAX)).sum();
    (i128::from(high) << 32) + i128::from(low)
}

impl CreditRows {
    fn push(
        &mut self,
        order: u32,
        touch: Option<u32>,
        position: usize,
        touches: usize,
        first: bool,
    ) {
        #[expect(clippy::cast_possible_truncation, reason = "touches are numbered in 32 bits")]
        let (position, touches) = (position as u32, touches as u32);
        self.order.push(order);
        self.touch.push(touch);
        self.position.push(position);
        self.touches.push(touches);
        self.first.push(first);
    }
}

impl JourneyRows {
    pub(super) fn push(&mut self, order: u32, first: bool, touches: &[u32]) {
        self.order.push(order);
        self.first.push(first);
        self.starts.push(self.touches.len());
        self.touches.extend(touches);
    }

    /// Adds the rows of others; only of rows that have not ended.
    pub(super) fn append(&mut self, others: &Self) {
        for (at, (order, first)) in others.order.iter().zip(&others.first).enumerate() {
            let touches = others.starts[at]..others.starts[at + 1];
            self.push(*order, *first, &others.touches[touches]);
        }
    }

    /// The rows with the end of the last one.
    pub(super) fn ended(mut self) -> Self {
        self.starts.push(self.touches.len());
        self
    }
}
