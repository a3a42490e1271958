//! What led to the orders: paths, how long they took, how many touches they have, and which role
//! lines play in them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{
    BARS, Cell, ChartName, Column, Group, Labels, OTHER, Part, ROWS, Row, RowKind, Section, Table,
};
use crate::charts::{Bars, Chart, Columns, Flow, Link, Node, Series, Shapes, Tone};
use crate::journeys::{Role, UNATTRIBUTED};
use crate::money::Currency;
use crate::output::thousands;
use crate::report::{Journeys, Overview, PathWorth, Report, Worth};

/// Positions of a flow before what comes after them is summed up.
const POSITIONS: usize = 4;

/// Blocks of a position before the rest is summed up in one.
const BLOCKS: usize = 6;

/// Paths that a table shows one by one.
const PATHS: usize = 50;

pub(super) fn sections(report: &Report, overview: &Overview, labels: &Labels) -> Vec<Section> {
    let journeys = &overview.journeys;
    vec![paths(journeys, labels), times(journeys), roles(report, labels)]
}

/// Columns of orders and of what they are worth in each currency.
fn worth_columns(currencies: &[Currency]) -> Vec<Column> {
    let mut columns = vec![Column::figure("orders", "Orders"), Column::figure("share", "Share")];
    let amounts = currencies.iter().map(|currency| Column::figure(currency.code(), "Revenue"));
    columns.extend(amounts);
    columns
}

fn worth_cells(worth: &Worth, whole: u64, currencies: &[Currency]) -> Vec<Cell> {
    let orders = worth.all_orders();
    let mut cells = vec![Cell::count(orders), Cell::part(orders as f64 / whole as f64)];
    let amounts = currencies.iter().enumerate();
    cells.extend(amounts.map(|(at, currency)| Cell::amount(worth.of(at).1, *currency)));
    cells
}

/// The sum of some orders.
fn sum<'w>(worths: impl Iterator<Item = &'w Worth>) -> Worth {
    let mut sum = Worth::default();
    worths.for_each(|worth| sum.merge(worth));
    sum
}

fn text(path: &PathWorth) -> String {
    if path.steps.is_empty() {
        return "(no touch)".to_owned();
    }
    let steps = path.steps.iter().map(|(name, count)| match count {
        1 => name.clone(),
        _ => format!("{name} (x{count})"),
    });
    let mut steps: Vec<String> = steps.collect();
    if path.more {
        steps.push("\u{2026}".to_owned());
    }
    steps.join(" > ")
}

fn paths(journeys: &Journeys, labels: &Labels) -> Section {
    let all = sum(journeys.paths.iter().map(|path| &path.worth));
    let orders = all.all_orders();
    let with: Vec<&PathWorth> =
        journeys.paths.iter().filter(|path| !path.steps.is_empty()).collect();
    let mut columns = vec![Column::text("path"), Column::figure("steps", "Path length")];
    columns.extend(worth_columns(&journeys.currencies));
    let row = |name: String, kind: RowKind, steps: Option<usize>, worth: &Worth| {
        let steps = steps.map_or_else(Cell::default, |steps| Cell::count(steps as u64));
        let mut cells = vec![Cell::text(name), steps];
        cells.extend(worth_cells(worth, orders, &journeys.currencies));
        Row { kind, cells }
    };
    let (shown, rest) = journeys.paths.split_at(journeys.paths.len().min(PATHS));
    let mut rows: Vec<Row> = shown
        .iter()
        .map(|path| row(text(path), RowKind::Line, Some(path.steps.len()), &path.worth))
        .collect();
    if !rest.is_empty() {
        let name = format!("{OTHER} {} more", thousands(&rest.len().to_string()));
        rows.push(row(name, RowKind::Rest, None, &sum(rest.iter().map(|path| &path.worth))));
    }
    rows.push(row("total".to_owned(), RowKind::Total, None, &all));
    let flow = flow(&with, labels);
    let busiest = with
        .first()
        .map_or_else(String::new, |path| format!(" The most frequent path is {}.", text(path)));
    let chart = Chart {
        title: "Journeys by position, in orders".to_owned(),
        description: format!(
            "Blocks of how many journeys have what as their first, second and later steps, with ribbons between them.{busiest} The table below has the paths."
        ),
        shapes: Shapes::Flow(flow),
    };
    Section {
        id: "paths",
        title: "Paths to an order",
        lead: "Every journey with a touch, step by step: neighbours that are alike are one step. A journey leaves to the order after its last step.".to_owned(),
        parts: vec![
            Part::Chart(ChartName::Paths, chart),
            Part::Table(Table { caption: "Paths, those of most orders first".to_owned(), columns, rows }),
        ],
    }
}

/// What stands at a position of a flow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Step(String),
    Other,
    More,
    Ordered,
}

impl Place {
    /// Where it stands among the blocks of its position: steps first.
    const fn rank(&self) -> u8 {
        match self {
            Self::Step(_) => 0,
            Self::Other => 1,
            Self::More => 2,
            Self::Ordered => 3,
        }
    }

    fn node(&self, journeys: u64, labels: &Labels) -> Node {
        let (name, tone) = match self {
            Self::Step(name) => {
                // Steps have the colours of lines, where they are called alike.
                let mut tones =
                    labels.currencies().map(|currency| labels.tone(currency, name, false));
                (name.as_str(), tones.next().unwrap_or(Tone::Rest))
            }
            Self::Other => (OTHER, Tone::Rest),
            Self::More => ("more steps", Tone::Muted),
            Self::Ordered => ("order", Tone::Ink),
        };
        Node { name: name.to_owned(), tone, journeys }
    }
}

/// Which steps are frequent at each of so many positions.
fn frequent<'p>(paths: &[&'p PathWorth], depth: usize) -> Vec<Vec<&'p str>> {
    let at = |position: usize| {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for path in paths {
            if let Some((name, _)) = path.steps.get(position) {
                *counts.entry(name).or_default() += path.worth.all_orders();
            }
        }
        let mut names: Vec<(&str, u64)> = counts.into_iter().collect();
        names.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(right.0)));
        names.into_iter().take(BLOCKS).map(|(name, _)| name).collect()
    };
    (0..depth).map(at).collect()
}

/// Where a path is at a position; nowhere once it has led to its order.
fn place(path: &PathWorth, position: usize, frequent: &[Vec<&str>]) -> Option<Place> {
    if let (Some((name, _)), Some(frequent)) = (path.steps.get(position), frequent.get(position)) {
        let own = frequent.contains(&name.as_str());
        return Some(if own { Place::Step(name.clone()) } else { Place::Other });
    }
    match path.steps.len() {
        steps if steps < position => None,
        steps if steps == position && !path.more => Some(Place::Ordered),
        _ => Some(Place::More),
    }
}

/// The journeys of paths by position; what is not frequent at a position is one block there.
fn flow(paths: &[&PathWorth], labels: &Labels) -> Flow {
    let depth = paths.iter().map(|path| path.steps.len()).max().unwrap_or(0).min(POSITIONS);
    let frequent = frequent(paths, depth);
    let mut counts: Vec<BTreeMap<Place, u64>> = vec![BTreeMap::new(); depth + 1];
    let mut between: Vec<BTreeMap<(Place, Place), u64>> = vec![BTreeMap::new(); depth];
    for path in paths {
        let orders = path.worth.all_orders();
        for (position, counts) in counts.iter_mut().enumerate() {
            let Some(here) = place(path, position, &frequent) else { continue };
            *counts.entry(here.clone()).or_default() += orders;
            let Some(between) = between.get_mut(position) else { continue };
            if let Some(next) = place(path, position + 1, &frequent) {
                *between.entry((here, next)).or_default() += orders;
            }
        }
    }
    let order = |places: BTreeMap<Place, u64>| {
        let mut places: Vec<(Place, u64)> = places.into_iter().collect();
        // The most frequent first; a map's order decides where they are alike.
        places.sort_by_key(|(place, count)| (place.rank(), Reverse(*count)));
        places
    };
    let ordered: Vec<Vec<(Place, u64)>> = counts.into_iter().map(order).collect();
    let find = |position: usize, place: &Place| {
        ordered[position].iter().position(|(known, _)| known == place).unwrap_or(0)
    };
    let links = between.iter().enumerate().map(|(position, between)| {
        let links = between.iter().map(|((from, to), journeys)| Link {
            from: find(position, from),
            to: find(position + 1, to),
            journeys: *journeys,
        });
        links.collect()
    });
    let titles = ["first step", "second step", "third step", "fourth step"];
    let last = (depth > 0).then_some("then");
    let nodes = |places: &Vec<(Place, u64)>| {
        places.iter().map(|(place, journeys)| place.node(*journeys, labels)).collect()
    };
    Flow {
        titles: titles.into_iter().take(depth).chain(last).map(str::to_owned).collect(),
        links: links.collect(),
        nodes: ordered.iter().map(nodes).collect(),
    }
}

fn times(journeys: &Journeys) -> Section {
    let parts = [
        (
            ChartName::Lag,
            "Orders by time lag",
            "from the first touch to the order",
            "time lag",
            &journeys.lags,
        ),
        (
            ChartName::Length,
            "Orders by path length",
            "touches of a journey",
            "touches",
            &journeys.lengths,
        ),
    ];
    let parts = parts.into_iter().flat_map(|(name, title, of, column, classes)| {
        let all = sum(classes.iter().map(|(_, worth)| worth));
        let orders = all.all_orders();
        let values: Vec<f64> =
            classes.iter().map(|(_, worth)| worth.all_orders() as f64).collect();
        let most = classes.iter().max_by_key(|(_, worth)| worth.all_orders());
        let most = most.map_or_else(String::new, |(class, worth)| {
            format!(" Most have {class}: {} of {orders}.", worth.all_orders())
        });
        let word = if name == ChartName::Lag { "Time lag" } else { "Path length" };
        let mut columns = vec![Column { word: Some(word), ..Column::text(column) }];
        columns.extend(worth_columns(&journeys.currencies));
        let row = |class: &str, kind: RowKind, worth: &Worth| {
            let mut cells = vec![Cell::text(class)];
            cells.extend(worth_cells(worth, orders, &journeys.currencies));
            Row { kind, cells }
        };
        let mut rows: Vec<Row> =
            classes.iter().map(|(class, worth)| row(class, RowKind::Line, worth)).collect();
        rows.push(row("total", RowKind::Total, &all));
        [
            Part::Chart(
                name,
                Chart {
                    title: format!("{title}: {of}"),
                    description: format!("Columns of how many orders are of each class.{most} The table below has every figure."),
                    shapes: Shapes::Columns(Columns {
                        labels: classes.iter().map(|(class, _)| (*class).to_owned()).collect(),
                        series: vec![Series { name: "orders".to_owned(), tone: Tone::Series(0), values, bounds: Vec::new() }],
                        unit: "orders".to_owned(),
                    }),
                },
            ),
            Part::Table(Table { caption: format!("{title}, {of}"), columns, rows }),
        ]
    });
    Section {
        id: "times",
        title: "Time lag and path length",
        lead: "How long it takes from the first touch to the order, and how many touches that is. A window that is too short cuts both off.".to_owned(),
        parts: parts.collect(),
    }
}

/// The touches of a group by role.
fn touches(report: &Report, groups: &[&Group]) -> [u64; 4] {
    let mut sums = [0; 4];
    for line in groups.iter().flat_map(|group| &group.lines) {
        for (sum, count) in sums.iter_mut().zip(report.lines[*line].roles) {
            *sum += count;
        }
    }
    sums
}

fn roles(report: &Report, labels: &Labels) -> Section {
    let several = labels.groups.len() > 1;
    let mut parts = Vec::new();
    for currency in labels.currencies() {
        let rows = |most: usize| {
            let (shown, rest, _) = labels.shown(currency, most);
            let mut rows: Vec<(String, RowKind, [u64; 4])> = shown
                .iter()
                .map(|group| (group.label.clone(), RowKind::Line, touches(report, &[group])))
                .collect();
            if !rest.is_empty() {
                let name = format!("{OTHER} {} more", thousands(&rest.len().to_string()));
                rows.push((name, RowKind::Rest, touches(report, &rest)));
            }
            rows
        };
        if several {
            parts.push(Part::Heading(format!("Orders in {currency}")));
        }
        let drawn = rows(BARS);
        let series = Role::ALL.iter().enumerate().map(|(at, role)| Series {
            name: role.name().to_owned(),
            tone: Tone::Series([4, 2, 6, 0][at]),
            values: drawn.iter().map(|(_, _, touches)| touches[at] as f64).collect(),
            bounds: Vec::new(),
        });
        parts.push(Part::Chart(
            ChartName::Roles,
            Chart {
                title: format!("Touches of journeys by role and {}", labels.name),
                description: "Bars of how many touches of each line are alone in their journey, start it, assist or close it. The table below has every figure.".to_owned(),
                shapes: Shapes::Bars(Bars {
                    labels: drawn.iter().map(|(name, ..)| name.clone()).collect(),
                    series: series.collect(),
                    stacked: true,
                }),
            },
        ));
        let mut columns = vec![Column::text(labels.name.clone())];
        columns.extend(Role::ALL.iter().map(|role| Column::figure(role.name(), "Roles")));
        columns.push(Column::figure("touches", "Roles"));
        columns.push(Column::figure("assist ratio", "Assist ratio"));
        let row = |name: &str, kind: RowKind, touches: [u64; 4]| {
            let [alone, initiator, assisting, closer] = touches;
            let mut cells = vec![Cell::text(name)];
            cells.extend(touches.map(Cell::count));
            cells.push(Cell::count(touches.iter().sum()));
            let ratio = (initiator + assisting) as f64 / (alone + closer) as f64;
            cells.push(if ratio.is_finite() { Cell::number(ratio) } else { Cell::default() });
            Row { kind, cells }
        };
        let all: Vec<&Group> = labels.groups.get(&currency).into_iter().flatten().collect();
        let mut table: Vec<Row> =
            rows(ROWS).iter().map(|(name, kind, touches)| row(name, *kind, *touches)).collect();
        table.push(row("total", RowKind::Total, touches(report, &all)));
        parts.push(Part::Table(Table {
            caption: format!("Touches by role and {}", labels.name),
            columns,
            rows: table,
        }));
    }
    Section {
        id: "roles",
        title: "Roles",
        lead: format!(
            "Who starts journeys, who assists and who closes them. Orders without touches, {UNATTRIBUTED}, have no roles."
        ),
        parts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_has_every_journey_at_every_position_until_it_has_ordered() {
        let path = |steps: &[&str], orders: u64| PathWorth {
            steps: steps.iter().map(|step| ((*step).to_owned(), 1)).collect(),
            more: false,
            worth: Worth { orders: vec![orders], amounts: vec![0] },
        };
        let paths = [path(&["a"], 5), path(&["a", "b"], 3), path(&["b", "a", "b", "a", "b"], 2)];
        let paths: Vec<&PathWorth> = paths.iter().collect();
        let labels =
            Labels { name: String::new(), groups: BTreeMap::new(), tones: BTreeMap::new() };
        let flow = flow(&paths, &labels);
        assert_eq!(flow.titles.len(), 5);
        let of = |position: usize| -> Vec<(&str, u64)> {
            let nodes = flow.nodes[position].iter();
            nodes.map(|node| (node.name.as_str(), node.journeys)).collect()
        };
        assert_eq!(of(0), [("a", 8), ("b", 2)]);
        assert_eq!(of(1), [("b", 3), ("a", 2), ("order", 5)]);
        assert_eq!(of(2), [("b", 2), ("order", 3)]);
        assert_eq!(of(4), [("more steps", 2)]);
        // What leaves a position has come to it.
        for (position, links) in flow.links.iter().enumerate() {
            for link in links {
                assert!(link.journeys <= flow.nodes[position][link.from].journeys);
            }
        }
    }
}
