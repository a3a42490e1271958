"""Arrow's types and Spark's: what has no like on the other side, and how it gets there and back."""

from __future__ import annotations

import pyarrow
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType


def spark_schema(schema: pyarrow.Schema) -> StructType:
    """The types of Spark for the columns of an Arrow schema."""
    fitting: StructType = from_arrow_schema(fitting_schema(schema))
    return fitting


def fitting_schema(schema: pyarrow.Schema) -> pyarrow.Schema:
    """The schema with which Spark takes such columns: what differs is how they lie in memory."""
    return pyarrow.schema([pyarrow.field(column.name, _fitting(column.type)) for column in schema])


def _fitting(kind: pyarrow.DataType) -> pyarrow.DataType:
    types = pyarrow.types
    if types.is_dictionary(kind):
        return _fitting(kind.value_type)
    if types.is_large_string(kind) or types.is_string_view(kind):
        return pyarrow.string()
    if types.is_large_binary(kind) or types.is_binary_view(kind):
        return pyarrow.binary()
    if types.is_unsigned_integer(kind):
        # A count: none of them comes near the sign.
        return pyarrow.int64()
    if types.is_decimal(kind):
        return pyarrow.decimal128(kind.precision, kind.scale)
    if types.is_timestamp(kind):
        return pyarrow.timestamp("us", tz="UTC" if kind.tz else None)
    if types.is_date64(kind):
        return pyarrow.date32()
    if types.is_list(kind) or types.is_large_list(kind):
        return pyarrow.list_(_fitting(kind.value_type))
    if types.is_struct(kind):
        return pyarrow.struct([(part.name, _fitting(part.type)) for part in kind])
    return kind


def fitted(batch: pyarrow.RecordBatch, schema: pyarrow.Schema) -> pyarrow.RecordBatch:
    """A batch with the columns of a schema and their types."""
    found = [(batch.column(wanted.name), wanted.type) for wanted in schema]
    columns = [column if column.type == kind else column.cast(kind) for column, kind in found]
    return pyarrow.RecordBatch.from_arrays(columns, schema=schema)
