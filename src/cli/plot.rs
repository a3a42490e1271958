//! `apportion plot`: does a run and draws one chart of its page, for a slide.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{RunArgs, Status, in_pool, publish, say, settled};
use crate::charts::{self, Chart, MOST_PIXELS, Theme, USUAL_WIDTH, check_pixels};
use crate::config::{Config, Extent};
use crate::error::{Error, Result};
use crate::output::Staged;
use crate::page::{ChartName, Page};
use crate::pipeline::{self, Silent, refuse_inputs};

/// What `plot` takes: the settings of a run (`--output` names the picture), and how it is drawn.
#[derive(Args)]
pub(super) struct PlotArgs {
    #[command(flatten)]
    run: RunArgs,
    /// What to draw
    #[arg(
        long,
        value_enum,
        value_name = "models|time|paths|lag|length|roles",
        hide_possible_values = true,
        default_value = "models",
        hide_default_value = true,
        help_heading = "Chart"
    )]
    chart: ChartName,
    /// How wide it is, in pixels [default: 960]
    #[arg(long, value_name = "PIXELS", help_heading = "Chart")]
    width: Option<u32>,
    /// How high it is, in pixels [default: as its lines need]
    #[arg(long, value_name = "PIXELS", help_heading = "Chart")]
    height: Option<u32>,
    /// For paper or for a dark screen [default: light]
    #[arg(
        long,
        value_enum,
        value_name = "light|dark",
        hide_possible_values = true,
        default_value = "light",
        hide_default_value = true,
        help_heading = "Chart"
    )]
    theme: Theme,
    /// A font file to write PNG with [default: the machine's own]
    #[arg(long, value_name = "FILE", help_heading = "Chart")]
    font: Option<PathBuf>,
}

/// The formats of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Picture {
    Svg,
    Png,
}

pub(super) fn run(args: &PlotArgs) -> Result<Status> {
    let mut flags = args.run.settings.clone();
    let (output, format) = (flags.output.take(), flags.format.take());
    let picture = picture(format.as_deref(), output.as_deref())?;
    for (flag, pixels) in [("--width", args.width), ("--height", args.height)] {
        if let Some(pixels) = pixels {
            check_pixels(flag, pixels)?;
        }
    }
    if picture == Picture::Svg && args.font.is_some() {
        return Err(Error::Contradiction(
            "`--font` says nothing of SVG, whose letters are those of whoever looks at it"
                .to_owned(),
        ));
    }
    let mut settings = settled(flags, args.run.config.as_deref())?;
    settings.forget_outputs();
    (settings.format, settings.wide) = (None, None);
    settings.sweep = Vec::new();
    if settings.by.is_empty() {
        settings.by = vec![super::report::BY.to_owned()];
    }
    let mut config = Config::new(settings, super::now())?;
    config.refuse_smaller_groups("a picture")?;
    config.extent = Extent::Page;
    refuse_inputs(&config, output.as_slice())?;
    let place = output.as_deref().map(Staged::new).transpose()?;
    let finished = in_pool(config.threads, || pipeline::run(&config, &Silent))??;
    let Some(overview) = &finished.overview else {
        return Err(Error::Contradiction("there is nothing to draw".to_owned()));
    };
    let page = Page::new(&finished.report, overview, &finished.summary, &config)?;
    let drawn = drawn(page.chart(args.chart)?, args, picture)?;
    publish(place, None, |mut sink| {
        let failed = |source: io::Error| Error::Output {
            format: if picture == Picture::Svg { "svg" } else { "png" },
            why: source.to_string(),
        };
        sink.write_all(&drawn).and_then(|()| sink.flush()).map_err(failed)
    })?;
    for warning in finished.summary.warnings.iter().filter(|_| !args.run.quiet) {
        say(&format!("warning: {warning}\n"));
    }
    Ok(Status::Done)
}

fn drawn(chart: &Chart, args: &PlotArgs, picture: Picture) -> Result<Vec<u8>> {
    let width = args.width.unwrap_or(USUAL_WIDTH);
    let height = args.height.unwrap_or_else(|| chart.document_height(width).min(MOST_PIXELS));
    let document = chart.document((width, height), args.theme)?;
    match picture {
        Picture::Svg => Ok(document.into_bytes()),
        Picture::Png => charts::png(&document, args.font.as_deref()),
    }
}

/// The format that is named, else the one that the file's name asks for, else SVG.
fn picture(format: Option<&str>, output: Option<&Path>) -> Result<Picture> {
    let ending = |path: &Path| {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match ending.as_str() {
            "svg" => Ok(Picture::Svg),
            "png" => Ok(Picture::Png),
            _ => Err(Error::setting(
                "--output",
                path.display().to_string(),
                "its ending names no picture; choose .svg or .png",
            )),
        }
    };
    match (format, output) {
        (Some("svg"), _) | (None, None) => Ok(Picture::Svg),
        (Some("png"), _) => Ok(Picture::Png),
        (Some(other), _) => Err(Error::Unknown {
            kind: "format of a picture",
            name: other.to_owned(),
            known: vec!["svg".to_owned(), "png".to_owned()],
        }),
        (None, Some(path)) => ending(path),
    }
}
