"""Brings all rows of those who belong together into one partition, in one shuffle of all tables.

Spark moves parcels of rows, made by the kernel: large values in few rows cost it less than many small ones.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from ._frames import is_text, node, quoted, row_node, text, to_buckets
from ._kernel import PARCELS, Parcel
from ._plan import PERSONAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import DataFrame

    from ._components import Found
    from ._plan import Plan, TablePlan

#: The components of so many nodes are sent to every executor; more are joined by a shuffle.
NODES_EVERYWHERE = 2_000_000

#: Columns beside those of a table, which has none of these names.
KEY, ID, COMPONENT = "_apportion_key", "_apportion_id", "_apportion_component"


def shuffled(
    plan: Plan,
    frames: Mapping[str, DataFrame],
    found: Found,
    partitions: int,
    memory: int,
    places: Sequence[str] = (),
    *,
    watched: bool,
) -> DataFrame:
    """The rows of all tables as parcels, in the partition of their users.

    `memory` is what a task may hold, and `places` are columns that say where a row came from. If `watched`,
    pairs of ids and users travel beside the rows, which tell whether users share any.
    """
    personal = {name: frames[name] for name in PERSONAL if name in frames}
    joined = found.joined
    if "order_items" in frames or not all(_are_texts(plan.tables[name], personal[name]) for name in personal):
        joined = None
    if joined is not None:
        keyed = {name: frame.select(*_row(plan.tables[name], places)) for name, frame in personal.items()}
    else:
        keyed = {name: _keyed(plan, name, frame, found, places) for name, frame in personal.items()}
        if "order_items" in frames:
            keyed["order_items"] = _with_orders(
                plan, frames["order_items"], keyed.get("orders"), partitions, places
            )
        keyed = {name: rows.select(KEY, *_row(plan.tables[name], places)) for name, rows in keyed.items()}
    parcels = [
        rows.mapInArrow(Parcel(plan.text, name, partitions, memory, joined, watched), PARCELS)
        for name, rows in keyed.items()
    ]
    return to_buckets(reduce(lambda left, right: left.union(right), parcels), partitions)


def _are_texts(table: TablePlan, frame: DataFrame) -> bool:
    """Whether kernels read the ids of rows as Spark does."""
    return all(is_text(frame, place) for place in (table.user, table.id, table.to))


def _row(table: TablePlan, places: Sequence[str]) -> list[str]:
    """What rows of a table bring.

    Columns keep their names: of expressions that Spark knows under several it thinks for minutes.
    """
    return [quoted(column) for column in (*table.columns, *places)]


def _keyed(
    plan: Plan,
    name: str,
    frame: DataFrame,
    found: Found,
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
    if found.frame is None:
        return rows
    components = found.frame.select(F.col("node").alias(KEY), F.col("component").alias(COMPONENT))
    if found.nodes <= NODES_EVERYWHERE:
        components = F.broadcast(components)
    joined = rows.join(components, KEY, "left")
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
