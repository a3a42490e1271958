//! Sessions counted while they pass, by look and calendar day, so that none need be kept for it.
//!
//! Not for distinct persons: who wants those keeps the rows.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::NaiveDate;
use chrono_tz::Tz;
use hashbrown::HashMap;

use crate::calendar::{day_around, start_of_day};
use crate::config::{Bounce, Config};
use crate::journeys::{Dimension, Labels};
use crate::report::{Session, SessionCounts};

/// The sessions and bounces of a look on a day; of any day where days are not told apart.
type Counts = HashMap<(u32, Option<NaiveDate>), SessionCounts>;

/// Sessions by look and day, counted from any number of threads.
pub(super) struct DailyCounts {
    zone: Tz,
    bounce: Bounce,
    /// Whether days are told apart: periods and spans of time are made of whole days.
    by_day: bool,
    /// What was counted of groups that are not yet at their end.
    open: Mutex<BTreeMap<usize, Counts>>,
    counts: Mutex<Counts>,
}

impl DailyCounts {
    /// Nothing is counted yet, for the periods and dimensions of a run.
    pub(super) fn new(config: &Config) -> Self {
        let by_span = config.by.iter().any(|dimension| matches!(dimension, Dimension::Span(_)));
        let all_times = config.period == (i64::MIN, i64::MAX) && config.compare.is_none();
        Self {
            zone: config.zone,
            bounce: config.bounce,
            by_day: by_span || !all_times,
            open: Mutex::default(),
            counts: Mutex::default(),
        }
    }

    /// Counts rows of a group; looks are numbered by group.
    pub(super) fn pass(&self, group: usize, rows: &RecordBatch, looks: &[u32]) {
        let Some(at) = rows.column_by_name("created_at") else { return };
        let at = at.as_primitive::<TimestampMicrosecondType>().values();
        let session = Session::reader(rows, at, looks);
        let counted = if self.by_day {
            let mut counted = Counts::default();
            // Neighbours mostly share their day.
            let mut last = (NaiveDate::default(), 0..0);
            for (row, look) in looks.iter().enumerate() {
                let session = session(row);
                if !last.1.contains(&session.at) {
                    last = day_around(session.at, self.zone);
                }
                counted.entry((*look, Some(last.0))).or_default().count(&session, self.bounce);
            }
            counted
        } else {
            let most = looks.iter().max().map_or(0, |look| *look as usize + 1);
            let mut counted = vec![SessionCounts::default(); most];
            for (row, look) in looks.iter().enumerate() {
                counted[*look as usize].count(&session(row), self.bounce);
            }
            let counted = (0_u32..).zip(counted).filter(|(_, counts)| counts.sessions > 0);
            counted.map(|(look, counts)| ((look, None), counts)).collect()
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        add(open.entry(group).or_default(), counted);
    }

    /// Ends a group; `numbers` are the looks of all groups for its own.
    pub(super) fn end(&self, group: usize, numbers: &[u32]) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&group);
        let counted = open.unwrap_or_default().into_iter();
        let counted = counted.map(|((look, day), counts)| ((numbers[look as usize], day), counts));
        add(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner), counted);
    }

    /// What was counted, by look and day, of sessions that say how much happened in them or do not.
    pub(super) fn ended(self, tells_bounces: bool) -> Counted {
        let counts = self.counts.into_inner().unwrap_or_else(PoisonError::into_inner);
        Counted { zone: self.zone, counts, tells_bounces }
    }
}

fn add(
    all: &mut Counts,
    more: impl IntoIterator<Item = ((u32, Option<NaiveDate>), SessionCounts)>,
) {
    for (of, counts) in more {
        all.entry(of).or_default().add(&counts);
    }
}

/// Sessions by look and day.
#[derive(Clone)]
pub(super) struct Counted {
    zone: Tz,
    counts: Counts,
    tells_bounces: bool,
}

impl Counted {
    /// Whether sessions say how long they were or how much happened in them.
    pub(super) fn tell_bounces(&self) -> bool {
        self.tells_bounces
    }

    /// The sessions of a period by these dimensions of `looks`.
    pub(super) fn by(
        &self,
        looks: &RecordBatch,
        by: &[Dimension],
        period: (i64, i64),
    ) -> BTreeMap<Vec<String>, SessionCounts> {
        let labels: Vec<Option<Labels>> = by
            .iter()
            .map(|dimension| match dimension {
                Dimension::Touch(column) | Dimension::Order(column) | Dimension::Item(column) => {
                    Some(Labels::of_column(looks, column))
                }
                Dimension::Span(_) => None,
            })
            .collect();
        let mut counted: BTreeMap<Vec<String>, SessionCounts> = BTreeMap::new();
        for ((look, day), counts) in &self.counts {
            let is_of_period =
                |day: &NaiveDate| (period.0..period.1).contains(&start_of_day(*day, self.zone));
            if day.as_ref().is_some_and(|day| !is_of_period(day)) {
                continue;
            }
            let value =
                |(dimension, labels): (&Dimension, &Option<Labels>)| match (dimension, labels, day)
                {
                    (_, Some(labels), _) => {
                        labels.values[labels.codes[*look as usize] as usize].clone()
                    }
                    (Dimension::Span(span), None, Some(day)) => span.label(*day),
                    _ => String::new(),
                };
            let values = by.iter().zip(&labels).map(value).collect();
            counted.entry(values).or_default().add(counts);
        }
        counted
    }
}
