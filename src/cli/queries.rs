//! `apportion queries`: lists the library and the audits, or shows the SQL of one.

use std::io::Write;

use super::Status;
use crate::error::{Error, Result};
use crate::output::table::wrapped;
use crate::queries::{AUDITS, Entry, QUERIES, Query};

pub(super) fn run(name: Option<&str>, out: &mut dyn Write) -> Result<Status> {
    let text = match name {
        Some(name) => Query::named(name)?.sql,
        None => listed()?,
    };
    out.write_all(text.as_bytes())
        .map_err(|error| Error::Output { format: "text", why: error.to_string() })?;
    Ok(Status::Done)
}

fn listed() -> Result<String> {
    let mut text = String::new();
    list(&mut text, QUERIES)?;
    text.push_str("\nAudits, each of which must return no rows (`apportion query --audits`)\n\n");
    list(&mut text, AUDITS)?;
    text.push_str(
        "\n`apportion queries NAME` shows the SQL of one, `apportion query NAME` asks it\n",
    );
    Ok(text)
}

fn list(text: &mut String, entries: &[Entry]) -> Result<()> {
    for entry in entries {
        let header = Query::named(entry.name)?.header;
        text.push_str(&format!("{:<26} {}\n", entry.name, header.title));
        for known in &header.parameters {
            let default = match known.default.as_str() {
                "" => String::new(),
                default => format!(" = {default}"),
            };
            let said = format!("{} ({}{default}): {}", known.name, known.kind.name(), known.about);
            for line in wrapped(&said, 66) {
                text.push_str(&format!("{:<28} {line}\n", ""));
            }
        }
    }
    Ok(())
}
