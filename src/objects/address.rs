//! Where an object is: a scheme, a bucket or host, and a key.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use object_store::path::Path as Key;
use url::Url;

use crate::error::{Error, Result};

/// What kind of store a scheme leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    S3,
    Google,
    Azure,
    Web,
}

/// The schemes there are.
const SCHEMES: [(&str, Kind); 11] = [
    ("s3", Kind::S3),
    ("s3a", Kind::S3),
    ("gs", Kind::Google),
    ("gcs", Kind::Google),
    ("az", Kind::Azure),
    ("azure", Kind::Azure),
    ("adl", Kind::Azure),
    ("abfs", Kind::Azure),
    ("abfss", Kind::Azure),
    ("http", Kind::Web),
    ("https", Kind::Web),
];

/// What an address on the web said of who is asking.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Secret {
    /// `user:password`, as it is encoded in the address.
    pub(super) user: Option<String>,
    /// What follows the question mark.
    pub(super) query: Option<String>,
}

/// What addresses said of who is asking, by what is left of them.
static SECRETS: Mutex<BTreeMap<String, Secret>> = Mutex::new(BTreeMap::new());

/// Where an object is, or several.
///
/// # Example
///
/// ```
/// use apportion::objects::Address;
/// let address = Address::parse("s3://bucket/sessions/day=1/")?;
/// assert_eq!(address.to_string(), "s3://bucket/sessions/day=1/");
/// let signed = Address::parse("https://cdn.example/a.parquet?signature=abc")?;
/// assert_eq!(signed.to_string(), "https://cdn.example/a.parquet");
/// assert!(Address::parse("gopher://old/a.parquet").is_err());
/// # Ok::<(), apportion::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) kind: Kind,
    /// What is before the key: `s3://bucket`.
    pub(super) store: String,
    /// What is after it, as it was written.
    pub(super) key: String,
}

impl Address {
    /// Makes sense of an address; what it says of who is asking is remembered, and not a part of it.
    ///
    /// # Errors
    ///
    /// A scheme that leads to no store, an address without a bucket or host.
    pub fn parse(text: &str) -> Result<Self> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let Some(kind) = kind_of(scheme) else {
            return Err(Error::Unknown {
                kind: "store",
                name: format!("{scheme}://"),
                known: SCHEMES.map(|(scheme, _)| format!("{scheme}://")).into(),
            });
        };
        let scheme = scheme.to_ascii_lowercase();
        let (public, secret) =
            if kind == Kind::Web { divide(rest) } else { (rest.to_owned(), Secret::default()) };
        let (authority, key) = public.split_once('/').unwrap_or((&public, ""));
        let address = Self { kind, store: format!("{scheme}://{authority}"), key: key.to_owned() };
        let valid = !authority.is_empty()
            && (kind != Kind::Web || Url::parse(&address.to_string()).is_ok());
        if !valid {
            let why = "write `SCHEME://BUCKET/KEY`, or `https://HOST/PATH`";
            return Err(Error::setting("address", address.to_string(), why));
        }
        address.remember(secret)?;
        Ok(address)
    }

    /// The address of an object in the same store.
    pub(super) fn at(&self, key: &Key) -> Self {
        Self { key: key.to_string(), ..self.clone() }
    }

    /// Whether it stands for every object whose key matches; on the web only `*` is no part of a name.
    pub(super) fn is_glob(&self) -> bool {
        let wild: &[char] = if self.kind == Kind::Web { &['*'] } else { &['*', '?', '['] };
        self.key.contains(wild)
    }

    /// Whether it cannot be one object, because it ends like a folder.
    pub(super) fn ends_as_folder(&self) -> bool {
        self.key.is_empty() || self.key.ends_with('/')
    }

    /// The key as stores take it.
    pub(super) fn key(&self) -> Result<Key> {
        let key = match self.kind {
            Kind::Web => Key::from_url_path(&self.key),
            Kind::S3 | Kind::Google | Kind::Azure => Key::parse(&self.key),
        };
        key.map_err(|error| {
            Error::setting("address", self.to_string(), format!("its key is none: {error}"))
        })
    }

    /// What the address said of who is asking.
    pub(super) fn secret(&self) -> Secret {
        let known = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&self.to_string()).cloned().unwrap_or_default()
    }

    /// Remembers what was said of who is asking.
    fn remember(&self, secret: Secret) -> Result<()> {
        if secret == Secret::default() {
            return Ok(());
        }
        let mut known = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
        let name = self.to_string();
        match known.get(&name) {
            Some(other) if other.query != secret.query && other.query.is_some() => {
                Err(Error::Contradiction(format!(
                    "two addresses of `{name}` differ only in what follows `?`, which is taken for a signature; give the files names of their own"
                )))
            }
            _ => {
                known.insert(name, secret);
                Ok(())
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.store, self.key)
    }
}

/// Divides what follows `https://` into what may be shown and what may not.
fn divide(rest: &str) -> (String, Secret) {
    let rest = rest.split('#').next().unwrap_or_default();
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query.to_owned()).filter(|query| !query.is_empty())),
        None => (rest, None),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user.to_owned()), host),
        None => (None, authority),
    };
    (format!("{host}/{path}"), Secret { user, query })
}

fn kind_of(scheme: &str) -> Option<Kind> {
    let named = |(name, _): &&(&str, Kind)| scheme.eq_ignore_ascii_case(name);
    SCHEMES.iter().find(named).map(|(_, kind)| *kind)
}

/// Whether a place is an object's, not one of this machine.
pub fn is_address(place: &str) -> bool {
    place.split_once("://").is_some_and(|(scheme, _)| kind_of(scheme).is_some())
}

/// A place as it may be shown: an address without what it says of who is asking.
pub fn public(place: &str) -> String {
    match place.split_once("://") {
        Some((scheme, rest)) if kind_of(scheme) == Some(Kind::Web) => {
            let (rest, _) = divide(rest);
            format!("{}://{rest}", scheme.to_ascii_lowercase())
        }
        _ => place.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_address_says_of_who_is_asking_is_not_shown() {
        let text = "https://me:word@files.example:8443/a%20b/c.parquet?sig=abc&x=1#top";
        let address = Address::parse(text).unwrap();
        assert_eq!(address.to_string(), "https://files.example:8443/a%20b/c.parquet");
        assert_eq!(public(text), address.to_string());
        assert_eq!(address.key().unwrap().as_ref(), "a b/c.parquet");
        let secret = Address::parse(&address.to_string()).unwrap().secret();
        assert_eq!(secret.user.unwrap(), "me:word");
        assert_eq!(secret.query.unwrap(), "sig=abc&x=1");
        let error = Address::parse("https://files.example:8443/a%20b/c.parquet?sig=other");
        let error = error.unwrap_err().to_string();
        assert!(error.contains("differ only in what follows"), "{error}");
        assert!(!error.contains("other") && !error.contains("abc"), "{error}");
    }

    #[test]
    fn keys_are_taken_as_they_are_written() {
        let address = Address::parse("s3://bucket/time=10%3A00/a b?.parquet").unwrap();
        assert_eq!(address.key().unwrap().as_ref(), "time=10%3A00/a b?.parquet");
        assert_eq!(address.store, "s3://bucket");
        let account = "abfss://container@account.dfs.core.windows.net/a.parquet";
        assert_eq!(Address::parse(account).unwrap().to_string(), account);
        for (text, why) in
            [("s3:///key", "write `SCHEME://BUCKET/KEY`"), ("s3://bucket/a//b", "its key is none")]
        {
            let error = Address::parse(text).and_then(|address| address.key()).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
        let unknown = Address::parse("gss://bucket/a").unwrap_err();
        assert!(unknown.hint().unwrap().contains("did you mean `gs://`"));
    }

    #[test]
    fn files_of_this_machine_are_no_addresses() {
        for place in ["a.parquet", "C:\\a", "/a/b", "postgres://host/db", "file:///a", "s3/a"] {
            assert!(!is_address(place), "{place}");
            assert_eq!(public(place), place);
        }
        assert!(is_address("S3://bucket/a") && is_address("https://host/a"));
    }
}
