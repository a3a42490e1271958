//! One row per external id: versions are merged, and an id under two persons goes to one of them.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;

use crate::error::Result;
use crate::identity::Identity;
use crate::ids::{group_rows, same_texts};
use crate::merge::{Versions, external_ids, field_times, merge, without_field_times};
use crate::money::{Currency, minor_from_scaled};
use crate::schema::MAJOR;

/// What is kept of whose a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Its person.
    Persons,
    /// Its user too.
    Users,
}

/// A table with one row per external id.
#[derive(Clone)]
pub struct Merged {
    /// The rows.
    pub rows: RecordBatch,
    /// The person of each row, as numbered by [`Identity`].
    pub person: Vec<u32>,
    /// The user of each row, where users are kept: of the users of its person whose rows it is
    /// merged from, the one who would have it if they were persons of their own.
    pub user: Vec<u32>,
    /// How many rows were versions of another one.
    pub versions: u64,
    /// How many ids occurred under two persons.
    pub conflicts: u64,
    /// How many ids occurred under two users of one person; none where users are not kept.
    pub user_conflicts: u64,
}

/// Merges the versions of every row of a table of touches or orders.
///
/// `users` is the user of each row, `default` the currency of rows that name none. Where an id
/// occurs under several persons, the row with the latest field time holds, then the one of the
/// smallest person id; rows of other persons are left out.
pub fn one_row_per_id(
    identity: &Identity,
    rows: RecordBatch,
    users: &[u32],
    default: Currency,
    keep: Keep,
) -> Result<Merged> {
    let of_row: Vec<u32> = users.iter().map(|user| identity.person[*user as usize]).collect();
    let Some((keys, things)) = same_texts(external_ids(&rows)) else {
        let rows = without_field_times(&rows)?;
        let user = if keep == Keep::Users { users.to_vec() } else { Vec::new() };
        return Ok(Merged {
            rows,
            person: of_row,
            user,
            versions: 0,
            conflicts: 0,
            user_conflicts: 0,
        });
    };
    let versions = (rows.num_rows() - things) as u64;
    let rows = in_known_currency(rows, &keys, things, default)?;
    let times = field_times(&rows);
    let (order, starts) = group_rows(&keys, things);
    let mut dropped = vec![false; rows.num_rows()];
    let mut person = vec![0; things];
    let mut user = Vec::new();
    let (mut conflicts, mut user_conflicts) = (0, 0);
    for thing in 0..things {
        let of_thing = &order[starts[thing] as usize..starts[thing + 1] as usize];
        let (holder, contested) = holder(identity, of_thing, &of_row, &times);
        person[thing] = holder;
        if contested {
            conflicts += 1;
            for row in of_thing {
                dropped[*row as usize] = of_row[*row as usize] != holder;
            }
        }
        if keep == Keep::Users {
            let of_person = |row: &u32| of_row[*row as usize] == holder;
            let held: Vec<u32> = of_thing.iter().copied().filter(of_person).collect();
            let (of_users, several) = self::holder(identity, &held, users, &times);
            user.push(of_users);
            user_conflicts += u64::from(several && !contested);
        }
    }
    let merged =
        merge(&rows, &Versions { keys: &keys, things, own: None, dropped: Some(&dropped) })?;
    Ok(Merged { rows: merged, person, user, versions, conflicts, user_conflicts })
}

/// Whose the latest of some rows is, of equally late ones the smallest id, and whether they are of
/// several; `whose` is whose every row is, and there is at least one.
fn holder(identity: &Identity, rows: &[u32], whose: &[u32], times: &[Option<i64>]) -> (u32, bool) {
    let first = whose[rows[0] as usize];
    if rows.iter().all(|row| whose[*row as usize] == first) {
        return (first, false);
    }
    let latest = rows.iter().max_by(|left, right| {
        let (left, right) = (**left as usize, **right as usize);
        let name = |row: usize| identity.users.name(whose[row]);
        times[left].cmp(&times[right]).then_with(|| name(right).cmp(name(left)))
    });
    (latest.map_or(first, |row| whose[*row as usize]), true)
}

/// Amounts of rows that name no currency, in the currency that another version of the row names.
///
/// They were scaled by the default one, which must not overwrite a real one.
fn in_known_currency(
    rows: RecordBatch,
    keys: &[u32],
    things: usize,
    default: Currency,
) -> Result<RecordBatch> {
    let Some(codes) = rows.column_by_name("currency").map(|codes| codes.as_string_view()) else {
        return Ok(rows);
    };
    if codes.null_count() == 0 {
        return Ok(rows);
    }
    let versions = Versions { keys, things, own: None, dropped: None };
    let known = merge(&rows, &versions)?;
    let known = known.column_by_name("currency").map(|codes| codes.as_string_view().clone());
    let exponent = |row: usize| -> Option<u32> {
        let thing = keys[row] as usize;
        let known = known.as_ref().filter(|known| codes.is_null(row) && known.is_valid(thing))?;
        known.value(thing).parse::<Currency>().ok().map(Currency::exponent)
    };
    let scale = i8::try_from(default.exponent()).unwrap_or_default();
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns()).map(|(field, column)| {
        if !field.metadata().contains_key(MAJOR) {
            return Arc::clone(column);
        }
        let minor = column.as_primitive::<Int64Type>().iter().enumerate();
        let scaled = minor.map(|(row, minor)| match exponent(row) {
            Some(exponent) => minor_from_scaled(i128::from(minor?), scale, exponent),
            None => minor,
        });
        Arc::new(scaled.collect::<Int64Array>())
    });
    let columns = columns.collect();
    Ok(RecordBatch::try_new(schema, columns)?)
}
