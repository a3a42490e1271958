//! Exact probabilities of a chain: one sparse linear system, solved by factorisation.
//!
//! With Q the probabilities among states and r those of CONVERSION, the probability of conversion
//! from each state is h = (I − Q)⁻¹ r, and START's is that of a journey. Every state leads to an
//! end, so the system has one solution. Its columns, transposed, are dominated by the diagonal:
//! pivots stay there, nothing is amplified, and the arithmetic is the same on every machine.

use std::mem::replace;

use rsparse::data::{Nmrc, Sprs, Symb};
use rsparse::{lsolve, ltsolve, lu, schol, usolve, utsolve};

use super::Chain;
use crate::error::{Error, Result};
use crate::stop;

/// The most multiplications that a system may take: minutes of one core.
pub(super) const MOST_WORK: f64 = 1e11;

/// The most numbers that a factor may hold: half a gigabyte.
const MOST_NUMBERS: f64 = 3e7;

/// What becomes of steps to states that are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// They lead to NULL.
    Kept,
    /// The other steps of a state take their part.
    Shared,
}

/// A factorised system over some states of a chain.
pub(super) struct System {
    /// The place of each state among those of the system; none of those left out.
    pub(super) place: Vec<Option<usize>>,
    symbolic: Symb,
    numeric: Nmrc<f64>,
    /// The probability of CONVERSION next, by place.
    converts: Vec<f64>,
}

/// How much work a system is, before it is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Work {
    /// Numbers in each factor.
    pub(super) numbers: f64,
    /// Multiplications to factorise.
    pub(super) multiplications: f64,
}

impl Work {
    /// An error if it is more than anybody waits for.
    pub(super) fn check(self, chain: &Chain, states: usize) -> Result<()> {
        if self.multiplications <= MOST_WORK && self.numbers <= MOST_NUMBERS {
            return Ok(());
        }
        Err(Error::Contradiction(format!(
            "a chain of {} channels and {states} states is too large to be solved exactly; ask for a lower `order`, or for fewer channels, such as `by=channel_group`",
            chain.channels.len()
        )))
    }
}

/// The probability of conversion over the states that are `kept`; START always is.
pub(super) fn reach(chain: &Chain, kept: &dyn Fn(usize) -> bool, lost: Lost) -> Result<f64> {
    stop::check()?;
    let system = System::new(chain, kept, lost)?;
    Ok(system.converting()[system.place[0].unwrap_or_default()])
}

/// Whether each state that is `kept` leads to CONVERSION over others that are.
///
/// Where others take the part of states that are left out, a state can be left with steps that go round
/// and round, and lead to no end.
pub(super) fn leads_to_conversion(chain: &Chain, kept: &dyn Fn(usize) -> bool) -> Vec<bool> {
    let mut before = vec![Vec::new(); chain.states.len()];
    let mut found = Vec::new();
    for (from, state) in chain.states.iter().enumerate().filter(|(from, _)| kept(*from)) {
        for (to, _) in &state.next {
            before[*to as usize].push(from);
        }
        if state.converted > 0 {
            found.push(from);
        }
    }
    let mut leads = vec![false; chain.states.len()];
    while let Some(state) = found.pop() {
        if !replace(&mut leads[state], true) {
            found.append(&mut before[state]);
        }
    }
    leads
}

impl System {
    /// Factorises the system over the states that are `kept`.
    ///
    /// # Errors
    ///
    /// One that would take more memory or time than anybody waits for.
    pub(super) fn new(chain: &Chain, kept: &dyn Fn(usize) -> bool, lost: Lost) -> Result<Self> {
        let mut place = vec![None; chain.states.len()];
        let mut count = 0;
        let leads = match lost {
            Lost::Kept => Vec::new(),
            Lost::Shared => leads_to_conversion(chain, kept),
        };
        for (state, place) in place.iter_mut().enumerate() {
            if kept(state) {
                *place = Some(count);
                count += 1;
            }
        }
        // The transposed system: a column holds what follows one state.
        let (mut steps, mut both) = (Vec::new(), Vec::new());
        let mut converts = vec![0.0; count];
        for (from_state, (state, at)) in chain.states.iter().zip(&place).enumerate() {
            let Some(from) = *at else { continue };
            let next =
                state.next.iter().filter_map(|(to, times)| Some((place[*to as usize]?, *times)));
            let left: u64 = next.clone().map(|(_, times)| times).sum();
            let ends = state.converted + state.lost;
            let visits = match lost {
                Lost::Kept => state.visits(),
                Lost::Shared => left + ends,
            };
            let stuck = leads.get(from_state).is_some_and(|leads| !leads);
            if visits == 0 || stuck {
                // All that followed is left out, or goes round and round: nothing is reached from here.
                steps.push((from, from, 1.0));
                both.push((from, from, 1.0));
                continue;
            }
            let part = |times: u64| times as f64 / visits as f64;
            let itself = next.clone().find(|(to, _)| *to == from).map_or(0, |(_, times)| times);
            // Counted, and not one less a fraction: nothing cancels.
            steps.push((from, from, part(visits - itself)));
            both.push((from, from, 1.0));
            for (to, times) in next.filter(|(to, _)| *to != from) {
                steps.push((from, to, -part(times)));
                both.extend([(from, to, 1.0), (to, from, 1.0)]);
            }
            converts[from] = part(state.converted);
        }
        // Factors hold at least what there is.
        Work { numbers: steps.len() as f64 / 2.0, multiplications: 0.0 }.check(chain, count)?;
        let (order, work) = analysed(&matrix(count, both));
        work.check(chain, count)?;
        let mut symbolic = Symb::new();
        symbolic.q = Some(order);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounded above, and not negative"
        )]
        let numbers = work.numbers as usize + count;
        (symbolic.lnz, symbolic.unz) = (numbers, numbers);
        // Pivots stay on the diagonal, which is the greatest of its column.
        let numeric = lu(&matrix(count, steps), &mut symbolic, 0.0)
            .map_err(|_| Error::Broken("a chain has a state that leads to no end".to_owned()))?;
        Ok(Self { place, symbolic, numeric, converts })
    }

    /// The probability of conversion from each state, by place.
    pub(super) fn converting(&self) -> Vec<f64> {
        self.before_ends(&self.converts)
    }

    /// Solves (I − Q) x = b.
    pub(super) fn before_ends(&self, right: &[f64]) -> Vec<f64> {
        // The factors are those of the transposed system P M Q = L U, so Mᵀ x = b reads Uᵀ Lᵀ.
        let count = right.len();
        let (mut inner, mut solved) = (vec![0.0; count], vec![0.0; count]);
        for (at, value) in inner.iter_mut().enumerate() {
            *value = right[self.symbolic.q.as_ref().map_or(at, |q| q[at].unsigned_abs())];
        }
        utsolve(&self.numeric.u, &mut inner);
        ltsolve(&self.numeric.l, &mut inner);
        for (at, value) in solved.iter_mut().enumerate() {
            *value = inner[self.numeric.pinv.as_ref().map_or(at, |pinv| pinv[at].unsigned_abs())];
        }
        solved
    }

    /// Solves (I − Q)ᵀ x = b: with START alone in b, how often each state is visited.
    pub(super) fn after_start(&self, right: &[f64]) -> Vec<f64> {
        let count = right.len();
        let (mut inner, mut solved) = (vec![0.0; count], vec![0.0; count]);
        for (at, value) in right.iter().enumerate() {
            inner[self.numeric.pinv.as_ref().map_or(at, |pinv| pinv[at].unsigned_abs())] = *value;
        }
        lsolve(&self.numeric.l, &mut inner);
        usolve(&self.numeric.u, &mut inner);
        for (at, value) in inner.iter().enumerate() {
            solved[self.symbolic.q.as_ref().map_or(at, |q| q[at].unsigned_abs())] = *value;
        }
        solved
    }

    /// How many numbers both factors hold.
    pub(super) fn numbers(&self) -> usize {
        self.numeric.l.x.len() + self.numeric.u.x.len()
    }
}

/// A square matrix of some (column, row, number); of those in one place the first is taken.
fn matrix(count: usize, mut numbers: Vec<(usize, usize, f64)>) -> Sprs<f64> {
    numbers.sort_by_key(|(column, row, _)| (*column, *row));
    numbers.dedup_by_key(|(column, row, _)| (*column, *row));
    let mut matrix = Sprs::zeros(count, count, numbers.len());
    for (at, (column, row, number)) in numbers.into_iter().enumerate() {
        matrix.p[column + 1] += 1;
        (matrix.i[at], matrix.x[at]) = (row, number);
    }
    for column in 0..count {
        matrix.p[column + 1] += matrix.p[column];
    }
    matrix
}

/// An order of elimination that keeps factors sparse, and what it leads to.
fn analysed(pattern: &Sprs<f64>) -> (Vec<isize>, Work) {
    let count = pattern.n;
    // The ordering looks at the second last of them.
    let symbolic = schol(pattern, if count < 3 { -1 } else { 0 });
    let mut order: Vec<isize> = (0..).take(count).collect();
    if let Some(places) = &symbolic.pinv {
        for (at, place) in (0..).zip(&places[..count]) {
            order[place.unsigned_abs()] = at;
        }
    }
    let columns = symbolic.cp.windows(2).map(|pair| (pair[1] - pair[0]) as f64);
    let numbers = columns.clone().sum();
    let multiplications = columns.map(|numbers| numbers * numbers).sum();
    (order, Work { numbers, multiplications })
}
