//! How much of a difference each cause makes: order by order, in whole units that add up.
//!
//! An order that both runs have is led from the first to the second in steps: its amount, what its
//! touches are called, which touches it has. Each step is what it is when those before are done, so
//! that the steps sum to the difference to the unit. Not for reading runs, nor for words.

use std::collections::{BTreeMap, BTreeSet};

use crate::credits::Divider;
use crate::diff::causes::Cause;
use crate::diff::reading::{Credit, OfOrder, Order, Side, Touch};

/// Conversions in billionths, and an amount in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Part {
    /// Billionths of conversions.
    pub conversions: i128,
    /// Minor units.
    pub amount: i128,
    /// Orders that it comes from.
    pub orders: u64,
}

impl Part {
    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        self.conversions += other.conversions;
        self.amount += other.amount;
        self.orders += other.orders;
    }
}

/// Which step of a difference a part belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// What the first run credits.
    Before,
    /// What a cause adds to it.
    Cause(Cause),
    /// What the second run credits.
    After,
}

/// The parts of a model, a currency, and dimension values; of all values where there is no label.
pub(super) type Parts = BTreeMap<(u32, String, Option<u32>, Step), Part>;

/// What one order does to one model.
type Effects = BTreeMap<(u32, Step), (i128, i128)>;

/// Both runs, and what tells why they differ.
pub(super) struct Pair<'a> {
    pub(super) before: &'a Side,
    pub(super) after: &'a Side,
    /// What either run knows of the touches of [`changed`].
    pub(super) touches: [BTreeMap<u32, Touch>; 2],
    /// Whether the runs were asked otherwise.
    pub(super) settings_differ: bool,
}

/// The touches of which it must be known what either run knows: those that are in the journey of an
/// order in one run only, or are called otherwise.
pub(super) fn changed(before: &Side, after: &Side) -> BTreeSet<u32> {
    let mut changed = BTreeSet::new();
    for (id, was) in &before.credits {
        let Some(is) = after.credits.get(id) else { continue };
        for (model, was) in was {
            let Some(is) = is.get(model) else { continue };
            if was != is {
                let named = |credits: &[Credit]| -> BTreeSet<(Option<u32>, u32)> {
                    credits.iter().map(|credit| (credit.touch, credit.label)).collect()
                };
                let (was, is) = (named(was), named(is));
                changed.extend(was.symmetric_difference(&is).filter_map(|(touch, _)| *touch));
            }
        }
    }
    changed
}

impl Pair<'_> {
    /// What every order does: the parts of every step, by the models that both runs have.
    pub(super) fn account(&self, models: &[u32]) -> Parts {
        let mut parts = Parts::new();
        let ids: BTreeSet<&String> =
            self.before.credits.keys().chain(self.after.credits.keys()).collect();
        for id in ids {
            let (was, is) = (self.before.credits.get(id), self.after.credits.get(id));
            for model in models {
                let of_model = |credits: Option<&OfOrder>| {
                    credits.and_then(|credits| credits.get(model)).cloned().unwrap_or_default()
                };
                self.add(&mut parts, id, *model, &of_model(was), &of_model(is));
            }
        }
        // What has nothing in one of the runs has a line that says so.
        let keys: Vec<(u32, String, Option<u32>)> = parts
            .keys()
            .map(|(model, currency, label, _)| (*model, currency.clone(), *label))
            .collect();
        for (model, currency, label) in keys {
            for end in [Step::Before, Step::After] {
                parts.entry((model, currency.clone(), label, end)).or_default();
            }
        }
        parts
    }

    /// Adds what one order does under one model.
    fn add(&self, parts: &mut Parts, id: &str, model: u32, was: &[Credit], is: &[Credit]) {
        let currency = |side: &Side| {
            side.orders.get(id).and_then(|order| order.currency.clone()).unwrap_or_default()
        };
        let (before, after) = (currency(self.before), currency(self.after));
        let (mut here, mut there) = (Effects::new(), Effects::new());
        sum(&mut here, Step::Before, was, 1);
        sum(&mut there, Step::After, is, 1);
        if let Some(cause) = self.whole_cause(id, was, is, before == after) {
            sum(&mut here, Step::Cause(cause), was, -1);
            sum(&mut there, Step::Cause(cause), is, 1);
        } else {
            self.steps(&mut here, id, was, is);
        }
        for (currency, effects) in [(before, here), (after, there)] {
            let mut steps: BTreeMap<Step, Part> = BTreeMap::new();
            let some = effects.into_iter().filter(|(_, effect)| *effect != (0, 0));
            for ((label, step), (conversions, amount)) in some {
                let part = Part { conversions, amount, orders: 1 };
                let key = (model, currency.clone(), Some(label), step);
                parts.entry(key).or_default().add(&part);
                let all = steps.entry(step).or_default();
                all.add(&part);
                all.orders = 1;
            }
            for (step, part) in steps {
                parts.entry((model, currency.clone(), None, step)).or_default().add(&part);
            }
        }
    }

    /// Why an order as a whole is in one of the runs only, or in another currency.
    fn whole_cause(
        &self,
        id: &str,
        was: &[Credit],
        is: &[Credit],
        same_currency: bool,
    ) -> Option<Cause> {
        let (before, after) = (self.before.orders.get(id), self.after.orders.get(id));
        match (was.is_empty(), is.is_empty(), before, after) {
            (true, true, ..) => None,
            (false, false, ..) => (!same_currency).then_some(Cause::Currency),
            (true, false, None, _) => Some(Cause::NewOrder),
            (false, true, _, None) => Some(Cause::GoneOrder),
            (true, false, Some(without), Some(with)) => {
                Some(left_out(without, with, Cause::Reinstated))
            }
            (false, true, Some(with), Some(without)) => {
                Some(left_out(without, with, Cause::Cancelled))
            }
            _ => Some(Cause::Other),
        }
    }

    /// Leads an order from the first run to the second.
    fn steps(&self, effects: &mut Effects, id: &str, was: &[Credit], is: &[Credit]) {
        let of_touch: BTreeMap<Option<u32>, &Credit> =
            is.iter().map(|credit| (credit.touch, credit)).collect();
        let same_shares = was.len() == is.len()
            && was.iter().zip(is).all(|(was, is)| (was.touch, was.share) == (is.touch, is.share));
        // What each touch of the first run has once the order is worth what it is in the second.
        let sum = |credits: &[Credit]| -> i128 {
            credits.iter().map(|credit| i128::from(credit.amount)).sum()
        };
        let amounts = if same_shares {
            is.iter().map(|credit| credit.amount).collect()
        } else if sum(was) == sum(is) {
            was.iter().map(|credit| credit.amount).collect()
        } else {
            divided(was, sum(is))
        };
        let worth = Step::Cause(self.amount_cause(id));
        let mut now: BTreeMap<u32, (i128, i128)> = BTreeMap::new();
        for (credit, amount) in was.iter().zip(&amounts) {
            change(effects, credit.label, worth, (0, i128::from(amount - credit.amount)));
            let mut label = credit.label;
            let credited = (i128::from(credit.share), i128::from(*amount));
            if let Some(other) = of_touch.get(&credit.touch).filter(|other| other.label != label) {
                let step = Step::Cause(self.label_cause(credit, other));
                change(effects, label, step, (-credited.0, -credited.1));
                change(effects, other.label, step, credited);
                label = other.label;
            }
            let cell = now.entry(label).or_default();
            *cell = (cell.0 + credited.0, cell.1 + credited.1);
        }
        let mut left: BTreeMap<u32, (i128, i128)> = BTreeMap::new();
        for credit in is {
            let cell = left.entry(credit.label).or_default();
            *cell = (cell.0 + i128::from(credit.share), cell.1 + i128::from(credit.amount));
        }
        for (label, (conversions, amount)) in now {
            let cell = left.entry(label).or_default();
            *cell = (cell.0 - conversions, cell.1 - amount);
        }
        if left.values().any(|left| *left != (0, 0)) {
            let step = Step::Cause(self.journey_cause(id, was, is));
            for (label, rest) in left {
                change(effects, label, step, rest);
            }
        }
    }

    fn amount_cause(&self, id: &str) -> Cause {
        let (Some(was), Some(is)) = (self.before.orders.get(id), self.after.orders.get(id)) else {
            return Cause::Other;
        };
        if was.price != is.price {
            Cause::Price
        } else if was.refunded.unwrap_or(0) != is.refunded.unwrap_or(0) {
            Cause::Refund
        } else if was.amount != is.amount {
            Cause::Converted
        } else {
            Cause::Other
        }
    }

    /// Why a touch is called otherwise.
    fn label_cause(&self, was: &Credit, is: &Credit) -> Cause {
        let known = |side: usize| was.touch.and_then(|touch| self.touches[side].get(&touch));
        let (before, after) = (known(0), known(1));
        let differ = |of: fn(&Touch) -> u32| before.map(of) != after.map(of);
        if was.tags != is.tags {
            if differ(|touch| touch.tags) { Cause::Tags } else { Cause::DiscountCode }
        } else if differ(|touch| touch.fields) {
            Cause::Fields
        } else {
            Cause::ChannelRules
        }
    }

    /// Why an order has other touches, or the same with other shares.
    fn journey_cause(&self, id: &str, was: &[Credit], is: &[Credit]) -> Cause {
        let of = |credits: &[Credit]| -> BTreeSet<u32> {
            credits.iter().filter_map(|credit| credit.touch).collect()
        };
        let (touches, now) = (of(was), of(is));
        let [before, after] = &self.touches;
        let gained: Vec<&u32> = now.difference(&touches).collect();
        let lost: Vec<&u32> = touches.difference(&now).collect();
        if gained.iter().any(|touch| !before.contains_key(touch)) {
            return Cause::LateTouches;
        }
        if lost.iter().any(|touch| !after.contains_key(touch)) {
            return Cause::GoneTouches;
        }
        // A touch that both runs know is of the order's person in one of them only.
        let of_others = |touches: &[&u32], known: &BTreeMap<u32, Touch>, side: &Side| {
            let person = side.person(id);
            touches
                .iter()
                .filter_map(|touch| known.get(touch))
                .any(|touch| Some(touch.person.as_str()) != person)
        };
        let differ = !gained.is_empty() || !lost.is_empty();
        if of_others(&gained, before, self.before) || of_others(&lost, after, self.after) {
            return Cause::Identity;
        }
        let previous = (self.before.previous(id), self.after.previous(id));
        if differ && previous.0 != previous.1 {
            // The previous order came with a person that was another one.
            let came = |side: &Side, previous: Option<&(i64, String)>| {
                let whose = previous.and_then(|(_, other)| side.person(other));
                whose.is_some() && whose != side.person(id)
            };
            let joined = came(self.before, previous.1) || came(self.after, previous.0);
            return if joined { Cause::Identity } else { Cause::PreviousOrder };
        }
        let at = |side: &Side| side.orders.get(id).map(|order| order.at);
        let times = |credits: &[Credit]| -> BTreeMap<Option<u32>, Option<i64>> {
            credits.iter().map(|credit| (credit.touch, credit.at)).collect()
        };
        let (when, when_now) = (times(was), times(is));
        let of_both = when
            .iter()
            .any(|(touch, at)| when_now.get(touch).is_some_and(|now| touch.is_some() && now != at));
        let known = |side: &BTreeMap<u32, Touch>, touch: u32| side.get(&touch).map(|one| one.at);
        let of_one =
            gained.iter().chain(&lost).any(|touch| known(before, **touch) != known(after, **touch));
        if at(self.before) != at(self.after) || of_both || of_one {
            Cause::Times
        } else if !differ {
            Cause::Weights
        } else if self.settings_differ {
            Cause::Settings
        } else {
            Cause::Other
        }
    }
}

/// Why an order is reported by one run, and left out by the other, which knows it; `cancelled` is the
/// cause where only one of them has it cancelled.
fn left_out(without: &Order, with: &Order, cancelled: Cause) -> Cause {
    match without.not_counted.as_deref() {
        // The same order counts where cancelled ones do.
        Some("cancelled") if with.cancelled => Cause::Settings,
        Some("cancelled") => cancelled,
        Some("without_rate") => Cause::Rate,
        Some("filtered") => Cause::Filtered,
        Some("outside_period") | None => Cause::Moved,
        Some(_) => Cause::Other,
    }
}

/// An amount divided as credits are, by their shares.
fn divided(credits: &[Credit], amount: i128) -> Vec<i64> {
    let mut amounts = vec![0; credits.len()];
    let mut divider = Divider::default();
    divider.weigh(&credits.iter().map(|credit| credit.share as f64).collect::<Vec<_>>());
    // The credits of an order sum to its amount, which is of 64 bits.
    if let (Ok(amount), false) = (i64::try_from(amount), credits.is_empty()) {
        divider.divide(amount, &mut amounts);
    }
    amounts
}

fn change(effects: &mut Effects, label: u32, step: Step, by: (i128, i128)) {
    let cell = effects.entry((label, step)).or_default();
    *cell = (cell.0 + by.0, cell.1 + by.1);
}

fn sum(effects: &mut Effects, step: Step, credits: &[Credit], sign: i128) {
    for credit in credits {
        let by = (sign * i128::from(credit.share), sign * i128::from(credit.amount));
        change(effects, credit.label, step, by);
    }
}
