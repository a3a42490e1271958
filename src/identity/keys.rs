//! Reconciliation keys: users with the same e-mail address, its hash, or telephone are one person.
//!
//! Off unless the workspace asks for it. Applied after aliases, and never to two authenticated
//! users: a shared mailbox does not make two customers one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::ops::RangeInclusive;

use arrow::array::{AsArray, RecordBatch};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::identity::Facts;
use crate::identity::aliases::{Outcome, Resolved, or_never};
use crate::ids::Names;

/// A column of the users table that says who is one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// `email`, and the hashes of it that other users carry.
    Email,
    /// `email_md5`.
    EmailMd5,
    /// `email_sha1`.
    EmailSha1,
    /// `email_sha256`.
    EmailSha256,
    /// `telephone`.
    Telephone,
}

impl Key {
    /// Every key.
    pub const ALL: [Self; 5] =
        [Self::Email, Self::EmailMd5, Self::EmailSha1, Self::EmailSha256, Self::Telephone];

    /// The column that holds the key.
    pub const fn column(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::EmailMd5 => "email_md5",
            Self::EmailSha1 => "email_sha1",
            Self::EmailSha256 => "email_sha256",
            Self::Telephone => "telephone",
        }
    }

    /// The key of this name.
    pub fn parse(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|key| key.column() == text.trim()).ok_or_else(|| {
            Error::Unknown {
                kind: "reconciliation key",
                name: text.trim().to_owned(),
                known: Self::ALL.map(|key| key.column().to_owned()).to_vec(),
            }
        })
    }

    /// The key of a value that means the same person, however it was typed; `None` for a value
    /// that is no such key and joins nobody.
    ///
    /// * An address is trimmed, freed of `mailto:` and folded to lower case. It must have one `@`
    ///   with something on both sides, and neither blanks nor what divides addresses. Dots and
    ///   `+tags` stay: they are other mailboxes wherever a provider does not say otherwise.
    /// * A hash is folded to lower case. It must have its length in hexadecimal digits, and be
    ///   neither the hash of nothing nor one digit repeated, which exports write for want of one.
    /// * A telephone number is freed of `tel:`, blanks and punctuation; `00` stands for a leading
    ///   plus, and the `(0)` after a country's code is dropped. It must have seven to fifteen
    ///   digits, not all the same, and no letters. A number without a country's code equals only
    ///   one that is written without it too: which country is meant is not known.
    ///
    /// # Example
    ///
    /// ```
    /// use apportion::identity::Key;
    /// assert_eq!(Key::Email.normalized(" Ann@Example.com ").as_deref(), Some("ann@example.com"));
    /// assert_eq!(Key::Email.normalized("ann@a.com, bob@b.com"), None);
    /// let written = ["+33 6 12 34 56 78", "0033612345678", "tel:+33-(0)6-12.34.56.78"];
    /// assert!(written.iter().all(|number| {
    ///     Key::Telephone.normalized(number).as_deref() == Some("0033612345678")
    /// }));
    /// assert_eq!(Key::Telephone.normalized("n/a"), None);
    /// ```
    pub fn normalized(self, value: &str) -> Option<String> {
        let value = value.trim_matches(is_invisible);
        match self {
            Self::Email => address(value),
            Self::EmailMd5 | Self::EmailSha1 | Self::EmailSha256 => {
                let hash = value.to_ascii_lowercase();
                let hexadecimal = hash.bytes().all(|byte| byte.is_ascii_hexdigit());
                let says_something =
                    !is_one_digit(&hash) && hashed(self, "").as_ref() != Some(&hash);
                (hexadecimal && hash.len() == self.hash_length() && says_something).then_some(hash)
            }
            Self::Telephone => telephone(value),
        }
    }

    const fn hash_length(self) -> usize {
        match self {
            Self::EmailMd5 => 32,
            Self::EmailSha1 => 40,
            _ => 64,
        }
    }
}

/// How many digits a telephone number has, its country's code included (ITU-T E.164): fewer are an
/// extension or a typing error, more are two numbers.
const TELEPHONE_DIGITS: RangeInclusive<usize> = 7..=15;

/// What can surround a value that was copied from a page.
fn is_invisible(letter: char) -> bool {
    letter.is_whitespace()
        || letter.is_control()
        || matches!(letter, '\u{200b}' | '\u{2060}' | '\u{feff}')
}

/// Whether a text is one letter repeated: `0000000000` is what a form was filled with.
fn is_one_digit(text: &str) -> bool {
    let mut letters = text.chars();
    let first = letters.next();
    letters.all(|letter| Some(letter) == first)
}

fn address(value: &str) -> Option<String> {
    let address = value.to_lowercase();
    let address = address.strip_prefix("mailto:").unwrap_or(&address).trim_start();
    let (local, domain) = address.split_once('@')?;
    let divides =
        |letter: char| is_invisible(letter) || matches!(letter, '@' | ',' | ';' | '<' | '>');
    let whole = |part: &str| !part.is_empty() && !part.contains(divides);
    (whole(local) && whole(domain)).then(|| address.to_owned())
}

fn telephone(value: &str) -> Option<String> {
    let written = value.to_lowercase();
    let written = written.strip_prefix("tel:").unwrap_or(&written);
    let (before, _) = written.split_at(written.find(|letter: char| letter.is_ascii_digit())?);
    let international = before.contains('+') || written[before.len()..].starts_with("00");
    let written = if international { written.replacen("(0)", "", 1) } else { written.to_owned() };
    let punctuation =
        |letter: char| letter.is_whitespace() || "+-\u{2010}\u{2011}\u{2013}./()".contains(letter);
    if !written.chars().all(|letter| letter.is_ascii_digit() || punctuation(letter)) {
        return None;
    }
    let digits: String = written.chars().filter(char::is_ascii_digit).collect();
    let digits = if before.contains('+') {
        digits.as_str()
    } else {
        digits.strip_prefix("00").filter(|_| international).unwrap_or(&digits)
    };
    let prefix = if international { "00" } else { "" };
    (TELEPHONE_DIGITS.contains(&digits.len()) && !is_one_digit(digits))
        .then(|| format!("{prefix}{digits}"))
}

/// What a user shares with another who is the same person: the kind of key, and its value.
pub(super) type Token = (Key, String);

/// The keys of all users.
#[derive(Default)]
pub(super) struct Tokens {
    held: Vec<(Token, u32)>,
    /// The address that each known hash is of.
    addresses: BTreeMap<Token, String>,
    /// How many values each key has, and how many of them are none.
    values: BTreeMap<Key, (u64, u64)>,
}

impl Tokens {
    /// Takes in the keys of a users table; `users` is the user of each row.
    pub(super) fn take(&mut self, rows: &RecordBatch, users: &[u32], keys: &[Key]) {
        for key in keys {
            let (written, unusable) = self.values.entry(*key).or_default();
            let Some(values) = rows.column_by_name(key.column()) else { continue };
            for (value, user) in values.as_string_view().iter().zip(users) {
                let Some(value) = value else { continue };
                *written += 1;
                let Some(value) = key.normalized(value) else {
                    *unusable += 1;
                    continue;
                };
                if *key == Key::Email {
                    for hash in keys.iter().filter_map(|key| Some((*key, hashed(*key, &value)?))) {
                        self.addresses.entry(hash).or_insert_with(|| value.clone());
                    }
                }
                self.held.push(((*key, value), *user));
            }
        }
    }

    /// The users of each token. A hash of a known address is that address, so that a user who is
    /// known by the hash alone meets one who is known by the address.
    fn holders(self) -> BTreeMap<Token, Vec<u32>> {
        let mut holders: BTreeMap<Token, Vec<u32>> = BTreeMap::new();
        for (token, user) in self.held {
            let token = match self.addresses.get(&token) {
                Some(address) => (Key::Email, address.clone()),
                None => token,
            };
            holders.entry(token).or_default().push(user);
        }
        for users in holders.values_mut() {
            users.sort_unstable();
            users.dedup();
        }
        holders
    }
}

/// Users of a users table, each with what it may be reconciled by: users that share such a text may be one
/// person, others are not. An address stands for its hashes too.
pub fn key_links(rows: &RecordBatch, keys: &[Key]) -> Vec<(String, String)> {
    let Some(ids) = rows.column_by_name("external_id") else { return Vec::new() };
    let ids = ids.as_string_view();
    let mut links = Vec::new();
    for key in keys {
        let Some(values) = rows.column_by_name(key.column()) else { continue };
        for (value, id) in values.as_string_view().iter().zip(ids) {
            let Some((value, id)) = value.and_then(|value| key.normalized(value)).zip(id) else {
                continue;
            };
            let mut link = |key: Key, value: &str| {
                links.push((id.to_owned(), format!("{} {value}", key.column())));
            };
            link(*key, &value);
            if *key == Key::Email {
                let hashes = keys.iter().filter_map(|key| Some((*key, hashed(*key, &value)?)));
                hashes.for_each(|(key, hash)| link(key, &hash));
            }
        }
    }
    links
}

/// A key that two persons share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedKey {
    /// What kind of key.
    pub key: Key,
    /// Its value, normalised.
    pub value: String,
    /// The person that the other one joined, or would have.
    pub to: u32,
    /// The other one.
    pub from: u32,
}

/// A key with all who hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldKey {
    /// What kind of key.
    pub key: Key,
    /// Its value, normalised.
    pub value: String,
    /// How many user ids hold it.
    pub users: u64,
    /// How many persons they are in the end.
    pub persons: u64,
}

/// How the values of a key read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyValues {
    /// The key.
    pub key: Key,
    /// Values that are there.
    pub values: u64,
    /// Those of them that are no such key and join nobody.
    pub unusable: u64,
}

/// What reconciliation keys did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyFindings {
    /// Persons that joined another, in the order in which they did.
    pub joined: Vec<SharedKey>,
    /// Persons that did not, because both are authenticated; each pair once.
    pub refused: Vec<SharedKey>,
    /// The keys that most users hold, at most [`LARGEST_KEYS`].
    pub largest: Vec<HeldKey>,
    /// How the values of each key read.
    pub values: Vec<KeyValues>,
}

/// Keys that are named for being shared: a desk's mailbox, a shop's number, a test account.
pub const LARGEST_KEYS: usize = 20;

/// The hash of an address that a key holds; `None` for a key that holds none.
fn hashed(key: Key, address: &str) -> Option<String> {
    let hexadecimal = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            write!(text, "{byte:02x}").map_or_else(|_| String::new(), |()| text)
        })
    };
    match key {
        Key::EmailMd5 => Some(hexadecimal(&Md5::digest(address))),
        Key::EmailSha1 => Some(hexadecimal(&Sha1::digest(address))),
        Key::EmailSha256 => Some(hexadecimal(&Sha256::digest(address))),
        Key::Email | Key::Telephone => None,
    }
}

/// Joins persons that share a token, token by token in byte order.
///
/// Of the persons that share one, the authenticated comes first, then the one created first, then
/// the smallest id; the others join it, but for those that are authenticated themselves.
pub(super) fn join(
    users: &Names,
    facts: &Facts,
    tokens: Tokens,
    resolved: &mut Resolved,
) -> KeyFindings {
    if tokens.values.is_empty() {
        return KeyFindings::default();
    }
    let mut of_person = facts.clone();
    for (user, person) in (0_u32..).zip(&resolved.person) {
        of_person.add(*person, facts.of(user));
    }
    let values = tokens.values.iter().map(|(key, (values, unusable))| KeyValues {
        key: *key,
        values: *values,
        unusable: *unusable,
    });
    let mut findings = KeyFindings { values: values.collect(), ..KeyFindings::default() };
    let holders = tokens.holders();
    // Where a person went; itself while it stands.
    let mut root: Vec<u32> = (0..).take(facts.users()).collect();
    // Two persons may share several keys: they are one conflict.
    let mut conflicts = BTreeSet::new();
    for ((key, value), of_token) in &holders {
        let person = |user: &u32| end(&root, resolved.person[*user as usize]);
        let mut standing: Vec<u32> = of_token.iter().map(person).collect();
        standing.sort_unstable_by_key(|person| {
            let facts = of_person.of(*person);
            (!facts.authenticated, or_never(facts.created_at), users.name(*person))
        });
        standing.dedup();
        let Some((survivor, others)) = standing.split_first() else { continue };
        for other in others {
            let (of_other, of_survivor) = (of_person.of(*other), of_person.of(*survivor));
            let shared =
                || SharedKey { key: *key, value: value.clone(), to: *survivor, from: *other };
            if of_other.authenticated && of_survivor.authenticated {
                if conflicts.insert((*survivor, *other)) {
                    findings.refused.push(shared());
                }
                continue;
            }
            of_person.add(*survivor, of_other);
            root[*other as usize] = *survivor;
            resolved.next[*other as usize] = *survivor;
            resolved.outcomes[*other as usize] = Outcome::Reconciled;
            findings.joined.push(shared());
        }
    }
    resolved.account.reconciled = findings.joined.len() as u64;
    resolved.account.key_conflicts = findings.refused.len() as u64;
    for person in &mut resolved.person {
        *person = end(&root, *person);
    }
    findings.largest = largest(&holders, &resolved.person);
    findings
}

/// The keys that most users hold, those of one user left out.
fn largest(holders: &BTreeMap<Token, Vec<u32>>, person: &[u32]) -> Vec<HeldKey> {
    let mut shared: Vec<(&Token, &Vec<u32>)> =
        holders.iter().filter(|(_, users)| users.len() > 1).collect();
    // Sorting is stable: of equally large ones the smaller token comes first.
    shared.sort_by_key(|(_, users)| Reverse(users.len()));
    shared.truncate(LARGEST_KEYS);
    let held = |((key, value), users): (&Token, &Vec<u32>)| {
        let persons: BTreeSet<u32> = users.iter().map(|user| person[*user as usize]).collect();
        HeldKey {
            key: *key,
            value: value.clone(),
            users: users.len() as u64,
            persons: persons.len() as u64,
        }
    };
    shared.into_iter().map(held).collect()
}

fn end(root: &[u32], mut person: u32) -> u32 {
    while root[person as usize] != person {
        person = root[person as usize];
    }
    person
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringViewArray};

    use super::*;
    use crate::identity::resolve_aliases;

    fn joined(
        emails: &[Option<&str>],
        hashes: &[Option<&str>],
        authenticated: &[u32],
    ) -> (Resolved, KeyFindings) {
        let users = Names::numbered((0..emails.len()).map(|user| format!("u{user}")));
        let numbers: Vec<u32> = (0..).take(users.len()).collect();
        let mut facts = Facts::none(emails.len(), false);
        for user in authenticated {
            facts.authenticate(*user);
        }
        let column = |values: &[Option<&str>]| -> ArrayRef {
            Arc::new(values.iter().copied().collect::<StringViewArray>())
        };
        let rows =
            RecordBatch::try_from_iter([("email", column(emails)), ("email_md5", column(hashes))]);
        let mut tokens = Tokens::default();
        tokens.take(&rows.unwrap(), &numbers, &[Key::Email, Key::EmailMd5]);
        let mut resolved = resolve_aliases(&users, &facts, &[], false);
        let findings = join(&users, &facts, tokens, &mut resolved);
        (resolved, findings)
    }

    #[test]
    fn an_address_in_any_case_and_its_hash_are_one_person() {
        let hash = hashed(Key::EmailMd5, "a@example.com").unwrap();
        let (resolved, findings) = joined(
            &[Some("A@Example.com"), Some(" a@example.com"), None, Some("b@example.com")],
            &[None, None, Some(&hash.to_uppercase()), None],
            &[],
        );
        assert_eq!(resolved.person, [0, 0, 0, 3]);
        assert_eq!(resolved.account.reconciled, 2);
        let shared = ("a@example.com".to_owned(), 3, 1);
        let largest = findings.largest.into_iter().map(|key| (key.value, key.users, key.persons));
        assert_eq!(largest.collect::<Vec<_>>(), [shared]);
    }

    #[test]
    fn two_authenticated_users_stay_two_and_the_anonymous_joins_one() {
        let same = Some("a@example.com");
        let (resolved, findings) = joined(&[same, same, same], &[None; 3], &[1, 2]);
        assert_eq!(resolved.person, [1, 1, 2]);
        assert_eq!((resolved.account.reconciled, resolved.account.key_conflicts), (1, 1));
        assert_eq!((findings.refused[0].to, findings.refused[0].from), (1, 2));
        assert_eq!((findings.largest[0].users, findings.largest[0].persons), (3, 2));
    }

    #[test]
    fn values_that_say_nothing_join_nobody() {
        let nothing = hashed(Key::EmailMd5, "");
        let (resolved, findings) = joined(
            &[Some("@"), Some("@"), Some("none"), Some("none")],
            &[nothing.as_deref(), nothing.as_deref(), Some("x"), Some("x")],
            &[],
        );
        assert_eq!(resolved.person, [0, 1, 2, 3]);
        let values: Vec<_> =
            findings.values.iter().map(|key| (key.key, key.values, key.unusable)).collect();
        assert_eq!(values, [(Key::Email, 4, 4), (Key::EmailMd5, 4, 4)]);
        for number in
            ["0000000000", "12345", "0612345678 or 0698765432", "06 12 34 56 78 / 06 98 76 54 32"]
        {
            assert_eq!(Key::Telephone.normalized(number), None, "{number}");
        }
    }

    #[test]
    fn users_are_linked_by_their_address_and_by_its_hashes() {
        let column = |values: [Option<&str>; 3]| -> ArrayRef {
            Arc::new(values.into_iter().collect::<StringViewArray>())
        };
        let hash = hashed(Key::EmailMd5, "a@a.com").unwrap();
        let rows = RecordBatch::try_from_iter([
            ("external_id", column([Some("u"), Some("v"), Some("w")])),
            ("email", column([Some("A@a.com"), None, Some("none")])),
            ("email_md5", column([None, Some(&hash), None])),
        ]);
        let links = key_links(&rows.unwrap(), &[Key::Email, Key::EmailMd5, Key::Telephone]);
        let by_hash = format!("email_md5 {hash}");
        let worked = [("u", "email a@a.com"), ("u", &*by_hash), ("v", &*by_hash)];
        assert_eq!(links, worked.map(|(user, link)| (user.to_owned(), link.to_owned())));
    }

    #[test]
    fn keys_are_named_by_their_columns() {
        for key in Key::ALL {
            assert_eq!(Key::parse(&format!(" {} ", key.column())).unwrap(), key);
        }
        assert!(Key::parse("emial").unwrap_err().hint().unwrap().contains("`email`"));
    }

    #[test]
    fn a_hash_has_the_length_of_its_kind() {
        let digits = "0123456789abcdef".repeat(4);
        let kinds = [(Key::EmailMd5, 32), (Key::EmailSha1, 40), (Key::EmailSha256, 64)];
        for (key, length) in kinds {
            for written in [32, 40, 64] {
                let found = key.normalized(&digits[..written]);
                assert_eq!(found.is_some(), written == length, "{key:?} {written}");
            }
            assert_eq!(hashed(key, "a@a.com").unwrap().len(), length);
        }
    }

    #[test]
    fn one_address_is_one_however_it_is_written() {
        for written in
            ["ann+x@a.com", "\u{a0}ANN+X@A.com", "mailto:Ann+x@a.com", "\u{feff}ann+x@a.com"]
        {
            assert_eq!(Key::Email.normalized(written).as_deref(), Some("ann+x@a.com"), "{written}");
        }
        for other in ["ann@a.com", "an.n+x@a.com"] {
            assert_ne!(Key::Email.normalized(other).as_deref(), Some("ann+x@a.com"));
        }
        assert_eq!(
            Key::Email.normalized("\u{c9}LO\u{cf}SE@a.com").as_deref(),
            Some("\u{e9}lo\u{ef}se@a.com")
        );
        for none in ["ann@", "ann", "ann @a.com", "Ann <ann@a.com>", "a@b@c", "a@a.com;b@a.com"] {
            assert_eq!(Key::Email.normalized(none), None, "{none}");
        }
    }

    #[test]
    fn one_number_is_one_however_it_is_written() {
        let same = Some("0033612345678");
        for written in [
            "+33 6 12 34 56 78",
            "0033612345678",
            "(+33) 6-12-34-56-78",
            "+33 (0)6.12.34.56.78",
            "tel:+33612345678",
            "00 33 6 12 34 56 78",
        ] {
            assert_eq!(Key::Telephone.normalized(written).as_deref(), same, "{written}");
        }
        assert_eq!(Key::Telephone.normalized("06 12 34 56 78").as_deref(), Some("0612345678"));
        assert_eq!(Key::Telephone.normalized("33612345678").as_deref(), Some("33612345678"));
    }
}
