//! Persons and the audit of identity, as tables.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, RecordBatch, StringViewArray, TimestampMicrosecondArray, UInt32Array,
    UInt64Array,
};
use arrow::compute::take;

use crate::error::Result;
use crate::identity::Identity;
use crate::merge::{Versions, merge};

/// Steps of a path that are shown before its end.
const LONGEST_PATH: usize = 32;

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
    let name = |person: &u32| identity.users.name(*person);
    let mut persons: Vec<u32> =
        (0..).take(members.len()).filter(|person| members[*person as usize] > 0).collect();
    identity.users.sort(&mut persons);
    let of = |person: &u32| facts.of(*person);
    let times = |time: &dyn Fn(&u32) -> Option<i64>| -> ArrayRef {
        let times: TimestampMicrosecondArray = persons.iter().map(time).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let flags = |flag: &dyn Fn(&u32) -> bool| -> ArrayRef {
        Arc::new(persons.iter().map(|person| Some(flag(person))).collect::<BooleanArray>())
    };
    let mut columns: Vec<(String, ArrayRef)> = vec![
        (
            "person".into(),
            Arc::new(persons.iter().map(|person| Some(name(person))).collect::<StringViewArray>()),
        ),
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
    let name = |user: u32| identity.users.name(user);
    let mut users: Vec<u32> = (0..).take(identity.person.len()).collect();
    identity.users.sort(&mut users);
    let text = |value: &dyn Fn(u32) -> String| -> ArrayRef {
        Arc::new(users.iter().map(|user| Some(value(*user))).collect::<StringViewArray>())
    };
    let refused: StringViewArray = users
        .iter()
        .map(|user| {
            let of_user = |pairs: &[(u32, u32)]| -> Vec<&str> {
                let range = pairs.partition_point(|(from, _)| from < user)
                    ..pairs.partition_point(|(from, _)| from <= user);
                pairs[range].iter().map(|(_, to)| name(*to)).collect()
            };
            let mut names = of_user(&identity.aliases.lost);
            names.extend(of_user(&identity.aliases.refused));
            names.sort_unstable();
            (!names.is_empty()).then(|| names.join(", "))
        })
        .collect();
    let path = |user: u32| {
        let mut path = name(user).to_owned();
        let mut at = user;
        for _ in 0..LONGEST_PATH {
            if identity.next[at as usize] == at {
                return path;
            }
            at = identity.next[at as usize];
            path.push_str(" > ");
            path.push_str(name(at));
        }
        let person = identity.person[user as usize];
        if at != person {
            path.push_str(" > ... > ");
            path.push_str(name(person));
        }
        path
    };
    Ok(RecordBatch::try_from_iter([
        ("user_external_id", text(&|user| name(user).to_owned())),
        ("person", text(&|user| name(identity.person[user as usize]).to_owned())),
        ("path", text(&path)),
        ("outcome", text(&|user| identity.outcomes[user as usize].name().to_owned())),
        ("refused", Arc::new(refused)),
    ])?)
}
