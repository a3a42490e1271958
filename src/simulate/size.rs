//! How large a simulated world is, and what its export lacks or has too much of.

use chrono::NaiveDate;

/// How large a world is, who is in it, and how it is exported.
#[derive(Debug, Clone, PartialEq)]
pub struct Size {
    /// Which of all worlds it is.
    pub seed: u64,
    /// Visits that are expected, those of bots aside.
    pub sessions: u64,
    /// Orders that are expected, those of bots aside.
    pub orders: u64,
    /// Persons, whatever number of user ids they have.
    pub persons: u64,
    /// The first day.
    pub start: NaiveDate,
    /// How many days there are.
    pub days: u32,
    /// Exponent of the Pareto distribution of how busy persons are: the smaller, the busier are the
    /// busiest.
    pub tail: f64,
    /// How many times as busy as the least busy person one can be.
    pub busiest: f64,
    /// Share of the sessions that is expected under an anonymous id that has an alias.
    pub alias_share: f64,
    /// Share of the sessions that arrive a second time, up to three days later.
    pub late: f64,
    /// Share of the users that have no profile.
    pub stubs: f64,
    /// Share of the orders that are paid back.
    pub refunds: f64,
    /// Share of the orders that are cancelled.
    pub cancellations: f64,
    /// Share of the anonymous users of customers that no alias joins to them. Half of these have left
    /// the customer's address.
    pub unjoined: f64,
    /// Robots, each with [`BOT_SESSIONS`] sessions and [`BOT_ORDERS`] orders.
    pub bots: u64,
    /// Characters of an id.
    pub id_length: usize,
    /// Whether sessions, orders and aliases have their least columns, and all else is left out.
    pub minimal: bool,
    /// Whether devices, domains, time zones and other dimensions are told of too.
    pub full: bool,
}

/// Sessions of a robot.
pub const BOT_SESSIONS: u64 = 20_000;

/// Orders of a robot.
pub const BOT_ORDERS: u64 = 5_000;

impl Default for Size {
    fn default() -> Self {
        Self {
            seed: 1,
            sessions: 20_000,
            orders: 1_500,
            persons: 2_500,
            start: NaiveDate::from_ymd_opt(2025, 1, 1).unwrap_or_default(),
            days: 365,
            tail: 1.5,
            busiest: 500.0,
            alias_share: 0.25,
            late: 0.0,
            stubs: 0.0,
            refunds: 0.0,
            cancellations: 0.0,
            unjoined: 0.0,
            bots: 0,
            id_length: 20,
            minimal: false,
            full: false,
        }
    }
}
