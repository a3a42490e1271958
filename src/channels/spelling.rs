//! Near misses in spelling: sources and mediums that are likely meant to be another one.
//!
//! Reading trims text and rules know no case; what survives both is looked for here: letters that
//! are missing or swapped (`googel`), blanks that were encoded for a web address (`google%20ads`,
//! `news+letter`), signs and case that make two lines out of one (`e-mail`, `Email`). Not for what a rule takes; that
//! is `rule`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rayon::prelude::*;

/// A spelling of a field and how many sessions have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spelling {
    /// The value as it was read.
    pub text: String,
    /// Its sessions.
    pub sessions: u64,
    /// Whether rules or categories know it as it is, in any case of letters.
    pub recognised: bool,
}

/// What a spelling is near to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Near {
    /// The value that is likely meant.
    pub to: String,
    /// How the two differ.
    pub by: Difference,
}

/// How two spellings differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// In the case of letters alone.
    Case,
    /// One is encoded as in a web address: `%20`, `+`.
    Encoding,
    /// In blanks and signs.
    Signs,
    /// In so many letters.
    Letters(usize),
    /// By words that follow a known source.
    Words,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Case => formatter.write_str("case"),
            Self::Encoding => formatter.write_str("encoding"),
            Self::Signs => formatter.write_str("blanks or signs"),
            Self::Letters(1) => formatter.write_str("1 letter"),
            Self::Letters(letters) => write!(formatter, "{letters} letters"),
            Self::Words => formatter.write_str("more words"),
        }
    }
}

/// Words shorter than this are near to nothing: `bing` and `ping` are two things.
const SHORTEST: usize = 5;

/// So many letters of a word may be one wrong one.
const LETTERS_A_FAULT: usize = 4;

/// No more than so many letters are wrong by accident.
const MOST_FAULTS: usize = 3;

/// A value of the data is what another one is meant to be if it is so many times as frequent.
const MUCH_MORE: u64 = 10;

/// How many of the most frequent values others are compared with.
const FREQUENT: usize = 200;

/// The values that are likely meant to be another one, by their spelling.
///
/// Compared are letters and digits in lower case, after percent-encoding and plus signs are
/// undone. A value that nothing recognises is near to a known one, or to a much more frequent one of the
/// data, if they differ in few letters for their length; to a known source also if that is its
/// first word. Digits never differ by accident. Of several spellings of the same letters all are near to the one that is recognised,
/// then to the most frequent.
///
/// # Example
///
/// ```
/// use apportion::channels::{Spelling, near_misses};
/// let spelling = |text: &str| Spelling { text: text.into(), sessions: 5, recognised: text == "google" };
/// let known = ["google".to_owned()].into();
/// let near = near_misses(&["googel", "google", "gmail"].map(spelling), &known, true);
/// assert_eq!(near["googel"].to, "google");
/// assert_eq!(near.len(), 1);
/// ```
pub fn near_misses(
    spellings: &[Spelling],
    known: &BTreeSet<String>,
    first_word: bool,
) -> BTreeMap<String, Near> {
    let mut known: Vec<Compared<'_>> = known.iter().map(|text| Compared::new(text)).collect();
    known.sort_by_key(|one| (one.words.len(), one.text));
    let mut compared: Vec<(Compared<'_>, &Spelling)> =
        spellings.iter().map(|spelling| (Compared::new(&spelling.text), spelling)).collect();
    compared.sort_by_key(|(_, spelling)| {
        (!spelling.recognised, Reverse(spelling.sessions), &spelling.text)
    });
    // The first of those with the same letters is the one that the others are meant to be.
    let mut home: BTreeMap<&str, &Compared<'_>> = BTreeMap::new();
    for (one, _) in compared.iter().filter(|(one, _)| !one.joined.is_empty()) {
        home.entry(&one.joined).or_insert(one);
    }
    let known_home: BTreeMap<&str, &Compared<'_>> =
        known.iter().rev().map(|one| (one.joined.as_str(), one)).collect();
    let mut frequent: Vec<&(Compared<'_>, &Spelling)> = compared.iter().collect();
    frequent.sort_by_key(|(_, spelling)| (Reverse(spelling.sessions), &spelling.text));
    frequent.truncate(FREQUENT);
    let near = |one: &Compared<'_>, spelling: &Spelling| -> Option<Near> {
        if one.joined.is_empty() {
            return None;
        }
        let same = home.get(one.joined.as_str()).filter(|home| home.text != one.text);
        let known_same = known_home.get(one.joined.as_str()).filter(|_| !spelling.recognised);
        if let Some(same) = same.or(known_same) {
            return Some(Near { to: same.text.to_owned(), by: one.differs(same) });
        }
        if spelling.recognised {
            return None;
        }
        let much_more =
            |other: &Spelling| other.sessions >= MUCH_MORE.saturating_mul(spelling.sessions.max(1));
        let of_data = frequent.iter().filter(|(_, other)| much_more(other)).map(|(one, _)| one);
        let closest = known
            .iter()
            .chain(of_data)
            .filter_map(|other| Some((one.faults(other)?, other)))
            .min_by_key(|(faults, other)| (*faults, other.words.len(), other.text));
        if let Some((faults, other)) = closest {
            return Some(Near { to: other.text.to_owned(), by: Difference::Letters(faults) });
        }
        let words = first_word && one.words.len() > 1 && !one.text.contains('.');
        let first = one.words.first().filter(|first| words && first.chars().count() > 3)?;
        let known = known_home.get(first.as_str())?;
        Some(Near { to: known.text.to_owned(), by: Difference::Words })
    };
    let found: BTreeMap<String, Near> = compared
        .par_iter()
        .filter_map(|(one, spelling)| Some((one.text.to_owned(), near(one, spelling)?)))
        .collect();
    found.iter().map(|(text, near)| (text.clone(), followed(near, &found))).collect()
}

/// What is near to a near miss is meant to be what that one is meant to be.
fn followed(near: &Near, found: &BTreeMap<String, Near>) -> Near {
    let mut near = near.clone();
    for _ in 0..MOST_FAULTS {
        match found.get(&near.to) {
            Some(next) => near.to.clone_from(&next.to),
            None => break,
        }
    }
    near
}

/// A text as it is compared.
struct Compared<'a> {
    text: &'a str,
    words: Vec<String>,
    joined: String,
    digits: String,
}

impl<'a> Compared<'a> {
    fn new(text: &'a str) -> Self {
        let bare = decoded(text).to_lowercase();
        let words: Vec<String> = bare
            .split(|letter: char| !letter.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect();
        let joined = words.concat();
        let digits = joined.chars().filter(|letter| letter.is_numeric()).collect();
        Self { text, words, joined, digits }
    }

    /// How two spellings of the same letters differ.
    fn differs(&self, other: &Self) -> Difference {
        if self.text.to_lowercase() == other.text.to_lowercase() {
            Difference::Case
        } else if decoded(self.text) != self.text || decoded(other.text) != other.text {
            Difference::Encoding
        } else {
            Difference::Signs
        }
    }

    /// In how many letters two texts differ, if so few do that they are likely meant to be one.
    fn faults(&self, other: &Self) -> Option<usize> {
        if self.text == other.text || self.digits != other.digits {
            return None;
        }
        if self.words.len() != other.words.len() {
            return faults(&self.joined, &other.joined);
        }
        // Word by word, because `partner a` is not `partner b`.
        let words = self.words.iter().zip(&other.words);
        words.map(|(left, right)| if left == right { Some(0) } else { faults(left, right) }).sum()
    }
}

/// The faults in one word, if there are few for its length, and not in the first letter of a
/// short one: `gmail` is not `email`.
fn faults(left: &str, right: &str) -> Option<usize> {
    let (long, short) = (left.chars().count(), right.chars().count());
    let (long, short) = (long.max(short), long.min(short));
    let allowed = (short / LETTERS_A_FAULT).min(MOST_FAULTS);
    if short < SHORTEST || long - short > allowed {
        return None;
    }
    if allowed == 1 && left.chars().next() != right.chars().next() {
        return None;
    }
    Some(strsim::osa_distance(left, right)).filter(|faults| *faults <= allowed)
}

/// The text as it was before it was put into a web address: `%20` and `+` are blanks, also where
/// that was done twice.
fn decoded(text: &str) -> String {
    let once = crate::input::percent_decoded(&text.replace('+', " "));
    let twice = crate::input::percent_decoded(&once.replace('+', " "));
    twice.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(values: &[(&str, u64)], text: &str) -> Option<(String, String)> {
        let known: BTreeSet<String> =
            ["google", "bing", "email", "e-mail", "newsletter", "facebook", "cpc", "spotify"]
                .map(str::to_owned)
                .into();
        let spellings: Vec<Spelling> = values
            .iter()
            .chain([&(text, 1)])
            .map(|(text, sessions)| Spelling {
                text: (*text).to_owned(),
                sessions: *sessions,
                recognised: known.contains(&text.to_lowercase()),
            })
            .collect();
        let found = near_misses(&spellings, &known, true);
        found.get(text).map(|near| (near.to.clone(), near.by.to_string()))
    }

    #[test]
    fn misspellings_are_near_to_what_is_known() {
        for (text, to, by) in [
            ("googel", "google", "1 letter"),
            ("gogle", "google", "1 letter"),
            ("google%20", "google", "encoding"),
            ("google%2520", "google", "encoding"),
            ("cpc%20", "cpc", "encoding"),
            ("news+letter", "newsletter", "encoding"),
            ("news letter", "newsletter", "blanks or signs"),
            ("google%20ads", "google", "more words"),
            ("google_ads", "google", "more words"),
            ("Googel-Ads", "google", ""),
            ("emial", "email", "1 letter"),
            ("facebok", "facebook", "1 letter"),
            ("faecbokk", "facebook", "2 letters"),
        ] {
            let found = near(&[], text);
            if by.is_empty() {
                assert_eq!(found, None, "{text}: a first word with a fault is too far");
            } else {
                assert_eq!(found, Some((to.to_owned(), by.to_owned())), "{text}");
            }
        }
    }

    #[test]
    fn other_words_and_short_ones_are_not() {
        for text in ["ping", "binge", "cpm", "gmail", "shopify", "partner", "google.example.com"] {
            assert_eq!(near(&[], text), None, "{text}");
        }
        assert_eq!(near(&[("campaign 2023", 900)], "campaign 2024"), None);
        assert_eq!(near(&[("partner a", 900)], "partner b"), None);
    }

    #[test]
    fn spellings_of_the_data_are_near_to_the_frequent_one() {
        let of = |text: &str, by: &str| Some((text.to_owned(), by.to_owned()));
        assert_eq!(near(&[("google", 9)], "Google"), of("google", "case"));
        assert_eq!(near(&[], "Google"), None, "rules know no case, and nothing is split");
        assert_eq!(near(&[("tradedoubler", 10)], "tradedubler"), of("tradedoubler", "1 letter"));
        assert_eq!(near(&[("tradedoubler", 9)], "tradedubler"), None);
        assert_eq!(
            near(&[("trade doubler", 2)], "tradedoubler"),
            of("trade doubler", "blanks or signs")
        );
        // What is near to a near miss is meant to be what that is meant to be.
        assert_eq!(near(&[("googel", 10)], "gogel").unwrap().0, "google");
    }
}
