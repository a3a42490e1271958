#!/usr/bin/env python3
"""What a run on Spark takes, stage by stage, beside what the engine takes alone on the same rows.

Simulates a world, runs it with several numbers of partitions on a Spark of this machine, and asks Spark's
own interface what its stages took.

    python benches/spark/measure.py --apportion target/release/apportion --sessions 1000000 > measured.md
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

import apportion.spark

TABLES = {"sessions": "sessions", "orders": "orders", "users": "users", "aliases": "user_aliases"}
SETTINGS = {"currency": "EUR", "as_of": "2026-06-01", "max_rejects": "5%"}


def started(cores: int, folder: Path) -> SparkSession:
    """A Spark of this machine alone, which can be asked what it did."""
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    conf = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "3g",
        "spark.local.dir": str(folder),
        "spark.log.level": "ERROR",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = SparkSession.builder.master(f"local[{cores}]").appName("measure")
    for name, value in conf.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def stages(spark: SparkSession, after: int) -> list[dict[str, Any]]:
    """What Spark says of its stages, those up to a number left out."""
    context = spark.sparkContext
    address = f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}/stages"
    time.sleep(1)
    with urllib.request.urlopen(address) as answer:
        told: list[dict[str, Any]] = json.load(answer)
    return [stage for stage in told if stage["stageId"] > after and stage["status"] == "COMPLETE"]


def longest_task(spark: SparkSession, stage: dict[str, Any]) -> float:
    """Seconds of the longest task of a stage."""
    context = spark.sparkContext
    address = f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}/stages"
    address += f"/{stage['stageId']}/{stage['attemptId']}/taskSummary?quantiles=1.0"
    with urllib.request.urlopen(address) as answer:
        return float(json.load(answer)["executorRunTime"][0]) / 1000


def processor() -> float:
    """Seconds of the processor that this process and all below it took: Java, and Python in tasks (Linux)."""
    took: dict[int, float] = {}
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        process = int(stat.parent.name)
        parents[process] = int(fields[1])
        # Its own, and that of processes which have ended below it.
        took[process] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def is_below(process: int) -> bool:
        while process not in (0, os.getpid()):
            process = parents.get(process, 0)
        return process != 0

    return sum(seconds for process, seconds in took.items() if is_below(process))


def moved(
    spark: SparkSession, world: Path, columns: dict[str, list[str]], partitions: int
) -> tuple[float, float]:
    """Seconds, and seconds of the processor, of reading the same columns and shuffling them by user alone."""
    users = {"users": "external_id", "aliases": "from_user_external_id"}
    before, began = processor(), time.perf_counter()
    for name, file in TABLES.items():
        frame = spark.read.parquet(str(world / f"{file}.parquet")).select(*columns[name])
        held = frame.repartition(partitions, users.get(name, "user_external_id"))
        held.write.format("noop").mode("overwrite").save()
    return time.perf_counter() - began, processor() - before


def measured(spark: SparkSession, world: Path, models: list[str], partitions: int) -> dict[str, Any]:
    """One run: seconds by stage of its own, and what Spark moved."""
    frames = {name: spark.read.parquet(str(world / f"{file}.parquet")) for name, file in TABLES.items()}
    cpu = processor()
    before = max((stage["stageId"] for stage in stages(spark, -1)), default=-1)
    began = time.perf_counter()
    told: list[tuple[str, float]] = []
    result = apportion.spark.attribute(
        **frames,
        **SETTINGS,
        models=models,
        partitions=partitions,
        progress=lambda stage, rows: told.append((stage, time.perf_counter() - began)),
    )
    whole = time.perf_counter() - began
    cpu = processor() - cpu
    after = stages(spark, before)
    times = {}
    for (stage, start), end in zip(told, [*(start for _, start in told[1:]), whole], strict=True):
        times[stage] = times.get(stage, 0.0) + end - start
    heaviest = max(after, key=lambda stage: stage["executorRunTime"])
    return {
        "partitions": partitions,
        "seconds": whole,
        "cpu": cpu,
        "stages": times,
        "shuffle": sum(stage["shuffleWriteBytes"] for stage in after),
        "spilled": sum(stage["diskBytesSpilled"] for stage in after),
        "longest_task": longest_task(spark, heaviest),
        "jvm_cpu": sum(stage["executorCpuTime"] for stage in after) / 1e9,
        "efforts": result.efforts,
        "report": str(result),
        # What the run reads, which is what rows bring to their buckets.
        "columns": {name: list(table.columns) for name, table in result._run.plan.tables.items()},
    }


def alone(asked: argparse.Namespace, world: Path, models: list[str]) -> tuple[float, float]:
    """Seconds, and seconds of the processor, of the command line on the same rows."""
    flags = {"--aliases": "user_aliases", **{f"--{name}": name for name in ("sessions", "orders", "users")}}
    files = [word for flag, name in flags.items() for word in (flag, str(world / f"{name}.parquet"))]
    said = ["--currency", "EUR", "--as-of", "2026-06-01", "--max-rejects", "5%", "--quiet"]
    chosen = [word for model in models for word in ("--model", model)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([asked.apportion, "run", *files, *said, *chosen], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, cpu


def main() -> None:
    """Prints tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--apportion", default="target/release/apportion", help="the command line")
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--partitions", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--model", nargs="+", default=["linear"])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder) / "world"
        said = ["simulate", "--quiet", "--sessions", str(asked.sessions), "--output", str(world)]
        subprocess.run([asked.apportion, *said], check=True)
        # The first run finds files that were only just written.
        alone(asked, world, asked.model)
        seconds, cpu = alone(asked, world, asked.model)
        spark = started(asked.cores, Path(folder))
        # The first run also starts the processes of Python.
        measured(spark, world, asked.model, 2)
        runs = [measured(spark, world, asked.model, partitions) for partitions in asked.partitions]
        columns = runs[0]["columns"]
        moves = {partitions: moved(spark, world, columns, partitions) for partitions in asked.partitions}
        spark.stop()
    assert len({run["report"] for run in runs}) == 1, "partitions changed the report"
    print(f"{asked.sessions:,} sessions, {asked.cores} cores, {', '.join(asked.model)}")
    print()
    print(f"The engine alone: {seconds:.1f} s, {cpu:.1f} s of the processor.")
    of_moves = ", ".join(f"{cost:.1f} s with {partitions}" for partitions, (_, cost) in moves.items())
    print(f"Spark's own reading and shuffling of the rows, of the processor: {of_moves} partitions.")
    print()
    print(
        "| partitions | s | CPU s | beyond reading and shuffling | in times of the engine's"
        " | shuffled MB | longest task s | CPU of Java's tasks s | of kernels s | longest kernel s |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for run in runs:
        efforts = run["efforts"]
        beyond = run["cpu"] - moves[run["partitions"]][1]
        print(
            f"| {run['partitions']} | {run['seconds']:.1f} | {run['cpu']:.1f} | {beyond:.1f}"
            f" | {beyond / cpu:.1f} | {run['shuffle'] / 1e6:.1f}"
            f" | {run['longest_task']:.1f} | {run['jvm_cpu']:.1f}"
            f" | {sum(effort.cpu for effort in efforts):.1f}"
            f" | {max(effort.longest for effort in efforts):.1f} |"
        )
    print()
    names = list(dict.fromkeys(name for run in runs for name in run["stages"]))
    print("| partitions | " + " | ".join(names) + " |")
    print("|---:|" + "---:|" * len(names))
    for run in runs:
        cells = " | ".join(f"{run['stages'].get(name, 0):.1f}" for name in names)
        print(f"| {run['partitions']} | {cells} |")


if __name__ == "__main__":
    main()
