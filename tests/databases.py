"""Loads runs into databases and reads them back with what others read them with.

Every test runs on every database that is there: PostgreSQL where PGHOST names a server, SQLite, and
DuckDB by its command and by Python's package. Called by databases.sh.
"""

import csv
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARY = ROOT / "target/debug/apportion"
SHOP = ROOT / "datasets/shop/apportion.toml"
TOOLS = ROOT / "target/database-tools/bin"

# What a text may be, and databases or spreadsheets have been known to make of it.
NASTY = ["it's \"quoted\" \\N \\", "tab\tnew\nline\r", "\U0001f6d2 \u00e9\u0301", "=cmd()|' /C calc'!A0", "a,b;c|d", "nul\0nul"]


def apportion(*arguments, check=True, environment=None, shop=True):
    """Runs the command; its standard error where it is to fail."""
    given = ["--config", SHOP, "--as-of", "2026-01-01"] if shop else []
    command = [BINARY, "run", *given, *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    if check and ran.returncode != 0:
        raise AssertionError(ran.stderr)
    if not check:
        assert ran.returncode == 2, (ran.returncode, ran.stderr)
        return ran.stderr
    return ran.stdout


class Postgres:
    """A database of its own on the server."""

    count = 0

    def __init__(self, _folder):
        Postgres.count += 1
        self.name = f"test_{Postgres.count}"
        self.psql(f"create database {self.name}", database="postgres")
        self.place = f"postgres:///{self.name}"
        self.environment = None

    def psql(self, sql, database=None):
        command = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "--csv", "-P", "null=\\N", "-d", database or self.name]
        # As bytes: a text's own line ends are not those of lines.
        ran = subprocess.run(command, input=sql.encode(), capture_output=True)
        assert ran.returncode == 0, ran.stderr.decode()
        return ran.stdout.decode()

    def rows(self, sql):
        read = list(csv.reader(io.StringIO(self.psql(sql, None), newline="")))[1:]
        return [tuple(None if cell == "\\N" else cell for cell in row) for row in read]

    def execute(self, sql):
        self.psql(sql)

    def text(self, text):
        return text.replace("\0", "\ufffd")

    amount = "amount"


class Sqlite:
    def __init__(self, folder):
        self.path = folder / "shop.sqlite"
        self.place = f"sqlite:{self.path}"
        self.environment = None

    def connection(self):
        return sqlite3.connect(self.path)

    def rows(self, sql):
        connection = self.connection()
        try:
            return [tuple(None if cell is None else str(cell) for cell in row) for row in connection.execute(sql)]
        finally:
            connection.close()

    def execute(self, sql):
        connection = self.connection()
        connection.executescript(sql)
        connection.close()

    def text(self, text):
        return text

    # There are no decimals: amounts are whole minor units.
    amount = "amount / cast(minor_units as real)"


class DuckDb:
    """With the command `duckdb`, or with Python's package alone."""

    def __init__(self, folder, command=True):
        self.path = folder / "shop.duckdb"
        self.place = f"duckdb:{self.path}" if command else str(self.path)
        programs = folder / "bin"
        programs.mkdir()
        program = "duckdb" if command else "python"
        source = TOOLS / program
        (programs / ("duckdb" if command else "python3")).symlink_to(source)
        if not command:
            # Through a link a virtual environment is not found.
            (programs / "python3").unlink()
            (programs / "python3").write_text(f'#!/bin/sh\nexec {source} "$@"\n')
            (programs / "python3").chmod(0o755)
        self.environment = {**os.environ, "PATH": str(programs)}

    def connection(self):
        import duckdb

        return duckdb.connect(str(self.path))

    def rows(self, sql):
        connection = self.connection()
        try:
            connection.execute("set timezone = 'UTC'")
            return [tuple(None if cell is None else str(cell) for cell in row) for row in connection.execute(sql).fetchall()]
        finally:
            connection.close()

    def execute(self, sql):
        connection = self.connection()
        connection.execute(sql)
        connection.close()

    def text(self, text):
        return text

    amount = "amount"


class PythonDuckDb(DuckDb):
    def __init__(self, folder):
        super().__init__(folder, command=False)


def everything(database):
    """Whatever is in the tables, in an order."""
    report = "select * from apportion_report order by 1, 2, 3, 4, 5, 6, 7"
    credits = "select * from apportion_credits order by 1, 6, 7"
    return database.rows(report), database.rows(credits)


def load(database, *arguments, place=None, **more):
    return apportion(*arguments, "-o", place or database.place, environment=database.environment, **more)


def same_amount(database, where, expected):
    [(amount,)] = database.rows(f"select sum({database.amount}) from apportion_report where {where}")
    assert abs(Decimal(amount) - Decimal(expected)) < Decimal("0.001"), (amount, expected)


def a_run_is_loaded_and_a_second_one_changes_nothing(database):
    load(database)
    report, credits = everything(database)
    table = list(csv.DictReader(io.StringIO(apportion("--format", "csv"))))
    assert len(report) == len(table)
    for model in {row["model"] for row in table}:
        total = sum(Decimal(row["amount"]) for row in table if row["model"] == model)
        same_amount(database, f"model = '{model}'", total)
        [(orders, shares)] = database.rows(
            f"select count(distinct order_external_id), sum(share) from apportion_credits where model = '{model}'"
        )
        assert orders == "773" and abs(float(shares) - 773) < 1e-6, (orders, shares)
    load(database)
    assert everything(database) == (report, credits)


def types_are_exact(database):
    load(database)
    if isinstance(database, Sqlite):
        sql = "select typeof(amount), typeof(share), typeof(order_at), typeof(is_first_conversion), typeof(position) from apportion_credits where touch_at is not null limit 1"
        assert database.rows(sql) == [("integer", "real", "text", "integer", "integer")]
        assert database.rows("select count(*) from apportion_credits where order_at <> strftime('%Y-%m-%dT%H:%M:%f', order_at) || substr(order_at, 24)") == [("0",)]
        return
    types = database.rows(
        "select column_name, data_type from information_schema.columns where table_name = 'apportion_credits' order by column_name"
    )
    found = {name: of.lower().split("(")[0] for name, of in types}
    assert found["amount"] in ("numeric", "decimal"), found["amount"]
    assert found["share"] in ("double precision", "double"), found["share"]
    assert found["order_at"] == "timestamp with time zone", found["order_at"]
    assert found["is_first_conversion"] == "boolean"
    assert found["position"] == "bigint"
    first = database.rows("select cast(order_at as text) from apportion_credits order by order_at limit 1")
    assert first[0][0].startswith("2025-"), first


def periods_stand_beside_each_other_and_are_replaced(database):
    january = ("--from", "2025-01-01", "--to", "2025-01-31")
    february = ("--from", "2025-02-01", "--to", "2025-02-28")
    load(database, *january, "--model", "linear")
    of_january = everything(database)
    load(database, *february, "--model", "linear")
    report, credits = everything(database)
    assert len(credits) > len(of_january[1]) and set(of_january[1]) < set(credits)
    both = apportion("--from", "2025-01-01", "--to", "2025-02-28", "--model", "linear", "--format", "csv")
    same_amount(database, "1 = 1", sum(Decimal(row["amount"]) for row in csv.DictReader(io.StringIO(both))))
    # A run of one month with other settings replaces that month, and of its own models only.
    load(database, *january, "--model", "linear", "--lookback", "7d")
    changed, _ = everything(database)
    assert changed != report and len(database.rows("select distinct period_from from apportion_report")) == 2
    load(database, *january, "--model", "linear")
    assert everything(database) == (report, credits)
    load(database, *january, "--model", "last_click")
    with_other, _ = everything(database)
    assert set(report) < set(with_other)
    # A longer period replaces what lies in it.
    load(database, "--from", "2025-01-01", "--to", "2025-03-31", "--model", "linear,last_click")
    assert len(database.rows("select distinct period_from, period_to from apportion_report")) == 1


def a_period_that_is_covered_in_part_is_refused_unless_rows_are_of_days(database):
    load(database, "--from", "2025-01-01", "--to", "2025-01-31", "--model", "linear")
    before = everything(database)
    window = ("--from", "2025-01-15", "--to", "2025-02-14", "--model", "linear")
    said = load(database, *window, check=False)
    assert "2025-01-01 to 2025-01-31" in said and "?replace=all" in said, said
    assert everything(database) == before
    load(database, *window, place=database.place + "?replace=all")
    assert database.rows("select distinct period_from, period_to from apportion_report") == [("2025-01-15", "2025-02-14")]
    days = database.place + "?prefix=days_"
    load(database, "--by", "channel,day", "--from", "2025-01-01", "--to", "2025-01-31", "--model", "linear", place=days)
    load(database, "--by", "channel,day", *window, place=days)
    days = database.rows("select distinct period_from, period_to, day from days_report order by 1")
    assert all(first == last == day for first, last, day in days)
    [(first, last, orders)] = database.rows("select min(period_from), max(period_to), sum(conversions) from days_report")
    assert (first[:7], last[:7]) == ("2025-01", "2025-02"), (first, last)
    [(credited,)] = database.rows("select sum(share) from days_credits")
    assert abs(float(orders) - float(credited)) < 1e-6


def tables_can_be_named_and_left_out(database):
    load(database, place=database.place + "?prefix=web_&tables=report")
    names = (
        "select name from sqlite_master where type = 'table'"
        if isinstance(database, Sqlite)
        else "select table_name from information_schema.tables where table_name like '%report' or table_name like '%credits'"
    )
    assert database.rows(names) == [("web_report",)]
    if not isinstance(database, Sqlite):
        load(database, place=database.place + "?schema=marketing")
        load(database, place=database.place + "?schema=marketing")
        assert database.rows("select count(*) from marketing.apportion_report") != [("0",)]


def other_columns_are_named_and_nothing_is_changed(database):
    load(database)
    # The report comes first, so that what fails at the credits has to be taken back.
    database.execute("drop table apportion_credits; create table apportion_credits (model text, amount float, note text)")
    report = database.rows("select * from apportion_report order by 1, 2, 3, 4, 5, 6, 7")
    said = load(database, "--lookback", "1d", check=False)
    assert "`note`" in said and "`touch_external_id`" in said and "`amount` is " in said, said
    assert "?prefix=" in said
    assert database.rows("select * from apportion_report order by 1, 2, 3, 4, 5, 6, 7") == report
    said = load(database, "--by", "channel", check=False)
    assert "it lacks `channel`" in said and "it has besides `utm_source`" in said, said


def any_text_is_held(database):
    with tempfile.TemporaryDirectory() as folder:
        items = Path(folder) / "items.ndjson"
        with items.open("w") as lines:
            for number, text in enumerate(NASTY):
                user = {"external_id": f"user '{number}' {text}"}
                at = f"2025-01-0{number + 1}T10:00:00.123456Z"
                session = {"external_id": f"s{number}", "created_at": at, "utm_source": text, "utm_medium": "m"}
                order = {"external_id": f"o{number} {text}", "created_at": at, "subtotal_price": 1000 + number}
                lines.write(json.dumps({"kind": "session", "user": user, "session": session}) + "\n")
                lines.write(json.dumps({"kind": "order", "user": user, "order": order}) + "\n")
        load(database, "--items", items, "--as-of", "2026-01-01", "--currency", "EUR", "--model", "linear", shop=False)
    rows = database.rows("select utm_source, person, order_external_id from apportion_credits order by order_at")
    wanted = [(text.strip(), f"user '{number}' {text}", f"o{number} {text}") for number, text in enumerate(NASTY)]
    assert rows == [tuple(database.text(cell) for cell in row) for row in wanted], rows


def a_failed_proof_or_input_loads_nothing(database):
    load(database)
    before = everything(database)
    said = load(database, "--orders", "/nowhere/orders.parquet", check=False)
    assert "no orders file" in said
    assert everything(database) == before


def a_killed_load_leaves_what_was_there(database):
    if isinstance(database, DuckDb):
        return
    load(database)
    before = everything(database)
    # Somebody holds the table, so that the load waits in its middle.
    if isinstance(database, Postgres):
        holder = subprocess.Popen(["psql", "-X", "-q", "-d", database.name], stdin=subprocess.PIPE, text=True)
        holder.stdin.write("begin; lock table apportion_credits in access exclusive mode; select 1;\n")
        holder.stdin.flush()
    else:
        holder = database.connection()
        holder.execute("begin immediate")
    time.sleep(0.5)
    command = [BINARY, "run", "--config", SHOP, "--lookback", "1d", "--quiet", "-o", database.place]
    loader = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    time.sleep(4)
    assert loader.poll() is None, loader.stderr.read()
    loader.send_signal(signal.SIGKILL)
    loader.wait()
    if isinstance(database, Postgres):
        holder.communicate("rollback;\n")
    else:
        holder.rollback()
        holder.close()
    assert everything(database) == before
    load(database)
    assert everything(database) == before


def files_and_the_database_appear_together_or_not_at_all(database):
    with tempfile.TemporaryDirectory() as folder:
        credits = Path(folder) / "credits.csv"
        load(database, "--credits", credits)
        written = list(csv.reader(credits.open(newline="")))[1:]
        [(rows,)] = database.rows("select count(*) from apportion_credits")
        assert int(rows) == len(written)
        credits.unlink()
        database.execute("drop table apportion_report; create table apportion_report (x integer)")
        load(database, "--credits", credits, check=False)
        assert not credits.exists()


def a_password_is_never_said(database):
    if not isinstance(database, Postgres):
        return
    wrong = "postgres://loader:s3cret@{PGHOST}:{PGPORT}/postgres".format(**os.environ)
    said = load(database, place=wrong, check=False)
    assert "password authentication failed" in said and "s3cret" not in said and "PGPASSWORD" in said, said
    for more in (["--wide"], ["--format", "csv"], ["--credits", wrong]):
        assert "s3cret" not in load(database, *more, place=wrong, check=False)
    refused = subprocess.run([BINARY, "effects", "--config", SHOP, "-o", wrong], capture_output=True, text=True)
    assert refused.returncode == 2 and "s3cret" not in refused.stderr and "apportion run -o" in refused.stderr
    # A right one, in the address and beside a kept run and a summary.
    password = os.environ["PGPASSWORD"]
    from urllib.parse import quote

    right = "postgres://loader:{}@{PGHOST}:{PGPORT}/".format(quote(password, safe=""), **os.environ) + database.name
    bare = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run(
            [BINARY, "run", "--config", SHOP, "-o", right, "--keep", f"{folder}/kept", "--summary", f"{folder}/summary.json", "--stats"],
            capture_output=True,
            text=True,
            env=bare,
        )
        assert ran.returncode == 0, ran.stderr
        for file in [*Path(folder).rglob("*")]:
            if file.is_file():
                content = file.read_bytes()
                assert password.encode() not in content and quote(password, safe="").encode() not in content, file
        assert password not in ran.stderr + ran.stdout and quote(password, safe="") not in ran.stderr
        assert f"postgres://loader@{os.environ['PGHOST']}" in ran.stderr, ran.stderr
        # From a workspace file, too, and where that file is broken.
        workspace = Path(folder) / "apportion.toml"
        workspace.write_text(SHOP.read_text().replace('"', f'"{SHOP.parent}/', 2) + f'\noutput = "{right}" x\n')
        broken = subprocess.run([BINARY, "run", "--config", workspace], capture_output=True, text=True)
        assert broken.returncode == 2 and quote(password, safe="") not in broken.stderr, broken.stderr
    nobody = load(database, place="postgres://loader@127.0.0.1:1/x", check=False)
    assert "127.0.0.1:1" in nobody, nobody
    lacking = subprocess.run([BINARY, "run", "--config", SHOP, "-o", wrong.replace(":s3cret", "")], capture_output=True, text=True, env=bare)
    assert "PGPASSWORD" in lacking.stderr, lacking.stderr


def two_loads_at_once_are_one_after_the_other(database):
    if isinstance(database, DuckDb):
        return
    command = [BINARY, "run", "--config", SHOP, "--as-of", "2026-01-01", "--quiet", "-o", database.place]
    for loader in [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]:
        _, said = loader.communicate()
        assert loader.returncode == 0, said
    at_once = everything(database)
    load(database)
    assert everything(database) == at_once


def what_is_no_database_is_said(database):
    if isinstance(database, Postgres):
        return
    database.path.write_text("not a database at all, but a file that is long enough to be one")
    said = load(database, check=False)
    assert "not" in said and "database" in said, said
    database.path.unlink()
    said = load(database, "--orders", "/nowhere", check=False)
    assert not database.path.exists()
    said = load(database, place=database.place.replace("shop.", "nowhere/shop."), check=False)
    assert "nowhere" in said, said
    if isinstance(database, DuckDb):
        shutil.rmtree(database.environment["PATH"])
        assert "pip install duckdb" in load(database, check=False)


TESTS = [
    a_run_is_loaded_and_a_second_one_changes_nothing,
    types_are_exact,
    periods_stand_beside_each_other_and_are_replaced,
    a_period_that_is_covered_in_part_is_refused_unless_rows_are_of_days,
    tables_can_be_named_and_left_out,
    other_columns_are_named_and_nothing_is_changed,
    any_text_is_held,
    a_failed_proof_or_input_loads_nothing,
    a_killed_load_leaves_what_was_there,
    files_and_the_database_appear_together_or_not_at_all,
    a_password_is_never_said,
    two_loads_at_once_are_one_after_the_other,
    what_is_no_database_is_said,
]


def main():
    databases = [Sqlite]
    if "PGHOST" in os.environ:
        databases.append(Postgres)
    if (TOOLS / "duckdb").exists():
        databases += [DuckDb, PythonDuckDb]
    wanted = sys.argv[1:]
    for test in TESTS:
        for database in databases:
            if wanted and not any(word in f"{test.__name__} {database.__name__}" for word in wanted):
                continue
            with tempfile.TemporaryDirectory() as folder:
                print(f"{database.__name__:<13} {test.__name__.replace('_', ' ')}", flush=True)
                test(database(Path(folder)))


main()
