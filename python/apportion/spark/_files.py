"""Parquet files as data frames of Spark, with the file and the number of every row.

Spark reads the files itself, wherever its executors reach them. What it makes of them otherwise than the
engine does is set right here: folders `key=value` are text, nanoseconds are times, files whose columns
differ are read together.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pyarrow
import pyarrow.fs
import pyarrow.parquet
from pyspark.sql import functions as F
from pyspark.sql import types as T

from .._errors import InputError
from ._frames import quoted
from ._stream import reason
from ._types import fitting_schema, spark_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession

#: Columns that say where a row came from: its file, and its number in it from 1 on.
FILE, ROW = "_file", "_file_row"

#: How Spark has to be set to read as the engine does.
CONF = {
    # Columns `A` and `a` are two.
    "spark.sql.caseSensitive": "true",
    # A folder `day=01` says `01`.
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
}
_NANOSECONDS = "spark.sql.legacy.parquet.nanosAsLong"


def read(spark: SparkSession, table: str, paths: Sequence[str], sent: Sequence[str] = ()) -> DataFrame:
    """The rows of files, which may differ in their columns; those of some are `sent` to Spark from here."""
    groups: dict[str | None, list[str]] = {}
    for path in paths:
        if path not in sent:
            groups.setdefault(_hive_base(path), []).append(path)
    frames = [_located(_merged(spark, table, base, files)) for base, files in groups.items()]
    return _united(table, [*frames, *(_sent(spark, path) for path in sent)])


def _sent(spark: SparkSession, path: str) -> DataFrame:
    rows = pyarrow.parquet.read_table(path)
    rows = rows.append_column(FILE, pyarrow.repeat(pyarrow.scalar(path), rows.num_rows))
    rows = rows.append_column(ROW, pyarrow.array(range(1, rows.num_rows + 1), pyarrow.int64()))
    schema = fitting_schema(rows.schema)
    return spark.createDataFrame(rows.cast(schema), spark_schema(schema))


def _hive_base(path: str) -> str | None:
    """The folder that holds the unbroken row of folders `key=value` just above a file, if there are any."""
    scheme, separator, rest = path.rpartition("://")
    base = PurePosixPath(rest).parent
    if "=" not in base.name:
        return None
    while "=" in base.name:
        base = base.parent
    return f"{scheme}{separator}{base}"


def _merged(spark: SparkSession, table: str, base: str | None, paths: Sequence[str]) -> DataFrame:
    try:
        return _read(spark, base, paths)
    # Spark's own errors are of many kinds, and some are those of what calls Java.
    except Exception as error:
        if "NANOS" in str(error):
            return _with_nanoseconds(spark, table, base, paths)
        if len(paths) > 1 and "merge" in str(error).lower():
            # Files whose columns have other types: each as it is.
            return _united(table, [_read(spark, base, [path]) for path in paths])
        raise InputError(f"Spark cannot read `{table}`: {reason(error)}") from error


def _read(spark: SparkSession, base: str | None, paths: Sequence[str]) -> DataFrame:
    reader = spark.read.option("mergeSchema", "true")
    if base is not None:
        reader = reader.option("basePath", base)
    frame = reader.parquet(*paths)
    return frame.select(
        "*", F.col("_metadata.file_path").alias(FILE), F.col("_metadata.row_index").alias(ROW)
    )


def _located(frame: DataFrame) -> DataFrame:
    """The frame with files as they are named: Spark escapes what an address cannot hold."""
    escaped = F.replace(F.regexp_replace(FILE, "^file:/+", "/"), F.lit("+"), F.lit("%2B"))
    return frame.withColumns({FILE: F.url_decode(escaped), ROW: F.col(ROW) + 1})


def _with_nanoseconds(spark: SparkSession, table: str, base: str | None, paths: Sequence[str]) -> DataFrame:
    """Files with times in nanoseconds, which Spark has as numbers. What is below a microsecond is cut."""
    spark.conf.set(_NANOSECONDS, "true")
    with ThreadPoolExecutor() as pool:
        schemas = list(pool.map(_schema, paths))
    groups: dict[tuple[str, ...], list[str]] = {}
    for path, schema in zip(paths, schemas, strict=True):
        groups.setdefault(tuple(_nanosecond_columns(schema)), []).append(path)
    frames = []
    for columns, files in groups.items():
        frame = _read(spark, base, files)
        for column in columns:
            outer, _, inner = column.partition("\0")
            number = quoted(outer) if not inner else f"{quoted(outer)}.{quoted(inner)}"
            # What is left over is cut as integers are divided.
            time = F.expr(f"timestamp_micros({number} div 1000)")
            if inner:
                time = F.col(quoted(outer)).withField(quoted(inner), time)
            frame = frame.withColumn(outer, time)
        frames.append(frame)
    return _united(table, frames)


def _schema(path: str) -> pyarrow.Schema:
    if "://" in path:
        system, inner = pyarrow.fs.FileSystem.from_uri(re.sub("^s3a://", "s3://", path))
        return pyarrow.parquet.read_schema(inner, filesystem=system)
    return pyarrow.parquet.read_schema(path)


def _nanosecond_columns(schema: pyarrow.Schema) -> list[str]:
    """The columns, and fields of structs, that are times in nanoseconds."""

    def is_nanosecond(kind: pyarrow.DataType) -> bool:
        return bool(pyarrow.types.is_timestamp(kind)) and kind.unit == "ns"

    found = []
    for column in schema:
        if is_nanosecond(column.type):
            found.append(column.name)
        elif pyarrow.types.is_struct(column.type):
            found += [f"{column.name}\0{part.name}" for part in column.type if is_nanosecond(part.type)]
    return found


def _united(table: str, frames: Sequence[DataFrame]) -> DataFrame:
    """Several frames as one, whose columns have the types that hold those of all."""
    if len(frames) == 1:
        return frames[0]
    types: dict[str, T.DataType] = {}
    for frame in frames:
        for column in frame.schema.fields:
            known = types.get(column.name, column.dataType)
            types[column.name] = _common(table, column.name, known, column.dataType)

    def as_common(frame: DataFrame) -> DataFrame:
        columns = [
            F.col(quoted(column.name)).cast(types[column.name]).alias(column.name)
            if json.dumps(column.dataType.jsonValue()) != json.dumps(types[column.name].jsonValue())
            else F.col(quoted(column.name))
            for column in frame.schema.fields
        ]
        return frame.select(*columns)

    parts = map(as_common, frames)
    return reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), parts)


#: Whole numbers, the smaller first.
_WHOLE = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)
_TIMES = (T.TimestampType, T.TimestampNTZType)


def _common(table: str, name: str, left: Any, right: Any) -> T.DataType:
    """A type that holds what either of two says."""
    if left == right or isinstance(right, T.NullType):
        return left
    both = (left, right)

    def are(*kinds: type) -> bool:
        return all(isinstance(kind, kinds) for kind in both)

    if isinstance(left, T.NullType):
        return right
    if are(*_WHOLE):
        return T.LongType()
    if are(T.StringType, *_WHOLE) and (name.endswith("id") or "." in name):
        return T.StringType()
    if are(T.FloatType, T.DoubleType):
        return T.DoubleType()
    if are(*_TIMES):
        return T.TimestampType()
    if are(T.DecimalType):
        whole = max(kind.precision - kind.scale for kind in both)
        scale = max(kind.scale for kind in both)
        return T.DecimalType(min(38, whole + scale), scale)
    if are(T.StructType):
        names = list(dict.fromkeys([*left.fieldNames(), *right.fieldNames()]))
        parts = {part.name: part.dataType for part in left.fields}
        for part in right.fields:
            parts[part.name] = _common(
                table, f"{name}.{part.name}", parts.get(part.name, part.dataType), part.dataType
            )
        return T.StructType([T.StructField(part, parts[part]) for part in names])
    raise InputError(
        f"the files of `{table}` have `{name}` as {left.simpleString()} and as {right.simpleString()}, which"
        " Spark cannot read together: give them one type"
    )
