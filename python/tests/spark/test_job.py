"""The job that the command line starts: from files of every make to what its folder holds in the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.compute
import pyarrow.ipc
import pyarrow.parquet
import pytest

import apportion
from apportion import _native
from conftest import CLOCK, KIND, ROOT, SHOP, TABLES, assert_same_rows, command_line, server

pytestmark = pytest.mark.skipif(KIND == "sail", reason="Sail does not say where a row was read")

FILES = {name: [str(path)] for name, path in TABLES.items()}


def job(description: dict[str, Any], code: int = 0) -> list[dict[str, Any]]:
    """What a job says, line by line."""
    done = subprocess.run(
        [sys.executable, "-m", "apportion.spark"],
        input=json.dumps(description),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def stream(path: Path) -> pyarrow.Table:
    with pyarrow.ipc.open_stream(str(path)) as rows:
        return rows.read_all()


def exported(folder: Path) -> dict[str, list[str]]:
    """The sample shop as exports come: in folders that say something, with times of another unit, in
    files that have not the same columns, and with rows that are broken."""
    sessions = pyarrow.parquet.read_table(TABLES["sessions"])
    sessions = sessions.drop_columns([name for name in sessions.column_names if name.startswith("app_")])
    half = sessions.num_rows // 2
    users = sessions["user_external_id"].cast(pyarrow.string())
    broken = pyarrow.array([row in (5, half + 7, half + 8) for row in range(sessions.num_rows)])
    users = pyarrow.compute.if_else(broken, pyarrow.scalar("undefined"), users)
    place = sessions.schema.get_field_index("user_external_id")
    sessions = sessions.set_column(place, "user_external_id", users)
    first = folder / "sessions" / "app_site=north east" / "part one.parquet"
    second = folder / "sessions" / "app_site=a%2Fb" / "part=2.parquet"
    for path in (first, second):
        path.parent.mkdir(parents=True)
    pyarrow.parquet.write_table(sessions.slice(0, half), first)
    pyarrow.parquet.write_table(sessions.slice(half).drop_columns(["utm_campaign"]), second)
    orders = pyarrow.parquet.read_table(TABLES["orders"])
    place = orders.schema.get_field_index("created_at")
    times = orders["created_at"].cast(pyarrow.timestamp("ns", tz="UTC"))
    orders = orders.set_column(place, "created_at", times)
    pyarrow.parquet.write_table(orders, folder / "orders.parquet", version="2.6")
    return {**FILES, "sessions": [str(first), str(second)], "orders": [str(folder / "orders.parquet")]}


def test_files_of_every_make_are_read_as_on_one_machine(tmp_path: Path) -> None:
    files = exported(tmp_path)
    settings = {**CLOCK, "by": ["app_site"], "max_rejects": "5%", "model": ["linear", "markov"]}
    given = {**files, "sessions": [str(tmp_path / "sessions")]}
    expected = apportion.attribute(**given, **settings, tables=["credits", "persons"])
    description = {
        "master": "local[2]",
        "tables": files,
        "settings": settings,
        "partitions": 3,
        "memory": 1 << 20,
        "rows": ["credits", "persons"],
        "folder": str(tmp_path / "out"),
    }
    said = job(description)
    assert said[-1]["done"] and said[0]["stage"] == "starting Spark"
    out = tmp_path / "out"
    small = {name: pyarrow.parquet.read_table(files[name][0]) for name in ("devices", "exchange_rates")}
    known, merged = ((out / f"{name}.bin").read_bytes() for name in ("known", "partial"))
    concluded = _native.conclude((out / "plan.json").read_text(), known, merged, small, {}, ["rejects"], None)
    for name in ("report", "proof", "rejects"):
        ours = pyarrow.table(concluded.frame(name))
        assert ours.equals(expected.table(name).to_pyarrow()), name
    assert len(expected.rejects) == 3
    for name in ("credits", "persons"):
        assert_same_rows(name, stream(out / f"{name}.arrow"), expected.table(name).to_pyarrow())
    assert sorted(path.name for path in out.iterdir()) == [
        "credits.arrow",
        "known.bin",
        "partial.bin",
        "persons.arrow",
        "plan.json",
    ]


def test_the_command_line_begins_it_and_concludes(tmp_path: Path) -> None:
    if KIND == "connect":
        pytest.skip("a cluster has shown it")
    files = exported(tmp_path)
    # A file may be called by where somebody stands.
    sessions = os.path.relpath(tmp_path / "sessions", ROOT)
    flags = ["--sessions", sessions, "--orders", files["orders"][0], "--as-of", "2026-01-01"]
    for name in ("users", "aliases", "devices", "exchange_rates"):
        flags += ["--" + name.replace("_", "-"), files[name][0]]
    flags += ["--currency", "EUR", "--by", "app_site", "--max-rejects", "5%", "--format", "csv", "--quiet"]
    printed = []
    for engine in ("local", "spark"):
        (tmp_path / engine).mkdir()
        places = [
            word
            for name in ("credits", "journeys", "persons", "identity", "rejects")
            for word in (f"--{name}", tmp_path / engine / f"{name}.csv")
        ]
        cluster = ["--engine", "spark", "--spark-master", "local[2]", "--partitions", 3]
        how = [*cluster, "--python", sys.executable] if engine == "spark" else []
        printed.append(command_line("run", *flags, *places, *how).stdout)
    assert printed[0] == printed[1]
    for path in (tmp_path / "local").iterdir():
        assert path.read_bytes() == (tmp_path / "spark" / path.name).read_bytes(), path.name


def engines(partitions: int = 3) -> dict[str, list[object]]:
    """How the command line is told who works."""
    cluster = ["--engine", "spark", "--spark-master", "local[2]", "--partitions", partitions]
    return {"local": [], "spark": [*cluster, "--python", sys.executable]}


def test_items_are_read_where_it_is_begun(tmp_path: Path) -> None:
    if KIND == "connect":
        pytest.skip("a cluster has shown it")
    broken = ['{"kind": "session"}', "no item", '{"kind": "order", "order": {"external_id": "o9"}}']
    items = tmp_path / "items.ndjson"
    items.write_text((SHOP / "items.ndjson").read_text() + "\n".join(broken))
    said = {}
    for engine, how in engines().items():
        (tmp_path / engine).mkdir()
        places = [
            "--rejects",
            tmp_path / engine / "rejects.csv",
            "--summary",
            tmp_path / engine / "summary.json",
        ]
        flags = [
            "--items",
            items,
            "--orders",
            FILES["orders"][0],
            "--max-rejects",
            "60%",
            "--currency",
            "EUR",
        ]
        printed = command_line(
            "run", *flags, *places, "--as-of", "2026-01-01", "--format", "csv", "--quiet", *how
        )
        summary = json.loads((tmp_path / engine / "summary.json").read_text())
        for table in summary["tables"]:
            # Spark does not say how much it read.
            table.pop("bytes", None)
        said[engine] = [printed.stdout, (tmp_path / engine / "rejects.csv").read_text(), summary]
    assert said["spark"] == said["local"]
    assert said["local"][1].count("items.ndjson") == 3


def test_a_store_takes_what_spark_worked_out(tmp_path: Path) -> None:
    if KIND == "connect":
        pytest.skip("a cluster has shown it")
    orders = tmp_path / "orders.parquet"
    orders.write_bytes(TABLES["orders"].read_bytes())
    flags = ["--sessions", FILES["sessions"][0], "--orders", orders, "--users", FILES["users"][0]]
    flags += [
        "--aliases",
        FILES["aliases"][0],
        "--currency",
        "EUR",
        "--by",
        "month",
        "--format",
        "csv",
        "--quiet",
    ]
    flags += ["--exchange-rates", FILES["exchange_rates"][0]]
    held, printed = {}, []
    for engine, how in engines().items():
        store = tmp_path / engine
        said = command_line("run", *flags, "--as-of", "2026-01-01", "--store", store, *how)
        printed.append(said.stdout)
        files = {path.relative_to(store): path.read_bytes() for path in store.rglob("*") if path.is_file()}
        accounts = [json.loads(files.pop(name)) for name in list(files) if name.name == "run.json"]
        # When the inputs were looked at.
        states = [json.loads(files.pop(name)) for name in list(files) if name.name == "files.json"]
        held[engine] = (files, accounts[0]["frames"], states[0]["files"])
        assert len(accounts) == 1 and len(files) > 10
    assert printed[0] == printed[1]
    assert held["local"] == held["spark"]
    # The next run of one machine goes on from it.
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(orders).slice(3), orders)
    known = set((tmp_path / "spark").rglob("run.json"))
    command_line("run", *flags, "--as-of", "2026-01-02", "--store", tmp_path / "spark")
    (run,) = {*(tmp_path / "spark").rglob("run.json")} - known
    assert json.loads(run.read_text()).get("anew") is None


def test_a_server_does_the_work_as_well(tmp_path: Path) -> None:
    if KIND != "connect":
        pytest.skip("a server is started where it is tested")
    with server({"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "2"}, tmp_path) as address:
        said = job(
            {
                "master": address,
                "tables": {name: paths for name, paths in FILES.items() if name != "sessions"},
                # As if the server could not see it.
                "here": {"sessions": FILES["sessions"]},
                "settings": CLOCK,
                "partitions": 2,
                "rows": ["journeys"],
                "folder": str(tmp_path / "out"),
            }
        )
    assert said[-1]["done"]
    expected = apportion.attribute(**TABLES, **CLOCK, tables=["journeys"]).journeys.to_pyarrow()
    assert_same_rows("journeys", stream(tmp_path / "out" / "journeys.arrow"), expected)


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        ({"tables": {"orders": [str(SHOP / "nowhere.parquet")]}}, "InputError", "nowhere.parquet"),
        ({"settings": {"lookbak": "7d"}}, "SettingError", "lookback"),
        ({"rows": ["credit"]}, "SettingError", "credit"),
        ({"buckets": 3}, "SettingError", "buckets"),
        ({"memory": "much"}, "SettingError", "memory"),
    ],
)
def test_a_job_says_what_is_wrong(change: dict[str, Any], kind: str, text: str, tmp_path: Path) -> None:
    if KIND == "connect":
        pytest.skip("said once")
    orders = {"orders": FILES["orders"]}
    usual = {"master": "local[1]", "tables": orders, "settings": CLOCK, "folder": str(tmp_path / "out")}
    said = job({**usual, **change}, code=1)
    assert said[-1]["error"]["kind"] == kind and text in said[-1]["error"]["text"], said
    assert not (tmp_path / "out").exists()


def test_a_file_that_was_cut_off_is_named(tmp_path: Path) -> None:
    if KIND == "connect":
        pytest.skip("said once")
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(TABLES["sessions"].read_bytes()[:20_000])
    tables = {"sessions": [str(cut)], "orders": FILES["orders"]}
    usual = {"master": "local[1]", "tables": tables, "settings": CLOCK, "folder": str(tmp_path / "out")}
    error = job(usual, code=1)[-1]["error"]
    assert error["kind"] == "InputError", error
    assert "Spark cannot read `sessions`" in error["text"] and str(cut) in error["text"], error
