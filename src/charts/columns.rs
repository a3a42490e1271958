//! Columns along a scale: time, or classes of a measure; the series stand on each other.

use plotters::element::{PathElement, Rectangle};
use plotters::style::Color;
use plotters::style::text_anchor::HPos;

use super::canvas::{Canvas, breadth, count, fitted, legend_height, undrawn};
use super::{NARROW, Series, Tone, range, short};
use crate::error::Result;

/// Labels from left to right, each with a column.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Columns {
    /// What the columns stand above.
    pub labels: Vec<String>,
    /// The figures; what is negative hangs below the line.
    pub series: Vec<Series>,
    /// What is counted, as the axis says it.
    pub unit: String,
}

/// Pixels below the columns, for a row of their labels.
const AXIS: i32 = 28;

/// Pixels from one row of labels to the next.
const ROW: i32 = 16;

/// Pixels beside the columns, for the figures of the axis.
const LEFT: i32 = 52;

/// Labels up to which each is written, in two rows if it must be.
const EACH: usize = 12;

impl Columns {
    /// Which colour is what; one alone needs no telling.
    fn legend(&self) -> Vec<(&str, Tone)> {
        let series = self.series.iter().filter(|_| self.series.len() > 1);
        series.map(|series| (series.name.as_str(), series.tone)).collect()
    }

    /// The pixels that the widest label takes, and those that each has.
    fn widths(&self, width: i32) -> (i32, i32) {
        let labels = i32::try_from(self.labels.len()).unwrap_or(i32::MAX).max(1);
        let widest = self.labels.iter().map(|label| breadth(label)).max().unwrap_or(0) + 8;
        (widest, (width - LEFT - 20) / labels)
    }

    /// Whether labels take turns in two rows: where there are few, and no room for them in one.
    fn take_turns(&self, width: i32) -> bool {
        let (widest, room) = self.widths(width);
        widest > room && self.labels.len() <= EACH
    }

    pub(super) fn height(&self, width: u32) -> u32 {
        let columns = if width < NARROW { 220 } else { 260 };
        let rows = if self.take_turns(i32::try_from(width).unwrap_or(i32::MAX)) { ROW } else { 0 };
        let legend = legend_height(self.legend().into_iter().map(|(name, _)| name), width);
        legend + columns + (AXIS + rows).unsigned_abs()
    }

    /// What stands on the line and what hangs below it, at a label.
    fn ends(&self, label: usize) -> [f64; 2] {
        let values = || {
            let values = self.series.iter().filter_map(|series| series.values.get(label).copied());
            values.filter(|value| value.is_finite())
        };
        [values().filter(|value| *value < 0.0).sum(), values().filter(|value| *value > 0.0).sum()]
    }

    pub(super) fn draw(&self, canvas: &Canvas<'_>, top: i32) -> Result<()> {
        let top = canvas.legend(&self.legend(), top)?;
        let labels = self.labels.len().max(1);
        let (low, high) = range((0..labels).flat_map(|label| self.ends(label)));
        let turns = self.take_turns(canvas.width);
        let bottom = if turns { AXIS + ROW } else { AXIS };
        let mut chart = canvas
            .chart(top + 12, LEFT, bottom)
            .build_cartesian_2d(0.0..count(labels), low..high)
            .map_err(|error| undrawn(&error))?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .y_labels(6)
            .y_max_light_lines(1)
            .y_label_formatter(&|value| short(*value))
            .axis_style(canvas.color(Tone::Grid).mix(0.0))
            .bold_line_style(canvas.stroke(Tone::Grid))
            .light_line_style(canvas.color(Tone::Grid).mix(0.0))
            .label_style(canvas.letters(Tone::Muted, HPos::Right))
            .draw()
            .map_err(|error| undrawn(&error))?;
        canvas.text(&self.unit, (8, top + 4), Tone::Muted, HPos::Left)?;
        for label in 0..self.labels.len() {
            let mut ends = [0.0, 0.0];
            for series in &self.series {
                let value = series.values.get(label).copied().filter(|value| value.is_finite());
                let Some(value) = value.filter(|value| *value != 0.0) else { continue };
                let end = &mut ends[usize::from(value > 0.0)];
                let (from, to) = (*end, *end + value);
                *end = to;
                let bar = [(count(label) + 0.1, from), (count(label) + 0.9, to)];
                let shape = Rectangle::new(bar, canvas.color(series.tone).filled());
                chart.plotting_area().draw(&shape).map_err(|error| undrawn(&error))?;
            }
        }
        let zero =
            PathElement::new(vec![(0.0, 0.0), (count(labels), 0.0)], canvas.stroke(Tone::Muted));
        chart.plotting_area().draw(&zero).map_err(|error| undrawn(&error))?;
        // As many labels as there is room for, from the first on; a few take turns in two rows.
        let (widest, room) = self.widths(canvas.width);
        let fits = turns || widest <= room;
        let every = if fits { 1 } else { usize::try_from(widest / room.max(1) + 1).unwrap_or(1) };
        for (at, label) in self.labels.iter().enumerate().step_by(every) {
            let (x, y) = chart.backend_coord(&(count(at) + 0.5, low));
            let label = fitted(label, widest);
            let x = x.clamp(breadth(&label) / 2, canvas.width - breadth(&label) / 2);
            let row = if turns && at % 2 == 1 { 2 * ROW } else { ROW };
            canvas.text(&label, (x, y + row), Tone::Muted, HPos::Center)?;
        }
        Ok(())
    }
}
