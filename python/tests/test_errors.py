"""What goes wrong is an exception of its kind, with the words of the command line."""

from __future__ import annotations

import inspect
from datetime import date, datetime
from pathlib import Path

import numpy
import pandas
import polars
import pytest

import apportion
from apportion import _native
from conftest import CLOCK, TABLES, command_line, flags

SETTINGS = [
    {"lookback": "long"},
    {"model": ["lineer"]},
    {"by": ["utm_sorce"]},
    {"from_": "2025-04-01", "to": "2025-03-01"},
    {"seed": 5},
    {"amount": "total"},
    {"spend_gaps": "gaps.csv"},
    {"output": "report.xlsx"},
    {"where_orders": "nothing > 1"},
    {"threads": 0},
    {"memory_limit": "little"},
    {"users": "no/such/*.parquet"},
    {"users": TABLES["orders"].parent / "truth.parquet"},
    {"column": {"users": ["created_at=born"]}},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(settings))
def test_the_words_are_those_of_the_command_line(settings: dict[str, object], tmp_path: Path) -> None:
    said = {**TABLES, **CLOCK, **settings}
    command = {**said}
    if "column" in command:
        command["column"] = ["users.created_at=born"]
        said["column"] = {"users": {"created_at": "born"}}
    printed = command_line("run", *flags(command), code=2).stderr
    with pytest.raises(apportion.ApportionError) as raised:
        apportion.attribute(**said)
    assert f"error: {raised.value}\n" == printed


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        (
            {"lookbak": "3d"},
            ValueError,
            "no setting is named `lookbak`\n\nhint: did you mean `lookback`?",
        ),
        ({"lookback": 3}, ValueError, "`lookback` cannot be `3`: invalid type: integer `3`"),
        ({"views": "some"}, ValueError, '`views` cannot be `"some"`: unknown variant `some`'),
        ({"bootstrap": object()}, ValueError, "`bootstrap` cannot be `<object object at"),
        ({"seed": 2**70}, ValueError, "`seed` cannot be `1180591620717411303424`"),
        ({"config": {"medum": "linear"}}, ValueError, "no setting is named `medum`"),
        ({"config": "nothing.toml"}, apportion.ApportionError, "cannot read `nothing.toml`"),
        ({"models": "linear", "model": "linear"}, ValueError, "both name models"),
        ({"from_": "2025-01-01", "from": "2025-01-01"}, ValueError, "are one setting"),
        (
            {"tables": ["creds"]},
            ValueError,
            "no table of a run is named `creds`\n\nhint: did you mean `credits`?",
        ),
        (
            {"tables": ["effects"]},
            ValueError,
            "`--effects` says nothing without a model that learns",
        ),
        ({"stream_memory": "lots"}, ValueError, "`stream_memory` cannot be `lots`: write a size"),
        (
            {"users": TABLES["users"].parent / "nobody.parquet"},
            FileNotFoundError,
            "no users file is found",
        ),
        ({"users": 3}, TypeError, "`users` cannot be read from a `int`: give a path"),
        ({"users": [polars.LazyFrame()]}, TypeError, "a lazy one once it is collected"),
        ({"items": polars.DataFrame()}, ValueError, "items are lines of JSON"),
        (
            {"users": polars.DataFrame({"id": [1]})},
            ValueError,
            "users .a table in memory. has no column `external_id`",
        ),
        (
            {"users": polars.DataFrame({"external_id": [1.5], "created_at": ["2025"]})},
            ValueError,
            "column `external_id` of users .a table in memory. is Float64, but text or integers",
        ),
        (
            {"users": polars.read_parquet(TABLES["users"]), "store": "store"},
            ValueError,
            "write it to Parquet",
        ),
    ],
)
def test_what_only_python_can_ask_is_answered_in_kind(
    settings: dict[str, object], kind: type[Exception], words: str
) -> None:
    with pytest.raises(apportion.ApportionError, match=words.replace("?", r"\?")) as raised:
        apportion.attribute(**{**TABLES, **CLOCK, **settings})
    assert isinstance(raised.value, kind)


def test_what_a_maker_of_tables_raises_is_raised() -> None:
    class Broken:
        def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
            raise ConnectionError("the warehouse is closed")

    class Foolish:
        def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
            return 3

    with pytest.raises(ConnectionError, match="the warehouse is closed"):
        apportion.attribute(Broken(), TABLES["orders"], **CLOCK)
    with pytest.raises(TypeError):
        apportion.attribute(Foolish(), TABLES["orders"], **CLOCK)


def test_values_as_python_has_them_mean_what_texts_mean() -> None:
    texts = apportion.attribute(
        **TABLES,
        **{**CLOCK, "as_of": "2025-06-15T10:00:00Z"},
        lookback="36h",
        from_="2025-01-01",
        to="2025-06-01",
        max_rejects="100%",
    )
    values = apportion.attribute(
        **TABLES,
        **{**CLOCK, "as_of": datetime(2025, 6, 15, 10)},
        lookback=pandas.Timedelta(hours=36),
        from_=date(2025, 1, 1),
        to=date(2025, 6, 1),
        max_rejects=numpy.int32(100_000),
        bounce_interactions=numpy.float64(1),
        threads=None,
    )
    assert values.report.to_pyarrow() == texts.report.to_pyarrow()
    assert values.summary["orders"] == texts.summary["orders"]


def test_models_of_ones_own_and_channels_may_be_keywords() -> None:
    keys = {
        "models": {"mine": {"model": "position_based", "first": 0.7, "last": 0.2}},
        "model": ["mine"],
        "channel": [
            {
                "name": "Ours",
                "group": "Ours",
                "when": [{"field": "utm_source", "equals": "newsletter"}],
            }
        ],
        "domains": {"shop-eu": "web"},
    }
    result = apportion.attribute(**TABLES, **CLOCK, by=["channel"], **keys)
    report = result.report.to_pyarrow()
    assert set(report["model"].to_pylist()) == {"mine"} and "Ours" in report["channel"].to_pylist()
    told = apportion.attribute(config={**keys, "by": "channel", **CLOCK}, **TABLES)
    assert told.report.to_pyarrow() == report


def test_every_setting_is_a_keyword_that_is_described() -> None:
    signature = inspect.signature(apportion.attribute).parameters
    described = set(apportion.Settings.__annotations__) | set(signature)
    renamed = {"from": "from_", "models": "models"}
    missing = {renamed.get(name, name) for name in _native.settings()} - described
    assert not missing, missing
    of_python = {"config", "tables", "stream_memory", "progress", "settings", "from_"}
    unknown = described - set(_native.settings()) - of_python
    assert not unknown, unknown


def test_every_public_thing_is_documented() -> None:
    for name in apportion.__all__:
        thing = getattr(apportion, name)
        assert inspect.getdoc(thing), name
        for member, value in vars(thing).items() if inspect.isclass(thing) else []:
            if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                assert inspect.getdoc(value), f"{name}.{member}"
    assert apportion.__version__ in command_line("--version").stdout
    assert (Path(apportion.__file__).parent / "py.typed").exists()
