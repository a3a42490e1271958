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

/// Text that cannot move the cursor, change colours or turn the line around: letters that are obeyed
/// instead of seen are shown.
pub(crate) fn printable(text: &str) -> String {
    shown(text, |letter| letter.is_control())
}

/// Text of many lines that a reader of it cannot obey.
pub(crate) fn printable_lines(text: &str) -> String {
    shown(text, |letter| letter.is_control() && letter != '\n' && letter != '\t')
}

fn shown(text: &str, obeyed: impl Fn(char) -> bool) -> String {
    let hidden = |letter: char| obeyed(letter) || is_invisible(letter);
    if !text.chars().any(hidden) {
        return text.to_owned();
    }
    let mut seen = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if hidden(letter) {
            seen.extend(letter.escape_default());
        } else {
            seen.push(letter);
        }
    }
    seen
}

/// Letters that nobody sees and that change what is seen: ends of lines and paragraphs, what overrules the
/// direction of the letters after it, and blanks of no width. What joins letters, or marks a direction
/// for the letter beside it alone, belongs to scripts that need it.
pub(crate) const fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{200b}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
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
        assert_eq!(printable("c1\u{9b}31m\0"), "c1\\u{9b}31m\\u{0}");
        assert_eq!(printable_lines("a\n\tb\u{7}\n"), "a\n\tb\\u{7}\n");
    }

    #[test]
    fn what_turns_a_line_around_is_shown_and_scripts_that_run_so_are_left_alone() {
        assert_eq!(printable("invoice\u{202e}fdp.exe"), "invoice\\u{202e}fdp.exe");
        assert_eq!(printable("a\u{2028}b\u{200b}\u{feff}"), "a\\u{2028}b\\u{200b}\\u{feff}");
        for text in [
            "\u{5e9}\u{5dc}\u{5d5}\u{5dd}",
            "\u{645}\u{6cc}\u{200c}\u{62e}",
            "\u{1f469}\u{200d}\u{1f680}",
        ] {
            assert_eq!(printable(text), text);
        }
    }
}
