"""What runs in the tasks of Spark: callables that take batches of Arrow and give batches of Arrow.

Each is made on the driver, sent as it is, and found again by its name on the executor, where `apportion`
is installed as well. They hold no session of Spark and know nothing of partitions.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow
import pyarrow.compute
import pyarrow.ipc

from .. import _native
from .._errors import ApportionError
from ._memory import use_memory_again
from ._types import fitted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: What a task of a pass gives: what its bucket comes to, or why it cannot be; and what it took. Where nodes
#: are found that share something, so many rows have two of these instead, and nothing else.
PARTIAL = (
    "partial binary, failed string, rows bigint, seconds double, longest double, cpu double, waited double,"
    " shared bigint, a bigint, b bigint"
)
_PARTIAL = pyarrow.schema(
    [
        ("partial", pyarrow.binary()),
        ("failed", pyarrow.string()),
        ("rows", pyarrow.int64()),
        ("seconds", pyarrow.float64()),
        ("longest", pyarrow.float64()),
        ("cpu", pyarrow.float64()),
        ("waited", pyarrow.float64()),
        ("shared", pyarrow.int64()),
        ("a", pyarrow.int64()),
        ("b", pyarrow.int64()),
    ]
)
#: Columns that say where a row stands: by its person in byte order, then by its number.
ORDER = ("_person", "_row")
_STANDS = (("person", pyarrow.string()), ("row", pyarrow.int64()))
#: What a chunk of a table is on its way to the driver: Arrow's bytes, and where its rows stand.
PACKED = (
    "batch binary, in_order boolean, first_person string, first_row bigint,"
    " last_person string, last_row bigint"
)
_PACKED = pyarrow.schema(
    [
        ("batch", pyarrow.binary()),
        ("in_order", pyarrow.bool_()),
        *((f"{end}_{part}", kind) for end in ("first", "last") for part, kind in _STANDS),
    ]
)

#: Rows of a table on their way to a bucket: its number, the table, how many they are, and the rows.
PARCELS = "bucket int, table string, count bigint, rows binary"

EDGES = "a bigint, b bigint"
_EDGES = pyarrow.schema([("a", pyarrow.int64()), ("b", pyarrow.int64())])

COMPONENTS = "node bigint, component bigint"
_COMPONENTS = pyarrow.schema([("node", pyarrow.int64()), ("component", pyarrow.int64())])

#: Pairs of numbers on their way, which cost Spark less in few rows: how many they are, and all of the first
#: and of the second of each.
PAIRS = "count bigint, first binary, second binary"
_PAIRS = pyarrow.schema(
    [("count", pyarrow.int64()), ("first", pyarrow.binary()), ("second", pyarrow.binary())]
)

KEYS = "a string, b string"
_KEYS = pyarrow.schema([("a", pyarrow.string()), ("b", pyarrow.string())])


@dataclass
class _Watched:
    """Parcels on their way into the kernel: how many rows they have, and how long they were waited for."""

    batches: Iterator[pyarrow.RecordBatch]
    rows: int = 0
    waited: float = field(default=0.0)

    def __iter__(self) -> Iterator[pyarrow.RecordBatch]:
        return self

    def __next__(self) -> pyarrow.RecordBatch:
        began = time.perf_counter()
        try:
            batch = next(self.batches)
        finally:
            self.waited += time.perf_counter() - began
        counts, tables = batch.column("count"), batch.column("table")
        of_tables = pyarrow.compute.not_equal(tables, _native.PAIRS)
        self.rows += pyarrow.compute.sum(counts.filter(of_tables)).as_py() or 0
        return batch


@dataclass(frozen=True)
class Parcel:
    """The rows of a table as parcels, by the component of their users.

    If `watched`, pairs of each row's id and its users travel beside them.
    """

    plan: str
    table: str
    buckets: int
    memory: int
    #: The component of every user that is joined with others; none if rows come with a key, as their first
    #: column.
    joined: Joined | None
    watched: bool

    def __call__(self, batches: Iterator[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        joined = None if self.joined is None else self.joined.native()
        parcels = _native.Parcels(self.plan, self.table, self.buckets, self.memory, joined, self.watched)
        return _parcelled(parcels, batches)


@dataclass(frozen=True)
class Joined:
    """The component of every user that is joined with others, as it travels to tasks."""

    #: As the native half takes them: bytes, or what Spark has sent them to every executor by.
    numbers: Any

    def native(self) -> _native.Joined:
        """The same in a task, which a process makes once for all of its tasks."""
        return _joined(self.numbers if isinstance(self.numbers, bytes) else self.numbers.value)


@lru_cache(maxsize=1)
def _joined(numbers: bytes) -> _native.Joined:
    return _native.Joined(numbers)


@dataclass(frozen=True)
class ParcelPairs:
    """Pairs of a thing and a user as parcels, by the thing."""

    buckets: int
    memory: int

    def __call__(self, batches: Iterator[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        return _parcelled(_native.Pairs(self.buckets, self.memory), batches)


def _parcelled(
    parcels: _native.Parcels | _native.Pairs, batches: Iterator[pyarrow.RecordBatch]
) -> Iterator[pyarrow.RecordBatch]:
    use_memory_again()
    for batch in batches:
        yield from parcels.take(batch)
    yield from parcels.end()


@dataclass(frozen=True)
class Shared:
    """Of parcels of pairs of a thing and a user those of things that several users have."""

    def __call__(self, batches: Iterator[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        for batch in pyarrow.table(_native.shared(batches)).to_batches(max_chunksize=1 << 16):
            yield fitted(batch, _EDGES)


@dataclass(frozen=True)
class Work:
    """One pass over a bucket: a row with what the bucket comes to, mergeable with that of any other.

    What makes the run impossible is told as data, since a task that raises is tried again in vain.
    """

    plan: str
    what: str
    known: bytes
    small: Mapping[str, bytes]
    memory: int

    def __call__(self, batches: Iterator[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        began, cpu = time.perf_counter(), time.process_time()
        use_memory_again()
        watched = _Watched(iter(batches))
        partial = failed = None
        edges: list[pyarrow.RecordBatch] = []
        try:
            small = small_tables(self.small)
            partial, shared = _native.work_bucket(
                self.plan, self.what, self.known, small, watched, self.memory
            )
            edges = pyarrow.table(shared).to_batches(max_chunksize=1 << 16)
        except ApportionError as error:
            failed = f"{type(error).__name__}:{error}"
        seconds = time.perf_counter() - began
        row = {
            "partial": partial,
            "failed": failed,
            "rows": watched.rows,
            "seconds": seconds,
            "longest": seconds,
            "cpu": time.process_time() - cpu,
            "waited": watched.waited,
            "shared": sum(batch.num_rows for batch in edges),
        }
        yield pyarrow.RecordBatch.from_pylist([row], _PARTIAL)
        for batch in edges:
            none = {column.name: pyarrow.nulls(batch.num_rows, column.type) for column in _PARTIAL}
            yield pyarrow.RecordBatch.from_pydict({**none, "a": batch["a"], "b": batch["b"]}, _PARTIAL)


@dataclass(frozen=True)
class Merge:
    """Several of what buckets come to as one."""

    def __call__(self, batches: Iterator[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        tables = [pyarrow.Table.from_batches([batch]) for batch in batches]
        if not tables:
            return
        merged = merged_partials(pyarrow.concat_tables(tables))
        yield pyarrow.RecordBatch.from_pylist([merged], _PARTIAL)


def merged_partials(told: pyarrow.Table) -> dict[str, Any]:
    """What all these rows come to, as one of them."""
    columns = {name: told[name].to_pylist() for name in _PARTIAL.names}
    failed = min((text for text in columns["failed"] if text is not None), default=None)
    merged = (
        None if failed else _native.merge_partials([one for one in columns["partial"] if one is not None])
    )
    return {
        "partial": merged,
        "failed": failed,
        "rows": sum(columns["rows"]),
        "seconds": sum(columns["seconds"]),
        "longest": max(columns["longest"], default=0.0),
        "cpu": sum(columns["cpu"]),
        "waited": sum(columns["waited"]),
        "shared": sum(columns["shared"]),
    }


@dataclass(frozen=True)
class Rows:
    """The rows that a bucket has in a table, such as credits; `_person` and `_row` say where each stands."""

    plan: str
    what: str
    known: bytes
    small: Mapping[str, bytes]
    memory: int
    schema: pyarrow.Schema

    def __call__(self, batches: Iterator[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        use_memory_again()
        small = small_tables(self.small)
        rows = _native.bucket_rows(self.plan, self.what, self.known, small, batches, self.memory)
        for batch in pyarrow.RecordBatchReader.from_stream(rows):
            yield fitted(batch, self.schema)


def small_tables(streams: Mapping[str, bytes]) -> dict[str, pyarrow.Table]:
    """The small tables out of their streams."""
    return {name: pyarrow.ipc.open_stream(stream).read_all() for name, stream in streams.items()}


@dataclass(frozen=True)
class Packed:
    """Rows in their order as bytes of Arrow, so that the driver handles batches and never a row."""

    #: The schema of the bytes, without the columns that say where rows stand.
    schema: pyarrow.Schema

    def __call__(self, batches: Iterator[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        for batch in batches:
            if batch.num_rows == 0:
                continue
            stands = [batch[name] for name in ORDER]
            chunk = {
                "batch": fitted(batch, self.schema).serialize().to_pybytes(),
                "in_order": _is_in_order(*stands),
                **{f"first_{part}": at[0].as_py() for (part, _), at in zip(_STANDS, stands, strict=True)},
                **{f"last_{part}": at[-1].as_py() for (part, _), at in zip(_STANDS, stands, strict=True)},
            }
            yield pyarrow.RecordBatch.from_pylist([chunk], _PACKED)


def _is_in_order(persons: pyarrow.Array, rows: pyarrow.Array) -> bool:
    """Whether every row stands after the one before it."""
    compute = pyarrow.compute
    same = compute.equal(persons[1:], persons[:-1])
    after = compute.greater(rows[1:], rows[:-1])
    is_after = compute.or_(compute.greater(persons[1:], persons[:-1]), compute.and_(same, after))
    return bool(compute.all(is_after, min_count=0).as_py())


@dataclass(frozen=True)
class PackedPairs:
    """Pairs of numbers in few rows."""

    def __call__(self, batches: Iterator[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        yield from (_packed(batch) for batch in batches if batch.num_rows)


def _packed(pairs: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
    row = {"count": pairs.num_rows, **dict(zip(("first", "second"), map(_bytes, pairs.columns), strict=True))}
    return pyarrow.RecordBatch.from_pylist([row], _PAIRS)


def _bytes(numbers: pyarrow.Int64Array) -> bytes:
    start, size = 8 * numbers.offset, 8 * len(numbers)
    return memoryview(numbers.buffers()[1])[start : start + size].tobytes()


def _unpacked(rows: pyarrow.RecordBatch, schema: pyarrow.Schema) -> Iterator[pyarrow.RecordBatch]:
    for count, *numbers in zip(*(rows[name] for name in _PAIRS.names), strict=True):
        buffers = [pyarrow.py_buffer(half.as_buffer()) for half in numbers]
        columns = [pyarrow.Array.from_buffers(pyarrow.int64(), count.as_py(), [None, one]) for one in buffers]
        yield pyarrow.RecordBatch.from_arrays(columns, schema=schema)


@dataclass(frozen=True)
class UnpackedEdges:
    """The edges that are packed."""

    def __call__(self, batches: Iterator[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        for batch in batches:
            yield from _unpacked(batch, _EDGES)


@dataclass(frozen=True)
class UnpackedComponents:
    """The components that are packed."""

    def __call__(self, batches: Iterator[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        for batch in batches:
            yield from _unpacked(batch, _COMPONENTS)


@dataclass(frozen=True)
class Components:
    """The connected components of all edges in one task: the number of each node's. Both are packed."""

    def __call__(self, batches: Iterator[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        edges = (edges for batch in batches for edges in _unpacked(batch, _EDGES))
        found = pyarrow.table(_native.components(edges))
        yield from (_packed(batch) for batch in found.to_batches(max_chunksize=1 << 20) if batch.num_rows)


@dataclass(frozen=True)
class KeyEdges:
    """Users and the keys of their profiles that join them to others."""

    plan: str

    def __call__(self, batches: Iterator[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        for batch in batches:
            edges = pyarrow.table(_native.key_edges(self.plan, batch))
            for found in edges.to_batches():
                yield fitted(found, _KEYS)
