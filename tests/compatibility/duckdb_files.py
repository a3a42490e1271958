"""Fixtures written by DuckDB: `python duckdb_files.py`."""

import duckdb
from world import FLAGS, HERE, IDS, LISTS, MONEY, NUMBERS, TABLES, TIMES, USER, columns, fresh, place

FOLDER = fresh("duckdb")
DATABASE = duckdb.connect()
DATABASE.sql("set timezone = 'Asia/Kolkata'")


def query(name, time="timestamptz", money="decimal(18, 2)", text="varchar", ids="varchar", number="integer"):
    """The rows of a table with columns of the named types."""
    casts = []
    for column in columns(name):
        instant = f"{column}::timestamptz"
        if column in TIMES:
            casts.append(instant if time == "timestamptz" else f"({instant} at time zone 'UTC')::{time}")
        elif column in MONEY:
            casts.append(f"{column}::{money}")
        elif column in LISTS:
            casts.append(f"string_split({column}, ',')")
        else:
            kind = ids if column in IDS else number if column in NUMBERS else "boolean" if column in FLAGS else text
            casts.append(f"encode({column})" if kind == "blob" else f"{column}::{kind}")
    chosen = ", ".join(f"{cast} as {column}" for cast, column in zip(casts, columns(name)))
    return f"select {chosen} from read_csv('{HERE}/world/{name}.csv', all_varchar = true)"


def copy(sql, path, options=""):
    DATABASE.sql(f"copy ({sql}) to '{path}' (format parquet{options})")


def write(variant, tables, options="", **types):
    for name in tables:
        copy(query(name, **types), place(FOLDER, variant, name), options)


for kind in ["timestamp_s", "timestamp_ms", "timestamp", "timestamp_ns", "timestamptz"]:
    write(kind, ["sessions", "users"], time=kind)
for codec in ["uncompressed", "snappy", "gzip", "zstd", "brotli", "lz4_raw"]:
    write(f"codec_{codec}", ["users", "user_aliases"], f", compression '{codec}'")
for version in ["v1", "v2"]:
    write(f"pages_{version}", ["sessions"], f", parquet_version '{version}'")
for width in [9, 18, 38]:
    write(f"decimal_{width}", ["orders"], money=f"decimal({width}, 2)")
write("money_double", ["orders"], money="double")
write("ids_bigint", TABLES, ids="bigint")
write("ids_hugeint", TABLES, ids="hugeint")
write("text_bytes", TABLES, text="blob", ids="blob")
write("plain", TABLES, ", dictionary_size_limit 1")
write("bloom_filters", ["sessions"], ", write_bloom_filter true, bloom_filter_false_positive_ratio 0.1")
DATABASE.sql("create type countries as enum ('FR', 'JP', 'DE')")
copy(query("users").replace("country::varchar", "country::countries"), place(FOLDER, "enum", "users"))
for name in ["sessions", "orders"]:
    fields = ", ".join(f"{column.removeprefix('user_')} := {column}" for column in USER)
    sql = f"select * exclude ({', '.join(USER)}), struct_pack({fields}) as user from ({query(name)})"
    copy(sql, place(FOLDER, "nested_user", name))
(FOLDER / "hive").mkdir()
for name, by in {"sessions": "utm_source, utm_medium", "orders": "currency", "users": "country"}.items():
    copy(query(name), FOLDER / "hive" / name, f", partition_by ({by})")
