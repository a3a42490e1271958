//! `apportion models`: lists the models, or explains one.

use std::io::Write;

use super::Status;
use crate::error::{Error, Result};
use crate::models::{DEFAULT, Entry, MODELS, entry};
use crate::output::table::wrapped;

pub(super) fn run(name: Option<&str>, out: &mut dyn Write) -> Result<Status> {
    let text = match name {
        Some(name) => explained(entry(name)?),
        None => listed(),
    };
    out.write_all(text.as_bytes())
        .map_err(|error| Error::Output { format: "text", why: error.to_string() })?;
    Ok(Status::Done)
}

fn listed() -> String {
    let mut text = String::new();
    for entry in MODELS {
        let default = if DEFAULT.contains(&entry.name) { " *" } else { "" };
        text.push_str(&format!("{}{default}\n", entry.name));
        for line in wrapped(entry.summary, 74) {
            text.push_str(&format!("    {line}\n"));
        }
    }
    text.push_str(
        "\n* used unless `--model` says otherwise; `apportion models NAME` explains one\n",
    );
    text
}

fn explained(entry: &Entry) -> String {
    let mut text = format!("{}\n", entry.name);
    let mut section = |title: &str, body: &str| {
        for (at, line) in wrapped(body, 66).into_iter().enumerate() {
            let title = if at == 0 { title } else { "" };
            text.push_str(&format!("  {title:<9} {line}\n"));
        }
    };
    section("says", entry.summary);
    section("share", entry.formula);
    for parameter in entry.parameters {
        let default = if parameter.default.is_empty() { "none" } else { parameter.default };
        section(
            "parameter",
            &format!("{} (default {default}): {}", parameter.name, parameter.about),
        );
    }
    section("misleads", entry.misleads);
    section("source", entry.source);
    section("page", &format!("docs/models/{}.md", entry.name));
    let example = entry.parameters.first().map_or_else(String::new, |parameter| {
        let value = if parameter.default.is_empty() { "0.5/0.2" } else { parameter.default };
        format!(":{}={value}", parameter.name)
    });
    section("example", &format!("apportion run ... --model {}{example}", entry.name));
    text
}
