//! A table in GitHub's Markdown, for a pull request or a chat.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::output::{Align, Format, Sink, TableWriter, cell_text, failed, thousands};

pub(super) const FORMAT: Format =
    Format { name: "markdown", extensions: &["md"], about: "for a pull request or a chat", begin };

struct Markdown(Sink);

fn begin(mut sink: Sink, schema: &SchemaRef) -> Result<Box<dyn TableWriter>> {
    let names: Vec<String> = schema.fields().iter().map(|field| escaped(field.name())).collect();
    let rulers: Vec<&str> =
        schema.fields().iter().map(|field| ruler(Align::of(field.data_type()))).collect();
    writeln!(sink, "| {} |\n| {} |", names.join(" | "), rulers.join(" | "))
        .map_err(|error| failed("markdown")(&error))?;
    Ok(Box::new(Markdown(sink)))
}

impl TableWriter for Markdown {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let schema = rows.schema();
        for row in 0..rows.num_rows() {
            let cells: Vec<String> = (0..rows.num_columns())
                .map(|at| {
                    let text = cell_text(rows, at, row).unwrap_or_default();
                    let numeric = schema.field(at).data_type().is_numeric();
                    if numeric { thousands(&text) } else { escaped(&text) }
                })
                .collect();
            writeln!(self.0, "| {} |", cells.join(" | "))
                .map_err(|error| failed("markdown")(&error))?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.0.flush().map_err(|error| failed("markdown")(&error))
    }
}

/// Rows under a header, as a table of its own.
pub(crate) fn markdown_table(header: &[(&str, Align)], rows: Vec<Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let names: Vec<String> = header.iter().map(|(name, _)| escaped(name)).collect();
    let rulers: Vec<String> = header.iter().map(|(_, align)| ruler(*align).to_owned()).collect();
    let mut text = line(&names) + &line(&rulers);
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| escaped(cell)).collect();
        text.push_str(&line(&cells));
    }
    text
}

/// What says on which side a column stands.
const fn ruler(align: Align) -> &'static str {
    match align {
        Align::Left => "---",
        Align::Right => "---:",
    }
}

/// Text that cannot end its cell or begin markup.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '|' | '\\' | '`' | '*' | '<' | '[' => safe.extend(['\\', letter]),
            letter if letter.is_control() => safe.push(' '),
            letter => safe.push(letter),
        }
    }
    safe
}
