"""Fixtures written by Polars: `python polars_files.py`."""

import polars as pl
from world import FLAGS, IDS, LISTS, MONEY, NUMBERS, TABLES, TIMES, columns, fresh, nested, place

FOLDER = fresh("polars")
TIMED = ["sessions", "users"]


def frame(name, time=pl.Datetime("us", "UTC"), money=pl.Decimal(18, 2), text=pl.String, number=pl.Int32):
    series = []
    for column, cells in columns(name).items():
        if column in TIMES:
            kind = pl.Datetime("us", "UTC")
        elif column in MONEY:
            kind = pl.Decimal(18, 2)
        elif column in LISTS:
            kind = pl.List(pl.String)
        else:
            kind = pl.Boolean if column in FLAGS else number if column in NUMBERS else pl.String
        one = pl.Series(column, cells, kind)
        if column in TIMES:
            one = one.dt.replace_time_zone(None) if time.time_zone is None else one.dt.convert_time_zone(time.time_zone)
            one = one.dt.cast_time_unit(time.time_unit)
        elif column in MONEY:
            one = one.cast(money)
        elif kind == pl.String:
            one = one.cast(text)
        series.append(one)
    return pl.DataFrame(series)


def write(variant, tables, options=None, **types):
    for name in tables:
        frame(name, **types).write_parquet(place(FOLDER, variant, name), **(options or {}))


for unit in ["ms", "us", "ns"]:
    write(f"timestamp_{unit}", TIMED, time=pl.Datetime(unit))
    write(f"timestamp_{unit}_tokyo", TIMED, time=pl.Datetime(unit, "Asia/Tokyo"))
for codec in ["uncompressed", "snappy", "gzip", "zstd", "brotli", "lz4"]:
    write(f"codec_{codec}", ["users", "user_aliases"], {"compression": codec})
write("decimal_9", ["orders"], money=pl.Decimal(9, 2))
write("decimal_38", ["orders"], money=pl.Decimal(38, 4))
write("money_double", ["orders"], money=pl.Float64)
write("categorical", TABLES, text=pl.Categorical)
write("number_unsigned", ["sessions"], number=pl.UInt16)
write("row_groups", ["orders", "users"], {"row_group_size": 2, "data_page_size": 1, "statistics": "full"})
write("no_statistics", ["sessions"], {"statistics": False})
for name in TABLES:
    rows = frame(name)
    rows.with_columns(pl.col([column for column in rows.columns if column in IDS]).cast(pl.UInt32)).write_parquet(
        place(FOLDER, "ids_uint32", name)
    )
for name in ["sessions", "orders"]:
    flat = frame(name)
    user = pl.struct(
        pl.col(column).alias(column.removeprefix("user_")) for column in flat.columns if column.startswith("user_")
    )
    rows = flat.select(pl.exclude("^user_.*$"), user.alias("user"))
    assert rows["user"].struct.field("external_id").to_list() == [row["user"]["external_id"] for row in nested(name)]
    rows.write_parquet(place(FOLDER, "nested_user", name))
for name, by in {"sessions": ["utm_source", "utm_medium"], "orders": ["currency"], "users": ["country"]}.items():
    frame(name).write_parquet(FOLDER / "hive" / name, partition_by=by, mkdir=True)
