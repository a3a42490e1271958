//! One line to the rows that it brings, as they were written: nothing is judged here but the shape.
//!
//! ```text
//! {"kind": "order", "user": {…}, "order": {…, "items": [{…}, {…}], "session": {"device": {…}}}}
//!    → orders, order_items, order_items, sessions, devices
//! ```

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::calendar::parse_instant;
use crate::schema::{Table, is_bookkeeping};

/// A value as the line has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Field {
    /// An explicit null.
    Null,
    /// True or false.
    Flag(bool),
    /// A number, in its own digits.
    Number(String),
    /// Text, unescaped.
    Text(String),
    /// A list or an object, as JSON.
    Nested(String),
}

/// A row as a line has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RawRow {
    /// The table that it belongs to.
    pub(super) table: Table,
    /// Its columns by name.
    pub(super) fields: BTreeMap<String, Field>,
    /// When it was so: the later of `created_at` and `updated_at`, else that of the row around it.
    pub(super) at: Option<i64>,
    /// Whether it is an order that says what its items are; they follow it.
    pub(super) has_items: bool,
}

type Object<'a> = BTreeMap<String, &'a RawValue>;

/// The kinds of items, with the table that each goes into.
const KINDS: [(&str, Table); 6] = [
    ("user", Table::Users),
    ("user_alias", Table::UserAliases),
    ("device", Table::Devices),
    ("session", Table::Sessions),
    ("postview", Table::Postviews),
    ("order", Table::Orders),
];

/// The rows of a line, the item's own first; what is wrong where it is no item.
pub(super) fn parse(line: &[u8]) -> Result<Vec<RawRow>, String> {
    let mut item: Object<'_> =
        serde_json::from_slice(line).map_err(|error| format!("it is no JSON object: {error}"))?;
    let known = || KINDS.map(|(kind, _)| kind).join(", ");
    let kind: String = match item.get("kind").map(|kind| field(kind)) {
        Some(Ok(Field::Text(kind))) => kind,
        Some(_) => return Err(format!("`kind` is not text; it is one of {}", known())),
        None => return Err(format!("`kind` is missing; it is one of {}", known())),
    };
    let (name, table) = KINDS
        .into_iter()
        .find(|(name, _)| *name == kind)
        .ok_or_else(|| format!("no kind is `{}`; known are {}", shown(&kind), known()))?;
    let own = item.remove(name).map(|own| object(name, own)).transpose()?.flatten();
    let own = own.ok_or_else(|| format!("`{name}` is missing, the item's own object"))?;
    let mut rows = Vec::new();
    add(table, own, &mut item, None, &mut rows)?;
    Ok(rows)
}

/// The minimal user of a row, and when the row around it was.
#[derive(Clone)]
struct Around {
    user: BTreeMap<String, Field>,
    at: Option<i64>,
}

/// Adds the row of an object, then those that are nested in it or stand `beside` it.
fn add(
    table: Table,
    mut own: Object<'_>,
    beside: &mut Object<'_>,
    around: Option<&Around>,
    rows: &mut Vec<RawRow>,
) -> Result<(), String> {
    let mut take = |name: &'static str| own.remove(name).or_else(|| beside.remove(name));
    let has_user = !matches!(table, Table::Users | Table::UserAliases | Table::OrderItems);
    let user = if has_user { take("user") } else { None };
    let holds_device = matches!(table, Table::Sessions | Table::Postviews | Table::Orders);
    let device = if holds_device { take("device") } else { None };
    let session = if table == Table::Orders { take("session") } else { None };
    let items = if table == Table::Orders { take("items") } else { None };

    let mut fields = fields(&own)?;
    if let Some(around) = around {
        fields.extend(around.user.clone());
    } else if let Some(user) = user.map(|user| object("user", user)).transpose()?.flatten() {
        for (name, value) in self::fields(&user)? {
            fields.insert(format!("user_{name}"), value);
        }
    }
    let nested = [
        ("device", "device_external_id", Table::Devices, device),
        ("session", "session_external_id", Table::Sessions, session),
    ];
    let mut inside = Vec::new();
    for (name, reference, table, value) in nested {
        let Some(value) = value else { continue };
        match object(name, value)? {
            Some(object) => {
                if let Some(id) = object.get("external_id") {
                    fields.entry(reference.to_owned()).or_insert(field(id)?);
                }
                inside.push((table, object));
            }
            None => {
                fields.entry(reference.to_owned()).or_insert(Field::Null);
            }
        }
    }
    let is_of_user = |(name, _): &(&String, &Field)| name.starts_with("user_");
    let user = fields.iter().filter(is_of_user);
    let user: BTreeMap<_, _> = user.map(|(name, value)| (name.clone(), value.clone())).collect();
    let at = time(&fields).or_else(|| around.and_then(|around| around.at));
    let id = fields.get("external_id").cloned();
    rows.push(RawRow { table, fields, at, has_items: items.is_some() });
    if let Some(items) = items {
        add_items(items, id.as_ref(), at, rows)?;
    }
    for (table, object) in inside {
        // A device is known by its user's id alone.
        let mut user = user.clone();
        user.retain(|name, _| table != Table::Devices || name == "user_external_id");
        add(table, object, &mut Object::new(), Some(&Around { user, at }), rows)?;
    }
    Ok(())
}

fn add_items(
    items: &RawValue,
    order: Option<&Field>,
    at: Option<i64>,
    rows: &mut Vec<RawRow>,
) -> Result<(), String> {
    let items: Option<Vec<&RawValue>> = serde_json::from_str(items.get())
        .map_err(|_| "`items` is not a list of objects".to_owned())?;
    for item in items.into_iter().flatten() {
        let item = object("items", item)?.ok_or("`items` holds null, not an object")?;
        let mut fields = fields(&item)?;
        if let Some(order) = order {
            fields.insert("order_external_id".to_owned(), order.clone());
        }
        rows.push(RawRow { table: Table::OrderItems, fields, at, has_items: false });
    }
    Ok(())
}

/// An object, or none for null.
fn object<'a>(name: &str, value: &'a RawValue) -> Result<Option<Object<'a>>, String> {
    serde_json::from_str(value.get()).map_err(|_| format!("`{name}` is not an object"))
}

fn fields(object: &Object<'_>) -> Result<BTreeMap<String, Field>, String> {
    object
        .iter()
        .map(|(name, value)| {
            if name.trim().is_empty() {
                return Err("a key is empty".to_owned());
            }
            if is_bookkeeping(name) {
                return Err(format!("the key `{name}` is kept for what tables say of themselves"));
            }
            Ok((name.clone(), field(value)?))
        })
        .collect()
}

fn field(value: &RawValue) -> Result<Field, String> {
    let text = value.get();
    let unreadable = |error: serde_json::Error| format!("it is no JSON object: {error}");
    Ok(match text.as_bytes().first() {
        Some(b'n') => Field::Null,
        Some(b't') => Field::Flag(true),
        Some(b'f') => Field::Flag(false),
        Some(b'"') => Field::Text(serde_json::from_str(text).map_err(unreadable)?),
        Some(b'[' | b'{') => {
            // Blanks between its parts say nothing.
            let value: serde_json::Value = serde_json::from_str(text).map_err(unreadable)?;
            Field::Nested(value.to_string())
        }
        _ => Field::Number(text.to_owned()),
    })
}

/// The later of the two times that a row names, where they can be read.
fn time(fields: &BTreeMap<String, Field>) -> Option<i64> {
    let at = |name: &str| match fields.get(name) {
        Some(Field::Text(text)) => parse_instant(text),
        _ => None,
    };
    at("created_at").max(at("updated_at"))
}

/// As much of a text as a message can hold.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_brings_its_items_its_session_and_their_device() {
        let line =
            br#"{"kind": "order", "user": {"external_id": "u"}, "order": {"external_id": "o",
            "created_at": "2024-01-02", "items": [{"external_id": "i"}],
            "session": {"external_id": 7, "device": {"external_id": "d"}}}}"#;
        let rows = parse(line).unwrap();
        let tables: Vec<_> = rows.iter().map(|row| row.table).collect();
        assert_eq!(tables, [Table::Orders, Table::OrderItems, Table::Sessions, Table::Devices]);
        assert_eq!(rows[0].fields["session_external_id"], Field::Number("7".to_owned()));
        assert_eq!(rows[1].fields["order_external_id"], Field::Text("o".to_owned()));
        assert_eq!(rows[2].fields["device_external_id"], Field::Text("d".to_owned()));
        assert_eq!(rows[3].fields["user_external_id"], Field::Text("u".to_owned()));
        assert_eq!(rows[3].at, parse_instant("2024-01-02"));
        assert!(rows[0].has_items);
    }

    #[test]
    fn what_is_no_item_says_why() {
        let why = |line: &str| parse(line.as_bytes()).unwrap_err();
        assert!(why("{").starts_with("it is no JSON object"));
        assert!(why("[1]").starts_with("it is no JSON object"));
        assert!(why("{}").starts_with("`kind` is missing"));
        assert!(why(r#"{"kind": "visit"}"#).starts_with("no kind is `visit`"));
        assert!(why(r#"{"kind": "user"}"#).starts_with("`user` is missing"));
        assert!(why(r#"{"kind": "user", "user": 7}"#).starts_with("`user` is not an object"));
        let items = r#"{"kind": "order", "order": {"items": [1]}}"#;
        assert!(why(items).starts_with("`items` is not an object"));
        assert!(why(r#"{"kind": "user", "user": {"_times": 1}}"#).contains("is kept"));
    }
}
