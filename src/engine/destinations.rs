//! Where the credit of one order goes: the cells that its touches have, and their sums.
//!
//! A journey has many touches and few cells. What a model gives is added up by cell within the order,
//! in 64 bits where they do, and goes to the report's sums once a cell. Where an order is divided among
//! its items, a touch has one cell for each part.

use crate::credits::{Divider, WHOLE};
use crate::engine::{Cells, Credited, Part, Work};
use crate::journeys::Role;

/// Combinations of touch dimensions up to this number have their place remembered in a table.
const REMEMBERED: usize = 1 << 16;

/// The place of a touch that earns nothing, because of its day.
const NOWHERE: u32 = u32::MAX;

/// An order, as its destinations look at it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Earning {
    /// Its position.
    pub(super) order: u32,
    /// Its person.
    pub(super) person: u32,
    /// Whether it is that person's first conversion.
    pub(super) first: bool,
}

/// The cells of one order; its space is used again and again.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    cells: Vec<Sums>,
    /// The place of each touch of the journey: of its first part.
    places: Vec<u32>,
    /// The seconds from each touch to the order.
    seconds: Vec<i64>,
    /// The order that last had a touch of this combination, and its place in it.
    remembered: Vec<(u32, u32)>,
    parts: usize,
    divider: Divider,
    shares: Vec<i64>,
    amounts: Vec<i64>,
}

/// What the touches of an order in one cell earn under one model.
#[derive(Debug, Default, Clone, Copy)]
struct Sums {
    cell: usize,
    share: i64,
    amount: i64,
    seconds: i128,
}

impl Sums {
    fn add(&mut self, share: i64, amount: i64, seconds: i64) {
        self.share += share;
        self.amount += amount;
        self.seconds += i128::from(share) * i128::from(seconds);
    }
}

impl Destinations {
    /// Begins with an order.
    pub(super) fn begin(&mut self, work: &Work<'_>, order: usize) {
        self.cells.clear();
        self.places.clear();
        self.seconds.clear();
        self.parts = 1;
        if let Some(parts) = work.parts {
            let range = parts.starts[order] as usize..parts.starts[order + 1] as usize;
            self.parts = range.len();
            self.divider.weigh(&parts.weights[range]);
        }
    }

    /// Adds the next touch of the journey and counts it in its cells.
    pub(super) fn add(
        &mut self,
        work: &Work<'_>,
        cells: &mut Cells,
        earning: Earning,
        combination: u32,
        (role, seconds): (Role, i64),
    ) {
        let place = self.place(work, cells, earning, combination);
        for sums in &self.cells[place as usize..][..self.parts] {
            cells.meet(sums.cell, role, earning.first);
        }
        self.places.push(place);
        self.seconds.push(seconds);
    }

    /// Adds a touch that earns nothing, because of its day.
    pub(super) fn pass(&mut self) {
        self.places.push(NOWHERE);
        self.seconds.push(0);
    }

    /// Gives the whole of an order without touches to a combination, under every model.
    pub(super) fn unattributed(
        &mut self,
        work: &Work<'_>,
        cells: &mut Cells,
        earning: Earning,
        amount: i64,
    ) {
        self.place(work, cells, earning, work.unattributed);
        self.divide((WHOLE, amount));
        for (part, sums) in self.cells.iter().enumerate() {
            let (share, amount) = (self.shares[part], self.amounts[part]);
            for model in 0..work.models.len() {
                let credited = Credited::of_order(share, amount, None, earning.first);
                cells.credit((sums.cell, model), &credited);
            }
        }
    }

    /// Credits the touches of the journey: a share and an amount each, of which all that are not at
    /// `alone`, where that is given, are nothing.
    pub(super) fn credit(
        &mut self,
        cells: &mut Cells,
        model: usize,
        earning: Earning,
        (shares, amounts): (&[i64], &[i64]),
        alone: Option<usize>,
    ) {
        let touches = alone.map_or(0..shares.len(), |position| position..position + 1);
        if self.parts == 1 && cells.by_role.is_none() {
            for touch in touches {
                let place = self.places[touch];
                if place != NOWHERE {
                    let seconds = self.seconds[touch];
                    self.cells[place as usize].add(shares[touch], amounts[touch], seconds);
                }
            }
        } else {
            for touch in touches {
                let role = Role::of(touch, shares.len());
                let part = (shares[touch], amounts[touch]);
                self.credit_parts(cells, model, touch, (role, earning.first), part);
            }
        }
        for sums in &mut self.cells {
            if (sums.share, sums.amount) != (0, 0) {
                let seconds = Some(sums.seconds);
                let credited = Credited::of_order(sums.share, sums.amount, seconds, earning.first);
                cells.credit((sums.cell, model), &credited);
                *sums = Sums { cell: sums.cell, ..Sums::default() };
            }
        }
    }

    /// Adds what a touch earns to the cells of its parts, divided as the order is.
    fn credit_parts(
        &mut self,
        cells: &mut Cells,
        model: usize,
        touch: usize,
        of: (Role, bool),
        (share, amount): (i64, i64),
    ) {
        let place = self.places[touch];
        if place == NOWHERE || (share, amount) == (0, 0) {
            return;
        }
        self.divide((share, amount));
        for (part, sums) in self.cells[place as usize..][..self.parts].iter_mut().enumerate() {
            let (share, amount) = (self.shares[part], self.amounts[part]);
            sums.add(share, amount, self.seconds[touch]);
            let part = Part { conversions: share.into(), amount: amount.into() };
            cells.credit_role((sums.cell, model), of, part);
        }
    }

    /// Divides a share and an amount among the parts of the order.
    fn divide(&mut self, (share, amount): (i64, i64)) {
        self.shares.resize(self.parts, 0);
        self.amounts.resize(self.parts, 0);
        if self.parts == 1 {
            (self.shares[0], self.amounts[0]) = (share, amount);
        } else {
            self.divider.divide(share, &mut self.shares);
            self.divider.divide(amount, &mut self.amounts);
        }
    }

    /// The place of a combination among the cells of the order: the first of its parts.
    fn place(
        &mut self,
        work: &Work<'_>,
        cells: &mut Cells,
        earning: Earning,
        combination: u32,
    ) -> u32 {
        let at = combination as usize;
        match self.remembered.get(at) {
            Some((order, place)) if *order == earning.order => return *place,
            _ => {}
        }
        let order = earning.order as usize;
        let combinations = match work.parts {
            Some(parts) => {
                &parts.cells[parts.starts[order] as usize..parts.starts[order + 1] as usize]
            }
            None => std::slice::from_ref(&work.order_cells[order]),
        };
        let mut first = None;
        for of_order in combinations {
            let own = (combination, *of_order);
            let other = work.others.and_then(|others| others.get(&own));
            let (touch, of_order) = other.copied().unwrap_or(own);
            let cell = cells.find(touch, of_order);
            #[expect(clippy::cast_possible_truncation, reason = "cells are numbered in 32 bits")]
            let next = self.cells.len() as u32;
            let place = cells.place(cell, (earning.order, earning.person), next);
            if place == next {
                self.cells.push(Sums { cell, ..Sums::default() });
            }
            first.get_or_insert(place);
        }
        let first = first.unwrap_or(NOWHERE);
        if at < REMEMBERED {
            if self.remembered.len() <= at {
                self.remembered.resize(at + 1, (u32::MAX, NOWHERE));
            }
            self.remembered[at] = (earning.order, first);
        }
        first
    }
}
