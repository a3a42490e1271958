"""Which users have to be worked on together: the connected components of everything that joins two ids.

Nodes are numbers: 64 bits of a hash of an id, with its kind. Where two ids meet in one number, their
components are worked on together, which changes no answer, only who keeps whom company.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from pyspark import StorageLevel
from pyspark.sql import functions as F

from ._frames import node, text, to_buckets
from ._kernel import (
    COMPONENTS,
    EDGES,
    KEYS,
    PAIRS,
    PARCELS,
    Components,
    Joined,
    KeyEdges,
    PackedPairs,
    ParcelPairs,
    Shared,
    UnpackedComponents,
    UnpackedEdges,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame

    from ._plan import Plan

#: So many edges are joined in one task; beyond, Spark joins them in rounds.
#:
#: The task takes some 60 bytes for each node, and an edge brings one or two: at most 4 GB.
EDGES_OF_ONE_TASK = 30_000_000
#: How often the rounds are begun again when an executor dies with what one of them had found.
_ATTEMPTS = 3


#: Components whose numbers take more bytes than this are not sent within what a server of Connect is told.
_WITHIN_A_PLAN = 8 << 20


@dataclass(frozen=True)
class Found:
    """The components of all nodes that have an edge."""

    #: The columns `node` and `component`; none without edges.
    frame: DataFrame | None
    #: What it comes from, which is persisted, and the caller's to unpersist.
    held: DataFrame | None
    nodes: int
    #: The same as kernels take it; none where it is too large for that.
    joined: Joined | None


def edges(plan: Plan, frames: Mapping[str, DataFrame], partitions: int, memory: int) -> DataFrame | None:
    """Pairs of nodes `a` and `b` that aliases and keys of profiles join; none where there are neither.

    A pair may be there several times. `memory` is what a task may hold.
    """
    found: list[DataFrame] = []
    for name, frame in frames.items():
        table = plan.tables[name]
        if table.to is not None:
            user, other = (node("user", text(place), plan.placeholders) for place in (table.user, table.to))
            joined = frame.select(user.alias("a"), other.alias("b"))
            found.append(joined.where("a <> b"))
    if plan.reconciles and "users" in frames:
        keys = frames["users"].mapInArrow(KeyEdges(plan.text), KEYS)
        user = node("user", F.col("a"))
        pairs = keys.select(node("key", F.col("b")).alias("thing"), user.alias("user"))
        pairs = pairs.where("thing is not null and user is not null")
        parcels = pairs.mapInArrow(ParcelPairs(partitions, memory), PARCELS)
        found.append(to_buckets(parcels, partitions).mapInArrow(Shared(), EDGES))
    return reduce(lambda left, right: left.union(right), found) if found else None


def found(edges: DataFrame | None, edges_of_one_task: int, nodes_everywhere: int) -> Found:
    """The components of edges; kernels take those of as many nodes as `nodes_everywhere`."""
    if edges is None:
        return Found(None, None, 0, Joined(b""))
    packed = edges.mapInArrow(PackedPairs(), PAIRS).persist(StorageLevel.DISK_ONLY)
    try:
        count = _count(packed)
        if count == 0:
            return Found(None, None, 0, Joined(b""))
        if count > edges_of_one_task:
            frame = in_rounds(packed.mapInArrow(UnpackedEdges(), EDGES)).persist(StorageLevel.DISK_ONLY)
            return Found(frame, frame, frame.count(), None)
        held = in_one_task(packed).persist(StorageLevel.DISK_ONLY)
        nodes = _count(held)
    finally:
        packed.unpersist()
    frame = held.mapInArrow(UnpackedComponents(), COMPONENTS)
    return Found(frame, held, nodes, _sent(held) if nodes <= nodes_everywhere else None)


def _count(packed: DataFrame) -> int:
    (row,) = packed.agg(F.sum("count")).collect()
    return row[0] or 0


def _sent(packed: DataFrame) -> Joined | None:
    table = packed.select("first", "second").toArrow()
    numbers = b"".join(part.as_py() for column in table.columns for part in column)
    if hasattr(packed.sparkSession, "sparkContext"):
        return Joined(packed.sparkSession.sparkContext.broadcast(numbers))
    return Joined(numbers) if len(numbers) <= _WITHIN_A_PLAN else None


def in_one_task(packed: DataFrame) -> DataFrame:
    """The components by one task that sees every edge; both are packed."""
    return packed.coalesce(1).mapInArrow(Components(), PAIRS)


def in_rounds(edges: DataFrame) -> DataFrame:
    """The components by joins of Spark alone, for edges that no task can hold.

    Every node is tied to the least node that it knows of, first those above it and then those below
    (Kiveris et al. 2014, *Connected Components in MapReduce and Beyond*), until nothing changes: a star
    around the least node of each component. The number of rounds grows with the logarithm of the longest
    chain.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _stars(edges)
        except Exception as error:
            # What is cut off from its past is lost with its executor.
            if attempt == _ATTEMPTS or "checkpoint" not in str(error).lower():
                raise
    raise AssertionError("the last attempt returns or raises")


def _stars(edges: DataFrame) -> DataFrame:
    greater, lesser = F.greatest("a", "b"), F.least("a", "b")
    stars = _cut(edges.where("a <> b").select(greater.alias("u"), lesser.alias("v")).distinct())
    before = None
    while before != (now := _signature(stars)):
        before = now
        stars = _cut(_tied_below(_tied_above(stars)))
    centres = stars.select(F.col("v").alias("node"), F.col("v").alias("component")).distinct()
    return stars.select(F.col("u").alias("node"), F.col("v").alias("component")).union(centres)


def _tied_above(edges: DataFrame) -> DataFrame:
    """Ties every neighbour above a node to the least of the node and all its neighbours."""
    both = edges.union(edges.select(F.col("v").alias("u"), F.col("u").alias("v")))
    least = both.groupBy("u").agg(F.min("v").alias("least"))
    tied = both.where("v > u").join(least, "u")
    return tied.select(F.col("v").alias("u"), F.least("u", "least").alias("v")).distinct()


def _tied_below(edges: DataFrame) -> DataFrame:
    """Ties every neighbour below a node, and the node, to the least of those."""
    least = edges.groupBy("u").agg(F.min("v").alias("least"))
    moved = edges.join(least, "u").where("v <> least")
    moved = moved.select(F.col("v").alias("u"), F.col("least").alias("v"))
    return moved.union(least.select("u", F.col("least").alias("v"))).distinct()


def _signature(edges: DataFrame) -> tuple[int, int]:
    """What tells one set of edges from another."""
    (row,) = edges.agg(F.count(F.lit(1)), F.bit_xor(F.xxhash64("u", "v"))).collect()
    return row[0], row[1]


def _cut(frame: DataFrame) -> DataFrame:
    """The frame without its past, or the plan of each round would hold those of all before it twice.

    Where `spark.checkpoint.dir` names a folder that outlives executors, it is used.
    """
    if frame.sparkSession.conf.get("spark.checkpoint.dir", None):
        return frame.checkpoint()
    return frame.localCheckpoint()
