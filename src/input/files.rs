//! Finds the Parquet files that a path, folder or glob stands for, here or in a store of objects, with
//! the columns in their path; tables in memory stand beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::memory::MemoryTable;
use super::seen::Seen;
use crate::error::{Error, Result};
use crate::objects::{self, Object};
use crate::schema::Table;

/// The path that stands for standard input, from which items can be read.
pub const STANDARD_INPUT: &str = "-";

/// What is given for a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A path, folder, glob or address, and what was seen of its files.
    Path(String, Seen),
    /// Rows in memory.
    Memory(MemoryTable),
}

impl fmt::Display for Input {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path, _) => formatter.write_str(path),
            Self::Memory(table) => write!(formatter, "{}", table.path().display()),
        }
    }
}

impl From<&str> for Input {
    fn from(path: &str) -> Self {
        Self::from(path.to_owned())
    }
}

impl From<String> for Input {
    fn from(path: String) -> Self {
        Self::Path(path, Seen::default())
    }
}

/// A file of a table, and the `key=value` folders on the way to it; or what stands for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where the file is: an object's address is one too, as it may be shown, and so is what stands for
    /// a table in memory.
    pub path: PathBuf,
    /// Columns that the folder names give.
    pub hive: BTreeMap<String, String>,
    /// The object, where it is none of this machine's files.
    pub object: Option<Object>,
    /// The table in memory, where it is one; then there is no object.
    pub memory: Option<MemoryTable>,
    /// What was seen of the file, where it is one.
    pub seen: Seen,
}

impl Source {
    /// Its size.
    ///
    /// # Errors
    ///
    /// A file that is gone.
    pub fn bytes(&self) -> Result<u64> {
        match (&self.object, &self.memory) {
            (Some(object), _) => Ok(object.bytes()),
            (None, Some(table)) => Ok(table.bytes()),
            (None, None) => self.seen.size(&self.path),
        }
    }

    /// A stream of all of it, to which more may be added at its end meanwhile.
    ///
    /// # Errors
    ///
    /// A file that cannot be opened, or is not what it was.
    pub fn stream(&self) -> Result<Box<dyn Read + Send>> {
        Ok(match &self.object {
            Some(object) => Box::new(objects::Stream::new(object)),
            None => Box::new(self.seen.open_growing(&self.path)?),
        })
    }

    /// An error if the file is not what it was when it was first opened.
    ///
    /// # Errors
    ///
    /// [`Error::Changed`].
    pub fn check_unchanged(&self) -> Result<()> {
        self.seen.check_file(&self.path)
    }
}

/// The files of a table, each once, in the order of their paths.
///
/// A folder stands for every `*.parquet` file below it, of items for every `*.ndjson`, `*.jsonl` and
/// `*.json` file, compressed (`.gz`, `.zst`) or not; names that begin with `.` or `_` are left out,
/// as every writer of such folders expects. A file may have any name; for items `-` is standard
/// input. An address stands for an object, or for those below it as a folder stands for its files.
///
/// `key=value` folders become columns from where the pattern begins to choose: below a folder, from
/// the first wildcard of a glob on. Whoever names `year=2024/day=1/` or a file in it means those
/// too, so an unbroken row of such folders just above counts; what lies above another folder is
/// where the export happens to stand, and says nothing of its rows.
///
/// An input remembers the files that it was found to stand for, so that a run sees one state of a folder
/// however often it asks; [`find_anew`] sees what there is now.
pub fn find(table: Table, inputs: &[Input]) -> Result<Vec<Source>> {
    find_as(table, inputs, &Seen::clone)
}

/// The files that a table has now, whatever was found before; what they were before is not known to them.
///
/// # Errors
///
/// As of [`find`].
pub fn find_anew(table: Table, inputs: &[Input]) -> Result<Vec<Source>> {
    find_as(table, inputs, &|_| Seen::default())
}

/// An error if a file of any table is not what it was when it was first opened.
///
/// # Errors
///
/// [`Error::Changed`].
pub fn check_unchanged<'a>(inputs: impl Iterator<Item = &'a Input>) -> Result<()> {
    let seen = inputs.filter_map(|input| match input {
        Input::Path(_, seen) => Some(seen),
        Input::Memory(_) => None,
    });
    seen.into_iter().try_for_each(Seen::check)
}

fn find_as(table: Table, inputs: &[Input], seen_by: &dyn Fn(&Seen) -> Seen) -> Result<Vec<Source>> {
    let mut sources: Vec<Source> = Vec::new();
    for input in inputs {
        let (pattern, seen) = match input {
            Input::Path(pattern, seen) => (pattern, seen_by(seen)),
            Input::Memory(held) => {
                let (path, memory) = (held.path().to_path_buf(), Some(held.clone()));
                let (hive, seen) = (BTreeMap::new(), Seen::default());
                sources.push(Source { path, hive, object: None, memory, seen });
                continue;
            }
        };
        if pattern.contains("://") && !Path::new(pattern).exists() {
            sources.extend(objects_of(table, pattern)?);
            continue;
        }
        let mut paths = seen.listed().unwrap_or_default();
        let path = Path::new(pattern);
        if !paths.is_empty() {
            // They were found before.
        } else if table == Table::Items && pattern == STANDARD_INPUT {
            paths.push(path.to_path_buf());
        } else if is_there(path)? {
            collect(table, path, &mut Vec::new(), &mut paths)?;
        } else {
            let matches = glob::glob(pattern)
                .map_err(|source| Error::Glob { pattern: pattern.clone(), source })?;
            for entry in matches {
                let entry = entry.map_err(|error| {
                    let path = error.path().to_path_buf();
                    Error::io("read", &path)(error.into())
                })?;
                if !is_hidden(&entry) {
                    collect(table, &entry, &mut Vec::new(), &mut paths)?;
                }
            }
        }
        if paths.is_empty() {
            return Err(Error::NoFiles { table: table.name(), pattern: pattern.clone() });
        }
        seen.list(&paths);
        let fixed = fixed_components(path);
        let source = |path: PathBuf| Source {
            hive: hive_columns(&path, fixed),
            path,
            object: None,
            memory: None,
            seen: seen.clone(),
        };
        sources.extend(paths.into_iter().map(source));
    }
    sources.sort_by(|left, right| {
        left.path.cmp(&right.path).then_with(|| right.hive.len().cmp(&left.hive.len()))
    });
    // The same file may be given under several names.
    let mut seen = BTreeSet::new();
    sources.retain(|source| {
        let is_file = source.object.is_none() && source.memory.is_none();
        let there = is_file.then(|| fs::canonicalize(&source.path).ok()).flatten();
        seen.insert(there.unwrap_or_else(|| source.path.clone()))
    });
    Ok(sources)
}

/// Whether a path is one of a file or folder; a glob is none.
fn is_there(path: &Path) -> Result<bool> {
    // Not every system has names in which wildcards may stand.
    let is_glob = path.to_string_lossy().contains(['*', '?', '[']);
    path.try_exists()
        .or_else(|error| if is_glob { Ok(false) } else { Err(error) })
        .map_err(Error::io("read", path))
}

/// The objects that an address stands for.
fn objects_of(table: Table, address: &str) -> Result<impl Iterator<Item = Source> + use<>> {
    let is_named = |name: &str| is_named_as(table, Path::new(name));
    let found = objects::list(address, table != Table::Items, &is_named)?;
    if found.objects.is_empty() {
        let pattern = objects::public(address);
        return Err(Error::NoFiles { table: table.name(), pattern });
    }
    Ok(found.objects.into_iter().map(move |object| {
        let path = object.path();
        let hive = hive_columns(&path, found.fixed);
        Source { hive, path, object: Some(object), memory: None, seen: Seen::default() }
    }))
}

/// How many components of every path that a pattern stands for are the pattern's own: all folders
/// of one that exists, those before the first wildcard of a glob.
fn fixed_components(pattern: &Path) -> usize {
    if pattern.is_dir() {
        return pattern.components().count();
    }
    let folders = pattern.parent().into_iter().flat_map(Path::components);
    if pattern.exists() {
        return folders.count();
    }
    let is_wild =
        |part: &Component<'_>| part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    folders.take_while(|part| !is_wild(part)).count()
}

/// Whether writers of folders mean a file for themselves: `_SUCCESS`, `.part.crc`.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(['.', '_']))
}

/// Collects a file, or those below a folder; `above` are the folders that led here, because a link
/// may lead back.
fn collect(
    table: Table,
    path: &Path,
    above: &mut Vec<PathBuf>,
    paths: &mut Vec<PathBuf>,
) -> Result<()> {
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
        if !is_hidden(&entry) && (entry.is_dir() || is_named_as(table, &entry)) {
            collect(table, &entry, above, paths)?;
        }
    }
    above.pop();
    Ok(())
}

/// Whether a file's name says that it can be one of a table's.
fn is_named_as(table: Table, path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let mut endings = name.rsplit('.');
    let mut ending = endings.next();
    if table != Table::Items {
        return matches!(ending, Some("parquet" | "pq"));
    }
    if matches!(ending, Some("gz" | "zst")) {
        ending = endings.next();
    }
    matches!(ending, Some("ndjson" | "jsonl" | "json"))
}

/// The columns that a file's folders give; `fixed` components of its path were named, not found.
fn hive_columns(path: &Path, fixed: usize) -> BTreeMap<String, String> {
    let folders: Vec<&str> = path
        .parent()
        .into_iter()
        .flat_map(Path::components)
        .map(|part| part.as_os_str().to_str().unwrap_or_default())
        .collect();
    let (named, found) = folders.split_at(fixed.min(folders.len()));
    let just_above = named.iter().rev().take_while(|part| part.contains('=')).count();
    named[named.len() - just_above..]
        .iter()
        .chain(found)
        .filter_map(|part| part.split_once('='))
        .filter(|(key, value)| !key.is_empty() && *value != "__HIVE_DEFAULT_PARTITION__")
        .map(|(key, value)| (key.to_owned(), percent_decoded(value)))
        .collect()
}

/// `%3A` as `:`; writers of hive folders escape what a file name cannot hold.
pub(crate) fn percent_decoded(value: &str) -> String {
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
        let found =
            find(Table::Orders, &[root.clone().into(), format!("{root}/*/*/b.parquet").into()])
                .unwrap();
        let names: Vec<_> =
            found.iter().map(|source| source.path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.PARQUET", "b.parquet"]);
        assert_eq!(found[0].hive["day"], "2024-01-01");
        assert_eq!(found[0].hive["country"], "a/b");
    }

    #[test]
    fn folders_above_what_is_named_are_no_columns() {
        let folder = tempfile::tempdir().unwrap();
        let day = folder.path().join("run=7/export/year=2024/day=1");
        fs::create_dir_all(&day).unwrap();
        fs::write(day.join("a.parquet"), "").unwrap();
        let root = folder.path().join("run=7").to_str().unwrap().to_owned();
        let keys = |pattern: String| -> Vec<String> {
            let found = find(Table::Orders, &[pattern.into()]).unwrap();
            found[0].hive.keys().cloned().collect()
        };
        for pattern in [
            format!("{root}/export"),
            format!("{root}/export/year=2024"),
            format!("{root}/export/year=2024/day=1/"),
            format!("{root}/export/*/*/*.parquet"),
            format!("{root}/export/year=2024/*/a.parquet"),
            format!("{root}/export/year=2024/day=1/*.parquet"),
            format!("{root}/export/year=2024/day=1/a.parquet"),
        ] {
            assert_eq!(keys(pattern.clone()), ["day", "year"], "{pattern}");
        }
        // Who names the folder `run=7` itself, or chooses among its kind, means it.
        assert_eq!(keys(root.clone()), ["day", "run", "year"]);
        assert_eq!(keys(root.replace("run=7", "run=*/export")), ["day", "run", "year"]);
    }

    #[test]
    fn nothing_found_is_an_error_that_names_the_pattern() {
        let error = find(Table::Orders, &["no/such/*.parquet".into()]).unwrap_err();
        assert_eq!(error.to_string(), "no orders file is found at `no/such/*.parquet`");
        assert!(matches!(find(Table::Orders, &["a[".into()]), Err(Error::Glob { .. })));
    }
}
