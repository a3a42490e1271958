"""Every physical type that the makers of tables give a column means what it means in a file."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars
import pyarrow
import pyarrow.parquet
import pytest

import apportion

IDS = [f"s{number}" for number in range(6)]
USERS = ["u1", "u2", "u1", "u2", "u3", "u1"]
TIMES = [datetime(2025, 3, 1, hour, 30, tzinfo=timezone.utc) for hour in range(6)]
SOURCES = ["google", "bing", None, "google", "", " mail "]
PRICES = [Decimal("10.05"), Decimal("20.00"), Decimal("7.10")]
ORDERED = [datetime(2025, 3, 2, 12, number, tzinfo=timezone.utc) for number in range(3)]
SETTINGS: dict[str, Any] = {
    "currency": "EUR",
    "as_of": "2026-01-01",
    "model": "linear",
    "tables": ["credits"],
}


def sessions(**columns: object) -> pyarrow.Table:
    given = {
        "external_id": pyarrow.array(IDS),
        "user_external_id": pyarrow.array(USERS),
        "created_at": pyarrow.array(TIMES, pyarrow.timestamp("us", "UTC")),
        "utm_source": pyarrow.array(SOURCES),
        "duration": pyarrow.array([1.0, 20.0, 30.0, None, 15.0, 0.0]),
    }
    return pyarrow.table({**given, **columns})


def orders(**columns: object) -> pyarrow.Table:
    given = {
        "external_id": pyarrow.array(["o1", "o2", "o3"]),
        "user_external_id": pyarrow.array(["u1", "u2", "u3"]),
        "created_at": pyarrow.array(ORDERED, pyarrow.timestamp("us", "UTC")),
        "subtotal_price": pyarrow.array(PRICES, pyarrow.decimal128(12, 2)),
    }
    return pyarrow.table({**given, **columns})


def both(sessions: object, orders: object) -> list[pyarrow.Table]:
    result = apportion.attribute(sessions, orders, **SETTINGS)
    return [result.report.to_pyarrow(), result.credits.to_pyarrow()]


EXPECTED: list[pyarrow.Table] = []


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[pyarrow.Table]:
    """The answer for the plain types, from files."""
    folder: Path = tmp_path_factory.mktemp("plain")
    pyarrow.parquet.write_table(sessions(), folder / "sessions.parquet")
    pyarrow.parquet.write_table(orders(), folder / "orders.parquet")
    answer = both(folder / "sessions.parquet", folder / "orders.parquet")
    assert sum(answer[1]["amount"].to_pylist()) == sum(PRICES)
    return answer


def column(table: str, name: str, type: pyarrow.DataType) -> pyarrow.Array:
    """A column of the plain tables in another type."""
    plain = (sessions if table == "sessions" else orders)()[name].combine_chunks()
    if pyarrow.types.is_dictionary(type):
        return plain.cast(type.value_type).dictionary_encode().cast(type)
    return plain.cast(type)


TEXTS = [
    pyarrow.large_string(),
    pyarrow.string_view(),
    pyarrow.dictionary(pyarrow.int8(), pyarrow.string()),
    pyarrow.dictionary(pyarrow.int32(), pyarrow.string()),
    pyarrow.dictionary(pyarrow.int32(), pyarrow.large_string()),
    pyarrow.dictionary(pyarrow.uint32(), pyarrow.string()),
    pyarrow.dictionary(pyarrow.int64(), pyarrow.string()),
]
TIMES_OF = [
    pyarrow.timestamp("s"),
    pyarrow.timestamp("ms", "Europe/Paris"),
    pyarrow.timestamp("us"),
    pyarrow.timestamp("ns"),
    pyarrow.timestamp("ns", "America/New_York"),
]
PRICES_OF = [
    pyarrow.decimal128(38, 4),
    pyarrow.decimal256(50, 2),
    pyarrow.decimal32(9, 2),
    pyarrow.decimal64(18, 2),
    pyarrow.float64(),
    pyarrow.float32(),
]
CASES = (
    [("sessions", name, type) for name in ["external_id", "user_external_id", "utm_source"] for type in TEXTS]
    + [("sessions", "external_id", pyarrow.binary())]
    + [(table, "created_at", type) for table in ["sessions", "orders"] for type in TIMES_OF]
    + [("orders", "subtotal_price", type) for type in PRICES_OF]
    + [("sessions", "duration", type) for type in [pyarrow.float32(), pyarrow.int8()]]
)


@pytest.mark.parametrize("spilled", [False, True], ids=["held", "spilled"])
@pytest.mark.parametrize(("table", "name", "type"), CASES, ids=[f"{t}-{n}-{d}" for t, n, d in CASES])
def test_a_column_of_pyarrow_may_have_any_type(
    table: str, name: str, type: pyarrow.DataType, spilled: bool, expected: list[pyarrow.Table]
) -> None:
    given = {"sessions": sessions(), "orders": orders()}
    given[table] = given[table].set_column(
        given[table].column_names.index(name), name, column(table, name, type)
    )
    if not spilled:
        assert both(**given) == expected
        return
    streams = {name: table.to_reader(max_chunksize=2) for name, table in given.items()}
    result = apportion.attribute(**streams, **SETTINGS, stream_memory="1B")
    assert [result.report.to_pyarrow(), result.credits.to_pyarrow()] == expected


def test_integers_are_minor_units_and_ids(expected: list[pyarrow.Table]) -> None:
    given = orders(
        subtotal_price=pyarrow.array([int(price * 100) for price in PRICES], pyarrow.int32()),
    )
    assert both(sessions(), given) == expected
    numbered = both(
        sessions(user_external_id=pyarrow.array([1, 2, 1, 2, 3, 1], pyarrow.uint16())),
        orders(user_external_id=pyarrow.array([1, 2, 3], pyarrow.int64())),
    )
    assert numbered[0] == expected[0]


def test_users_may_be_a_struct_and_codes_a_list(expected: list[pyarrow.Table]) -> None:
    user = pyarrow.StructArray.from_arrays([pyarrow.array(USERS)], ["external_id"])
    nested = sessions(user=user).drop_columns("user_external_id")
    for codes in [pyarrow.list_(pyarrow.string()), pyarrow.large_list(pyarrow.large_string())]:
        listed = orders(discount_codes=pyarrow.array([["a", "b"], None, []], codes))
        assert both(nested, listed) == expected
    vouchers = {"A": {"utm_source": "partner", "utm_medium": "affiliate"}}
    result = apportion.attribute(
        nested,
        orders(discount_codes=pyarrow.array([["A"], None, []])),
        vouchers=vouchers,
        **SETTINGS,
    )
    assert "partner" in result.report.to_pyarrow()["utm_source"].to_pylist()


def test_what_is_of_no_use_is_no_harm(expected: list[pyarrow.Table]) -> None:
    odd = {
        "app_nothing": pyarrow.nulls(6),
        "app_struct": pyarrow.array([{"a": 1}] * 6),
        "app_map": pyarrow.array([[("a", 1)]] * 6, pyarrow.map_(pyarrow.string(), pyarrow.int8())),
        "app_duration": pyarrow.array([timedelta(1)] * 6),
        "app_interval": pyarrow.array([(1, 2, 3)] * 6, pyarrow.month_day_nano_interval()),
        "app_time": pyarrow.array([1] * 6, pyarrow.time64("us")),
        "app_fixed": pyarrow.array([b"ab"] * 6, pyarrow.binary(2)),
        "app_half": pyarrow.array([1.5] * 6, pyarrow.float16()),
        "app_runs": pyarrow.RunEndEncodedArray.from_arrays([6], ["a"]),
    }
    assert both(sessions(**odd), orders()) == expected


def test_tables_without_rows_have_an_answer() -> None:
    result = apportion.attribute(sessions().slice(0, 0), orders().slice(0, 0), **SETTINGS)
    assert (len(result.report), len(result.credits), len(result.rejects)) == (0, 0, 0)
    unattributed = apportion.attribute(sessions().slice(0, 0), orders(), **SETTINGS)
    assert unattributed.report.to_pyarrow()["utm_source"].to_pylist() == ["(unattributed)"]


def test_slices_are_their_own_rows_only(expected: list[pyarrow.Table]) -> None:
    padded = pyarrow.concat_tables([sessions(), sessions(), sessions()]).combine_chunks()
    assert both(padded.slice(6, 6), orders()) == expected


def test_polars_types(expected: list[pyarrow.Table]) -> None:
    frame = polars.from_arrow(sessions())
    assert isinstance(frame, polars.DataFrame)
    frame = frame.with_columns(
        polars.col("user_external_id").cast(polars.Categorical),
        polars.col("utm_source").cast(polars.Enum(["google", "bing", "", " mail "])),
        polars.col("created_at").cast(polars.Datetime("ns", "Asia/Tokyo")),
        polars.col("duration").cast(polars.Float32),
    )
    given = polars.from_arrow(orders())
    assert isinstance(given, polars.DataFrame)
    given = given.with_columns(polars.col("subtotal_price").cast(polars.Decimal(30, 3)))
    assert both(frame, given) == expected
    assert both(frame.rechunk(), polars.concat([given[:1], given[1:]], rechunk=False)) == expected
    streamed = apportion.attribute(frame.__class__(frame), given, **SETTINGS, stream_memory="1B")
    assert streamed.report.to_pyarrow() == expected[0]


def test_pandas_types(expected: list[pyarrow.Table]) -> None:
    frame = sessions().to_pandas()
    typed = frame.assign(
        user_external_id=frame["user_external_id"].astype("category"),
        created_at=frame["created_at"].dt.tz_convert("Europe/Paris"),
        utm_source=frame["utm_source"].astype(object),
        duration=pandas.array([1, 20, 30, None, 15, 0], dtype="Int64"),
    )
    given = orders().to_pandas()
    assert both(typed, given) == expected
    indexed = typed.set_index(pandas.Index(range(10, 16), name="row"))
    assert both(indexed, given.assign(subtotal_price=[10.05, 20.0, 7.1])) == expected
    assert both(typed.set_index("external_id").reset_index(), given) == expected


def test_duckdb_types(expected: list[pyarrow.Table]) -> None:
    with duckdb.connect() as database:
        database.register("plain", sessions())
        database.register("bought", orders())
        relation = database.sql(
            "select external_id, user_external_id::enum('u1', 'u2', 'u3') as user_external_id,"
            " created_at, utm_source, duration::hugeint as duration from plain"
        )
        given = database.sql(
            "select * replace (subtotal_price::decimal(18, 3) as subtotal_price) from bought"
        )
        assert both(relation, given) == expected
        nested = database.sql(
            "select * exclude user_external_id, {'external_id': user_external_id} as user from plain"
        )
        assert both(nested, given) == expected
        cut = database.sql("select * replace (created_at::timestamp_s as created_at) from bought")
        database.sql("set timezone = 'UTC'")
        assert both(relation, cut) == expected


def test_days_and_flags_keep_their_meaning(tmp_path: Path) -> None:
    spend = pyarrow.table(
        {
            "date": pyarrow.array([date(2025, 3, 1)] * 2, pyarrow.date64()),
            "utm_source": ["google", "bing"],
            "utm_medium": ["none", "none"],
            "cost": pyarrow.array([Decimal("5.00"), Decimal("2.50")], pyarrow.decimal128(9, 2)),
        }
    )
    users = pyarrow.table(
        {
            "external_id": ["u1", "u2"],
            "created_at": pyarrow.array([date(2025, 1, 1)] * 2, pyarrow.date32()),
            "is_authenticated": [True, False],
        }
    )
    tables = {"spend": spend, "users": users}
    for name, table in tables.items():
        pyarrow.parquet.write_table(table, tmp_path / f"{name}.parquet")
    files = {name: tmp_path / f"{name}.parquet" for name in tables}
    answers = [apportion.attribute(sessions(), orders(), **given, **SETTINGS) for given in [tables, files]]
    assert answers[0].report.to_pyarrow() == answers[1].report.to_pyarrow()
    assert answers[0].persons.to_pyarrow() == answers[1].persons.to_pyarrow()
    assert Decimal("5.00") in answers[0].report.to_pyarrow()["cost"].to_pylist()
