"""What can be asked of a result: tables for every library, an order's reasons, charts, differences."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

import duckdb
import polars
import pyarrow
import pytest

import apportion
from conftest import CLOCK, TABLES, command_line, flags, in_small_batches

ORDER = "oen6xtkgevqm"


@pytest.fixture(scope="module")
def result() -> apportion.Result:
    return apportion.attribute(**TABLES, **CLOCK, models=["linear", "markov"], by="channel")


def test_tables_go_to_every_library_as_they_are(result: apportion.Result) -> None:
    report = result.report
    arrow, frame, pandas = report.to_pyarrow(), report.to_polars(), report.to_pandas()
    assert arrow.column_names == frame.columns == list(pandas.columns) == report.column_names
    assert len(report) == len(arrow) == len(frame) == len(pandas) == report.num_rows > 0
    assert isinstance(arrow["amount"][0].as_py(), Decimal)
    assert frame["amount"].dtype == polars.Decimal(38, 2)
    assert report.schema["amount"] == "Decimal128(38, 2)"
    assert pandas["amount"].sum() == frame["amount"].sum() == sum(arrow["amount"].to_pylist())
    credits = result.credits
    rows = duckdb.sql("select model, sum(amount) from credits group by model order by model").fetchall()
    assert [amount for _, amount in rows] == [Decimal("50167.82")] * 2
    assert pyarrow.schema(credits) == credits.to_pyarrow().schema
    # A table can be read as often as one likes, at once too.
    first, second = (pyarrow.RecordBatchReader.from_stream(credits) for _ in range(2))
    assert first.read_all() == second.read_all()


def test_a_run_can_be_read_again_by_a_run(result: apportion.Result) -> None:
    spend = result.report.to_polars().select(
        date=polars.date(2025, 3, 1),
        utm_source=polars.lit("google"),
        utm_medium=polars.lit("cpc"),
        cost="amount",
    )
    given = apportion.attribute(**TABLES, spend=spend, **CLOCK, by="utm_source")
    cost = given.report.to_polars().filter(utm_source="google", model="linear")["cost"]
    assert cost.to_list() == [spend["cost"].sum()]


def test_totals_are_those_of_the_proof(result: apportion.Result) -> None:
    proof = result.proof.to_polars()
    assert proof["holds"].all() and proof["model"].to_list() == ["linear", "markov"]
    assert proof["owed"].to_list() == proof["credited"].to_list() == [Decimal("50167.82")] * 2
    assert (
        result.report.to_polars().group_by("model").agg(polars.sum("amount"))["amount"].to_list()
        == [Decimal("50167.82")] * 2
    )


def test_how_a_result_and_its_tables_read(result: apportion.Result) -> None:
    assert repr(result).startswith(
        "<apportion.Result: 773 orders, 706 of them attributed, 2 models; tables: "
    )
    printed = command_line(
        "run",
        *flags({**TABLES, **CLOCK, "model": ["linear", "markov"], "by": ["channel"]}),
        "--quiet",
    )
    assert str(result) == printed.stdout
    shown = repr(result.report)
    assert shown.startswith("report: 30 rows, 21 columns\nmodel ") and shown.endswith("...")
    assert repr(result.rejects) == "rejects: 0 rows, 6 columns\ntable  file  row  external_id  rule  message"
    html = result._repr_html_()
    assert "<th>channel</th>" in html and "773 orders counted" in html and "50167.82" in html
    assert result.warnings == result.summary["warnings"]


def test_html_escapes_what_came_from_the_data() -> None:
    sessions = polars.read_parquet(TABLES["sessions"]).with_columns(utm_source=polars.lit("<b>&"))
    shown = apportion.attribute(sessions, TABLES["orders"], **CLOCK)._repr_html_()
    assert "&lt;b&gt;&amp;" in shown and "<b>" not in shown


def test_an_explanation_is_that_of_the_command_line(result: apportion.Result) -> None:
    command = [
        "explain",
        ORDER,
        *flags({**TABLES, **CLOCK, "model": ["linear", "markov"]}),
        "--quiet",
    ]
    explanation = result.explain(ORDER)
    assert str(explanation) == repr(explanation) == command_line(*command).stdout
    assert explanation.facts == json.loads(command_line(*command, "--format", "json").stdout)
    assert explanation._repr_html_().startswith("<pre>order")
    with pytest.raises(apportion.NoOrderError, match=f"the nearest ids are `{ORDER}`"):
        result.explain(ORDER[:-1])
    with pytest.raises(LookupError):
        result.explain("nothing like it")


def test_charts_and_the_page_are_those_of_the_command_line(result: apportion.Result, tmp_path: Path) -> None:
    settings = flags({**TABLES, **CLOCK, "model": ["linear", "markov"], "by": ["channel"]})
    for chart, more in [
        ("models", {}),
        ("time", {"width": 500, "theme": "dark"}),
        ("paths", {"height": 400}),
    ]:
        drawn = command_line("plot", *settings, "--quiet", "--chart", chart, *flags(more)).stdout
        assert result.plot(chart, **more).svg == drawn, chart
    chart = result.plot()
    assert chart._repr_svg_() == chart.svg
    chart.write(tmp_path / "chart.svg")
    chart.write(tmp_path / "chart.png")
    assert (tmp_path / "chart.svg").read_text() == chart.svg
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(apportion.SettingError, match="its ending names no picture"):
        chart.write(tmp_path / "chart.gif")
    with pytest.raises(apportion.SettingError, match="no chart is named `pie`"):
        result.plot("pie")
    with pytest.raises(apportion.SettingError, match="`width` cannot be `3`: write pixels from"):
        result.plot(width=3)
    command_line("report", *settings, "--quiet", "-o", tmp_path / "page.html")
    assert result.html() == (tmp_path / "page.html").read_text()


def test_a_difference_is_that_of_the_command_line(tmp_path: Path) -> None:
    kept = [tmp_path / "before", tmp_path / "after"]
    for folder, lookback in zip(kept, ["90d", "7d"], strict=True):
        settings = {**TABLES, **CLOCK, "lookback": lookback, "keep": folder}
        command_line("run", *flags(settings), "--quiet", "--format", "csv")
    printed = command_line("diff", *kept, "--format", "csv").stdout
    before = apportion.attribute(**TABLES, **CLOCK)
    after = apportion.attribute(**TABLES, **CLOCK, lookback="7d", keep=tmp_path / "python")
    for other in [after, kept[1], str(tmp_path / "python")]:
        difference = before.diff(other)
        difference.write(tmp_path / "difference.csv")
        assert (tmp_path / "difference.csv").read_text() == printed
        assert "setting   lookback: 90d, then 7d" in str(difference)
    assert str(before.diff(after)).startswith("before    this run as of 2026")
    part = before.diff(after, by=["utm_source"], models="linear", from_="2025-04-01", to="2025-04-30")
    expected = command_line(
        "diff",
        *kept,
        "--by",
        "utm_source",
        "--model",
        "linear",
        "--from",
        "2025-04-01",
        "--to",
        "2025-04-30",
        "--format",
        "csv",
    )
    rows = list(csv.DictReader(io.StringIO(expected.stdout)))
    assert part.to_pyarrow()["utm_source"].to_pylist() == [row["utm_source"] or None for row in rows]


def test_tables_are_worked_out_when_they_are_asked_for() -> None:
    stages: list[str] = []
    result = apportion.attribute(
        **TABLES, **CLOCK, tables=["credits"], progress=lambda stage, _: stages.append(stage)
    )
    stages.clear()
    assert len(result.credits) > len(result.report) > 0
    assert result.credits is result.credits
    assert stages == []
    assert len(result.persons) == result.summary["identity"]["persons"]
    assert "reading" in stages
    stages.clear()
    assert len(result.identity) == result.summary["identity"]["users"]
    assert stages == [], "it was written beside the persons"


def test_inputs_that_changed_are_never_mixed_with_what_they_were(tmp_path: Path) -> None:
    orders = polars.read_parquet(TABLES["orders"])
    orders.write_parquet(tmp_path / "orders.parquet")
    result = apportion.attribute(TABLES["sessions"], tmp_path / "orders.parquet", **CLOCK)
    orders[:-50].write_parquet(tmp_path / "orders.parquet")
    for asked in [lambda: result.credits, result.plot, lambda: result.diff(result)]:
        with pytest.raises(apportion.ApportionError, match="the inputs have changed since the run"):
            asked()


def test_a_sweep_has_results_and_what_they_have_in_common() -> None:
    result = apportion.attribute(**TABLES, **CLOCK, sweep={"lookback": ["7d", "90d"]}, models="linear")
    report = result.report.to_polars()
    assert report["lookback"].unique().sort().to_list() == ["7d", "90d"]
    assert (result.ranges.to_polars()["results"] == 2).all()
    assert "utm_source" in result.decisions.column_names
    assert "7d" in str(result)
    with pytest.raises(apportion.SettingError, match="`--credits` is of one combination of settings"):
        result.table("credits")


def test_nobody_is_seen_where_nobody_may_be(tmp_path: Path) -> None:
    few = apportion.attribute(**TABLES, **CLOCK, by="utm_source", models=["linear", "markov"], min_persons=30)
    assert "(other)" in few.report.to_pyarrow()["utm_source"].to_pylist()
    for asked in [few.plot, few.html, lambda: few.effects, lambda: few.paths]:
        with pytest.raises(apportion.SettingError, match="`--min-persons` is about the lines of"):
            asked()
    salt = tmp_path / "salt.key"
    salt.write_text("a salt for a test, and for nothing else")
    streams = {name: in_small_batches(path).to_reader() for name, path in TABLES.items()}
    hashed = apportion.attribute(**streams, **CLOCK, hash_ids=salt, stream_memory="1B", tables=["credits"])
    raw = polars.read_parquet(TABLES["users"])["external_id"]
    assert not set(hashed.credits.to_polars()["person"]) & set(raw)
    # A file of raw ids would be written to, if only for a while.
    assert not list(Path(tempfile.gettempdir()).glob("apportion-*.parquet"))
    place = tmp_path / "credits.csv"
    command_line("run", *flags({**TABLES, **CLOCK, "hash_ids": salt, "credits": place}), "--quiet")
    hashed.credits.write(tmp_path / "python.csv")
    assert (tmp_path / "python.csv").read_bytes() == place.read_bytes()


def test_no_library_of_tables_is_needed(tmp_path: Path) -> None:
    code = """
import sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"pyarrow", "polars", "pandas", "numpy", "duckdb"}:
            raise ImportError(name)

sys.meta_path.insert(0, Refused())
import apportion
result = apportion.attribute(*sys.argv[1:3], as_of="2026-01-01", currency="EUR", tables=["credits"])
print(len(result.report) > 0, len(result.credits) > 0, result.report.column_names[0])
print("<table>" in result._repr_html_())
result.report.write(sys.argv[3])
again = apportion.attribute(result.credits, sys.argv[2], as_of="2026-01-01", column={
    "sessions": {"external_id": "touch_external_id", "created_at": "touch_at"}}, max_rejects="100%")
print(again.summary["tables"][1]["read"] == len(result.credits))
try:
    result.report.to_polars()
except ImportError as error:
    print("no", error)
"""
    command = [sys.executable, "-c", code, *map(str, [TABLES["sessions"], TABLES["orders"]])]
    done = subprocess.run(
        [*command, str(tmp_path / "report.csv")], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["True True model", "True", "True", "no polars"], done.stderr
