//! A world and its size, turned into the rates and chances that persons live by.
//!
//! The world says how chances compare; here they are scaled so that as many visits and orders are
//! expected as were asked for. Not for what happens to a person: that is `person`.

use chrono::{Datelike, Days, NaiveDate};
use chrono_tz::Tz;

use super::ids::{Ids, LENGTHS};
use super::rates::DollarRates;
use super::response::Response;
use super::size::{BOT_SESSIONS, Size};
use super::world::World;
use crate::calendar::{DAY, LATEST, start_of_day};
use crate::error::{Error, Result};

/// Rows of one kind that a world may have, so that whatever is numbered keeps its number.
const MOST: u64 = 1 << 34;

/// Everything that is settled before the first person lives.
pub struct Plan {
    /// The world.
    pub world: World,
    /// Its size.
    pub size: Size,
    /// The first instant, and the first after the end.
    pub(super) period: (i64, i64),
    /// Visits that come by themselves, of a person who can be reached and is as busy as the least.
    pub(super) visits: f64,
    /// Orders without a cause of a person as busy as the least.
    pub(super) organic: f64,
    /// What the chances of the world are multiplied by.
    pub(super) scale: f64,
    /// Visits that are expected to come by themselves, by channel.
    pub(super) by_themselves: Vec<f64>,
    /// Visits of persons who have decided, by channel.
    pub(super) harvested: Vec<f64>,
    /// What visits cause in all.
    pub(super) response: Response,
    /// Dollars for a euro.
    pub(super) rates: DollarRates,
    /// How ids are written.
    pub(super) ids: Ids,
    /// How much of the period's traffic has passed at the end of each day; empty where all days are
    /// alike.
    season: Vec<f64>,
}

impl Plan {
    /// Settles what a world of this size is like.
    ///
    /// # Errors
    ///
    /// Numbers that exclude each other, each with what would be right.
    pub fn new(world: World, size: Size) -> Result<Self> {
        check(&size)?;
        let period = period(&size)?;
        let orders = size.orders as f64;
        let (organic, caused) = (orders * world.organic, orders * (1.0 - world.organic));
        let undecided = organic + caused * (1.0 - world.at_once);
        let harvested: Vec<f64> =
            world.channels.iter().map(|channel| channel.harvest * undecided).collect();
        let wandering = size.sessions as f64 - harvested.iter().sum::<f64>();
        if wandering <= 0.0 {
            return Err(too_many_orders(&size));
        }
        let persons = size.persons as f64;
        let reached = persons * (1.0 - world.untracked);
        let visits = wandering / (reached * moment(&size, 1.0));
        let response = Response::new(&world, &size, visits, reached);
        let unscaled = response.caused(&vec![1.0; world.channels.len()]);
        if caused > 0.0 && unscaled <= 0.0 {
            return Err(Error::Contradiction(
                "no visit of this world can set off an order: give a channel a `cold`, or one a `warm` and one `interest`"
                    .to_owned(),
            ));
        }
        let scale = if caused > 0.0 { caused / unscaled } else { 0.0 };
        let greatest =
            world.channels.iter().map(|channel| channel.cold.max(channel.warm)).fold(0.0, f64::max);
        if !scale.is_finite() || scale * greatest > 1.0 {
            return Err(too_many_orders(&size));
        }
        let ids = Ids::new(size.id_length);
        let most = size.sessions.max(4 * (size.persons + size.bots)) + size.bots * BOT_SESSIONS;
        // Twice as many as are expected never come, but for worlds that fit any id.
        if u128::from(2 * most) + 1_000 > ids.room() {
            let why = format!("ids that short run out for {most} rows; the default is 20");
            return Err(Error::setting("--id-length", size.id_length.to_string(), why));
        }
        Ok(Self {
            by_themselves: response.visits(),
            harvested,
            visits,
            organic: organic / (persons * moment(&size, ORGANIC_POWER)),
            scale,
            response: response.scaled(scale),
            rates: DollarRates::new(size.seed, size.start, size.days),
            ids,
            season: season(&world, &size),
            period,
            world,
            size,
        })
    }

    /// The days of the period.
    pub(super) fn days(&self) -> impl Iterator<Item = NaiveDate> {
        self.size.start.iter_days().take(usize::try_from(self.size.days).unwrap_or(usize::MAX))
    }

    /// When something that happens evenly over the period happens by its seasons and days of the week:
    /// the order stays, and so does the part of the day.
    pub(super) fn by_the_season(&self, even: f64) -> f64 {
        let Some(all) = self.season.last() else { return even };
        let (start, end) = (self.period.0 as f64, self.period.1 as f64);
        let passed = (even - start) / (end - start) * all;
        let day = self.season.partition_point(|until| *until <= passed).min(self.season.len() - 1);
        let before = if day == 0 { 0.0 } else { self.season[day - 1] };
        let part = ((passed - before) / (self.season[day] - before)).clamp(0.0, 1.0);
        start + (day as f64 + part) * DAY as f64
    }

    /// The day of the period that an instant falls on.
    pub(super) fn day(&self, at: i64) -> usize {
        usize::try_from((at - self.period.0) / DAY).unwrap_or_default()
    }
}

/// By which power of their visits persons order without a cause: the busy ones more, but not as
/// much more.
pub(super) const ORGANIC_POWER: f64 = 0.5;

/// The expectation of a power of how busy persons are.
pub(super) fn moment(size: &Size, power: f64) -> f64 {
    let excess = power - size.tail;
    if excess.abs() < 1e-9 {
        1.0 + power * libm::log(size.busiest)
    } else {
        1.0 + power * (libm::pow(size.busiest, excess) - 1.0) / excess
    }
}

/// How much of the traffic has passed at the end of each day.
fn season(world: &World, size: &Size) -> Vec<f64> {
    if world.months.is_empty() && world.weekdays.is_empty() {
        return Vec::new();
    }
    let weight = |weights: &[f64], at: u32| {
        usize::try_from(at).ok().and_then(|at| weights.get(at)).copied().unwrap_or(1.0)
    };
    let mut passed = 0.0;
    let days = size.start.iter_days().take(usize::try_from(size.days).unwrap_or_default());
    days.map(|day| {
        let month = weight(&world.months, day.month0());
        passed += month * weight(&world.weekdays, day.weekday().num_days_from_monday());
        passed
    })
    .collect()
}

fn check(size: &Size) -> Result<()> {
    if size.minimal && size.full {
        let why = "`--minimal` leaves out what `--full` tells of; write one of them";
        return Err(Error::Contradiction(why.to_owned()));
    }
    let share = |flag: &str, value: f64, most: f64| {
        if (0.0..=most).contains(&value) {
            return Ok(());
        }
        Err(Error::setting(flag, value.to_string(), format!("write a share from 0 to {most}")))
    };
    share("--alias-share", size.alias_share, 0.45)?;
    share("--late", size.late, 1.0)?;
    share("--stubs", size.stubs, 1.0)?;
    share("--refunds", size.refunds, 1.0)?;
    share("--cancellations", size.cancellations, 1.0)?;
    share("--unjoined", size.unjoined, 1.0)?;
    let count = |flag: &str, value: u64, least: u64, most: u64| {
        if (least..=most).contains(&value) {
            return Ok(());
        }
        let why = format!("write a number from {least} to {most}");
        Err(Error::setting(flag, value.to_string(), why))
    };
    count("--sessions", size.sessions, 1, MOST)?;
    count("--orders", size.orders, 0, MOST)?;
    count("--users", size.persons, 1, MOST / 4)?;
    count("--bots", size.bots, 0, 10_000)?;
    count("--days", u64::from(size.days), 1, 36_525)?;
    count("--id-length", size.id_length as u64, *LENGTHS.start() as u64, *LENGTHS.end() as u64)?;
    let number = |flag: &str, value: f64, least: f64, most: f64| {
        if (least..=most).contains(&value) {
            return Ok(());
        }
        let why = format!("write a number from {least} to {most}");
        Err(Error::setting(flag, value.to_string(), why))
    };
    number("--tail", size.tail, 0.1, 100.0)?;
    number("--busiest", size.busiest, 1.0, 1e6)
}

/// The first instant of a world, and the first after its end.
fn period(size: &Size) -> Result<(i64, i64)> {
    let wrong = || {
        let why = "every day has to lie between the years 1 and 9999";
        Error::setting("--start", size.start.to_string(), why)
    };
    let end = size.start.checked_add_days(Days::new(u64::from(size.days))).ok_or_else(wrong)?;
    let (start, end) = (start_of_day(size.start, Tz::UTC), start_of_day(end, Tz::UTC));
    // Users were known up to a thousand days before, and late rows arrive after the end.
    if start < crate::calendar::EARLIEST + 2_000 * DAY || end > LATEST - 100 * DAY {
        return Err(wrong());
    }
    Ok((start, end))
}

fn too_many_orders(size: &Size) -> Error {
    Error::Contradiction(format!(
        "{} orders are too many for {} sessions: visits would have to cause more than there are of them; ask for fewer `--orders` or more `--sessions`",
        size.orders, size.sessions
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_busy_persons_are_on_the_average() {
        // Pareto 1.5 up to 500: 1 + (1 - 500^-0.5) / 0.5.
        let size = Size::default();
        assert!((moment(&size, 1.0) - (1.0 + (1.0 - 500_f64.powf(-0.5)) / 0.5)).abs() < 1e-12);
        assert!((moment(&Size { tail: 1.0, ..size }, 1.0) - (1.0 + 500_f64.ln())).abs() < 1e-9);
    }

    #[test]
    fn sizes_that_exclude_each_other_are_refused() {
        let refused =
            |size: Size| Plan::new(World::read(None).unwrap(), size).err().unwrap().to_string();
        assert!(refused(Size { orders: 20_000, ..Size::default() }).contains("too many"));
        assert!(refused(Size { late: 1.5, ..Size::default() }).contains("--late"));
        assert!(refused(Size { days: 0, ..Size::default() }).contains("--days"));
        assert!(refused(Size { start: NaiveDate::MIN, ..Size::default() }).contains("--start"));
        let many = Size { sessions: MOST, orders: 1, id_length: 8, ..Size::default() };
        assert!(refused(many).contains("--id-length"));
    }
}
