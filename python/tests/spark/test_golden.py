"""Every golden run that buckets can do answers on Spark what it answers on one machine.

What it must answer was worked by hand, and is held up to the command line elsewhere: here both engines
read the same files.
"""

from __future__ import annotations

import csv
import datetime
import decimal
import shlex
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from pyspark.sql import SparkSession

import apportion
import apportion.spark
from conftest import ROOT, ROWS, assert_same, snake

GOLDEN = ROOT / "tests" / "golden"
FILES = {
    "aliases": "user_aliases",
    **{name: name for name in ("sessions", "orders", "users", "postviews", "order_items")},
    **{name: name for name in ("devices", "spend", "exchange_rates")},
}
#: Flags that say nothing more than themselves.
_ALONE = {"overlap", "wide", "merge_authenticated"}
#: Flags that take one value, commas and all.
_WHOLE = {"currency", "lookback", "view_lookback", "timezone", "as_of", "from", "to", "max_rejects", "level"}
_MONEY = {"subtotal_price", "total_price", "refunded_price", "price", "cost"}
_NUMBERS = {"duration", "pageviews_count", "interactions_count", "quantity", "clicks", "impressions", "rate"}


def settings_of(case: Path) -> dict[str, Any]:
    """What the command of a case sets."""
    words = shlex.split((case / "command").read_text())
    said: dict[str, Any] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name = snake(word)
            said[name] = True if name in _ALONE else None
        elif name in _WHOLE or said[name] is None:
            said[name] = word if name in _WHOLE or "," not in word else word.split(",")
        else:
            said[name] = [*([said[name]] if isinstance(said[name], str) else said[name]), word]
    said.setdefault("as_of", "2030-01-01T00:00:00Z")
    if "from" in said:
        said["from_"] = said.pop("from")
    return said


def table_of(path: Path) -> pyarrow.Table:
    """A table of texts with the types that an export would have; what has none of them stays text."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    columns = {}
    for at, name in enumerate(header):
        cells = [row[at] or None for row in rows]
        try:
            columns[name] = _typed(name, cells)
        except (ValueError, decimal.InvalidOperation, pyarrow.ArrowInvalid):
            columns[name] = pyarrow.array(cells, pyarrow.string())
    return pyarrow.table(columns)


def _typed(name: str, cells: list[str | None]) -> pyarrow.Array:
    def each(parse: Callable[[str], Any]) -> list[Any]:
        return [None if cell is None else parse(cell) for cell in cells]

    if name.endswith("_at"):
        times = each(datetime.datetime.fromisoformat)
        whole = [time if time is None or time.tzinfo else time.replace(tzinfo=datetime.UTC) for time in times]
        return pyarrow.array(whole, pyarrow.timestamp("us", tz="UTC"))
    if name == "date":
        return pyarrow.array(each(datetime.date.fromisoformat), pyarrow.date32())
    if name.endswith("is_authenticated"):
        return pyarrow.array(each(lambda cell: {"true": True, "false": False}[cell]))
    if name in _MONEY:
        return pyarrow.array(each(decimal.Decimal), pyarrow.decimal128(28, 4))
    if name in _NUMBERS:
        numbers = each(float)
        whole = all(number is None or number.is_integer() for number in numbers)
        return pyarrow.array(numbers, pyarrow.float64()).cast(pyarrow.int64() if whole else pyarrow.float64())
    return pyarrow.array(cells, pyarrow.string())


CASES = sorted(path.name for path in GOLDEN.iterdir())


@pytest.fixture(scope="module")
def answered(
    request: pytest.FixtureRequest,
    spark: SparkSession,
    local: Callable[..., apportion.Result],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], None]]:
    """Answers a case: all that are asked for are worked on side by side, since Spark mostly waits."""
    folder = tmp_path_factory.mktemp("golden")
    own = [item for item in request.session.items if getattr(item, "function", None) is test_a_golden_run]
    asked = [item.callspec.params["name"] for item in own]
    with ThreadPoolExecutor(3) as pool:
        cases = {name: pool.submit(_answer, spark, local, name, folder) for name in asked}
        yield lambda name: cases[name].result()


@pytest.mark.parametrize("name", CASES)
def test_a_golden_run(answered: Callable[[str], None], name: str) -> None:
    answered(name)


def _answer(spark: SparkSession, local: Callable[..., apportion.Result], name: str, folder: Path) -> None:
    case, own = GOLDEN / name, folder / name
    own.mkdir()
    settings = settings_of(case)
    tables = {table: case / "input" / f"{file}.csv" for table, file in FILES.items()}
    held = {table: table_of(path) for table, path in tables.items() if path.exists()}
    workspace = case / "apportion.toml"
    config = workspace if workspace.exists() else None
    rows = [table for table in ROWS if (case / f"{table}.csv").exists()]
    frames = {table: spark.createDataFrame(held[table]) for table in held}
    try:
        expected = local(held, config=config, **settings, tables=rows)
    except apportion.ApportionError as error:
        with pytest.raises(type(error)):
            apportion.spark.attribute(**frames, config=config, **settings, partitions=2)
        return
    with apportion.spark.attribute(**frames, config=config, **settings, partitions=3, tables=rows) as result:
        assert_same(result, expected, own, rows)
        for fact in ("orders", "rejected", "warnings"):
            assert result.summary[fact] == expected.summary[fact]
