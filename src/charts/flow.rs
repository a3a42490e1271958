//! Journeys by position: blocks of how many stand where, and ribbons of how many go on to what.
//!
//! The layout is a stack of blocks a position, as high as there are journeys, in their given order;
//! ribbons leave and arrive in the order of the blocks at their other end. Not for which steps are
//! summed up.

use plotters::style::text_anchor::HPos;

use super::canvas::{Canvas, count, fitted, pixel};
use super::{NARROW, Tone};
use crate::error::Result;

/// Positions from left to right.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Flow {
    /// What each position is called.
    pub titles: Vec<String>,
    /// The blocks of each position, from top to bottom.
    pub nodes: Vec<Vec<Node>>,
    /// The ribbons from each position to the next.
    pub links: Vec<Vec<Link>>,
}

/// A block: what journeys have in common at a position.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What they have.
    pub name: String,
    /// Its colour.
    pub tone: Tone,
    /// How many they are.
    pub journeys: u64,
}

/// A ribbon: how many journeys go from a block to one of the next position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The block that they come from, by its place in the position.
    pub from: usize,
    /// The block that they go to, by its place in the next position.
    pub to: usize,
    /// How many they are.
    pub journeys: u64,
}

/// Pixels between blocks.
const GAP: f64 = 8.0;

/// Pixels that a block is wide.
const WIDE: i32 = 14;

/// Points that a side of a ribbon is made of.
const POINTS: usize = 16;

impl Flow {
    /// Positions that there is room for.
    fn shown(&self, width: u32) -> usize {
        self.nodes.len().min(if width < NARROW { 3 } else { self.nodes.len() })
    }

    pub(super) const fn height(width: u32) -> u32 {
        if width < NARROW { 380 } else { 420 }
    }

    pub(super) fn draw(&self, canvas: &Canvas<'_>, top: i32) -> Result<()> {
        let shown = self.shown(canvas.width.unsigned_abs());
        let whole = |nodes: &[Node]| nodes.iter().map(|node| node.journeys).sum::<u64>();
        let most = self.nodes.iter().map(|nodes| whole(nodes)).max().unwrap_or(0);
        if shown == 0 || most == 0 {
            return canvas.text("no journeys", (12, top + 20), Tone::Muted, HPos::Left);
        }
        let gaps = self.nodes.iter().map(Vec::len).max().unwrap_or(1).saturating_sub(1);
        let top = f64::from(top + 34);
        let room = f64::from(canvas.height) - top - 8.0 - GAP * count(gaps);
        let scale = room.max(10.0) / most as f64;
        // The last position needs room for its names.
        let last = if canvas.is_narrow() { 108 } else { 150 };
        let step = (canvas.width - 12 - last) / i32::try_from(shown.max(2) - 1).unwrap_or(1);
        let left = |position: usize| 12 + step * i32::try_from(position).unwrap_or(0);
        let mut tops: Vec<Vec<f64>> = Vec::new();
        for nodes in &self.nodes[..shown] {
            let mut y = top;
            let mut of_nodes = Vec::new();
            for node in nodes {
                of_nodes.push(y);
                y += node.journeys as f64 * scale + GAP;
            }
            tops.push(of_nodes);
        }
        for position in 0..shown.saturating_sub(1) {
            let mut links = self.links.get(position).cloned().unwrap_or_default();
            links.sort_by_key(|link| (link.from, link.to));
            let (mut leaving, mut arriving) = (tops[position].clone(), tops[position + 1].clone());
            for Link { from, to, journeys } in links {
                let thick = journeys as f64 * scale;
                let (start, end) = (leaving[from], arriving[to]);
                leaving[from] += thick;
                arriving[to] += thick;
                let (x0, x1) = (left(position) + WIDE, left(position + 1));
                let tone = self.nodes[position][from].tone;
                canvas.ribbon(ribbon((x0, start), (x1, end), thick), tone)?;
            }
        }
        for (position, nodes) in self.nodes[..shown].iter().enumerate() {
            let x = left(position);
            if let Some(title) = self.titles.get(position) {
                let room = if position + 1 == shown { last } else { step - 8 };
                canvas.text(
                    &fitted(title, room),
                    (x, pixel(top - 20.0)),
                    Tone::Muted,
                    HPos::Left,
                )?;
            }
            for (node, y) in nodes.iter().zip(&tops[position]) {
                let thick = node.journeys as f64 * scale;
                let to = pixel(y + thick).max(pixel(*y) + 1);
                canvas.block((x, pixel(*y)), (x + WIDE, to), node.tone)?;
                // A block that is lower than letters has no name; the table has it.
                if thick >= 9.0 {
                    let room = if position + 1 == shown { last - 24 } else { step - WIDE - 8 };
                    let name = format!(
                        "{} {}",
                        node.name,
                        crate::output::thousands(&node.journeys.to_string())
                    );
                    let middle = pixel(y + thick / 2.0);
                    canvas.text(
                        &fitted(&name, room),
                        (x + WIDE + 6, middle),
                        Tone::Ink,
                        HPos::Left,
                    )?;
                }
            }
        }
        Ok(())
    }
}

/// A band from one place to another, as thick all along, that leaves and arrives level.
fn ribbon((x0, y0): (i32, f64), (x1, y1): (i32, f64), thick: f64) -> Vec<(i32, i32)> {
    let along = |at: usize| {
        let part = count(at) / count(POINTS);
        // Smooth at both ends: 3t² − 2t³.
        let smooth = part * part * (3.0 - 2.0 * part);
        let x = f64::from(x0) + f64::from(x1 - x0) * part;
        (pixel(x), y0 + (y1 - y0) * smooth)
    };
    let upper = (0..=POINTS).map(along).map(|(x, y)| (x, pixel(y)));
    let lower = (0..=POINTS).rev().map(along).map(|(x, y)| (x, pixel(y + thick).max(pixel(y) + 1)));
    upper.chain(lower).collect()
}
