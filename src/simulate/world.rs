//! What a simulated world is like: its channels, what their visits do, and who is in it.
//!
//! Not for how large it is or what an export of it lacks: that is [`Size`](super::Size).

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::calendar::parse_duration;
use crate::error::{Error, Result};

/// The world that is made unless another is named.
const DEFAULT: &str = include_str!("default.toml");

/// Channels that a world may have: each costs time and memory for every visit.
const MOST_CHANNELS: usize = 64;

/// Discount codes that a world may have.
const MOST_CODES: usize = 254;

/// A world: numbers that are right, as far as a number alone can be.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// The text that it was read from.
    pub text: String,
    /// How long it takes until half of the interest that a visit left is gone, in microseconds.
    pub half_life: f64,
    /// Mean time between the visits of a person, in microseconds.
    pub gap: f64,
    /// Share of caused orders that are placed in the visit that caused them.
    pub at_once: f64,
    /// Mean time from the visit to the order for the others, in microseconds.
    pub delay: f64,
    /// Share of the expected orders that no channel caused.
    pub organic: f64,
    /// Share of persons whose visits are not recorded, and whom no channel reaches.
    pub untracked: f64,
    /// Share of persons with an account.
    pub customers: f64,
    /// Share of persons who pay in US dollars.
    pub dollars: f64,
    /// Mean price of an order, in cents.
    pub price: f64,
    /// Share of the orders that are subscriptions.
    pub subscriptions: f64,
    /// Traffic by month, from January on, relative to other months; none where all are alike.
    pub months: Vec<f64>,
    /// Traffic by day of the week, from Monday on; none where all are alike.
    pub weekdays: Vec<f64>,
    /// Discount codes that say nothing of where an order came from.
    pub codes: Vec<String>,
    /// Share of the orders that have one of these codes.
    pub redeemed: f64,
    /// Its channels.
    pub channels: Vec<Channel>,
}

/// A channel of a world: where its visits come from, and what they do.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// Where its visits come from; none is direct.
    pub utm_source: Option<String>,
    /// The medium.
    pub utm_medium: Option<String>,
    /// Its campaigns; each visit has one of them.
    #[serde(default)]
    pub campaigns: Vec<String>,
    /// How many of the visits that come by themselves are its own, relative to other channels.
    pub visits: f64,
    /// How much more its visits come early in a person's time (1) than late (-1).
    #[serde(default)]
    pub tilt: f64,
    /// Interest that a visit leaves.
    #[serde(default)]
    pub interest: f64,
    /// Chance that a visit sets off an order of a person without interest, relative to others.
    #[serde(default)]
    pub cold: f64,
    /// The same of a person with all the interest that there can be.
    #[serde(default)]
    pub warm: f64,
    /// Chance that a person who has decided to order comes this way.
    #[serde(default)]
    pub harvest: f64,
    /// How many of its advertisements are seen and not clicked, for each visit that comes by itself.
    #[serde(default)]
    pub views: f64,
    /// Interest that such a view leaves.
    #[serde(default)]
    pub view_interest: f64,
    /// Share of its visits that are recorded without their origin, as if they were direct.
    #[serde(default)]
    pub typed: f64,
    /// A discount code that is handed out here alone.
    pub code: Option<String>,
    /// Share of the orders that it set off, or was the way in to, that have its code.
    #[serde(default)]
    pub redeemed: f64,
    /// The page that its visitors come from.
    pub referrer: Option<String>,
    /// The parameter of the landing page that the number of the campaign is read from.
    pub utm_id_from: Option<String>,
    /// What a visit costs at the usual volume, in euros.
    #[serde(default)]
    pub cost: f64,
    /// By how many per cent visits grow where spend grows by one.
    #[serde(default = "whole")]
    pub elasticity: f64,
}

fn whole() -> f64 {
    1.0
}

impl Channel {
    /// The source as reports name it.
    pub fn source(&self) -> &str {
        self.utm_source.as_deref().unwrap_or("direct")
    }

    /// The medium as reports name it.
    pub fn medium(&self) -> &str {
        let medium = self.utm_source.as_ref().and(self.utm_medium.as_deref());
        medium.unwrap_or("none")
    }

    /// Whether its visits cost something.
    pub fn is_paid(&self) -> bool {
        self.cost > 0.0
    }

    /// Its part of visits at a moment, relative to other channels; `passed` is the part of a
    /// person's time that has passed.
    pub(super) fn pull(&self, passed: f64) -> f64 {
        self.visits * (1.0 + self.tilt * (1.0 - 2.0 * passed))
    }
}

/// A world as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    half_life: String,
    gap: String,
    at_once: f64,
    delay: String,
    organic: f64,
    untracked: f64,
    customers: f64,
    dollars: f64,
    price: f64,
    #[serde(default)]
    subscriptions: f64,
    #[serde(default)]
    months: Vec<f64>,
    #[serde(default)]
    weekdays: Vec<f64>,
    #[serde(default)]
    codes: Vec<String>,
    #[serde(default)]
    redeemed: f64,
    channel: Vec<Channel>,
}

impl World {
    /// Reads a world from its file, or the usual one.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or understood, and numbers that cannot be meant.
    ///
    /// # Example
    ///
    /// ```
    /// use apportion::simulate::World;
    /// let world = World::read(None)?;
    /// assert_eq!(world.channels[0].source(), "direct");
    /// # Ok::<(), apportion::Error>(())
    /// ```
    pub fn read(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Self::parse(DEFAULT, Path::new("default.toml")) };
        let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
        Self::parse(&text, path)
    }

    /// Understands the text of a world; `path` is where it came from.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self> {
        let written: Written = toml::from_str(text).map_err(|source| Error::World {
            path: path.to_path_buf(),
            source: Box::new(source),
        })?;
        let time = |name: &str, text: &str| {
            let micros = parse_duration(text).filter(|micros| *micros > 0);
            micros.map(|micros| micros as f64).ok_or_else(|| {
                Error::setting(format!("{name} of the world"), text, "write days, such as `7d`")
            })
        };
        let world = Self {
            text: text.to_owned(),
            half_life: time("half_life", &written.half_life)?,
            gap: time("gap", &written.gap)?,
            at_once: written.at_once,
            delay: time("delay", &written.delay)?,
            organic: written.organic,
            untracked: written.untracked,
            customers: written.customers,
            dollars: written.dollars,
            price: 100.0 * written.price,
            subscriptions: written.subscriptions,
            months: written.months,
            weekdays: written.weekdays,
            codes: written.codes,
            redeemed: written.redeemed,
            channels: written.channel,
        };
        world.check()?;
        Ok(world)
    }

    /// An error if a number cannot be meant.
    fn check(&self) -> Result<()> {
        let shares = [
            ("at_once", self.at_once),
            ("organic", self.organic),
            ("untracked", self.untracked),
            ("customers", self.customers),
            ("dollars", self.dollars),
            ("subscriptions", self.subscriptions),
            ("redeemed", self.redeemed),
        ];
        for (name, share) in shares {
            within(name, share, 0.0, 1.0)?;
        }
        within("price", self.price / 100.0, 0.01, 1e6)?;
        for (name, weights, count) in
            [("months", &self.months, 12), ("weekdays", &self.weekdays, 7)]
        {
            if !weights.is_empty() && weights.len() != count {
                return Err(wrong(
                    name,
                    &weights.len(),
                    &format!("write {count} numbers, or none"),
                ));
            }
            for weight in weights {
                within(name, *weight, 0.01, 1e6)?;
            }
        }
        for channel in &self.channels {
            let place = |name: &str| format!("{name} of {}/{}", channel.source(), channel.medium());
            within(&place("visits"), channel.visits, 0.0, 1e6)?;
            within(&place("tilt"), channel.tilt, -1.0, 1.0)?;
            within(&place("interest"), channel.interest, 0.0, 100.0)?;
            within(&place("cold"), channel.cold, 0.0, 1e6)?;
            within(&place("warm"), channel.warm, 0.0, 1e6)?;
            within(&place("harvest"), channel.harvest, 0.0, 1.0)?;
            within(&place("views"), channel.views, 0.0, 1e3)?;
            within(&place("view_interest"), channel.view_interest, 0.0, 100.0)?;
            within(&place("typed"), channel.typed, 0.0, 1.0)?;
            within(&place("redeemed"), channel.redeemed, 0.0, 1.0)?;
            if channel.code.is_some() && channel.utm_source.is_none() {
                let why = "a code is handed out by somebody; name the `utm_source`";
                return Err(wrong(
                    &place("code"),
                    &channel.code.as_deref().unwrap_or_default(),
                    why,
                ));
            }
            within(&place("cost"), channel.cost, 0.0, 1e6)?;
            within(&place("elasticity"), channel.elasticity, 0.01, 1.0)?;
            if channel.campaigns.len() > usize::from(u8::MAX) {
                let why = "a channel has at most 255 campaigns";
                return Err(wrong(&place("campaigns"), &channel.campaigns.len(), why));
            }
        }
        let mut names: Vec<(&str, &str)> =
            self.channels.iter().map(|channel| (channel.source(), channel.medium())).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let name = format!("{}/{}", twice[0].0, twice[0].1);
            return Err(wrong("channel", &name, "it is there twice; a source and medium is one"));
        }
        if !(1..=MOST_CHANNELS).contains(&self.channels.len()) {
            let why = format!("a world has from 1 to {MOST_CHANNELS} of them");
            return Err(wrong("channel", &self.channels.len(), &why));
        }
        let codes = self.all_codes().count();
        if codes > MOST_CODES {
            let why = format!("a world has at most {MOST_CODES} of them");
            return Err(wrong("codes", &codes, &why));
        }
        let mut codes: Vec<&str> = self.all_codes().collect();
        codes.sort_unstable();
        if let Some([twice, _]) = codes.array_windows().find(|[left, right]| left == right) {
            let why = "it is there twice; a code is handed out in one place";
            return Err(wrong("code", twice, why));
        }
        let sums = |of: fn(&Channel) -> f64| self.channels.iter().map(of).sum::<f64>() > 0.0;
        if !sums(|channel| channel.visits * (1.0 - channel.tilt.abs())) {
            let why = "at least one channel needs visits at any time (a tilt between -1 and 1)";
            return Err(wrong("visits", &0, why));
        }
        if self.organic < 1.0 && !sums(|channel| channel.visits * (channel.cold + channel.warm)) {
            let why = "no channel causes an order: `organic = 1.0`, or give one a `cold` or `warm`";
            return Err(wrong("organic", &self.organic, why));
        }
        if self.untracked >= 1.0 {
            let why = "nobody would ever come; write less than 1";
            return Err(wrong("untracked", &self.untracked, why));
        }
        Ok(())
    }

    /// Every discount code: those of channels in their order, then those that name none.
    pub(super) fn all_codes(&self) -> impl Iterator<Item = &str> {
        let of_channels = self.channels.iter().filter_map(|channel| channel.code.as_deref());
        of_channels.chain(self.codes.iter().map(String::as_str))
    }

    /// Whether advertisements are seen that are not clicked.
    pub(super) fn has_views(&self) -> bool {
        self.channels.iter().any(|channel| channel.views > 0.0)
    }
}

fn wrong(name: &str, value: &dyn ToString, why: &str) -> Error {
    Error::setting(format!("{name} of the world"), value.to_string(), why)
}

fn within(name: &str, value: f64, least: f64, most: f64) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(wrong(name, &value, &format!("write a number from {least} to {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_cannot_be_meant_are_named_with_their_place() {
        World::read(None).unwrap();
        let wrong = |from: &str, to: &str| {
            assert!(DEFAULT.contains(from));
            World::parse(&DEFAULT.replacen(from, to, 1), Path::new("w.toml")).err().unwrap()
        };
        let error = wrong("elasticity = 0.6", "elasticity = 1.5").to_string();
        assert!(error.contains("elasticity of google/cpc") && error.contains("from 0.01 to 1"));
        assert!(wrong("organic = 0.35", "organic = nan").to_string().contains("from 0 to 1"));
        assert!(wrong("\"10d\"", "\"soon\"").to_string().contains("half_life"));
        assert!(wrong("\"tiktok\"", "\"facebook\"").to_string().contains("twice"));
        assert!(wrong("gap", "gaps").to_string().contains("w.toml"));
        let added = |line: &str| wrong("price =", &format!("{line}\nprice =")).to_string();
        assert!(added("months = [1, 2]").contains("write 12 numbers"));
        assert!(added("weekdays = [0, 1, 1, 1, 1, 1, 1]").contains("from 0.01"));
        assert!(added("codes = ['SALE', 'SALE']").contains("twice"));
        assert!(wrong("visits = 11", "visits = 11\ncode = 'A'").to_string().contains("utm_source"));
    }
}
