//! Which outputs are folders of partitions, and whether a run may replace them.
//!
//! Not for writing them; that is `output`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::Datelike;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::{DateBy, Settings, days};
use crate::calendar::{Span, day_of};
use crate::error::{Error, Result};
use crate::journeys::Dimension;
use crate::output::{Dated, Format, Partitioning, format};

/// What outputs that are folders are divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum PartitionBy {
    /// The day of the order, or of the report's line.
    Day,
    /// Its month.
    Month,
}

impl PartitionBy {
    const fn span(self) -> Span {
        match self {
            Self::Day => Span::Day,
            Self::Month => Span::Month,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// Whether a place is a folder's: its name has no ending.
pub(super) fn is_folder(place: &Path) -> bool {
    place.extension().is_none() || place.to_string_lossy().ends_with('/')
}

/// The format of a table that is divided where its place is a folder's; `None` where it is one file.
pub(super) fn divided(settings: &Settings, place: &Path) -> Result<Option<&'static Format>> {
    if settings.partition_by.is_none() || !is_folder(place) {
        return Ok(None);
    }
    format("parquet").map(Some)
}

/// How each place that is a folder's is divided.
///
/// # Errors
///
/// Partitions that nothing is written in; a report that is not by their span; a period that begins or
/// ends within a partition, which would lose what it holds of other days.
pub(super) fn partitions(
    settings: &Settings,
    by: &[Dimension],
    (period, zone, as_of): ((i64, i64), Tz, i64),
) -> Result<BTreeMap<PathBuf, Partitioning>> {
    let Some(partition_by) = settings.partition_by else { return Ok(BTreeMap::new()) };
    let (span, unit) = (partition_by.span(), partition_by.name());
    let divided = |name: &'static str, key: String, dated: Dated| Partitioning {
        key,
        name,
        dated,
        span,
        zone,
        period,
    };
    let mut partitions = BTreeMap::new();
    let of_orders = [("credits", &settings.credits), ("journeys", &settings.journeys)];
    for (name, place) in of_orders {
        let Some(place) = place.as_ref().filter(|place| is_folder(place)) else { continue };
        if settings.date_by == Some(DateBy::Touch)
            && (settings.from.is_some() || settings.to.is_some())
        {
            return Err(Error::Contradiction(format!(
                "`--date-by touch` with a period has some credit of an order and not all, and `--{name}` is divided by the {unit} of orders; leave out the period, or write one file"
            )));
        }
        let partitioning = divided(name, format!("order_{unit}"), Dated::At("order_at"));
        partitions.insert(place.clone(), partitioning);
    }
    if let Some(place) = settings.output.as_ref().filter(|place| is_folder(place)) {
        if settings.format.as_ref().is_some_and(|format| format.trim() != "parquet") {
            let why = "partitions are Parquet; name a file for another format";
            return Err(Error::setting("--output", place.display().to_string(), why));
        }
        let is_dated = |dimension: &Dimension| *dimension == Dimension::Span(span);
        if !by.iter().any(is_dated) {
            return Err(Error::Contradiction(format!(
                "a report in partitions needs `{unit}` among `--by`; `{}` has no ending that would make it a file",
                place.display()
            )));
        }
        partitions.insert(place.clone(), divided("report", unit.to_owned(), Dated::Label(unit)));
    }
    if partitions.is_empty() {
        return Err(Error::Contradiction(format!(
            "`--partition-by {unit}` says nothing without a folder to write, a place without an ending: `--credits credits`, `--journeys journeys`, or `-o report` by {unit}"
        )));
    }
    check_period(settings, partition_by, day_of(as_of, zone))?;
    Ok(partitions)
}

/// An error if a partition would be replaced by a part of it.
fn check_period(
    settings: &Settings,
    partition_by: PartitionBy,
    today: chrono::NaiveDate,
) -> Result<()> {
    if partition_by == PartitionBy::Day {
        return Ok(());
    }
    let (from, to) = days(settings)?;
    let within = |flag: &str, day: chrono::NaiveDate, right: &str| {
        Err(Error::Contradiction(format!(
            "`{flag} {day}` is within a month, and the partition of that month would lose its other days; {right}, or `--partition-by day`"
        )))
    };
    if let Some(from) = from.filter(|from| from.day() != 1) {
        return within("--from", from, "begin with the first of a month");
    }
    let is_last = |day: &chrono::NaiveDate| day.succ_opt().is_none_or(|next| next.day() == 1);
    match to.filter(|to| !is_last(to) && *to < today) {
        Some(to) => within("--to", to, "end with the last of a month or today"),
        None => Ok(()),
    }
}
