//! The tables of a run that can be kept, by name.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use chrono_tz::Tz;

use crate::error::{Error, Result};

/// A table of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Frame {
    /// Every touch that was accepted, merged: sessions and views.
    Sessions,
    /// Every order that was accepted, merged, whether it counts or not.
    Orders,
    /// Every person, and what it ordered.
    Persons,
    /// Every user id, and how it came to its person.
    Identity,
    /// Every order, model and touch.
    Credits,
    /// Every order that counts, and the touches that led to it.
    Journeys,
    /// What was paid, by day, source and medium.
    Spend,
    /// What models that learn say of channels.
    Effects,
    /// Every rejected row.
    Rejects,
    /// The report.
    Report,
}

impl Frame {
    /// Every frame, in the order in which they are listed.
    pub const ALL: [Self; 10] = [
        Self::Sessions,
        Self::Orders,
        Self::Persons,
        Self::Identity,
        Self::Credits,
        Self::Journeys,
        Self::Spend,
        Self::Effects,
        Self::Rejects,
        Self::Report,
    ];

    /// The frame's name, in queries and of its file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Orders => "orders",
            Self::Persons => "persons",
            Self::Identity => "identity",
            Self::Credits => "credits",
            Self::Journeys => "journeys",
            Self::Spend => "spend",
            Self::Effects => "effects",
            Self::Rejects => "rejects",
            Self::Report => "report",
        }
    }

    /// The frame's file in the folder of a kept run.
    ///
    /// # Example
    ///
    /// ```
    /// use apportion::kept::Frame;
    /// assert_eq!(Frame::Credits.file(), "credits.parquet");
    /// ```
    pub fn file(self) -> String {
        format!("{}.parquet", self.name())
    }

    /// Whether its rows are of orders one by one, each dated by its order.
    pub const fn is_of_orders(self) -> bool {
        matches!(self, Self::Credits | Self::Journeys)
    }

    /// The frame of this name.
    ///
    /// # Errors
    ///
    /// A name that is none; the error lists those that are.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|frame| frame.name() == name).ok_or_else(|| Error::Unknown {
            kind: "frame",
            name: name.to_owned(),
            known: Self::ALL.iter().map(|frame| frame.name().to_owned()).collect(),
        })
    }

    /// Why a run may be without the frame, and what gives it one; nothing of frames that every run has.
    pub const fn needs(self) -> Option<&'static str> {
        match self {
            Self::Spend => Some("`--spend PATH` gives a run its spend"),
            Self::Effects => Some("a model that learns, such as `--model markov`, has effects"),
            _ => None,
        }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What of a run is to be kept, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// The folder.
    pub folder: PathBuf,
    /// The tables.
    pub frames: BTreeSet<Frame>,
    /// The zone of weeks, where rows of orders are divided by them.
    pub by_week: Option<Tz>,
}

impl Keep {
    /// All of a run.
    pub fn all(folder: PathBuf) -> Self {
        Self { folder, frames: Frame::ALL.into(), by_week: None }
    }
}
