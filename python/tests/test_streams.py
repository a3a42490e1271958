"""Streams that are read once, whatever their size; work that lets others work and can be interrupted."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars
import pyarrow
import pyarrow.parquet
import pytest

import apportion
from conftest import CLOCK, TABLES, in_small_batches


def temporaries() -> set[str]:
    return {path.name for path in Path(tempfile.gettempdir()).glob("apportion-*")}


def test_what_waits_on_disk_is_gone_with_the_result_and_its_tables() -> None:
    gc.collect()
    before = temporaries()
    tables = {name: in_small_batches(path).to_reader() for name, path in TABLES.items()}
    result = apportion.attribute(**tables, **CLOCK, stream_memory="10kB", tables=["credits"])
    files = {name for name in temporaries() - before if name.endswith(".parquet")}
    # Each table that is larger, and none that is not.
    assert len(files) == sum(in_small_batches(path).nbytes > 10_000 for path in TABLES.values())
    credits = result.credits
    del result
    gc.collect()
    assert len(credits.to_pyarrow()) == len(credits) > 0
    del credits
    gc.collect()
    assert temporaries() == before


def test_what_is_in_memory_anyway_never_waits_on_disk() -> None:
    gc.collect()
    before = temporaries()
    tables = {name: polars.read_parquet(path) for name, path in TABLES.items()}
    result = apportion.attribute(**tables, **CLOCK, stream_memory="1B")
    assert not [name for name in temporaries() - before if name.endswith(".parquet")]
    assert len(result.report) > 0


def test_batches_are_read_where_they_are() -> None:
    table = pyarrow.parquet.read_table(TABLES["sessions"])
    many = pyarrow.concat_tables([table] * 40).combine_chunks()
    many = many.set_column(0, "external_id", pyarrow.array(range(len(many))))
    orders = pyarrow.parquet.read_table(TABLES["orders"])
    before = pyarrow.total_allocated_bytes()
    result = apportion.attribute(many, orders, **CLOCK)
    # Its own buffers are on loan: a copy would have been asked of pyarrow's pool by the export.
    assert pyarrow.total_allocated_bytes() - before < many.nbytes / 10
    assert result.summary["touches"]["sessions"] == len(many)


def test_a_stream_that_breaks_off_says_which_and_why() -> None:
    table = in_small_batches(TABLES["sessions"])

    def batches() -> Iterator[pyarrow.RecordBatch]:
        yield from table.to_batches()[:3]
        raise OSError("the warehouse is closed")

    broken = pyarrow.RecordBatchReader.from_batches(table.schema, batches())
    with pytest.raises(apportion.InputError, match="sessions .a table in memory. cannot be read") as told:
        apportion.attribute(broken, TABLES["orders"], **CLOCK)
    assert "the warehouse is closed" in str(told.value)


def test_a_stream_that_was_read_is_refused_by_its_maker() -> None:
    reader = in_small_batches(TABLES["sessions"]).to_reader()
    apportion.attribute(reader, TABLES["orders"], **CLOCK)
    again = apportion.attribute(reader, TABLES["orders"], **CLOCK)
    # Nothing is left in it, and whoever looks is told so.
    assert again.summary["tables"][1]["read"] == 0


def test_other_threads_work_meanwhile_and_may_run_too() -> None:
    ticks, done = 0, threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not done.is_set():
            ticks += 1
            time.sleep(0.001)

    ticker = threading.Thread(target=tick)
    ticker.start()
    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(apportion.attribute, **TABLES, **CLOCK, bootstrap=60) for _ in range(3)]
        reports = [run.result().report.to_pyarrow() for run in runs]
    shared = apportion.attribute(**TABLES, **CLOCK)
    with ThreadPoolExecutor(4) as pool:
        names = ["credits", "journeys", "persons", "credits"]
        tables = list(pool.map(shared.table, names))
    done.set()
    ticker.join()
    assert ticks > 50
    assert reports[0] == reports[1] == reports[2]
    assert [len(table) for table in tables[::3]] == [len(shared.credits)] * 2


INTERRUPTED = """
import os, signal, sys, time
import apportion

tables = dict(argument.split("=", 1) for argument in sys.argv[1:])
begun = 0.0

def told(stage, rows):
    global begun
    if stage == "attributing orders" and not begun:
        begun = time.monotonic()
        os.kill(os.getpid(), signal.SIGINT)

settings = {"currency": "EUR", "as_of": "2026-01-01", "progress": told}
try:
    apportion.attribute(**tables, **settings, bootstrap=90_000)
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - begun < 20)
settings["progress"] = False
print("goes on", len(apportion.attribute(**tables, **settings).report) > 0)
"""


def test_ctrl_c_ends_a_run_and_not_the_next_one() -> None:
    before = temporaries()
    tables = [f"{name}={path}" for name, path in TABLES.items()]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *tables], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.splitlines() == ["interrupted True", "goes on True"], done.stderr
    assert temporaries() == before


def test_nothing_temporary_is_left_by_variables_of_an_interpreter_that_ends() -> None:
    before = temporaries()
    code = (
        "import sys, apportion; kept = apportion.attribute(*sys.argv[1:3], tables=['credits'],"
        " currency='EUR', as_of='2026-01-01', missing_rate=None, max_rejects='100%'); table = kept.credits"
    )
    command = [sys.executable, "-c", code, str(TABLES["sessions"]), str(TABLES["orders"])]
    subprocess.run(command, check=True)
    assert temporaries() == before


def test_whoever_is_told_hears_every_stage_and_may_stop_it() -> None:
    told: list[tuple[str, int]] = []
    tables = {name: polars.read_parquet(path) for name, path in TABLES.items()}
    result = apportion.attribute(**tables, **CLOCK, progress=lambda stage, rows: told.append((stage, rows)))
    stages = [stage for stage, _ in told]
    assert stages[0] == "taking over sessions"
    assert stages[-1] == "reporting"
    assert told[-1][1] == sum(table["read"] for table in result.summary["tables"])

    def refuses(stage: str, rows: int) -> None:
        raise LookupError(stage)

    with pytest.raises(LookupError, match="taking over"):
        apportion.attribute(**tables, **CLOCK, progress=refuses)
    assert len(apportion.attribute(**tables, **CLOCK).report) == len(result.report)


def test_progress_is_a_line_where_somebody_looks(capfd: pytest.CaptureFixture[str]) -> None:
    apportion.attribute(**TABLES, **CLOCK)
    apportion.attribute(**TABLES, **CLOCK, progress=False)
    assert capfd.readouterr().err == ""
    apportion.attribute(**TABLES, **CLOCK, progress=True)
    said = capfd.readouterr().err
    assert "attributing orders  " in said and said.endswith("\r")


def test_a_signal_of_another_kind_is_the_handlers() -> None:
    heard: list[int] = []
    previous = signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    try:
        sent: list[str] = []

        def told(stage: str, rows: int) -> None:
            if not sent:
                os.kill(os.getpid(), signal.SIGUSR1)
            sent.append(stage)

        apportion.attribute(**TABLES, **CLOCK, progress=told)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert heard == [signal.SIGUSR1]
