//! A run that is kept: one folder with its tables as Parquet, and `run.json` with what was asked, of
//! what, and what came of it.
//!
//! What asks of a run later (queries, comparisons of two runs, pages) opens such a folder and reads the
//! tables that it needs, without the inputs. Amounts are whole minor units of their currency there,
//! `minor_units` of which make one unit, so that sums are exact in any tool. Not for the results of
//! a run in formats for others; that is `output`.

mod account;
mod frame;
mod reading;
mod tables;
mod weekly;
mod writing;

pub(crate) use account::inputs;
pub use account::{
    Account, FrameFile, FrameRows, InputFile, LAYOUT, RUN_FILE, StageTime, checksum,
};
pub use frame::{Frame, Keep};
pub use reading::Kept;
pub(crate) use reading::{Groups, read_file};
pub use tables::SHARE_WHOLE;
pub(crate) use tables::{
    Dated, KeptOrders, KeptSessions, credits, in_minor_units, journeys, narrowed, orders, sessions,
    spend,
};
pub(crate) use weekly::{OneWeek, week_of};
pub use writing::{Writing, check_place};
