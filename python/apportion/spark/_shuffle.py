"""Brings all rows of those who belong together into one partition, in one shuffle of all tables.

Spark moves parcels of rows, made by the kernel: large values in few rows cost it less than many small ones.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from ._frames import node, quoted, row_node, text, to_buckets
from ._kernel import PARCELS, Parcel
from ._plan import PERSONAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import DataFrame

    from ._plan import Plan, TablePlan

#: So many nodes of components are sent to every executor; more are joined by a shuffle.
NODES_EVERYWHERE = 2_000_000

#: Columns beside those of a table, which has none of these names.
KEY, ID, COMPONENT = "_apportion_key", "_apportion_id", "_apportion_component"


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
        rows = keyed[name].select(KEY, *_row(plan.tables[name], places))
        return rows.mapInArrow(Parcel(plan.text, name, partitions, memory), PARCELS)

    rows = reduce(lambda left, right: left.union(right), map(parcels, keyed))
    return to_buckets(rows, partitions)


def _row(table: TablePlan, places: Sequence[str]) -> list[str]:
    """What rows of a table bring.

    Columns keep their names: of expressions that Spark knows under several it thinks for minutes.
    """
    return [quoted(column) for column in (*table.columns, *places)]


def _keyed(
    plan: Plan,
    name: str,
    frame: DataFrame,
    components: tuple[DataFrame, int] | None,
    places: Sequence[str],
) -> DataFrame:
    """The rows of a table, each with its key: the number of its users' component, or of its user.

    Of orders also the id: the number of the row's own id if it has a user.
    """
    table = plan.tables[name]
    user = node("user", text(table.user), plan.placeholders)
    identifier = node(name, text(table.id))
    # Rows of nobody are rejected wherever they are: they go anywhere, but not all to one partition.
    key = F.coalesce(user, identifier, row_node(frame, table.columns))
    about = [F.when(user.isNotNull(), identifier).alias(ID)] if name == "orders" else []
    rows = frame.select(key.alias(KEY), *about, *_row(table, places))
    if components is None:
        return rows
    found, nodes = components
    found = found.select(F.col("node").alias(KEY), F.col("component").alias(COMPONENT))
    if nodes <= NODES_EVERYWHERE:
        found = F.broadcast(found)
    joined = rows.join(found, KEY, "left")
    own = [quoted(column) for column in rows.columns if column != KEY]
    return joined.select(F.coalesce(COMPONENT, KEY).alias(KEY), *own)


def _with_orders(
    plan: Plan, items: DataFrame, orders: DataFrame | None, partitions: int, places: Sequence[str]
) -> DataFrame:
    """The items of orders, each with the key of its order."""
    table = plan.tables["order_items"]
    order = node("orders", text(table.order))
    row = _row(table, places)
    rows = items.select(F.coalesce(order, row_node(items, table.columns)).alias(ID), *row)
    if orders is None:
        return rows.select(F.col(ID).alias(KEY), *row)
    # An order that occurs under several users has one key, since that joins them.
    somebodys = orders.where(F.col(ID).isNotNull()).select(ID, KEY)
    keys = somebodys.repartition(partitions, ID).groupBy(ID).agg(F.min(KEY).alias(KEY))
    joined = rows.repartition(partitions, ID).join(keys, ID, "left")
    return joined.select(F.coalesce(KEY, ID).alias(KEY), *row)
