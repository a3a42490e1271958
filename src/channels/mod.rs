//! Which channel a touch belongs to: rules over its origin, in priority order.
//!
//! The workspace's own rules come first, then the default ones (`default.toml`), which know sources
//! by category (`sources.toml`). Matching knows no case. In either set a rule that asks for a campaign
//! wins over one that does not, and of each class the first that matches holds. Not for filling in sources and
//! mediums; that is `touchpoints`.

mod rule;
mod spelling;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringViewArray};

pub use rule::{ConditionText, RuleText};
pub use spelling::{Near, Spelling, near_misses};

use crate::error::Result;
use crate::journeys::{Labels, NOT_SET, combine};
use crate::touchpoints::with_column;
use rule::{Field, Rule, Sources};

/// The columns that channels add to a touch.
///
/// `channel_rule` says which rule took it: `own rule 2: Brand`, `default rule 7: Paid Social`.
pub const COLUMNS: [&str; 3] = ["channel", "channel_group", "channel_rule"];

/// The channel of a touch that no rule takes.
pub const NOT_MAPPED: &str = "not-mapped";

/// Mediums that the default rules know by a pattern and do not spell out.
const PATTERNED_MEDIUMS: [&str; 14] = [
    "cpc",
    "cpm",
    "cpv",
    "cpa",
    "ppc",
    "retargeting",
    "paid",
    "paid_search",
    "paid_social",
    "paid_video",
    "video",
    "push",
    "mobile",
    "notification",
];

/// Whose the workspace's rules are, where one is named.
const OWN: &str = "own";

const DEFAULT_RULES: &str = include_str!("default.toml");

/// Rules in priority order.
#[derive(Debug, Clone)]
pub struct Channels {
    rules: Vec<Rule>,
    sources: Sources,
}

/// What a rule makes of a touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken<'a> {
    /// The channel.
    pub channel: &'a str,
    /// The group of the channel.
    pub group: &'a str,
    /// The rule: whose it is, its position among those as they are written, its channel.
    pub rule: &'a str,
    /// What the rule asks for, a condition each.
    pub conditions: &'a [String],
}

impl Channels {
    /// Rules from the workspace's own, followed by the default ones where those are wanted.
    ///
    /// # Errors
    ///
    /// A rule that names an unknown field, category or operator, or whose pattern is not valid.
    pub fn new(own: &[RuleText], default: bool) -> Result<Self> {
        let sources = Sources::read()?;
        let ready = |texts: &[RuleText], whose: &str| -> Result<Vec<Rule>> {
            let label = |at: usize, name: &str| format!("{whose} rule {}: {name}", at + 1);
            let rules: Result<Vec<Rule>> = texts
                .iter()
                .enumerate()
                .map(|(at, text)| Rule::new(text, label(at, &text.name), &sources))
                .collect();
            let mut rules = rules?;
            // Stable: within each class the order given is the priority.
            rules.sort_by_key(|rule| !rule.asks_for_campaign());
            Ok(rules)
        };
        let mut rules = ready(own, OWN)?;
        if default {
            rules.extend(ready(&rule::read(DEFAULT_RULES)?, "default")?);
        }
        Ok(Self { rules, sources })
    }

    /// The workspace's own rules, as `channel_rule` names them, in the order in which they are tried.
    pub fn own_rules(&self) -> impl Iterator<Item = Taken<'_>> {
        let own = |rule: &&Rule| rule.label.starts_with(OWN);
        self.rules.iter().filter(own).map(Rule::taken)
    }

    /// The values of a field that the rules and their categories name, in lower case.
    pub fn known(&self, field: &str) -> BTreeSet<String> {
        let mut known: BTreeSet<String> =
            self.rules.iter().flat_map(|rule| rule.named(field)).map(str::to_owned).collect();
        if field == "utm_source" {
            known.extend(self.sources.names().map(str::to_owned));
        }
        if field == "utm_medium" {
            known.extend(PATTERNED_MEDIUMS.map(str::to_owned));
        }
        known
    }

    /// Whether a value is a source that the categories know: by its name, or by a domain of it.
    pub fn is_known_source(&self, value: &str) -> bool {
        let value = value.to_lowercase();
        self.sources.names().any(|name| rule::is_source(&value, name))
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
        self.take(value).map(|taken| (taken.channel, taken.group))
    }

    /// The rule that takes a touch, with what it makes of it; see [`classify`](Self::classify).
    pub fn take<'v>(&self, value: &dyn Fn(&str) -> &'v str) -> Option<Taken<'_>> {
        self.rules.iter().find(|rule| rule.matches(value)).map(Rule::taken)
    }
}

/// The channel of a touch that no rule takes: it keeps its source and medium.
pub fn not_mapped(source: &str, medium: &str) -> String {
    format!("{NOT_MAPPED}: {source} / {medium}")
}

/// Adds `channel`, `channel_group` and `channel_rule` to touches: once per distinct combination of
/// what the rules look at.
///
/// A touch that no rule takes keeps its source and medium: `not-mapped: partner / banner`.
pub fn with_channels(touches: &RecordBatch, channels: &Channels) -> Result<RecordBatch> {
    let mut columns: Vec<&str> = vec!["utm_source", "utm_medium"];
    let more = channels.columns().into_iter();
    columns.extend(more.filter(|name| !["utm_source", "utm_medium"].contains(name)));
    let labels: Vec<Labels> =
        columns.iter().map(|column| Labels::of_column(touches, column)).collect();
    let combined = combine(&labels, touches.num_rows());
    let classified: Vec<[String; COLUMNS.len()]> = combined
        .values
        .iter()
        .map(|values| {
            let value = |name: &str| {
                let at = columns.iter().position(|column| *column == name);
                at.map(|at| values[at].as_str()).filter(|value| *value != NOT_SET).unwrap_or("")
            };
            let of_rule =
                |taken: Taken<'_>| [taken.channel, taken.group, taken.rule].map(str::to_owned);
            let of_none = || {
                let channel = not_mapped(&values[0], &values[1]);
                [channel, NOT_MAPPED.to_owned(), NOT_MAPPED.to_owned()]
            };
            channels.take(&value).map_or_else(of_none, of_rule)
        })
        .collect();
    let mut touches = touches.clone();
    for (at, name) in COLUMNS.into_iter().enumerate() {
        let of_row = |code: &u32| Some(classified[*code as usize][at].as_str());
        let values: StringViewArray = combined.codes.iter().map(of_row).collect();
        touches = with_column(&touches, name, Arc::new(values))?;
    }
    Ok(touches)
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

    #[test]
    fn a_pattern_that_would_take_all_memory_is_refused() {
        let refused = |pattern: &str| {
            let when = ConditionText {
                field: "utm_source".to_owned(),
                regex: Some(pattern.to_owned()),
                ..ConditionText::default()
            };
            let rule = RuleText { name: "own".into(), group: "own".into(), when: vec![when] };
            Channels::new(&[rule], false).map(|_| ()).unwrap_err().to_string()
        };
        assert!(refused(&"a".repeat(20_000_000)).contains("its regex is longer than 16 KiB"));
        assert!(refused("((a{100}){100}){100}").contains("size limit of 1048576 bytes"));
        assert!(refused(&("(".repeat(5_000) + &")".repeat(5_000))).contains("is not valid"));
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
    fn every_known_source_is_paid_for_and_visited_as_its_category_says() {
        let channels = Channels::new(&[], true).unwrap();
        for (category, paid, organic) in [
            ("search", "Paid Search", "Organic Search"),
            ("social", "Paid Social", "Organic Social"),
            ("video", "Paid Video", "Organic Video"),
            ("shopping", "Paid Shopping", "Organic Shopping"),
            ("ai", "Paid Other", "AI Assistant"),
        ] {
            for name in Sources::read().unwrap().of(category).unwrap() {
                // An assistant below a search engine's domain is paid for like that engine.
                let engine = rule::is_source(name, "google");
                let paid = if category == "ai" && engine { "Paid Search" } else { paid };
                for (medium, expected) in [("cpc", paid), ("referral", organic), ("none", organic)]
                {
                    assert_eq!(channel(&channels, name, medium, ""), expected, "{name} / {medium}");
                }
            }
        }
    }

    #[test]
    fn the_page_about_channels_says_the_default_rules_and_examples_that_hold() {
        const PAGE: &str = include_str!("../../docs/channels.md");
        let listed: Vec<String> = rule::read(DEFAULT_RULES)
            .unwrap()
            .iter()
            .enumerate()
            .map(|(at, rule)| format!("| {} | {} | {} |", at + 1, rule.name, rule.group))
            .collect();
        let shown: Vec<&str> =
            PAGE.lines().filter(|line| listed.iter().any(|row| line.starts_with(row))).collect();
        assert_eq!(shown.len(), listed.len());
        assert!(shown.iter().zip(&listed).all(|(line, row)| line.starts_with(row)));
        for block in PAGE.split("```toml\n").skip(1) {
            let rules = block.split("```").next().unwrap();
            Channels::new(&rule::read(rules).unwrap(), true).unwrap();
        }
        let examples: Vec<&str> = PAGE
            .lines()
            .filter(|line| line.starts_with('|'))
            .filter_map(|line| Some(&line[line.find("{ field")?..=line.rfind("}`")?]))
            .collect();
        for field in Field::ALL {
            let names = format!("\"{}\"", field.name());
            assert!(examples.iter().any(|example| example.contains(&names)), "{names}");
        }
        for example in examples {
            // A regular expression with a backslash would need other quotes.
            let text = format!("[[channel]]\nname = 'X'\ngroup = 'Y'\nwhen = [{example}]");
            Channels::new(&rule::read(&text).unwrap(), false).unwrap();
        }
    }

    #[test]
    fn a_rule_is_named_by_its_place_as_written() {
        let own = rule::read(
            "[[channel]]
name = 'Brand'
group = 'Paid'
when = [{ field = 'utm_source', equals = 'google' }]
[[channel]]
name = 'Spring'
group = 'Paid'
when = [{ field = 'utm_campaign', prefix = 'spring' }]
",
        );
        let channels = Channels::new(&own.unwrap(), true).unwrap();
        let rule = |source: &str, campaign: &str| {
            let value = |column: &str| match column {
                "utm_source" => source.to_owned(),
                "utm_campaign" => campaign.to_owned(),
                _ => "cpc".to_owned(),
            };
            let (source, campaign, medium) =
                (value("utm_source"), value("utm_campaign"), value(""));
            let borrowed = |column: &str| match column {
                "utm_source" => source.as_str(),
                "utm_campaign" => campaign.as_str(),
                "utm_medium" => medium.as_str(),
                _ => "",
            };
            channels.take(&borrowed).map(|taken| taken.rule.to_owned())
        };
        // The one with a campaign is tried first, and is still the second that is written.
        assert_eq!(rule("google", "Spring 24").unwrap(), "own rule 2: Spring");
        assert_eq!(rule("google", "").unwrap(), "own rule 1: Brand");
        assert_eq!(rule("bing", "").unwrap(), "default rule 5: Paid Search");
        let own: Vec<&str> = channels.own_rules().map(|taken| taken.rule).collect();
        assert_eq!(own, ["own rule 2: Spring", "own rule 1: Brand"]);
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
