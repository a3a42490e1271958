"""Spark's data frames, whether they speak to a Spark of this process (classic) or to a server (Connect)."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pyarrow
from pyspark.errors import PySparkException
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, IntegralType, MapType, NullType, StringType, StructType

from .._errors import InputError, TableTypeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyspark.sql import Column, DataFrame, SparkSession

    from ._plan import Place

#: What stands around an id that stands for no user, as `{{user_id}}` and `%USER_ID%` have it.
_AROUND = [
    *(("", ""), ("{", "}"), ("{{", "}}"), ("{{ ", " }}"), ("[", "]"), ("[[", "]]"), ("(", ")"), ("<", ">")),
    *(("<<", ">>"), ("${", "}"), ("$", ""), ("%", "%"), ("%%", "%%"), ('"', '"'), ("'", "'")),
]


def is_frame(value: object) -> bool:
    """Whether something is a data frame of Spark, of either kind."""
    return hasattr(value, "mapInArrow") and hasattr(value, "sparkSession")


def frame_of(table: str, value: Any) -> DataFrame:
    """What is given for a table, which has to be a data frame of Spark."""
    if not is_frame(value):
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        raise TableTypeError(
            f"`{table}` cannot be read from a `{kind}`: give a data frame of Spark, as"
            " `spark.read.parquet(...)` or `spark.createDataFrame(...)` makes one"
        )
    frame: DataFrame = value
    doubled = sorted({name for name in frame.columns if frame.columns.count(name) > 1})
    if doubled:
        raise InputError(f"`{table}` has several columns `{doubled[0]}`: drop or rename all but one")
    return frame


def arrow_schema(frame: DataFrame) -> pyarrow.Schema:
    """The Arrow schema that the rows of a frame have on their way to Python. Reads no row."""
    return pyarrow.schema([_nullable(column) for column in frame.limit(0).toArrow().schema])


def _nullable(column: pyarrow.Field) -> pyarrow.Field:
    """A column that may be null, whatever Spark knows of it: beside rows of other tables it is."""
    kind = column.type
    if pyarrow.types.is_struct(kind):
        kind = pyarrow.struct([_nullable(part) for part in kind])
    return pyarrow.field(column.name, kind)


def quoted(name: str) -> str:
    """A name of a column, with whatever letters."""
    return "`" + name.replace("`", "``") + "`"


def text(place: Place | None) -> Column:
    """An id as text; null where there is no place for it."""
    if place is None or not place.column:
        return F.lit(None if place is None else place.constant).cast("string")
    return F.col(".".join(map(quoted, place.column))).cast("string")


def is_text(frame: DataFrame, place: Place | None) -> bool:
    """Whether ids in a place are texts or whole numbers, which are the same text to everybody."""
    if place is None or not place.column:
        return True
    kind: DataType = frame.schema
    for part in place.column:
        if not isinstance(kind, StructType):
            return False
        kind = kind[part].dataType
    return isinstance(kind, StringType | IntegralType)


def absent(placeholders: Sequence[str]) -> list[str]:
    """Ids of nobody: blanks, and words that stand for no user, in every usual case and in brackets."""
    cased = {word: None for name in placeholders for word in (name, name.upper(), name.capitalize())}
    return ["", " ", "  ", *(f"{left}{word}{right}" for word in cased for left, right in _AROUND)]


def node(kind: str, identifier: Column, placeholders: Sequence[str] = ()) -> Column:
    """The number that stands for an id of a kind; null where it is blank or stands for no user, as these are
    mostly written.

    A row of one that is written otherwise is rejected in its bucket all the same: it only keeps others
    company. Two ids that have one number are worked on together, which costs nothing but the company.
    """
    # The list of those is long, and Spark holds it once for each time that it is said.
    is_known = identifier.isNotNull() & ~identifier.isin(*absent(placeholders))
    return F.when(is_known, F.xxhash64(F.lit(kind), identifier))


def row_node(frame: DataFrame, columns: Sequence[str]) -> Column:
    """A number for a row by what it holds in some columns, so that rows without an id are spread evenly."""
    fields = [frame.schema[name] for name in columns]
    hashed = [F.col(quoted(field.name)) for field in fields if _is_hashed(field.dataType)]
    return F.xxhash64(F.lit("row"), *hashed)


def _is_hashed(kind: DataType) -> bool:
    if isinstance(kind, ArrayType):
        return _is_hashed(kind.elementType)
    if isinstance(kind, StructType):
        return all(_is_hashed(field.dataType) for field in kind.fields)
    return not isinstance(kind, MapType | NullType) and kind.typeName() != "variant"


#: How many rows go to Python together: a batch is cheap, and so many parcels are no more than 32 MB.
_TOGETHER = 2048
#: How Spark has to be set so that it does not measure a batch anew with each of its rows, which costs more
#: than the row does.
_BATCHES = {
    "spark.sql.execution.arrow.maxRecordsPerBatch": str(_TOGETHER),
    "spark.sql.execution.arrow.maxBytesPerBatch": str(2**31 - 1),
}


@contextmanager
def large_batches(spark: SparkSession) -> Iterator[None]:
    """Within it, rows go to Python in batches of a number of rows, however large they are."""
    before = {name: spark.conf.get(name, None) for name in _BATCHES}
    try:
        for name, value in _BATCHES.items():
            spark.conf.set(name, value)
        yield
    finally:
        for name, value in before.items():
            if value is None:
                spark.conf.unset(name)
            else:
                spark.conf.set(name, value)


def to_buckets(parcels: DataFrame, partitions: int) -> DataFrame:
    """Parcels in the partitions of their buckets."""
    if hasattr(parcels, "repartitionById"):
        rows = parcels.repartitionById(partitions, F.col("bucket"))
        # A server of another make, or before Spark 4.1, says that it knows no such thing when it is asked.
        with suppress(PySparkException):
            if rows.select("bucket").schema:
                return rows
    # A partition is chosen by a hash of the bucket's number, and may have several buckets.
    return parcels.repartition(partitions, "bucket")
