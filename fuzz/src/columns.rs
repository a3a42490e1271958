//! Parquet files that are whole, of columns that have any type and any values.

use std::fs::File;
use std::sync::Arc;

use apportion::schema::Table;
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Date64Array, Decimal128Array,
    Decimal256Array, DictionaryArray, FixedSizeBinaryArray, Float16Array, Float32Array,
    Float64Array, Int8Array, Int32Array, Int64Array, LargeStringArray, ListArray, NullArray,
    RecordBatch, StringArray, StringViewArray, StructArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt64Array,
};
use arrow::datatypes::{Field, Float16Type, Int8Type, Int32Type, i256};
use parquet::arrow::ArrowWriter;

/// Bytes that are taken one after the other; zeros when there are none left.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn whole(&mut self) -> i64 {
        // Small numbers, times about now, and what lies at the ends.
        match self.byte() % 8 {
            0 => i64::from(self.byte()) - 128,
            1 => i64::MAX - i64::from(self.byte()),
            2 => i64::MIN + i64::from(self.byte()),
            3 => 1_700_000_000_000_000 + i64::from(self.byte()) * 3_600_000_000,
            4 => -62_135_596_800_000_000 - i64::from(self.byte()),
            5 => 253_402_300_800_000_000 - i64::from(self.byte()),
            _ => i64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    fn float(&mut self) -> f64 {
        match self.byte() % 8 {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => -0.0,
            3 => f64::MAX,
            4 => f64::MIN_POSITIVE / 2.0,
            5 => f64::from(self.byte()) / 100.0,
            6 => 92_233_720_368_547_758.07,
            _ => f64::from_bits(self.whole().cast_unsigned()),
        }
    }

    fn text(&mut self) -> String {
        const TEXTS: [&str; 20] = [
            "",
            " ",
            "s1",
            "u1",
            "null",
            "{{user_id}}",
            "2024-03-01T10:00:00Z",
            "2024-03-01",
            "9999-12-31T23:59:60Z",
            "0000-01-01",
            "EUR",
            "eur",
            "ZZZ",
            "Europe/Paris",
            "Mars/Base",
            "true",
            "0",
            "-1e400",
            "a,b,,c",
            "\u{202e}\0",
        ];
        match self.byte() {
            at if usize::from(at) < 200 => TEXTS[usize::from(at) % TEXTS.len()].to_owned(),
            _ => {
                let length = usize::from(self.byte() % 32);
                let letters: Vec<u8> = (0..length).map(|_| self.byte()).collect();
                String::from_utf8_lossy(&letters).into_owned()
            }
        }
    }

    fn some<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (!self.byte().is_multiple_of(5)).then(|| value(self))
    }

    /// A column of as many values.
    fn array(&mut self, rows: usize, depth: u8) -> ArrayRef {
        let kind = self.byte() % 28;
        macro_rules! values {
            ($of:expr) => {
                (0..rows).map(|_| self.some($of))
            };
        }
        match kind {
            0 => Arc::new(values!(Self::text).collect::<StringArray>()),
            1 => Arc::new(values!(Self::text).collect::<LargeStringArray>()),
            2 => Arc::new(values!(Self::text).collect::<StringViewArray>()),
            3 => {
                let texts: Vec<Option<String>> = values!(Self::text).collect();
                Arc::new(texts.iter().map(Option::as_deref).collect::<DictionaryArray<Int8Type>>())
            }
            4 => {
                let bytes: Vec<Option<Vec<u8>>> =
                    values!(|bytes| vec![bytes.byte(); usize::from(bytes.byte() % 4)]).collect();
                Arc::new(bytes.iter().map(Option::as_deref).collect::<BinaryArray>())
            }
            5 => {
                let ids: Vec<Option<[u8; 16]>> = values!(|bytes| [bytes.byte(); 16]).collect();
                let ids = FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids.into_iter(), 16);
                Arc::new(ids.expect("sixteen bytes each"))
            }
            6 => Arc::new(values!(|bytes| bytes.byte().cast_signed()).collect::<Int8Array>()),
            7 => Arc::new(values!(|bytes| bytes.whole() as i32).collect::<Int32Array>()),
            8 => Arc::new(values!(Self::whole).collect::<Int64Array>()),
            9 => Arc::new(values!(|bytes| bytes.whole().cast_unsigned()).collect::<UInt64Array>()),
            10 => Arc::new(values!(Self::float).collect::<Float64Array>()),
            11 => Arc::new(values!(|bytes| bytes.float() as f32).collect::<Float32Array>()),
            12 => Arc::new(
                values!(|bytes| {
                    <Float16Type as arrow::datatypes::ArrowPrimitiveType>::Native::from_f64(
                        bytes.float(),
                    )
                })
                .collect::<Float16Array>(),
            ),
            13 => Arc::new(values!(|bytes| bytes.byte() % 2 == 0).collect::<BooleanArray>()),
            14 => Arc::new(values!(|bytes| bytes.whole() as i32).collect::<Date32Array>()),
            15 => Arc::new(
                values!(|bytes| bytes.whole() / 86_400_000 * 86_400_000).collect::<Date64Array>(),
            ),
            16 => Arc::new(values!(Self::whole).collect::<TimestampSecondArray>()),
            17 => Arc::new(
                values!(Self::whole).collect::<TimestampMillisecondArray>().with_timezone("+05:30"),
            ),
            18 => Arc::new(
                values!(Self::whole).collect::<TimestampMicrosecondArray>().with_timezone("UTC"),
            ),
            19 => Arc::new(values!(Self::whole).collect::<TimestampNanosecondArray>()),
            20 => Arc::new(
                values!(|bytes| bytes.whole().rem_euclid(86_400_000_000))
                    .collect::<Time64MicrosecondArray>(),
            ),
            21 | 22 => {
                let scale = (self.byte() % 39).cast_signed();
                let amounts =
                    values!(|bytes| i128::from(bytes.whole())).collect::<Decimal128Array>();
                Arc::new(
                    amounts.with_precision_and_scale(38, scale).expect("a scale of at most 38"),
                )
            }
            23 => {
                let amounts =
                    values!(|bytes| i256::from_parts(u128::MAX / 3, i128::from(bytes.byte())))
                        .collect::<Decimal256Array>();
                Arc::new(amounts.with_precision_and_scale(76, 10).expect("a scale of at most 76"))
            }
            24 => Arc::new(NullArray::new(rows)),
            25 => {
                let lists = (0..rows)
                    .map(|_| self.some(|bytes| vec![bytes.some(|bytes| bytes.whole() as i32); 2]));
                Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists))
            }
            26 if depth < 4 => self.structure(rows, depth + 1),
            _ => Arc::new((0..rows).map(|row| Some(format!("id{row}"))).collect::<StringArray>()),
        }
    }

    fn structure(&mut self, rows: usize, depth: u8) -> ArrayRef {
        let names = ["external_id", "created_at", "is_authenticated", "signed_up_at"];
        let fields = names.iter().map(|name| {
            let array = self.array(rows, depth);
            (Arc::new(Field::new(*name, array.data_type().clone(), true)), array)
        });
        Arc::new(StructArray::from(fields.collect::<Vec<_>>()))
    }
}

/// Makes a table of the bytes, writes it and reads it.
pub fn run(data: &[u8]) -> String {
    let mut bytes = Bytes(data);
    let tables = [
        Table::Sessions,
        Table::Orders,
        Table::Users,
        Table::Spend,
        Table::ExchangeRates,
        Table::OrderItems,
    ];
    let table = tables[usize::from(bytes.byte()) % tables.len()];
    let rows = usize::from(bytes.byte() % 8);
    let known = table.columns();
    let mut columns: Vec<(String, ArrayRef, bool)> = Vec::new();
    for column in known {
        if column.required || bytes.byte() % 3 == 0 {
            columns.push((column.name.to_owned(), bytes.array(rows, 0), true));
        }
    }
    if bytes.byte() % 2 == 0 {
        columns.retain(|(name, ..)| name != "user_external_id");
        columns.push(("user".to_owned(), bytes.structure(rows, 0), true));
    }
    columns.push(("own".to_owned(), bytes.array(rows, 0), true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length");
    let path = crate::place("columns.parquet");
    let file = File::create(&path).expect("a temporary file");
    let Ok(mut writer) = ArrowWriter::try_new(file, batch.schema(), None) else {
        return "not written".to_owned();
    };
    if writer.write(&batch).is_err() || writer.close().is_err() {
        return "not written".to_owned();
    }
    match crate::table(table, &path) {
        Ok(loaded) => {
            let rules: Vec<_> = loaded.rejects.iter().map(|reject| reject.rule.name()).collect();
            format!("{table} {rules:?}")
        }
        Err(error) => format!("{table} {}", crate::outcome::<()>(Err(error))),
    }
}
