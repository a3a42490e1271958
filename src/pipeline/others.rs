//! Merges the lines of a report that are of few persons, so that nobody is seen in them.
//!
//! A line with fewer persons than are asked for becomes part of the line `(other)` of its span of time,
//! and that one, where it has too few itself, takes in the next smallest, until it has enough; a span of
//! time that has too few in all goes to the `(other)` of all time. Orders are counted anew under what the
//! lines have become, so that a person of several merged lines is one person, and the totals stay.
//!
//! Not for what is written of single persons: credits, journeys and the table of persons say what they are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    MergedTables, Named, Ordered, People, PeriodLines, Tables, Writers, attribute_by, report_lines,
};
use crate::config::{Config, DateBy};
use crate::engine::{Cells, Others};
use crate::error::Result;
use crate::journeys::Dimension;
use crate::models::Fitted;
use crate::report::{Keys, Line, LineKey, OTHER};
use crate::summary::Summary;

/// Which lines become part of which others.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Merging(BTreeMap<LineKey, LineKey>);

/// What decides which lines are merged.
struct Rules<'a> {
    by: &'a [Dimension],
    least: u64,
}

/// The lines that have to become part of others now, each with the one that takes it in: none once every line
/// is of as many persons as are asked for.
pub(super) fn too_small(config: &Config, lines: &PeriodLines) -> BTreeMap<LineKey, LineKey> {
    let rules = config.min_persons.map(|least| Rules { by: &config.by, least });
    rules.map(|rules| rules.small(&lines.lines)).unwrap_or_default()
}

/// Finds the lines that are of few persons, and lets the cells of each stand for others; orders are divided
/// by what models learnt.
pub(super) fn merge_lines(
    config: &Config,
    tables: &Tables,
    whose: (&MergedTables, &People),
    ordered: &Ordered,
    named: &mut Named,
    fitted: &[Option<Fitted>],
) -> Result<Merging> {
    let mut merging = Merging::default();
    if config.min_persons.is_none() {
        return Ok(merging);
    }
    loop {
        let sums = attribute_by(config, whose, ordered, named, fitted, &mut Writers::none())?;
        let mut unsaid = Summary::new(config.as_of);
        let mut lines = report_lines(config, tables, whose, ordered, named, &sums, &mut unsaid)?;
        merging.apply(&mut lines, config.models.len());
        let more = too_small(config, &lines);
        if more.is_empty() {
            return Ok(merging);
        }
        merging.extend(more);
        merging.name(config, &sums.cells, named);
    }
}

impl Rules<'_> {
    /// The lines that are to become part of others, each with the one that takes it in; none once every
    /// line has enough persons.
    fn small(&self, lines: &[Line]) -> BTreeMap<LineKey, LineKey> {
        let small: BTreeMap<LineKey, LineKey> = lines
            .iter()
            .filter(|line| self.is_small(line) && !self.takes_in(line))
            .map(|line| (line.key(), self.of_span(line)))
            .collect();
        if !small.is_empty() {
            return small;
        }
        // All that is small now took others in.
        let Some(short) = lines.iter().find(|line| self.is_small(line)) else { return small };
        let everything = self.of_all(short);
        let is_last = short.key() == everything;
        let beside = |line: &&Line| {
            line.currency == short.currency
                && line.key() != short.key()
                && crowd(line) != (0, 0)
                && (is_last || self.of_span(line) == short.key())
        };
        // The next smallest, so that what was merged cannot be told from what is missing.
        let mut beside: Vec<&Line> = lines.iter().filter(beside).collect();
        beside.sort_by_cached_key(|line| (crowd(line), line.key()));
        match beside.first() {
            Some(next) => BTreeMap::from([(next.key(), short.key())]),
            None if is_last => BTreeMap::new(),
            None => BTreeMap::from([(short.key(), everything)]),
        }
    }

    /// Whether somebody ordered or came here, and fewer than are asked for; what was paid is no
    /// person's.
    fn is_small(&self, line: &Line) -> bool {
        let (buyers, visitors) = crowd(line);
        [buyers, visitors].iter().any(|persons| (1..self.least).contains(persons))
    }

    /// Whether a line is one that takes in others.
    fn takes_in(&self, line: &Line) -> bool {
        self.of_span(line).values == line.values
    }

    /// The line that takes in the small ones of a span of time.
    fn of_span(&self, line: &Line) -> LineKey {
        let keeps_spans = self.by.iter().any(|dimension| !is_span(dimension));
        let value = |(dimension, value): (&Dimension, &String)| {
            if keeps_spans && is_span(dimension) { value.clone() } else { OTHER.to_owned() }
        };
        let values = self.by.iter().zip(&line.values).map(value).collect();
        LineKey { currency: line.currency, values, unattributed: false }
    }

    /// The line that takes in what is small in all of its span of time.
    fn of_all(&self, line: &Line) -> LineKey {
        let values = vec![OTHER.to_owned(); self.by.len()];
        LineKey { currency: line.currency, values, unattributed: false }
    }
}

/// How many persons ordered after a touch of the line, and how many came in its sessions.
fn crowd(line: &Line) -> (u64, u64) {
    (line.persons, line.sessions.map_or(0, |counts| counts.persons))
}

fn is_span(dimension: &Dimension) -> bool {
    matches!(dimension, Dimension::Span(_))
}

impl Merging {
    /// Whether no line became part of another.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Merges more lines; those that were part of one that is merged now go with it.
    pub(super) fn extend(&mut self, more: BTreeMap<LineKey, LineKey>) {
        for other in self.0.values_mut() {
            if let Some(further) = more.get(other) {
                other.clone_from(further);
            }
        }
        self.0.extend(more);
    }

    /// Gives every line that takes in others its combinations, for which those of the others stand.
    pub(super) fn name(&self, config: &Config, cells: &Cells, named: &mut Named) {
        let keys = Keys::new(&config.by, config.date_by == DateBy::Touch);
        let mut known: BTreeMap<&LineKey, (u32, u32)> = BTreeMap::new();
        let mut others = named.others.take().unwrap_or_default();
        let cells: Vec<(u32, u32)> =
            cells.iter().map(|(cell, _, _)| (cell.touch, cell.order)).collect();
        let mut moved = Others::default();
        for (touch, order) in cells {
            let key = keys.of((touch, &named.touches), (order, &named.orders), config.currency);
            let Some(other) = self.0.get(&key) else { continue };
            let place = *known.entry(other).or_insert_with(|| {
                let (of_touch, of_order) = keys.apart(other);
                (
                    place_of(&mut named.touches.values, of_touch),
                    place_of(&mut named.orders.values, of_order),
                )
            });
            moved.insert((touch, order), place);
        }
        for place in others.values_mut() {
            if let Some(further) = moved.get(place) {
                *place = *further;
            }
        }
        others.extend(moved);
        named.others = Some(others);
    }

    /// Adds the sessions and the spend of merged lines to those that take them in.
    pub(super) fn apply(&self, lines: &mut PeriodLines, models: usize) {
        if self.is_empty() {
            return;
        }
        let mut all: BTreeMap<LineKey, Line> = BTreeMap::new();
        let mut merged = Vec::new();
        for line in lines.lines.drain(..) {
            match self.0.get(&line.key()) {
                Some(other) => merged.push((other, line)),
                None => {
                    all.insert(line.key(), line);
                }
            }
        }
        for (other, line) in merged {
            let into = all.entry(other.clone()).or_insert_with(|| Line::empty(other, models));
            if let Some(counts) = line.sessions {
                let sum = into.sessions.get_or_insert_default();
                sum.add(&counts);
                // They may be the same persons: there are at least as many as in one line.
                sum.persons = sum.persons.max(counts.persons);
            }
            if let Some(spent) = line.spent {
                into.spent.get_or_insert_default().add(&spent);
            }
        }
        lines.lines = all.into_values().collect();
    }
}

/// Says where a line is of fewer persons all the same, because there are no more in its currency.
pub(super) fn tell_short(config: &Config, lines: &PeriodLines, summary: &mut Summary) {
    let Some(least) = config.min_persons else { return };
    // How many came to a line of several is not known, but that there are no fewer than to one.
    let is_short = |line: &&Line| match crowd(line) {
        (0, visitors) => (1..least).contains(&visitors),
        (buyers, _) => buyers < least,
    };
    for line in lines.lines.iter().filter(is_short) {
        summary.warn(&format!(
            "fewer than {least} persons are in the report in {} at all: its totals are shown, as one line",
            line.currency
        ));
    }
}

/// Where these values are among the combinations, or come to be.
fn place_of(combinations: &mut Vec<Vec<String>>, values: Vec<String>) -> u32 {
    let known = combinations.iter().position(|known| *known == values);
    let place = known.unwrap_or_else(|| {
        combinations.push(values);
        combinations.len() - 1
    });
    u32::try_from(place).unwrap_or(u32::MAX)
}
