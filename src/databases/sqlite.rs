//! An SQLite file.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, ErrorCode, params_from_iter};

use super::columns::{Column, Kind};
use super::place::check_place;
use super::statements::{literal, names};
use super::{Database, Rows, Session, failed};
use crate::calendar::format_micros;
use crate::error::{Error, Result};
use crate::output::cell_text;

/// How long another writer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What every SQLite file begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// A transaction in an SQLite file.
pub(super) struct SqliteFile<'a> {
    database: &'a Database,
    /// None once it is closed.
    connection: Option<Connection>,
    /// A file that there was not before, and goes again unless it is committed.
    made: Option<PathBuf>,
}

/// An error if there is no folder for the file, or something else stands in its place.
pub(super) fn check(database: &Database) -> Result<()> {
    let path = Path::new(&database.place);
    check_place(path)?;
    let Ok(mut file) = File::open(path) else { return Ok(()) };
    let mut start = Vec::new();
    let read = file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut start);
    read.map_err(Error::io("read", path))?;
    if start.is_empty() || start == MAGIC {
        return Ok(());
    }
    Err(failed(database, "it is a file, but not an SQLite database"))
}

/// Asks for the columns of a table.
pub(super) fn columns(table: &str) -> String {
    format!("select name, type from pragma_table_info({})", literal(table))
}

impl<'a> SqliteFile<'a> {
    /// Opens the file, and begins to write.
    pub(super) fn begin(database: &'a Database) -> Result<Self> {
        let path = PathBuf::from(&database.place);
        let made = (!path.exists()).then(|| path.clone());
        let failed = sqlite_failed(database);
        let connection = Connection::open(&path).map_err(failed)?;
        let mut file = Self { database, connection: Some(connection), made };
        let connection = file.connection()?;
        connection.busy_timeout(PATIENCE).map_err(sqlite_failed(database))?;
        file.execute("begin immediate")?;
        Ok(file)
    }

    fn connection(&mut self) -> Result<&mut Connection> {
        let closed = || failed(self.database, "it is closed");
        self.connection.as_mut().ok_or_else(closed)
    }
}

impl Session for SqliteFile<'_> {
    fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let failed = sqlite_failed(self.database);
        let all = |connection: &mut Connection| {
            let mut statement = connection.prepare(sql)?;
            let width = statement.column_count();
            let rows = statement.query_map([], |row| {
                (0..width)
                    .map(|at| {
                        Ok(match row.get_ref(at)? {
                            ValueRef::Null => None,
                            ValueRef::Integer(whole) => Some(whole.to_string()),
                            ValueRef::Real(float) => Some(float.to_string()),
                            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                                Some(String::from_utf8_lossy(bytes).into_owned())
                            }
                        })
                    })
                    .collect()
            })?;
            rows.collect::<rusqlite::Result<Vec<Vec<Option<String>>>>>()
        };
        all(self.connection()?).map_err(failed)
    }

    fn execute(&mut self, sql: &str) -> Result<()> {
        let failed = sqlite_failed(self.database);
        self.connection()?.execute_batch(sql).map_err(failed)
    }

    fn insert(&mut self, table: &str, columns: &[Column], rows: &Rows<'_>) -> Result<()> {
        let database = self.database;
        let connection = self.connection()?;
        let places = vec!["?"; columns.len()].join(", ");
        let sql = format!("insert into {table} ({}) values ({places})", names(columns));
        let mut statement = connection.prepare(&sql).map_err(sqlite_failed(database))?;
        rows.each(|rows| {
            for row in 0..rows.num_rows() {
                let values = (0..columns.len()).map(|at| value(rows, at, row, columns[at].kind));
                let inserted = statement.execute(params_from_iter(values));
                inserted.map_err(sqlite_failed(database))?;
            }
            Ok(())
        })
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        self.execute("commit")?;
        self.made = None;
        Ok(())
    }
}

impl Drop for SqliteFile<'_> {
    fn drop(&mut self) {
        // What was not committed is rolled back as the file is closed.
        drop(self.connection.take());
        if let Some(path) = self.made.take() {
            drop(fs::remove_file(path));
        }
    }
}

/// A cell as SQLite holds it.
fn value(rows: &RecordBatch, column: usize, row: usize, kind: Kind) -> Value {
    let array = rows.column(column);
    if array.is_null(row) {
        return Value::Null;
    }
    match (kind, array.data_type()) {
        (_, DataType::Int64) => Value::Integer(array.as_primitive::<Int64Type>().value(row)),
        (_, DataType::UInt64) => {
            Value::Integer(array.as_primitive::<UInt64Type>().value(row).cast_signed())
        }
        (_, DataType::Float64) => Value::Real(array.as_primitive::<Float64Type>().value(row)),
        (Kind::Flag, _) => Value::Integer(i64::from(array.as_boolean().value(row))),
        (Kind::Instant, _) => {
            Value::Text(format_micros(array.as_primitive::<TimestampMicrosecondType>().value(row)))
        }
        _ => Value::Text(cell_text(rows, column, row).unwrap_or_default()),
    }
}

/// An error of SQLite, in our words where it has few of its own.
fn sqlite_failed(database: &Database) -> impl Fn(rusqlite::Error) -> Error {
    let database = database.to_string();
    move |error| {
        let (why, hint) = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
                format!(
                    "another program has been writing to it for {} seconds",
                    PATIENCE.as_secs()
                ),
                Some("end that program, or its transaction".to_owned()),
            ),
            Some(ErrorCode::NotADatabase) => {
                ("it is a file, but not an SQLite database".to_owned(), None)
            }
            _ => (error.to_string(), None),
        };
        Error::Database { database: database.clone(), why, hint }
    }
}
