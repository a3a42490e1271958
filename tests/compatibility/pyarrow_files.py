"""Fixtures written by pyarrow: `python pyarrow_files.py`."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from world import FLAGS, IDS, LISTS, MONEY, NUMBERS, TABLES, TIMES, columns, fresh, nested, place

FOLDER = fresh("pyarrow")
TIMED = ["sessions", "users"]
TEXTS = ["orders", "user_aliases"]
MINOR_UNITS = {"EUR": 100, "JPY": 1}


def typed(name, time, money, text, number):
    if name in TIMES:
        return time
    if name in MONEY:
        return money
    if name in LISTS:
        return pa.list_(text)
    if name in FLAGS:
        return pa.bool_()
    return number if name in NUMBERS else text


def table(name, time=pa.timestamp("us", "UTC"), money=pa.decimal128(18, 2), text=pa.string(), number=pa.int32()):
    arrays = {}
    for column, cells in columns(name).items():
        kind = typed(column, time, money, text, number)
        if column in MONEY and pa.types.is_floating(money):
            cells = [None if cell is None else float(cell) for cell in cells]
        if column in TIMES and pa.types.is_timestamp(time) and time.tz is None:
            cells = [None if cell is None else cell.replace(tzinfo=None) for cell in cells]
        if column in TIMES and pa.types.is_string(time):
            cells = [None if cell is None else cell.isoformat() for cell in cells]
        if pa.types.is_dictionary(kind):
            arrays[column] = pa.array(cells, kind.value_type).dictionary_encode()
        elif column in LISTS and pa.types.is_dictionary(text):
            arrays[column] = pa.array(cells, pa.list_(text.value_type))
        else:
            arrays[column] = pa.array(cells, kind)
    return pa.table(arrays)


def write(variant, tables, options=None, **types):
    for name in tables:
        pq.write_table(table(name, **types), place(FOLDER, variant, name), **(options or {}))


for unit in ["s", "ms", "us", "ns"]:
    write(f"timestamp_{unit}", TIMED, time=pa.timestamp(unit))
    write(f"timestamp_{unit}_paris", TIMED, time=pa.timestamp(unit, "Europe/Paris"))
write("timestamp_in_version_1", TIMED, {"version": "1.0"}, time=pa.timestamp("us"))
write("timestamp_without_schema", TIMED, {"store_schema": False}, time=pa.timestamp("ms", "UTC"))
write("timestamp_int96", TIMED, {"use_deprecated_int96_timestamps": True}, time=pa.timestamp("ns"))
write("timestamp_as_text", TIMED, time=pa.string())

for width, precision in {"int32": 9, "int64": 18}.items():
    write(f"decimal_{width}", ["orders"], {"store_decimal_as_integer": True}, money=pa.decimal128(precision, 2))
write("decimal_fixed_small", ["orders"], money=pa.decimal128(9, 2))
write("decimal_fixed", ["orders"], money=pa.decimal128(38, 18))
write("decimal256_fixed", ["orders"], money=pa.decimal256(60, 6))
write("money_double", ["orders"], money=pa.float64())

for codec in ["none", "snappy", "gzip", "zstd", "brotli", "lz4"]:
    for page in ["1.0", "2.0"]:
        write(
            f"codec_{codec}_pages_v{page[0]}",
            ["users", "user_aliases"],
            {"compression": codec, "data_page_version": page},
        )

write("plain", TABLES, {"use_dictionary": False})
write("text_large", TEXTS, text=pa.large_string())
write("text_view", TEXTS, text=pa.string_view())
write("text_bytes", TEXTS, text=pa.binary())
write("text_dictionary", TEXTS, text=pa.dictionary(pa.int32(), pa.string()))
for name in TABLES:
    # What tells text from bytes, and both from numbers, is the type alone here.
    whole = table(name)
    for at, column in enumerate(whole.column_names):
        if column in IDS:
            whole = whole.set_column(at, column, pc.cast(whole[column], pa.int64()))
    pq.write_table(whole, place(FOLDER, "ids_int64", name))
    # Amounts in whole minor units: cents, and yen.
    if name == "orders":
        for column in ["subtotal_price", "refunded_price"]:
            cells = zip(columns(name)[column], columns(name)["currency"])
            units = [None if cell is None else int(cell * MINOR_UNITS[currency]) for cell, currency in cells]
            at = whole.column_names.index(column)
            whole = whole.set_column(at, column, pa.array(units, pa.int64()))
        pq.write_table(whole, place(FOLDER, "money_minor_units", name))

encodings = {
    "delta_lengths": {"text": "DELTA_LENGTH_BYTE_ARRAY", "number": "DELTA_BINARY_PACKED"},
    "delta_text": {"text": "DELTA_BYTE_ARRAY", "number": "BYTE_STREAM_SPLIT"},
}
for variant, encoding in encodings.items():
    for name in ["sessions"]:
        rows = table(name)
        numbers = [column for column in rows.column_names if column in TIMES | NUMBERS]
        texts = [column for column in rows.column_names if pa.types.is_string(rows[column].type)]
        chosen = {**dict.fromkeys(numbers, encoding["number"]), **dict.fromkeys(texts, encoding["text"])}
        pq.write_table(
            rows, place(FOLDER, variant, name), use_dictionary=False, column_encoding=chosen, data_page_version="2.0"
        )

# Rows in many groups, some of which hold none, with indexes and checksums of pages.
for name in ["users", "user_aliases"]:
    rows = table(name)
    with pq.ParquetWriter(
        place(FOLDER, "empty_row_groups", name), rows.schema, write_page_index=True, write_page_checksum=True
    ) as writer:
        writer.write_table(rows.slice(0, 0))
        for at in range(rows.num_rows):
            writer.write_table(rows.slice(at, 1))
            writer.write_table(rows.slice(0, 0))

# One page a value.
write("pages_of_one_value", ["orders"], {"data_page_size": 1, "write_batch_size": 1, "dictionary_pagesize_limit": 1})

# Beside the rows, a file without any and one without as much as a row group.
for name in ["orders", "users"]:
    rows = table(name)
    folder = FOLDER / "zero_rows" / name
    folder.mkdir(parents=True)
    pq.write_table(rows, folder / "1.parquet")
    pq.write_table(rows.slice(0, 0), folder / "0.parquet")
    pq.ParquetWriter(folder / "2.parquet", rows.schema).close()

user = pa.struct(
    [
        ("external_id", pa.string()),
        ("created_at", pa.timestamp("us", "UTC")),
        ("is_authenticated", pa.bool_()),
        ("signed_up_at", pa.timestamp("us", "UTC")),
    ]
)
for name in ["sessions", "orders"]:
    flat = table(name)
    outside = [column for column in flat.column_names if not column.startswith("user_")]
    struct = pa.array([row["user"] for row in nested(name)], user)
    rows = flat.select(outside).append_column("user", struct)
    pq.write_table(rows, place(FOLDER, "nested_user", name))
    pq.write_table(rows, place(FOLDER, "nested_user_old_lists", name), use_compliant_nested_type=False)

for name, by in {"sessions": ["utm_source", "utm_medium"], "orders": ["currency"], "users": ["country"]}.items():
    flavour = ds.partitioning(pa.schema([(column, pa.string()) for column in by]), flavor="hive")
    ds.write_dataset(table(name), FOLDER / "hive" / name, format="parquet", partitioning=flavour)

for name in ["sessions"]:
    rows = table(name)
    texts = [column for column in rows.column_names if pa.types.is_string(rows[column].type)]
    blooms = {column: {"ndv": 16, "fpp": 0.05} for column in texts}
    pq.write_table(rows, place(FOLDER, "bloom_filters", name), bloom_filter_options=blooms)
