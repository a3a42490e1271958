//! What of a table has to come to buckets, and by which columns it is divided.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::datatypes::Schema;
use serde::{Deserialize, Serialize};

use super::super::needs::needs;
use super::super::{Inputs, Silent, check, read_table, require};
use crate::config::Config;
use crate::error::Result;
use crate::identity::key_links;
use crate::input::Needs;
use crate::schema::{Origin, Table, is_bookkeeping, resolve};

/// Where a value of each row is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In a column; the parts of its path through structs.
    Column(Vec<String>),
    /// It is the same in every row.
    Constant(String),
}

/// What of a table has to come to buckets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    /// The columns that are read, by the names that they have in the table.
    pub columns: Vec<String>,
    /// What tells the rows of one thing, where rows are versions of things.
    pub id: Option<Place>,
    /// The user of each row, where rows are of users.
    pub user: Option<Place>,
    /// The user that an alias leads to.
    pub to: Option<Place>,
    /// The order that an item is of.
    pub order: Option<Place>,
}

impl Columns {
    /// What has to come of a table with these columns; `path` is what messages call it.
    ///
    /// # Errors
    ///
    /// A column that is required and missing.
    pub fn new(config: &Config, table: Table, path: &Path, schema: &Schema) -> Result<Self> {
        let found = resolve(table, path, schema, &BTreeMap::new(), config.mapping(table))?;
        let needs = needs(config, table);
        let wanted = |name: &str| match &needs {
            Needs::All => true,
            Needs::Named(names) => names.contains(name),
        };
        let comes = |name: &str| match table.column(name) {
            Some(column) => column.required || column.is_judged() || wanted(name),
            None => wanted(name) || is_bookkeeping(name),
        };
        let roots: BTreeSet<&String> = found
            .iter()
            .filter(|column| comes(&column.name))
            .filter_map(|column| match &column.origin {
                Origin::File(path) => path.first(),
                Origin::Folder(_) | Origin::Constant(_) => None,
            })
            .collect();
        let of_schema = schema.fields().iter().map(|field| field.name());
        let place = |name: Option<&str>| {
            let column = found.iter().find(|column| Some(column.name.as_str()) == name)?;
            Some(match &column.origin {
                Origin::File(path) => Place::Column(path.clone()),
                Origin::Folder(value) | Origin::Constant(value) => Place::Constant(value.clone()),
            })
        };
        let has_versions = matches!(table, Table::Sessions | Table::Postviews | Table::Orders);
        let item = (table == Table::OrderItems).then_some("order_external_id");
        Ok(Self {
            columns: of_schema.filter(|name| roots.contains(name)).cloned().collect(),
            id: place(has_versions.then_some("external_id")),
            user: place(table.user_column()),
            to: place((table == Table::UserAliases).then_some("to_user_external_id")),
            order: place(item),
        })
    }
}

/// Users and the keys that they are reconciled by: each pair joins a user with all others of the key.
///
/// The users are read from the inputs of `config`.
///
/// # Errors
///
/// Users that cannot be read.
pub fn keys_of_users(config: &Config) -> Result<Vec<(String, String)>> {
    let inputs = Inputs::gather(config, &Silent)?;
    let read = read_table(config, &inputs, Table::Users, Needs::All, &Silent)?;
    let Some(loaded) = read else { return Ok(Vec::new()) };
    Ok(key_links(&loaded.rows, &config.reconcile))
}

/// An error if a table that a run needs is not given, or what it is by cannot be had from the columns of those
/// that are.
///
/// # Errors
///
/// As of [`run`](crate::pipeline::run).
pub fn check_inputs(config: &Config) -> Result<()> {
    require(config, &[Table::Sessions, Table::Orders])?;
    check(config, &Inputs::gather(config, &Silent)?)
}
