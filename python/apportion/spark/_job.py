"""The job that `apportion run --engine spark` starts: a description in, what came of it in a folder.

The description is JSON:

| key | says |
|---|---|
| `master` | where Spark runs: `local[4]`, `spark://…`, `yarn`, or a server of Connect as `sc://host:port` |
| `conf` | settings of Spark by their names |
| `tables` | the Parquet files of each table: absolute paths or addresses that Spark can read |
| `here` | the same of files that only this machine has: tables that items became |
| `settings`, `config` | the settings of the run, as `apportion.attribute` takes them |
| `partitions`, `memory` | as `apportion.spark.attribute` takes them |
| `rows` | the tables of rows that are wanted, such as `credits` |
| `folder` | where `plan.json`, `known.bin`, `partial.bin` and Arrow streams of rows are put |

Every line on standard output is JSON: `{"stage": …, "rows": …, "seconds": …}` when a stage begins, and in
the end either `{"done": true, …}` or `{"error": {"kind": …, "text": …}}`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow
import pyarrow.ipc
from pyspark.sql import SparkSession

from .._errors import ApportionError, SettingError
from ._files import CONF, FILE, ROW, read
from ._plan import KEPT, ROWS
from ._run import MEMORY, SparkRun
from ._settings import count, size
from ._stream import reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Description:
    """What a job is to do."""

    master: str
    tables: Mapping[str, Sequence[str]]
    folder: Path
    here: Mapping[str, Sequence[str]] = field(default_factory=dict)
    conf: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    config: Any = None
    partitions: int | None = None
    memory: int = 0
    rows: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str) -> Description:
        """The description that a text of JSON holds."""
        try:
            said: dict[str, Any] = json.loads(text)
            known = {name: said.pop(name) for name in cls.__dataclass_fields__ if name in said}
            if said:
                raise SettingError(f"a description of a job has no `{next(iter(said))}`")
            known["folder"] = Path(known["folder"])
            known["rows"] = tuple(known.get("rows") or ())
            known["memory"] = size("memory", known.get("memory") or MEMORY)
            if known.get("partitions") is not None:
                known["partitions"] = count("partitions", known["partitions"])
            description = cls(**known)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, SettingError):
                raise
            raise SettingError(f"this is no description of a job: {error}") from error
        unknown = [name for name in description.rows if name not in (*ROWS, *KEPT)]
        if unknown:
            raise SettingError(f"no table of rows is named `{unknown[0]}`")
        return description


class _Lines:
    """Where the job says what it does: a line of JSON each."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._began = time.monotonic()

    def say(self, **facts: object) -> None:
        print(json.dumps(facts), file=self._stream, flush=True)

    def stage(self, name: str, rows: int) -> None:
        self.say(stage=name, rows=rows, seconds=round(time.monotonic() - self._began, 3))


def main() -> int:
    """Does what the description on standard input says; the status to exit with."""
    # What Spark and Java print belongs to standard error.
    lines = _Lines(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    try:
        description = Description.of(sys.stdin.read())
        lines.stage("starting Spark", 0)
        spark = session(description)
        try:
            _do(spark, description, lines)
        finally:
            with suppress(Exception):
                spark.stop()
    except ApportionError as error:
        lines.say(error={"kind": type(error).__name__, "text": str(error)})
        return 1
    except Exception as error:
        text = f"Spark gave up: {reason(error)}"
        lines.say(error={"kind": "ApportionError", "text": text})
        print(error, file=sys.stderr)
        return 1
    return 0


def session(description: Description) -> SparkSession:
    """Spark as the description wants it."""
    conf = {**CONF, **description.conf}
    if description.partitions is not None:
        conf.setdefault("spark.sql.shuffle.partitions", str(description.partitions))
    builder = SparkSession.builder.appName("apportion")
    if description.master.startswith("sc://"):
        spark: SparkSession = builder.remote(description.master).getOrCreate()
        for name, value in conf.items():
            spark.conf.set(name, value)
        return spark
    # The description says where Spark runs, whatever the environment has of a server.
    for name in ("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED"):
        os.environ.pop(name, None)
    if description.master.startswith("local"):
        # Nobody else is to reach what runs here alone.
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        conf = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", **conf}
    conf = {"spark.ui.enabled": "false", "spark.log.level": "ERROR", **conf}
    builder = builder.master(description.master)
    for name, value in conf.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    return spark


def _do(spark: SparkSession, description: Description, lines: _Lines) -> None:
    lines.stage("looking at files", 0)
    # A Spark of this machine alone reads what the machine has.
    everywhere = description.master.startswith("local")
    frames = {}
    for name in sorted({*description.tables, *description.here}):
        paths, here = description.tables.get(name, ()), description.here.get(name, ())
        if paths or here:
            frames[name] = read(spark, name, [*paths, *here], sent=() if everywhere else here)
    run = SparkRun(
        frames,
        description.settings,
        description.config,
        partitions=description.partitions,
        memory=description.memory,
        wanted=description.rows,
        told=lines.stage,
        places=(FILE, ROW),
    )
    try:
        description.folder.mkdir(parents=True, exist_ok=True)
        _put(description.folder / "plan.json", run.plan.text.encode())
        _put(description.folder / "known.bin", run.known)
        _put(description.folder / "partial.bin", run.partial)
        written = 0
        for name in description.rows:
            lines.stage(f"writing {name}", 0)
            written += _write_rows(run, name, description.folder / f"{name}.arrow")
    finally:
        run.unpersist()
    efforts = [asdict(effort) for effort in run.efforts]
    lines.say(done=True, passes=efforts, partial_bytes=len(run.partial), rows_written=written)


def _put(path: Path, content: bytes) -> None:
    staged = path.with_name(path.name + ".part")
    staged.write_bytes(content)
    staged.replace(path)


def _write_rows(run: SparkRun, name: str, path: Path) -> int:
    """Writes a table of rows in its order, as the native half takes it when it concludes."""
    schema, batches = run.stream(name)
    written = 0
    staged = path.with_name(path.name + ".part")
    with pyarrow.ipc.new_stream(str(staged), schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            written += batch.num_rows
    staged.replace(path)
    return written
