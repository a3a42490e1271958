//! What is counted and credited in cells as rows of whole numbers, one row a person, and back.
//!
//! Resamples count persons, so they need each person's part of every sum. Not for how the parts are
//! added up; that is `bootstrap`.

use crate::bootstrap::PersonRows;
use crate::engine::{ByRole, Cell, Cells, Credited, Part, ROLES};
use crate::error::{Error, Result};

/// Numbers of a cell that are the same for every model.
const COUNTS: usize = 2 + ROLES;

/// The place of the count of persons among them.
const PERSONS: usize = 1;

/// Numbers of what a model credits to a cell.
const CREDITS: usize = 6;

/// Numbers of what a model credits to a cell by role.
const CREDITS_BY_ROLE: usize = 2 * 2 * ROLES;

impl Cells {
    /// How many numbers a cell is.
    pub fn width(&self) -> usize {
        let plain = COUNTS + self.models * CREDITS;
        let by_role = ROLES + self.models * CREDITS_BY_ROLE;
        plain + if self.by_role.is_some() { by_role } else { 0 }
    }

    /// The model that credits a number of a cell; none where it is a count.
    pub fn model_of(&self, number: usize) -> Option<usize> {
        let of_roles = COUNTS + self.models * CREDITS;
        if number < of_roles {
            return number.checked_sub(COUNTS).map(|at| at / CREDITS);
        }
        number.checked_sub(of_roles + ROLES).map(|at| at / CREDITS_BY_ROLE)
    }

    /// Ends the row of the person whose cells these are; `places` says where they are among others.
    ///
    /// What models that learn credit is no sum of persons: in another resample they learn otherwise.
    pub(super) fn push_person(
        &self,
        places: &[usize],
        person: u32,
        learns: &[bool],
        rows: &mut PersonRows,
    ) {
        let width = self.width();
        for ((cell, credited, by_role), place) in self.iter().zip(places) {
            let numbers = numbers(cell, credited, by_role);
            for (at, number) in numbers.into_iter().enumerate() {
                if !self.model_of(at).is_some_and(|model| learns[model]) {
                    rows.push(place * width + at, number);
                }
            }
        }
        rows.end(person);
    }

    /// Adds the numbers of these cells, so many times, to those of other cells, of which these are some.
    ///
    /// # Errors
    ///
    /// A cell that is not among the others.
    pub(super) fn add_times(&self, among: &Self, times: i128, sums: &mut [i128]) -> Result<()> {
        let width = self.width();
        for (cell, credited, by_role) in self.iter() {
            let place = among.place_of(cell.touch, cell.order).ok_or_else(|| {
                Error::Broken("a resample has a line that the report has not".to_owned())
            })?;
            let numbers = numbers(cell, credited, by_role);
            for (sum, number) in sums[place * width..].iter_mut().zip(numbers) {
                *sum += number * times;
            }
        }
        Ok(())
    }

    /// Takes over where these cells, of one person, count that person.
    ///
    /// A person whose orders are several partitions is counted in the first that has it in a cell.
    pub(super) fn recount(&self, rows: &mut PersonRows) {
        let width = self.width();
        for (column, value) in rows.columns.iter().zip(&mut rows.values) {
            if column % width == PERSONS {
                *value = self.sums[column / width].persons.into();
            }
        }
    }

    /// Which sum among these cells is meant by a number of other cells that were merged into them:
    /// `places` says where each of theirs is.
    pub fn number_of(&self, places: &[usize]) -> impl Fn(usize) -> usize {
        let width = self.width();
        move |column| places[column / width] * width + column % width
    }

    /// The same cells with other numbers.
    #[must_use]
    pub fn with_numbers(&self, number: &dyn Fn(usize) -> i128) -> Self {
        let mut cells = Self::new(self.models, self.by_role.is_some());
        let width = self.width();
        let mut numbers = Vec::with_capacity(width);
        for (at, cell) in self.sums.iter().enumerate() {
            let place = cells.find(cell.touch, cell.order);
            numbers.clear();
            numbers.extend((at * width..(at + 1) * width).map(number));
            cells.set(place, &numbers);
        }
        cells
    }

    /// Gives a cell the numbers that it is; see [`numbers`].
    fn set(&mut self, cell: usize, numbers: &[i128]) {
        let mut numbers = numbers.iter().copied();
        let mut next = || numbers.next().unwrap_or_default();
        // Counts are sums of counts, and fit where those do.
        let count = |number: i128| u64::try_from(number).unwrap_or(u64::MAX);
        let sums = &mut self.sums[cell];
        sums.orders = count(next());
        sums.persons = count(next());
        sums.roles = std::array::from_fn(|_| count(next()));
        for credited in &mut self.credited[cell * self.models..(cell + 1) * self.models] {
            *credited = Credited {
                conversions: next(),
                amount: next(),
                first_conversions: next(),
                first_amount: next(),
                timed: next(),
                seconds: next(),
            };
        }
        let Some(by_role) = &mut self.by_role else { return };
        by_role[cell].acquisition = std::array::from_fn(|_| count(next()));
        for part in by_role[cell].credited.iter_mut().flatten().flatten() {
            *part = Part { conversions: next(), amount: next() };
        }
    }
}

/// A cell as whole numbers: its counts, what each model credits, and the same by role.
fn numbers(cell: &Cell, credited: &[Credited], by_role: Option<&ByRole>) -> Vec<i128> {
    let mut numbers = vec![cell.orders.into(), cell.persons.into()];
    numbers.extend(cell.roles.map(i128::from));
    for credited in credited {
        let Credited { conversions, amount, first_conversions, first_amount, timed, seconds } =
            *credited;
        numbers.extend([conversions, amount, first_conversions, first_amount, timed, seconds]);
    }
    if let Some(by_role) = by_role {
        numbers.extend(by_role.acquisition.map(i128::from));
        for part in by_role.credited.iter().flatten().flatten() {
            numbers.extend([part.conversions, part.amount]);
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Part;
    use crate::journeys::Role;

    #[test]
    fn cells_are_what_their_numbers_say() {
        for by_role in [false, true] {
            let mut cells = Cells::new(2, by_role);
            for (order, role) in (0..3).zip(Role::ALL) {
                let (cell, first) = (cells.find(order % 2, 0), order == 0);
                cells.place(cell, (order, order), 0);
                cells.meet(cell, role, first);
                cells.credit((cell, 1), &Credited::of_order(1 << 61, -5, Some(60), first));
                let part = Part { conversions: 1 << 61, amount: -5 };
                cells.credit_role((cell, 1), (role, first), part);
            }
            let width = cells.width();
            let all: Vec<Vec<i128>> =
                cells.iter().map(|(cell, credited, role)| numbers(cell, credited, role)).collect();
            assert!(all.iter().all(|numbers| numbers.len() == width));
            let of_model = |model: Option<usize>| -> Vec<usize> {
                (0..width).filter(|at| cells.model_of(*at) == model).collect()
            };
            let each = CREDITS + if by_role { CREDITS_BY_ROLE } else { 0 };
            let counts = if by_role { COUNTS + ROLES } else { COUNTS };
            let sizes = [Some(0), Some(1), Some(2), None].map(|model| of_model(model).len());
            assert_eq!(sizes, [each, each, 0, counts]);
            // The second model alone credited.
            let nothing = |at: &usize| all.iter().all(|numbers| numbers[*at] == 0);
            assert!(of_model(Some(0)).iter().all(nothing));
            assert!(!of_model(Some(1)).iter().all(nothing) && !of_model(None).iter().all(nothing));
            let again = cells.with_numbers(&|at| all[at / width][at % width]);
            let again: Vec<Vec<i128>> =
                again.iter().map(|(cell, credited, role)| numbers(cell, credited, role)).collect();
            assert_eq!(all, again);
        }
    }
}
