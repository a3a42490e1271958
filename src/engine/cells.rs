//! The sums of a report, one cell per combination of dimension values: exact, and mergeable in
//! any order.

use std::collections::BTreeSet;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use serde::{Deserialize, Serialize};

use crate::engine::{ByRole, Part};
use crate::journeys::Role;

/// The touch combination of orders that had no touch.
pub const UNATTRIBUTED_CELL: u32 = u32::MAX;

/// What one model credits to a cell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credited {
    /// Conversions, in units of [`WHOLE`](crate::credits::WHOLE).
    pub conversions: i128,
    /// Minor units.
    pub amount: i128,
    /// The part of the conversions that are their person's first.
    pub first_conversions: i128,
    /// The part of the amount that is of those.
    pub first_amount: i128,
    /// The part of the conversions that is a touch's: not of orders without one.
    pub timed: i128,
    /// Seconds from touch to order, times those conversions.
    pub seconds: i128,
}

impl Credited {
    /// What a model credits to one order's touches in a cell: `seconds` from each to the order, times
    /// its share, or none of an order without touches; `first` where the order is its person's first.
    pub(super) fn of_order(share: i64, amount: i64, seconds: Option<i128>, first: bool) -> Self {
        let (conversions, amount) = (i128::from(share), i128::from(amount));
        let if_first = |part: i128| if first { part } else { 0 };
        Self {
            conversions,
            amount,
            first_conversions: if_first(conversions),
            first_amount: if_first(amount),
            timed: if seconds.is_some() { conversions } else { 0 },
            seconds: seconds.unwrap_or(0),
        }
    }

    /// Adds what is credited elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.conversions += other.conversions;
        self.amount += other.amount;
        self.first_conversions += other.first_conversions;
        self.first_amount += other.first_amount;
        self.timed += other.timed;
        self.seconds += other.seconds;
    }
}

/// What is counted in a cell, whatever the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// The combination of touch dimensions.
    pub touch: u32,
    /// The combination of order dimensions.
    pub order: u32,
    /// Distinct orders with a touch here.
    pub orders: u64,
    /// Distinct persons with such an order.
    pub persons: u64,
    /// Touches by role: alone, initiator, assisting, closer.
    pub roles: [u64; 4],
    last_order: u32,
    last_person: u32,
    /// The place of the cell among those of the last order.
    place: u32,
}

/// All cells of a part of a run.
#[derive(Default)]
pub struct Cells {
    pub(super) models: usize,
    hasher: DefaultHashBuilder,
    index: HashTable<u32>,
    pub(super) sums: Vec<Cell>,
    pub(super) credited: Vec<Credited>,
    /// Credit by role, one entry a cell, where it is asked for.
    pub(super) by_role: Option<Vec<ByRole>>,
}

impl Cells {
    /// No cells yet, for so many models, with credit by role or without.
    pub fn new(models: usize, by_role: bool) -> Self {
        Self { models, by_role: by_role.then(Vec::new), ..Self::default() }
    }

    /// The cell of a combination, as a position; made if it is new.
    pub fn find(&mut self, touch: u32, order: u32) -> usize {
        let hash = self.hasher.hash_one((touch, order));
        let (cells, hasher) = (&self.sums, &self.hasher);
        let entry = self.index.entry(
            hash,
            |at| (cells[*at as usize].touch, cells[*at as usize].order) == (touch, order),
            |at| hasher.hash_one((cells[*at as usize].touch, cells[*at as usize].order)),
        );
        #[expect(
            clippy::cast_possible_truncation,
            reason = "no more cells than touches and orders"
        )]
        let found = *entry.or_insert(cells.len() as u32).get() as usize;
        if found == self.sums.len() {
            self.sums.push(Cell {
                touch,
                order,
                orders: 0,
                persons: 0,
                roles: [0; 4],
                last_order: u32::MAX,
                last_person: u32::MAX,
                place: 0,
            });
            self.credited.resize(self.sums.len() * self.models, Credited::default());
            if let Some(by_role) = &mut self.by_role {
                by_role.push(ByRole::new(self.models));
            }
        }
        found
    }

    /// How many cells there are.
    pub fn len(&self) -> usize {
        self.sums.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// Where the cell of a combination is, if there is one.
    pub(super) fn place_of(&self, touch: u32, order: u32) -> Option<usize> {
        let cell = |at: &u32| &self.sums[*at as usize];
        let same = |at: &u32| (cell(at).touch, cell(at).order) == (touch, order);
        self.index.find(self.hasher.hash_one((touch, order)), same).map(|at| *at as usize)
    }

    /// The place of a cell among those of an order, where the order has it; else counts the order and
    /// its person there, and gives it the `next` place.
    ///
    /// Orders must come person by person.
    pub(super) fn place(&mut self, cell: usize, (order, person): (u32, u32), next: u32) -> u32 {
        let sums = &mut self.sums[cell];
        if sums.last_order != order {
            sums.last_order = order;
            sums.orders += 1;
            sums.place = next;
        }
        if sums.last_person != person {
            sums.last_person = person;
            sums.persons += 1;
        }
        sums.place
    }

    /// Counts a touch of the order.
    pub(super) fn meet(&mut self, cell: usize, role: Role, first: bool) {
        self.sums[cell].roles[role as usize] += 1;
        if let Some(by_role) = &mut self.by_role {
            by_role[cell].meet(role, first);
        }
    }

    /// Adds what a model credits to the cell of one order.
    pub(super) fn credit(&mut self, (cell, model): (usize, usize), credited: &Credited) {
        self.credited[cell * self.models + model].add(credited);
    }

    /// Adds what a model credits to a touch by its role, where that is asked for.
    pub(super) fn credit_role(
        &mut self,
        (cell, model): (usize, usize),
        (role, first): (Role, bool),
        part: Part,
    ) {
        if let Some(by_role) = &mut self.by_role {
            by_role[cell].credit(model, role, first, part);
        }
    }

    /// Counts the one person of these cells in those only that are not among `counted`, the touch and
    /// order combinations where it was counted before.
    pub fn count_once(&mut self, counted: &mut BTreeSet<(u32, u32)>) {
        for cell in &mut self.sums {
            if !counted.insert((cell.touch, cell.order)) {
                cell.persons = 0;
            }
        }
    }

    /// Adds what is known of the cell of a combination from elsewhere, of other orders and persons; returns
    /// where the cell is.
    pub fn add(
        &mut self,
        (touch, order): (u32, u32),
        (orders, persons, roles): (u64, u64, [u64; 4]),
        credited: &[Credited],
        by_role: Option<&ByRole>,
    ) -> usize {
        let at = self.find(touch, order);
        let sum = &mut self.sums[at];
        sum.orders += orders;
        sum.persons += persons;
        for (role, count) in sum.roles.iter_mut().zip(roles) {
            *role += count;
        }
        let mine = &mut self.credited[at * self.models..][..self.models];
        for (mine, theirs) in mine.iter_mut().zip(credited) {
            mine.add(theirs);
        }
        if let (Some(mine), Some(theirs)) = (&mut self.by_role, by_role) {
            mine[at].add(theirs);
        }
        at
    }

    /// Adds the cells of other persons; returns where each of theirs is among these.
    pub fn merge(&mut self, other: &Self) -> Vec<usize> {
        let add = |(cell, credited, by_role): (&Cell, &[Credited], Option<&ByRole>)| {
            let counts = (cell.orders, cell.persons, cell.roles);
            self.add((cell.touch, cell.order), counts, credited, by_role)
        };
        other.iter().map(add).collect()
    }

    /// Forgets every cell, and keeps the space.
    pub(super) fn clear(&mut self) {
        self.index.clear();
        self.sums.clear();
        self.credited.clear();
        if let Some(by_role) = &mut self.by_role {
            by_role.clear();
        }
    }

    /// Every cell with what each model credits to it, and by role where that is asked for, in no
    /// order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (&Cell, &[Credited], Option<&ByRole>)> {
        let by_role = |cell: usize| self.by_role.as_ref().map(|by_role| &by_role[cell]);
        let credited = self.credited.chunks(self.models.max(1));
        let cells = self.sums.iter().zip(credited).enumerate();
        cells.map(move |(at, (cell, credited))| (cell, credited, by_role(at)))
    }
}
