"""Brings all rows of those who belong together into one partition, in one shuffle of all tables.

Spark moves parcels of rows, made by the kernel: large values in few rows cost it less than many small ones.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from ._frames import node, present, quoted, row_node, text, to_buckets
from ._kernel import PARCELS, Parcel
from ._plan import PERSONAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from ._plan import Plan

#: So many nodes of components are sent to every executor; more are joined by a shuffle.
NODES_EVERYWHERE = 2_000_000


def shuffled(
    plan: Plan,
    frames: Mapping[str, DataFrame],
    components: tuple[DataFrame, int] | None,
    partitions: int,
    memory: int,
    places: Sequence[str] = (),
) -> DataFrame:
    """The rows of all tables as parcels, in the partition of their users.

    `memory` is what a task may hold, and `places` are columns that say where a row came from.
    """
    keyed = {
        name: _keyed(plan, name, frames[name], components, places) for name in PERSONAL if name in frames
    }
    if "order_items" in frames:
        keyed["order_items"] = _with_orders(
            plan, frames["order_items"], keyed.get("orders"), partitions, places
        )

    def parcels(name: str) -> DataFrame:
        count = len(plan.tables[name].columns) + len(places)
        rows = keyed[name].select("key", *map(_wire, range(count)))
        return rows.mapInArrow(Parcel(plan.text, name, partitions, memory), PARCELS)

    rows = reduce(lambda left, right: left.union(right), map(parcels, keyed))
    return to_buckets(rows, partitions)


def _wire(at: int) -> str:
    """What a column is called on its way, by its place: nothing else can be called so."""
    return f"c{at}"


def _row(names: Sequence[str]) -> list[Column]:
    """The columns of a table as they are called on their way."""
    return [F.col(quoted(name)).alias(_wire(at)) for at, name in enumerate(names)]


def _keyed(
    plan: Plan,
    name: str,
    frame: DataFrame,
    components: tuple[DataFrame, int] | None,
    places: Sequence[str],
) -> DataFrame:
    """The rows of a table, each with its `key`: the number of its users' component, or of its user.

    `id` is the number of the row's own id, and `is_somebodys` says whether it has a user.
    """
    table = plan.tables[name]
    user = node("user", present(text(table.user), plan.placeholders))
    identifier = node(name, present(text(table.id)))
    # Rows of nobody are rejected wherever they are: they go anywhere, but not all to one partition.
    key = F.coalesce(user, identifier, row_node(frame, table.columns))
    row = _row([*table.columns, *places])
    about = [key.alias("key"), identifier.alias("id"), user.isNotNull().alias("is_somebodys")]
    rows = frame.select(*about, *row)
    if components is None:
        return rows
    found, nodes = components
    found = found.select(F.col("node").alias("key"), "component")
    if nodes <= NODES_EVERYWHERE:
        found = F.broadcast(found)
    joined = rows.join(found, "key", "left")
    own = [column for column in rows.columns if column != "key"]
    return joined.select(F.coalesce("component", "key").alias("key"), *own)


def _with_orders(
    plan: Plan, items: DataFrame, orders: DataFrame | None, partitions: int, places: Sequence[str]
) -> DataFrame:
    """The items of orders, each with the key of its order."""
    table = plan.tables["order_items"]
    order = node("orders", present(text(table.order)))
    rows = items.select(
        F.coalesce(order, row_node(items, table.columns)).alias("id"), *_row([*table.columns, *places])
    )
    row = [column for column in rows.columns if column != "id"]
    if orders is None:
        return rows.select(F.col("id").alias("key"), *row)
    # An order that occurs under several users has one key, since that joins them.
    somebodys = orders.where("is_somebodys and id is not null").select("id", "key")
    keys = somebodys.repartition(partitions, "id").groupBy("id").agg(F.min("key").alias("key"))
    return (
        rows.repartition(partitions, "id")
        .join(keys, "id", "left")
        .select(F.coalesce("key", "id").alias("key"), *row)
    )
