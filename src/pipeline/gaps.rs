//! Where spend and sessions do not meet, worked out wherever spend is given.

use std::borrow::Cow;

use arrow::array::RecordBatch;

use super::{MergedTables, Ordered, PeriodLines, Tables, count_sessions, spend};
use crate::config::{Config, Output};
use crate::error::Result;
use crate::journeys::Dimension;
use crate::report::{gap_rows, gaps};
use crate::summary::{SpendGap, Summary};

/// The gaps of the period, for the summary, and as rows where they are to be written.
pub(super) fn table<'c>(
    config: &'c Config,
    tables: &Tables,
    merged: &MergedTables,
    ordered: &Ordered,
    lines: &PeriodLines,
    summary: &mut Summary,
) -> Result<Option<(&'c Output, RecordBatch)>> {
    let by = ["utm_source", "utm_medium"].map(Dimension::parse);
    let Some(spending) = spend(config, &by, tables, ordered)? else { return Ok(None) };
    // The usual report has counted just these, unless it is of some persons only.
    let counted = lines.sessions.as_ref();
    let counted = counted.filter(|_| config.by == by && ordered.wanted_persons.is_none());
    let sessions = match counted {
        Some(counted) => Cow::Borrowed(counted),
        None => Cow::Owned(count_sessions(config, &by, merged, None, ordered.period)?),
    };
    let gaps = gaps(&spending, &sessions, &config.channels);
    summary.spend_gaps = gaps.iter().map(SpendGap::new).collect();
    let Some(output) = &config.outputs.spend_gaps else { return Ok(None) };
    Ok(Some((output, gap_rows(&gaps)?)))
}
