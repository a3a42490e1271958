//! Which rows of a table have to be in one bucket: those of the users of one component.
//!
//! Users, sessions and orders are numbers here, 64 bits of a hash of an id with its kind. Where two ids meet in
//! one number, they keep each other company, which changes no answer. Not for which users make a component
//! (`components`), nor for how rows get to buckets (`parcels`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, Rows, SortField};
use twox_hash::XxHash64;

use super::columns::{Columns, Place};
use crate::bootstrap::mixed;
use crate::error::{Error, Result};
use crate::schema::Table;
use crate::validate::is_placeholder;

/// What hashes of nothing begin with, on Spark and here.
const SEED: u64 = 42;

/// The kind of a user's id; that of any other is the name of its table.
const USER: &str = "user";

/// The number that stands for an id of a kind: what Spark SQL's `xxhash64(kind, id)` says.
///
/// # Example
///
/// ```
/// use apportion::pipeline::buckets::node;
///
/// // As `SELECT xxhash64('user', 'u-1')` says on Spark.
/// assert_eq!(node("user", "u-1"), 3_692_829_672_322_493_915);
/// assert_ne!(node("user", "u-1"), node("orders", "u-1"));
/// ```
pub fn node(kind: &str, id: &str) -> i64 {
    of_kind(seed(kind), id)
}

fn seed(kind: &str) -> u64 {
    XxHash64::oneshot(SEED, kind.as_bytes())
}

fn of_kind(seed: u64, id: &str) -> i64 {
    XxHash64::oneshot(seed, id.as_bytes()).cast_signed()
}

/// The place of a number among so many, all of which get about as many: numbers may lie close together, or all
/// be small.
pub(super) fn place_among(number: i64, places: usize) -> usize {
    let place = (u128::from(mixed(number.cast_unsigned())) * places as u128) >> 64;
    usize::try_from(place).expect("less than the number of places")
}

/// The component of every user that is joined with others.
///
/// # Example
///
/// ```
/// use apportion::pipeline::buckets::Members;
///
/// let members: Members = [(7, 3), (3, 3)].into_iter().collect();
/// let mut nodes = [7, 3, 8];
/// members.replace(&mut nodes);
/// assert_eq!(nodes, [3, 3, 8]);
/// ```
#[derive(Debug, Default)]
pub struct Members {
    /// Nodes and their components, each at the place that its number says or the next free one after: numbers
    /// are hashes, and a look-up waits for memory once. A third of the places is free.
    places: Vec<(i64, i64)>,
}

/// What stands in a place that is free: a node that is its own component needs none.
const FREE: (i64, i64) = (i64::MIN, i64::MIN);

impl Members {
    /// Replaces nodes by their components; what nothing joins stays itself.
    ///
    /// Places are looked up before they are looked at, so that many waits for memory are one.
    pub fn replace(&self, nodes: &mut [i64]) {
        if self.places.is_empty() {
            return;
        }
        let mut first = [(FREE, 0); TOGETHER];
        for nodes in nodes.chunks_mut(TOGETHER) {
            for (first, node) in first.iter_mut().zip(&*nodes) {
                let place = self.place(*node);
                *first = (self.places[place], place);
            }
            for ((found, place), node) in first.iter().zip(nodes) {
                *node = match *found {
                    (known, component) if known == *node => component,
                    FREE => *node,
                    _ => self.component_from(place + 1, *node),
                };
            }
        }
    }

    /// Where a node is looked for first.
    fn place(&self, node: i64) -> usize {
        place_among(node, self.places.len())
    }

    /// The component of a node that stands at a place or after it; itself where it does not.
    fn component_from(&self, place: usize, node: i64) -> i64 {
        let (before, after) = self.places.split_at(place);
        let found = after.iter().chain(before).take_while(|place| **place != FREE);
        found.copied().find(|(known, _)| *known == node).map_or(node, |(_, component)| component)
    }
}

/// So many look-ups wait for memory together.
const TOGETHER: usize = 64;

impl FromIterator<(i64, i64)> for Members {
    fn from_iter<T: IntoIterator<Item = (i64, i64)>>(pairs: T) -> Self {
        let pairs: Vec<(i64, i64)> = pairs.into_iter().filter(|pair| *pair != FREE).collect();
        let mut members = Self { places: vec![FREE; pairs.len() + pairs.len() / 2 + 1] };
        for pair in pairs {
            let mut place = members.place(pair.0);
            while members.places[place] != FREE && members.places[place].0 != pair.0 {
                place = (place + 1) % members.places.len();
            }
            members.places[place] = pair;
        }
        members
    }
}

/// Whose the rows of a table are.
pub struct Keys {
    user: Option<Place>,
    id: Option<Place>,
    /// What hashes of the table's ids and of users begin with.
    seeds: (u64, u64),
}

/// Whose some rows are.
pub struct Keyed {
    /// The component of each row's user; a number of its own where it has none.
    pub keys: Vec<i64>,
    /// The number of each row's id, where it has both an id and a user.
    pub things: Vec<Option<i64>>,
}

impl Keys {
    /// Of rows of a table with these columns.
    pub fn new(table: Table, columns: &Columns) -> Self {
        let Columns { user, id, .. } = columns;
        Self { user: user.clone(), id: id.clone(), seeds: (seed(table.name()), seed(USER)) }
    }

    /// Whether versions of a row may be said to be of several users.
    pub fn has_things(&self) -> bool {
        self.user.is_some() && self.id.is_some()
    }

    /// Whose some rows are.
    ///
    /// # Errors
    ///
    /// Rows without the columns of the table, ids that are no text.
    pub fn of(&self, rows: &RecordBatch, members: &Members) -> Result<Keyed> {
        let (user, id) = (Texts::of(self.user.as_ref(), rows)?, Texts::of(self.id.as_ref(), rows)?);
        let mut keyed = Keyed { keys: Vec::with_capacity(rows.num_rows()), things: Vec::new() };
        if self.has_things() {
            keyed.things.reserve(rows.num_rows());
        }
        let mut of_nobody = Vec::new();
        for row in 0..rows.num_rows() {
            let id = id.at(row).filter(|id| !id.trim().is_empty());
            let id = id.map(|id| of_kind(self.seeds.0, id));
            let user = user.at(row).filter(|user| !user.trim().is_empty() && !is_placeholder(user));
            let user = user.map(|user| of_kind(self.seeds.1, user));
            if user.is_none() {
                of_nobody.push((row, id));
            }
            keyed.keys.push(user.unwrap_or_default());
            if self.has_things() {
                keyed.things.push(user.and(id));
            }
        }
        members.replace(&mut keyed.keys);
        // Rows of nobody are rejected wherever they are: they go anywhere, but not all to one bucket.
        let mut contents = Contents(None);
        for (row, id) in of_nobody {
            keyed.keys[row] = id.map_or_else(|| contents.number(rows, row), Ok)?;
        }
        Ok(keyed)
    }
}

/// Numbers for rows by what they hold, the same wherever they are met.
struct Contents(Option<Rows>);

impl Contents {
    fn number(&mut self, rows: &RecordBatch, row: usize) -> Result<i64> {
        let Self(held) = self;
        if held.is_none() {
            let columns = rows.columns().iter();
            let known = columns.map(|column| (SortField::new(column.data_type().clone()), column));
            let known =
                known.filter(|(kind, _)| RowConverter::supports_fields(std::slice::from_ref(kind)));
            let (kinds, columns): (Vec<_>, Vec<_>) =
                known.map(|(kind, column)| (kind, Arc::clone(column))).unzip();
            *held = Some(RowConverter::new(kinds)?.convert_columns(&columns)?);
        }
        let number =
            held.as_ref().map_or(SEED, |rows| XxHash64::oneshot(SEED, rows.row(row).data()));
        Ok(number.cast_signed())
    }
}

/// The ids of rows.
enum Texts {
    None,
    Constant(String),
    Column {
        texts: ArrayRef,
        /// Structs around the column, which may be missing whole.
        within: Vec<ArrayRef>,
    },
}

impl Texts {
    fn of(place: Option<&Place>, rows: &RecordBatch) -> Result<Self> {
        let path = match place {
            None => return Ok(Self::None),
            Some(Place::Constant(text)) => return Ok(Self::Constant(text.clone())),
            Some(Place::Column(path)) => path,
        };
        let missing = || Error::Broken(format!("rows have no column `{}`", path.join(".")));
        let (first, parts) = path.split_first().ok_or_else(missing)?;
        let mut column = ArrayRef::clone(rows.column_by_name(first).ok_or_else(missing)?);
        let mut within = Vec::new();
        for part in parts {
            let of = column.as_struct_opt().ok_or_else(missing)?;
            let inner = ArrayRef::clone(of.column_by_name(part).ok_or_else(missing)?);
            within.push(std::mem::replace(&mut column, inner));
        }
        let texts = match column.data_type() {
            DataType::Utf8 => column,
            _ => cast(&column, &DataType::Utf8)?,
        };
        Ok(Self::Column { texts, within })
    }

    fn at(&self, row: usize) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Constant(text) => Some(text),
            Self::Column { texts, within } => {
                let is_there = within.iter().all(|of| of.is_valid(row)) && texts.is_valid(row);
                is_there.then(|| texts.as_string::<i32>().value(row))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{Int64Array, StringArray, StructArray, TimestampMicrosecondArray};
    use arrow::buffer::NullBuffer;
    use arrow::datatypes::{Field, Fields};

    use super::*;

    fn columns(user: &[&str], id: &str) -> Columns {
        let place = |path: &[&str]| {
            Some(Place::Column(path.iter().map(|part| (*part).to_owned()).collect()))
        };
        Columns { columns: Vec::new(), id: place(&[id]), user: place(user), to: None, order: None }
    }

    #[test]
    fn numbers_are_those_that_spark_says() {
        // `SELECT xxhash64('user', x)`, for texts of every way that the hash divides them.
        for (id, number) in [
            ("", 1_705_408_381_980_764_857),
            ("u-1", 3_692_829_672_322_493_915),
            ("8 bytes.", -6_070_237_650_467_662_430),
            ("u-0123456789abcdef01", -5_981_923_668_828_549_368),
            ("thirty-two bytes and some more than that, é", -5_748_408_631_914_986_350),
        ] {
            assert_eq!(node("user", id), number, "{id}");
        }
    }

    fn component(members: &Members, node: i64) -> i64 {
        let mut nodes = [node];
        members.replace(&mut nodes);
        nodes[0]
    }

    #[test]
    fn components_are_those_that_were_told() {
        for count in [0, 1, 2, 3, 100, 5_000] {
            // Numbers beside each other, of which many are looked for in one place, and hashes.
            for number in [|at: i64| at, |at: i64| node(USER, &at.to_string())] {
                let pairs = (0..count).map(|at| (number(at), number(at / 3)));
                let members: Members = pairs.clone().collect();
                let asked = 2 * count + 3;
                let known: BTreeMap<i64, i64> = pairs.collect();
                let expected: Vec<i64> = (0..asked)
                    .map(|at| known.get(&number(at)).copied().unwrap_or_else(|| number(at)))
                    .collect();
                let mut nodes: Vec<i64> = (0..asked).map(number).collect();
                assert!(nodes.iter().map(|node| component(&members, *node)).eq(expected.clone()));
                members.replace(&mut nodes);
                assert_eq!(nodes, expected);
            }
        }
        let [told, free]: [Members; 2] =
            [(FREE.0, 7), FREE].map(|pair| [pair, (1, 1)].into_iter().collect());
        assert_eq!([component(&told, FREE.0), component(&free, FREE.0)], [7, FREE.0]);
        assert_eq!(component(&Members::default(), 7), 7);
    }

    #[test]
    fn rows_of_one_component_have_one_key_and_rows_of_nobody_are_spread() {
        let rows = RecordBatch::try_from_iter([
            ("s", Arc::new(StringArray::from(vec!["1", "1", "2", "3", "4", " "])) as ArrayRef),
            (
                "u",
                Arc::new(StringArray::from(vec![
                    Some("a"),
                    Some("b"),
                    None,
                    Some("{{user_id}}"),
                    Some("a"),
                    Some(" "),
                ])),
            ),
        ])
        .unwrap();
        let keys = Keys::new(Table::Sessions, &columns(&["u"], "s"));
        let [a, b] = ["a", "b"].map(|user| node(USER, user));
        let [one, two, three, four] = ["1", "2", "3", "4"].map(|id| node("sessions", id));
        let members = [(a, 5), (b, 5)].into_iter().collect();
        let Keyed { keys: joined, things } = keys.of(&rows, &members).unwrap();
        let last = joined[5];
        assert_eq!(joined, [5, 5, two, three, 5, last]);
        assert_eq!(things, [Some(one), Some(one), None, None, Some(four), None]);
        let Keyed { keys: apart, .. } = keys.of(&rows, &Members::default()).unwrap();
        // What says nothing at all is known by all that it says.
        assert_eq!(apart, [a, b, two, three, a, last]);
        assert_ne!(last, Contents(None).number(&rows, 2).unwrap());
        assert_eq!(last, Contents(None).number(&rows.slice(5, 1), 0).unwrap());
    }

    #[test]
    fn rows_that_say_nothing_are_spread_whatever_their_types() {
        let none: ArrayRef = Arc::new(StringArray::new_null(2));
        let times = TimestampMicrosecondArray::from(vec![1, 2]).with_timezone("Etc/UTC");
        let rows = RecordBatch::try_from_iter_with_nullable([
            ("s", Arc::clone(&none), true),
            ("u", none, true),
            ("created_at", Arc::new(times) as ArrayRef, true),
        ]);
        let keys = Keys::new(Table::Sessions, &columns(&["u"], "s"));
        let keyed = keys.of(&rows.unwrap(), &Members::default()).unwrap();
        assert_ne!(keyed.keys[0], keyed.keys[1]);
    }

    #[test]
    fn ids_within_structs_and_numbers_are_found() {
        let inner = Fields::from(vec![Field::new("id", DataType::Int64, true)]);
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), Some(8), None]));
        let nulls = NullBuffer::from(vec![true, false, true]);
        let users = StructArray::new(inner, vec![ids], Some(nulls));
        let names: ArrayRef = Arc::new(StringArray::from(vec!["x", "y", "z"]));
        let rows = RecordBatch::try_from_iter([("s", names), ("user", Arc::new(users))]).unwrap();
        let keys = Keys::new(Table::Sessions, &columns(&["user", "id"], "s"));
        let Keyed { keys, things } = keys.of(&rows, &Members::default()).unwrap();
        let [x, y, z] = ["x", "y", "z"].map(|id| node("sessions", id));
        assert_eq!(keys, [node(USER, "7"), y, z]);
        assert_eq!(things, [Some(x), None, None]);
    }
}
