"""Rows of Spark in their order on the driver, batch by batch: it never has a table whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow
import pyarrow.ipc
from pyspark import StorageLevel

from .._errors import ApportionError
from ._kernel import ORDER, PACKED, Packed
from ._types import fitted, fitting_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame


def ordered_stream(
    rows: DataFrame, schema: pyarrow.Schema
) -> tuple[pyarrow.Schema, Iterator[pyarrow.RecordBatch]]:
    """The batches of rows in their order, at least one, and their schema: the one that is given, without
    the columns that say where rows stand."""
    fields = [column for column in schema if column.name not in ORDER]
    shown = pyarrow.schema(fields, metadata=schema.metadata)
    return shown, _batches(rows, shown)


def _batches(rows: DataFrame, schema: pyarrow.Schema) -> Iterator[pyarrow.RecordBatch]:
    fitting = fitting_schema(schema)
    # Sorting looks at the rows before it moves them: they are worked out once.
    held = rows.persist(StorageLevel.DISK_ONLY)
    before = None
    try:
        packed = held.sort(*ORDER).mapInArrow(Packed(fitting), PACKED)
        for chunk in packed.toLocalIterator():
            first, last = ((chunk[f"{end}_person"], chunk[f"{end}_row"]) for end in ("first", "last"))
            if not chunk["in_order"] or (before is not None and not _follows(before, first)):
                raise ApportionError("rows do not come in the order into which Spark has put them")
            before = last
            batch = pyarrow.ipc.read_record_batch(pyarrow.py_buffer(bytes(chunk["batch"])), fitting)
            yield fitted(batch, schema)
    finally:
        held.unpersist()
    if before is None:
        none = [pyarrow.array([], column.type) for column in schema]
        yield pyarrow.RecordBatch.from_arrays(none, schema=schema)


def reason(error: Exception) -> str:
    """The line of an error of Spark that says most: of a task's, what this package says there."""
    shown = [line.strip() for line in str(error).splitlines() if line.strip()]
    own = [line for line in shown if line.startswith("apportion.")]
    # What calls Java begins with the call, and says in the line after what came of it.
    told = [
        line.removeprefix(": ") for line in shown if not line.startswith("An error occurred while calling")
    ]
    return (own or told or [type(error).__name__])[0]


def _follows(before: tuple[str, int], after: tuple[str, int]) -> bool:
    """Whether a row stands after another: persons are in byte order."""
    return (before[0].encode(), before[1]) < (after[0].encode(), after[1])
