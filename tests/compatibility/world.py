"""The small world of the fixtures, as typed Python values, and where its files go.

Every writer's script calls this, so that what differs between fixtures is the writer alone. Times are
whole seconds, ids whole numbers, and amounts have two decimals, so that every type can hold them.
"""

import csv
import datetime
import decimal
import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent
TIMES = {"created_at", "updated_at", "cancelled_at", "signed_up_at", "user_created_at", "user_signed_up_at"}
FLAGS = {"is_authenticated", "user_is_authenticated", "to_user_is_authenticated"}
MONEY = {"subtotal_price", "refunded_price"}
LISTS = {"discount_codes"}
NUMBERS = {"duration"}
IDS = {"external_id", "user_external_id", "from_user_external_id", "to_user_external_id"}
TABLES = ["sessions", "orders", "users", "user_aliases"]
USER = ["user_external_id", "user_created_at", "user_is_authenticated", "user_signed_up_at"]


def value(column, text):
    """A cell as Python says it; an empty one is None."""
    if text == "":
        return None
    if column in TIMES:
        return datetime.datetime.fromisoformat(text)
    if column in FLAGS:
        return text == "true"
    if column in MONEY:
        return decimal.Decimal(text)
    if column in LISTS:
        return text.split(",")
    if column in NUMBERS:
        return int(text)
    return text


def rows(table):
    """The rows of a table, each a dictionary."""
    with open(HERE / "world" / f"{table}.csv", newline="", encoding="utf-8") as file:
        return [{name: value(name, cell) for name, cell in row.items()} for row in csv.DictReader(file)]


def columns(table):
    """The columns of a table, each a list."""
    all_rows = rows(table)
    return {name: [row[name] for row in all_rows] for name in all_rows[0]}


def nested(table):
    """The rows with what is said of their user in a struct of its own."""
    outside = [{name: cell for name, cell in row.items() if name not in USER} for row in rows(table)]
    inside = [{name.removeprefix("user_"): row[name] for name in USER} for row in rows(table)]
    return [{**row, "user": user} for row, user in zip(outside, inside)]


def fresh(writer):
    """The empty folder of a writer's fixtures."""
    folder = HERE / "files" / writer
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def place(folder, variant, table):
    """Where a table of a fixture goes."""
    path = folder / variant / f"{table}.parquet"
    path.parent.mkdir(exist_ok=True)
    return path
