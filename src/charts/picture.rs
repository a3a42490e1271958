//! A chart as pixels: PNG, for where SVG cannot be shown.
//!
//! Letters are those of the machine: the font that it takes for `sans-serif`, or a file that is named.

use std::path::Path;
use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::{Database, Family, Query};
use resvg::usvg::{Options, Tree};

use crate::error::{Error, Result};

/// Pixels of a side beyond which a picture is of no use to anybody.
pub const MOST_PIXELS: u32 = 10_000;

/// Makes PNG of an SVG document, in its size.
///
/// `font` is a file of a font to write with; none is the machine's own.
///
/// # Errors
///
/// A machine without a font, a file that is none, a size that there is no memory for.
pub fn png(document: &str, font: Option<&Path>) -> Result<Vec<u8>> {
    let failed = |why: String| Error::Output { format: "png", why };
    let mut fonts = Database::new();
    if let Some(path) = font {
        fonts.load_font_file(path).map_err(Error::io("read", path))?;
        let family = fonts.faces().find_map(|face| face.families.first());
        let Some(family) = family.map(|(name, _)| name.clone()) else {
            let why = "it holds no font; name a file of TrueType or OpenType";
            return Err(Error::setting("--font", path.display().to_string(), why));
        };
        fonts.set_sans_serif_family(family);
    } else {
        fonts.load_system_fonts();
        settle(&mut fonts);
    }
    let query = Query { families: &[Family::SansSerif], ..Query::default() };
    if fonts.query(&query).is_none() {
        return Err(failed(
            "this machine has no font to write with; install one (Debian: fonts-dejavu-core), name a file with `--font`, or write .svg".to_owned(),
        ));
    }
    let options = Options { fontdb: Arc::new(fonts), ..Options::default() };
    let tree = Tree::from_str(document, &options).map_err(|error| failed(error.to_string()))?;
    let size = tree.size().to_int_size();
    let mut pixels = Pixmap::new(size.width(), size.height()).ok_or_else(|| {
        failed(format!("{} × {} pixels are too many", size.width(), size.height()))
    })?;
    resvg::render(&tree, Transform::default(), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| failed(error.to_string()))
}

/// Takes a font that there is where the machine does not say which one is plain.
fn settle(fonts: &mut Database) {
    let plain = Query { families: &[Family::SansSerif], ..Query::default() };
    if fonts.query(&plain).is_some() {
        return;
    }
    let mut families: Vec<String> =
        fonts.faces().flat_map(|face| face.families.iter()).map(|(name, _)| name.clone()).collect();
    // One that says so in its name is plain; else the first, in the order of names.
    families.sort_by_key(|name| (!name.contains("Sans"), name.contains("Mono"), name.clone()));
    if let Some(name) = families.into_iter().next() {
        fonts.set_sans_serif_family(name);
    }
}
