//! What a user can say of a run: the same words as flags and in `apportion.toml`.
//!
//! Nothing is checked here beyond its shape; [`Config`](crate::config::Config) makes sense of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use crate::channels::RuleText;
use crate::config::{DateBy, PartitionBy};
use crate::databases;
use crate::error::{Error, Result};
use crate::input::STANDARD_INPUT;
use crate::journeys::{DirectPolicy, MissingRate, ViewPolicy};
use crate::money::Units;
use crate::objects::{Address, conceal, is_address};
use crate::report::MeasureSet;
use crate::schema::Table;
use crate::vouchers::Origin;

/// What is done with cancelled orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Cancelled {
    /// They do not count, and do not end a window.
    #[default]
    Exclude,
    /// They count like others.
    Include,
}

/// What kind of place a domain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainType {
    /// A web site.
    Web,
    /// An app.
    App,
    /// A place on somebody else's site.
    Marketplace,
    /// Calls.
    Telephone,
    /// A shop with a door.
    Retail,
}

impl DomainType {
    /// The type's name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::App => "app",
            Self::Marketplace => "marketplace",
            Self::Telephone => "telephone",
            Self::Retail => "retail",
        }
    }
}

/// What is done to the letters of utm fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Normalize {
    /// They are folded to lower case.
    Lower,
}

/// The settings of a run as typed; a flag and a key of `apportion.toml` have the same name.
#[derive(Debug, Clone, Default, clap::Args, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[command(
    next_help_heading = "Inputs (files, folders or quoted globs; hive folders too; also s3:// gs:// az:// https://)"
)]
pub struct Settings {
    /// Sessions: one row a visit
    #[arg(long, value_name = "PATH", num_args = 1..)]
    #[serde(deserialize_with = "one_or_more_paths")]
    pub sessions: Vec<String>,
    /// Orders, or any other conversions
    #[arg(long, value_name = "PATH", num_args = 1..)]
    #[serde(deserialize_with = "one_or_more_paths")]
    pub orders: Vec<String>,
    /// What was bought in each order
    #[arg(long, value_name = "PATH", num_args = 1..)]
    #[serde(deserialize_with = "one_or_more_paths")]
    pub order_items: Vec<String>,
    /// User profiles
    #[arg(long, value_name = "PATH", num_args = 1..)]
    #[serde(deserialize_with = "one_or_more_paths")]
    pub users: Vec<String>,
    /// User aliases: which user id is another one
    #[arg(long, value_name = "PATH", num_args = 1..)]
    #[serde(deserialize_with = "one_or_more_paths")]
    pub aliases: Vec<String>,
    /// Ads that were seen and not clicked
    #[arg(long, value_name = "PATH", num_args = 1..)]
    #[serde(deserialize_with = "one_or_more_paths")]
    pub postviews: Vec<String>,
    /// Devices: type, browser and system
    #[arg(long, value_name = "PATH", num_args = 1..)]
    #[serde(deserialize_with = "one_or_more_paths")]
    pub devices: Vec<String>,
    /// What was paid for a source and medium on a day
    #[arg(long, value_name = "PATH", num_args = 1..)]
    #[serde(deserialize_with = "one_or_more_paths")]
    pub spend: Vec<String>,
    /// Daily exchange rates: units of a currency for one of the workspace's
    #[arg(long, value_name = "PATH", num_args = 1..)]
    #[serde(deserialize_with = "one_or_more_paths")]
    pub exchange_rates: Vec<String>,
    /// JSON items, one a line, plain or compressed; `-` is standard input
    #[arg(long, value_name = "PATH", num_args = 1..)]
    #[serde(deserialize_with = "one_or_more_paths")]
    pub items: Vec<String>,
    /// Take a column from one with another name; dots reach into structs
    #[arg(long, value_name = "TABLE.COLUMN=NAME", num_args = 1..)]
    #[serde(deserialize_with = "by_table")]
    pub column: Vec<String>,
    /// Set a column to one value in every row
    #[arg(long, value_name = "TABLE.COLUMN=VALUE", num_args = 1..)]
    #[serde(deserialize_with = "by_table")]
    pub set: Vec<String>,
    /// What integer, decimal and float amounts hold [default: integers minor, others major]
    #[arg(long, value_enum, value_name = "minor|major", hide_possible_values = true)]
    pub units: Option<Units>,
    /// Fold the letters of utm fields
    #[arg(long, value_enum, value_name = "lower", hide_possible_values = true)]
    pub normalize: Option<Normalize>,
    /// How many rows may be rejected before the run fails: a share or a number [default: 1%]
    #[arg(long, value_name = "SHARE|ROWS")]
    #[serde(deserialize_with = "number_or_text")]
    pub max_rejects: Option<String>,
    /// The run's clock; rows created later are rejected [default: now]
    #[arg(long, value_name = "TIME")]
    pub as_of: Option<String>,

    /// Models, with parameters: `last_click,time_decay:half_life=3d` [default: `last_click,linear,time_decay`]
    #[arg(long, value_name = "MODEL", value_delimiter = ',', num_args = 1.., help_heading = "Attribution")]
    #[serde(deserialize_with = "one_or_many")]
    pub model: Vec<String>,
    /// Try several values of a setting in one run: `lookback=30d,90d`, or a parameter of a model: `half_life=3d,7d`
    #[arg(long, value_name = "NAME=VALUES", num_args = 1.., help_heading = "Attribution")]
    #[serde(deserialize_with = "by_name")]
    pub sweep: Vec<String>,
    /// How long before an order a session counts, or `none` for ever [default: 90d]
    #[arg(long, value_name = "DURATION|none", help_heading = "Attribution")]
    pub lookback: Option<String>,
    /// How long before an order a view counts, or `none` for ever [default: 1d]
    #[arg(long, value_name = "DURATION|none", help_heading = "Attribution")]
    pub view_lookback: Option<String>,
    /// Which views count [default: first]
    #[arg(
        long,
        value_enum,
        value_name = "none|first|last|all",
        hide_possible_values = true,
        help_heading = "Attribution"
    )]
    pub views: Option<ViewPolicy>,
    /// Let a touch serve several orders: the previous order does not end the window
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Attribution")]
    pub overlap: Option<bool>,
    /// Whether direct touches count beside others [default: include]
    #[arg(
        long,
        value_enum,
        value_name = "include|skip",
        hide_possible_values = true,
        help_heading = "Attribution"
    )]
    pub direct: Option<DirectPolicy>,
    /// Whether cancelled orders count [default: exclude]
    #[arg(
        long,
        value_enum,
        value_name = "exclude|include",
        hide_possible_values = true,
        help_heading = "Attribution"
    )]
    pub cancelled: Option<Cancelled>,
    /// The orders' column that holds the amount [default: `subtotal_price`]
    #[arg(long, value_name = "COLUMN", help_heading = "Attribution")]
    pub amount: Option<String>,
    /// The workspace's currency: of rows that name none, and the one that rates lead to
    #[arg(long, value_name = "CODE", help_heading = "Attribution")]
    pub currency: Option<String>,
    /// What becomes of an order in a currency without a rate [default: fail]
    #[arg(
        long,
        value_enum,
        value_name = "fail|reject|keep",
        hide_possible_values = true,
        help_heading = "Attribution"
    )]
    pub missing_rate: Option<MissingRate>,
    /// Join users with the same `email`, `email_md5`, `email_sha1`, `email_sha256` or `telephone`
    #[arg(
        long,
        value_name = "KEY",
        value_delimiter = ',',
        num_args = 1..,
        help_heading = "Attribution"
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub reconcile: Vec<String>,
    /// Let aliases join two authenticated users
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Attribution")]
    pub merge_authenticated: Option<bool>,

    /// Replace every user id by its HMAC-SHA-256 under the salt of a file: no raw id is written anywhere
    #[arg(long, value_name = "SALT_FILE", help_heading = "Privacy")]
    pub hash_ids: Option<PathBuf>,
    /// Merge the report's lines of fewer persons than this into `(other)`, and keep the totals
    #[arg(long, value_name = "K", help_heading = "Privacy")]
    pub min_persons: Option<u64>,

    /// Dimensions of the report: session columns, order.COLUMN, item.COLUMN, day, week, month, or none
    /// [default: `utm_source,utm_medium`]
    #[arg(long, value_name = "DIMENSION", value_delimiter = ',', num_args = 1.., help_heading = "Report")]
    #[serde(deserialize_with = "one_or_many")]
    pub by: Vec<String>,
    /// Take only touches for which an SQL condition holds: "`utm_medium` <> 'sms'"
    #[arg(long, value_name = "SQL", help_heading = "Report")]
    pub where_touches: Option<String>,
    /// Report only orders for which an SQL condition holds
    #[arg(long, value_name = "SQL", help_heading = "Report")]
    pub where_orders: Option<String>,
    /// Report only persons for which an SQL condition on the persons table holds
    #[arg(long, value_name = "SQL", help_heading = "Report")]
    pub where_persons: Option<String>,
    /// The first day that is reported
    #[arg(long, value_name = "DATE", help_heading = "Report")]
    pub from: Option<String>,
    /// The last day that is reported
    #[arg(long, value_name = "DATE", help_heading = "Report")]
    pub to: Option<String>,
    /// Compare with as many days before, the same dates a year before, or other days
    #[arg(long, value_name = "previous_period|previous_year|DATE..DATE", help_heading = "Report")]
    pub compare: Option<String>,
    /// The usual measures, or all: roles in full, durations, page views, clicks [default: usual]
    #[arg(
        long,
        value_enum,
        value_name = "usual|all",
        hide_possible_values = true,
        help_heading = "Report"
    )]
    pub measures: Option<MeasureSet>,
    /// Date credits by the order, or by the touch [default: order]
    #[arg(
        long,
        value_enum,
        value_name = "order|touch",
        hide_possible_values = true,
        help_heading = "Report"
    )]
    pub date_by: Option<DateBy>,
    /// The IANA zone that days are counted in [default: UTC]
    #[arg(long, value_name = "ZONE", help_heading = "Report")]
    pub timezone: Option<String>,
    /// A session bounced unless it lasted so long [default: 15s]
    #[arg(long, value_name = "DURATION", help_heading = "Report")]
    pub bounce_duration: Option<String>,
    /// A session bounced unless it had more interactions than this [default: 1]
    #[arg(long, value_name = "COUNT", help_heading = "Report")]
    pub bounce_interactions: Option<f64>,
    /// Say how uncertain each figure is: an interval, from so many resamples of persons
    #[arg(long, value_name = "N", help_heading = "Report")]
    pub bootstrap: Option<usize>,
    /// What resamples are drawn by: the same seed gives the same bytes [default: 1]
    #[arg(long, value_name = "S", help_heading = "Report")]
    pub seed: Option<u64>,
    /// The part of the resamples that an interval holds [default: 0.95]
    #[arg(long, value_name = "PART", help_heading = "Report")]
    #[serde(deserialize_with = "number_or_text")]
    pub level: Option<String>,
    /// Put the models side by side
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Report")]
    pub wide: Option<bool>,

    /// The report's format [default: table, or what the name of the output says]
    #[arg(
        long,
        value_name = "FORMAT",
        help_heading = "Outputs (other formats by the file's name: .parquet .csv .ndjson .json .arrow .md .html)"
    )]
    pub format: Option<String>,
    /// Write the report here [default: standard output]; a database (`postgres://USER@HOST/NAME`,
    /// `sqlite:PATH`, `duckdb:PATH`) is loaded with the report and the credits
    #[arg(
        short,
        long,
        value_name = "PATH",
        help_heading = "Outputs (other formats by the file's name: .parquet .csv .ndjson .json .arrow .md .html)"
    )]
    pub output: Option<PathBuf>,
    /// Write every touch's credit under every model
    #[arg(
        long,
        value_name = "PATH",
        help_heading = "Outputs (other formats by the file's name: .parquet .csv .ndjson .json .arrow .md .html)"
    )]
    pub credits: Option<PathBuf>,
    /// Write every order's journey
    #[arg(
        long,
        value_name = "PATH",
        help_heading = "Outputs (other formats by the file's name: .parquet .csv .ndjson .json .arrow .md .html)"
    )]
    pub journeys: Option<PathBuf>,
    /// Write what is known of orders alone: carts, repeat orders, times, devices
    #[arg(
        long,
        value_name = "PATH",
        help_heading = "Outputs (other formats by the file's name: .parquet .csv .ndjson .json .arrow .md .html)"
    )]
    pub orders_report: Option<PathBuf>,
    /// Write where spend and sessions do not meet
    #[arg(
        long,
        value_name = "PATH",
        help_heading = "Outputs (other formats by the file's name: .parquet .csv .ndjson .json .arrow .md .html)"
    )]
    pub spend_gaps: Option<PathBuf>,
    /// Write how likely each line ranks above each other one; needs --bootstrap
    #[arg(
        long,
        value_name = "PATH",
        help_heading = "Outputs (other formats by the file's name: .parquet .csv .ndjson .json .arrow .md .html)"
    )]
    pub ranks: Option<PathBuf>,
    /// Write what models that learn say of channels, beside what they credit
    #[arg(
        long,
        value_name = "PATH",
        help_heading = "Outputs (other formats by the file's name: .parquet .csv .ndjson .json .arrow .md .html)"
    )]
    pub effects: Option<PathBuf>,
    /// Write how often each path of channels ended in an order, and how often in none
    #[arg(
        long,
        value_name = "PATH",
        help_heading = "Outputs (other formats by the file's name: .parquet .csv .ndjson .json .arrow .md .html)"
    )]
    pub paths: Option<PathBuf>,
    /// Write the least and the greatest that each figure is in a sweep
    #[arg(
        long,
        value_name = "PATH",
        help_heading = "Outputs (other formats by the file's name: .parquet .csv .ndjson .json .arrow .md)"
    )]
    pub ranges: Option<PathBuf>,
    /// Write which lines a sweep makes worth their cost or not, and how their ranks change
    #[arg(
        long,
        value_name = "PATH",
        help_heading = "Outputs (other formats by the file's name: .parquet .csv .ndjson .json .arrow .md)"
    )]
    pub decisions: Option<PathBuf>,
    /// Write every person
    #[arg(
        long,
        value_name = "PATH",
        help_heading = "Outputs (other formats by the file's name: .parquet .csv .ndjson .json .arrow .md .html)"
    )]
    pub persons: Option<PathBuf>,
    /// Write how every user id came to its person
    #[arg(
        long,
        value_name = "PATH",
        help_heading = "Outputs (other formats by the file's name: .parquet .csv .ndjson .json .arrow .md .html)"
    )]
    pub identity: Option<PathBuf>,
    /// Write every rejected row
    #[arg(
        long,
        value_name = "PATH",
        help_heading = "Outputs (other formats by the file's name: .parquet .csv .ndjson .json .arrow .md .html)"
    )]
    pub rejects: Option<PathBuf>,
    /// Write the run's summary with its proof sheet, as JSON
    #[arg(
        long,
        value_name = "PATH",
        help_heading = "Outputs (other formats by the file's name: .parquet .csv .ndjson .json .arrow .md .html)"
    )]
    pub summary: Option<PathBuf>,
    /// Keep the run in a folder: its tables as Parquet and its settings, for `apportion query --run`
    #[arg(
        long,
        value_name = "FOLDER",
        help_heading = "Outputs (other formats by the file's name: .parquet .csv .ndjson .json .arrow .md)"
    )]
    pub keep: Option<PathBuf>,
    /// Put the run in a store: a folder of runs, of which the next works out again only what has changed
    #[arg(
        long,
        value_name = "FOLDER",
        help_heading = "Outputs (other formats by the file's name: .parquet .csv .ndjson .json .arrow .md)"
    )]
    pub store: Option<PathBuf>,
    /// Divide credits, journeys and report into folders of Parquet: those whose place has no ending
    #[arg(
        long,
        value_enum,
        value_name = "day|month",
        hide_possible_values = true,
        help_heading = "Outputs (other formats by the file's name: .parquet .csv .ndjson .json .arrow .md)"
    )]
    pub partition_by: Option<PartitionBy>,

    /// With --store: work everything out again, whatever has changed
    #[arg(long, help_heading = "Running")]
    #[serde(skip)]
    pub full: bool,
    /// With --store: how long to wait for another run that writes to it, such as 10m [default: not at all]
    #[arg(long, value_name = "DURATION", help_heading = "Running")]
    pub store_wait: Option<String>,
    /// Threads to work on [default: all cores]
    #[arg(long, value_name = "N", help_heading = "Running")]
    pub threads: Option<usize>,
    /// Memory to keep within, such as 2GiB: touches wait on disk where they would go beyond it
    #[arg(long, value_name = "SIZE", help_heading = "Running")]
    pub memory_limit: Option<String>,

    /// Where the orders whose journey identity changed are written; only `apportion identity` asks.
    #[arg(skip)]
    #[serde(skip)]
    pub changed: Option<PathBuf>,
    /// The workspace's own channels, before the default ones.
    #[arg(skip)]
    pub channel: Vec<RuleText>,
    /// Whether the default channels follow.
    #[arg(skip)]
    pub default_channels: Option<bool>,
    /// What kind of place each domain is.
    #[arg(skip)]
    pub domains: BTreeMap<String, DomainType>,
    /// What discount codes say of where an order came from.
    #[arg(skip)]
    pub vouchers: BTreeMap<String, Origin>,
    /// The workspace's own models: a set of parameters under a name of its own.
    #[arg(skip)]
    #[serde(deserialize_with = "named_models")]
    pub models: BTreeMap<String, BTreeMap<String, String>>,
}

impl Settings {
    /// Reads a workspace file; paths in it are relative to its folder.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
        let mut settings: Self = toml::from_str(&text).map_err(|source| Error::Workspace {
            path: path.to_path_buf(),
            source: Box::new(source),
        })?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        for paths in settings.inputs_mut() {
            let is_file = |input: &&mut String| *input != STANDARD_INPUT && !is_address(input);
            for input in paths.iter_mut().filter(is_file) {
                *input = folder.join(&*input).to_string_lossy().into_owned();
            }
        }
        for output in settings.outputs_mut().into_iter().flatten() {
            if !is_address(&output.to_string_lossy()) {
                *output = databases::beside(folder, output);
            }
        }
        settings.hash_ids = settings.hash_ids.map(|salt| folder.join(salt));
        Ok(settings)
    }

    /// Settings by the names of their keys, from whoever has no file of them.
    ///
    /// # Errors
    ///
    /// A name that is none; a value that its setting cannot have.
    ///
    /// # Example
    ///
    /// ```
    /// use apportion::config::Settings;
    /// let settings = toml::toml! { lookback = "30d" };
    /// assert_eq!(Settings::from_keys(settings)?.lookback.as_deref(), Some("30d"));
    /// let misspelt = toml::toml! { lookbak = "30d" };
    /// let said = Settings::from_keys(misspelt).unwrap_err().to_string();
    /// assert_eq!(said, "no setting is named `lookbak`");
    /// # Ok::<(), apportion::Error>(())
    /// ```
    pub fn from_keys(keys: toml::Table) -> Result<Self> {
        let known = Self::names();
        for (name, value) in &keys {
            if !known.contains(name) {
                return Err(Error::Unknown { kind: "setting", name: name.clone(), known });
            }
            let one = toml::Table::from_iter([(name.clone(), value.clone())]);
            if let Err(error) = one.try_into::<Self>() {
                return Err(Error::setting(name, value.to_string(), error.message()));
            }
        }
        let wrong = |error: toml::de::Error| Error::Contradiction(error.message().to_owned());
        keys.try_into().map_err(wrong)
    }

    /// The settings as text that `from_text` reads, with paths as they are.
    ///
    /// # Errors
    ///
    /// A path that is no text.
    pub fn to_text(&self) -> Result<String> {
        let unsaid = |error: toml::ser::Error| {
            Error::Contradiction(format!("a setting is no text: {error}"))
        };
        toml::to_string(self).map_err(unsaid)
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    ///
    /// # Errors
    ///
    /// Text that is none of settings.
    pub fn from_text(text: &str) -> Result<Self> {
        let wrong = |error: toml::de::Error| Error::Contradiction(error.message().to_owned());
        toml::from_str(text).map_err(wrong)
    }

    /// The names of all settings that a workspace file can have.
    pub fn names() -> Vec<String> {
        match serde_json::to_value(Self::default()) {
            Ok(serde_json::Value::Object(keys)) => keys.into_iter().map(|(name, _)| name).collect(),
            Ok(_) | Err(_) => Vec::new(),
        }
    }

    /// Takes out of every address what it says of who is asking: it is remembered where requests are
    /// made, and nothing after this shows it.
    ///
    /// # Errors
    ///
    /// An address that cannot be understood.
    pub(crate) fn conceal(&mut self) -> Result<()> {
        let inputs = self.inputs_mut().into_iter().flatten();
        for input in inputs.filter(|input| is_address(input)) {
            *input = Address::parse(input)?.to_string();
        }
        for output in self.outputs_mut().into_iter().flatten() {
            *output = conceal(output)?;
        }
        Ok(())
    }

    /// These settings, with what they leave open taken from `file`.
    ///
    /// Mappings add up: those that come last win, which are these.
    #[must_use]
    pub fn over(mut self, file: Self) -> Self {
        fn many<T>(flag: Vec<T>, file: Vec<T>) -> Vec<T> {
            if flag.is_empty() { file } else { flag }
        }
        fn named<T>(flags: BTreeMap<String, T>, file: BTreeMap<String, T>) -> BTreeMap<String, T> {
            file.into_iter().chain(flags).collect()
        }
        // What a flag says of a column replaces all that the file says of it.
        let target = |text: &String| text.split('=').next().map(str::to_owned);
        let flagged: Vec<_> = self.column.iter().chain(&self.set).map(target).collect();
        let kept = |texts: Vec<String>| {
            texts.into_iter().filter(|text| !flagged.contains(&target(text))).collect::<Vec<_>>()
        };
        let (mut column, mut set) = (kept(file.column), kept(file.set));
        column.append(&mut self.column);
        set.append(&mut self.set);
        Self {
            sessions: many(self.sessions, file.sessions),
            orders: many(self.orders, file.orders),
            order_items: many(self.order_items, file.order_items),
            users: many(self.users, file.users),
            aliases: many(self.aliases, file.aliases),
            postviews: many(self.postviews, file.postviews),
            devices: many(self.devices, file.devices),
            spend: many(self.spend, file.spend),
            exchange_rates: many(self.exchange_rates, file.exchange_rates),
            items: many(self.items, file.items),
            column,
            set,
            units: self.units.or(file.units),
            normalize: self.normalize.or(file.normalize),
            max_rejects: self.max_rejects.or(file.max_rejects),
            as_of: self.as_of.or(file.as_of),
            model: many(self.model, file.model),
            sweep: many(self.sweep, file.sweep),
            lookback: self.lookback.or(file.lookback),
            view_lookback: self.view_lookback.or(file.view_lookback),
            views: self.views.or(file.views),
            overlap: self.overlap.or(file.overlap),
            direct: self.direct.or(file.direct),
            cancelled: self.cancelled.or(file.cancelled),
            amount: self.amount.or(file.amount),
            currency: self.currency.or(file.currency),
            missing_rate: self.missing_rate.or(file.missing_rate),
            merge_authenticated: self.merge_authenticated.or(file.merge_authenticated),
            reconcile: many(self.reconcile, file.reconcile),
            hash_ids: self.hash_ids.or(file.hash_ids),
            min_persons: self.min_persons.or(file.min_persons),
            by: many(self.by, file.by),
            where_touches: self.where_touches.or(file.where_touches),
            where_orders: self.where_orders.or(file.where_orders),
            where_persons: self.where_persons.or(file.where_persons),
            from: self.from.or(file.from),
            to: self.to.or(file.to),
            compare: self.compare.or(file.compare),
            measures: self.measures.or(file.measures),
            date_by: self.date_by.or(file.date_by),
            timezone: self.timezone.or(file.timezone),
            bounce_duration: self.bounce_duration.or(file.bounce_duration),
            bounce_interactions: self.bounce_interactions.or(file.bounce_interactions),
            bootstrap: self.bootstrap.or(file.bootstrap),
            seed: self.seed.or(file.seed),
            level: self.level.or(file.level),
            wide: self.wide.or(file.wide),
            format: self.format.or(file.format),
            output: self.output.or(file.output),
            credits: self.credits.or(file.credits),
            journeys: self.journeys.or(file.journeys),
            orders_report: self.orders_report.or(file.orders_report),
            spend_gaps: self.spend_gaps.or(file.spend_gaps),
            ranks: self.ranks.or(file.ranks),
            effects: self.effects.or(file.effects),
            paths: self.paths.or(file.paths),
            ranges: self.ranges.or(file.ranges),
            decisions: self.decisions.or(file.decisions),
            persons: self.persons.or(file.persons),
            identity: self.identity.or(file.identity),
            rejects: self.rejects.or(file.rejects),
            summary: self.summary.or(file.summary),
            keep: self.keep.or(file.keep),
            store: self.store.or(file.store),
            store_wait: self.store_wait.or(file.store_wait),
            full: self.full,
            partition_by: self.partition_by.or(file.partition_by),
            threads: self.threads.or(file.threads),
            memory_limit: self.memory_limit.or(file.memory_limit),
            changed: self.changed,
            channel: many(self.channel, file.channel),
            default_channels: self.default_channels.or(file.default_channels),
            domains: named(self.domains, file.domains),
            vouchers: named(self.vouchers, file.vouchers),
            models: named(self.models, file.models),
        }
    }

    /// The paths that are given for a table.
    pub fn paths_of(&mut self, table: Table) -> &mut Vec<String> {
        match table {
            Table::Sessions => &mut self.sessions,
            Table::Postviews => &mut self.postviews,
            Table::Orders => &mut self.orders,
            Table::OrderItems => &mut self.order_items,
            Table::Users => &mut self.users,
            Table::UserAliases => &mut self.aliases,
            Table::Devices => &mut self.devices,
            Table::Spend => &mut self.spend,
            Table::ExchangeRates => &mut self.exchange_rates,
            Table::Items => &mut self.items,
        }
    }

    fn inputs_mut(&mut self) -> [&mut Vec<String>; 10] {
        [
            &mut self.sessions,
            &mut self.orders,
            &mut self.order_items,
            &mut self.users,
            &mut self.aliases,
            &mut self.postviews,
            &mut self.devices,
            &mut self.spend,
            &mut self.exchange_rates,
            &mut self.items,
        ]
    }

    /// The flags of the inputs that are named.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        let inputs = [
            ("sessions", &self.sessions),
            ("orders", &self.orders),
            ("order-items", &self.order_items),
            ("users", &self.users),
            ("aliases", &self.aliases),
            ("postviews", &self.postviews),
            ("devices", &self.devices),
            ("spend", &self.spend),
            ("exchange-rates", &self.exchange_rates),
            ("items", &self.items),
        ];
        let given = inputs.into_iter().filter(|(_, paths)| !paths.is_empty());
        given.map(|(flag, _)| flag).collect()
    }

    /// Forgets every place that something is to be written to.
    pub fn forget_outputs(&mut self) {
        self.outputs_mut().into_iter().for_each(|output| *output = None);
    }

    fn outputs_mut(&mut self) -> [&mut Option<PathBuf>; 16] {
        [
            &mut self.output,
            &mut self.credits,
            &mut self.journeys,
            &mut self.orders_report,
            &mut self.spend_gaps,
            &mut self.ranks,
            &mut self.effects,
            &mut self.paths,
            &mut self.ranges,
            &mut self.decisions,
            &mut self.persons,
            &mut self.identity,
            &mut self.rejects,
            &mut self.summary,
            &mut self.keep,
            &mut self.store,
        ]
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// A list of paths, or one path; a comma is part of its name.
fn one_or_more_paths<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

/// A list, or text that is divided by commas like a flag's.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => one.split(',').map(|part| part.trim().to_owned()).collect(),
        OneOrMany::Many(many) => many,
    })
}

/// A number, or text that says one.
fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Some(text_of(&toml::Value::deserialize(deserializer)?)))
}

/// What flags say, or keys that say the same.
#[derive(Deserialize)]
#[serde(untagged)]
enum FlagsOr<T> {
    Flags(Vec<String>),
    Keys(BTreeMap<String, T>),
}

/// `[column.sessions]` with `user_external_id = "user_id"`, as a flag would say it; or what flags say.
fn by_table<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let tables = match FlagsOr::<BTreeMap<String, toml::Value>>::deserialize(deserializer)? {
        FlagsOr::Flags(flags) => return Ok(flags),
        FlagsOr::Keys(tables) => tables,
    };
    let of_table = |(table, columns): (String, BTreeMap<String, toml::Value>)| {
        columns
            .into_iter()
            .map(|(column, value)| format!("{table}.{column}={}", text_of(&value)))
            .collect::<Vec<_>>()
    };
    Ok(tables.into_iter().flat_map(of_table).collect())
}

/// `[sweep]` with lists of values, in the order of the names, as a flag would say each; or what flags
/// say.
fn by_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let lists = match FlagsOr::<toml::Value>::deserialize(deserializer)? {
        FlagsOr::Flags(flags) => return Ok(flags),
        FlagsOr::Keys(lists) => lists,
    };
    let text = |(name, values): (String, toml::Value)| {
        let values = match values {
            toml::Value::Array(values) => values.iter().map(text_of).collect::<Vec<_>>().join(","),
            one => text_of(&one),
        };
        format!("{name}={values}")
    };
    Ok(lists.into_iter().map(text).collect())
}

/// `[models.NAME]` with parameters; lists of weights become what a flag would say.
fn named_models<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, BTreeMap<String, String>>, D::Error> {
    let models = BTreeMap::<String, BTreeMap<String, toml::Value>>::deserialize(deserializer)?;
    let texts = |parameters: BTreeMap<String, toml::Value>| {
        parameters.into_iter().map(|(name, value)| (name, text_of(&value))).collect()
    };
    Ok(models.into_iter().map(|(name, parameters)| (name, texts(parameters))).collect())
}

fn text_of(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(values) => values.iter().map(text_of).collect::<Vec<_>>().join("/"),
        other => other.to_string(),
    }
}
