"""`attribute`: a run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from . import _native
from ._errors import SettingError
from ._progress import Progress, told
from ._result import Result

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._settings import Duration, Path, Settings, Texts


class ArrowStream(Protocol):
    """What exports an Arrow stream: tables of pyarrow, Polars and pandas, relations of DuckDB."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


class ArrowArray(Protocol):
    """What exports one Arrow batch."""

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...


Source = str | os.PathLike[str] | ArrowStream | ArrowArray
Given = Source | Sequence[Source] | None


def settings_said(
    settings: Settings,
    models: Texts | Mapping[str, Mapping[str, object]] | None,
    by: Texts | None,
    lookback: Duration | None,
) -> dict[str, object]:
    """Settings as `apportion.toml` names them, out of keywords."""
    said: dict[str, object] = dict(settings)
    if "from_" in said:
        if "from" in said:
            raise SettingError("`from` and `from_` are one setting; name it once")
        said["from"] = said.pop("from_")
    if isinstance(models, Mapping):
        said["models"] = models
    elif models is not None:
        if said.get("model") is not None:
            raise SettingError("`models` and `model` both name models; leave out one of them")
        said["model"] = models
    said.update({"by": by, "lookback": lookback})
    return said


def attribute(
    sessions: Given = None,
    orders: Given = None,
    *,
    users: Given = None,
    aliases: Given = None,
    postviews: Given = None,
    devices: Given = None,
    order_items: Given = None,
    spend: Given = None,
    exchange_rates: Given = None,
    items: Path | Sequence[Path] | None = None,
    config: Path | Mapping[str, Any] | None = None,
    models: Texts | Mapping[str, Mapping[str, object]] | None = None,
    by: Texts | None = None,
    lookback: Duration | None = None,
    tables: Iterable[str] = (),
    stream_memory: str = "1GiB",
    progress: bool | Progress | None = None,
    **settings: Unpack[Settings],
) -> Result:
    """Divides the credit of orders among the touches that led to them.

    Args:
        sessions, orders, users, aliases, postviews, devices, order_items, spend, exchange_rates: each a
            path, folder, glob or address of a store of objects, or a table that speaks the Arrow
            PyCapsule interface, or a list of these. Batches of Arrow are read as they are, without a copy.
        items: files of JSON items.
        config: a workspace file (`apportion.toml`), or a dictionary of the same keys. What is said here
            by keyword wins. Without it no file is read.
        models: the models, with parameters: `["linear", "time_decay:half_life=3d"]`. A dictionary
            describes models of your own, as `[models.NAME]` does in a file.
        by: the dimensions of the report.
        lookback: how long before an order a session counts.
        tables: the tables that are worked out at once, such as `["credits", "journeys"]`. Others are
            worked out when they are first asked for, which runs again.
        stream_memory: how much of a stream that is read once is held in memory; what is larger waits in
            a temporary file. What lies in memory anyway, such as a data frame, never does.
        progress: `False` for none, or who is called with the name of a stage and the rows read by then;
            otherwise a line on standard error, where somebody looks.
        **settings: every other setting of a run by its name in `apportion.toml`; see `Settings`. `from`
            is called `from_`.

    Returns:
        The `Result`, whose report adds up to the orders.

    Raises:
        ApportionError: or one of its kinds, with the words of the command line.
        KeyboardInterrupt: when it is interrupted, within a moment.
    """
    said = settings_said(settings, models, by, lookback)
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
        "items": items,
    }
    wanted = [tables] if isinstance(tables, str) else list(tables)
    wanted = [name for name in wanted if name not in Result.ALWAYS]
    with told(progress) as listener:
        run = _native.run(given, said, config, wanted, stream_memory, listener)
    return Result(run, progress)
