//! Conditions on the figures of a run, which decide whether it may be published.
//!
//! A condition is an SQL expression over the numbers of the summary and some shares of them:
//! `unattributed_share < 0.4 and orders.counted > 0`. Not for conditions on rows; those are filters and
//! audits.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlparser::ast::{BinaryOperator, Expr, Ident, UnaryOperator, Value as Literal};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use crate::error::{Error, Result};
use crate::schema::Table;
use crate::summary::Summary;
use crate::validate::Rule;

/// The figures of a run by their names; one that cannot be worked out is there without a value.
///
/// # Example
///
/// ```
/// use apportion::assertions::{Assertion, Figures};
/// use apportion::summary::Summary;
/// let mut summary = Summary::default();
/// (summary.orders.counted, summary.orders.unattributed) = (8, 2);
/// let figures = Figures::new(&summary);
/// assert_eq!(figures.value("unattributed_share"), Some(0.25));
/// let fine = Assertion::parse("unattributed_share <= 0.25 and rejected = 0")?;
/// assert_eq!(fine.failure(&figures), None);
/// let failing = Assertion::parse("orders.counted > 10")?;
/// assert_eq!(
///     failing.failure(&figures).unwrap(),
///     "`orders.counted > 10` does not hold: orders.counted is 8"
/// );
/// # Ok::<(), apportion::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Figures(BTreeMap<String, Option<f64>>);

/// The flag that conditions are given by.
const FLAG: &str = "--assert";

/// Bytes of a condition: it is worked out part within part.
const MOST_BYTES: usize = 4 << 10;

/// What the names of amounts begin with: a currency follows.
const AMOUNT: &str = "amount.";

/// Figures that are there in some runs only.
const SOMETIMES: [&str; 3] = ["compared.orders_then", "resamples.resamples", "sweep.results"];

impl Figures {
    /// The figures of a summary.
    pub fn new(summary: &Summary) -> Self {
        let mut figures = BTreeMap::new();
        for name in SOMETIMES {
            figures.insert(name.to_owned(), None);
        }
        for table in Table::ALL.into_iter().chain([Table::Items]) {
            for of_table in ["files", "read", "accepted", "rejected"] {
                figures.insert(format!("tables.{}.{of_table}", table.name()), Some(0.0));
            }
            for rule in Rule::ALL {
                figures.insert(format!("rejects.{}.{}", table.name(), rule.name()), Some(0.0));
            }
        }
        let whole = serde_json::to_value(summary).unwrap_or_default();
        numbers("", &whole, &mut figures);
        let count = |count: u64| Some(count as f64);
        for table in &summary.tables {
            let of_table = [
                ("files", table.files),
                ("read", table.read),
                ("accepted", table.accepted),
                ("rejected", table.rejected),
            ];
            for (name, rows) in of_table {
                figures.insert(format!("tables.{}.{name}", table.table), count(rows));
            }
        }
        for by in &summary.rejects {
            figures.insert(format!("rejects.{}.{}", by.table, by.rule), count(by.rows));
        }
        figures.insert("warnings".to_owned(), count(summary.warnings.len() as u64));
        figures.insert("spend_gaps".to_owned(), count(summary.spend_gaps.len() as u64));
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let (orders, read) = (&summary.orders, summary.rows_read());
        let shares = [
            ("rows_read", count(read)),
            ("rejected_share", share(summary.rejected, read)),
            ("repaired_share", share(summary.repaired, read)),
            ("attributed_share", share(orders.attributed, orders.counted)),
            ("unattributed_share", share(orders.unattributed, orders.counted)),
            ("stubs_left_share", share(summary.identity.stubs_left, summary.identity.users)),
        ];
        figures.extend(shares.map(|(name, value)| (name.to_owned(), value)));
        for line in &summary.proof.models {
            // Every model is owed the same.
            let owed = line.owed.replace(',', "").parse().ok();
            figures.insert(format!("{AMOUNT}{}", line.currency), owed);
        }
        Self(figures)
    }

    /// A figure; none where it is not known.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied().flatten()
    }

    /// Every name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether a figure may have this name.
    fn knows(&self, name: &str) -> bool {
        let of_currency =
            |code: &str| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        self.0.contains_key(name) || name.strip_prefix(AMOUNT).is_some_and(of_currency)
    }
}

/// Adds the numbers of an object, each by the names that lead to it; lists have none.
fn numbers(name: &str, value: &Value, figures: &mut BTreeMap<String, Option<f64>>) {
    match value {
        Value::Number(number) => {
            figures.insert(name.to_owned(), number.as_f64());
        }
        Value::Object(fields) => {
            for (field, value) in fields {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                numbers(&name, value, figures);
            }
        }
        _ => {}
    }
}

/// A condition that the figures of a run have to meet.
#[derive(Debug, Clone)]
pub struct Assertion {
    text: String,
    condition: Expr,
}

/// What a part of a condition comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Worth {
    Number(f64),
    Truth(bool),
    /// A figure that is not known, and whatever depends on it.
    Unknown,
}

impl Assertion {
    /// Reads a condition.
    ///
    /// # Errors
    ///
    /// Text that is none; a name that no figure has, with those that there are.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: String| Error::setting(FLAG, text, why);
        if text.len() > MOST_BYTES {
            let beginning: String = text.chars().take(60).collect();
            let why = format!("it is longer than {} KiB", MOST_BYTES >> 10);
            return Err(Error::setting(FLAG, format!("{beginning}\u{2026}"), why));
        }
        let read = Parser::new(&GenericDialect {}).try_with_sql(text).and_then(|mut parser| {
            let condition = parser.parse_expr()?;
            parser.expect_token(&Token::EOF)?;
            Ok(condition)
        });
        let said = |error: &str| error.trim_start_matches("sql parser error: ").to_owned();
        let condition = read.map_err(|error| wrong(said(&error.to_string())))?;
        let known = Figures::new(&Summary::default());
        let assertion = Self { text: text.to_owned(), condition };
        for name in assertion.names() {
            if !known.knows(&name) {
                let known = known.names().map(str::to_owned);
                return Err(Error::Unknown { kind: "figure", name, known: shown(known) });
            }
        }
        match kind(&assertion.condition).map_err(wrong)? {
            Kind::Truth => Ok(assertion),
            Kind::Number => {
                Err(wrong("it is a number; compare it, as in `rejected_share < 0.01`".to_owned()))
            }
        }
    }

    /// What is said where the condition does not hold, with the figures that it names.
    pub fn failure(&self, figures: &Figures) -> Option<String> {
        if worth(&self.condition, figures) == Worth::Truth(true) {
            return None;
        }
        let mut names = self.names();
        names.sort();
        names.dedup();
        let said = names.iter().map(|name| match figures.value(name) {
            Some(value) => format!("{name} is {}", short(value)),
            None => format!("{name} is not known"),
        });
        let said: Vec<String> = said.collect();
        Some(format!("`{}` does not hold: {}", self.text, said.join(", ")))
    }

    /// The names of figures in it.
    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        named(&self.condition, &mut names);
        names
    }
}

/// The names of figures that are worth listing: those of every table and rule are many.
fn shown(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut shown = Vec::new();
    for name in names {
        let name = match name.split('.').collect::<Vec<_>>()[..] {
            ["tables", _, of_table] => format!("tables.TABLE.{of_table}"),
            ["rejects", ..] => "rejects.TABLE.RULE".to_owned(),
            _ => name,
        };
        if !shown.contains(&name) {
            shown.push(name);
        }
    }
    shown.push("amount.CURRENCY".to_owned());
    shown
}

/// A number as people read it: not more than six decimals.
fn short(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What an expression comes to, whatever the figures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Truth,
}

fn joined(parts: &[Ident]) -> String {
    let parts: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
    parts.join(".")
}

fn named(expression: &Expr, names: &mut Vec<String>) {
    match expression {
        Expr::Identifier(name) => names.push(name.value.clone()),
        Expr::CompoundIdentifier(parts) => names.push(joined(parts)),
        Expr::Nested(inner) | Expr::UnaryOp { expr: inner, .. } => named(inner, names),
        Expr::BinaryOp { left, right, .. } => {
            named(left, names);
            named(right, names);
        }
        Expr::Between { expr, low, high, .. } => {
            for part in [expr, low, high] {
                named(part, names);
            }
        }
        _ => {}
    }
}

/// What an expression comes to, or why it comes to nothing.
fn kind(expression: &Expr) -> Result<Kind, String> {
    let needs = |part: &Expr, needed: Kind| match kind(part)? {
        found if found == needed => Ok(()),
        Kind::Number => Err(format!("`{part}` is a number, and a condition is needed there")),
        Kind::Truth => Err(format!("`{part}` is a condition, and a number is needed there")),
    };
    match expression {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => Ok(Kind::Number),
        Expr::Value(value) if matches!(value.value, Literal::Number(..)) => Ok(Kind::Number),
        Expr::Nested(inner) => kind(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => {
            needs(expr, Kind::Number)?;
            Ok(Kind::Number)
        }
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
            needs(expr, Kind::Truth)?;
            Ok(Kind::Truth)
        }
        Expr::BinaryOp { left, op, right } => {
            let (needed, comes_to) = match op {
                BinaryOperator::Plus
                | BinaryOperator::Minus
                | BinaryOperator::Multiply
                | BinaryOperator::Divide => (Kind::Number, Kind::Number),
                BinaryOperator::Lt
                | BinaryOperator::LtEq
                | BinaryOperator::Gt
                | BinaryOperator::GtEq
                | BinaryOperator::Eq
                | BinaryOperator::NotEq => (Kind::Number, Kind::Truth),
                BinaryOperator::And | BinaryOperator::Or => (Kind::Truth, Kind::Truth),
                _ => return Err(format!("`{op}` is not understood")),
            };
            needs(left, needed)?;
            needs(right, needed)?;
            Ok(comes_to)
        }
        Expr::Between { expr, low, high, .. } => {
            for part in [expr, low, high] {
                needs(part, Kind::Number)?;
            }
            Ok(Kind::Truth)
        }
        other => Err(format!(
            "`{other}` is not understood; write numbers, names of figures, `+ - * /`, comparisons, `between`, `and`, `or` and `not`"
        )),
    }
}

fn worth(expression: &Expr, figures: &Figures) -> Worth {
    let figure = |name: &str| figures.value(name).map_or(Worth::Unknown, Worth::Number);
    match expression {
        Expr::Identifier(name) => figure(&name.value),
        Expr::CompoundIdentifier(parts) => figure(&joined(parts)),
        Expr::Value(value) => match &value.value {
            Literal::Number(text, _) => text.parse().map_or(Worth::Unknown, Worth::Number),
            _ => Worth::Unknown,
        },
        Expr::Nested(inner) => worth(inner, figures),
        Expr::UnaryOp { op, expr } => match (op, worth(expr, figures)) {
            (UnaryOperator::Minus, Worth::Number(number)) => Worth::Number(-number),
            (UnaryOperator::Plus, number @ Worth::Number(_)) => number,
            (UnaryOperator::Not, Worth::Truth(truth)) => Worth::Truth(!truth),
            _ => Worth::Unknown,
        },
        Expr::BinaryOp { left, op, right } => both(worth(left, figures), op, worth(right, figures)),
        Expr::Between { expr, negated, low, high } => {
            match [expr, low, high].map(|part| worth(part, figures)) {
                [Worth::Number(number), Worth::Number(low), Worth::Number(high)] => {
                    Worth::Truth((low..=high).contains(&number) != *negated)
                }
                _ => Worth::Unknown,
            }
        }
        _ => Worth::Unknown,
    }
}

#[expect(clippy::float_cmp, reason = "whoever compares figures for equality means it")]
fn both(left: Worth, op: &BinaryOperator, right: Worth) -> Worth {
    match (left, right) {
        (Worth::Number(left), Worth::Number(right)) => match op {
            BinaryOperator::Plus => Worth::Number(left + right),
            BinaryOperator::Minus => Worth::Number(left - right),
            BinaryOperator::Multiply => Worth::Number(left * right),
            BinaryOperator::Divide if right == 0.0 => Worth::Unknown,
            BinaryOperator::Divide => Worth::Number(left / right),
            BinaryOperator::Lt => Worth::Truth(left < right),
            BinaryOperator::LtEq => Worth::Truth(left <= right),
            BinaryOperator::Gt => Worth::Truth(left > right),
            BinaryOperator::GtEq => Worth::Truth(left >= right),
            BinaryOperator::Eq => Worth::Truth(left == right),
            BinaryOperator::NotEq => Worth::Truth(left != right),
            _ => Worth::Unknown,
        },
        // As in SQL: what is not known can only be decided by the other side.
        (Worth::Truth(known), other) | (other, Worth::Truth(known)) => match (op, other) {
            (BinaryOperator::And, Worth::Truth(other)) => Worth::Truth(known && other),
            (BinaryOperator::Or, Worth::Truth(other)) => Worth::Truth(known || other),
            (BinaryOperator::And, _) if !known => Worth::Truth(false),
            (BinaryOperator::Or, _) if known => Worth::Truth(true),
            _ => Worth::Unknown,
        },
        _ => Worth::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::ProofLine;

    fn figures() -> Figures {
        let mut summary = Summary::default();
        summary.orders.counted = 10;
        summary.orders.unattributed = 4;
        summary.warnings.push("one".to_owned());
        summary.proof.models.push(ProofLine {
            model: "linear".to_owned(),
            currency: "EUR".to_owned(),
            orders: 10,
            conversions: 10.0,
            owed: "12,345.50".to_owned(),
            credited: "12,345.50".to_owned(),
            compared: true,
            holds: true,
        });
        Figures::new(&summary)
    }

    #[test]
    fn a_condition_is_no_deeper_than_can_be_worked_out() {
        let chain = |times: usize| "1 + ".repeat(times) + "orders.counted > 0";
        let assertion = Assertion::parse(&chain(1_000)).unwrap();
        assert_eq!(assertion.failure(&figures()), None);
        let message = Assertion::parse(&chain(100_000)).unwrap_err().to_string();
        assert!(message.contains("it is longer than 4 KiB"), "{message}");
    }

    #[test]
    fn conditions_are_worked_out_as_sql_does() {
        for (text, holds) in [
            ("unattributed_share < 0.4", false),
            ("unattributed_share <= 0.4", true),
            ("1 - attributed_share >= unattributed_share", true),
            ("orders.counted between 5 and 10", true),
            ("orders.counted not between 5 and 10", false),
            ("not (warnings > 0)", false),
            ("amount.EUR > 12345.49 and amount.EUR < 12345.51", true),
            ("amount.CHF > 0", false),
            ("amount.CHF > 0 or warnings = 1", true),
            ("orders.counted / rejected > 1", false),
            ("rejects.sessions.bad_time + tables.orders.read = 0", true),
            ("-rejected >= 0 and +1 <> 2", true),
        ] {
            let failure = Assertion::parse(text).unwrap().failure(&figures());
            assert_eq!(failure.is_none(), holds, "{text}: {failure:?}");
        }
    }

    #[test]
    fn a_failure_says_the_figures() {
        let failure = |text: &str| Assertion::parse(text).unwrap().failure(&figures()).unwrap();
        assert_eq!(
            failure("unattributed_share < 0.4"),
            "`unattributed_share < 0.4` does not hold: unattributed_share is 0.4"
        );
        assert_eq!(
            failure("rejected_share < 0.1 and rejected_share < 0.2"),
            "`rejected_share < 0.1 and rejected_share < 0.2` does not hold: rejected_share is not known"
        );
    }

    #[test]
    fn what_is_no_condition_is_refused_before_the_run() {
        for (text, why) in [
            ("unattributed_shar < 0.4", "no figure is named `unattributed_shar`"),
            ("orders.counted", "it is a number"),
            ("orders.counted and rejected", "a condition is needed there"),
            ("(rejected < 1) + 1 < 2", "a number is needed there"),
            ("rejected <", "Expected"),
            ("rejected < 1; drop", "Expected"),
            ("rejected like 'a'", "is not understood"),
            ("rejected % 2 = 0", "is not understood"),
            ("'a' < 1", "is not understood"),
        ] {
            let error = Assertion::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
