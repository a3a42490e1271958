//! A PostgreSQL server: rows go there by `copy`.

use std::error::Error as _;
use std::io::Write;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use postgres::config::{Host, SslMode};
use postgres::error::SqlState;
use postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::columns::{Column, Kind};
use super::statements::{literal, name, names};
use super::{Database, Rows, Session, failed};
use crate::calendar::format_micros;
use crate::error::{Error, Result};
use crate::output::cell_text;

/// How long a server may take to answer at all, unless it is said.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest name that PostgreSQL does not cut, in bytes.
const LONGEST_NAME: usize = 63;

/// What two loads at once agree to wait for: they would both replace what the other has not yet
/// written. Any number will do that nobody else takes: the letters of `apportio`.
const LOCK: i64 = 0x6170_706f_7274_696f;

/// A transaction on a server.
pub(super) struct Server<'a> {
    database: &'a Database,
    client: Client,
}

/// An error if the server cannot be reached, or does not let us in.
pub(super) fn check(database: &Database) -> Result<()> {
    connect(database).map(drop)
}

/// Asks for the columns of a table.
pub(super) fn columns(schema: Option<&str>, table: &str) -> String {
    let table = match schema {
        Some(schema) => format!("{}.{}", name(schema), name(table)),
        None => name(table),
    };
    format!(
        "select attname, format_type(atttypid, atttypmod) from pg_attribute where attrelid = to_regclass({}) and attnum > 0 and not attisdropped order by attnum",
        literal(&table)
    )
}

/// Everything that is known of how to connect: the address, then the environment, then what is usual.
fn configured(database: &Database) -> Result<Config> {
    let mut config: Config = database.place.parse().map_err(postgres_failed(database))?;
    let said = |name: &str| {
        let found = database.environment.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    };
    let number = |name: &str, value: &str| {
        let wrong = |_| Error::setting(name, value, "write a whole number");
        value.parse::<u16>().map_err(wrong)
    };
    if config.get_hosts().is_empty() {
        config.host(said("PGHOST").unwrap_or("localhost"));
    }
    if let (true, Some(port)) = (config.get_ports().is_empty(), said("PGPORT")) {
        config.port(number("PGPORT", port)?);
    }
    if let (None, Some(user)) = (config.get_user(), said("PGUSER")) {
        config.user(user);
    }
    if let (None, Some(password)) = (config.get_password(), said("PGPASSWORD")) {
        config.password(password);
    }
    if let (None, Some(called)) = (config.get_dbname(), said("PGDATABASE")) {
        config.dbname(called);
    }
    if let (None, Some(options)) = (config.get_options(), said("PGOPTIONS")) {
        config.options(options);
    }
    if config.get_application_name().is_none() {
        config.application_name(said("PGAPPNAME").unwrap_or("apportion"));
    }
    if config.get_connect_timeout().is_none() {
        let seconds = said("PGCONNECT_TIMEOUT");
        let seconds = seconds.map(|seconds| number("PGCONNECT_TIMEOUT", seconds)).transpose()?;
        config.connect_timeout(
            seconds.map_or(PATIENCE, |seconds| Duration::from_secs(u64::from(seconds))),
        );
    }
    Ok(config)
}

fn connect(database: &Database) -> Result<Client> {
    let config = configured(database)?;
    config.connect(NoTls).map_err(|error| connection_failed(database, &config, &error))
}

impl<'a> Server<'a> {
    /// Connects, and begins to write.
    pub(super) fn begin(database: &'a Database) -> Result<Self> {
        let mut server = Self { database, client: connect(database)? };
        server.execute("begin")?;
        server.execute(&format!("select pg_advisory_xact_lock({LOCK})"))?;
        // Whoever may not make schemas may not ask for one that is there either.
        if let Some(schema) = &database.schema {
            let known = format!("select to_regnamespace({})", literal(&name(schema)));
            if server.query(&known)?.iter().flatten().all(Option::is_none) {
                server.execute(&format!("create schema {}", name(schema)))?;
            }
        }
        Ok(server)
    }
}

impl Session for Server<'_> {
    fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let answer = self.client.simple_query(sql).map_err(postgres_failed(self.database))?;
        let rows = answer.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(rows
            .map(|row| (0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
            .collect())
    }

    fn execute(&mut self, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).map_err(postgres_failed(self.database))
    }

    fn insert(&mut self, table: &str, columns: &[Column], rows: &Rows<'_>) -> Result<()> {
        if let Some(long) = columns.iter().find(|column| column.name.len() > LONGEST_NAME) {
            let why =
                format!("`{}` is longer than the {LONGEST_NAME} bytes of a name there", long.name);
            return Err(failed(self.database, why));
        }
        let database = self.database;
        let broken = |error: std::io::Error| match error.into_inner().map(|cause| cause.downcast())
        {
            Some(Ok(error)) => postgres_failed(database)(*error),
            Some(Err(other)) => failed(database, other.to_string()),
            None => failed(database, "the connection broke"),
        };
        let sql = format!("copy {table} ({}) from stdin", names(columns));
        let mut writer = self.client.copy_in(&sql).map_err(postgres_failed(database))?;
        let mut lines = String::new();
        rows.each(|rows| {
            lines.clear();
            for row in 0..rows.num_rows() {
                for (at, column) in columns.iter().enumerate() {
                    if at > 0 {
                        lines.push('\t');
                    }
                    push_cell(&mut lines, rows, at, row, column.kind);
                }
                lines.push('\n');
            }
            writer.write_all(lines.as_bytes()).map_err(broken)
        })?;
        writer.finish().map_err(postgres_failed(database))?;
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        self.execute("commit")
    }
}

/// A cell in the text format of `copy`. PostgreSQL has no text with a NUL in it: it becomes `U+FFFD`,
/// the sign for a character that there is not.
fn push_cell(line: &mut String, rows: &RecordBatch, column: usize, row: usize, kind: Kind) {
    let array = rows.column(column);
    if array.is_null(row) {
        line.push_str("\\N");
        return;
    }
    let text = match kind {
        Kind::Instant => {
            Some(format_micros(array.as_primitive::<TimestampMicrosecondType>().value(row)))
        }
        _ => cell_text(rows, column, row),
    };
    for character in text.unwrap_or_default().chars() {
        match character {
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            '\0' => line.push(char::REPLACEMENT_CHARACTER),
            other => line.push(other),
        }
    }
}

/// What the server said, else what the client did, with its cause.
fn said(error: &postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return said.message().to_owned();
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(&format!(": {source}"));
        cause = source.source();
    }
    text
}

/// An error of a server that is reached.
fn postgres_failed(database: &Database) -> impl Fn(postgres::Error) -> Error {
    move |error| failed(database, said(&error))
}

/// An error of a server that is not, with what would help.
fn connection_failed(database: &Database, config: &Config, error: &postgres::Error) -> Error {
    let why = said(error);
    let hint = match error.code() {
        Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
            Some("the user and password are those of the address, else PGUSER and PGPASSWORD".to_owned())
        }
        Some(&SqlState::INVALID_CATALOG_NAME) => {
            Some("the database must be there already; `createdb` makes one".to_owned())
        }
        Some(_) => None,
        None if config.get_password().is_none() && why.contains("password") => {
            Some("give one in the environment as PGPASSWORD, or in the address".to_owned())
        }
        None if config.get_ssl_mode() == SslMode::Require => Some(
            "encrypted connections are not spoken yet: go through a tunnel, or a pooler on this machine"
                .to_owned(),
        ),
        None => Some(format!("is a server listening at {}?", address(config))),
    };
    Error::Database { database: database.to_string(), why, hint }
}

/// Where a server is looked for.
fn address(config: &Config) -> String {
    let hosts = config.get_hosts().iter().enumerate().map(|(at, host)| {
        let ports = config.get_ports();
        let port = ports.get(at).or_else(|| ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(host) => format!("{host}:{port}"),
            #[cfg(unix)]
            Host::Unix(folder) => format!("{}/.s.PGSQL.{port}", folder.display()),
        }
    });
    hosts.collect::<Vec<_>>().join(", ")
}
