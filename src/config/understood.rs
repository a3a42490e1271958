//! The settings of a run as they are understood: in the words of `apportion.toml`, with every default
//! filled in.
//!
//! For whoever reads later what was asked, and compares it with what was asked another time. Not for
//! the run itself, which goes by [`Config`](crate::config::Config).

use serde_json::{Map, Value};

use crate::calendar::format_micros;
use crate::config::{DEFAULT_BY, Settings};
use crate::error::{Error, Result};
use crate::ids::Pseudonyms;
use crate::models;
use crate::money::Currency;

/// Settings under the names of their keys: what they leave open has its default, what has none is
/// not there, and neither is what the answer does not depend on (where it is written, and on how many
/// threads).
pub(super) fn understood(
    settings: &Settings,
    pseudonyms: Option<&Pseudonyms>,
    as_of: i64,
) -> Result<Map<String, Value>> {
    let mut all = settings.clone();
    // Not where the salt lies, but which it is.
    all.hash_ids = pseudonyms.map(|pseudonyms| pseudonyms.fingerprint().into());
    all.forget_outputs();
    (all.threads, all.memory_limit, all.format) = (None, None, None);
    all.store_wait = None;
    all.partition_by = None;
    let text = |value: &mut Option<String>, default: &str| {
        value.get_or_insert_with(|| default.to_owned());
    };
    text(&mut all.max_rejects, "1%");
    text(&mut all.lookback, "90d");
    text(&mut all.view_lookback, "1d");
    text(&mut all.amount, crate::pipeline::DEFAULT_AMOUNT);
    text(&mut all.currency, Currency::NONE.code());
    text(&mut all.timezone, "UTC");
    text(&mut all.bounce_duration, "15s");
    all.as_of = Some(format_micros(as_of));
    all.views.get_or_insert_default();
    all.direct.get_or_insert_default();
    all.cancelled.get_or_insert_default();
    if !all.exchange_rates.is_empty() {
        all.missing_rate.get_or_insert_default();
    }
    all.measures.get_or_insert_default();
    all.date_by.get_or_insert_default();
    all.overlap.get_or_insert(false);
    all.merge_authenticated.get_or_insert(false);
    all.default_channels.get_or_insert(true);
    all.bounce_interactions.get_or_insert(1.0);
    all.wide.get_or_insert(false);
    if all.model.is_empty() {
        all.model = models::DEFAULT.map(str::to_owned).to_vec();
    }
    if all.by.is_empty() {
        all.by = DEFAULT_BY.map(str::to_owned).to_vec();
    }
    let written = serde_json::to_value(&all);
    match written.map_err(|error| Error::Output { format: "json", why: error.to_string() })? {
        Value::Object(mut keys) => {
            keys.retain(|_, value| !is_open(value));
            Ok(keys)
        }
        _ => Ok(Map::new()),
    }
}

/// Whether a key says nothing.
fn is_open(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(keys) => keys.is_empty(),
        _ => false,
    }
}
