//! Judges rows: which are accepted, which rejected and by which rule, which repaired.
//!
//! A rejected row is counted once, by the first rule that it breaks in the order of [`Rule`]. Not
//! for what makes a whole file unreadable: that is an error of `input`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringViewArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use serde::{Deserialize, Serialize};

use crate::calendar::{DAY, EARLIEST, LATEST, format_instant, parse_zone};
use crate::error::{Error, Result};
use crate::ids::Pseudonyms;
use crate::money::Currency;
use crate::schema::{Kind, Table};

/// A rule that a row can break, in the order in which rules are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rule {
    /// A line that is no item: no JSON object, an unknown kind, a value of a wrong type.
    BadItem,
    /// A required value is missing.
    MissingValue,
    /// A user id that stands for no user: `null`, `undefined`, `{{user_id}}`.
    PlaceholderUser,
    /// A time that cannot be read, or lies outside the years 1 to 9999.
    BadTime,
    /// A time zone that IANA does not know.
    BadTimezone,
    /// A currency that ISO 4217 does not know.
    BadCurrency,
    /// An amount that is NaN, infinite, or does not fit.
    BadAmount,
    /// Text that is no number, or a rate that is not above zero.
    BadNumber,
    /// Neither true nor false.
    BadFlag,
    /// A price below zero.
    NegativePrice,
    /// Created after the run's clock.
    Future,
    /// An order in a currency without an exchange rate, where the workspace rejects those.
    MissingRate,
}

impl Rule {
    /// Every rule, in the order in which they are tried.
    pub const ALL: [Self; 12] = [
        Self::BadItem,
        Self::MissingValue,
        Self::PlaceholderUser,
        Self::BadTime,
        Self::BadTimezone,
        Self::BadCurrency,
        Self::BadAmount,
        Self::BadNumber,
        Self::BadFlag,
        Self::NegativePrice,
        Self::Future,
        Self::MissingRate,
    ];

    /// The rule's name in tables and summaries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadItem => "bad_item",
            Self::MissingValue => "missing_value",
            Self::PlaceholderUser => "placeholder_user",
            Self::BadTime => "bad_time",
            Self::BadTimezone => "bad_timezone",
            Self::BadCurrency => "bad_currency",
            Self::BadAmount => "bad_amount",
            Self::BadNumber => "bad_number",
            Self::BadFlag => "bad_flag",
            Self::NegativePrice => "negative_price",
            Self::Future => "future",
            Self::MissingRate => "missing_rate",
        }
    }
}

/// A row that was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The table.
    pub table: Table,
    /// The file and the row's number in it, from 1; none for a row that was merged from several.
    pub place: Option<(PathBuf, u64)>,
    /// The row's id, where it has one.
    pub external_id: Option<String>,
    /// The rule that it breaks.
    pub rule: Rule,
    /// What is wrong with it.
    pub message: String,
}

impl Reject {
    /// The same without the id of a user, of which there is a pseudonym.
    #[must_use]
    pub(crate) fn hashed(self, pseudonyms: &Pseudonyms) -> Self {
        let of_user = names_a_user(self.table, "external_id");
        let external_id = self.external_id.map(|id| if of_user { pseudonyms.of(&id) } else { id });
        Self { external_id, ..self }
    }
}

/// What a batch is judged against.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    /// The table that the rows belong to.
    pub table: Table,
    /// The file that they come from.
    pub file: &'a Path,
    /// The number of rows of the file before this batch.
    pub first_row: u64,
    /// The run's clock.
    pub as_of: i64,
}

/// What became of a batch.
#[derive(Debug)]
pub struct Verdict {
    /// The batch, repaired.
    pub rows: RecordBatch,
    /// Which rows are accepted; `None` means all.
    pub keep: Option<BooleanArray>,
    /// The rows that are not.
    pub rejects: Vec<Reject>,
    /// How many accepted rows were repaired.
    pub repaired: u64,
}

/// Ids that stand for no user: a template that was not filled, or a null that became text.
///
/// Compared without case, and without the blanks, brackets and quotes around it.
pub const PLACEHOLDERS: [&str; 12] = [
    "user_id",
    "userid",
    "user-id",
    "null",
    "undefined",
    "none",
    "nil",
    "nan",
    "anonymous",
    "unknown",
    "not set",
    "object object",
];

/// The length of the longest of them: most ids are longer, and need no closer look.
const LONGEST_PLACEHOLDER: usize = 13;

/// Whether a user id stands for no user.
///
/// # Example
///
/// ```
/// use apportion::validate::is_placeholder;
/// assert!(is_placeholder("{{ User_ID }}") && is_placeholder("NULL"));
/// assert!(!is_placeholder("nullsoft-7"));
/// ```
pub fn is_placeholder(id: &str) -> bool {
    let ends = [id.as_bytes().first(), id.as_bytes().last()];
    let is_bare = ends.into_iter().flatten().all(u8::is_ascii_alphanumeric);
    if is_bare && id.len() > LONGEST_PLACEHOLDER {
        return false;
    }
    let bare =
        id.trim_matches(|letter: char| letter.is_whitespace() || "{}[]()<>$%\"'".contains(letter));
    PLACEHOLDERS.iter().any(|placeholder| placeholder.eq_ignore_ascii_case(bare))
}

/// A value that could not be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadValue {
    /// Its row in the batch.
    pub row: usize,
    /// Its column.
    pub column: String,
    /// The rule that it breaks.
    pub rule: Rule,
    /// What is wrong with it.
    pub message: String,
}

/// Judges every row of a decoded batch; `bad` are the values that could not be understood.
pub fn judge(judge: &Judge<'_>, rows: RecordBatch, bad: Vec<BadValue>) -> Result<Verdict> {
    let mut findings = Findings::default();
    // A value that is there and cannot be understood is bad, not missing.
    let mut there: BTreeSet<(usize, String)> = BTreeSet::new();
    for BadValue { row, column, rule, message } in bad {
        findings.add(row, rule, || message);
        there.insert((row, column));
    }
    for column in judge.table.columns() {
        let Some(array) = rows.column_by_name(column.name) else { continue };
        if column.required && array.null_count() > 0 {
            for row in (0..array.len()).filter(|row| array.is_null(*row)) {
                if !there.contains(&(row, column.name.to_owned())) {
                    findings
                        .add(row, Rule::MissingValue, || format!("`{}` is missing", column.name));
                }
            }
        }
        match column.kind {
            Kind::Time => check_times(judge, column.name, array, &mut findings),
            Kind::Day => check_days(column.name, array, &mut findings),
            Kind::Money => check_prices(column.name, array, &mut findings),
            Kind::Number if column.name == "rate" => check_rates(array, &mut findings),
            Kind::Id if names_a_user(judge.table, column.name) => {
                check_users(column.name, array.as_string_view(), &mut findings);
            }
            Kind::Text if column.name == "timezone" => {
                check_texts(array.as_string_view(), Rule::BadTimezone, &mut findings, |zone| {
                    parse_zone(zone).is_none().then(|| format!("`{zone}` is not an IANA time zone"))
                });
            }
            Kind::Text if column.name == "currency" => {
                check_texts(array.as_string_view(), Rule::BadCurrency, &mut findings, |code| {
                    code.parse::<Currency>().err()
                });
            }
            _ => {}
        }
    }
    let (rows, fixed) = repair(judge.table, rows)?;
    let keep = (!findings.0.is_empty()).then(|| {
        (0..rows.num_rows()).map(|row| Some(!findings.has(row))).collect::<BooleanArray>()
    });
    let repaired = fixed.iter().filter(|row| !findings.has(**row)).count() as u64;
    let ids = rows.column_by_name("external_id").map(|ids| ids.as_string_view().clone());
    let rejects = findings
        .0
        .into_iter()
        .map(|(row, (rule, message))| Reject {
            table: judge.table,
            place: Some((judge.file.to_path_buf(), judge.first_row + row as u64 + 1)),
            external_id: ids
                .as_ref()
                .filter(|ids| ids.is_valid(row))
                .map(|ids| ids.value(row).to_owned()),
            rule,
            message,
        })
        .collect();
    Ok(Verdict { rows, keep, rejects, repaired })
}

/// The first rule that each bad row breaks.
#[derive(Default)]
struct Findings(BTreeMap<usize, (Rule, String)>);

impl Findings {
    fn has(&self, row: usize) -> bool {
        self.0.contains_key(&row)
    }

    fn add(&mut self, row: usize, rule: Rule, message: impl FnOnce() -> String) {
        if self.0.get(&row).is_none_or(|(known, _)| rule < *known) {
            self.0.insert(row, (rule, message()));
        }
    }
}

/// Whether a column of a table holds user ids.
pub(crate) fn names_a_user(table: Table, column: &str) -> bool {
    column.ends_with("user_external_id") || (table == Table::Users && column == "external_id")
}

fn check_users(name: &str, ids: &StringViewArray, findings: &mut Findings) {
    for (row, id) in ids.iter().enumerate() {
        if let Some(id) = id.filter(|id| id.len() < 40 && is_placeholder(id)) {
            findings.add(row, Rule::PlaceholderUser, || {
                format!("`{name}` is `{id}`, which stands for no user")
            });
        }
    }
}

fn check_times(judge: &Judge<'_>, name: &str, array: &ArrayRef, findings: &mut Findings) {
    let instants = array.as_primitive::<TimestampMicrosecondType>();
    let created = name == "created_at";
    for (row, at) in instants.iter().enumerate() {
        let Some(at) = at else { continue };
        if !(EARLIEST..=LATEST).contains(&at) {
            findings.add(row, Rule::BadTime, || format!("`{name}` is outside the years 1 to 9999"));
        } else if created && at > judge.as_of {
            findings.add(row, Rule::Future, || {
                let (at, clock) = (format_instant(at), format_instant(judge.as_of));
                format!("`created_at` is {at}, after the run's clock ({clock})")
            });
        }
    }
}

fn check_days(name: &str, array: &ArrayRef, findings: &mut Findings) {
    for (row, day) in array.as_primitive::<Date32Type>().iter().enumerate() {
        let within = |day: i32| (EARLIEST..=LATEST).contains(&i64::from(day).saturating_mul(DAY));
        if day.is_some_and(|day| !within(day)) {
            findings.add(row, Rule::BadTime, || format!("`{name}` is outside the years 1 to 9999"));
        }
    }
}

fn check_prices(name: &str, array: &ArrayRef, findings: &mut Findings) {
    for (row, price) in array.as_primitive::<Int64Type>().iter().enumerate() {
        if price.is_some_and(|price| price < 0) {
            findings.add(row, Rule::NegativePrice, || format!("`{name}` is below zero"));
        }
    }
}

fn check_rates(array: &ArrayRef, findings: &mut Findings) {
    for (row, rate) in array.as_primitive::<Float64Type>().iter().enumerate() {
        if rate.is_some_and(|rate| rate <= 0.0) {
            findings.add(row, Rule::BadNumber, || "`rate` is not above zero".to_owned());
        }
    }
}

/// Checks each text; neighbours that are the same are looked at once.
fn check_texts(
    texts: &StringViewArray,
    rule: Rule,
    findings: &mut Findings,
    complaint: impl Fn(&str) -> Option<String>,
) {
    let mut last: Option<(&str, Option<String>)> = None;
    for (row, text) in texts.iter().enumerate() {
        let Some(text) = text else { continue };
        if last.as_ref().is_none_or(|(known, _)| *known != text) {
            last = Some((text, complaint(text)));
        }
        if let Some((_, Some(message))) = &last {
            findings.add(row, rule, || message.clone());
        }
    }
}

/// Fills `signed_up_at` of authenticated users that lack it, and says in which rows it did.
fn repair(table: Table, rows: RecordBatch) -> Result<(RecordBatch, Vec<usize>)> {
    let prefix = if table == Table::Users { "" } else { "user_" };
    let column = |name: &str| rows.column_by_name(&format!("{prefix}{name}")).map(Arc::clone);
    let (Some(authenticated), Some(signed_up)) =
        (column("is_authenticated"), column("signed_up_at"))
    else {
        return Ok((rows, Vec::new()));
    };
    let authenticated = authenticated.as_boolean();
    let mut values: Vec<Option<i64>> =
        signed_up.as_primitive::<TimestampMicrosecondType>().iter().collect();
    let broken: Vec<usize> = (0..rows.num_rows())
        .filter(|row| {
            authenticated.is_valid(*row) && authenticated.value(*row) && values[*row].is_none()
        })
        .collect();
    if broken.is_empty() {
        return Ok((rows, broken));
    }
    // The user's own creation, or the row's where that is not known.
    let sources = [column("created_at"), rows.column_by_name("created_at").map(Arc::clone)];
    for created in sources.iter().flatten() {
        let created = created.as_primitive::<TimestampMicrosecondType>();
        for row in broken.iter().filter(|row| created.is_valid(**row)) {
            values[*row].get_or_insert_with(|| created.value(*row));
        }
    }
    let filled = TimestampMicrosecondArray::from(values).with_timezone("UTC");
    let schema = rows.schema();
    let at = schema.index_of(&format!("{prefix}signed_up_at"))?;
    let mut columns = rows.columns().to_vec();
    columns[at] = Arc::new(filled);
    Ok((RecordBatch::try_new(schema, columns)?, broken))
}

/// How many rejected rows a run allows.
#[derive(Debug, Clone, PartialEq)]
pub enum MaxRejects {
    /// So many rows.
    Rows(u64),
    /// So many in a hundred rows read.
    Percent(f64),
}

impl std::str::FromStr for MaxRejects {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || "write a share such as `1%`, or a number of rows such as `0`".to_owned();
        match text.trim().strip_suffix('%') {
            Some(percent) => match percent.trim().parse::<f64>() {
                Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self::Percent(percent)),
                _ => Err(wrong()),
            },
            None => text.trim().parse().map(Self::Rows).map_err(|_| wrong()),
        }
    }
}

impl MaxRejects {
    /// An error if more rows are rejected than are allowed; `counts` are by table and rule.
    pub fn check(&self, read: u64, counts: &[(Table, Rule, u64)]) -> Result<()> {
        let rejected = counts.iter().map(|(_, _, rows)| rows).sum();
        let (over, limit) = match self {
            Self::Rows(rows) => (rejected > *rows, rows.to_string()),
            Self::Percent(percent) => {
                (rejected as f64 * 100.0 > percent * read as f64, format!("{percent}%"))
            }
        };
        if !over {
            return Ok(());
        }
        let by_rule: Vec<String> = counts
            .iter()
            .map(|(table, rule, rows)| format!("{rows} {table} by `{}`", rule.name()))
            .collect();
        Err(Error::TooManyRejects { rejected, read, limit, by_rule: by_rule.join(", ") })
    }
}

/// How many rows each rule rejected, by table.
pub fn count_by_rule(rejects: &[Reject]) -> Vec<(Table, Rule, u64)> {
    let mut counts: BTreeMap<(Table, Rule), u64> = BTreeMap::new();
    for reject in rejects {
        *counts.entry((reject.table, reject.rule)).or_default() += 1;
    }
    counts.into_iter().map(|((table, rule), rows)| (table, rule, rows)).collect()
}

/// The rejected rows as a table: `table`, `file`, `row`, `external_id`, `rule`, `message`.
pub fn rejects_table(rejects: &[Reject]) -> Result<RecordBatch> {
    let texts = |text: &dyn Fn(&Reject) -> Option<String>| -> ArrayRef {
        Arc::new(rejects.iter().map(text).collect::<StringViewArray>())
    };
    let rows: UInt64Array = rejects.iter().map(|reject| Some(reject.place.as_ref()?.1)).collect();
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("table", texts(&|reject| Some(reject.table.name().to_owned())), true),
        ("file", texts(&|reject| Some(reject.place.as_ref()?.0.display().to_string())), true),
        ("row", Arc::new(rows) as ArrayRef, true),
        ("external_id", texts(&|reject| reject.external_id.clone()), true),
        ("rule", texts(&|reject| Some(reject.rule.name().to_owned())), true),
        ("message", texts(&|reject| Some(reject.message.clone())), true),
    ])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_recognised_in_any_dress() {
        for id in [
            "user_id",
            "{{user_id}}",
            "${USER_ID}",
            "Null",
            " undefined ",
            "(not set)",
            "[object Object]",
        ] {
            assert!(is_placeholder(id), "{id}");
        }
        for id in ["u1", "0", "nullable", "user_id_7"] {
            assert!(!is_placeholder(id), "{id}");
        }
        assert_eq!(PLACEHOLDERS.iter().map(|id| id.len()).max(), Some(LONGEST_PLACEHOLDER));
    }

    #[test]
    fn the_limit_is_a_share_or_a_number_of_rows() {
        let one = &[(Table::Orders, Rule::BadTime, 1)][..];
        let limit = |text: &str| text.parse::<MaxRejects>().unwrap();
        assert!(limit("1%").check(100, one).is_ok() && limit("1%").check(99, one).is_err());
        assert!(limit("1").check(1, one).is_ok() && limit("0").check(1000, one).is_err());
        assert!("lots".parse::<MaxRejects>().is_err() && "101%".parse::<MaxRejects>().is_err());
    }
}
