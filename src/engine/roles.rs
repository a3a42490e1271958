//! Credit by role, apart for first conversions and for later ones.
//!
//! Kept only where it is asked for, beside the cells and not in them, so that a cell stays small.

use serde::{Deserialize, Serialize};

use crate::journeys::Role;

/// How many roles there are.
pub const ROLES: usize = 4;

/// What a model credits to the touches of one role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Conversions, in units of [`WHOLE`](crate::credits::WHOLE).
    pub conversions: i128,
    /// Minor units.
    pub amount: i128,
}

impl Part {
    /// Adds what is credited elsewhere.
    pub fn add(&mut self, other: Self) {
        self.conversions += other.conversions;
        self.amount += other.amount;
    }
}

/// The touches of one cell by role: alone, initiator, assisting, closer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByRole {
    /// Touches that led to their person's first conversion.
    pub acquisition: [u64; ROLES],
    /// What each model credits to touches of first conversions, and of later ones.
    pub credited: Vec<[[Part; ROLES]; 2]>,
}

impl ByRole {
    /// Nothing yet, for so many models.
    pub fn new(models: usize) -> Self {
        Self { acquisition: [0; ROLES], credited: vec![Default::default(); models] }
    }

    /// Counts a touch.
    pub fn meet(&mut self, role: Role, first: bool) {
        self.acquisition[role as usize] += u64::from(first);
    }

    /// Adds what a model credits to a touch.
    pub fn credit(&mut self, model: usize, role: Role, first: bool, part: Part) {
        self.credited[model][usize::from(!first)][role as usize].add(part);
    }

    /// Adds what was counted and credited elsewhere.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.acquisition.iter_mut().zip(other.acquisition) {
            *sum += more;
        }
        let mine = self.credited.iter_mut().flatten().flatten();
        for (sum, more) in mine.zip(other.credited.iter().flatten().flatten()) {
            sum.add(*more);
        }
    }
}
