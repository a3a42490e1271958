//! Which database a run is loaded into, and which of its rows are replaced.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use super::{Engine, LoadTable};
use crate::error::{Error, Result};

/// What the rows of a run replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Replace {
    /// Those of the same models and days.
    #[default]
    Period,
    /// Whatever the tables hold.
    All,
}

/// A database as `--output` names it.
///
/// # Example
///
/// ```
/// use apportion::databases::Database;
/// let place = Database::parse("postgres://ann:secret@db.example/shop?prefix=web_").unwrap().unwrap();
/// assert_eq!(place.to_string(), "postgres://ann@db.example/shop");
/// assert_eq!(Database::parse("report.csv").unwrap(), None);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Database {
    /// What kind of database it is.
    pub engine: Engine,
    /// Its file, or its address without what is ours in it. May hold a password.
    pub(super) place: String,
    /// The schema of the tables; the database's own where none is named.
    pub schema: Option<String>,
    /// What the names of the tables begin with.
    pub prefix: String,
    /// The tables that are loaded.
    pub tables: Vec<LoadTable>,
    /// What is replaced.
    pub replace: Replace,
    /// What the environment says of a server: `PGHOST` and the like.
    pub(super) environment: Vec<(&'static str, String)>,
}

/// The variables of the environment that a server's address may leave open.
const VARIABLES: [&str; 8] = [
    "PGHOST",
    "PGPORT",
    "PGUSER",
    "PGPASSWORD",
    "PGDATABASE",
    "PGCONNECT_TIMEOUT",
    "PGOPTIONS",
    "PGAPPNAME",
];

/// What the name of a table begins with, unless something else is asked for.
const PREFIX: &str = "apportion_";

/// What an address says of us, and not of the database.
const OPTIONS: [&str; 4] = ["schema", "prefix", "tables", "replace"];

/// Whether an output is a database and not a file.
pub(crate) fn names_database(output: &Path) -> bool {
    engine_of(&output.to_string_lossy()).is_some()
}

/// The engine that a text names, and where it says so: by what it begins or ends with.
fn engine_of(text: &str) -> Option<(Engine, &str)> {
    for scheme in ["postgres:", "postgresql:"] {
        if text.starts_with(scheme) {
            return Some((Engine::Postgres, text));
        }
    }
    for (scheme, engine) in [("sqlite:", Engine::Sqlite), ("duckdb:", Engine::DuckDb)] {
        if let Some(path) = text.strip_prefix(scheme) {
            return Some((engine, path));
        }
    }
    let path = text.split('?').next().unwrap_or_default();
    let ending = Path::new(path).extension()?.to_str()?;
    ending.eq_ignore_ascii_case("duckdb").then_some((Engine::DuckDb, text))
}

/// An output that a workspace file names, from the folder of that file: a server is where it is.
pub(crate) fn beside(folder: &Path, output: &Path) -> PathBuf {
    let text = output.to_string_lossy();
    match engine_of(&text) {
        Some((Engine::Postgres, _)) => output.to_path_buf(),
        Some((_, path)) if path.len() < text.len() => {
            let scheme = &text[..text.len() - path.len()];
            PathBuf::from(format!("{scheme}{}", folder.join(path).display()))
        }
        _ => folder.join(output),
    }
}

impl Database {
    /// Reads a place; none where the text names a file of another kind.
    ///
    /// # Errors
    ///
    /// An option that is not known, or that the database does not have.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        let Some((engine, place)) = engine_of(text) else { return Ok(None) };
        let wrong = |why: &str| Error::setting("--output", redacted(text), why);
        let (place, query) = match place.split_once('?') {
            Some((place, query)) => (place, query),
            None => (place, ""),
        };
        if engine == Engine::Postgres && !place.contains("://") {
            return Err(wrong("write `postgres://USER@HOST/DATABASE`"));
        }
        if engine != Engine::Postgres && (place.is_empty() || place.starts_with("//")) {
            return Err(wrong(
                "write `sqlite:PATH` or `duckdb:PATH`, without slashes before the path",
            ));
        }
        let mut database = Self {
            engine,
            place: place.to_owned(),
            schema: None,
            prefix: PREFIX.to_owned(),
            tables: LoadTable::ALL.to_vec(),
            replace: Replace::Period,
            environment: Vec::new(),
        };
        let mut others = Vec::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            match key {
                "schema" if engine == Engine::Sqlite => {
                    return Err(wrong(
                        "an SQLite file has no schemas; `prefix` begins the tables' names",
                    ));
                }
                "schema" if is_name(value) => database.schema = Some(value.to_owned()),
                "prefix" if is_name(value) => value.clone_into(&mut database.prefix),
                "schema" | "prefix" => {
                    return Err(wrong(
                        "`schema` and `prefix` are letters, digits and `_`, and begin with a letter",
                    ));
                }
                "tables" => {
                    let named: Option<Vec<LoadTable>> = value
                        .split(',')
                        .map(|name| LoadTable::ALL.into_iter().find(|table| table.name() == name))
                        .collect();
                    let named = named.ok_or_else(|| {
                        wrong("`tables` is `report`, `credits` or `report,credits`")
                    })?;
                    database.tables.retain(|table| named.contains(table));
                }
                "replace" => {
                    database.replace = match value {
                        "period" => Replace::Period,
                        "all" => Replace::All,
                        _ => return Err(wrong("`replace` is `period` or `all`")),
                    };
                }
                _ => others.push(option),
            }
        }
        if !others.is_empty() && engine != Engine::Postgres {
            let known = OPTIONS.join("`, `");
            return Err(wrong(&format!("after the `?` only `{known}` are known")));
        }
        if !others.is_empty() {
            database.place = format!("{}?{}", database.place, others.join("&"));
        }
        Ok(Some(database))
    }

    /// Takes from the environment what the address of a server leaves open.
    pub fn take_environment(&mut self, variable: impl Fn(&str) -> Option<String>) {
        if self.engine == Engine::Postgres {
            let said = VARIABLES.into_iter().filter_map(|name| Some((name, variable(name)?)));
            self.environment = said.filter(|(_, value)| !value.is_empty()).collect();
        }
    }

    /// Whether a table is loaded.
    pub fn loads(&self, table: LoadTable) -> bool {
        self.tables.contains(&table)
    }

    /// A table's name.
    pub(super) fn table(&self, table: LoadTable) -> String {
        format!("{}{}", self.prefix, table.name())
    }
}

/// An error if a database's file cannot stand at a place.
pub(super) fn check_place(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    fs::read_dir(folder).map_err(Error::io("write into", folder))?;
    if path.is_dir() {
        let why = "it is a folder; name a file in it";
        return Err(Error::setting("--output", path.display().to_string(), why));
    }
    Ok(())
}

/// Letters, digits and `_`, which no database has to be told how to read.
fn is_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(known) && text.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
}

/// A place as it may be shown: without a password, and without options.
fn redacted(text: &str) -> String {
    let place = text.split('?').next().unwrap_or_default();
    let Some((scheme, rest)) = place.split_once("://") else { return place.to_owned() };
    // A password may hold what ought to be escaped in it.
    match text[scheme.len() + 3..].rsplit_once('@') {
        Some((who, _)) => {
            let user = who.split([':', '?', '/']).next().unwrap_or_default();
            let host = rest.rsplit_once('@').map_or("\u{2026}", |(_, host)| host);
            format!("{scheme}://{user}@{host}")
        }
        None => place.to_owned(),
    }
}

impl fmt::Display for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&redacted(&self.place))
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.environment.iter().map(|(name, _)| *name).collect();
        formatter
            .debug_struct("Database")
            .field("place", &self.to_string())
            .field("schema", &self.schema)
            .field("prefix", &self.prefix)
            .field("tables", &self.tables)
            .field("replace", &self.replace)
            .field("environment", &names)
            .finish_non_exhaustive()
    }
}

/// A database, and what of it a run covers.
#[derive(Debug, Clone)]
pub struct Target {
    /// The database.
    pub database: Database,
    /// The first and the last day that are reported, where they are named.
    pub days: (Option<NaiveDate>, Option<NaiveDate>),
    /// The instants of these days: from the first, before the second.
    pub period: (i64, i64),
    /// The models that are asked for.
    pub models: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Database {
        Database::parse(text).unwrap().unwrap()
    }

    #[test]
    fn places_are_known_by_how_they_begin_or_end() {
        assert_eq!(parsed("sqlite:a/b.db").place, "a/b.db");
        assert_eq!(parsed("a/b.DuckDB").engine, Engine::DuckDb);
        assert_eq!(parsed("duckdb:x?schema=m").schema.as_deref(), Some("m"));
        let server =
            parsed("postgresql://u@h/d?sslmode=disable&tables=report&prefix=p_&replace=all");
        assert_eq!(server.place, "postgresql://u@h/d?sslmode=disable");
        assert_eq!((server.tables.len(), server.replace), (1, Replace::All));
        for file in ["report.csv", "postgres.csv", "a.parquet", "duckdb"] {
            assert_eq!(Database::parse(file).unwrap(), None, "{file}");
        }
    }

    #[test]
    fn what_cannot_be_is_said_without_a_password() {
        for text in [
            "postgres://ann:s3cret@h/d?prefix=1",
            "postgres://ann:s3c@ret/s3c@h/d?tables=x",
            "postgres://ann:s3c?ret@h/d?replace=x&schema=;",
            "postgres://h/d?password=s3cret&replace=some",
            "postgres://h/d?password=s3c@ret&replace=some",
        ] {
            let said = Database::parse(text).err().unwrap().to_string();
            assert!(!said.contains("s3c"), "{said}");
        }
        let database = parsed("postgres://ann:s3cret@h/d?password=s3cret");
        assert!(!format!("{database} {database:?}").contains("s3c"));
        for wrong in ["sqlite:", "sqlite:///a", "sqlite:a?schema=b", "duckdb:a?colour=b"] {
            assert!(Database::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_workspace_file_names_places_beside_itself() {
        let folder = Path::new("shop");
        assert_eq!(beside(folder, Path::new("sqlite:a.db")), Path::new("sqlite:shop/a.db"));
        assert_eq!(beside(folder, Path::new("a.duckdb")), Path::new("shop/a.duckdb"));
        assert_eq!(beside(folder, Path::new("postgres://h/d")), Path::new("postgres://h/d"));
    }
}
