//! A row as it is kept between two ingests: a time beside every field, so that versions merge in
//! any order and any number of steps.
//!
//! Not for the meaning of a value: it is decoded and judged already.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::calendar::EARLIEST;
use crate::merge::{Holds, holds};
use crate::schema::{ITEM_USER, ITEMS_AT, Table};

/// A column's name.
pub(super) type Name = Arc<str>;

/// What is known of an item of an order.
pub(super) type Item = BTreeMap<Name, Value>;

/// A value, as the tables hold it.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Flag(bool),
    Number(f64),
    /// Major units, with [`MONEY_DECIMALS`](super::tables::MONEY_DECIMALS) decimals.
    Money(i128),
    Time(i64),
    Text(String),
    /// The items of an order, in their order.
    Items(Vec<Item>),
}

impl Value {
    fn rank(&self) -> u8 {
        match self {
            Self::Flag(_) => 0,
            Self::Number(_) => 1,
            Self::Money(_) => 2,
            Self::Time(_) => 3,
            Self::Text(_) => 4,
            Self::Items(_) => 5,
        }
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Flag(left), Self::Flag(right)) => left.cmp(right),
            (Self::Number(left), Self::Number(right)) => left.total_cmp(right),
            (Self::Money(left), Self::Money(right)) => left.cmp(right),
            (Self::Time(left), Self::Time(right)) => left.cmp(right),
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            (Self::Items(left), Self::Items(right)) => left.cmp(right),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Value {}

/// A field: since when it is so, and its value; none where it was cleared.
///
/// The order is that of the merge rule: the later one, of equally late ones a value before a
/// clear, then the greater value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell {
    pub(super) at: i64,
    pub(super) value: Option<Value>,
}

/// One version of a row, or several merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) table: Table,
    pub(super) cells: BTreeMap<Name, Cell>,
}

impl Row {
    /// What rows of one thing share: its id, and the user it is of.
    ///
    /// An id under two users is two rows, because whether they are one person is known at run time.
    pub(super) fn key(&self) -> (&str, &str) {
        let (id, user) = match self.table {
            Table::Users => ("external_id", ""),
            Table::UserAliases => ("from_user_external_id", "to_user_external_id"),
            Table::OrderItems => ("order_external_id", ITEM_USER),
            _ => ("external_id", "user_external_id"),
        };
        (self.text(id), self.text(user))
    }

    fn text(&self, name: &str) -> &str {
        match self.value(name) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.cells.get(name)?.value.as_ref()
    }

    /// The time of fields that have none of their own: the later of `created_at` and `updated_at`.
    pub(super) fn at(&self) -> i64 {
        let time = |name: &str| match self.value(name) {
            Some(Value::Time(at)) => Some(*at),
            _ => None,
        };
        time("created_at").max(time("updated_at")).unwrap_or(EARLIEST)
    }

    /// Takes in another version of the same row.
    pub(super) fn merge(&mut self, other: Self) {
        for (name, cell) in other.cells {
            match self.cells.get_mut(&name) {
                // A set of items is a field like others; its table sees its time alone.
                Some(known) if &*name == ITEMS_AT => join(Holds::Latest, known, cell),
                Some(known) => join(holds(&name), known, cell),
                None => {
                    self.cells.insert(name, cell);
                }
            }
        }
    }
}

/// The better of two fields takes the place of the first.
fn join(rule: Holds, known: &mut Cell, other: Cell) {
    let better = match rule {
        Holds::Latest => other > *known,
        Holds::Least => other.value < known.value,
        Holds::Greatest | Holds::Once => other.value > known.value,
    };
    if better {
        *known = other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(at: i64, value: Option<&str>) -> Cell {
        Cell { at, value: value.map(|text| Value::Text(text.to_owned())) }
    }

    #[test]
    fn a_later_clear_wins_an_older_one_does_not_and_at_one_time_a_value_does() {
        assert!(cell(2, None) > cell(1, Some("a")));
        assert!(cell(1, None) < cell(2, Some("a")));
        assert!(cell(1, Some("a")) > cell(1, None));
        assert!(cell(1, Some("b")) > cell(1, Some("a")));
    }
}
