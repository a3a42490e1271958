//! The rows of a table on their way to buckets, and with them what tells whether several users share one.
//!
//! A session may be said to be of two users, whom nothing else joins: no bucket sees that, so its number and its
//! users travel beside the rows, as pairs, to where pairs of one number meet. Not for how parcels are made
//! (`parcels`), nor for whose a row is (`keys`).

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::buffer::Buffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::keys::{Keyed, Keys, Members};
use super::parcels::{Opener, Parcels};
use super::shared::Shared;
use crate::error::{Error, Result};

/// What parcels of pairs say that they are of: no table is called so.
pub const PAIRS: &str = "pairs";

/// The columns of pairs of a thing and who has it.
fn columns() -> SchemaRef {
    let column = |name: &str| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![column("thing"), column("user")]))
}

/// Makes parcels of pairs of a thing and who has it, whose key is the thing; as [`Parcels::new`].
///
/// # Errors
///
/// None that can happen: Arrow can send numbers.
pub fn pairs_parcels(buckets: u32, most: usize) -> Result<Parcels> {
    Parcels::new(PAIRS, &columns(), buckets, most)
}

/// Opens parcels of pairs, and finds out which things several users have.
pub struct Paired {
    opener: Opener,
    shared: Shared,
}

impl Paired {
    /// No pairs yet.
    ///
    /// # Errors
    ///
    /// None that can happen: Arrow can send numbers.
    pub fn new() -> Result<Self> {
        Ok(Self { opener: Opener::new(&columns())?, shared: Shared::default() })
    }

    /// Takes the pairs of a parcel.
    ///
    /// # Errors
    ///
    /// What is no parcel of pairs.
    pub fn take(&mut self, parcel: Buffer) -> Result<()> {
        let rows = self.opener.open(parcel)?;
        let [things, users] = [0, 1].map(|at| rows.column(at).as_primitive::<Int64Type>());
        for pair in things.iter().zip(users) {
            if let (Some(thing), Some(user)) = pair {
                self.shared.take(thing, user);
            }
        }
        Ok(())
    }

    /// Every thing that several users have with each of them, in order.
    pub fn end(self) -> Vec<(i64, i64)> {
        self.shared.end()
    }
}

/// Makes parcels of the rows of a table.
pub struct Sending {
    keys: Keys,
    /// The components of users; none where a key comes with each row.
    members: Option<Arc<Members>>,
    rows: Parcels,
    /// Whose each row is said to be, where that is watched.
    pairs: Option<Parcels>,
}

impl Sending {
    /// Of rows for which `rows` makes parcels. Without `members`, their first column is a key; with `pairs`,
    /// rows that several users have are looked for.
    pub fn new(
        keys: Keys,
        members: Option<Arc<Members>>,
        rows: Parcels,
        pairs: Option<Parcels>,
    ) -> Self {
        let pairs = pairs.filter(|_| keys.has_things());
        Self { keys, members, rows, pairs }
    }

    /// Takes some rows, and gives parcels when enough of them wait.
    ///
    /// # Errors
    ///
    /// Columns that are not of the table.
    pub fn take(&mut self, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
        let (keys, things, rows) = if let Some(members) = &self.members {
            let Keyed { keys, things } = self.keys.of(batch, members)?;
            (Int64Array::from(keys), things, batch.columns())
        } else {
            let [key, rows @ ..] = batch.columns() else {
                return Err(Error::Broken("rows come without a key".to_owned()));
            };
            let key = cast(key, &DataType::Int64)?.as_primitive::<Int64Type>().clone();
            let things = match &self.pairs {
                Some(_) => self.keys.of(batch, &Members::default())?.things,
                None => Vec::new(),
            };
            (key, things, rows)
        };
        let pairs = match &mut self.pairs {
            Some(pairs) => {
                let known = things.into_iter().zip(keys.values());
                let known = known.filter_map(|(thing, key)| Some((thing?, *key)));
                let (things, users): (Vec<i64>, Vec<i64>) = known.unzip();
                let [things, users] = [things, users]
                    .map(|numbers| -> ArrayRef { Arc::new(Int64Array::from(numbers)) });
                pairs.take_keyed(&things, &[Arc::clone(&things), users])?
            }
            None => None,
        };
        let keys: ArrayRef = Arc::new(keys);
        let made = self.rows.take_keyed(&keys, rows)?;
        Ok(made.into_iter().chain(pairs).collect())
    }

    /// The parcels of the rows that still wait.
    ///
    /// # Errors
    ///
    /// As of [`take`](Self::take).
    pub fn end(self) -> Result<Vec<RecordBatch>> {
        let pairs = self.pairs.map(Parcels::end).transpose()?.flatten();
        Ok(self.rows.end()?.into_iter().chain(pairs).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::StringArray;
    use arrow::datatypes::Int32Type;

    use super::super::columns::{Columns, Place};
    use super::super::keys::node;
    use super::super::parcels::Arrived;
    use super::*;
    use crate::schema::Table;

    fn rows() -> RecordBatch {
        let column = |texts: Vec<&str>| -> ArrayRef { Arc::new(StringArray::from(texts)) };
        RecordBatch::try_from_iter([
            ("id", column(vec!["s1", "s2", "s1", "s3", "s2", "s4"])),
            ("user", column(vec!["a", "b", "c", "d", "b", "null"])),
        ])
        .unwrap()
    }

    fn sending(members: Option<Members>, watched: bool) -> Sending {
        let place = |name: &str| Some(Place::Column(vec![name.to_owned()]));
        let columns = Columns {
            columns: Vec::new(),
            id: place("id"),
            user: place("user"),
            to: None,
            order: None,
        };
        let schema = rows().schema();
        Sending::new(
            Keys::new(Table::Sessions, &columns),
            members.map(Arc::new),
            Parcels::new("sessions", &schema, 3, 0).unwrap(),
            watched.then(|| pairs_parcels(3, 0).unwrap()),
        )
    }

    type Pairs = Vec<(i64, i64)>;

    /// The ids of rows by bucket, and the pairs that are shared.
    fn arrived(made: Vec<RecordBatch>) -> (BTreeMap<i32, Vec<String>>, Pairs) {
        let mut opener = Opener::new(&rows().schema()).unwrap();
        let mut found: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        let mut paired = Paired::new().unwrap();
        for batch in made {
            let buckets = batch.column(0).as_primitive::<Int32Type>().clone();
            for (at, (table, parcel)) in Arrived::new(&batch).unwrap().parcels().enumerate() {
                if table == PAIRS {
                    paired.take(parcel).unwrap();
                    continue;
                }
                let rows = opener.open(parcel).unwrap();
                let ids = rows.column(0).as_string::<i32>().iter().flatten();
                found.entry(buckets.value(at)).or_default().extend(ids.map(str::to_owned));
            }
        }
        (found, paired.end())
    }

    #[test]
    fn a_row_that_two_users_have_is_told_unless_something_joins_them() {
        let [a, c] = ["a", "c"].map(|user| node("user", user));
        let s1 = node("sessions", "s1");
        for (members, shared) in [
            (vec![], vec![(s1, a), (s1, c)]),
            (vec![(a, 7), (c, 8)], vec![(s1, 7), (s1, 8)]),
            (vec![(a, 7), (c, 7)], vec![]),
        ] {
            let mut sending = sending(Some(members.into_iter().collect()), true);
            let mut made = sending.take(&rows()).unwrap();
            made.extend(sending.end().unwrap());
            let (rows, mut found) = arrived(made);
            found.sort_unstable();
            let mut expected = shared;
            expected.sort_unstable();
            assert_eq!(found, expected);
            assert_eq!(rows.values().map(Vec::len).sum::<usize>(), 6);
        }
    }

    #[test]
    fn keys_that_come_with_rows_say_where_they_go() {
        let whole = rows();
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![1, 1, 1, 2, 2, 2]));
        let columns = [
            ("key", keys),
            ("id", ArrayRef::clone(whole.column(0))),
            ("user", ArrayRef::clone(whole.column(1))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut sending = sending(None, true);
        let made = sending.take(&batch).unwrap();
        assert!(sending.end().unwrap().is_empty());
        let (found, shared) = arrived(made);
        let mut ids: Vec<Vec<String>> = found.into_values().collect();
        ids.sort();
        assert_eq!(ids, [["s1", "s2", "s1"], ["s3", "s2", "s4"]]);
        let s2 = node("sessions", "s2");
        assert_eq!(shared, [(s2, 1), (s2, 2)]);
    }
}
