//! A table in GitHub's Markdown, for a pull request or a chat.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::output::table::is_invisible;
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

/// Text that cannot end its cell or begin markup, an entity or a formula.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        match letter {
            '|' | '\\' | '`' | '*' | '<' | '[' | '~' | '&' | '$' => safe.extend(['\\', letter]),
            // Within a word it is a letter, as in `paid_social`.
            '_' if !(before.is_alphanumeric()
                && letters.peek().is_some_and(|next| next.is_alphanumeric())) =>
            {
                safe.push_str("\\_");
            }
            letter if letter.is_control() || is_invisible(letter) => safe.push(' '),
            letter => safe.push(letter),
        }
        before = letter;
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_label_says_is_read_as_it_is() {
        for (label, expected) in [
            ("paid_social", "paid_social"),
            ("_brand_", "\\_brand\\_"),
            ("a|b\\|c", "a\\|b\\\\\\|c"),
            ("~~gone~~ &lt;b> $x$", "\\~\\~gone\\~\\~ \\&lt;b> \\$x\\$"),
            ("<img src=x>[a](b)", "\\<img src=x>\\[a](b)"),
            ("a\r\nb\u{202e}c", "a  b c"),
        ] {
            assert_eq!(escaped(label), expected, "{label}");
        }
    }
}
