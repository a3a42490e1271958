//! One rule of a channel: conditions that must all hold.

use std::collections::BTreeMap;
use std::fmt;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::channels::Taken;
use crate::error::{Error, Result};

const SOURCES: &str = include_str!("sources.toml");

/// Bytes of a pattern: to be understood it takes hundreds of times as many before it is compiled.
const PATTERN_LENGTH: usize = 16 << 10;

/// The most memory that a pattern may take when it is compiled.
const PATTERN_BYTES: usize = 1 << 20;

/// A rule as `apportion.toml` says it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RuleText {
    /// The channel.
    pub name: String,
    /// What it belongs to: `Paid`, `Organic`, `Owned`.
    pub group: String,
    /// What must hold, all of it.
    pub when: Vec<ConditionText>,
}

/// A condition as `apportion.toml` says it: a field, and exactly one operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConditionText {
    /// The field of the touch.
    pub field: String,
    /// It is this.
    pub equals: Option<String>,
    /// It is one of these.
    pub one_of: Option<Vec<String>>,
    /// It begins with this.
    pub prefix: Option<String>,
    /// It contains this.
    pub contains: Option<String>,
    /// It matches this regular expression, anywhere.
    pub regex: Option<String>,
    /// It is missing, or it is not.
    pub is_empty: Option<bool>,
    /// Its value is a known source of this category.
    pub category: Option<String>,
    /// The condition is turned around.
    pub not: bool,
}

impl fmt::Display for ConditionText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, not, .. } = self;
        let verb = |is: &'static str, is_not: &'static str| if *not { is_not } else { is };
        if let Some(text) = &self.equals {
            write!(formatter, "{field} {} `{text}`", verb("is", "is not"))
        } else if let Some(texts) = &self.one_of {
            let texts: Vec<String> = texts.iter().map(|text| format!("`{text}`")).collect();
            write!(formatter, "{field} {} {}", verb("is one of", "is none of"), texts.join(", "))
        } else if let Some(text) = &self.prefix {
            write!(formatter, "{field} {} `{text}`", verb("begins with", "does not begin with"))
        } else if let Some(text) = &self.contains {
            write!(formatter, "{field} {} `{text}`", verb("contains", "does not contain"))
        } else if let Some(text) = &self.regex {
            write!(formatter, "{field} {} `{text}`", verb("matches", "does not match"))
        } else if let Some(category) = &self.category {
            let verb = verb("is a known source of", "is no known source of");
            write!(formatter, "{field} {verb} `{category}`")
        } else {
            let empty = self.is_empty.unwrap_or(false) != *not;
            write!(formatter, "{field} {}", if empty { "is empty" } else { "is not empty" })
        }
    }
}

#[derive(Deserialize)]
struct RuleFile {
    channel: Vec<RuleText>,
}

/// Reads rules from TOML that the crate ships.
pub(super) fn read(text: &str) -> Result<Vec<RuleText>> {
    let file: RuleFile = toml::from_str(text).map_err(|error| shipped(&error))?;
    Ok(file.channel)
}

fn shipped(error: &toml::de::Error) -> Error {
    Error::Broken(format!("the default channels cannot be read: {error}"))
}

/// Known sources by category.
#[derive(Debug, Clone)]
pub(super) struct Sources(BTreeMap<String, Vec<String>>);

impl Sources {
    pub(super) fn read() -> Result<Self> {
        toml::from_str(SOURCES).map(Self).map_err(|error| shipped(&error))
    }

    /// The sources of a category.
    pub(super) fn of(&self, category: &str) -> Option<&[String]> {
        self.0.get(category).map(Vec::as_slice)
    }

    /// The sources of all categories.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.values().flatten().map(String::as_str)
    }
}

/// A field that rules look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Column(&'static str),
    ReferrerDomain,
    LandingPath,
}

impl Field {
    pub(super) const ALL: [Self; 11] = [
        Self::Column("utm_source"),
        Self::Column("utm_medium"),
        Self::Column("utm_campaign"),
        Self::Column("utm_content"),
        Self::Column("utm_term"),
        Self::Column("utm_id"),
        Self::Column("utm_id_from"),
        Self::Column("device_type"),
        Self::Column("domain_id"),
        Self::ReferrerDomain,
        Self::LandingPath,
    ];

    /// The column that the field is made from.
    pub(super) const fn column(self) -> &'static str {
        match self {
            Self::Column(name) => name,
            Self::ReferrerDomain => "referrer",
            Self::LandingPath => "landing_page",
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Column(name) => name,
            Self::ReferrerDomain => "referrer_domain",
            Self::LandingPath => "landing_path",
        }
    }

    fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name).ok_or_else(|| Error::Unknown {
            kind: "field of a channel rule",
            name: name.to_owned(),
            known: Self::ALL.map(|field| field.name().to_owned()).to_vec(),
        })
    }

    /// The field's value in a column's.
    fn of(self, value: &str) -> &str {
        match self {
            Self::Column(_) => value,
            Self::ReferrerDomain => host_and_path(value).0,
            Self::LandingPath => host_and_path(value).1,
        }
    }
}

/// The host and the path of a web address, with or without its scheme; of a bare path, no host.
fn host_and_path(address: &str) -> (&str, &str) {
    let address = address.split(['?', '#']).next().unwrap_or_default();
    let rest = match address.split_once("//") {
        Some((scheme, rest)) if scheme.is_empty() || scheme.ends_with(':') => rest,
        _ => address,
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let path = if path.is_empty() && !host.is_empty() { "/" } else { path };
    (host.split(':').next().unwrap_or_default(), path)
}

#[derive(Debug, Clone)]
enum Test {
    OneOf(Vec<String>),
    Prefix(String),
    Contains(String),
    Regex(Regex),
    IsEmpty(bool),
    /// A known source: the name itself, or a domain that is it or lies below it.
    Source(Vec<String>),
}

#[derive(Debug, Clone)]
struct Condition {
    field: Field,
    test: Test,
    not: bool,
}

impl Condition {
    /// The whole values that it asks for, where it does.
    fn texts(&self) -> &[String] {
        match &self.test {
            Test::OneOf(texts) => texts,
            _ => &[],
        }
    }
}

/// A rule, ready to match.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) group: String,
    /// What it is called where it is named among others: `own rule 2: Brand`.
    pub(super) label: String,
    conditions: Vec<Condition>,
    /// The conditions in words.
    said: Vec<String>,
}

impl Rule {
    pub(super) fn new(text: &RuleText, label: String, sources: &Sources) -> Result<Self> {
        if text.when.is_empty() {
            let why = "a rule without conditions takes every touch; say `when` it holds";
            return Err(Error::setting("channel", &text.name, why));
        }
        let conditions = text.when.iter().map(|when| condition(&text.name, when, sources));
        Ok(Self {
            name: text.name.clone(),
            group: text.group.clone(),
            label,
            said: text.when.iter().map(ToString::to_string).collect(),
            conditions: conditions.collect::<Result<_>>()?,
        })
    }

    pub(super) fn taken(&self) -> Taken<'_> {
        Taken { channel: &self.name, group: &self.group, rule: &self.label, conditions: &self.said }
    }

    /// The whole values of a field that the rule names, in lower case.
    pub(super) fn named(&self, field: &str) -> impl Iterator<Item = &str> {
        let of_field =
            move |condition: &&Condition| condition.field.name() == field && !condition.not;
        let texts = self.conditions.iter().filter(of_field).flat_map(Condition::texts);
        texts.map(String::as_str).filter(|text| !text.is_empty())
    }

    pub(super) fn asks_for_campaign(&self) -> bool {
        let of_campaign = |condition: &Condition| {
            condition.field == Field::Column("utm_campaign")
                && !condition.not
                && !matches!(condition.test, Test::IsEmpty(true))
        };
        self.conditions.iter().any(of_campaign)
    }

    pub(super) fn looks_at(&self, field: Field) -> bool {
        self.conditions.iter().any(|condition| condition.field == field)
    }

    pub(super) fn matches<'v>(&self, value: &dyn Fn(&str) -> &'v str) -> bool {
        self.conditions.iter().all(|condition| {
            let value = condition.field.of(value(condition.field.column())).to_lowercase();
            condition.test.holds(&value) != condition.not
        })
    }
}

impl Test {
    /// Whether it holds for a value in lower case.
    fn holds(&self, value: &str) -> bool {
        match self {
            Self::OneOf(texts) => texts.iter().any(|text| text == value),
            Self::Prefix(text) => value.starts_with(text),
            Self::Contains(text) => value.contains(text),
            Self::Regex(pattern) => pattern.is_match(value),
            Self::IsEmpty(empty) => value.is_empty() == *empty,
            Self::Source(names) => names.iter().any(|name| is_source(value, name)),
        }
    }
}

/// Whether a source is a known one: `bing` is `bing`, `bing.com` and `www.bing.com`; a known domain
/// is itself and what lies below it.
pub(super) fn is_source(value: &str, name: &str) -> bool {
    if value == name {
        return true;
    }
    if name.contains('.') {
        return value.strip_suffix(name).is_some_and(|above| above.ends_with('.'));
    }
    // A name stands for its domain in any country, and not for a part of somebody else's: it is the
    // label before the ending, which is one label or two short ones (`co.uk`).
    let labels: Vec<&str> = value.split('.').collect();
    match labels[..] {
        [.., label, _] if label == name => true,
        [.., label, second, top] => label == name && second.len() <= 3 && top.len() == 2,
        _ => false,
    }
}

fn condition(rule: &str, when: &ConditionText, sources: &Sources) -> Result<Condition> {
    let lower = |text: &String| text.to_lowercase();
    let wrong = |why: String| Error::setting("channel", rule, why);
    let mut tests = Vec::new();
    tests.extend(when.equals.iter().map(|text| Test::OneOf(vec![lower(text)])));
    tests.extend(when.one_of.iter().map(|texts| Test::OneOf(texts.iter().map(lower).collect())));
    tests.extend(when.prefix.iter().map(|text| Test::Prefix(lower(text))));
    tests.extend(when.contains.iter().map(|text| Test::Contains(lower(text))));
    tests.extend(when.is_empty.map(Test::IsEmpty));
    if let Some(pattern) = &when.regex {
        if pattern.len() > PATTERN_LENGTH {
            let why = format!("its regex is longer than {} KiB", PATTERN_LENGTH >> 10);
            return Err(wrong(why));
        }
        let compiled = RegexBuilder::new(pattern)
            .case_insensitive(true)
            .size_limit(PATTERN_BYTES)
            .build()
            .map_err(|error| wrong(format!("its regex `{pattern}` is not valid: {error}")))?;
        tests.push(Test::Regex(compiled));
    }
    if let Some(category) = &when.category {
        let names = sources.of(category).ok_or_else(|| Error::Unknown {
            kind: "source category",
            name: category.clone(),
            known: sources.0.keys().cloned().collect(),
        })?;
        tests.push(Test::Source(names.to_vec()));
    }
    let field = Field::parse(&when.field)?;
    let test = tests.pop().filter(|_| tests.is_empty()).ok_or_else(|| {
        let operators = "`equals`, `one_of`, `prefix`, `contains`, `regex`, `is_empty`, `category`";
        wrong(format!("a condition on `{}` has exactly one of {operators}", when.field))
    })?;
    let filled = [Field::Column("utm_source"), Field::Column("utm_medium")];
    if matches!(test, Test::IsEmpty(_)) && filled.contains(&field) {
        let why = format!("`{}` is never empty: it reads `direct` or `none` then", when.field);
        return Err(wrong(why));
    }
    Ok(Condition { field, test, not: when.not })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_paths_are_found_in_addresses() {
        for (address, host, path) in [
            ("https://www.example.com:8080/a/b?c=d#e", "www.example.com", "/a/b"),
            ("https://user@example.com?x", "example.com", "/"),
            ("//example.com/a", "example.com", "/a"),
            ("example.com:8080/a", "example.com", "/a"),
            ("/go?u=https://other.com/sale", "", "/go"),
            ("/sale", "", "/sale"),
            ("", "", ""),
        ] {
            assert_eq!(host_and_path(address), (host, path), "{address}");
        }
    }

    #[test]
    fn a_known_source_is_its_name_and_its_domains_and_no_other() {
        assert!(is_source("bing", "bing") && is_source("www.bing.com", "bing"));
        assert!(is_source("google.co.uk", "google"));
        assert!(is_source("chat.openai.com", "chat.openai.com"));
        assert!(!is_source("notbing.com", "bing") && !is_source("binge", "bing"));
        assert!(!is_source("ask.mybrand.com", "ask"));
        assert!(!is_source("mail.google.example.com", "google"));
    }
}
