//! What a query says of itself: the comment that it begins with.
//!
//! ```sql
//! -- title:     Top conversion paths
//! -- answers:   By which channels, in which order, do persons come before they order?
//! -- inputs:    journeys
//! -- parameter: paths (integer, 20): how many paths of each currency
//! -- amounts:   amount
//! -- output:    one row a path and currency, the most orders first
//! ```
//!
//! A line that is indented goes on with the one above. A query without a header can be asked too.

use crate::error::{Error, Result};

/// What a query says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// What it is called, for people.
    pub title: String,
    /// The question.
    pub answers: String,
    /// The tables that it reads.
    pub inputs: Vec<String>,
    /// What can be asked of it.
    pub parameters: Vec<Parameter>,
    /// The columns of its answer that are whole minor units, and are written as units of the row's
    /// currency.
    pub amounts: Vec<String>,
    /// Which columns of its answer stand side by side, where any do.
    pub beside: Option<Beside>,
    /// What a row of its answer is, and the order of rows.
    pub output: String,
}

/// Columns that stand side by side: `amount by model` makes of rows that differ by model and amount only
/// one, with a column `MODEL_amount` for each model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// The columns whose values stand side by side.
    pub values: Vec<String>,
    /// The column that tells them apart.
    pub by: String,
}

/// Something that can be asked of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, that of a column of `params`.
    pub name: String,
    /// What its values are.
    pub kind: ParameterType,
    /// Its value where it is not asked for.
    pub default: String,
    /// What it says.
    pub about: String,
}

/// What the values of a parameter are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterType {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Flag,
    /// A day, `2025-03-31`; text in SQL, as every day is.
    Day,
}

impl ParameterType {
    /// Every type.
    pub const ALL: [Self; 5] = [Self::Text, Self::Integer, Self::Number, Self::Flag, Self::Day];

    /// The type in one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Flag => "flag",
            Self::Day => "day",
        }
    }
}

impl Header {
    /// Reads the comment that a query begins with.
    ///
    /// # Errors
    ///
    /// A parameter that is not `NAME (TYPE, DEFAULT): WHAT IT SAYS`.
    ///
    /// # Example
    ///
    /// ```
    /// use apportion::queries::Header;
    /// let sql = "-- title:     Orders\n-- parameter: least (integer, 1): no fewer\nselect 1 as one";
    /// let header = Header::read("orders.sql", sql)?;
    /// assert_eq!(header.title, "Orders");
    /// assert_eq!(header.parameters[0].default, "1");
    /// # Ok::<(), apportion::Error>(())
    /// ```
    pub fn read(query: &str, sql: &str) -> Result<Self> {
        let mut header = Self::default();
        for (key, value) in entries(sql) {
            let names = || value.split(',').map(|name| name.trim().to_owned()).collect();
            match key.as_str() {
                "title" => header.title = value,
                "answers" => header.answers = value,
                "inputs" => header.inputs = names(),
                "amounts" => header.amounts = names(),
                "beside" => header.beside = Some(beside(query, &value)?),
                "output" => header.output = value,
                "parameter" => header.parameters.push(parameter(query, &value)?),
                // Whatever else a comment says is for its reader.
                _ => {}
            }
        }
        Ok(header)
    }
}

/// The keys of the comment and their values, lines that go on put together.
fn entries(sql: &str) -> Vec<(String, String)> {
    let mut entries: Vec<(String, String)> = Vec::new();
    for line in sql.lines().map_while(|line| line.trim_start().strip_prefix("--")) {
        let goes_on = line.starts_with("  ");
        match (line.split_once(':'), entries.last_mut()) {
            (_, Some((_, value))) if goes_on => {
                value.push(' ');
                value.push_str(line.trim());
            }
            (Some((key, value)), _) => {
                entries.push((key.trim().to_owned(), value.trim().to_owned()));
            }
            (None, _) => entries.push((String::new(), line.trim().to_owned())),
        }
    }
    entries
}

fn beside(query: &str, text: &str) -> Result<Beside> {
    let (values, by) = text.split_once(" by ").ok_or_else(|| {
        let why =
            format!("`{query}` puts columns side by side like this: `-- beside: amount by model`");
        Error::setting("beside", text, why)
    })?;
    let values = values.split(',').map(|name| name.trim().to_owned()).collect();
    Ok(Beside { values, by: by.trim().to_owned() })
}

fn parameter(query: &str, text: &str) -> Result<Parameter> {
    let wrong = || {
        let kinds = ParameterType::ALL.map(ParameterType::name).join(", ");
        let why = format!(
            "`{query}` declares a parameter like this: `-- parameter: NAME (TYPE, DEFAULT): WHAT IT SAYS`, where TYPE is one of {kinds}"
        );
        Error::setting("parameter", text, why)
    };
    let (name, rest) = text.split_once('(').ok_or_else(wrong)?;
    let (kind, about) = rest.split_once("):").ok_or_else(wrong)?;
    let (kind, default) = kind.split_once(',').unwrap_or((kind, ""));
    let (name, kind) = (name.trim(), kind.trim());
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let kind = ParameterType::ALL.into_iter().find(|known| known.name() == kind);
    let kind = kind.filter(|_| !name.is_empty() && name.chars().all(is_word)).ok_or_else(wrong)?;
    Ok(Parameter {
        name: name.to_owned(),
        kind,
        default: default.trim().to_owned(),
        about: about.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_indented_go_on_and_the_header_ends_with_the_comment() {
        let sql = "-- title:   One\n-- answers: what is asked\n--          for\n--\n-- parameter: day (day, 2025-01-01): the first\n-- parameter: model (text): which\nselect 1 -- title: no";
        let header = Header::read("a.sql", sql).unwrap();
        assert_eq!((header.title.as_str(), header.answers.as_str()), ("One", "what is asked for"));
        let [day, model] = &header.parameters[..] else { unreachable!("two are declared") };
        assert_eq!((day.kind, day.default.as_str()), (ParameterType::Day, "2025-01-01"));
        assert_eq!((model.kind, model.default.as_str()), (ParameterType::Text, ""));
    }

    #[test]
    fn a_parameter_without_a_type_is_refused_with_what_would_be_right() {
        for wrong in ["rows", "rows: 3", "rows (count, 3): how many", "a b (text): two words"] {
            let sql = format!("-- parameter: {wrong}\nselect 1");
            let error = Header::read("a.sql", &sql).unwrap_err().to_string();
            assert!(error.contains("NAME (TYPE, DEFAULT)"), "{error}");
        }
    }
}
