//! Reconciliation keys: users with the same e-mail address, its hash, or telephone are one person.
//!
//! Off unless the workspace asks for it. Applied after aliases, and never to two authenticated
//! users: a shared mailbox does not make two customers one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use arrow::array::{AsArray, RecordBatch};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::identity::aliases::{Outcome, Resolved, or_never};
use crate::identity::{UserFacts, earliest};
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

    /// The key of a value that means the same person, however it was typed; `None` if it is empty.
    ///
    /// An address is trimmed and folded to lower case, and must have both sides of its `@`; a hash
    /// must have its length; a telephone number keeps its digits, with `00` for a leading plus.
    ///
    /// # Example
    ///
    /// ```
    /// use apportion::identity::Key;
    /// assert_eq!(Key::Email.normalized(" Ann@Example.com ").as_deref(), Some("ann@example.com"));
    /// assert_eq!(Key::Telephone.normalized("+33 (1) 23-45").as_deref(), Some("003312345"));
    /// assert_eq!(Key::Telephone.normalized("n/a"), None);
    /// ```
    pub fn normalized(self, value: &str) -> Option<String> {
        let value = value.trim();
        match self {
            Self::Email => {
                let address = value.to_lowercase();
                let (local, domain) = address.split_once('@')?;
                (!local.is_empty() && !domain.is_empty()).then_some(address)
            }
            Self::EmailMd5 | Self::EmailSha1 | Self::EmailSha256 => {
                let hash = value.to_ascii_lowercase();
                let hexadecimal = hash.bytes().all(|byte| byte.is_ascii_hexdigit());
                (hexadecimal && hash.len() == self.hash_length()).then_some(hash)
            }
            Self::Telephone => {
                let digits: String = value.chars().filter(char::is_ascii_digit).collect();
                let international = if value.starts_with('+') { "00" } else { "" };
                (digits.len() >= SHORTEST_TELEPHONE).then(|| format!("{international}{digits}"))
            }
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

/// Fewer digits are an extension or a typing error, not a person's number.
const SHORTEST_TELEPHONE: usize = 7;

/// What a user shares with another who is the same person: the kind of key, and its value.
pub(super) type Token = (Key, String);

/// The tokens of a users table, with the user of each; `users` is the user of each row.
///
/// An address gives its hashes too, where those are asked for, so that a user who is known by the
/// hash alone meets one who is known by the address.
pub(super) fn tokens(rows: &RecordBatch, users: &[u32], keys: &[Key]) -> Vec<(Token, u32)> {
    let mut tokens = Vec::new();
    for key in keys {
        let Some(values) = rows.column_by_name(key.column()) else { continue };
        for (value, user) in values.as_string_view().iter().zip(users) {
            let Some(value) = value.and_then(|value| key.normalized(value)) else { continue };
            if *key == Key::Email {
                for hash in keys.iter().filter_map(|key| Some((*key, hashed(*key, &value)?))) {
                    tokens.push((hash, *user));
                }
            }
            tokens.push(((*key, value), *user));
        }
    }
    tokens
}

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
    facts: &[UserFacts],
    tokens: Vec<(Token, u32)>,
    resolved: &mut Resolved,
) {
    if tokens.is_empty() {
        return;
    }
    let mut of_person = facts.to_vec();
    for (user, person) in resolved.person.iter().enumerate() {
        let person = &mut of_person[*person as usize];
        person.authenticated |= facts[user].authenticated;
        person.created_at = earliest(person.created_at, facts[user].created_at);
    }
    let mut holders: BTreeMap<Token, Vec<u32>> = BTreeMap::new();
    for (token, user) in tokens {
        holders.entry(token).or_default().push(resolved.person[user as usize]);
    }
    // Where a person went; itself while it stands.
    let mut root: Vec<u32> = (0..).take(facts.len()).collect();
    // Two persons may share several keys: they are one conflict.
    let mut conflicts = BTreeSet::new();
    for persons in holders.into_values() {
        let mut standing: Vec<u32> = persons.into_iter().map(|person| end(&root, person)).collect();
        standing.sort_unstable_by_key(|person| {
            let facts = &of_person[*person as usize];
            (!facts.authenticated, or_never(facts.created_at), users.name(*person))
        });
        standing.dedup();
        let Some((survivor, others)) = standing.split_first() else { continue };
        for other in others {
            let of_other = of_person[*other as usize];
            let of_survivor = &mut of_person[*survivor as usize];
            if of_other.authenticated && of_survivor.authenticated {
                conflicts.insert((*survivor, *other));
                continue;
            }
            of_survivor.authenticated |= of_other.authenticated;
            of_survivor.created_at = earliest(of_survivor.created_at, of_other.created_at);
            root[*other as usize] = *survivor;
            resolved.next[*other as usize] = *survivor;
            resolved.outcomes[*other as usize] = Outcome::Reconciled;
            resolved.account.reconciled += 1;
        }
    }
    resolved.account.key_conflicts = conflicts.len() as u64;
    for person in &mut resolved.person {
        *person = end(&root, *person);
    }
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

    fn joined(emails: &[Option<&str>], hashes: &[Option<&str>], authenticated: &[u32]) -> Resolved {
        let users = Names::numbered((0..emails.len()).map(|user| format!("u{user}")));
        let numbers: Vec<u32> = (0..).take(users.len()).collect();
        let mut facts = vec![UserFacts::default(); emails.len()];
        for user in authenticated {
            facts[*user as usize].authenticated = true;
        }
        let column = |values: &[Option<&str>]| -> ArrayRef {
            Arc::new(values.iter().copied().collect::<StringViewArray>())
        };
        let rows =
            RecordBatch::try_from_iter([("email", column(emails)), ("email_md5", column(hashes))]);
        let tokens = tokens(&rows.unwrap(), &numbers, &[Key::Email, Key::EmailMd5]);
        let mut resolved = resolve_aliases(&users, &facts, &[], false);
        join(&users, &facts, tokens, &mut resolved);
        resolved
    }

    #[test]
    fn an_address_in_any_case_and_its_hash_are_one_person() {
        let hash = hashed(Key::EmailMd5, "a@example.com").unwrap();
        let resolved = joined(
            &[Some("A@Example.com"), Some(" a@example.com"), None, Some("b@example.com")],
            &[None, None, Some(&hash.to_uppercase()), None],
            &[],
        );
        assert_eq!(resolved.person, [0, 0, 0, 3]);
        assert_eq!(resolved.account.reconciled, 2);
    }

    #[test]
    fn two_authenticated_users_stay_two_and_the_anonymous_joins_one() {
        let same = Some("a@example.com");
        let resolved = joined(&[same, same, same], &[None; 3], &[1, 2]);
        assert_eq!(resolved.person, [1, 1, 2]);
        assert_eq!((resolved.account.reconciled, resolved.account.key_conflicts), (1, 1));
    }

    #[test]
    fn values_that_say_nothing_join_nobody() {
        let resolved =
            joined(&[Some("@"), Some("@"), Some("none"), Some("none")], &[Some("x"); 4], &[]);
        assert_eq!(resolved.person, [0, 1, 2, 3]);
    }
}
