//! Persons and the audit of identity, as tables.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, RecordBatch, StringViewArray, StringViewBuilder,
    TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::compute::{concat_batches, take};
use rayon::prelude::*;

use crate::error::Result;
use crate::identity::Identity;
use crate::merge::{Versions, merge};

/// Steps of a path that are shown before its end.
const LONGEST_PATH: usize = 32;

/// Users whose rows are made at a time.
const AUDITED: usize = 1 << 16;

/// The columns of the users table that the persons table says in its own way.
const OWN_COLUMNS: [&str; 8] = [
    "external_id",
    "created_at",
    "updated_at",
    "is_authenticated",
    "signed_up_at",
    "person",
    "users",
    "is_stub",
];

/// One row a person, in the byte order of their ids.
///
/// `person`, `users` (how many user ids), `is_stub`, `is_authenticated`, `created_at`,
/// `signed_up_at`, then the merged columns of the users table: the survivor's own values win,
/// holes are filled from the others.
pub fn persons_table(
    identity: &Identity,
    profiles: Option<(&RecordBatch, &[u32])>,
) -> Result<RecordBatch> {
    let mut members = vec![0_u64; identity.person.len()];
    let mut facts = identity.facts.clone();
    for (user, person) in (0_u32..).zip(&identity.person) {
        members[*person as usize] += 1;
        facts.add(*person, identity.facts.of(user));
    }
    let in_order = identity.in_byte_order().iter().copied();
    let persons: Vec<u32> = in_order.filter(|person| members[*person as usize] > 0).collect();
    let names: Vec<&str> = persons.par_iter().map(|person| identity.users.name(*person)).collect();
    let of = |person: &u32| facts.of(*person);
    let times = |time: &dyn Fn(&u32) -> Option<i64>| -> ArrayRef {
        let times: TimestampMicrosecondArray = persons.iter().map(time).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let flags = |flag: &dyn Fn(&u32) -> bool| -> ArrayRef {
        Arc::new(persons.iter().map(|person| Some(flag(person))).collect::<BooleanArray>())
    };
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("person".into(), Arc::new(StringViewArray::from_iter_values(&names))),
        (
            "users".into(),
            Arc::new(UInt64Array::from_iter_values(
                persons.iter().map(|person| members[*person as usize]),
            )),
        ),
        ("is_stub".into(), flags(&|person| !of(person).profile)),
        ("is_authenticated".into(), flags(&|person| of(person).authenticated)),
        ("created_at".into(), times(&|person| of(person).created_at)),
        ("signed_up_at".into(), times(&|person| of(person).signed_up_at)),
    ];
    if let Some((rows, users)) = profiles {
        let keys: Vec<u32> = users.iter().map(|user| identity.person[*user as usize]).collect();
        let own: Vec<bool> = users.iter().zip(&keys).map(|(user, person)| user == person).collect();
        let versions =
            Versions { keys: &keys, things: members.len(), own: Some(&own), dropped: None };
        let merged = merge(rows, &versions)?;
        let order = UInt32Array::from(persons.clone());
        for (field, column) in merged.schema().fields().iter().zip(merged.columns()) {
            if !OWN_COLUMNS.contains(&field.name().as_str()) {
                columns.push((field.name().clone(), take(column, &order, None)?));
            }
        }
    }
    Ok(RecordBatch::try_from_iter(columns)?)
}

/// One row a user id, in the byte order of the ids: how it came to its person.
///
/// `user_external_id`, `person`, `path` (`a > b > c`, the aliases and keys followed), `outcome`,
/// `refused` (who else its aliases named, divided by commas: they lost to an earlier one, or would
/// have joined two authenticated users).
pub fn audit_table(identity: &Identity) -> Result<RecordBatch> {
    let users = identity.in_byte_order();
    // Names lie all over the memory: on all threads, and once each where one will do.
    let some: Vec<RecordBatch> =
        users.par_chunks(AUDITED).map(|users| audited(identity, users)).collect::<Result<_>>()?;
    Ok(concat_batches(&audited(identity, &[])?.schema(), &some)?)
}

/// Rows of the audit for some users.
fn audited(identity: &Identity, users: &[u32]) -> Result<RecordBatch> {
    let name = |user: u32| identity.users.name(user);
    let refused = |user: u32| {
        let of_user = |pairs: &[(u32, u32)]| -> Vec<&str> {
            let range = pairs.partition_point(|(from, _)| *from < user)
                ..pairs.partition_point(|(from, _)| *from <= user);
            pairs[range].iter().map(|(_, to)| name(*to)).collect()
        };
        let mut names = of_user(&identity.aliases.lost);
        names.extend(of_user(&identity.aliases.refused));
        names.sort_unstable();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let builder = || StringViewBuilder::with_capacity(users.len());
    let mut columns = [builder(), builder(), builder(), builder(), builder()];
    let [ids, persons, paths, outcomes, refusals] = &mut columns;
    let mut path = String::new();
    for user in users {
        let (own, person) = (name(*user), identity.person[*user as usize]);
        let of_person = if person == *user { own } else { name(person) };
        ids.append_value(own);
        persons.append_value(of_person);
        path.clear();
        path.push_str(own);
        let mut at = *user;
        for step in 0..=LONGEST_PATH {
            let next = identity.next[at as usize];
            if next == at {
                break;
            }
            if step == LONGEST_PATH {
                if at != person {
                    path.push_str(" > ... > ");
                    path.push_str(of_person);
                }
                break;
            }
            at = next;
            path.push_str(" > ");
            path.push_str(if at == person { of_person } else { name(at) });
        }
        paths.append_value(&path);
        outcomes.append_value(identity.outcomes[*user as usize].name());
        refusals.append_option(refused(*user));
    }
    let names = ["user_external_id", "person", "path", "outcome", "refused"];
    let columns = columns.map(|mut column| Arc::new(column.finish()) as ArrayRef);
    let columns =
        names.into_iter().zip(columns).map(|(name, column)| (name, column, name == "refused"));
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}
