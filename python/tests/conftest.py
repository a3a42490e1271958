"""The sample shop, the command line that Python is held to, and ways to hand a table over."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas
import polars
import pyarrow
import pyarrow.parquet
import pytest

#: Those of Spark need more to be installed, and have a script of their own.
collect_ignore = ["spark"]

ROOT = Path(__file__).resolve().parents[2]
SHOP = ROOT / "datasets" / "shop"
#: The command line; `tests/python.sh` builds it.
APPORTION = os.environ.get("APPORTION", str(ROOT / "target" / "debug" / "apportion"))

#: The tables of a run, by their settings.
TABLES = {
    "sessions": SHOP / "sessions.parquet",
    "orders": SHOP / "orders.parquet",
    "users": SHOP / "users.parquet",
    "aliases": SHOP / "user_aliases.parquet",
    "devices": SHOP / "devices.parquet",
    "exchange_rates": SHOP / "exchange_rates.parquet",
}
#: What every run here is set to: a clock, so that two runs have one.
CLOCK = {"currency": "EUR", "as_of": "2026-01-01"}


def command_line(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs the command line in the root of the repository."""
    done = subprocess.run(
        [APPORTION, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return done


def flags(settings: dict[str, object]) -> list[str]:
    """Settings as flags of the command line."""
    said: list[str] = []
    for name, value in settings.items():
        flag = "--" + name.removesuffix("_").replace("_", "-")
        if value is True:
            said.append(flag)
        elif isinstance(value, dict):
            said += [flag, *(f"{key}={','.join(values)}" for key, values in value.items())]
        elif isinstance(value, list):
            said += [flag, *map(str, value)]
        else:
            said += [flag, str(value)]
    return said


def in_small_batches(path: Path) -> pyarrow.Table:
    table = pyarrow.parquet.read_table(path)
    return pyarrow.Table.from_batches(table.to_batches(max_chunksize=97), table.schema)


class OneArray:
    """What exports one batch and no stream."""

    def __init__(self, path: Path) -> None:
        self._batch = pyarrow.parquet.read_table(path).combine_chunks().to_batches()[0]

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        exported: tuple[object, object] = self._batch.__arrow_c_array__(requested_schema)
        return exported


#: Every way to hand a table over.
WAYS: dict[str, Callable[[Path], object]] = {
    "path": lambda path: path,
    "text": str,
    "pyarrow": pyarrow.parquet.read_table,
    "small batches": in_small_batches,
    "array": OneArray,
    "stream": lambda path: in_small_batches(path).to_reader(),
    "polars": polars.read_parquet,
    "pandas": pandas.read_parquet,
    "duckdb": lambda path: duckdb.sql(f"from '{path}'"),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Callable[[Path], object]:
    """One way to hand a table over."""
    return WAYS[request.param]
