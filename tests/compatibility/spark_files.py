"""Fixtures written by Spark: `python spark_files.py`."""

import shutil

import pyspark.sql.functions as F
from pyspark.sql import SparkSession
from world import FLAGS, HERE, LISTS, MONEY, NUMBERS, TABLES, TIMES, USER, columns, fresh, place

FOLDER = fresh("spark")
TIMED = ["sessions", "users"]
SPARK = (
    SparkSession.builder.master("local[1]")
    .config("spark.sql.session.timeZone", "America/St_Johns")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.shuffle.partitions", "1")
    .getOrCreate()
)
SPARK.sparkContext.setLogLevel("ERROR")


def frame(name, time="timestamp", money="decimal(18,2)"):
    rows = SPARK.read.option("header", True).csv(str(HERE / "world" / f"{name}.csv"))
    for column in columns(name):
        if column in TIMES:
            # A time without a zone is what the clocks of UTC say.
            written = F.col(column) if time == "timestamp" else F.rtrim(F.replace(F.col(column), F.lit("Z"), F.lit("")))
            rows = rows.withColumn(column, written.cast(time))
        elif column in MONEY:
            rows = rows.withColumn(column, F.col(column).cast(money))
        elif column in LISTS:
            rows = rows.withColumn(column, F.split(column, ","))
        elif column in FLAGS:
            rows = rows.withColumn(column, F.col(column).cast("boolean"))
        elif column in NUMBERS:
            rows = rows.withColumn(column, F.col(column).cast("int"))
    return rows.coalesce(1)


def save(rows, path, options=None):
    """Writes one file, without the marks that Spark leaves beside it."""
    scratch = FOLDER / "scratch"
    rows.write.options(**(options or {})).parquet(str(scratch), mode="overwrite")
    (part,) = scratch.glob("part-*.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(part, path)
    shutil.rmtree(scratch)


def write(variant, tables, options=None, settings=None, **types):
    for key, setting in (settings or {}).items():
        SPARK.conf.set(key, setting)
    for name in tables:
        save(frame(name, **types), place(FOLDER, variant, name), options)
    for key in settings or {}:
        SPARK.conf.unset(key)


TYPE = "spark.sql.parquet.outputTimestampType"
REBASE = "spark.sql.parquet.int96RebaseModeInWrite"
write("int96", TABLES, settings={TYPE: "INT96", REBASE: "CORRECTED"})
write("timestamp_micros", TIMED, settings={TYPE: "TIMESTAMP_MICROS"})
write("timestamp_millis", TIMED, settings={TYPE: "TIMESTAMP_MILLIS"})
write("timestamp_ntz", TIMED, time="timestamp_ntz")
write("legacy_format", ["orders"], settings={"spark.sql.parquet.writeLegacyFormat": "true"})
for codec in ["uncompressed", "snappy", "gzip", "zstd", "lz4", "lz4_raw"]:
    write(f"codec_{codec}", ["users", "user_aliases"], {"compression": codec})
write("pages_v2", ["sessions"], {"parquet.writer.version": "v2"})
for precision in [9, 18, 38]:
    write(f"decimal_{precision}", ["orders"], money=f"decimal({precision},2)")
bloom = {}
for column in ["external_id", "user_external_id", "from_user_external_id"]:
    bloom[f"parquet.bloom.filter.enabled#{column}"] = "true"
    bloom[f"parquet.bloom.filter.expected.ndv#{column}"] = "16"
write("bloom_filters", ["sessions"], bloom)
for name in ["sessions", "orders"]:
    user = F.struct(*[F.col(column).alias(column.removeprefix("user_")) for column in USER])
    save(frame(name).withColumn("user", user).drop(*USER), place(FOLDER, "nested_user", name))
for name, by in {"sessions": ["utm_source", "utm_medium"], "orders": ["currency"], "users": ["country"]}.items():
    folder = FOLDER / "hive" / name
    frame(name).write.partitionBy(*by).parquet(str(folder))
    for left in [*folder.rglob("*.crc"), folder / "_SUCCESS"]:
        left.unlink()
SPARK.stop()
