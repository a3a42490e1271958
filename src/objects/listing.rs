//! Which objects an address stands for: one, those below a prefix, or those that match a glob.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::TryStreamExt;
use glob::{MatchOptions, Pattern};
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt};

use super::address::{Address, Kind};
use super::failure::failed;
use super::object::{Object, fetch_tails};
use super::runtime;
use super::stores::store;
use crate::error::{Error, Result};

/// Wildcards do not reach over a `/`, as on a disk.
const WILDCARDS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// What an address stands for.
#[derive(Debug, Clone)]
pub struct Found {
    /// The objects, in the order of their keys.
    pub objects: Vec<Object>,
    /// How many components of their addresses, as paths, were named and not found.
    pub fixed: usize,
}

/// What was found since listings were last forgotten, by address and whether it was of Parquet.
static KNOWN: Mutex<BTreeMap<(String, bool), Found>> = Mutex::new(BTreeMap::new());

/// Forgets what was found, so that the next to ask sees what there is now.
pub fn forget() {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// The objects that an address stands for. Below a prefix it is those that `is_named` takes by the
/// last part of their key; names that begin with `.` or `_` are left out.
///
/// What was found is remembered until [`forget`], so that a run sees one state of a store however
/// often it asks. `parquet` says that their footers will be asked for.
///
/// # Errors
///
/// An address that cannot be understood, a store that does not say what it has.
pub fn list(text: &str, parquet: bool, is_named: &dyn Fn(&str) -> bool) -> Result<Found> {
    let address = Address::parse(text)?;
    let known = (address.to_string(), parquet);
    if let Some(found) = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(&known) {
        return Ok(found.clone());
    }
    let found = find(&address, is_named)?;
    if parquet && found.objects.len() > 1 {
        fetch_tails(&found.objects);
    }
    // What is not there yet may be waited for.
    if !found.objects.is_empty() {
        KNOWN.lock().unwrap_or_else(PoisonError::into_inner).insert(known, found.clone());
    }
    Ok(found)
}

fn find(address: &Address, is_named: &dyn Fn(&str) -> bool) -> Result<Found> {
    let store = store(address)?;
    let folders = |key: &str| 2 + key.split('/').filter(|part| !part.is_empty()).count();
    if address.is_glob() {
        if address.kind == Kind::Web {
            let why = "a web server does not say what it has; name each file";
            return Err(Error::setting("address", address.to_string(), why));
        }
        let pattern = Pattern::new(address.key.trim_end_matches('/'))
            .map_err(|source| Error::Glob { pattern: address.to_string(), source })?;
        let fixed = address.key.split('/').take_while(|part| !part.contains(['*', '?', '[']));
        let fixed: Vec<&str> = fixed.collect();
        let prefix = Address { key: fixed.join("/"), ..address.clone() };
        let taken = |key: &str| is_taken(&pattern, key, is_named);
        let objects = below(&prefix, &store, &taken)?;
        return Ok(Found { objects, fixed: folders(&prefix.key) });
    }
    if !address.ends_as_folder()
        && let Some(meta) = head(address, &store)?
    {
        let folder = address.key.rsplit_once('/').map_or("", |(folder, _)| folder);
        let object = Object::new(address.clone(), &store, meta);
        return Ok(Found { objects: vec![object], fixed: folders(folder) });
    }
    if address.kind == Kind::Web {
        if address.ends_as_folder() {
            let why = "a web server does not say what it has; name a file";
            return Err(Error::setting("address", address.to_string(), why));
        }
        return Ok(Found { objects: Vec::new(), fixed: 0 });
    }
    let start = address.key.trim_end_matches('/').len();
    let taken = |key: &str| is_below(key.get(start..).unwrap_or_default(), is_named);
    let objects = below(address, &store, &taken)?;
    Ok(Found { objects, fixed: folders(&address.key) })
}

/// What a store says of one object; `None` where it has none of the key.
fn head(address: &Address, store: &Arc<dyn ObjectStore>) -> Result<Option<ObjectMeta>> {
    let failed = failed("read", address);
    let (store, key) = (Arc::clone(store), address.key()?);
    let asked = runtime::wait(async move {
        match store.head(&key).await {
            Err(error @ StoreError::NotFound { .. }) => Err(error),
            // The answer to a question for the head of an object says no reasons.
            Err(error) => match store.get_range(&key, 0..1).await {
                Err(StoreError::NotFound { .. }) | Ok(_) => Err(error),
                Err(reason) => Err(reason),
            },
            meta => meta,
        }
    });
    match asked.map_err(Error::io("read", address.to_string().as_ref()))? {
        Ok(meta) => Ok(Some(meta)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// The objects below an address whose key is taken.
fn below(
    prefix: &Address,
    store: &Arc<dyn ObjectStore>,
    taken: &dyn Fn(&str) -> bool,
) -> Result<Vec<Object>> {
    let failed = failed("list", prefix);
    let asked = Arc::clone(store);
    let key = Some(prefix.key()?).filter(|key| !key.as_ref().is_empty());
    let listed =
        runtime::wait(
            async move { asked.list(key.as_ref()).try_collect::<Vec<ObjectMeta>>().await },
        );
    let listed = listed.map_err(Error::io("read", prefix.to_string().as_ref()))?.map_err(failed)?;
    let mut listed: Vec<ObjectMeta> =
        listed.into_iter().filter(|meta| taken(meta.location.as_ref())).collect();
    listed.sort_by(|left, right| left.location.cmp(&right.location));
    let object = |meta: ObjectMeta| Object::new(prefix.at(&meta.location), store, meta);
    Ok(listed.into_iter().map(object).collect())
}

/// Whether writers of folders mean a name for themselves.
fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

/// Whether what follows a folder in a key leads to an object that the folder stands for.
fn is_below(rest: &str, is_named: &dyn Fn(&str) -> bool) -> bool {
    let mut parts = rest.split('/').filter(|part| !part.is_empty());
    let name = rest.rsplit('/').next().unwrap_or_default();
    is_named(name) && !parts.any(is_hidden)
}

/// Whether a glob matches a key, or a folder above it that then stands for it.
fn is_taken(pattern: &Pattern, key: &str, is_named: &dyn Fn(&str) -> bool) -> bool {
    let is_hidden = |path: &str| is_hidden(path.rsplit('/').next().unwrap_or_default());
    if pattern.matches_with(key, WILDCARDS) {
        return !is_hidden(key);
    }
    let mut folders = key.match_indices('/').map(|(at, _)| key.split_at(at));
    folders.any(|(folder, rest)| {
        pattern.matches_with(folder, WILDCARDS) && !is_hidden(folder) && is_below(rest, is_named)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_parquet(name: &str) -> bool {
        name.ends_with(".parquet")
    }

    #[test]
    fn globs_take_what_they_take_on_a_disk() {
        let pattern = Pattern::new("export/*/day=[12]*").unwrap();
        for (key, taken) in [
            ("export/a/day=1/b.parquet", true),
            ("export/a/day=1/hour=3/b.parquet", true),
            ("export/a/day=1.parquet", true),
            ("export/a/day=1.csv", true),
            ("export/a/day=1/b.csv", false),
            ("export/a/day=1/_temporary/b.parquet", false),
            ("export/a/day=1/.b.parquet", false),
            ("export/a/b/day=1/c.parquet", false),
            ("export/a/day=3/b.parquet", false),
        ] {
            assert_eq!(is_taken(&pattern, key, &is_parquet), taken, "{key}");
        }
        let deep = Pattern::new("export/**/*.parquet").unwrap();
        assert!(is_taken(&deep, "export/a/b/c.parquet", &is_parquet));
        assert!(!is_taken(&deep, "export/a/b/_c.parquet", &is_parquet));
    }

    #[test]
    fn a_prefix_stands_for_what_a_folder_does() {
        for (rest, below) in [
            ("/a.parquet", true),
            ("/day=1/a.parquet", true),
            ("/_SUCCESS", false),
            ("/_delta_log/a.parquet", false),
            ("/a.csv", false),
        ] {
            assert_eq!(is_below(rest, &is_parquet), below, "{rest}");
        }
    }
}
