//! The cells that one order's credit goes to: one a touch, or one a touch and part of the order.

use crate::credits::Divider;
use crate::engine::{Cells, Contribution, Work};

/// Where the credit of the touches of one order goes; its space is used again and again.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    /// The cells of the first touch, then of the second, and so on.
    cells: Vec<usize>,
    parts: usize,
    divider: Divider,
    shares: Vec<i64>,
    amounts: Vec<i64>,
}

impl Destinations {
    /// Begins with an order.
    pub(super) fn begin(&mut self, work: &Work<'_>, order: usize) {
        self.cells.clear();
        self.parts = 1;
        if let Some(parts) = work.parts {
            let range = parts.starts[order] as usize..parts.starts[order + 1] as usize;
            self.parts = range.len();
            self.divider.weigh(&parts.weights[range]);
        }
    }

    /// How many touches have a place.
    pub(super) fn touches(&self) -> usize {
        self.cells.len() / self.parts
    }

    /// Adds a touch of this combination and counts its contribution there.
    pub(super) fn add(
        &mut self,
        work: &Work<'_>,
        cells: &mut Cells,
        touch: u32,
        contribution: Contribution,
    ) {
        let of_order = contribution.order as usize;
        let combinations = match work.parts {
            Some(parts) => {
                &parts.cells[parts.starts[of_order] as usize..parts.starts[of_order + 1] as usize]
            }
            None => std::slice::from_ref(&work.order_cells[of_order]),
        };
        for combination in combinations {
            let cell = cells.find(touch, *combination);
            cells.meet(cell, contribution);
            self.cells.push(cell);
        }
    }

    /// Credits a touch by its place; a divided order's share and amount are divided like it.
    pub(super) fn credit(
        &mut self,
        cells: &mut Cells,
        (touch, model): (usize, usize),
        (share, amount): (i64, i64),
        contribution: Contribution,
    ) {
        if self.parts == 1 {
            cells.credit(self.cells[touch], model, (share, amount), contribution);
            return;
        }
        self.shares.resize(self.parts, 0);
        self.amounts.resize(self.parts, 0);
        self.divider.divide(share, &mut self.shares);
        self.divider.divide(amount, &mut self.amounts);
        for part in 0..self.parts {
            let cell = self.cells[touch * self.parts + part];
            cells.credit(cell, model, (self.shares[part], self.amounts[part]), contribution);
        }
    }
}
