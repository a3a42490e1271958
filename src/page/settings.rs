//! The settings of a run in the words of `apportion.toml`, as far as its figures depend on them.
//!
//! Not where files lie: a page is sent to people whom that does not concern. Not the clock either,
//! which would make every page another one.

use serde_json::{Map, Value};

/// What is left out: inputs, the clock, and how a terminal shows it.
const LEFT_OUT: [&str; 12] = [
    "sessions",
    "orders",
    "order_items",
    "users",
    "aliases",
    "postviews",
    "devices",
    "spend",
    "exchange_rates",
    "items",
    "as_of",
    "wide",
];

/// Names and values, with defaults filled in.
pub(super) fn told(understood: &Map<String, Value>) -> Vec<(String, String)> {
    let kept = understood.iter().filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()));
    kept.map(|(name, value)| (name.clone(), text(value))).collect()
}

/// A value as it is read: lists of texts without brackets.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) if values.iter().all(Value::is_string) => {
            values.iter().map(text).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings};

    #[test]
    fn settings_are_told_with_their_defaults_and_without_paths() {
        let settings = Settings {
            lookback: Some("12h".into()),
            sessions: vec!["/home/me/sessions.parquet".into()],
            ..Settings::default()
        };
        let told = told(&Config::new(settings, 0).unwrap().understood);
        let of = |name: &str| &told.iter().find(|(known, _)| known == name).unwrap().1;
        assert_eq!((of("lookback"), of("view_lookback")), (&"12h".to_owned(), &"1d".to_owned()));
        assert_eq!((of("views"), of("cancelled")), (&"first".to_owned(), &"exclude".to_owned()));
        assert_eq!(of("model"), "last_click, linear, time_decay");
        assert!(told.iter().all(|(name, value)| name != "as_of" && !value.contains("/home")));
    }
}
