"""An executor that is killed in the middle of a run changes nothing but how long it takes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow
import pytest
from pyspark.sql import DataFrame, SparkSession

import apportion
import apportion.spark
from conftest import CLOCK, KIND, ROWS, TABLES, assert_same

pytestmark = pytest.mark.skipif(KIND != "cluster", reason="only a cluster has executors of its own")


def executors(spark: SparkSession) -> list[int]:
    """The processes of this cluster's executors, and of no other's."""
    application = spark.sparkContext.applicationId
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            is_executor = any(word.endswith(b"CoarseGrainedExecutorBackend") for word in words)
            if is_executor and application.encode() in words:
                found.append(int(entry.name))
    return found


def slowly() -> Callable[[Iterator[pyarrow.RecordBatch]], Iterator[pyarrow.RecordBatch]]:
    """Batches as they are, each after a moment, so that there is a middle in which to be killed."""

    # Executors know nothing of tests: what is made here goes to them as it is.
    def slow(batches: Iterator[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        for batch in batches:
            time.sleep(1.0)
            yield batch

    return slow


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found under /proc")
def test_the_answer_is_the_same(
    spark: SparkSession,
    shop: dict[str, DataFrame],
    local: Callable[..., apportion.Result],
    tmp_path: Path,
) -> None:
    settings = {**CLOCK, "models": ["linear", "markov"], "by": ["channel"]}
    expected = local(TABLES, **settings, tables=["credits"])
    killed: list[int] = []

    def kill() -> None:
        time.sleep(0.7)
        process = executors(spark)[0]
        os.kill(process, signal.SIGKILL)
        killed.append(process)

    killers: list[threading.Thread] = []

    def told(stage: str, rows: int) -> None:
        # One dies while rows are shuffled, and one whose disk holds what was shuffled.
        if stage.startswith(("looking at channels", "learning")):
            killers.append(threading.Thread(target=kill))
            killers[-1].start()

    slow = shop["sessions"].repartition(2).mapInArrow(slowly(), shop["sessions"].schema)
    with apportion.spark.attribute(
        **{**shop, "sessions": slow}, **settings, partitions=4, tables=ROWS, progress=told
    ) as result:
        for killer in killers:
            killer.join()
        assert len(set(killed)) == 2
        assert_same(result, expected, tmp_path, ["credits"])
