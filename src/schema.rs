//! The tables and columns that apportion knows, and where an export's file has them.
//!
//! A file's schema is resolved once into [`Found`] columns; what their values mean is decoded in
//! `input::decode` and judged in `validate`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use serde::{Deserialize, Serialize};

use crate::error::{Error, MissingColumn, Result};

/// An input table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Table {
    /// Visits: one row a session.
    Sessions,
    /// Ads that were seen and not clicked.
    Postviews,
    /// Conversions with their amounts.
    Orders,
    /// What was bought in an order.
    OrderItems,
    /// Profiles.
    Users,
    /// Which user id is another one.
    UserAliases,
    /// What a session was made with.
    Devices,
    /// What was paid for a source and medium on a day.
    Spend,
    /// Daily rates towards the workspace's currency.
    ExchangeRates,
    /// The lines of JSON items, before they are rows of the tables above; none of [`Table::ALL`].
    Items,
}

/// What the values of a column mean, whatever their physical type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An identifier: text or integers.
    Id,
    /// Free text, trimmed; empty is missing.
    Text,
    /// An instant.
    Time,
    /// A calendar day.
    Day,
    /// True or false.
    Flag,
    /// A number.
    Number,
    /// An amount of the row's currency.
    Money,
    /// Several texts: a list, or text divided by commas.
    Texts,
    /// Anything that can be a label; nothing is known of it.
    Any,
}

impl Kind {
    /// The kind in one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Text => "text",
            Self::Time => "time",
            Self::Day => "day",
            Self::Flag => "flag",
            Self::Number => "number",
            Self::Money => "money",
            Self::Texts => "texts",
            Self::Any => "dimension",
        }
    }

    /// What a column of this kind needs to be, in words.
    pub fn expected(self) -> &'static str {
        match self {
            Self::Id => "text or integers",
            Self::Text => "text",
            Self::Time => crate::error::TIME,
            Self::Day => "a date, a timestamp or text such as 2024-03-31",
            Self::Flag => "true or false",
            Self::Number => "a number",
            Self::Money => "an integer of minor units, a decimal or a float of major units",
            Self::Texts => "a list of texts, or text divided by commas",
            Self::Any => "text, a number, true or false, or a time",
        }
    }
}

/// A canonical column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its canonical name.
    pub name: &'static str,
    /// What its values mean.
    pub kind: Kind,
    /// Whether a file must have it and a row must fill it.
    pub required: bool,
}

impl Column {
    /// Whether a rule judges its values, so that it is read whether or not the answer needs it.
    pub fn is_judged(&self) -> bool {
        matches!(self.kind, Kind::Time | Kind::Money | Kind::Flag)
            || matches!(self.name, "timezone" | "currency")
    }
}

const fn required(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, required: true }
}

const fn optional(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, required: false }
}

/// The dimensions of a touch that say where it came from.
pub const UTM: [&str; 7] = [
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_content",
    "utm_term",
    "utm_id",
    "utm_id_from",
];

const SESSIONS: &[Column] = &[
    required("external_id", Kind::Id),
    required("user_external_id", Kind::Id),
    required("created_at", Kind::Time),
    optional("updated_at", Kind::Time),
    optional("domain_id", Kind::Id),
    optional("device_external_id", Kind::Id),
    optional("timezone", Kind::Text),
    optional("landing_page", Kind::Text),
    optional("referrer", Kind::Text),
    optional("utm_source", Kind::Text),
    optional("utm_medium", Kind::Text),
    optional("utm_campaign", Kind::Text),
    optional("utm_content", Kind::Text),
    optional("utm_term", Kind::Text),
    optional("utm_id", Kind::Id),
    optional("utm_id_from", Kind::Text),
    optional("via_utm_source", Kind::Text),
    optional("via_utm_medium", Kind::Text),
    optional("via_utm_campaign", Kind::Text),
    optional("via_utm_content", Kind::Text),
    optional("via_utm_term", Kind::Text),
    optional("via_utm_id", Kind::Id),
    optional("via_utm_id_from", Kind::Text),
    optional("duration", Kind::Number),
    optional("pageviews_count", Kind::Number),
    optional("interactions_count", Kind::Number),
    optional("user_created_at", Kind::Time),
    optional("user_is_authenticated", Kind::Flag),
    optional("user_signed_up_at", Kind::Time),
];

const POSTVIEWS: &[Column] = &[
    required("external_id", Kind::Id),
    required("user_external_id", Kind::Id),
    required("created_at", Kind::Time),
    optional("updated_at", Kind::Time),
    optional("device_external_id", Kind::Id),
    optional("country", Kind::Text),
    optional("utm_source", Kind::Text),
    optional("utm_medium", Kind::Text),
    optional("utm_campaign", Kind::Text),
    optional("utm_content", Kind::Text),
    optional("utm_term", Kind::Text),
    optional("utm_id", Kind::Id),
    optional("utm_id_from", Kind::Text),
    optional("user_created_at", Kind::Time),
    optional("user_is_authenticated", Kind::Flag),
    optional("user_signed_up_at", Kind::Time),
];

const ORDERS: &[Column] = &[
    required("external_id", Kind::Id),
    required("user_external_id", Kind::Id),
    required("created_at", Kind::Time),
    optional("updated_at", Kind::Time),
    optional("domain_id", Kind::Id),
    optional("session_external_id", Kind::Id),
    optional("subtotal_price", Kind::Money),
    optional("total_price", Kind::Money),
    optional("refunded_price", Kind::Money),
    optional("currency", Kind::Text),
    optional("discount_codes", Kind::Texts),
    optional("cancelled_at", Kind::Time),
    optional("conversion_type", Kind::Text),
    optional("user_created_at", Kind::Time),
    optional("user_is_authenticated", Kind::Flag),
    optional("user_signed_up_at", Kind::Time),
];

const ORDER_ITEMS: &[Column] = &[
    required("external_id", Kind::Id),
    required("order_external_id", Kind::Id),
    optional("created_at", Kind::Time),
    optional("updated_at", Kind::Time),
    optional("product_external_id", Kind::Id),
    optional("sku", Kind::Id),
    optional("name", Kind::Text),
    optional("brand", Kind::Text),
    optional("category", Kind::Text),
    optional("price", Kind::Money),
    optional("quantity", Kind::Number),
];

const USERS: &[Column] = &[
    required("external_id", Kind::Id),
    required("created_at", Kind::Time),
    optional("updated_at", Kind::Time),
    optional("is_authenticated", Kind::Flag),
    optional("signed_up_at", Kind::Time),
    optional("last_interaction_at", Kind::Time),
    optional("email", Kind::Text),
    optional("email_md5", Kind::Text),
    optional("email_sha1", Kind::Text),
    optional("email_sha256", Kind::Text),
    optional("telephone", Kind::Text),
    optional("country", Kind::Text),
    optional("language", Kind::Text),
    optional("timezone", Kind::Text),
];

const USER_ALIASES: &[Column] = &[
    required("from_user_external_id", Kind::Id),
    required("to_user_external_id", Kind::Id),
    optional("to_user_is_authenticated", Kind::Flag),
    optional("to_user_created_at", Kind::Time),
    optional("created_at", Kind::Time),
];

const DEVICES: &[Column] = &[
    required("external_id", Kind::Id),
    required("user_external_id", Kind::Id),
    optional("created_at", Kind::Time),
    optional("updated_at", Kind::Time),
    optional("device_type", Kind::Text),
    optional("browser", Kind::Text),
    optional("os", Kind::Text),
    optional("user_agent", Kind::Text),
];

const SPEND: &[Column] = &[
    required("date", Kind::Day),
    required("utm_source", Kind::Text),
    required("utm_medium", Kind::Text),
    required("cost", Kind::Money),
    optional("utm_campaign", Kind::Text),
    optional("currency", Kind::Text),
    optional("clicks", Kind::Number),
    optional("impressions", Kind::Number),
];

const EXCHANGE_RATES: &[Column] = &[
    required("date", Kind::Day),
    required("currency", Kind::Text),
    required("rate", Kind::Number),
];

impl Table {
    /// Every table of rows, in the order in which a run reads them.
    pub const ALL: [Self; 9] = [
        Self::Orders,
        Self::OrderItems,
        Self::Sessions,
        Self::Postviews,
        Self::Users,
        Self::UserAliases,
        Self::Devices,
        Self::Spend,
        Self::ExchangeRates,
    ];

    /// The table's name, in settings and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Postviews => "postviews",
            Self::Orders => "orders",
            Self::OrderItems => "order_items",
            Self::Users => "users",
            Self::UserAliases => "aliases",
            Self::Devices => "devices",
            Self::Spend => "spend",
            Self::ExchangeRates => "exchange_rates",
            Self::Items => "items",
        }
    }

    /// The table with this name.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|table| {
                table.name() == name || (*table == Self::UserAliases && name == "user_aliases")
            })
            .ok_or_else(|| Error::Unknown {
                kind: "table",
                name: name.to_owned(),
                known: Self::ALL.iter().map(|table| table.name().to_owned()).collect(),
            })
    }

    /// The columns that the table is known to have.
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Sessions => SESSIONS,
            Self::Postviews => POSTVIEWS,
            Self::Orders => ORDERS,
            Self::OrderItems => ORDER_ITEMS,
            Self::Users => USERS,
            Self::UserAliases => USER_ALIASES,
            Self::Devices => DEVICES,
            Self::Spend => SPEND,
            Self::ExchangeRates => EXCHANGE_RATES,
            Self::Items => &[],
        }
    }

    /// The column that says whose each row is, where the table is about users.
    pub const fn user_column(self) -> Option<&'static str> {
        match self {
            Self::Sessions | Self::Postviews | Self::Orders => Some("user_external_id"),
            Self::Users => Some("external_id"),
            Self::UserAliases => Some("from_user_external_id"),
            Self::OrderItems | Self::Devices | Self::Spend | Self::ExchangeRates | Self::Items => {
                None
            }
        }
    }

    /// The canonical column of this name.
    pub fn column(self, name: &str) -> Option<&'static Column> {
        self.columns().iter().find(|column| column.name == name)
    }

    /// What the values of a column mean; a column that is not canonical can be anything.
    pub fn kind_of(self, name: &str) -> Kind {
        match self.column(name) {
            Some(column) => column.kind,
            None if name == ITEM_USER => Kind::Id,
            None if is_bookkeeping(name) => Kind::Time,
            None => Kind::Any,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How the workspace names things: `--column` and `--set` for one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping {
    /// The column of the file that a canonical column is taken from; dots reach into structs.
    pub columns: BTreeMap<String, String>,
    /// A value that a column has in every row, whatever the file holds.
    pub constants: BTreeMap<String, String>,
}

/// Where the values of a column come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A column of the file; the parts of its path.
    File(Vec<String>),
    /// A `key=value` part of the file's path.
    Folder(String),
    /// The workspace's `--set`.
    Constant(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => formatter.write_str(&path.join(".")),
            Self::Folder(value) => write!(formatter, "folder name: {value}"),
            Self::Constant(value) => write!(formatter, "set: {value}"),
        }
    }
}

/// A column that a file provides, under its canonical name.
#[derive(Debug, Clone)]
pub struct Found {
    /// The canonical name, or the file's own for a column that apportion does not know.
    pub name: String,
    /// What its values mean.
    pub kind: Kind,
    /// Where they come from.
    pub origin: Origin,
    /// The type in the file; text for a constant.
    pub data_type: DataType,
    /// Whether the file itself says that its amounts are in major units.
    pub is_major: bool,
}

/// The struct of a table from JSON items that holds, under the name of a column, the time of its
/// field where that is not the row's; a time beside a null value says that the field was cleared.
pub const FIELD_TIMES: &str = "_times";

/// The column of an order from JSON items that says since when its set of items holds.
pub const ITEMS_AT: &str = "_items_at";

/// The column of an order's items from JSON that says whose order it is: an id may be under two
/// users.
pub const ITEM_USER: &str = "_user_external_id";

/// The name under which the times of a column's fields are read.
pub fn field_times_of(column: &str) -> String {
    format!("{FIELD_TIMES}.{column}")
}

/// Whether a column is what a table says of itself: no dimension, and of no use to people.
///
/// # Example
///
/// ```
/// use apportion::schema::is_bookkeeping;
/// assert!(is_bookkeeping("_times.utm_source") && is_bookkeeping("_items_at"));
/// assert!(!is_bookkeeping("utm_source") && !is_bookkeeping("_times_seen"));
/// ```
pub fn is_bookkeeping(column: &str) -> bool {
    matches!(column, ITEMS_AT | ITEM_USER) || column.split('.').next() == Some(FIELD_TIMES)
}

/// Says of a file, with the version of its form, that it was made from JSON items.
pub(crate) const INGESTED: &str = "apportion.ingest";

/// Says of a column that its amounts are in major units.
pub(crate) const MAJOR: &str = "major_units";

/// The columns of one file, by their canonical names, in a stable order.
///
/// Canonical columns come first and in the table's order, then the others by name. `hive` holds
/// the `key=value` parts of the file's path. A missing required column is an error that lists the
/// columns there are.
pub fn resolve(
    table: Table,
    path: &Path,
    schema: &Schema,
    hive: &BTreeMap<String, String>,
    mapping: &Mapping,
) -> Result<Vec<Found>> {
    let (found, missing) = resolve_all(table, path, schema, hive, mapping);
    missing.into_iter().next().map_or(Ok(found), Err)
}

/// The columns of one file as [`resolve`] has them, and an error for each that is missing.
pub fn resolve_all(
    table: Table,
    path: &Path,
    schema: &Schema,
    hive: &BTreeMap<String, String>,
    mapping: &Mapping,
) -> (Vec<Found>, Vec<Error>) {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    let mut taken = BTreeSet::new();
    for column in table.columns() {
        match locate(table, path, schema, hive, mapping, column.name) {
            Ok(Some((origin, data_type))) => {
                if let Origin::File(parts) = &origin {
                    taken.insert(parts[0].clone());
                }
                let (name, kind) = (column.name.to_owned(), column.kind);
                let is_major = is_major(schema, &origin);
                found.push(Found { name, kind, origin, data_type, is_major });
            }
            Ok(None) if column.required => {
                errors.push(missing(table, path, schema, column.name, column.name));
            }
            Ok(None) => {}
            Err(error) => errors.push(error),
        }
    }
    let mut others: BTreeSet<String> = mapping.columns.keys().cloned().collect();
    others.extend(mapping.constants.keys().cloned());
    others.extend(hive.keys().cloned());
    others.extend(
        schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .filter(|name| !taken.contains(name) && name != FIELD_TIMES),
    );
    for name in others.into_iter().filter(|name| table.column(name).is_none()) {
        match locate(table, path, schema, hive, mapping, &name) {
            Ok(Some((origin, data_type))) => {
                let (kind, is_major) = (table.kind_of(&name), is_major(schema, &origin));
                found.push(Found { name, kind, origin, data_type, is_major });
            }
            Ok(None) => {}
            Err(error) => errors.push(error),
        }
    }
    found.extend(field_times(schema));
    (found, errors)
}

/// The times of fields, a column each; see [`FIELD_TIMES`].
fn field_times(schema: &Schema) -> Vec<Found> {
    let times = schema.field_with_name(FIELD_TIMES).map(|times| times.data_type());
    let Ok(DataType::Struct(times)) = times else { return Vec::new() };
    let found = |time: &Arc<Field>| Found {
        name: field_times_of(time.name()),
        kind: Kind::Time,
        origin: Origin::File(vec![FIELD_TIMES.to_owned(), time.name().clone()]),
        data_type: time.data_type().clone(),
        is_major: false,
    };
    times.iter().map(found).collect()
}

fn is_major(schema: &Schema, origin: &Origin) -> bool {
    let Origin::File(path) = origin else { return false };
    let field = path.first().and_then(|name| schema.field_with_name(name).ok());
    field.is_some_and(|field| field.metadata().contains_key(MAJOR))
}

fn locate(
    table: Table,
    path: &Path,
    schema: &Schema,
    hive: &BTreeMap<String, String>,
    mapping: &Mapping,
    name: &str,
) -> Result<Option<(Origin, DataType)>> {
    if let Some(value) = mapping.constants.get(name) {
        return Ok(Some((Origin::Constant(value.clone()), DataType::Utf8)));
    }
    if let Some(source) = mapping.columns.get(name) {
        if let Some((parts, data_type)) = lookup(schema, source) {
            return Ok(Some((Origin::File(parts), data_type)));
        }
        if let Some(value) = hive.get(source) {
            return Ok(Some((Origin::Folder(value.clone()), DataType::Utf8)));
        }
        // What an ingest wrote has canonical names; the workspace's are those of other files.
        if !schema.metadata().contains_key(INGESTED) {
            return Err(missing(table, path, schema, source, name));
        }
    }
    let nested = name.strip_prefix("user_").map(|field| format!("user.{field}"));
    let in_file = lookup(schema, name).or_else(|| lookup(schema, nested.as_deref()?));
    Ok(in_file
        .map(|(parts, data_type)| (Origin::File(parts), data_type))
        .or_else(|| Some((Origin::Folder(hive.get(name)?.clone()), DataType::Utf8))))
}

/// A column by its name, or by a dotted path into structs.
fn lookup(schema: &Schema, name: &str) -> Option<(Vec<String>, DataType)> {
    if let Ok(field) = schema.field_with_name(name) {
        return Some((vec![name.to_owned()], field.data_type().clone()));
    }
    let mut parts = name.split('.');
    let mut field = schema.field_with_name(parts.next()?).ok()?;
    let mut path = vec![field.name().clone()];
    for part in parts {
        let DataType::Struct(fields) = field.data_type() else { return None };
        field = fields.iter().find(|field| field.name() == part)?;
        path.push(part.to_owned());
    }
    Some((path, field.data_type().clone()))
}

fn missing(table: Table, path: &Path, schema: &Schema, column: &str, canonical: &str) -> Error {
    let columns: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    Error::MissingColumn(Box::new(MissingColumn {
        taken: columns.iter().filter(|name| table.column(name).is_some()).cloned().collect(),
        table: table.name(),
        path: path.to_path_buf(),
        column: column.to_owned(),
        columns,
        canonical: canonical.to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve_users(schema: &Schema, mapping: &Mapping) -> Result<Vec<Found>> {
        let hive = [("country".to_owned(), "FR".to_owned())].into();
        resolve(Table::Users, Path::new("users.parquet"), schema, &hive, mapping)
    }

    #[test]
    fn names_come_from_settings_then_the_file_then_the_folder() {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("created_at", DataType::Utf8, false),
            Field::new("app_tier", DataType::Utf8, true),
        ]);
        let mapping = Mapping {
            columns: [("external_id".to_owned(), "id".to_owned())].into(),
            constants: [("language".to_owned(), "fr".to_owned())].into(),
        };
        let found = resolve_users(&schema, &mapping).unwrap();
        let seen: Vec<_> =
            found.iter().map(|column| (column.name.as_str(), column.origin.to_string())).collect();
        assert_eq!(
            seen,
            [
                ("external_id", "id".to_owned()),
                ("created_at", "created_at".to_owned()),
                ("country", "folder name: FR".to_owned()),
                ("language", "set: fr".to_owned()),
                ("app_tier", "app_tier".to_owned()),
            ]
        );
    }

    #[test]
    fn a_nested_user_is_found_and_a_missing_column_names_those_there_are() {
        let user = DataType::Struct(vec![Field::new("external_id", DataType::Utf8, true)].into());
        let schema = Schema::new(vec![Field::new("user", user, true)]);
        assert_eq!(lookup(&schema, "user.external_id").unwrap().1, DataType::Utf8);
        let error = resolve_users(&schema, &Mapping::default()).unwrap_err();
        assert_eq!(error.to_string(), "the users file `users.parquet` has no column `external_id`");
        assert!(error.hint().unwrap().starts_with("the file has: user; "));
    }
}
