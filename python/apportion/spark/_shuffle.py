"""Brings all rows of those who belong together into one partition, in one shuffle of all tables."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from ._frames import node, nullable, present, row_node, row_of, text
from ._plan import PERSONAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import DataFrame

    from ._plan import Plan

#: So many nodes of components are sent to every executor; more are joined by a shuffle.
NODES_EVERYWHERE = 2_000_000


def shuffled(
    plan: Plan,
    frames: Mapping[str, DataFrame],
    components: tuple[DataFrame, int] | None,
    partitions: int,
    places: Sequence[str] = (),
) -> DataFrame:
    """The rows of all tables, each tagged with the name of its own, in the partition of its users.

    A row has `table` and a struct for each table, which is null but for its own. `places` are columns that
    say where a row came from.
    """
    keyed = {
        name: _keyed(plan, name, frames[name], components, places) for name in PERSONAL if name in frames
    }
    if "order_items" in frames:
        keyed["order_items"] = _with_orders(
            plan, frames["order_items"], keyed.get("orders"), partitions, places
        )
    types = {name: nullable(frame.schema["row"].dataType) for name, frame in keyed.items()}

    def tagged(name: str) -> DataFrame:
        columns = [F.col("key"), F.lit(name).alias("table")]
        for other, kind in types.items():
            row = F.col("row") if other == name else F.lit(None).cast(kind)
            columns.append(row.alias(other))
        return keyed[name].select(*columns)

    rows = reduce(lambda left, right: left.union(right), map(tagged, keyed))
    return rows.repartition(partitions, "key").drop("key")


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
    key = F.coalesce(user, identifier, row_node(frame))
    rows = frame.select(
        key.alias("key"),
        identifier.alias("id"),
        user.isNotNull().alias("is_somebodys"),
        row_of(frame, [*table.columns, *places]).alias("row"),
    )
    if components is None:
        return rows
    found, nodes = components
    found = found.select(F.col("node").alias("key"), "component")
    if nodes <= NODES_EVERYWHERE:
        found = F.broadcast(found)
    joined = rows.join(found, "key", "left")
    return joined.select(F.coalesce("component", "key").alias("key"), "id", "is_somebodys", "row")


def _with_orders(
    plan: Plan, items: DataFrame, orders: DataFrame | None, partitions: int, places: Sequence[str]
) -> DataFrame:
    """The items of orders, each with the key of its order."""
    table = plan.tables["order_items"]
    order = node("orders", present(text(table.order)))
    rows = items.select(
        F.coalesce(order, row_node(items)).alias("id"), row_of(items, [*table.columns, *places]).alias("row")
    )
    if orders is None:
        return rows.select(F.col("id").alias("key"), "row")
    # An order that occurs under several users has one key, since that joins them.
    somebodys = orders.where("is_somebodys and id is not null").select("id", "key")
    keys = somebodys.repartition(partitions, "id").groupBy("id").agg(F.min("key").alias("key"))
    return (
        rows.repartition(partitions, "id")
        .join(keys, "id", "left")
        .select(F.coalesce("key", "id").alias("key"), "row")
    )
