//! A sheet to draw on: letters, blocks, lines and ribbons in the tones of a theme.

use std::fmt::Display;

use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{PathElement, Polygon, Rectangle};
use plotters::prelude::SVGBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoFont, RGBAColor, ShapeStyle, TextStyle};

use super::{NARROW, Theme, Tone};
use crate::error::{Error, Result};

/// The height of letters, in pixels. The crate divides it by 1.24 for SVG.
const LETTERS: f64 = 13.0 * 1.24;

/// What a letter is wide on average, in pixels, with some room.
const LETTER: f64 = 7.0;

/// A sheet, and how wide it is.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
    theme: Theme,
    /// Pixels.
    pub(super) width: i32,
    /// Pixels.
    pub(super) height: i32,
}

/// An error of drawing.
pub(super) fn undrawn(why: &dyn Display) -> Error {
    Error::Output { format: "svg", why: why.to_string() }
}

/// A size divided by how much it is magnified, in whole pixels.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "no more than the pixels it is made of"
)]
pub(super) fn scaled(pixels: u32, magnified: f64) -> u32 {
    (f64::from(pixels) / magnified).round() as u32
}

/// A place in pixels; what is no number lies at the edge.
#[expect(clippy::cast_possible_truncation, reason = "casts of floats saturate")]
pub(super) fn pixel(place: f64) -> i32 {
    place.round() as i32
}

/// A number of things as a float.
pub(super) fn count(things: usize) -> f64 {
    things as f64
}

/// How many pixels a text takes, more or less: fonts are not known here.
pub(super) fn breadth(text: &str) -> i32 {
    pixel(count(text.chars().count()) * LETTER)
}

/// A text of no more pixels than these, more or less.
pub(super) fn fitted(text: &str, pixels: i32) -> String {
    let room = usize::try_from(pixel(f64::from(pixels) / LETTER)).unwrap_or(0).max(2);
    crate::output::shortened(text, room)
}

impl<'a> Canvas<'a> {
    pub(super) fn new(text: &'a mut String, size: (u32, u32), theme: Theme) -> Self {
        let signed = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
        Self {
            area: SVGBackend::with_string(text, size).into_drawing_area(),
            theme,
            width: signed(size.0),
            height: signed(size.1),
        }
    }

    /// Whether it is laid out for a telephone.
    pub(super) fn is_narrow(&self) -> bool {
        self.width.unsigned_abs() < NARROW
    }

    pub(super) fn color(&self, tone: Tone) -> RGBAColor {
        tone.color(self.theme).to_rgba()
    }

    /// The style of a line.
    pub(super) fn stroke(&self, tone: Tone) -> ShapeStyle {
        self.color(tone).stroke_width(1)
    }

    /// The style of letters.
    pub(super) fn letters(&self, tone: Tone, side: HPos) -> TextStyle<'static> {
        TextStyle {
            font: ("sans-serif", LETTERS).into_font(),
            color: self.color(tone).to_backend_color(),
            pos: Pos::new(side, VPos::Center),
        }
    }

    /// A chart with axes in what is left of the sheet.
    pub(super) fn chart(
        &self,
        top: i32,
        left: i32,
        bottom: i32,
    ) -> ChartBuilder<'_, '_, SVGBackend<'a>> {
        let mut builder = ChartBuilder::on(&self.area);
        builder.margin_top(top).margin_right(if self.is_narrow() { 12 } else { 20 });
        builder.x_label_area_size(bottom).y_label_area_size(left);
        builder
    }

    pub(super) fn ground(&self) -> Result<()> {
        self.area.fill(&self.color(Tone::Paper)).map_err(|error| undrawn(&error))
    }

    /// Writes the title of a chart that stands alone; returns where the rest begins.
    pub(super) fn title(&self, title: &str) -> Result<i32> {
        let font = ("sans-serif", LETTERS * 1.25, FontStyle::Bold).into_font();
        let style = TextStyle { font, ..self.letters(Tone::Ink, HPos::Left) };
        let title = fitted(title, pixel(f64::from(self.width - 24) / 1.3));
        self.area.draw_text(&title, &style, (12, 20)).map_err(|error| undrawn(&error))?;
        Ok(TITLE)
    }

    pub(super) fn text(&self, text: &str, place: (i32, i32), tone: Tone, side: HPos) -> Result<()> {
        let style = self.letters(tone, side);
        self.area.draw_text(text, &style, place).map_err(|error| undrawn(&error))
    }

    pub(super) fn block(&self, from: (i32, i32), to: (i32, i32), tone: Tone) -> Result<()> {
        let block = Rectangle::new([from, to], self.color(tone).filled());
        self.area.draw(&block).map_err(|error| undrawn(&error))
    }

    pub(super) fn line(&self, points: Vec<(i32, i32)>, tone: Tone) -> Result<()> {
        let line = PathElement::new(points, self.stroke(tone));
        self.area.draw(&line).map_err(|error| undrawn(&error))
    }

    /// A shape that lets through what is below it.
    pub(super) fn ribbon(&self, points: Vec<(i32, i32)>, tone: Tone) -> Result<()> {
        let shape = Polygon::new(points, self.color(tone).mix(0.35).filled());
        self.area.draw(&shape).map_err(|error| undrawn(&error))
    }

    /// Writes which colour is what, in as many rows as it takes; returns where the rest begins.
    pub(super) fn legend(&self, names: &[(&str, Tone)], top: i32) -> Result<i32> {
        if names.is_empty() {
            return Ok(top);
        }
        let (mut x, mut y) = (12, top + 12);
        for (name, tone) in names {
            let name = fitted(name, self.width - 60);
            let wide = breadth(&name) + 36;
            if x > 12 && x + wide > self.width {
                (x, y) = (12, y + LEGEND_ROW);
            }
            self.block((x, y - 6), (x + 12, y + 6), *tone)?;
            self.text(&name, (x + 18, y), Tone::Ink, HPos::Left)?;
            x += wide;
        }
        Ok(y + 16)
    }

    pub(super) fn finish(self) -> Result<()> {
        self.area.present().map_err(|error| undrawn(&error))
    }
}

/// Pixels that a title takes.
pub(super) const TITLE: i32 = 38;

/// Pixels from one row of a legend to the next.
const LEGEND_ROW: i32 = 20;

/// How many pixels a legend takes at a width.
pub(super) fn legend_height<'n>(names: impl Iterator<Item = &'n str>, width: u32) -> u32 {
    let width = i32::try_from(width).unwrap_or(i32::MAX);
    let (mut x, mut rows) = (12, 0);
    for name in names {
        let wide = breadth(&fitted(name, width - 60)) + 36;
        if rows == 0 || x + wide > width {
            (x, rows) = (12, rows + 1);
        }
        x += wide;
    }
    if rows == 0 { 0 } else { (28 + (rows - 1) * LEGEND_ROW).unsigned_abs() }
}
