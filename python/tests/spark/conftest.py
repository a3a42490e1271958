"""One Spark for all tests, of the kind that `APPORTION_SPARK` names, and the sample shop.

`cluster` is a Spark of its own with two executors that are processes, `connect` a server on the loopback
address, `sail` another engine that answers as a server of Spark does.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from pyspark.sql import DataFrame, SparkSession

import apportion
import apportion.spark

ROOT = Path(__file__).resolve().parents[3]
SHOP = ROOT / "datasets" / "shop"
#: The command line; `tests/spark.sh` builds it.
APPORTION = os.environ.get("APPORTION", str(ROOT / "target" / "debug" / "apportion"))
#: Which Spark.
KIND = os.environ.get("APPORTION_SPARK", "cluster")

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
#: The tables of rows.
ROWS = ["credits", "journeys", "persons", "identity"]

#: Of what runs for seconds Java's second compiler takes more than it saves, and most of two cores.
JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"

#: Nobody but this machine is spoken to, and few partitions are enough for few rows.
CONF = {
    "spark.driver.extraJavaOptions": JAVA,
    "spark.executor.extraJavaOptions": JAVA,
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.executor.memory": "1g",
    "spark.executorEnv.SPARK_LOCAL_IP": "127.0.0.1",
    "spark.log.level": "ERROR",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


def command_line(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs the command line in the root of the repository."""
    done = subprocess.run(
        [APPORTION, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The Spark of all tests."""
    folder = tmp_path_factory.mktemp("spark")
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    # What executors leave behind would lie in the package otherwise.
    os.environ["SPARK_WORKER_DIR"] = str(folder / "work")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    conf = {**CONF, "spark.local.dir": str(folder / "local"), "spark.sql.warehouse.dir": str(folder)}
    if KIND == "cluster":
        builder = SparkSession.builder.master("local-cluster[2,1,1024]")
        for name, value in conf.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        yield session
        session.stop()
    elif KIND == "connect":
        with server(conf, folder) as address:
            session = SparkSession.builder.remote(address).getOrCreate()
            yield session
            session.stop()
    else:
        from pysail.spark import SparkConnectServer

        sail = SparkConnectServer("127.0.0.1", 0)
        sail.start(background=True)
        host, port = sail.listening_address
        session = SparkSession.builder.remote(f"sc://{host}:{port}").getOrCreate()
        yield session
        session.stop()
        sail.stop()


class server:
    """A server of Spark Connect on a free port of the loopback address."""

    def __init__(self, conf: dict[str, str], folder: Path) -> None:
        import pyspark

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        conf = {
            **conf,
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.connect.grpc.binding.port": str(port),
        }
        submit = Path(pyspark.__file__).parent / "bin" / "spark-submit"
        said = [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
        service = ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal"]
        self._log = folder / "server.log"
        self._command = [str(submit), "--master", "local[2]", *said, *service]
        self._port = port

    def __enter__(self) -> str:
        with self._log.open("w") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        until = time.monotonic() + 120
        while time.monotonic() < until and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return f"sc://127.0.0.1:{self._port}"
            time.sleep(0.3)
        self.__exit__()
        raise RuntimeError(f"the server does not answer:\n{self._log.read_text()[-3000:]}")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(60)


@pytest.fixture(scope="session")
def shop(spark: SparkSession) -> dict[str, DataFrame]:
    """The sample shop as data frames."""
    return {name: spark.read.parquet(str(path)) for name, path in TABLES.items()}


@pytest.fixture(scope="session")
def local() -> Callable[..., apportion.Result]:
    """What one machine says: `apportion.attribute` over the same rows, held as tables."""

    def run(given: dict[str, Any], /, **settings: object) -> apportion.Result:
        held = {
            name: pyarrow.parquet.read_table(table) if isinstance(table, Path) else table
            for name, table in given.items()
        }
        return apportion.attribute(**held, **settings)

    return run


#: What says how a run went, not what came of it.
_TOLD = ["seconds", "stages", "tables", "memory", "engine", "files", "inputs", "elapsed", "version"]


def facts(summary: dict[str, Any]) -> dict[str, Any]:
    """Of a summary what does not depend on who worked it out."""
    return {name: value for name, value in summary.items() if name not in _TOLD}


def assert_same(
    result: apportion.spark.SparkResult, expected: apportion.Result, folder: Path, rows: list[str]
) -> None:
    """Both have the same bytes in every table."""
    for name in ["report", "proof"]:
        ours, theirs = folder / f"spark-{name}.csv", folder / f"local-{name}.csv"
        result.table(name).write(ours)
        expected.table(name).write(theirs)
        assert ours.read_bytes() == theirs.read_bytes(), name
    assert without_places(result.rejects) == without_places(expected.rejects)
    for name in rows:
        ours, theirs = result.rows(name, ordered=True).toArrow(), expected.table(name).to_pyarrow()
        assert_same_rows(name, ours, theirs)


def assert_same_rows(name: str, ours: pyarrow.Table, theirs: pyarrow.Table) -> None:
    """Both have the same rows in the same order."""
    if theirs.num_columns == 0:
        assert ours.num_rows == 0, name
        return
    assert ours.column_names == theirs.column_names, name
    for column in theirs.column_names:
        assert ours[column].to_pylist() == theirs[column].to_pylist(), f"{name}.{column}"


def without_places(rejects: Any) -> list[str]:
    """Rejects without where their rows are: rows of a data frame of Spark have no numbers."""
    rows = rejects.to_pyarrow().to_pylist()
    return sorted(str({key: row[key] for key in row if key not in ("file", "row")}) for row in rows)


def snake(flag: str) -> str:
    """The setting of a flag."""
    return re.sub("^--", "", flag).replace("-", "_")
