//! A DuckDB file, by way of the DuckDB that is installed: its command, or Python's package of that
//! name.
//!
//! DuckDB itself takes longer to compile than all else together. Rows are in Parquet already, which it
//! reads as fast as anything; and a file that is written by the DuckDB that others open it with is one
//! that they can open.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

use super::columns::{Column, Kind};
use super::place::check_place;
use super::statements::{literal, name, names};
use super::{Database, Rows, Session, failed};
use crate::error::{Error, Result};

/// What Python does.
const PYTHON: &str = include_str!("duckdb.py");

/// What speaks to DuckDB files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    /// The command `duckdb`.
    Command,
    /// A Python, by its name, that has the package `duckdb`.
    Python(&'static str),
}

/// Statements that are done together.
pub(super) struct Script<'a> {
    database: &'a Database,
    program: Program,
    statements: Vec<String>,
}

/// An error if no DuckDB is found, or the file is none of its.
pub(super) fn check(database: &Database) -> Result<()> {
    let path = Path::new(&database.place);
    check_place(path)?;
    let program = Program::find(database)?;
    if path.exists() {
        program.ask(database, "select 1 as n")?;
    }
    Ok(())
}

/// Asks for the columns of a table.
pub(super) fn columns(schema: Option<&str>, table: &str) -> String {
    let schema = schema.map_or_else(|| "current_schema()".to_owned(), literal);
    format!(
        "select column_name, data_type from information_schema.columns where table_catalog = current_database() and table_schema = {schema} and table_name = {} order by ordinal_position",
        literal(table)
    )
}

impl Program {
    fn find(database: &Database) -> Result<Self> {
        let answers = |command: &mut Command| {
            let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            quiet.status().is_ok_and(|status| status.success())
        };
        if answers(Command::new("duckdb").arg("--version")) {
            return Ok(Self::Command);
        }
        let has = |python: &&str| answers(Command::new(python).args(["-c", "import duckdb"]));
        match ["python3", "python"].into_iter().find(|python| has(python)) {
            Some(python) => Ok(Self::Python(python)),
            None => Err(Error::Database {
                database: database.to_string(),
                why: "no DuckDB is installed here that could write it".to_owned(),
                hint: Some(
                    "install the command (duckdb.org), or Python's package: `pip install duckdb`"
                        .to_owned(),
                ),
            }),
        }
    }

    /// The rows of a query on a file that is there.
    fn ask(self, database: &Database, sql: &str) -> Result<Vec<Map<String, Value>>> {
        let answer = self.run(database, &[sql.to_owned()], true)?;
        if answer.trim().is_empty() {
            return Ok(Vec::new());
        }
        let broken = |error: serde_json::Error| failed(database, format!("DuckDB said: {error}"));
        serde_json::from_str(&answer).map_err(broken)
    }

    /// Does statements in one transaction, or a query; gives what was said.
    fn run(self, database: &Database, statements: &[String], read_only: bool) -> Result<String> {
        let (mut command, input) = match self {
            Self::Command => {
                let mut command = Command::new("duckdb");
                // Not what a user's own settings of the shell say.
                command.args(["-batch", "-bail", "-json", "-init", "/dev/null"]);
                if read_only {
                    command.arg("-readonly");
                }
                command.arg(&database.place);
                (command, statements.iter().flat_map(|sql| [sql.as_str(), ";\n"]).collect())
            }
            Self::Python(python) => {
                let mut command = Command::new(python);
                command.args(["-c", PYTHON]);
                let place = &database.place;
                let task =
                    json!({ "path": place, "read_only": read_only, "statements": statements });
                (command, task.to_string())
            }
        };
        let broken = |error: std::io::Error| failed(database, format!("DuckDB: {error}"));
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().map_err(broken)?;
        if let Some(mut stdin) = child.stdin.take() {
            // It may stop reading where something is wrong, and says what below.
            drop(stdin.write_all(input.as_bytes()));
        }
        let output = child.wait_with_output().map_err(broken)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(failed(database, reason(&String::from_utf8_lossy(&output.stderr))))
    }
}

/// The line of an error in which DuckDB says what is wrong: `IO Error: …`.
fn reason(said: &str) -> String {
    let line = said.lines().find(|line| line.contains("Error: ")).or_else(|| said.lines().last());
    let line = line.unwrap_or("DuckDB failed and did not say why").trim();
    // Python names the class of the error before it.
    line.strip_prefix("_duckdb.")
        .and_then(|line| line.split_once(": "))
        .map_or(line, |(_, rest)| rest)
        .to_owned()
}

impl<'a> Script<'a> {
    pub(super) fn begin(database: &'a Database) -> Result<Self> {
        let program = Program::find(database)?;
        let mut statements = vec!["begin".to_owned()];
        if let Some(schema) = &database.schema {
            statements.push(format!("create schema if not exists {}", name(schema)));
        }
        Ok(Self { database, program, statements })
    }
}

impl Session for Script<'_> {
    fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        if !Path::new(&self.database.place).exists() {
            return Ok(Vec::new());
        }
        let cell = |value: Value| match value {
            Value::Null => None,
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        };
        let rows = self.program.ask(self.database, sql)?.into_iter();
        Ok(rows.map(|row| row.into_iter().map(|(_, value)| cell(value)).collect()).collect())
    }

    fn execute(&mut self, sql: &str) -> Result<()> {
        self.statements.push(sql.to_owned());
        Ok(())
    }

    fn insert(&mut self, table: &str, columns: &[Column], rows: &Rows<'_>) -> Result<()> {
        let wanted = columns.iter().map(|column| {
            let called = name(&column.name);
            if column.kind == Kind::Text { format!("cast({called} as varchar)") } else { called }
        });
        let wanted = wanted.collect::<Vec<_>>().join(", ");
        let from = literal(&rows.path.to_string_lossy());
        self.statements.push(format!(
            "insert into {table} ({}) select {wanted} from read_parquet({from})",
            names(columns)
        ));
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        self.statements.push("commit".to_owned());
        let path = PathBuf::from(&self.database.place);
        let was_there = path.exists();
        let done = self.program.run(self.database, &self.statements, false);
        if done.is_err() && !was_there {
            drop(fs::remove_file(path));
        }
        done.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_duckdb_says_the_reason_is_told() {
        let shell =
            "Catalog Error: Table with name t does not exist!\nDid you mean \"pg_tables\"?\n";
        assert_eq!(reason(shell), "Catalog Error: Table with name t does not exist!");
        let python = "Traceback (most recent call last):\n  File \"<string>\", line 1\n_duckdb.IOException: IO Error: no file\n";
        assert_eq!(reason(python), "IO Error: no file");
    }
}
