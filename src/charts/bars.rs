//! Bars beside their labels: one a series, or the series one after the other.

use plotters::element::{PathElement, Rectangle};
use plotters::style::Color;
use plotters::style::text_anchor::HPos;

use super::canvas::{Canvas, breadth, count, fitted, legend_height, undrawn};
use super::{NARROW, Series, Tone, range, short};
use crate::error::Result;

/// Labels from top to bottom, each with a bar of every series.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bars {
    /// What the bars stand beside.
    pub labels: Vec<String>,
    /// The figures.
    pub series: Vec<Series>,
    /// Whether the bars of a label lie one after the other, not one below the other.
    pub stacked: bool,
}

/// Pixels below the bars, for the figures of the axis.
const AXIS: i32 = 28;

/// Pixels between bars below which their figures would lie upon each other.
const LETTERS_HIGH: i32 = 11;

impl Bars {
    /// Bars that lie below each other beside a label.
    fn rows(&self) -> usize {
        if self.stacked { 1 } else { self.series.len().max(1) }
    }

    fn legend(&self) -> Vec<(&str, Tone)> {
        self.series.iter().map(|series| (series.name.as_str(), series.tone)).collect()
    }

    pub(super) fn height(&self, width: u32) -> u32 {
        let names = self.series.iter().map(|series| series.name.as_str());
        let each = if self.stacked { 28 } else { 12 + 14 * self.rows() };
        let bars = u32::try_from(each * self.labels.len().max(1)).unwrap_or(u32::MAX);
        let label = if width < NARROW { 18 } else { 0 };
        let labels = label * u32::try_from(self.labels.len()).unwrap_or(0);
        legend_height(names, width) + bars.saturating_add(labels) + AXIS.unsigned_abs() + 8
    }

    /// The least and the greatest figure, with bounds.
    fn range(&self) -> (f64, f64) {
        if self.stacked {
            let whole = |label: usize| -> f64 {
                self.series.iter().filter_map(|series| series.values.get(label)).sum()
            };
            return range((0..self.labels.len()).map(whole));
        }
        let values = self.series.iter().flat_map(|series| series.values.iter().copied());
        let bounds = self.series.iter().flat_map(|series| series.bounds.iter().flatten());
        range(values.chain(bounds.flat_map(|(low, high)| [*low, *high])))
    }

    pub(super) fn draw(&self, canvas: &Canvas<'_>, top: i32) -> Result<()> {
        let top = canvas.legend(&self.legend(), top)?;
        let labels = count(self.labels.len().max(1));
        let (low, high) = self.range();
        // On a telephone labels stand above their bars.
        let narrow = canvas.is_narrow();
        let widest = self.labels.iter().map(|label| breadth(label)).max().unwrap_or(0);
        let left = if narrow { 8 } else { (widest + 16).clamp(40, canvas.width / 3) };
        // The longest bar has its figure behind it.
        let high = if high > 0.0 { high * if narrow { 1.16 } else { 1.07 } } else { high };
        let mut chart = canvas
            .chart(top, left, AXIS)
            .build_cartesian_2d(low..high, 0.0..labels)
            .map_err(|error| undrawn(&error))?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_labels(if narrow { 4 } else { 8 })
            .x_max_light_lines(1)
            .x_label_formatter(&|value| short(*value))
            .axis_style(canvas.stroke(Tone::Grid))
            .bold_line_style(canvas.stroke(Tone::Grid))
            .light_line_style(canvas.color(Tone::Grid).mix(0.0))
            .label_style(canvas.letters(Tone::Muted, HPos::Center))
            .draw()
            .map_err(|error| undrawn(&error))?;
        // The part of a label's room that its bars take.
        let (above, below) = if narrow { (0.42, 0.04) } else { (0.1, 0.1) };
        let each = (1.0 - above - below) / count(self.rows());
        let pixels = |rows: f64| chart.backend_coord(&(0.0, labels - rows)).1;
        let thick = pixels(each) - pixels(0.0);
        for (at, label) in self.labels.iter().enumerate() {
            let first = labels - count(at) - above;
            let middle =
                if narrow { labels - count(at) - above / 2.0 } else { labels - count(at) - 0.5 };
            let (_, y) = chart.backend_coord(&(0.0, middle));
            if narrow {
                canvas.text(&fitted(label, canvas.width - 24), (8, y), Tone::Ink, HPos::Left)?;
            } else {
                canvas.text(&fitted(label, left - 12), (left - 8, y), Tone::Ink, HPos::Right)?;
            }
            let mut from = 0.0;
            for (row, series) in self.series.iter().enumerate() {
                let value = series.values.get(at).copied().filter(|value| value.is_finite());
                let value = value.unwrap_or(0.0);
                let high = if self.stacked { first } else { first - each * count(row) };
                let bar = [(from, high), (from + value, high - each * 0.92)];
                let shape = Rectangle::new(bar, canvas.color(series.tone).filled());
                chart.plotting_area().draw(&shape).map_err(|error| undrawn(&error))?;
                let (mut end, y) = chart.backend_coord(&(from + value, high - each * 0.46));
                if self.stacked {
                    from += value;
                    continue;
                }
                if let Some((low, high)) = series.bounds.get(at).copied().flatten() {
                    let (low, _) = chart.backend_coord(&(low, 0.0));
                    let (high, _) = chart.backend_coord(&(high, 0.0));
                    for points in [
                        vec![(low, y), (high, y)],
                        vec![(low, y - 3), (low, y + 3)],
                        vec![(high, y - 3), (high, y + 3)],
                    ] {
                        canvas.line(points, Tone::Ink)?;
                    }
                    end = end.max(high);
                }
                if thick >= LETTERS_HIGH {
                    canvas.text(&short(value), (end + 5, y), Tone::Muted, HPos::Left)?;
                }
            }
            if self.stacked && from != 0.0 {
                let (end, y) = chart.backend_coord(&(from, first - each / 2.0));
                canvas.text(&short(from), (end + 5, y), Tone::Muted, HPos::Left)?;
            }
        }
        let zero = PathElement::new(vec![(0.0, 0.0), (0.0, labels)], canvas.stroke(Tone::Muted));
        chart.plotting_area().draw(&zero).map_err(|error| undrawn(&error))?;
        Ok(())
    }
}
