//! Whether a run keeps within `--memory-limit`, and whether its touches have to wait on disk for that;
//! known before the work from the rows that the files say they hold.
//!
//! What a row takes was measured, and is taken for somewhat more here: a run that would go beyond the
//! limit is refused, not tried.

use bytesize::ByteSize;

use super::{Inputs, relearns, wants_journeys};
use crate::config::{Config, DateBy};
use crate::error::{Error, Result};
use crate::input;
use crate::journeys::Dimension;
use crate::schema::Table;

/// Bytes that a run takes whatever its rows: the program, and what is decoded at a time.
const BASE: u64 = 160 << 20;

/// Bytes of a row of a table that is held whole.
const HELD: u64 = 140;

/// Bytes of a touch of which user, instant and look are held.
const LEAN: u64 = 60;

/// Bytes of a touch that is held whole.
const WHOLE: u64 = 400;

/// Bytes of a touch that waits on disk.
const SPILLED: u64 = 2;

/// The rows of all tables that are given: of touches, and of the others.
fn rows(config: &Config, inputs: &Inputs) -> Result<(u64, u64)> {
    let (mut touches, mut others) = (0, 0);
    for (table, paths) in &inputs.paths {
        for source in input::find(*table, paths)? {
            let rows = input::describe(*table, &source, config.mapping(*table))?.rows;
            match table {
                Table::Sessions | Table::Postviews => touches += rows,
                _ => others += rows,
            }
        }
    }
    Ok((touches, others))
}

/// The rows of sessions and views, and of orders, as their files say.
pub(super) fn touches_and_orders(config: &Config, inputs: &Inputs) -> Result<(u64, u64)> {
    let touches = rows(config, inputs)?.0;
    let mut orders = 0;
    for source in inputs
        .paths
        .get(&Table::Orders)
        .map_or(Ok(Vec::new()), |paths| input::find(Table::Orders, paths))?
    {
        orders += input::describe(Table::Orders, &source, config.mapping(Table::Orders))?.rows;
    }
    Ok((touches, orders))
}

/// Whether touches can be worked on part by part.
pub(super) fn can_wait(config: &Config) -> bool {
    needs_all_touches(config).is_none()
}

/// What a run asks for that needs all touches at once, if anything does.
fn needs_all_touches(config: &Config) -> Option<&'static str> {
    let by_span = config.by.iter().any(|dimension| matches!(dimension, Dimension::Span(_)));
    [
        ("--credits or kept ones", config.wants_credits()),
        (
            "a page, --journeys, --orders-report, --measures all or kept journeys",
            wants_journeys(config),
        ),
        ("discount codes that say where an order came from", !config.vouchers.is_empty()),
        ("--date-by touch with days, weeks or months", config.date_by == DateBy::Touch && by_span),
        ("--bootstrap of models that learn, which learn anew in every resample,", relearns(config)),
    ]
    .into_iter()
    .find_map(|(what, asked)| asked.then_some(what))
}

/// Whether touches wait on disk.
///
/// # Errors
///
/// A limit that even so is too low.
pub(super) fn spills(config: &Config, inputs: &Inputs) -> Result<bool> {
    let Some(limit) = config.memory_limit else { return Ok(false) };
    let (touches, others) = rows(config, inputs)?;
    let held = BASE + HELD * others;
    if held + LEAN * touches <= limit {
        return Ok(false);
    }
    if let Some(what) = needs_all_touches(config) {
        return Err(too_little(
            limit,
            held + LEAN * touches,
            &format!("{what} needs all touches at once"),
        ));
    }
    let least = held + SPILLED * touches;
    if least > limit {
        let why = "orders, aliases and users are held in memory";
        return Err(too_little(limit, least, why));
    }
    Ok(true)
}

/// An error if touches that have to be held whole go beyond the limit.
pub(super) fn check_whole(config: &Config, inputs: &Inputs, lean: bool) -> Result<()> {
    let Some(limit) = config.memory_limit else { return Ok(()) };
    let (touches, others) = rows(config, inputs)?;
    let what = needs_all_touches(config).filter(|_| config.needs_everybody());
    let (each, why) = if lean && let Some(what) = what {
        (
            LEAN,
            format!(
                "models that learn and `--paths` look at the touches of everybody, and {what} needs all at once"
            ),
        )
    } else if lean && config.bootstrap.is_some() {
        (LEAN, "`--bootstrap` needs to know whose each session is".to_owned())
    } else if lean {
        (LEAN, "rows that say something of their users are held until all are read".to_owned())
    } else {
        let why = "rows of which ids repeat, or that a filter or dimension looks at one by one, are held whole";
        (WHOLE, why.to_owned())
    };
    let needed = BASE + HELD * others + each * touches;
    if needed > limit { Err(too_little(limit, needed, &why)) } else { Ok(()) }
}

fn too_little(limit: u64, needed: u64, why: &str) -> Error {
    let (limit, needed) = (ByteSize::b(limit), ByteSize::b(needed));
    Error::setting(
        "--memory-limit",
        limit.to_string(),
        format!("this run takes about {needed}: {why}; raise the limit, or give it less to do"),
    )
}
