//! What a column of a table is in each database.

use arrow::datatypes::{DataType, Field, Schema};

use super::Engine;

/// What a column holds, whatever the database calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, and whatever is only known as text.
    Text,
    /// A whole number.
    Whole,
    /// Money: exact, never a float.
    Amount,
    /// A share, a ratio or another measured number.
    Float,
    /// True or false.
    Flag,
    /// A point in time.
    Instant,
    /// A calendar day.
    Day,
}

impl Kind {
    fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Decimal128(..) => Self::Amount,
            DataType::Boolean => Self::Flag,
            DataType::Timestamp(..) => Self::Instant,
            DataType::Date32 => Self::Day,
            whole if whole.is_integer() => Self::Whole,
            float if float.is_floating() => Self::Float,
            _ => Self::Text,
        }
    }

    /// The type's name, as the database says it too.
    ///
    /// Amounts have room for the decimals of any currency, so that one that comes later fits. SQLite
    /// has no decimals: there they are whole minor units, and instants text that sorts as they do.
    pub(super) const fn name(self, engine: Engine) -> &'static str {
        match (engine, self) {
            (Engine::Postgres, Self::Text) => "text",
            (Engine::Postgres, Self::Whole) => "bigint",
            (Engine::Postgres, Self::Amount) => "numeric",
            (Engine::Postgres, Self::Float) => "double precision",
            (Engine::Postgres, Self::Flag) => "boolean",
            (Engine::Postgres, Self::Instant) => "timestamp with time zone",
            (Engine::Postgres, Self::Day) => "date",
            (Engine::Sqlite, Self::Text | Self::Instant | Self::Day) => "TEXT",
            (Engine::Sqlite, Self::Whole | Self::Amount | Self::Flag) => "INTEGER",
            (Engine::Sqlite, Self::Float) => "REAL",
            (Engine::DuckDb, Self::Text) => "VARCHAR",
            (Engine::DuckDb, Self::Whole) => "BIGINT",
            (Engine::DuckDb, Self::Amount) => "DECIMAL(38,4)",
            (Engine::DuckDb, Self::Float) => "DOUBLE",
            (Engine::DuckDb, Self::Flag) => "BOOLEAN",
            (Engine::DuckDb, Self::Instant) => "TIMESTAMP WITH TIME ZONE",
            (Engine::DuckDb, Self::Day) => "DATE",
        }
    }
}

/// A column of a table in a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// Its name.
    pub(super) name: String,
    /// What it holds.
    pub(super) kind: Kind,
    /// The type's name in the database.
    pub(super) sql_type: &'static str,
}

impl Column {
    fn new(field: &Field, engine: Engine) -> Self {
        let kind = Kind::of(field.data_type());
        Self { name: field.name().clone(), kind, sql_type: kind.name(engine) }
    }

    /// The columns of a table.
    pub(super) fn all(schema: &Schema, engine: Engine) -> Vec<Self> {
        schema.fields().iter().map(|field| Self::new(field, engine)).collect()
    }
}

/// What is different about the columns of a table that is there already; none where nothing is.
pub(super) fn difference(wanted: &[Column], there: &[(String, String)]) -> Option<String> {
    let named = |name: &str| there.iter().find(|(known, _)| known == name);
    let lacking = wanted.iter().filter(|column| named(&column.name).is_none());
    let lacking = lacking.map(|column| format!("`{}` ({})", column.name, column.sql_type));
    let known = |name: &String| wanted.iter().any(|column| column.name == *name);
    let besides = there.iter().filter(|(name, _)| !known(name));
    let besides = besides.map(|(name, sql_type)| format!("`{name}` ({sql_type})"));
    let otherwise = wanted.iter().filter_map(|column| {
        let (name, found) = named(&column.name)?;
        let other = !found.eq_ignore_ascii_case(column.sql_type);
        other.then(|| format!("`{name}` is {found} and not {}", column.sql_type))
    });
    let listed = |texts: Vec<String>| texts.join(", ");
    let parts = [
        ("it lacks ", listed(lacking.collect())),
        ("it has besides ", listed(besides.collect())),
        ("", listed(otherwise.collect())),
    ];
    let said = parts.iter().filter(|(_, list)| !list.is_empty());
    let said: Vec<String> = said.map(|(what, list)| format!("{what}{list}")).collect();
    (!said.is_empty()).then(|| said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_differ_are_named() {
        let schema = Schema::new(vec![
            Field::new("model", DataType::Utf8View, true),
            Field::new("amount", DataType::Decimal128(38, 2), true),
            Field::new("orders", DataType::UInt64, true),
        ]);
        let wanted = Column::all(&schema, Engine::Postgres);
        let there = |columns: &[(&str, &str)]| {
            let owned = columns.iter().map(|(name, of)| ((*name).to_owned(), (*of).to_owned()));
            difference(&wanted, &owned.collect::<Vec<_>>())
        };
        let same = [("orders", "bigint"), ("amount", "NUMERIC"), ("model", "text")];
        assert_eq!(there(&same), None);
        let other = [("amount", "double precision"), ("model", "text"), ("note", "text")];
        assert_eq!(
            there(&other).unwrap(),
            "it lacks `orders` (bigint); it has besides `note` (text); `amount` is double precision and not numeric"
        );
    }
}
