//! Which channel a touch belongs to: rules over its origin, in priority order.
//!
//! The workspace's own rules come first, then the default ones (`default.toml`), which know sources
//! by category (`sources.toml`). Matching knows no case. In either set a rule that asks for a campaign
//! wins over one that does not, and of each class the first that matches holds. Not for filling in sources and
//! mediums; that is `touchpoints`.

mod rule;

use std::sync::Arc;

use arrow::array::{RecordBatch, StringViewArray};

pub use rule::{ConditionText, RuleText};

use crate::error::Result;
use crate::journeys::{Labels, NOT_SET, combine};
use crate::touchpoints::with_column;
use rule::{Field, Rule, Sources};

/// The columns that channels add to a touch.
pub const COLUMNS: [&str; 2] = ["channel", "channel_group"];

/// The channel of a touch that no rule takes.
pub const NOT_MAPPED: &str = "not-mapped";

const DEFAULT_RULES: &str = include_str!("default.toml");

/// Rules in priority order.
#[derive(Debug, Clone)]
pub struct Channels {
    rules: Vec<Rule>,
}

impl Channels {
    /// Rules from the workspace's own, followed by the default ones where those are wanted.
    ///
    /// # Errors
    ///
    /// A rule that names an unknown field, category or operator, or whose pattern is not valid.
    pub fn new(own: &[RuleText], default: bool) -> Result<Self> {
        let sources = Sources::read()?;
        let ready = |texts: &[RuleText]| -> Result<Vec<Rule>> {
            let rules: Result<Vec<Rule>> =
                texts.iter().map(|text| Rule::new(text, &sources)).collect();
            let mut rules = rules?;
            // Stable: within each class the order given is the priority.
            rules.sort_by_key(|rule| !rule.asks_for_campaign());
            Ok(rules)
        };
        let mut rules = ready(own)?;
        if default {
            rules.extend(ready(&rule::read(DEFAULT_RULES)?)?);
        }
        Ok(Self { rules })
    }

    /// The columns that the rules look at.
    pub fn columns(&self) -> Vec<&'static str> {
        let looked_at = |field: &Field| self.rules.iter().any(|rule| rule.looks_at(*field));
        Field::ALL.into_iter().filter(looked_at).map(Field::column).collect()
    }

    /// The channel and the group of a touch; `value` gives the touch's columns, missing ones empty.
    ///
    /// # Example
    ///
    /// ```
    /// use apportion::channels::Channels;
    /// let channels = Channels::new(&[], true)?;
    /// let touch = |column: &str| match column {
    ///     "utm_source" => "Google",
    ///     "utm_medium" => "CPC",
    ///     _ => "",
    /// };
    /// assert_eq!(channels.classify(&touch), Some(("Paid Search", "Paid")));
    /// # Ok::<(), apportion::Error>(())
    /// ```
    pub fn classify<'v>(&self, value: &dyn Fn(&str) -> &'v str) -> Option<(&str, &str)> {
        let rule = self.rules.iter().find(|rule| rule.matches(value))?;
        Some((&rule.name, &rule.group))
    }
}

/// Adds `channel` and `channel_group` to touches: once per distinct combination of what the rules
/// look at.
///
/// A touch that no rule takes keeps its source and medium: `not-mapped: partner / banner`.
pub fn with_channels(touches: &RecordBatch, channels: &Channels) -> Result<RecordBatch> {
    let mut columns: Vec<&str> = vec!["utm_source", "utm_medium"];
    let more = channels.columns().into_iter();
    columns.extend(more.filter(|name| !["utm_source", "utm_medium"].contains(name)));
    let labels: Vec<Labels> =
        columns.iter().map(|column| Labels::of_column(touches, column)).collect();
    let combined = combine(&labels, touches.num_rows());
    let classified: Vec<(String, String)> = combined
        .values
        .iter()
        .map(|values| {
            let value = |name: &str| {
                let at = columns.iter().position(|column| *column == name);
                at.map(|at| values[at].as_str()).filter(|value| *value != NOT_SET).unwrap_or("")
            };
            let known = channels
                .classify(&value)
                .map(|(channel, group)| (channel.to_owned(), group.to_owned()));
            known.unwrap_or_else(|| {
                let channel = format!("{NOT_MAPPED}: {} / {}", values[0], values[1]);
                (channel, NOT_MAPPED.to_owned())
            })
        })
        .collect();
    let of_rows = |part: &dyn Fn(&(String, String)) -> &String| {
        let values = combined.codes.iter().map(|code| Some(part(&classified[*code as usize])));
        Arc::new(values.collect::<StringViewArray>())
    };
    let touches = with_column(touches, COLUMNS[0], of_rows(&|(channel, _)| channel))?;
    with_column(&touches, COLUMNS[1], of_rows(&|(_, group)| group))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(channels: &Channels, source: &str, medium: &str, campaign: &str) -> String {
        let value = |column: &str| match column {
            "utm_source" => source.to_owned(),
            "utm_medium" => medium.to_owned(),
            "utm_campaign" => campaign.to_owned(),
            _ => String::new(),
        };
        let touch = [value("utm_source"), value("utm_medium"), value("utm_campaign")];
        let borrowed = |column: &str| match column {
            "utm_source" => touch[0].as_str(),
            "utm_medium" => touch[1].as_str(),
            "utm_campaign" => touch[2].as_str(),
            _ => "",
        };
        channels.classify(&borrowed).map_or(NOT_MAPPED, |(channel, _)| channel).to_owned()
    }

    /// Source, medium, campaign and channel, after the published default channel grouping of Google
    /// Analytics 4.
    const CASES: &[(&str, &str, &str, &str)] = &[
        ("direct", "none", "", "Direct"),
        ("(direct)", "(none)", "", "Direct"),
        ("Direct", "(not set)", "", "Direct"),
        ("google", "cpc", "cross-network", "Cross-network"),
        ("GOOGLE", "CPC", "Spring Cross-Network 2024", "Cross-network"),
        ("google", "cpc", "Shopping | shoes", "Paid Shopping"),
        ("google", "ppc", "shop", "Paid Shopping"),
        ("amazon", "cpc", "", "Paid Shopping"),
        ("ebay.com", "retargeting", "", "Paid Shopping"),
        ("Etsy", "paid_search", "", "Paid Shopping"),
        ("google", "cpc", "", "Paid Search"),
        ("Google", "PPC", "brand", "Paid Search"),
        ("bing", "cpc", "", "Paid Search"),
        ("yahoo", "paidsearch", "", "Paid Search"),
        ("duckduckgo", "cpm", "", "Paid Search"),
        ("baidu", "paid", "", "Paid Search"),
        ("ecosia.org", "cpc", "workshop", "Paid Search"),
        ("facebook", "cpc", "", "Paid Social"),
        ("facebook", "paid_social", "", "Paid Social"),
        ("Instagram", "Paid-Social", "", "Paid Social"),
        ("linkedin", "ppc", "", "Paid Social"),
        ("tiktok", "paid", "", "Paid Social"),
        ("pinterest.com", "retargeting", "", "Paid Social"),
        ("youtube", "cpc", "", "Paid Video"),
        ("YouTube.com", "paid_video", "", "Paid Video"),
        ("vimeo", "ppc", "", "Paid Video"),
        ("twitch", "cpv", "", "Paid Video"),
        ("criteo", "display", "", "Display"),
        ("dv360", "Banner", "", "Display"),
        ("criteo", "display", "Shopping week", "Display"),
        ("dbm", "cpm", "", "Display"),
        ("teads", "interstitial", "", "Display"),
        ("taboola", "expandable", "", "Display"),
        ("someblog", "cpc", "", "Paid Other"),
        ("partnernet", "paid-listing", "", "Paid Other"),
        ("unknown-network", "retargeting", "", "Paid Other"),
        ("amazon", "referral", "", "Organic Shopping"),
        ("walmart", "organic", "", "Organic Shopping"),
        ("newsite", "referral", "online shopping guide", "Organic Shopping"),
        ("facebook", "referral", "", "Organic Social"),
        ("m.facebook.com", "referral", "", "Organic Social"),
        ("Twitter", "social", "", "Organic Social"),
        ("anything", "social-network", "", "Organic Social"),
        ("anything", "Social Media", "", "Organic Social"),
        ("reddit.com", "referral", "", "Organic Social"),
        ("youtube", "referral", "", "Organic Video"),
        ("someone", "video", "", "Organic Video"),
        ("someone", "my-video-ad", "", "Organic Video"),
        ("google", "organic", "", "Organic Search"),
        ("Bing", "Organic", "", "Organic Search"),
        ("duckduckgo", "referral", "", "Organic Search"),
        ("unlisted-engine", "organic", "", "Organic Search"),
        ("chatgpt.com", "referral", "", "AI Assistant"),
        ("Perplexity", "referral", "", "AI Assistant"),
        ("gemini.google.com", "referral", "", "AI Assistant"),
        ("claude.ai", "none", "", "AI Assistant"),
        ("blog.example.net", "referral", "", "Referral"),
        ("someapp", "app", "", "Referral"),
        ("somesite", "link", "", "Referral"),
        ("newsletter", "email", "", "Email"),
        ("crm", "E-Mail", "", "Email"),
        ("e_mail", "none", "", "Email"),
        ("crm", "e mail", "", "Email"),
        ("partner", "affiliate", "", "Affiliates"),
        ("awin", "Affiliates", "", "Affiliates"),
        ("spotify", "audio", "", "Audio"),
        ("crm", "sms", "", "SMS"),
        ("SMS", "none", "", "SMS"),
        ("crm", "push", "", "Push"),
        ("app", "mobile-notification", "", "Push"),
        ("firebase", "none", "", "Push"),
        ("onesite", "webpush", "", "Push"),
        ("direct", "none", "shop week", "Direct"),
        ("instagram", "bio", "", "Organic Social"),
        ("youtube", "post", "", "Organic Video"),
        ("google", "(none)", "", "Organic Search"),
        ("ask.mybrand.com", "referral", "", "Referral"),
        ("www.google.co.uk", "referral", "", "Organic Search"),
        ("flyer", "none", "", "not-mapped"),
        ("mystery", "thing", "", "not-mapped"),
    ];

    #[test]
    fn the_default_rules_group_as_the_field_does_in_any_case_of_letters() {
        let channels = Channels::new(&[], true).unwrap();
        for (source, medium, campaign, expected) in CASES {
            let found = channel(&channels, source, medium, campaign);
            assert_eq!(found, *expected, "{source} / {medium} / {campaign}");
            let shouted = channel(
                &channels,
                &source.to_uppercase(),
                &medium.to_uppercase(),
                &campaign.to_uppercase(),
            );
            assert_eq!(shouted, *expected, "{source} / {medium} / {campaign}, in capitals");
        }
        assert!(CASES.len() >= 60);
    }

    #[test]
    fn own_rules_come_first_and_a_campaign_wins() {
        let own = rule::read(
            "[[channel]]
name = 'Brand'
group = 'Paid'
when = [{ field = 'utm_source', equals = 'google' }]
[[channel]]
name = 'Spring'
group = 'Paid'
when = [{ field = 'utm_campaign', prefix = 'spring' }, { field = 'utm_medium', equals = 'email', not = true }]
",
        );
        let channels = Channels::new(&own.unwrap(), true).unwrap();
        assert_eq!(channel(&channels, "google", "organic", ""), "Brand");
        assert_eq!(channel(&channels, "google", "cpc", "Spring 24"), "Spring");
        assert_eq!(channel(&channels, "crm", "email", "Spring 24"), "Email");
        // The workspace's rule without a campaign still comes before a default one with it.
        assert_eq!(channel(&channels, "google", "organic", "shop week"), "Brand");
        let alone = Channels::new(&[], false).unwrap();
        assert_eq!(channel(&alone, "google", "cpc", ""), NOT_MAPPED);
    }

    #[test]
    fn a_rule_that_cannot_be_meant_is_refused_with_its_name() {
        for (when, message) in [
            ("{ field = 'utm_sorce', equals = 'x' }", "`utm_sorce`"),
            ("", "takes every touch"),
            ("{ field = 'utm_source', is_empty = true }", "never empty"),
            ("{ field = 'utm_source' }", "one of"),
            ("{ field = 'utm_source', equals = 'x', prefix = 'y' }", "one of"),
            ("{ field = 'utm_source', regex = '(' }", "regex"),
            ("{ field = 'utm_source', category = 'radio' }", "radio"),
        ] {
            let text = format!("[[channel]]\nname = 'X'\ngroup = 'Y'\nwhen = [{when}]");
            let error = Channels::new(&rule::read(&text).unwrap(), false).unwrap_err();
            let said = format!("{error} {}", error.hint().unwrap_or_default());
            assert!(said.contains(message), "{when}: {said}");
        }
    }
}
