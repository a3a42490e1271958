"""`attribute`: a run on Spark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._attribute import settings_said
from .._errors import SettingError
from .._progress import Progress, told
from ._plan import ASKED, ROWS
from ._result import SparkResult
from ._run import MEMORY, SparkRun
from ._settings import count, size

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from typing_extensions import Unpack

    from .._attribute import ArrowStream
    from .._settings import Duration, Path, Settings, Texts


def attribute(
    sessions: DataFrame | None = None,
    orders: DataFrame | None = None,
    *,
    users: DataFrame | None = None,
    aliases: DataFrame | None = None,
    postviews: DataFrame | None = None,
    devices: DataFrame | ArrowStream | None = None,
    order_items: DataFrame | None = None,
    spend: DataFrame | ArrowStream | None = None,
    exchange_rates: DataFrame | ArrowStream | None = None,
    config: Path | Mapping[str, Any] | None = None,
    models: Texts | Mapping[str, Mapping[str, object]] | None = None,
    by: Texts | None = None,
    lookback: Duration | None = None,
    tables: Iterable[str] = (),
    partitions: int | None = None,
    memory: str | int = MEMORY,
    progress: bool | Progress | None = None,
    **settings: Unpack[Settings],
) -> SparkResult:
    """Divides the credit of orders among the touches that led to them, where their rows are.

    The answer is that of `apportion.attribute` over the same rows, to the byte, for any number of
    partitions and executors.

    Args:
        sessions, orders, users, aliases, postviews, order_items: data frames of Spark, classic or Connect.
        devices, spend, exchange_rates: small tables, which every task has whole: data frames of Spark, or
            tables that speak the Arrow PyCapsule interface.
        config: as for `apportion.attribute`, and so are `models`, `by` and `lookback`.
        tables: tables that will be asked for. For those of rows, such as `["credits"]`, Spark then keeps the
            shuffled rows on its disks until the result is closed; otherwise it reads again for each. `paths`,
            `orders_report`, `spend_gaps` and `ranks` are there only if they are named.
        partitions: into how many buckets the users are divided; `spark.sql.shuffle.partitions` unless it
            is said. No answer depends on it.
        memory: how much of its bucket a task holds in memory; the rest waits on its disk. The process of
            a task is one of Python's, so executors need that much beside their heap for each core
            (`spark.executor.memoryOverhead`).
        progress: as for `apportion.attribute`.
        **settings: every other setting of a run; see `Settings`.

    Returns:
        The `SparkResult`: small tables on the driver, and tables of rows as data frames of Spark.

    Raises:
        ApportionError: or one of its kinds, with the words of the command line.
    """
    said = settings_said(settings, models, by, lookback)
    wanted = [tables] if isinstance(tables, str) else list(tables)
    for name in wanted:
        if name not in (*ROWS, *ASKED) and name not in SparkResult.ALWAYS:
            raise SettingError(
                f"no table is named `{name}`\n\nhint: choose from {', '.join((*ROWS, *ASKED))}"
            )
    given = {
        "sessions": sessions,
        "orders": orders,
        "users": users,
        "aliases": aliases,
        "postviews": postviews,
        "devices": devices,
        "order_items": order_items,
        "spend": spend,
        "exchange_rates": exchange_rates,
    }
    wanted = [name for name in wanted if name not in SparkResult.ALWAYS]
    with told(progress) as listener:
        run = SparkRun(
            given,
            said,
            config,
            partitions=None if partitions is None else count("partitions", partitions),
            memory=size("memory", memory),
            wanted=wanted,
            told=listener or _nobody,
        )
        return SparkResult(run, run.concluded(listener))


def _nobody(stage: str, rows: int) -> None:
    """Who hears of progress where nobody looks."""


__all__: Sequence[str] = ["attribute"]
