"""Python says what the command line says, to the byte, however tables are handed over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest

import apportion
from conftest import CLOCK, SHOP, TABLES, WAYS, command_line, flags

SPEND = {"spend": SHOP / "spend.parquet", "postviews": SHOP / "postviews.parquet"}
#: Settings of a run, with the tables beside those of every run.
SETTINGS: dict[str, tuple[dict[str, Path], dict[str, object]]] = {
    "usual": ({}, {}),
    "channels": ({}, {"model": ["linear", "markov"], "by": ["channel", "device_type"]}),
    "months": (
        SPEND,
        {"by": ["month", "utm_source"], "lookback": "7d", "measures": "all", "views": "all"},
    ),
    "wide": ({}, {"wide": True, "by": ["utm_medium"], "direct": "skip"}),
    "period": (
        {},
        {"from_": "2025-04-01", "to": "2025-06-30", "compare": "previous_period", "overlap": True},
    ),
    "resampled": ({}, {"bootstrap": 60, "seed": 3, "model": ["time_decay:half_life=3d"]}),
    "sweep": ({}, {"sweep": {"half_life": ["3d", "7d"], "lookback": ["7d", "30d"]}}),
    "filtered": ({}, {"where_touches": "utm_medium <> 'cpc'", "date_by": "touch", "threads": 1}),
}
OUTPUTS = ["credits", "journeys", "persons", "identity", "rejects"]


@pytest.fixture(scope="session")
def printed() -> Callable[[str], str]:
    """What the command line prints as CSV under some settings."""
    known: dict[str, str] = {}

    def of(name: str) -> str:
        if name not in known:
            tables, settings = SETTINGS[name]
            arguments = flags({**TABLES, **tables, **CLOCK, **settings})
            known[name] = command_line("run", *arguments, "--quiet", "--format", "csv").stdout
        return known[name]

    return of


#: Every setting from files, and those that read tables in ways of their own from everything else.
CASES = [("path", name) for name in SETTINGS] + [
    (way, name) for way in WAYS if way != "path" for name in ["usual", "months", "resampled"]
]


@pytest.mark.parametrize(("way", "name"), CASES)
def test_the_report_is_that_of_the_command_line(
    name: str, way: str, printed: Callable[[str], str], tmp_path: Path
) -> None:
    more, settings = SETTINGS[name]
    tables = {table: WAYS[way](path) for table, path in {**TABLES, **more}.items()}
    result = apportion.attribute(**tables, **CLOCK, **settings)
    result.report.write(tmp_path / "report.csv")
    assert (tmp_path / "report.csv").read_text() == printed(name)


def test_every_other_table_is_too_and_a_stream_that_waited_on_disk(
    way: Callable[[Path], object], tmp_path: Path
) -> None:
    settings = {"model": ["linear", "shapley"], **CLOCK}
    places = {output: tmp_path / f"{output}.csv" for output in [*OUTPUTS, "effects"]}
    command_line("run", *flags({**TABLES, **places, **settings}), "--quiet")
    tables = {table: way(path) for table, path in TABLES.items()}
    result = apportion.attribute(**tables, **settings, tables=places, stream_memory="1kB")
    for output, place in places.items():
        result.table(output).write(tmp_path / "python.csv")
        assert (tmp_path / "python.csv").read_bytes() == place.read_bytes(), output


def test_tables_in_every_format_have_the_bytes_of_the_command_line(tmp_path: Path) -> None:
    result = apportion.attribute(**TABLES, **CLOCK, tables=["credits"])
    for ending in ["csv", "ndjson", "parquet", "md", "html"]:
        place, ours = tmp_path / f"credits.{ending}", tmp_path / f"python.{ending}"
        command_line("run", *flags({**TABLES, **CLOCK, "credits": place}), "--quiet")
        result.credits.write(ours)
        assert ours.read_bytes() == place.read_bytes(), ending
    # Where texts lie in an Arrow stream is not what they say.
    result.credits.write(tmp_path / "python", "arrow")
    with pyarrow.ipc.open_stream(tmp_path / "python") as stream:
        assert stream.read_all() == result.credits.to_pyarrow()


def test_rejected_rows_are_named_by_table_and_row(tmp_path: Path) -> None:
    import polars

    sessions = polars.read_parquet(TABLES["sessions"])
    broken = sessions.with_columns(
        user_external_id=polars.when(polars.int_range(polars.len()) % 30 == 7)
        .then(polars.lit("undefined"))
        .otherwise("user_external_id")
    )
    broken.write_parquet(tmp_path / "sessions.parquet")
    tables = {**TABLES, "sessions": tmp_path / "sessions.parquet"}
    settings = {**CLOCK, "max_rejects": "5%"}
    place = tmp_path / "rejects.csv"
    command_line("run", *flags({**tables, **settings, "rejects": place}), "--quiet")
    result = apportion.attribute(**{**TABLES, "sessions": broken}, **settings)
    result.rejects.write(tmp_path / "python.csv")
    expected = place.read_text().replace(str(tmp_path / "sessions.parquet"), "sessions (a table in memory)")
    assert (tmp_path / "python.csv").read_text() == expected
    assert len(result.rejects) == len(range(7, len(broken), 30))
    with pytest.raises(apportion.TooManyRejectsError, match="more than the 1% that"):
        apportion.attribute(**{**TABLES, "sessions": broken}, **CLOCK)


def test_a_table_may_come_in_parts_of_any_kind() -> None:
    import polars
    import pyarrow.parquet

    whole = apportion.attribute(**TABLES, **CLOCK)
    sessions = polars.read_parquet(TABLES["sessions"])
    half = len(sessions) // 2
    parts = [
        pyarrow.parquet.read_table(TABLES["sessions"]).slice(half),
        sessions[:100],
        sessions[100:half],
    ]
    divided = apportion.attribute(**{**TABLES, "sessions": parts}, **CLOCK, tables=["credits"])
    assert divided.report.to_pyarrow().equals(whole.report.to_pyarrow())
    assert divided.credits.to_pyarrow().equals(whole.credits.to_pyarrow())
    assert divided.summary["tables"][1] | {"files": 1} == whole.summary["tables"][1]


def test_a_workspace_says_what_keywords_leave_open(tmp_path: Path) -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has none")
    workspace = SHOP / "full.toml"
    arguments = ["run", "--config", workspace, "--lookback", "30d", "--format", "csv", "--quiet"]
    expected = command_line(*arguments).stdout
    keys = tomllib.loads(workspace.read_text())
    inputs = {name: str(SHOP / path) for name, path in keys.items() if name in INPUTS}
    for config in [workspace, str(workspace), {**keys, **inputs}]:
        result = apportion.attribute(config=config, lookback="30d")
        result.report.write(tmp_path / "report.csv")
        assert (tmp_path / "report.csv").read_text() == expected


INPUTS = [*TABLES, "postviews", "spend", "order_items", "items"]


def test_what_a_workspace_writes_is_written_and_can_be_read_as_well(tmp_path: Path) -> None:
    places = {"credits": tmp_path / "python.csv", "output": tmp_path / "python.parquet"}
    result = apportion.attribute(**TABLES, **CLOCK, **places)
    command = {"credits": tmp_path / "command.csv", "output": tmp_path / "command.parquet"}
    command_line("run", *flags({**TABLES, **CLOCK, **command}), "--quiet")
    for name, place in places.items():
        assert place.read_bytes() == command[name].read_bytes(), name
    result.credits.write(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == places["credits"].read_bytes()


def test_items_and_a_store_work_from_files(tmp_path: Path) -> None:
    items = SHOP / "items.ndjson"
    settings = {"items": items, "as_of": "2026-01-01", "max_rejects": "100%"}
    expected = command_line("run", *flags(settings), "--format", "csv", "--quiet").stdout
    for _ in range(2):
        result = apportion.attribute(**settings)
        result.report.write(tmp_path / "report.csv")
        assert (tmp_path / "report.csv").read_text() == expected
    for _ in range(2):
        stored = apportion.attribute(**TABLES, **CLOCK, store=tmp_path / "store")
    assert len(stored.credits) == len(apportion.attribute(**TABLES, **CLOCK).credits)
    runs = command_line("runs", "--store", tmp_path / "store").stdout
    assert " 773 " in runs, runs
