//! JSON: an array of objects, or one object a line.
//!
//! Amounts are text, because a JSON number loses cents in most readers; counts and shares are
//! numbers; a missing value is null.

use std::io::Write;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, SchemaRef};
use serde_json::{Map, Number, Value};

use crate::error::Result;
use crate::output::{Format, Sink, TableWriter, cell_text, failed};

pub(super) const FORMAT: Format = Format {
    name: "json",
    extensions: &["json"],
    about: "one array of objects, for programs",
    begin: |sink, _| Ok(Box::new(Json { sink, lines: false, empty: true })),
};

pub(super) const LINES: Format = Format {
    name: "ndjson",
    extensions: &["ndjson", "jsonl"],
    about: "one object a line, for streams",
    begin: |sink, _: &SchemaRef| Ok(Box::new(Json { sink, lines: true, empty: true })),
};

struct Json {
    sink: Sink,
    lines: bool,
    empty: bool,
}

impl TableWriter for Json {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        for row in 0..rows.num_rows() {
            let object = Value::Object(object(rows, row));
            let before = match (self.lines, self.empty) {
                (true, _) => "",
                (false, true) => "[\n",
                (false, false) => ",\n",
            };
            self.empty = false;
            let after = if self.lines { "\n" } else { "" };
            write!(self.sink, "{before}{object}{after}").map_err(|error| failed("json")(&error))?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        let end = match (self.lines, self.empty) {
            (true, _) => "",
            (false, true) => "[]\n",
            (false, false) => "\n]\n",
        };
        self.sink
            .write_all(end.as_bytes())
            .and_then(|()| self.sink.flush())
            .map_err(|error| failed("json")(&error))
    }
}

fn object(rows: &RecordBatch, row: usize) -> Map<String, Value> {
    let mut object = Map::new();
    for (at, field) in rows.schema().fields().iter().enumerate() {
        let value = match (cell_text(rows, at, row), field.data_type()) {
            (None, _) => Value::Null,
            (Some(text), DataType::Boolean) => Value::Bool(text == "true"),
            (Some(text), DataType::Decimal128(..)) => Value::String(text),
            // Not by its text: most readers of numbers lose the last digit.
            (Some(_), DataType::Float64) => {
                let number = rows.column(at).as_primitive::<Float64Type>().value(row);
                Number::from_f64(number).map_or(Value::Null, Value::Number)
            }
            (Some(text), kind) if kind.is_numeric() => {
                text.parse::<Number>().map_or(Value::Null, Value::Number)
            }
            (Some(text), _) => Value::String(text),
        };
        object.insert(field.name().clone(), value);
    }
    object
}
