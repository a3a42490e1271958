"""Fixtures written by fastparquet: `python fastparquet_files.py`."""

import fastparquet
import pandas as pd
from world import LISTS, MONEY, NUMBERS, TABLES, TIMES, columns, fresh, place

FOLDER = fresh("fastparquet")


def frame(name, unit="us", zone="UTC"):
    series = {}
    for column, cells in columns(name).items():
        if column in TIMES:
            times = pd.to_datetime(pd.Series(cells, dtype="datetime64[us, UTC]"))
            times = times.dt.tz_localize(None) if zone is None else times.dt.tz_convert(zone)
            series[column] = times.dt.as_unit(unit)
        elif column in MONEY:
            series[column] = pd.Series([None if cell is None else float(cell) for cell in cells], dtype="float64")
        elif column in LISTS:
            series[column] = pd.Series([None if cell is None else ",".join(cell) for cell in cells], dtype="object")
        elif column in NUMBERS:
            series[column] = pd.Series(cells, dtype="Int32")
        elif isinstance(cells[0], bool):
            series[column] = pd.Series(cells, dtype="bool")
        else:
            series[column] = pd.Series(cells, dtype="object")
    return pd.DataFrame(series)


def write(variant, tables, unit="us", zone="UTC", **options):
    for name in tables:
        rows = frame(name, unit, zone)
        texts = {column: "utf8" for column in rows.columns if rows[column].dtype == object}
        fastparquet.write(str(place(FOLDER, variant, name)), rows, object_encoding=texts, **options)


write("int64", TABLES)
write("int64_local", ["sessions", "users"], zone=None)
# Of other units it writes INT96 as though they were nanoseconds, and seconds as though milliseconds.
write("int96", TABLES, unit="ns", zone=None, times="int96")
for unit in ["ms", "ns"]:
    write(f"timestamp_{unit}", ["sessions", "users"], unit=unit)
for codec in ["UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD", "LZ4_RAW", "BROTLI"]:
    write(f"codec_{codec.lower()}", ["users", "user_aliases"], compression=codec)
write("row_groups", ["orders"], row_group_offsets=2)
for name in TABLES:
    rows = frame(name)
    texts = {column: "bytes" for column in rows.columns if rows[column].dtype == object}
    for column in texts:
        rows[column] = [None if cell is None else cell.encode() for cell in rows[column]]
    fastparquet.write(str(place(FOLDER, "text_bytes", name)), rows, object_encoding=texts)
for name, by in {"orders": ["currency"]}.items():
    rows = frame(name)
    texts = {column: "utf8" for column in rows.columns if rows[column].dtype == object}
    (FOLDER / "hive").mkdir(exist_ok=True)
    fastparquet.write(str(FOLDER / "hive" / name), rows, object_encoding=texts, file_scheme="hive", partition_on=by)
