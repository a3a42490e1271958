//! Journeys added up by their path: how often each path ended in an order, what those orders were
//! worth, and how often it ended in none.
//!
//! Integers, so that parts add up to the whole in any order; memory grows with distinct paths, not
//! with journeys. Not for the names of channels, nor for tables of paths: that is `paths`.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::engine::learning::each_end;
use crate::engine::partition::Walk;
use crate::engine::{Partition, Work};
use crate::error::Result;
use crate::journeys::Labels;
use crate::stop;

/// What came of the journeys of one path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathTotals {
    /// Orders, by currency.
    pub conversions: Vec<u64>,
    /// What they are worth, by currency, in minor units.
    pub amounts: Vec<i128>,
    /// Journeys that ended in no order.
    pub lost: u64,
}

impl PathTotals {
    /// The orders of every currency.
    pub fn converted(&self) -> u64 {
        self.conversions.iter().sum()
    }
}

/// Paths, each with what came of its journeys; a path is its channels by number, oldest first.
///
/// # Example
///
/// ```
/// use apportion::engine::PathSums;
/// let (mut here, mut there) = (PathSums::new(1), PathSums::new(1));
/// here.convert(&[0, 2], 0, (1, 1999));
/// there.convert(&[0, 2], 0, (1, 1));
/// there.lose(&[0, 2], 3);
/// here.merge(&there);
/// let (path, totals) = here.iter().next().unwrap();
/// assert_eq!((path, totals.converted(), totals.amounts[0], totals.lost), (&[0, 2][..], 2, 2000, 3));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathSums {
    currencies: usize,
    paths: BTreeMap<Vec<u32>, PathTotals>,
}

impl PathSums {
    /// No paths yet, with amounts in so many currencies.
    pub fn new(currencies: usize) -> Self {
        Self { currencies, paths: BTreeMap::new() }
    }

    /// Adds orders of a path in a currency: how many, and what they are worth.
    pub fn convert(&mut self, path: &[u32], currency: usize, (orders, amount): (u64, i128)) {
        let totals = self.totals(path);
        totals.conversions[currency] += orders;
        totals.amounts[currency] += amount;
    }

    /// Adds journeys of a path that ended in no order.
    pub fn lose(&mut self, path: &[u32], journeys: u64) {
        self.totals(path).lost += journeys;
    }

    /// Adds what came of other journeys.
    pub fn merge(&mut self, other: &Self) {
        for (path, theirs) in &other.paths {
            for (currency, orders) in theirs.conversions.iter().enumerate() {
                self.convert(path, currency, (*orders, theirs.amounts[currency]));
            }
            self.lose(path, theirs.lost);
        }
    }

    /// Every path with what came of it, in the order of its channels.
    pub fn iter(&self) -> impl Iterator<Item = (&[u32], &PathTotals)> {
        self.paths.iter().map(|(path, totals)| (&path[..], totals))
    }

    fn totals(&mut self, path: &[u32]) -> &mut PathTotals {
        let nothing = || PathTotals {
            conversions: vec![0; self.currencies],
            amounts: vec![0; self.currencies],
            lost: 0,
        };
        self.paths.entry(path.to_vec()).or_insert_with(nothing)
    }
}

/// Adds up the journeys of every partition by their channels: those that a model would learn from.
pub fn path_sums(
    work: &Work<'_>,
    partitions: &[Partition<'_>],
    channels: &Labels,
) -> Result<PathSums> {
    let one = |partition: &Partition<'_>| of_partition(work, *partition, channels);
    let nothing = || Ok(PathSums::new(work.currencies));
    let both = |left: Result<PathSums>, right: Result<PathSums>| {
        let (mut left, right) = (left?, right?);
        left.merge(&right);
        Ok(left)
    };
    // Integers: whichever parts are added first, the sums are the same.
    partitions.par_iter().map(one).reduce(nothing, both)
}

fn of_partition(work: &Work<'_>, partition: Partition<'_>, channels: &Labels) -> Result<PathSums> {
    stop::check()?;
    let mut sums = PathSums::new(work.currencies);
    let (mut walk, mut path) = (Walk::default(), Vec::new());
    for person in partition.persons {
        each_end(work, partition, *person, &mut walk, |selected, _, order| {
            path.clear();
            path.extend(selected.touches.iter().map(|touch| channels.codes[*touch as usize]));
            match order {
                Some(order) => {
                    let currency = work.orders.currency[order] as usize;
                    sums.convert(&path, currency, (1, i128::from(work.orders.amount[order])));
                }
                None => sums.lose(&path, 1),
            }
        })?;
    }
    Ok(sums)
}
