"""The passes over the buckets, and what is merged between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow
from pyspark import StorageLevel

from .. import _errors, _native
from ._kernel import PARTIAL, Merge, Rows, Work, merged_partials
from ._types import fitting_schema, spark_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame

    from .._progress import Progress
    from ._plan import Plan

#: What so many buckets come to is merged on the driver; of more, executors merge most of it first.
MERGED_ON_THE_DRIVER = 64

#: What the passes are called while they are made.
_STAGES = {
    "look": "looking at channels",
    "learn": "learning from journeys",
    "merge": "merging lines",
    "attribute": "attributing",
}


@dataclass(frozen=True)
class Small:
    """The small tables, as the driver has them and as they travel to tasks."""

    tables: Mapping[str, pyarrow.Table]
    streams: Mapping[str, bytes]

    @classmethod
    def of(cls, tables: Mapping[str, pyarrow.Table]) -> Small:
        """These tables and their streams."""
        return cls(tables, {name: _stream_of(table) for name, table in tables.items()})


def _stream_of(table: pyarrow.Table) -> bytes:
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    stream: bytes = sink.getvalue().to_pybytes()
    return stream


@dataclass(frozen=True)
class Effort:
    """What a pass took of its tasks: seconds of all and of the longest, of the processor, and of waiting
    for rows."""

    what: str
    rows: int
    seconds: float
    longest: float
    cpu: float
    waited: float


class Passes:
    """The passes of a run over its buckets: each makes known what the next has to know."""

    def __init__(self, plan: Plan, small: Small, partitions: int, memory: int) -> None:
        self._plan = plan
        self._small = small
        self._partitions = partitions
        self._memory = memory
        #: What is known of all buckets together, after the last pass that was made.
        self.known = b""
        #: What all buckets came to in that pass.
        self.merged = b""
        #: What the passes took.
        self.efforts: list[Effort] = []

    def run(self, buckets: DataFrame, told: Progress, *, watched: bool) -> DataFrame | None:
        """Makes every pass.

        If buckets are `watched` and it turns out that several have users who share something, the first pass
        is the last: what it gives are edges between them, which the caller has to unpersist.
        """
        rows = 0
        first = watched
        for what in self._plan.passes:
            again = True
            while again:
                told(_STAGES.get(what, what), rows)
                merged, shared = self._merged(buckets, what, watched=first)
                if shared is not None:
                    return shared
                first = False
                self.merged, rows = merged["partial"], merged["rows"]
                self.known, again = _native.known(self._plan.text, what, self.known, self.merged)
        told("merged", rows)
        return None

    def schema(self, plan: Plan, what: str) -> pyarrow.Schema:
        """What columns the rows of a table have, and where each row stands."""
        none: list[pyarrow.RecordBatch] = []
        rows = _native.bucket_rows(plan.text, what, self.known, self._small.tables, none, self._memory)
        return pyarrow.RecordBatchReader.from_stream(rows).schema

    def rows(self, plan: Plan, buckets: DataFrame, what: str) -> DataFrame:
        """The rows of a table, wherever they are; with where each stands in the order of the table."""
        schema = fitting_schema(self.schema(plan, what))
        kernel = Rows(plan.text, what, self.known, self._small.streams, self._memory, schema)
        return buckets.mapInArrow(kernel, spark_schema(schema))

    def _merged(
        self, buckets: DataFrame, what: str, *, watched: bool
    ) -> tuple[dict[str, Any], DataFrame | None]:
        kernel = Work(self._plan.text, what, self.known, self._small.streams, self._memory)
        made = buckets.mapInArrow(kernel, PARTIAL)
        if watched:
            made = made.persist(StorageLevel.DISK_ONLY)
        shared = None
        try:
            partials = made.where("a is null")
            if self._partitions > MERGED_ON_THE_DRIVER:
                # By what they say, so that a task that is tried again sends them the same way.
                groups = math.isqrt(self._partitions)
                partials = partials.repartition(groups, "partial").mapInArrow(Merge(), PARTIAL)
            merged = merged_partials(partials.toArrow())
            facts = {name: merged[name] for name in ("rows", "seconds", "longest", "cpu", "waited")}
            self.efforts.append(Effort(what, **facts))
            if merged["shared"]:
                shared = made
            elif merged["failed"] is not None:
                raise _told(merged["failed"])
        finally:
            if watched and shared is None:
                made.unpersist()
        return merged, shared


def _told(failed: str) -> Exception:
    """What a task says is impossible, as it would have been raised here."""
    name, _, text = failed.partition(":")
    kind = getattr(_errors, name, _errors.ApportionError)
    error: Exception = kind(text)
    return error
