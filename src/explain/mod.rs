//! Why one order was divided as it was: every touch of its person with what became of it, the window,
//! the amount, and each model's formula with the numbers filled in.
//!
//! An [`Explanation`] is plain facts, gathered by `pipeline` from what decides, and reads the same on a
//! terminal (`terminal.rs`) and as JSON. Not for working anything out: what it says was said by
//! journeys, models and credits.

mod terminal;

use std::io::Write;

use serde::Serialize;

pub use terminal::render;

use crate::error::{Error, Result};
use crate::journeys::Fate;
use crate::output::{Format, Sink};

/// Why one order was divided as it was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The order, and whether it counts.
    pub order: OrderFacts,
    /// What it is worth, and how that comes about.
    pub amount: AmountFacts,
    /// The user ids of its person, and how each came to it.
    pub users: Vec<UserFacts>,
    /// The window of its journey; none of an order that does not count.
    pub window: Option<WindowFacts>,
    /// Every touch of the person, oldest first.
    pub touches: Vec<TouchFacts>,
    /// What each model made of it; nothing of an order that does not count.
    pub models: Vec<ModelFacts>,
    /// Rejected rows with the id of the order, of one of the touches or of one of the user ids.
    pub rejects: Vec<RejectFacts>,
}

/// The order that is explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderFacts {
    /// Its id.
    pub order_external_id: String,
    /// When it was made.
    pub order_at: String,
    /// What kind of conversion it is.
    pub conversion_type: String,
    /// The user id that it was made under.
    pub user_external_id: String,
    /// The person that this user is.
    pub person: String,
    /// How many rows it is merged from.
    pub rows: u64,
    /// The persons whose rows of the same id were left out, because a later row is of this person.
    pub rows_of_others: Vec<String>,
    /// Whether it counts: it is attributed, and ends the windows of later orders.
    pub counts: bool,
    /// Whether it is in the report.
    pub is_reported: bool,
    /// Why it does not count, or is not in the report.
    pub because: Vec<String>,
    /// Whether it is the person's first that counts.
    pub is_first_conversion: Option<bool>,
    /// Other orders of the person at the same instant, with the same journey.
    pub same_instant: Vec<String>,
}

/// What an order is worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AmountFacts {
    /// The column that the price was taken from.
    pub column: String,
    /// The price, in its own currency; none where the row has none, which is worth nothing.
    pub price: Option<String>,
    /// What was paid back of it.
    pub refunded_price: Option<String>,
    /// The currency of both.
    pub price_currency: String,
    /// Units of that currency for one unit of the workspace's, where it was converted.
    pub rate: Option<String>,
    /// The day that the rate is of: the latest on or before the order's.
    pub rate_date: Option<String>,
    /// What the order is worth.
    pub amount: String,
    /// In this currency.
    pub currency: String,
}

/// How a user id came to its person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserFacts {
    /// The user id.
    pub user_external_id: String,
    /// The steps to the person; none of the one that names it.
    pub steps: Vec<Step>,
}

/// One step on the way from a user id to its person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The user id that it leads to.
    pub to: String,
    /// What says so: `alias`, or the column of a reconciliation key.
    pub by: String,
    /// The time of the alias, where it has one.
    pub created_at: Option<String>,
}

/// The window of an order's journey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WindowFacts {
    /// Where it begins for sessions.
    pub sessions: Beginning,
    /// Where it begins for views.
    pub views: Beginning,
    /// Where it ends: when the order was made.
    pub until: String,
    /// The previous orders of the person, of the same conversion type, all at one instant.
    pub previous: Vec<String>,
    /// When they were made.
    pub previous_at: Option<String>,
    /// Whether a touch may serve several orders, so that a previous one ends nothing.
    pub overlap: bool,
    /// Which views count.
    pub view_policy: &'static str,
    /// Whether direct touches count beside others.
    pub direct_policy: &'static str,
}

/// Where a window begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Beginning {
    /// The first instant that is in it; none where it never begins.
    pub from: Option<String>,
    /// What it begins with, in words.
    pub because: String,
}

/// Why a touch of the person is in the journey, or is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is in the journey.
    Counts,
    /// It was after the order.
    AfterOrder,
    /// It was at the previous order or before.
    PreviousOrder,
    /// It was before the lookback.
    Lookback,
    /// No view counts.
    NoViews,
    /// Another view is the one that counts.
    OtherView,
    /// It is direct, and there are others.
    Direct,
    /// A discount code says where the order came from in its place.
    DiscountCode,
    /// A filter leaves it out.
    Filtered,
    /// A later row of the same id is of another person.
    OtherPerson,
    /// The order does not count.
    OrderDoesNotCount,
}

impl From<Fate> for Reason {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::Counts => Self::Counts,
            Fate::After => Self::AfterOrder,
            Fate::Previous => Self::PreviousOrder,
            Fate::Lookback => Self::Lookback,
            Fate::NoViews => Self::NoViews,
            Fate::OtherView => Self::OtherView,
            Fate::Direct => Self::Direct,
            Fate::Replaced => Self::DiscountCode,
        }
    }
}

/// One touch of the order's person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TouchFacts {
    /// Its position in the journey, from 1; none where it is not in it.
    pub position: Option<u64>,
    /// Its id.
    pub touch_external_id: String,
    /// `session` or `postview`.
    pub touch_kind: &'static str,
    /// When it was.
    pub touch_at: String,
    /// The user id that it was under.
    pub user_external_id: String,
    /// Where it came from.
    pub utm_source: String,
    /// And how.
    pub utm_medium: String,
    /// And by which campaign.
    pub utm_campaign: Option<String>,
    /// Its channel.
    pub channel: String,
    /// What it did in the journey.
    pub role: Option<&'static str>,
    /// Why it is in the journey, or is not.
    pub reason: Reason,
    /// The same in words.
    pub because: String,
}

/// What one model made of the order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelFacts {
    /// The model, as it was asked for.
    pub model: String,
    /// Its formula; `apportion models NAME` says more.
    pub formula: &'static str,
    /// The sum of the weights of all touches.
    pub weights: f64,
    /// What each touch gets.
    pub credits: Vec<CreditFacts>,
    /// The sum of the shares: one.
    pub share: f64,
    /// The sum of the amounts: the order's.
    pub amount: String,
    /// What the model learnt of the channels of the journey, where it learns.
    pub effects: Vec<ChannelFacts>,
}

/// What one touch gets of the order under one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CreditFacts {
    /// The touch's position in the journey, from 1; none where the order has no touch.
    pub position: Option<u64>,
    /// Its id.
    pub touch_external_id: Option<String>,
    /// What it did in the journey, or `unattributed`.
    pub role: &'static str,
    /// What it weighs.
    pub weight: f64,
    /// Its share of the order.
    pub share: f64,
    /// Its amount.
    pub amount: String,
    /// The part of the amount that was left over after rounding down, and went to this touch.
    pub left_over: Option<String>,
    /// How weight and share come about.
    pub because: String,
}

/// What a model learnt of one channel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChannelFacts {
    /// The channel.
    pub channel: String,
    /// The part of conversions that is lost without it, where the model tells.
    pub removal_effect: Option<f64>,
    /// Its Shapley value, where the model tells.
    pub shapley_value: Option<f64>,
    /// What it adds to the log-odds of an order, where the model tells.
    pub coefficient: Option<f64>,
    /// Its part of all effects.
    pub effect_share: f64,
}

/// A row that was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RejectFacts {
    /// The table.
    pub table: &'static str,
    /// The file; none of a row that was merged from several.
    pub file: Option<String>,
    /// The row's number in it, from 1.
    pub row: Option<u64>,
    /// The row's id.
    pub external_id: String,
    /// The rule that it breaks.
    pub rule: &'static str,
    /// What is wrong with it.
    pub message: String,
}

/// The formats that explanations are written in: an explanation is no table.
pub const FORMATS: [&str; 2] = ["table", "json"];

/// Writes an explanation: text for a terminal, or one JSON object.
///
/// # Errors
///
/// Another format; a sink that cannot be written to.
pub fn write(explanation: &Explanation, format: &Format, mut sink: Sink) -> Result<()> {
    let failed =
        |why: &dyn std::fmt::Display| Error::Output { format: format.name, why: why.to_string() };
    let text = match format.name {
        "table" => render(explanation),
        "json" => {
            let json = serde_json::to_string_pretty(explanation);
            json.map_err(|error| failed(&error))? + "\n"
        }
        _ => {
            let why = "an explanation is no table; write `table` or `json`";
            return Err(Error::setting("--format", format.name, why));
        }
    };
    sink.write_all(text.as_bytes()).and_then(|()| sink.flush()).map_err(|error| failed(&error))
}
