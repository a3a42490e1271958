//! What the channel rules cover: which rule took what, what none took, what is likely misspelt.
//!
//! Made from the lines of a report by [`dimensions`] under last click, so that its amounts add up
//! to the orders. `coverage_text` lays it out for people. Not for the rules; those are `channels`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, RecordBatch, StringViewArray, UInt64Array,
};

use crate::channels::{Channels, NOT_MAPPED, Near, Spelling, near_misses};
use crate::credits::share;
use crate::engine::Credited;
use crate::error::Result;
use crate::journeys::Dimension;
use crate::money::Currency;
use crate::report::{Line, Report, decimals};

/// Coverage of the touches of a run by channel rules.
pub struct Coverage {
    /// One entry a source, medium and rule in each currency; what has more amount, then more
    /// sessions, comes first.
    pub(super) covered: Vec<Covered>,
    /// Sources that are likely misspelt.
    pub(super) sources: BTreeMap<String, Near>,
    /// Mediums that are likely misspelt.
    pub(super) mediums: BTreeMap<String, Near>,
    /// The workspace's own rules that took nothing: rule, channel and group.
    pub(super) dead: Vec<[String; 3]>,
    /// Whether orders were given, so that there is something beside sessions.
    pub(super) orders: bool,
}

/// What one rule took of a source and medium.
pub(super) struct Covered {
    pub(super) source: String,
    pub(super) medium: String,
    pub(super) channel: String,
    pub(super) group: String,
    pub(super) rule: String,
    /// Of orders without a touch.
    pub(super) unattributed: bool,
    pub(super) currency: Currency,
    pub(super) sessions: u64,
    pub(super) credited: Credited,
}

impl Covered {
    fn new(line: &Line) -> Self {
        let value = |at: usize| line.values.get(at).cloned().unwrap_or_default();
        Self {
            source: value(0),
            medium: value(1),
            channel: value(2),
            group: value(3),
            rule: value(4),
            unattributed: line.unattributed,
            currency: line.currency,
            sessions: line.sessions.map_or(0, |counts| counts.sessions),
            credited: line.credited.first().copied().unwrap_or_default(),
        }
    }

    /// Whether a rule took it.
    pub(super) fn is_mapped(&self) -> bool {
        self.rule != NOT_MAPPED && !self.unattributed
    }
}

impl Coverage {
    /// Coverage from a report by [`dimensions`]; `orders` tells whether any were given.
    pub fn new(report: &Report, channels: &Channels, orders: bool) -> Self {
        let mut covered: Vec<Covered> = report.lines.iter().map(Covered::new).collect();
        covered.sort_by(|left, right| {
            (left.currency.code().cmp(right.currency.code()))
                .then_with(|| right.credited.amount.cmp(&left.credited.amount))
                .then_with(|| right.sessions.cmp(&left.sessions))
                .then_with(|| left.source.cmp(&right.source))
                .then_with(|| left.medium.cmp(&right.medium))
                .then_with(|| left.rule.cmp(&right.rule))
                .then_with(|| left.unattributed.cmp(&right.unattributed))
        });
        let took: BTreeSet<&str> = covered.iter().map(|covered| covered.rule.as_str()).collect();
        let dead = channels.own_rules().filter(|own| !took.contains(own.rule));
        let dead = dead.map(|own| [own.rule, own.channel, own.group].map(str::to_owned)).collect();
        let near = |field: &str, of: &dyn Fn(&Covered) -> &String| {
            let known = channels.known(field);
            let is_source = field == "utm_source";
            let spellings: Vec<Spelling> = sessions_by(&covered, of)
                .into_iter()
                .map(|(text, sessions)| Spelling {
                    recognised: known.contains(&text.to_lowercase())
                        || (is_source && channels.is_known_source(&text)),
                    text,
                    sessions,
                })
                .collect();
            near_misses(&spellings, &known, is_source)
        };
        Self {
            sources: near("utm_source", &|covered| &covered.source),
            mediums: near("utm_medium", &|covered| &covered.medium),
            dead,
            covered,
            orders,
        }
    }

    /// The currencies of the orders, or the workspace's where there are none.
    pub(super) fn currencies(&self) -> Vec<Currency> {
        let mut currencies: Vec<Currency> =
            self.covered.iter().map(|covered| covered.currency).collect();
        currencies.dedup();
        currencies
    }

    /// Coverage as one table: a row a source, medium and rule in each currency, then a row for each of the
    /// workspace's rules that took nothing.
    ///
    /// `near_source` and `near_medium` say what a misspelt one is near to. Without orders there are
    /// no currency, conversions and amount.
    pub fn table(&self) -> Result<RecordBatch> {
        let (covered, dead) = (&self.covered, &self.dead);
        let texts = |of: &dyn Fn(&Covered) -> Option<String>, of_dead: Option<usize>| -> ArrayRef {
            let dead = dead.iter().map(|rule| of_dead.map(|at| rule[at].clone()));
            Arc::new(covered.iter().map(of).chain(dead).collect::<StringViewArray>())
        };
        let near = |found: &BTreeMap<String, Near>, text: &str| {
            found.get(text).map(|near| near.to.clone())
        };
        let mapped = covered.iter().map(|covered| Some(covered.is_mapped()));
        let mapped: BooleanArray = mapped.chain(dead.iter().map(|_| None)).collect();
        let sessions = covered.iter().map(|covered| Some(covered.sessions));
        let sessions: UInt64Array = sessions.chain(dead.iter().map(|_| Some(0))).collect();
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("utm_source", texts(&|covered| Some(covered.source.clone()), None)),
            ("utm_medium", texts(&|covered| Some(covered.medium.clone()), None)),
            ("channel", texts(&|covered| Some(covered.channel.clone()), Some(1))),
            ("channel_group", texts(&|covered| Some(covered.group.clone()), Some(2))),
            ("channel_rule", texts(&|covered| Some(covered.rule.clone()), Some(0))),
            ("mapped", Arc::new(mapped)),
            ("near_source", texts(&|covered| near(&self.sources, &covered.source), None)),
            ("near_medium", texts(&|covered| near(&self.mediums, &covered.medium), None)),
            ("sessions", Arc::new(sessions)),
        ];
        if self.orders {
            let scale =
                covered.iter().map(|covered| covered.currency.exponent()).max().unwrap_or(2);
            let conversions =
                covered.iter().map(|covered| Some(share(covered.credited.conversions)));
            let conversions = conversions.chain(dead.iter().map(|_| None));
            let amounts =
                covered.iter().map(|covered| Some((covered.credited.amount, covered.currency)));
            let amounts = amounts.chain(dead.iter().map(|_| None));
            columns.push(("currency", texts(&|covered| Some(covered.currency.to_string()), None)));
            columns.push(("conversions", Arc::new(conversions.collect::<Float64Array>())));
            columns.push(("amount", decimals(amounts, scale)?));
        }
        Ok(RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, column)| (name, column, true)),
        )?)
    }
}

/// How many sessions each value has; sessions stand in every currency, and are counted in one.
fn sessions_by(covered: &[Covered], of: &dyn Fn(&Covered) -> &String) -> BTreeMap<String, u64> {
    let first = covered.first().map(|covered| covered.currency);
    let mut sessions: BTreeMap<String, u64> = BTreeMap::new();
    for covered in covered.iter().filter(|covered| !covered.unattributed) {
        let counted = if Some(covered.currency) == first { covered.sessions } else { 0 };
        *sessions.entry(of(covered).clone()).or_default() += counted;
    }
    sessions
}

/// The dimensions of the report that coverage is made from.
pub fn dimensions() -> Vec<Dimension> {
    let names = ["utm_source", "utm_medium", "channel", "channel_group", "channel_rule"];
    names.map(Dimension::parse).to_vec()
}
