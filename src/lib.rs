//! Multi-touch attribution whose totals add up to the last minor unit.
//!
//! Reads exports of sessions and orders, works out which person each row belongs to, gathers the
//! touches that led to each order, and divides the order's credit among them under several models
//! at once. The modules stand in the order in which data flows; [`pipeline::run`] is a run from
//! end to end.
//!
//! # Example
//!
//! ```no_run
//! use apportion::config::{Config, Settings};
//! use apportion::pipeline::{Silent, run};
//!
//! let settings = Settings {
//!     sessions: vec!["sessions.parquet".into()],
//!     orders: vec!["orders.parquet".into()],
//!     model: vec!["linear".into()],
//!     ..Settings::default()
//! };
//! let now = 1_735_689_600_000_000; // microseconds since 1970: rows created later are rejected
//! let finished = run(&Config::new(settings, now)?, &Silent)?;
//! println!("{} orders", finished.summary.orders.counted);
//! # Ok::<(), apportion::Error>(())
//! ```

pub mod error;
pub(crate) mod secrets;
pub mod stop;
pub mod calendar;
pub mod money;
pub mod spill;
pub mod objects;
pub mod ids;
pub mod config;
pub mod schema;
pub mod input;
pub mod validate;
pub mod merge;
pub mod identity;
pub mod touchpoints;
pub(crate) mod frames;
pub mod journeys;
pub mod filter;
pub mod models;
pub mod vouchers;
pub mod channels;
pub mod credits;
pub mod bootstrap;
pub mod engine;
pub mod report;
pub mod output;
pub mod explain;
pub mod paths;
pub mod items;
pub mod summary;
pub mod assertions;
pub mod kept;
pub mod store;
pub mod queries;
pub mod databases;
pub mod diff;
pub mod charts;
pub mod page;
pub mod pipeline;
pub mod spark;
pub mod findings;
pub mod simulate;
pub mod evaluate;
pub mod cli;

pub use error::{Error, Result};
