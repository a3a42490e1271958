//! The columns that `--measures all` adds to the report: roles in full, sessions and clicks.
//!
//! Not for how they are summed (`engine::roles`, `side`) or divided (`queries/`).

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, UInt64Array};

use crate::credits::share;
use crate::engine::{ByRole, Part, ROLES};
use crate::error::Result;
use crate::frames::{Values, query};
use crate::journeys::Role;
use crate::report::{Columns, Line, Report, SessionCounts, Spent, decimals, share_out};

const ROLES_QUERY: &str = include_str!("../../queries/report/roles.sql");

/// Which measures a report has.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Deserialize,
    serde::Serialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum MeasureSet {
    /// Those that most reports are read for.
    #[default]
    Usual,
    /// All that there are.
    All,
}

/// The columns that a report has beside its dimensions; those of roles come in addition.
const OWN_COLUMNS: [&str; 27] = [
    "model",
    "currency",
    "conversions",
    "conversions_share",
    "amount",
    "amount_share",
    "orders",
    "persons",
    "acquisition_conversions",
    "acquisition_amount",
    "retention_conversions",
    "retention_amount",
    "average_time_to_conversion",
    "sessions",
    "bounce_rate",
    "conversion_rate",
    "cost",
    "cpa",
    "roas",
    "contributions",
    "session_persons",
    "average_duration",
    "average_pageviews",
    "clicks",
    "impressions",
    "cpc",
    "ctr",
];

/// Whose orders a column of roles is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Orders {
    All,
    Acquisition,
    Retention,
}

impl Orders {
    const EACH: [Self; 3] = [Self::All, Self::Acquisition, Self::Retention];

    const fn prefix(self) -> &'static str {
        match self {
            Self::All => "",
            Self::Acquisition => "acquisition_",
            Self::Retention => "retention_",
        }
    }

    /// The touches of a line by role.
    fn touches(self, line: &Line) -> [u64; ROLES] {
        let acquisition = line.by_role.as_ref().map_or([0; ROLES], |by_role| by_role.acquisition);
        match self {
            Self::All => line.roles,
            Self::Acquisition => acquisition,
            Self::Retention => std::array::from_fn(|role| line.roles[role] - acquisition[role]),
        }
    }

    /// What a model credits to the touches of a line in a role.
    fn credited(self, line: &Line, model: usize, role: Role) -> Part {
        let credited = |by_role: &ByRole| {
            let [first, later] = by_role.credited[model].map(|parts| parts[role as usize]);
            match self {
                Self::All => {
                    let mut both = first;
                    both.add(later);
                    both
                }
                Self::Acquisition => first,
                Self::Retention => later,
            }
        };
        line.by_role.as_ref().map_or_else(Part::default, credited)
    }

    fn column(self, role: Role, measure: &str) -> String {
        format!("{}{}{measure}", self.prefix(), role.name())
    }
}

/// A name without whichever of these endings it has.
pub(super) fn without<'a>(name: &'a str, endings: &[&str]) -> &'a str {
    endings.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

/// Whether a column of the report has this name, so that no dimension can.
///
/// # Example
///
/// ```
/// use apportion::report::is_own_column;
/// assert!(is_own_column("amount") && is_own_column("acquisition_closer_ratio"));
/// assert!(is_own_column("amount_then") && is_own_column("orders_change_low"));
/// assert!(!is_own_column("app_plan"));
/// ```
pub fn is_own_column(name: &str) -> bool {
    let figure = without(name, &["_low", "_high", "_min", "_max"]);
    let figure = without(figure, &["_then", "_change", "_change_ratio"]);
    let of_role = Orders::EACH.into_iter().any(|orders| {
        let rest = figure.strip_prefix(orders.prefix()).unwrap_or(figure);
        Role::ALL.iter().any(|role| {
            let measure = rest.strip_prefix(role.name());
            measure.is_some_and(|rest| ["", "_ratio", "_conversions", "_amount"].contains(&rest))
        })
    });
    of_role || OWN_COLUMNS.contains(&figure)
}

/// Derives which part of the touches has each role, in reports of one kind.
pub(super) fn derive_roles(reports: &mut [Report]) -> Result<()> {
    let models = reports.first().map_or(0, |report| report.models.len());
    let lines = || reports.iter().flat_map(|report| &report.lines);
    let counts = |orders: Orders, role: Role| {
        let counts = lines().map(|line| orders.touches(line)[role as usize]);
        let counts = counts.flat_map(|count| std::iter::repeat_n(count.cast_signed(), models));
        (orders.column(role, ""), Values::Integers(counts.collect()))
    };
    let count = lines().count() * models;
    let mut cells =
        vec![("cell".to_owned(), Values::Integers((0..i64::MAX).take(count).collect()))];
    for orders in [Orders::All, Orders::Acquisition] {
        cells.extend(Role::ALL.map(|role| counts(orders, role)));
    }
    let cells = cells.iter_mut().map(|(name, values)| {
        (name.as_str(), std::mem::replace(values, Values::Integers(Vec::new())))
    });
    let answer = query("roles", ROLES_QUERY, vec![("cells", cells.collect())])?;
    for orders in Orders::EACH {
        for role in Role::ALL {
            let name = orders.column(role, "_ratio");
            share_out(reports, &name, answer.floats(&name)?);
        }
    }
    Ok(())
}

impl Report {
    /// Adds the columns of `--measures all` for these cells.
    pub(super) fn push_all(
        &self,
        columns: &mut Columns,
        cells: &[(usize, usize)],
        scale: u32,
    ) -> Result<()> {
        let lines = || cells.iter().map(|(line, _)| &self.lines[*line]);
        let counts = |count: &dyn Fn(&Line) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(lines().map(count)))
        };
        columns.push(("contributions".into(), counts(&|line| line.roles.iter().sum())));
        for orders in Orders::EACH {
            for role in Role::ALL {
                if orders != Orders::All {
                    let touches = counts(&|line| orders.touches(line)[role as usize]);
                    columns.push((orders.column(role, ""), touches));
                }
                let ratio = orders.column(role, "_ratio");
                let ratios = self.ratio(&ratio, cells);
                columns.push((ratio, ratios));
                let parts = || {
                    cells.iter().map(|(line, model)| {
                        let line = &self.lines[*line];
                        (orders.credited(line, *model, role), line.currency)
                    })
                };
                let conversions = parts().map(|(part, _)| share(part.conversions));
                columns.push((
                    orders.column(role, "_conversions"),
                    Arc::new(Float64Array::from_iter_values(conversions)),
                ));
                let amounts = parts().map(|(part, currency)| Some((part.amount, currency)));
                columns.push((orders.column(role, "_amount"), decimals(amounts, scale)?));
            }
        }
        if self.measures.sessions {
            let persons = |counts: SessionCounts| counts.persons;
            let persons = lines().map(|line| line.sessions.map(persons));
            columns.push(("session_persons".into(), Arc::new(persons.collect::<UInt64Array>())));
            for name in ["average_duration", "average_pageviews"] {
                columns.push((name.into(), self.ratio(name, cells)));
            }
        }
        if self.measures.cost {
            let told = |told: &dyn Fn(Spent) -> Option<f64>| -> ArrayRef {
                Arc::new(lines().map(|line| told(line.spent?)).collect::<Float64Array>())
            };
            columns.push(("clicks".into(), told(&|spent| spent.clicks.sum())));
            columns.push(("impressions".into(), told(&|spent| spent.impressions.sum())));
            for name in ["cpc", "ctr"] {
                columns.push((name.into(), self.ratio(name, cells)));
            }
        }
        Ok(())
    }
}
