//! Finds the Parquet files that a path, folder or glob stands for, with the columns in their path.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::schema::Table;

/// A file of a table, and the `key=value` folders on the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where the file is.
    pub path: PathBuf,
    /// Columns that the folder names give.
    pub hive: BTreeMap<String, String>,
}

/// The files of a table, each once, in the order of their paths.
///
/// A folder stands for every `*.parquet` file below it; names that begin with `.` or `_` are left
/// out, as every writer of such folders expects. A file may have any name.
pub fn find(table: Table, patterns: &[String]) -> Result<Vec<Source>> {
    let mut paths = Vec::new();
    for pattern in patterns {
        let before = paths.len();
        let path = Path::new(pattern);
        if path.exists() {
            collect(path, &mut Vec::new(), &mut paths)?;
        } else {
            let matches = glob::glob(pattern)
                .map_err(|source| Error::Glob { pattern: pattern.clone(), source })?;
            for entry in matches {
                let entry = entry.map_err(|error| {
                    let path = error.path().to_path_buf();
                    Error::io("read", &path)(error.into())
                })?;
                if !is_hidden(&entry) {
                    collect(&entry, &mut Vec::new(), &mut paths)?;
                }
            }
        }
        if paths.len() == before {
            return Err(Error::NoFiles { table: table.name(), pattern: pattern.clone() });
        }
    }
    paths.sort();
    // The same file may be given under several names.
    let mut seen = BTreeSet::new();
    paths.retain(|path| seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone())));
    Ok(paths.into_iter().map(|path| Source { hive: hive_columns(&path), path }).collect())
}

/// Whether writers of folders mean a file for themselves: `_SUCCESS`, `.part.crc`.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(['.', '_']))
}

/// Collects a file, or those below a folder; `above` are the folders that led here, because a link
/// may lead back.
fn collect(path: &Path, above: &mut Vec<PathBuf>, paths: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        paths.push(path.to_path_buf());
        return Ok(());
    }
    let folder = fs::canonicalize(path).map_err(Error::io("read", path))?;
    if above.contains(&folder) {
        return Ok(());
    }
    above.push(folder);
    for entry in fs::read_dir(path).map_err(Error::io("read", path))? {
        let entry = entry.map_err(Error::io("read", path))?.path();
        let parquet = entry.extension().is_some_and(|extension| {
            extension.eq_ignore_ascii_case("parquet") || extension.eq_ignore_ascii_case("pq")
        });
        if !is_hidden(&entry) && (entry.is_dir() || parquet) {
            collect(&entry, above, paths)?;
        }
    }
    above.pop();
    Ok(())
}

fn hive_columns(path: &Path) -> BTreeMap<String, String> {
    let folders = path.parent().into_iter().flat_map(Path::components);
    folders
        .filter_map(|part| part.as_os_str().to_str()?.split_once('='))
        .filter(|(key, value)| !key.is_empty() && *value != "__HIVE_DEFAULT_PARTITION__")
        .map(|(key, value)| (key.to_owned(), percent_decoded(value)))
        .collect()
}

/// `%3A` as `:`; writers of hive folders escape what a file name cannot hold.
fn percent_decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = (first == b'%').then(|| tail.get(..2)).flatten();
        let decoded =
            hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(decoded.unwrap_or(first));
        rest = if decoded.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_globs_and_files_are_found_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let day = folder.path().join("day=2024-01-01/country=a%2Fb");
        fs::create_dir_all(&day).unwrap();
        for name in ["b.parquet", "a.PARQUET", "_SUCCESS", ".hidden.parquet", "notes.txt"] {
            fs::write(day.join(name), "").unwrap();
        }
        let root = folder.path().to_str().unwrap().to_owned();
        let found = find(Table::Orders, &[root.clone(), format!("{root}/*/*/b.parquet")]).unwrap();
        let names: Vec<_> =
            found.iter().map(|source| source.path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.PARQUET", "b.parquet"]);
        assert_eq!(found[0].hive["day"], "2024-01-01");
        assert_eq!(found[0].hive["country"], "a/b");
    }

    #[test]
    fn nothing_found_is_an_error_that_names_the_pattern() {
        let error = find(Table::Orders, &["no/such/*.parquet".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "no orders file is found at `no/such/*.parquet`");
        assert!(matches!(find(Table::Orders, &["a[".to_owned()]), Err(Error::Glob { .. })));
    }
}
