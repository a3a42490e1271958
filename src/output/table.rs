//! A table for people: aligned, with thousands separators, in as many columns as there are.
//!
//! The report on a terminal is made of such tables, one a model, by `report::terminal`.

use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use comfy_table::{Cell, CellAlignment, ContentLineStyle, LineStyle, Table, TableStyle};

use crate::error::Result;
use crate::output::{Align, Format, Sink, TableWriter, cell_text, failed, thousands};

pub(super) const FORMAT: Format = Format {
    name: "table",
    extensions: &["txt"],
    about: "for reading",
    begin: |sink, schema| {
        Ok(Box::new(Text { sink, schema: Arc::clone(schema), batches: Vec::new() }))
    },
};

struct Text {
    sink: Sink,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl TableWriter for Text {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.batches.push(rows.clone());
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        let rows = concat_batches(&self.schema, &self.batches)?;
        let header: Vec<(&str, Align)> = self
            .schema
            .fields()
            .iter()
            .map(|field| (field.name().as_str(), Align::of(field.data_type())))
            .collect();
        let cells = (0..rows.num_rows()).map(|row| {
            (0..rows.num_columns())
                .map(|at| {
                    let text = cell_text(&rows, at, row).unwrap_or_default();
                    if header[at].1 == Align::Right { thousands(&text) } else { printable(&text) }
                })
                .collect()
        });
        let text = aligned(&header, cells.collect());
        self.sink
            .write_all(text.as_bytes())
            .and_then(|()| self.sink.flush())
            .map_err(|error| failed("table")(&error))
    }
}

/// A line under the header, and no others.
const STYLE: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none())
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .content_lines(ContentLineStyle::none());

/// Rows under a header, each column as wide as it needs to be.
pub(crate) fn aligned(header: &[(&str, Align)], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(STYLE);
    let cell = |text: &str, align: Align| {
        let align = if align == Align::Right { CellAlignment::Right } else { CellAlignment::Left };
        Cell::new(text).set_alignment(align)
    };
    table.set_header(header.iter().map(|(name, align)| cell(name, *align)));
    for row in rows {
        table.add_row(row.iter().zip(header).map(|(text, (_, align))| cell(text, *align)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}

/// Text that cannot move the cursor or change colours: control characters are shown, not sent.
pub(crate) fn printable(text: &str) -> String {
    if text.chars().any(char::is_control) {
        text.chars()
            .flat_map(|letter| {
                if letter.is_control() {
                    letter.escape_default().collect::<Vec<_>>()
                } else {
                    vec![letter]
                }
            })
            .collect()
    } else {
        text.to_owned()
    }
}

/// Text in lines of at most `width` characters, broken at blanks.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let text = aligned(
            &[("source", Align::Left), ("orders", Align::Right)],
            vec![vec!["google".into(), "1,234".into()], vec!["x".into(), "5".into()]],
        );
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            ["source  orders", "───────────────", "google   1,234", "x            5"]
        );
    }

    #[test]
    fn control_characters_are_shown() {
        assert_eq!(printable("a\u{1b}[31mb\n"), "a\\u{1b}[31mb\\n");
    }
}
