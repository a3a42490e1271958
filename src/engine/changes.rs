//! Which orders have another journey when touches belong to others.
//!
//! The same rows are put in order twice: under one answer to the question whose they are, and under
//! another. A [`Side`] is one of the two. Not for what the change does to credit: that is the
//! difference of their cells.

use crate::engine::{JourneyRows, Work};

/// Rows under one answer to whose they are.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// The work on its partitions.
    pub work: &'a Work<'a>,
    /// The position of every merged row of orders among its orders.
    pub positions: &'a [u32],
}

impl Side<'_> {
    /// The merged row of a touch in an order's journey; of the session whose place it takes where a
    /// discount code has spoken.
    fn row(&self, order: u32, touch: u32) -> u32 {
        let replaced = self.work.replaced(order as usize).filter(|(_, to)| *to == touch);
        self.work.touches.row[replaced.map_or(touch, |(from, _)| from) as usize]
    }
}

/// Orders with their amount and their touches on either side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changed {
    /// The orders.
    pub orders: u64,
    /// What they are worth, in minor units.
    pub amount: i128,
    /// Touches in their journeys.
    pub touches: u64,
    /// Touches in their journeys on the other side.
    pub touches_without: u64,
}

impl Changed {
    fn add(&mut self, other: &Self) {
        self.orders += other.orders;
        self.amount += other.amount;
        self.touches += other.touches;
        self.touches_without += other.touches_without;
    }
}

/// How an order's journey changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Any order, changed or not.
    Any,
    /// It has other touches.
    Touches,
    /// It has touches, and none on the other side.
    Gained,
    /// It has none, and has some on the other side.
    Lost,
}

impl Change {
    /// Every kind; those after the second are among the second.
    pub const ALL: [Self; 4] = [Self::Any, Self::Touches, Self::Gained, Self::Lost];

    /// The kind's name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Any => "orders",
            Self::Touches => "changed",
            Self::Gained => "attributed_only_with",
            Self::Lost => "attributed_only_without",
        }
    }
}

/// What changed, by kind and currency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes(Vec<[Changed; Change::ALL.len()]>);

impl Changes {
    /// Nothing yet, in so many currencies.
    pub fn new(currencies: usize) -> Self {
        Self(vec![<[Changed; Change::ALL.len()]>::default(); currencies])
    }

    /// Orders of one kind in one currency.
    pub fn of(&self, change: Change, currency: usize) -> Changed {
        self.0.get(currency).map_or_else(Changed::default, |kinds| kinds[change as usize])
    }

    /// Adds what changed for other persons.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                mine.add(theirs);
            }
        }
    }

    /// Takes in the journeys of some orders on either side.
    ///
    /// Returns the journeys that changed, of the same orders in the order of the first side. A
    /// journey that a side does not have (credit is dated by touch, and none of its touches lies in
    /// the period) is one without touches.
    pub fn take(
        &mut self,
        (with, journeys): (Side<'_>, &JourneyRows),
        (without, others): (Side<'_>, &JourneyRows),
    ) -> (JourneyRows, JourneyRows) {
        let positions = |side: Side<'_>, rows: &JourneyRows, of: Side<'_>| -> Vec<(u32, usize)> {
            let row = |order: &u32| side.work.orders.row[*order as usize];
            let position = |order: &u32| of.positions[row(order) as usize];
            let mut found: Vec<_> = rows.order.iter().map(position).zip(0..).collect();
            found.sort_unstable();
            found
        };
        // Where the journey of an order is, by its position on the first side.
        let here = positions(with, journeys, with);
        let there = positions(without, others, with);
        let mut orders: Vec<u32> = here.iter().chain(&there).map(|(order, _)| *order).collect();
        orders.sort_unstable();
        orders.dedup();
        // As they come on the first side, then as they come on the other one.
        let place = |places, order| find(places, order).unwrap_or(usize::MAX);
        orders.sort_by_key(|order| (place(&here, *order), place(&there, *order)));
        let (mut changed, mut before) = (JourneyRows::default(), JourneyRows::default());
        for order in orders {
            let row = with.work.orders.row[order as usize];
            let other = without.positions[row as usize];
            let (touches, first) = journey(journeys, find(&here, order));
            let (touches_without, first_without) = journey(others, find(&there, order));
            let rows = touches.iter().map(|touch| with.row(order, *touch));
            let same = rows.eq(touches_without.iter().map(|touch| without.row(other, *touch)));
            let of_order = Changed {
                orders: 1,
                amount: i128::from(with.work.orders.amount[order as usize]),
                touches: touches.len() as u64,
                touches_without: touches_without.len() as u64,
            };
            let kinds = &mut self.0[with.work.orders.currency[order as usize] as usize];
            kinds[Change::Any as usize].add(&of_order);
            if same {
                continue;
            }
            kinds[Change::Touches as usize].add(&of_order);
            if touches_without.is_empty() {
                kinds[Change::Gained as usize].add(&of_order);
            } else if touches.is_empty() {
                kinds[Change::Lost as usize].add(&of_order);
            }
            changed.push(order, first, touches);
            before.push(other, first_without, touches_without);
        }
        (changed.ended(), before.ended())
    }
}

fn find(places: &[(u32, usize)], order: u32) -> Option<usize> {
    let found = places.binary_search_by_key(&order, |(order, _)| *order);
    found.ok().map(|at| places[at].1)
}

/// The touches of a journey, and whether its order is its person's first.
fn journey(rows: &JourneyRows, at: Option<usize>) -> (&[u32], bool) {
    at.map_or((&[], false), |at| {
        (&rows.touches[rows.starts[at]..rows.starts[at + 1]], rows.first[at])
    })
}
