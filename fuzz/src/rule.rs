//! Channel rules with their regular expressions, and touches that they look at.

use apportion::channels::{Channels, ConditionText, RuleText};

#[derive(Default)]
struct Rules(Vec<RuleText>);

/// Reads the rules of a workspace file's `[[channel]]` and classifies touches by them.
pub fn run(data: &[u8]) -> String {
    let text = String::from_utf8_lossy(data);
    let parsed = toml::from_str::<toml::Table>(&text).ok().and_then(|mut table| {
        let rules = table.remove("channel")?.try_into::<Vec<RuleText>>().ok()?;
        Some(Rules(rules))
    });
    // Text that is no file is a pattern.
    let rules = parsed.unwrap_or_else(|| {
        let condition = ConditionText {
            field: "utm_source".to_owned(),
            regex: Some(text.clone().into_owned()),
            ..ConditionText::default()
        };
        let name = || "own".to_owned();
        Rules(vec![RuleText { name: name(), group: name(), when: vec![condition] }])
    });
    let channels = match Channels::new(&rules.0, true) {
        Ok(channels) => channels,
        Err(error) => return crate::outcome::<()>(Err(error)),
    };
    let long = "aA\u{fc}".repeat(5_000);
    let mut taken = String::new();
    for value in ["google", "", &text, &long] {
        let found = channels.classify(&|_| value);
        taken.push(if found.is_some() { 'y' } else { 'n' });
    }
    taken
}
