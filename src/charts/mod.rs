//! Charts as SVG and as PNG, of the page and of `apportion plot`.
//!
//! The crate `plotters` draws: scales, axes, shapes and letters. Here is which of them make a chart
//! of bars (`bars`), of columns over time or along a scale (`columns`) and of journeys by position
//! (`flow`); `picture` makes pixels. Not for which figures are shown; that is `page`. Figures are
//! floats here, because nothing is added up any more.

mod bars;
mod canvas;
mod columns;
mod flow;
mod picture;

use maud::html;
use plotters::style::RGBColor;

pub use bars::Bars;
pub use columns::Columns;
pub use flow::{Flow, Link, Node};
pub use picture::{MOST_PIXELS, png};

use self::canvas::Canvas;
use crate::error::{Error, Result};
use crate::output::table::printable_lines;

/// What a chart says, in words and in shapes.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What it shows, in a line.
    pub title: String,
    /// The same for those who do not see it, with the figures that matter.
    pub description: String,
    /// What is drawn.
    pub shapes: Shapes,
}

/// What a chart is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Shapes {
    /// Bars beside labels.
    Bars(Bars),
    /// Columns along a scale.
    Columns(Columns),
    /// Ribbons from position to position.
    Flow(Flow),
}

/// Figures of one kind, one a label of the chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What they are of.
    pub name: String,
    /// Their colour.
    pub tone: Tone,
    /// The figures.
    pub values: Vec<f64>,
    /// Between which bounds each lies, where that is known; as many as there are figures, or none.
    pub bounds: Vec<Option<(f64, f64)>>,
}

/// The colours of a chart: on paper, or on a dark screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Theme {
    /// Dark on white.
    #[default]
    Light,
    /// Light on near black.
    Dark,
}

impl Theme {
    /// The theme of this name.
    ///
    /// # Errors
    ///
    /// A name that is none; the error lists those that are.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "light" => Ok(Self::Light),
            "dark" => Ok(Self::Dark),
            _ => Err(Error::Unknown {
                kind: "theme",
                name: name.to_owned(),
                known: vec!["light".to_owned(), "dark".to_owned()],
            }),
        }
    }
}

/// What a colour is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// What everything stands on.
    Paper,
    /// Words.
    Ink,
    /// Words of less weight.
    Muted,
    /// Lines behind figures.
    Grid,
    /// One of several; they begin again after the last.
    Series(usize),
    /// What is summed up.
    Rest,
    /// What nothing is credited with.
    Nothing,
}

/// Colours that people with any colour vision can tell apart, light and dark.
const SERIES: [(RGBColor, RGBColor); 8] = [
    (RGBColor(0x2F, 0x6D, 0xB3), RGBColor(0x6C, 0xA8, 0xEA)),
    (RGBColor(0xD9, 0x82, 0x2B), RGBColor(0xF0, 0xA4, 0x54)),
    (RGBColor(0x2C, 0x8C, 0x6B), RGBColor(0x5C, 0xC2, 0x9C)),
    (RGBColor(0xB5, 0x47, 0x8A), RGBColor(0xE0, 0x83, 0xBA)),
    (RGBColor(0x6D, 0x6A, 0xC8), RGBColor(0xA3, 0xA1, 0xF2)),
    (RGBColor(0xBF, 0x9A, 0x1E), RGBColor(0xE3, 0xC5, 0x5C)),
    (RGBColor(0x2A, 0xA1, 0xB8), RGBColor(0x62, 0xCF, 0xE3)),
    (RGBColor(0xC2, 0x4A, 0x3F), RGBColor(0xF0, 0x88, 0x7E)),
];

impl Tone {
    /// Every tone that a chart can have.
    pub const ALL: [Self; 14] = [
        Self::Paper,
        Self::Ink,
        Self::Muted,
        Self::Grid,
        Self::Rest,
        Self::Nothing,
        Self::Series(0),
        Self::Series(1),
        Self::Series(2),
        Self::Series(3),
        Self::Series(4),
        Self::Series(5),
        Self::Series(6),
        Self::Series(7),
    ];

    fn color(self, theme: Theme) -> RGBColor {
        let (light, dark) = match self {
            Self::Paper => (RGBColor(0xFF, 0xFF, 0xFE), RGBColor(0x14, 0x18, 0x1D)),
            Self::Ink => (RGBColor(0x1F, 0x29, 0x33), RGBColor(0xE6, 0xEA, 0xEE)),
            Self::Muted => (RGBColor(0x52, 0x5E, 0x6B), RGBColor(0xA6, 0xB1, 0xBC)),
            Self::Grid => (RGBColor(0xDD, 0xE2, 0xE7), RGBColor(0x33, 0x3C, 0x46)),
            Self::Series(at) => SERIES[at % SERIES.len()],
            Self::Rest => (RGBColor(0x8F, 0x9B, 0xA7), RGBColor(0x7C, 0x89, 0x96)),
            Self::Nothing => (RGBColor(0xC3, 0xCB, 0xD3), RGBColor(0x4B, 0x57, 0x63)),
        };
        match theme {
            Theme::Light => light,
            Theme::Dark => dark,
        }
    }

    /// The tone in a theme, as style sheets write it: `#2F6DB3`.
    ///
    /// # Example
    ///
    /// ```
    /// use apportion::charts::{Theme, Tone};
    /// assert_eq!(Tone::Series(0).hex(Theme::Light), "#2F6DB3");
    /// assert_eq!(Tone::Series(8), Tone::Series(8));
    /// assert_eq!(Tone::Series(8).hex(Theme::Dark), Tone::Series(0).hex(Theme::Dark));
    /// ```
    pub fn hex(self, theme: Theme) -> String {
        let RGBColor(red, green, blue) = self.color(theme);
        format!("#{red:02X}{green:02X}{blue:02X}")
    }
}

/// The width that letters are made for, in pixels; wider charts are the same, magnified.
pub const USUAL_WIDTH: u32 = 960;

/// Pixels of a side below which nothing can be read.
const LEAST_PIXELS: u32 = 200;

/// An error if a side of a chart, named as a setting, has too few pixels or too many.
///
/// # Errors
///
/// See above.
pub fn check_pixels(setting: &str, pixels: u32) -> Result<()> {
    if (LEAST_PIXELS..=MOST_PIXELS).contains(&pixels) {
        return Ok(());
    }
    let why = format!("write pixels from {LEAST_PIXELS} to {MOST_PIXELS}");
    Err(Error::setting(setting, pixels.to_string(), why))
}

/// A chart of less than this many pixels is laid out for a telephone.
const NARROW: u32 = 600;

impl Chart {
    /// How high the chart is best drawn at a width, in pixels.
    pub fn height(&self, width: u32) -> u32 {
        match &self.shapes {
            Shapes::Bars(bars) => bars.height(width),
            Shapes::Columns(columns) => columns.height(width),
            Shapes::Flow(_) => Flow::height(width),
        }
    }

    /// How high a document of the chart is best, at a width in pixels.
    pub fn document_height(&self, width: u32) -> u32 {
        let magnified = magnified(width);
        let height = self.height(canvas::scaled(width, magnified)) + canvas::TITLE.unsigned_abs();
        canvas::scaled(height, 1.0 / magnified)
    }

    /// The chart as an SVG document of a size in pixels, on a ground of its own and with its title.
    ///
    /// # Errors
    ///
    /// Shapes that cannot be drawn.
    pub fn document(&self, (width, height): (u32, u32), theme: Theme) -> Result<String> {
        let magnified = magnified(width);
        let drawn = (canvas::scaled(width, magnified), canvas::scaled(height, magnified));
        let body = self.drawn(drawn, theme, true)?;
        let view = format!("0 0 {} {}", drawn.0, drawn.1);
        let tag = html! {
            title { (self.title) }
            desc { (self.description) }
        };
        // XML has no way to write most control characters.
        Ok(printable_lines(&format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"{view}\" role=\"img\">{}\n{body}",
            tag.into_string()
        )))
    }

    /// The chart as a part of a page, at a width in pixels: without a ground and a title of its own,
    /// named by elements of the ids `ID-title` and `ID-desc` in it.
    ///
    /// # Errors
    ///
    /// Shapes that cannot be drawn.
    pub fn part(&self, width: u32, class: &str, id: &str) -> Result<String> {
        let height = self.height(width);
        let body = self.drawn((width, height), Theme::Light, false)?;
        let names = html! {
            title id={ (id) "-title" } { (self.title) }
            desc id={ (id) "-desc" } { (self.description) }
        };
        Ok(format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{id}-title\" aria-describedby=\"{id}-desc\">{}\n{body}",
            names.into_string()
        ))
    }

    /// Everything of the drawing after its opening tag.
    fn drawn(&self, size: (u32, u32), theme: Theme, alone: bool) -> Result<String> {
        let mut text = String::new();
        {
            let canvas = Canvas::new(&mut text, size, theme);
            let mut top = 0;
            if alone {
                canvas.ground()?;
                top = canvas.title(&self.title)?;
            }
            match &self.shapes {
                Shapes::Bars(bars) => bars.draw(&canvas, top)?,
                Shapes::Columns(columns) => columns.draw(&canvas, top)?,
                Shapes::Flow(flow) => flow.draw(&canvas, top)?,
            }
            canvas.finish()?;
        }
        let body = text.split_once('>').map_or("", |(_, body)| body);
        Ok(body.trim_start().to_owned())
    }
}

/// How much larger than usual a chart of a width is drawn: letters keep their part of it, or nobody
/// could read them from the last row.
fn magnified(width: u32) -> f64 {
    if width < NARROW { 1.0 } else { f64::from(width) / f64::from(USUAL_WIDTH) }
}

/// A figure in as few letters as an axis has room for: `1.2k`, `34M`.
///
/// # Example
///
/// ```
/// use apportion::charts::short;
/// assert_eq!(["0", "950", "1.5k", "-20k", "2.34M"], [0.0, 950.0, 1500.0, -20_000.0, 2_340_000.0].map(short));
/// assert_eq!(short(0.25), "0.25");
/// ```
pub fn short(value: f64) -> String {
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let unit = units.into_iter().find(|(unit, _)| value.abs() >= unit * 0.9995);
    let (value, unit) = unit.map_or((value, ""), |(by, unit)| (value / by, unit));
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    let text = if text == "-0" { "0" } else { text };
    format!("{text}{unit}")
}

/// The least and the greatest of some figures, and zero, with room at the end that is not zero.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((0.0_f64, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    if low == 0.0 && high == 0.0 { (0.0, 1.0) } else { (low * 1.05, high * 1.05) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars() -> Chart {
        Chart {
            title: "Amount by <channel>".to_owned(),
            description: "Email leads".to_owned(),
            shapes: Shapes::Bars(Bars {
                labels: vec!["Email & more".to_owned(), "Direct".to_owned()],
                series: vec![Series {
                    name: "linear".to_owned(),
                    tone: Tone::Series(0),
                    values: vec![20.0, 10.0],
                    bounds: vec![Some((15.0, 25.0)), None],
                }],
                stacked: false,
            }),
        }
    }

    #[test]
    fn what_is_drawn_is_escaped_and_named() {
        let part = bars().part(960, "wide", "a").unwrap();
        assert!(part.starts_with("<svg class=\"wide\" viewBox=\"0 0 960 "), "{part}");
        assert!(part.contains("<title id=\"a-title\">Amount by &lt;channel&gt;</title>"), "{part}");
        assert!(part.contains("Email &amp; more") && !part.contains("Email & more"), "{part}");
        assert!(part.trim_end().ends_with("</svg>"), "{part}");
        // A policy of a page without styles in attributes must not stop it.
        assert!(!part.contains("style="), "{part}");
    }

    #[test]
    fn a_document_has_the_size_that_was_asked_for_and_letters_grow_with_it() {
        let document = bars().document((1920, 1080), Theme::Dark).unwrap();
        assert!(document.contains("width=\"1920\" height=\"1080\" viewBox=\"0 0 960 540\""));
        assert!(document.contains(&Tone::Paper.hex(Theme::Dark)), "{document}");
    }

    #[test]
    fn charts_of_nothing_and_of_what_is_not_finite_are_drawn() {
        let series = |values: Vec<f64>| Series {
            name: "a".to_owned(),
            tone: Tone::Rest,
            bounds: Vec::new(),
            values,
        };
        let labels = |count: usize| (0..count).map(|at| format!("label {at}")).collect::<Vec<_>>();
        for values in [vec![], vec![0.0], vec![f64::NAN, -5.0, 3.0]] {
            let count = values.len();
            let bars =
                Bars { labels: labels(count), series: vec![series(values.clone())], stacked: true };
            let columns = Columns {
                labels: labels(count),
                series: vec![series(values)],
                unit: String::new(),
            };
            for shapes in
                [Shapes::Bars(bars), Shapes::Columns(columns), Shapes::Flow(Flow::default())]
            {
                let chart = Chart { title: String::new(), description: String::new(), shapes };
                for width in [320, 960] {
                    assert!(chart.part(width, "", "a").unwrap().contains("</svg>"));
                }
            }
        }
    }
}
