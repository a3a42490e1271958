"""A run on Spark: components, shuffle, passes, and what they come to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow
from pyspark import StorageLevel

from .. import _native
from .._errors import MissingInputError, TableTypeError
from ._components import EDGES_OF_ONE_TASK, Found, edges, found
from ._frames import arrow_schema, frame_of, is_frame, large_batches
from ._passes import Passes, Small
from ._plan import ASKED, ROWS, SHUFFLED, SMALL, Plan
from ._shuffle import NODES_EVERYWHERE, shuffled
from ._stream import ordered_stream

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from pyspark.sql import DataFrame

    from .._progress import Progress
    from ._passes import Effort

#: What one task holds in memory, unless it is said.
MEMORY = "512MiB"
#: Into how many buckets users are divided where neither the caller nor Spark says.
_PARTITIONS = 200


class SparkRun:
    """A run whose rows stay with Spark: what it comes to, and the rows that can be asked for.

    `wanted` are tables that will be asked for: shuffled rows are kept for those of rows. `places` are columns
    that say where a row came from, if frames have them.
    """

    def __init__(
        self,
        tables: Mapping[str, Any],
        settings: Mapping[str, object],
        config: str | os.PathLike[str] | Mapping[str, Any] | None,
        *,
        partitions: int | None,
        memory: int,
        wanted: Sequence[str],
        told: Progress,
        places: Sequence[str] = (),
        edges_of_one_task: int = EDGES_OF_ONE_TASK,
        nodes_everywhere: int = NODES_EVERYWHERE,
    ) -> None:
        self._frames = {
            name: frame_of(name, tables[name]) for name in SHUFFLED if tables.get(name) is not None
        }
        if not self._frames:
            raise MissingInputError("there is no table to read: give `sessions` and `orders`")
        told("collecting small tables", 0)
        small = {name: tables[name] for name in SMALL if tables.get(name) is not None}
        self._small = Small.of({name: _collected(name, table, places) for name, table in small.items()})
        self._schemas = {name: arrow_schema(frame.drop(*places)) for name, frame in self._frames.items()}
        self._settings, self._config, self._places = settings, config, places
        #: Small tables that are made because somebody will ask for them.
        self.asked = [name for name in wanted if name in ASKED]
        #: What is worked out, and how.
        self.plan = self._planned(wanted)
        #: The tables of rows for which shuffled rows are kept.
        self._kept = {*(name for name in wanted if name in ROWS), *self.plan.written}
        spark = next(iter(self._frames.values())).sparkSession
        said = partitions or int(spark.conf.get("spark.sql.shuffle.partitions", None) or _PARTITIONS)
        self._partitions = said
        self._memory = memory
        self._passes = Passes(self.plan, self._small, said, memory)
        self._found = Found(None, None, 0, None)
        self._buckets: DataFrame | None = None
        self._held: list[DataFrame] = []
        try:
            with large_batches(spark):
                self._run(told, edges_of_one_task, nodes_everywhere)
        except BaseException:
            self.unpersist()
            raise
        if not self._kept:
            self.unpersist()

    def _planned(self, wanted: Sequence[str]) -> Plan:
        said, small = (self._settings, self._config), self._small.tables
        return Plan.of(*said, self._schemas, small, wanted, places=bool(self._places))

    def _run(self, told: Progress, edges_of_one_task: int, nodes_everywhere: int) -> None:
        """Works on buckets of users whom aliases and keys join; and once more where it turns out that others
        are said to have one session or order, and are joined by that."""
        told("joining user ids", 0)
        joined = edges(self.plan, self._frames, self._partitions, self._memory)
        self._find(joined, edges_of_one_task, nodes_everywhere)
        shared = self._passes.run(self._bucketed(watched=True), told, watched=True)
        if shared is None:
            return
        try:
            told("joining users of one row", 0)
            self.unpersist()
            pairs = shared.where("a is not null").select("a", "b")
            self._find(pairs if joined is None else joined.union(pairs), edges_of_one_task, nodes_everywhere)
        finally:
            shared.unpersist()
        self._passes.run(self._bucketed(watched=False), told, watched=False)

    def _find(self, joined: DataFrame | None, edges_of_one_task: int, nodes_everywhere: int) -> None:
        self._found = found(joined, edges_of_one_task, nodes_everywhere)
        if self._found.held is not None:
            self._held.append(self._found.held)

    def _bucketed(self, *, watched: bool) -> DataFrame:
        buckets = self._shuffled(self.plan, watched=watched)
        if len(self.plan.passes) > 1 or self._kept:
            buckets = buckets.persist(StorageLevel.DISK_ONLY)
            self._held.append(buckets)
        self._buckets = buckets
        return buckets

    def _shuffled(self, plan: Plan, *, watched: bool = False) -> DataFrame:
        said = (self._found, self._partitions, self._memory, self._places)
        return shuffled(plan, self._frames, *said, watched=watched)

    @property
    def partial(self) -> bytes:
        """What all buckets come to."""
        return self._passes.merged

    @property
    def known(self) -> bytes:
        """What is known of all buckets together."""
        return self._passes.known

    @property
    def efforts(self) -> Sequence[Effort]:
        """What the passes took."""
        return self._passes.efforts

    def rows(self, name: str) -> DataFrame:
        """The rows of a table, with where each stands in the order of the table."""
        if name in self._kept and self._buckets is not None:
            return self._passes.rows(self.plan, self._buckets, name)
        # What such rows need besides was not shuffled: it is now.
        plan = self._planned([name]).at_the_clock_of(self.plan)
        return self._passes.rows(plan, self._shuffled(plan), name)

    def stream(self, name: str) -> tuple[pyarrow.Schema, Iterator[pyarrow.RecordBatch]]:
        """The rows of a table that is wanted in their order, batch by batch, and their schema."""
        return ordered_stream(self.rows(name), self._passes.schema(self.plan, name))

    def concluded(self, progress: Progress | None = None) -> _native.Concluded:
        """The report and all that goes with it; writes the files that the settings name."""
        streams = {name: self.stream(name) for name in self.plan.written}
        rows = {
            name: pyarrow.RecordBatchReader.from_batches(schema, batches)
            for name, (schema, batches) in streams.items()
        }
        text, small = self.plan.text, self._small.tables
        return _native.conclude(
            text, self.known, self.partial, small, rows, ["rejects", *self.asked], progress
        )

    def unpersist(self) -> None:
        """Lets go of what Spark holds for rows that may be asked for."""
        while self._held:
            self._held.pop().unpersist()


def _collected(name: str, value: Any, places: Sequence[str]) -> pyarrow.Table:
    """A small table whole: of Spark, or of whatever speaks the Arrow PyCapsule interface."""
    if is_frame(value):
        table: pyarrow.Table = frame_of(name, value).drop(*places).toArrow()
        return table
    if hasattr(value, "__arrow_c_stream__"):
        return pyarrow.table(value)
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise TableTypeError(
        f"`{name}` cannot be read from a `{kind}`: give a data frame of Spark, or a table that speaks the"
        " Arrow PyCapsule interface, such as a pyarrow table or a data frame of Polars or pandas"
    )
