//! Where spend and sessions do not meet: what was paid for a source and medium that no session
//! names, and sessions of a paid medium that nothing was paid for.
//!
//! Sources, mediums and their spelling differ between an advertiser's export and the links it was
//! to tag; here is where that shows. Not for cost in the report, which counts all spend.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringViewArray};
use serde::Serialize;

use crate::channels::Channels;
use crate::error::Result;
use crate::money::Currency;
use crate::report::{SessionCounts, Spending, decimals, texts};

/// The group of channels whose sessions are paid for.
const PAID: &str = "paid";

/// What a gap lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GapKind {
    /// There is spend, and no session.
    NoSessions,
    /// There are sessions of a paid medium, and no spend.
    NoSpend,
}

impl GapKind {
    /// The kind's name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSessions => "no_sessions",
            Self::NoSpend => "no_spend",
        }
    }
}

/// A source and medium that has spend and no session in the period, or the other way round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// What is lacking.
    pub kind: GapKind,
    /// The source.
    pub source: String,
    /// The medium.
    pub medium: String,
    /// What was paid, in minor units.
    pub spent: Option<(i64, Currency)>,
    /// The sessions.
    pub sessions: u64,
}

/// Finds the gaps between spend and sessions, both by source and medium.
///
/// A session is paid for where the channel rules put its source and medium, by these two alone, into
/// the group `Paid`, in any case of letters. A source and medium with spend of nothing is no gap.
pub fn gaps(
    spending: &Spending,
    sessions: &BTreeMap<Vec<String>, SessionCounts>,
    channels: &Channels,
) -> Vec<Gap> {
    let text = |values: &[String], at: usize| values.get(at).cloned().unwrap_or_default();
    let gap = |kind: GapKind, values: &[String]| Gap {
        kind,
        source: text(values, 0),
        medium: text(values, 1),
        spent: None,
        sessions: 0,
    };
    let unmet = spending
        .iter()
        .filter(|((values, _), spent)| spent.cost != 0 && !sessions.contains_key(values));
    let mut gaps: Vec<Gap> = unmet
        .map(|((values, currency), spent)| Gap {
            spent: Some((spent.cost, *currency)),
            ..gap(GapKind::NoSessions, values)
        })
        .collect();
    let is_paid = |values: &[String]| {
        let value = |column: &str| match column {
            "utm_source" => values.first().map_or("", String::as_str),
            "utm_medium" => values.get(1).map_or("", String::as_str),
            _ => "",
        };
        channels.classify(&value).is_some_and(|(_, group)| group.eq_ignore_ascii_case(PAID))
    };
    let met: BTreeSet<&Vec<String>> = spending.keys().map(|(values, _)| values).collect();
    let unpaid = sessions.iter().filter(|(values, _)| is_paid(values) && !met.contains(values));
    gaps.extend(unpaid.map(|(values, counts)| Gap {
        sessions: counts.sessions,
        ..gap(GapKind::NoSpend, values)
    }));
    gaps
}

/// The gaps as a table: `gap` (`no_sessions`, `no_spend`), `utm_source`, `utm_medium`, `currency`,
/// `cost`, `sessions`.
pub fn gap_rows(gaps: &[Gap]) -> Result<RecordBatch> {
    let currencies: Vec<Option<Currency>> =
        gaps.iter().map(|gap| gap.spent.map(|(_, currency)| currency)).collect();
    let scale = currencies.iter().flatten().map(|currency| currency.exponent()).max().unwrap_or(2);
    let costs = gaps.iter().map(|gap| gap.spent.map(|(cost, code)| (i128::from(cost), code)));
    let sessions = gaps.iter().map(|gap| gap.sessions.cast_signed());
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("gap", texts(gaps.iter().map(|gap| gap.kind.name())), false),
        ("utm_source", texts(gaps.iter().map(|gap| gap.source.as_str())), false),
        ("utm_medium", texts(gaps.iter().map(|gap| gap.medium.as_str())), false),
        (
            "currency",
            Arc::new(
                currencies
                    .iter()
                    .map(|code| code.as_ref().map(Currency::code))
                    .collect::<StringViewArray>(),
            ),
            true,
        ),
        ("cost", decimals(costs, scale)?, true),
        ("sessions", Arc::new(Int64Array::from_iter_values(sessions)), false),
    ])?)
}
