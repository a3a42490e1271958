//! Who is who, of all tables together.
//!
//! Not for how aliases lead to persons; that is `identity`.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::array::RecordBatch;

use super::Tables;
use crate::config::Config;
use crate::identity::{Facts, Gathering, Identity};
use crate::ids::Directory;
use crate::input::Loaded;
use crate::schema::Table;
use crate::summary::Summary;

/// Who is who, and the user of each row of each table.
pub struct People {
    /// Who is who.
    pub identity: Identity,
    /// The user of each row of a table that refers to users.
    pub users: BTreeMap<Table, Vec<u32>>,
}

/// Works out who is who.
pub fn resolve(config: &Config, tables: &Tables, summary: &mut Summary) -> People {
    resolve_met(config, tables, Met::default(), summary)
}

/// Users that were numbered while tables were read.
#[derive(Default)]
pub(super) struct Met {
    pub(super) directory: Directory,
    /// The user of each row of a table.
    pub(super) users: BTreeMap<Table, Vec<u32>>,
    /// Whom each alias leads to.
    pub(super) to: Option<Vec<u32>>,
}

/// Gives back the memory of what has said all that it knows once persons are resolved.
pub(super) fn release(
    config: &Config,
    scanned: impl Fn(Table) -> bool,
    tables: &mut Tables,
    people: &mut People,
) {
    people.users.remove(&Table::UserAliases);
    // Of what was scanned, the tables only have what rows say of their users.
    let has_said = |table: Table| table == Table::UserAliases || scanned(table);
    for (_, loaded) in tables.iter_mut().filter(|(table, _)| has_said(**table)) {
        loaded.rows = RecordBatch::new_empty(loaded.rows.schema());
    }
    if !config.wants_identity() {
        (people.identity.next, people.identity.outcomes) = (Vec::new(), Vec::new());
    }
    if !config.wants_persons() && config.where_persons.is_none() {
        people.identity.facts = Facts::default();
    }
}

/// Works out who is who, of users in tables and of those that were met before.
pub(super) fn resolve_met(
    config: &Config,
    tables: &Tables,
    met: Met,
    summary: &mut Summary,
) -> People {
    let Met { directory, mut users, to } = met;
    let number = |rows: &RecordBatch, column: &str| {
        let ids = rows.column_by_name(column);
        ids.map(|ids| directory.number_all(ids.as_string_view())).unwrap_or_default()
    };
    for (table, loaded) in tables {
        if let Some(column) = table.user_column().filter(|_| !users.contains_key(table)) {
            users.insert(*table, number(&loaded.rows, column));
        }
    }
    let aliases = tables.get(&Table::UserAliases);
    let of_aliases = |loaded: &Loaded| number(&loaded.rows, "to_user_external_id");
    let mut to = to.or_else(|| aliases.map(of_aliases)).unwrap_or_default();
    let names = directory.close();
    for numbers in users.values_mut().chain([&mut to]) {
        names.settle(numbers);
    }
    let mut gathering = Gathering::new(names, tables.contains_key(&Table::Users));
    for (table, users) in &users {
        let rows = &tables[table].rows;
        match table {
            Table::Users => gathering.profile(rows, users, &config.reconcile),
            Table::UserAliases => gathering.alias(rows, users, &to),
            _ => gathering.refer(rows, users),
        }
    }
    let identity = gathering.resolve(config.merge_authenticated);
    summary.identity = identity.account.clone();
    People { identity, users }
}
