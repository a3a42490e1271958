//! Reads exports: finds the files of a table or takes it from memory, decodes the needed columns, judges
//! every row.
//!
//! What comes out is one Arrow batch of accepted rows a table, with canonical names and types, and
//! the rows that were rejected. Not for what rows mean together: duplicates are merged in `merge`,
//! persons resolved in `identity`.

mod ahead;
mod decode;
mod files;
mod guarded;
mod memory;
mod opened;
mod reader;
mod scan;
mod seen;

pub(crate) use decode::{Amounts, Decoded, decode};
pub(crate) use files::percent_decoded;
pub use files::{Input, STANDARD_INPUT, Source, check_unchanged, find, find_anew};
pub(crate) use guarded::Guarded;
pub use memory::{GatheringTable, MemoryTable};
pub(crate) use reader::each;
pub use reader::{FileRead, Loaded, Needs, Reading, Users, describe, examine, read, read_numbered};
pub use scan::{Keeper, Kept, Passing, Scanned, ids, scan};
pub use seen::Seen;
