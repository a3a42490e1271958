"""Spark says what one machine says, to the byte, into however many partitions rows are divided."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.compute
import pyarrow.parquet
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import apportion
import apportion.spark
from conftest import CLOCK, KIND, ROWS, SHOP, TABLES, assert_same, command_line

SPEND = {"spend": SHOP / "spend.parquet", "postviews": SHOP / "postviews.parquet"}
LEARNT = {"models": ["linear", "markov", "shapley"], "by": ["channel", "device_type"]}
MONTHS = {"by": ["month", "utm_source"], "lookback": "7d", "measures": "all", "views": "all"}
#: Settings of a run, with the tables beside those of every run, and into how many partitions they go.
SETTINGS: dict[str, tuple[dict[str, Path], dict[str, Any], list[int]]] = {
    "usual": ({}, {}, [1, 2, 7]),
    "channels": ({}, LEARNT, [1, 2, 7]),
    "months": (SPEND, MONTHS, [3]),
    "fitted": ({}, {"models": ["logistic", "hazard"], "by": ["channel"]}, [3]),
    "joined": ({}, {"reconcile": ["email", "telephone"], "merge_authenticated": True}, [7]),
    "period": ({}, {"from_": "2025-04-01", "to": "2025-06-30", "compare": "previous_period"}, [2]),
    "few": ({}, {"by": ["utm_source", "month"], "min_persons": 30, "models": ["linear", "markov"]}, [3]),
    "resampled": ({}, {"by": ["channel"], "models": ["linear", "markov"], "bootstrap": 40, "seed": 5}, [3]),
    "filtered": ({}, {"where_touches": "utm_medium <> 'cpc'", "date_by": "touch", "wide": True}, [2]),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_table_is_that_of_one_machine(
    spark: SparkSession,
    shop: dict[str, DataFrame],
    local: Callable[..., apportion.Result],
    name: str,
    tmp_path: Path,
) -> None:
    more, settings, numbers = SETTINGS[name]
    tables = {**TABLES, **more}
    frames = {**shop, **{table: spark.read.parquet(str(path)) for table, path in more.items()}}
    expected = local(tables, **CLOCK, **settings, tables=ROWS)
    # How rows are divided is the same whoever is asked to.
    for partitions in numbers if KIND == "cluster" else numbers[-1:]:
        rows = ROWS if partitions == numbers[-1] else []
        with apportion.spark.attribute(
            **frames, **CLOCK, **settings, partitions=partitions, tables=rows, memory="1MiB"
        ) as result:
            assert_same(result, expected, tmp_path, rows)
            if "min_persons" in settings:
                for answer in (result, expected):
                    with pytest.raises(apportion.SettingError, match="shows smaller groups of persons"):
                        len(answer.effects)
            elif "models" in settings:
                assert result.effects.to_pyarrow().equals(expected.effects.to_pyarrow())


def test_small_tables_are_those_of_one_machine(
    spark: SparkSession, shop: dict[str, DataFrame], local: Callable[..., apportion.Result]
) -> None:
    asked = ["paths", "orders_report", "spend_gaps", "ranks"]
    settings = {**CLOCK, "models": ["linear"], "bootstrap": 40, "seed": 5}
    expected = local({**TABLES, **SPEND}, **settings, tables=asked)
    frames = {**shop, **{table: spark.read.parquet(str(path)) for table, path in SPEND.items()}}
    result = apportion.spark.attribute(**frames, **settings, partitions=3, tables=asked)
    for name in asked:
        assert result.table(name).to_pyarrow().equals(expected.table(name).to_pyarrow()), name
    assert not [*Path.cwd().glob("*.arrow")], "what is asked for lies where nobody asked for it"
    unasked = apportion.spark.attribute(**shop, **CLOCK, partitions=2)
    with pytest.raises(apportion.ApportionError, match="`paths` was not asked for"):
        unasked.paths.to_pyarrow()


def test_tables_of_a_sweep_are_those_of_one_machine(
    shop: dict[str, DataFrame], local: Callable[..., apportion.Result]
) -> None:
    settings = {**CLOCK, "sweep": {"lookback": ["7d", "30d"]}, "models": ["linear", "last_click"]}
    expected = local(TABLES, **settings)
    result = apportion.spark.attribute(**shop, **settings, partitions=3)
    assert result.ranges.to_pyarrow().equals(expected.ranges.to_pyarrow())
    assert result.decisions.to_pyarrow().equals(expected.decisions.to_pyarrow())


def test_rows_can_be_asked_for_when_nothing_was_kept(
    shop: dict[str, DataFrame], local: Callable[..., apportion.Result], tmp_path: Path
) -> None:
    result = apportion.spark.attribute(**shop, **CLOCK, partitions=2)
    assert_same(result, local(TABLES, **CLOCK), tmp_path, ["credits"])
    assert result.persons.count() == len(local(TABLES, **CLOCK).persons)
    assert result.credits.columns[-2:] == ["_person", "_row"]
    by_source = result.credits.groupBy("utm_source").agg(F.sum("amount")).count()
    assert by_source > 3


def test_a_world_of_many_ids_and_broken_rows(
    spark: SparkSession, local: Callable[..., apportion.Result], tmp_path: Path
) -> None:
    command_line(
        *("simulate", "--seed", 3, "--sessions", 3000, "--late", 0.05, "--unjoined", 0.1, "--stubs", 0.2),
        *("--full", "--quiet", "--output", tmp_path / "world"),
    )
    tables = {
        name: pyarrow.parquet.read_table(tmp_path / "world" / f"{file}.parquet")
        for name, file in {**{name: path.stem for name, path in TABLES.items()}, "spend": "spend"}.items()
        if (tmp_path / "world" / f"{file}.parquet").exists()
    }
    sessions = tables["sessions"]
    users = sessions["user_external_id"].combine_chunks().cast(pyarrow.string())
    for at, said in [(3, "{{user_id}}"), (11, "NULL"), (17, " "), (23, None)]:
        chosen = pyarrow.array([row % 97 == at for row in range(sessions.num_rows)])
        users = pyarrow.compute.if_else(chosen, pyarrow.scalar(said, pyarrow.string()), users)
    # Sessions that occur under two users.
    twice = sessions.slice(0, 40)
    others = pyarrow.compute.take(users, pyarrow.array(range(1000, 1040)))
    place = sessions.schema.get_field_index("user_external_id")
    sessions = sessions.set_column(place, "user_external_id", users)
    twice = twice.set_column(place, "user_external_id", others)
    tables["sessions"] = pyarrow.concat_tables([sessions, twice])
    settings: dict[str, Any] = {**CLOCK, "max_rejects": "20%", "models": ["linear", "time_decay"]}
    expected = local(tables, **settings, tables=ROWS)
    assert len(expected.rejects) > 100
    frames = {name: _frame(spark, table) for name, table in tables.items()}
    stages: list[str] = []
    with apportion.spark.attribute(
        **frames, **settings, partitions=5, tables=ROWS, progress=lambda stage, _: stages.append(stage)
    ) as result:
        assert_same(result, expected, tmp_path, ROWS)
        assert result.summary["rejected"] == expected.summary["rejected"]
    # What joins the users of one session is found while everything is read, which is read again then.
    assert [stages.count(stage) for stage in ("joining users of one row", "attributing")] == [1, 2]


def test_components_that_are_too_many_for_kernels_are_joined_by_spark(
    shop: dict[str, DataFrame],
    local: Callable[..., apportion.Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("apportion.spark._components._sent", lambda _: None)
    rows = ["credits", "identity"]
    with apportion.spark.attribute(**shop, **CLOCK, partitions=3, tables=rows) as result:
        assert_same(result, local(TABLES, **CLOCK), tmp_path, rows)


def _frame(spark: SparkSession, table: pyarrow.Table) -> DataFrame:
    """A table as a data frame of Spark, which has one kind of text."""
    return spark.createDataFrame(table)


def test_users_may_be_a_struct_and_ids_numbers(
    spark: SparkSession, shop: dict[str, DataFrame], local: Callable[..., apportion.Result], tmp_path: Path
) -> None:
    number = F.pmod(F.xxhash64("user_external_id"), F.lit(10_000_000))
    flat = [F.col(name) for name in shop["sessions"].columns if not name.startswith("user_")]
    nested = {
        "sessions": shop["sessions"].select(*flat, F.struct(number.alias("external_id")).alias("user")),
        "orders": shop["orders"].withColumn("user_external_id", number),
    }
    tables = {name: frame.toArrow() for name, frame in nested.items()}
    expected = local(tables, **CLOCK)
    result = apportion.spark.attribute(**nested, **CLOCK, partitions=4)
    assert_same(result, expected, tmp_path, ["credits", "identity"])


def test_what_goes_wrong_is_said_as_on_one_machine(shop: dict[str, DataFrame]) -> None:
    broken = shop["sessions"].withColumn("user_external_id", F.lit("undefined"))
    usual = {"sessions": shop["sessions"], "orders": shop["orders"], "partitions": 2, **CLOCK}
    for said, kind in [
        ({"sessions": broken}, apportion.TooManyRejectsError),
        ({"orders": shop["orders"].drop("created_at")}, apportion.InputError),
        ({"lookbak": "7d"}, apportion.SettingError),
        ({"models": ["linea"]}, apportion.SettingError),
        ({"min_persons": 1}, apportion.SettingError),
        ({"sessions": 5}, apportion.TableTypeError),
        ({"devices": 5}, apportion.TableTypeError),
        ({"sessions": None}, apportion.ApportionError),
        ({"sessions": None, "orders": None}, apportion.MissingInputError),
        ({"tables": ["credit"]}, apportion.SettingError),
        ({"memory": "much"}, apportion.SettingError),
        ({"partitions": 0}, apportion.SettingError),
    ]:
        with pytest.raises(kind):
            apportion.spark.attribute(**{**usual, **said})


@pytest.mark.skipif(KIND == "sail", reason="Sail does not keep the order of rows that are mapped")
def test_files_that_settings_name_are_written(
    shop: dict[str, DataFrame], local: Callable[..., apportion.Result], tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "spark", tmp_path / "local"
    for folder in (ours, theirs):
        folder.mkdir()

    def places(folder: Path) -> dict[str, Path]:
        return {
            "credits": folder / "credits.csv",
            "persons": folder / "persons.csv",
            "rejects": folder / "rejects.csv",
            "output": folder / "report.csv",
            "keep": folder / "kept",
        }

    local(TABLES, **CLOCK, config={"by": ["month"]}, **places(theirs))
    config = {"by": ["month"], **{name: str(path) for name, path in places(ours).items()}}
    apportion.spark.attribute(**shop, **CLOCK, config=config, partitions=3)
    for path in theirs.rglob("*.*"):
        if path.name != "run.json":
            assert (ours / path.relative_to(theirs)).read_bytes() == path.read_bytes(), path.name
    kept = [json.loads((folder / "kept" / "run.json").read_text()) for folder in (ours, theirs)]
    assert kept[0]["frames"] == kept[1]["frames"] and len(kept[0]["frames"]) == 8


def test_many_partitions_are_merged_where_they_are(
    shop: dict[str, DataFrame], local: Callable[..., apportion.Result], tmp_path: Path
) -> None:
    told: list[tuple[str, int]] = []
    result = apportion.spark.attribute(
        **shop, **CLOCK, partitions=70, progress=lambda stage, rows: told.append((stage, rows))
    )
    assert_same(result, local(TABLES, **CLOCK), tmp_path, [])
    assert dict(told)["merged"] > 10_000


def test_a_result_shows_what_came_of_it(shop: dict[str, DataFrame]) -> None:
    result = apportion.spark.attribute(shop["sessions"], shop["orders"], **CLOCK)
    assert "orders" in repr(result) and "<table>" in result._repr_html_()
    assert str(result).strip() and isinstance(result.warnings, list)
    with pytest.raises(KeyError):
        result.rows("credit")
    if KIND != "sail":
        # A frame that is given as nothing but nulls has no type.
        void = shop["orders"].withColumn("refunded_price", F.lit(None))
        apportion.spark.attribute(shop["sessions"], void, **CLOCK)
