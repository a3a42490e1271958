//! Where spend and sessions do not meet, worked out wherever spend is given.

use std::borrow::Cow;

use arrow::array::RecordBatch;

use super::{Counted, Dated, MergedTables, Ordered, Tables, count_sessions, spend};
use crate::config::{Config, Output};
use crate::error::Result;
use crate::journeys::Dimension;
use crate::report::{gap_rows, gaps};
use crate::summary::{SpendGap, Summary};

/// What gaps are found by.
fn dimensions() -> [Dimension; 2] {
    ["utm_source", "utm_medium"].map(Dimension::parse)
}

/// The sessions of the period by source and medium, of everybody; `known` are those that the report has
/// counted.
pub(super) fn sessions<'k>(
    config: &Config,
    merged: &MergedTables,
    ordered: &Ordered,
    known: Option<&'k Counted>,
) -> Result<Cow<'k, Counted>> {
    let by = dimensions();
    // The usual report has counted just these, unless it is of some persons only.
    match known.filter(|_| config.by == by && ordered.wanted_persons.is_none()) {
        Some(counted) => Ok(Cow::Borrowed(counted)),
        None => count_sessions(config, &by, merged, None, ordered.period).map(Cow::Owned),
    }
}

/// The gaps of the period, for the summary, and as rows where they are to be written.
pub(super) fn table<'c>(
    config: &'c Config,
    tables: &Tables,
    dated: Dated<'_>,
    sessions: impl FnOnce() -> Result<Cow<'c, Counted>>,
    summary: &mut Summary,
) -> Result<Option<(&'c Output, RecordBatch)>> {
    let Some(spending) = spend(config, &dimensions(), tables, dated)? else { return Ok(None) };
    let sessions = sessions()?;
    let gaps = gaps(&spending, &sessions, &config.channels);
    summary.spend_gaps = gaps.iter().map(SpendGap::new).collect();
    let Some(output) = &config.outputs.spend_gaps else { return Ok(None) };
    Ok(Some((output, gap_rows(&gaps)?)))
}
