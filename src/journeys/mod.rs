//! Touches and orders as columns, person by person, and the journey of each order.
//!
//! [`Touches`] and [`Orders`] hold the rows of one person side by side, in their total order, so a
//! journey is found by search and never by a join: memory does not grow with touches times
//! orders. `window` says which touches an order's journey has, `labels` what they are called. Not
//! for what a touch is worth; that is `models`.

mod build;
mod items;
mod labels;
mod names;
mod order;
mod path;
mod window;

pub use build::{Amounts, MissingRate, OrderSettings, Rates, orders, touches};
pub(crate) use build::{date, direct_touches};
pub use items::Items;
pub use labels::{Combined, Dimension, Labels, NOT_SET, UNATTRIBUTED, combine};
pub use names::TouchNames;
pub use order::{Part, Touch};
pub use path::{Path, path_hash};
pub use window::{
    Begin, Bounds, DirectPolicy, Fate, Selected, ViewPolicy, Window, previous_orders,
};

use std::ops::Range;

/// The touches of all persons, or of some whose numbers follow each other.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Touches {
    /// The first of the persons.
    pub first: u32,
    /// Where each person's touches begin; one more entry than there are persons.
    pub starts: Vec<u32>,
    /// When each touch was; not decreasing within a person.
    pub at: Vec<i64>,
    /// Whether the touch is direct.
    pub direct: Vec<bool>,
    /// Whether the touch is an ad that was seen and not clicked.
    pub view: Vec<bool>,
    /// The touch's row in the merged table.
    pub row: Vec<u32>,
}

/// The orders of all persons.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Orders {
    /// Where each person's orders begin; one more entry than there are persons.
    pub starts: Vec<u32>,
    /// When each order was made; not decreasing within a person.
    pub at: Vec<i64>,
    /// What each is worth, in minor units of its currency.
    pub amount: Vec<i64>,
    /// The order's currency, as a position in the run's list of currencies.
    pub currency: Vec<u16>,
    /// The order's conversion type, numbered.
    pub kind: Vec<u32>,
    /// Whether the order counts: it is not cancelled, or cancelled ones count.
    pub counted: Vec<bool>,
    /// Whether the order lies in the period that is reported.
    pub reported: Vec<bool>,
    /// Whether the order is among those that are asked for; others still end windows.
    pub wanted: Vec<bool>,
    /// The order's row in the merged table.
    pub row: Vec<u32>,
}

impl Touches {
    /// Makes space for so many more touches of so many more persons.
    fn reserve(&mut self, touches: usize, persons: usize) {
        self.starts.reserve(persons);
        self.at.reserve(touches);
        self.direct.reserve(touches);
        self.view.reserve(touches);
        self.row.reserve(touches);
    }

    /// The touches of a person.
    pub fn of(&self, person: u32) -> Range<usize> {
        person.checked_sub(self.first).map_or(0..0, |person| range(&self.starts, person))
    }
}

impl Orders {
    /// The orders of a person.
    pub fn of(&self, person: u32) -> Range<usize> {
        range(&self.starts, person)
    }
}

fn range(starts: &[u32], person: u32) -> Range<usize> {
    let person = person as usize;
    match starts.get(person + 1) {
        Some(end) => starts[person] as usize..*end as usize,
        None => 0..0,
    }
}

/// What a touch did in its journey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is the only one.
    Alone,
    /// It came first.
    Initiator,
    /// It came between.
    Assisting,
    /// It came last.
    Closer,
}

impl Role {
    /// Every role, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Alone, Self::Initiator, Self::Assisting, Self::Closer];

    /// The role of the touch at `position` (from zero) of `touches`.
    ///
    /// # Example
    ///
    /// ```
    /// use apportion::journeys::Role;
    /// let roles: Vec<_> = (0..3).map(|position| Role::of(position, 3).name()).collect();
    /// assert_eq!(roles, ["initiator", "assisting", "closer"]);
    /// assert_eq!(Role::of(0, 1), Role::Alone);
    /// ```
    pub const fn of(position: usize, touches: usize) -> Self {
        match (position, touches) {
            (_, 1) => Self::Alone,
            (0, _) => Self::Initiator,
            _ if position + 1 == touches => Self::Closer,
            _ => Self::Assisting,
        }
    }

    /// The role's name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Initiator => "initiator",
            Self::Assisting => "assisting",
            Self::Closer => "closer",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touches_begin_end_and_assist_or_are_alone() {
        let roles = |touches: usize| -> Vec<&str> {
            (0..touches).map(|position| Role::of(position, touches).name()).collect()
        };
        assert_eq!(roles(1), ["alone"]);
        assert_eq!(roles(2), ["initiator", "closer"]);
        assert_eq!(roles(4), ["initiator", "assisting", "assisting", "closer"]);
    }
}
