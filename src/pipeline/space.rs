//! Whether the disk has room for what a run will write, as far as that is known before the work.
//!
//! What is needed at least is little guesswork: a run that is refused could not have ended. One that is
//! not may still run out of space, and then leaves nothing behind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;

use super::{Inputs, memory};
use crate::config::{Config, Output};
use crate::error::{Error, Result};

/// Bytes that the hash of an id takes on disk.
const HASH: u64 = 8;

/// Bytes that a touch takes on disk, without the id of its user.
const TOUCH: u64 = 24;

/// Bytes that a row of credits or journeys has at least, in a format of text and in one of columns.
const ROW: (u64, u64) = (100, 4);

/// What is written somewhere.
struct Need {
    folder: PathBuf,
    what: &'static str,
    bytes: u64,
}

/// An error where touches that wait on disk, or rows that are written one an order, cannot fit.
pub(super) fn check(config: &Config, inputs: &Inputs) -> Result<()> {
    let wanted = &config.outputs;
    if config.memory_limit.is_none() && wanted.credits.is_none() && wanted.journeys.is_none() {
        return Ok(());
    }
    let (touches, orders) = memory::touches_and_orders(config, inputs)?;
    let mut needs = Vec::new();
    if config.memory_limit.is_some() && memory::spills(config, inputs).is_ok_and(|spills| spills) {
        let each = if config.needs_everybody() { HASH + TOUCH } else { HASH };
        let folder = std::env::temp_dir();
        needs.push(Need { folder, what: "touches that wait there take", bytes: each * touches });
    }
    // Every order has a row of credits for each model, and mostly one for each touch.
    let models = config.models.len() as u64;
    let rows = [(&wanted.credits, orders * models), (&wanted.journeys, orders)];
    for (output, rows) in rows {
        needs.extend(output.as_ref().and_then(|output| need(output, rows)));
    }
    refuse(&needs, &|folder| fs4::available_space(folder).ok())
}

fn need(output: &Output, rows: u64) -> Option<Need> {
    let folder = output.path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new(".")).to_path_buf();
    let each = match output.format.name {
        "parquet" | "arrow" => ROW.1,
        _ => ROW.0,
    };
    // Neither a device nor what is not here fills a disk of this machine.
    let here = folder.is_dir() && (!output.path.exists() || output.path.is_file());
    here.then_some(Need { folder, what: "rows that are written there take", bytes: each * rows })
}

/// An error where a folder has less `free` than what goes there needs; what is not known is not refused.
fn refuse(needs: &[Need], free: &dyn Fn(&Path) -> Option<u64>) -> Result<()> {
    let mut by_folder: BTreeMap<&Path, (u64, &'static str)> = BTreeMap::new();
    for Need { folder, what, bytes } in needs {
        by_folder.entry(folder).or_insert((0, what)).0 += bytes;
    }
    for (folder, (needed, what)) in by_folder {
        if let Some(free) = free(folder).filter(|free| *free < needed) {
            let (free, needed) = (ByteSize::b(free).to_string(), ByteSize::b(needed).to_string());
            return Err(Error::NoSpace { folder: folder.to_path_buf(), free, what, needed });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_to_one_folder_is_added_up() {
        let need = |folder: &str, bytes| Need { folder: folder.into(), what: "rows take", bytes };
        let needs = [need("a", 600), need("b", 900), need("a", 500)];
        let free = |folder: &Path| (folder != Path::new("c")).then_some(1_000);
        let refused = refuse(&needs, &free).unwrap_err().to_string();
        assert_eq!(refused, "`a` has 1000 B free, and rows take at least 1.1 KiB");
        assert!(refuse(&needs[1..], &free).is_ok());
        assert!(refuse(&[need("c", u64::MAX)], &free).is_ok());
    }
}
