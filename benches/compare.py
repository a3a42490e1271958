#!/usr/bin/env python3
"""Run apportion, DuckDB and Polars over the same simulated exports, and print what each took.

    pip install -r benches/requirements.txt
    python3 benches/compare.py                        # every case, 10 million sessions
    python3 benches/compare.py --sessions 1000000 --cases aliased bot

Every contestant is a process of its own, started fresh, reading Parquet and ending with conversions
and revenue by source and medium: aliases resolved, 30 days of lookback, a touch may serve several
orders; last click, linear, and time decay of seven days. Wall time is the best of the repetitions,
memory the peak resident size. Answers are compared: conversions to 1e-9, amounts to the cent that
apportion divides and the others do not.

The release binary is built if need be. Data is kept in --data and made once.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARY = ROOT / "target/release/apportion"
MODELS = ("last_click", "linear", "time_decay")
SEVEN = MODELS + ("first_click", "last_non_direct", "position_based", "j_curve")
ALIASED = ("--alias-share", 0.25, "--id-length", 20, "--tail", 1.1, "--busiest", 5000)
DAYS = 30
HALF_LIFE = 7 * 86_400.0

DUCKDB = """
with alias as (
    {alias}
), orders as (
    select o.external_id as order_id, coalesce(a.person, o.user_external_id) as person,
           o.created_at as order_at, o.subtotal_price::double as amount
    from read_parquet('{orders}') as o left join alias as a on a.user_id = o.user_external_id
), sessions as (
    select s.external_id as session_id, s.user_external_id,
           coalesce(a.person, s.user_external_id) as person, s.created_at as touch_at, coalesce(s.utm_source, 'direct') as utm_source,
           case when s.utm_source is null then 'none' else coalesce(s.utm_medium, 'none') end as utm_medium
    from read_parquet('{sessions}') as s left join alias as a on a.user_id = s.user_external_id
), touches as (
    select order_id, order_at, amount, person, session_id, user_external_id, touch_at, utm_source,
           utm_medium, pow(2.0, -(epoch_us(order_at) - epoch_us(touch_at)) / 1e6 / {half_life}) as decay
    from orders join sessions using (person)
    where touch_at <= order_at and touch_at >= order_at - interval {days} day
), weighed as (
    select order_id, order_at, amount, person, session_id, user_external_id, touch_at, utm_source,
           utm_medium, case when row_number() over (partition by order_id order by touch_at desc, session_id desc) = 1
                then 1.0::double else 0.0::double end as last_click,
           1.0::double / count(*) over (partition by order_id) as linear,
           decay / sum(decay) over (partition by order_id) as time_decay
    from touches
)
"""

DUCKDB_REPORT = DUCKDB + """
select utm_source, utm_medium,
       sum(last_click), sum(last_click * amount),
       sum(linear), sum(linear * amount),
       sum(time_decay), sum(time_decay * amount), count(*)
from weighed group by utm_source, utm_medium
"""

# The columns that apportion writes, but for those that the export has nothing for.
DUCKDB_CREDITS = DUCKDB + """
, placed as (
    select weighed.*, count(*) over (partition by order_id) as touches,
           row_number() over (partition by order_id order by touch_at, session_id) as position,
           order_at = min(order_at) over (partition by person) as is_first_conversion
    from weighed
)
select order_id as order_external_id, session_id as touch_external_id, 'session' as touch_kind, person,
       user_external_id, model, position, touches,
       case when touches = 1 then 'alone' when position = 1 then 'initiator'
            when position = touches then 'closer' else 'assisting' end as role,
       share, share * amount as amount, 'EUR' as currency, touch_at, order_at,
       epoch_us(order_at) // 1000000 - epoch_us(touch_at) // 1000000 as time_to_conversion,
       is_first_conversion, utm_source, utm_medium
from placed,
     lateral (values ('last_click', last_click), ('linear', linear), ('time_decay', time_decay)) as m (model, share)
"""


def duckdb_query(query, folder):
    alias = folder / "user_aliases.parquet"
    # An alias of an alias is as far as they go in these exports.
    rows = (f"select one.from_user_external_id as user_id, "
            f"coalesce(next.to_user_external_id, one.to_user_external_id) as person "
            f"from read_parquet('{alias}') as one left join read_parquet('{alias}') as next "
            f"on next.from_user_external_id = one.to_user_external_id"
            if alias.exists() else "select null::varchar as user_id, null::varchar as person where false")
    return query.format(alias=rows, orders=folder / "orders.parquet", sessions=folder / "sessions.parquet",
                        days=DAYS, half_life=HALF_LIFE)


def run_duckdb(folder, threads, credits=None):
    import duckdb

    connection = duckdb.connect(config={"threads": threads, "preserve_insertion_order": False})
    if credits:
        query = duckdb_query(DUCKDB_CREDITS, folder)
        connection.execute(f"copy ({query}) to '{credits}' (format parquet, compression zstd)")
        return []
    return connection.execute(duckdb_query(DUCKDB_REPORT, folder)).fetchall()


def run_polars(folder, threads):
    os.environ["POLARS_MAX_THREADS"] = str(threads)
    import polars as pl

    def person(frame):
        path = folder / "user_aliases.parquet"
        if not path.exists():
            return frame.rename({"user_external_id": "person"})
        alias = pl.scan_parquet(path).select(user_external_id="from_user_external_id",
                                             person="to_user_external_id")
        # An alias of an alias is as far as they go in these exports.
        alias = (alias.join(alias.rename({"user_external_id": "person", "person": "end"}), on="person", how="left")
                 .select("user_external_id", person=pl.coalesce("end", "person")))
        return (frame.join(alias, on="user_external_id", how="left")
                .with_columns(pl.coalesce("person", "user_external_id").alias("person"))
                .drop("user_external_id"))

    orders = person(pl.scan_parquet(folder / "orders.parquet").select(
        "user_external_id", order_id="external_id", order_at="created_at",
        amount=pl.col("subtotal_price").cast(pl.Float64)))
    sessions = person(pl.scan_parquet(folder / "sessions.parquet").select(
        "user_external_id", session_id="external_id", touch_at="created_at",
        utm_source=pl.col("utm_source").fill_null("direct"),
        utm_medium=pl.when(pl.col("utm_source").is_null()).then(pl.lit("none"))
        .otherwise(pl.col("utm_medium").fill_null("none"))))
    age = (pl.col("order_at") - pl.col("touch_at")).dt.total_microseconds() / 1e6
    touches = (orders.join(sessions, on="person")
               .filter((pl.col("touch_at") <= pl.col("order_at"))
                       & (pl.col("touch_at") >= pl.col("order_at") - pl.duration(days=DAYS)))
               .with_columns(decay=pl.lit(2.0).pow(-age / HALF_LIFE)))
    # Whole columns once an order, then joined back: quicker than a window for each.
    of_order = touches.group_by("order_id").agg(
        touches=pl.len(), total=pl.col("decay").sum(),
        last=pl.col("session_id").sort_by("touch_at", "session_id").last())
    weighed = touches.join(of_order, on="order_id").with_columns(
        last_click=(pl.col("session_id") == pl.col("last")).cast(pl.Float64),
        linear=1.0 / pl.col("touches"), time_decay=pl.col("decay") / pl.col("total"))
    report = weighed.group_by("utm_source", "utm_medium").agg(
        *[expression for model in MODELS for expression in (
            pl.col(model).sum(), (pl.col(model) * pl.col("amount")).sum().alias(f"{model}_amount"))],
        pl.len().alias("touches"))
    return report.collect(engine="streaming").rows()


def peer(arguments):
    """The process of a peer: runs its query and prints the rows as JSON."""
    folder = Path(arguments.folder)
    if arguments.peer == "duckdb":
        rows = run_duckdb(folder, arguments.threads, arguments.credits)
    else:
        rows = run_polars(folder, arguments.threads)
    json.dump([list(row) for row in rows], sys.stdout)


class Measured:
    """How long a process took, how much memory it had at most, and what it printed."""

    def __init__(self, seconds, memory, printed, failed):
        self.seconds, self.memory, self.printed, self.failed = seconds, memory, printed, failed


def measure(command, repeat, limit):
    best = None
    for _ in range(repeat):
        with tempfile.TemporaryFile() as printed:
            start = time.monotonic()
            process = subprocess.Popen(command, stdout=printed, stderr=subprocess.DEVNULL)
            seconds, failed = None, None
            while True:
                pid, status, usage = os.wait4(process.pid, os.WNOHANG)
                seconds = time.monotonic() - start
                if pid:
                    failed = f"exit {os.waitstatus_to_exitcode(status)}" if status else None
                    break
                if seconds > limit:
                    process.kill()
                    _, _, usage = os.wait4(process.pid, 0)
                    failed = f"stopped after {limit} s"
                    break
                time.sleep(0.002)
            process.returncode = 0
            printed.seek(0)
            one = Measured(seconds, usage.ru_maxrss / 1024, printed.read(), failed)
        if failed:
            return one
        if best is None or one.seconds < best.seconds:
            best = one
    return best


def apportion(folder, threads, models=MODELS, more=()):
    command = [BINARY, "run", "--sessions", folder / "sessions.parquet", "--orders", folder / "orders.parquet",
               "--lookback", f"{DAYS}d", "--overlap", "--model", ",".join(models), "--threads", threads,
               "--currency", "EUR", "--format", "json", "--quiet", *more]
    if (folder / "user_aliases.parquet").exists():
        command += ["--aliases", folder / "user_aliases.parquet"]
    return [str(part) for part in command]


def peer_command(name, folder, threads, *more):
    command = [sys.executable, __file__, "--peer", name, "--folder", folder, "--threads", threads, *more]
    return [str(part) for part in command]


def check(ours, theirs, name):
    """Conversions agree to 1e-9, amounts within half a cent a touch."""
    report = {(row["model"], row["utm_source"], row["utm_medium"]): row for row in json.loads(ours.printed)}
    for source, medium, *figures in json.loads(theirs.printed):
        touches = figures[-1]
        for model, (conversions, amount) in zip(MODELS, zip(figures[0::2], figures[1::2])):
            row = report[model, source, medium]
            if abs(row["conversions"] - conversions) > 1e-9 * max(1.0, conversions):
                sys.exit(f"{name} says {conversions} conversions of {source} / {medium} by {model}, "
                         f"apportion {row['conversions']}")
            if abs(float(row["amount"]) - amount) > 0.005 * touches + 1e-9 * abs(amount):
                sys.exit(f"{name} credits {amount} to {source} / {medium} by {model}, apportion {row['amount']}")


def generated(arguments, name, *options):
    folder = arguments.data / f"{name}-{arguments.sessions}"
    if not (folder / "sessions.parquet").exists():
        sessions = arguments.sessions
        print(f"making {folder}", file=sys.stderr)
        subprocess.run([BINARY, "simulate", "--sessions", str(sessions), "--users", str(sessions // 8),
                        "--minimal", "--quiet", "-o", folder, *map(str, options)], check=True)
    return folder


# Ten times the sessions: some minutes to make, and three gigabytes.
LARGE = ("beyond", "growth")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=10_000_000, metavar="N")
    parser.add_argument("--threads", type=int, default=2, metavar="N")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="repetitions, of which the best counts")
    parser.add_argument("--limit", type=int, default=300, metavar="SECONDS", help="what a process may take")
    parser.add_argument("--cases", nargs="*", choices=sorted(CASES), default=[case for case in CASES if case not in LARGE],
                        metavar="CASE",
                        help=f"some of: {', '.join(CASES)}")
    parser.add_argument("--data", type=Path, default=ROOT / "target/worlds", metavar="FOLDER")
    parser.add_argument("--memory-limit", type=int, default=2048, metavar="MIB",
                        help="what the cases beyond and growth keep within (default: %(default)s)")
    parser.add_argument("--plot", type=Path, metavar="PATH.svg", help="where the case growth is drawn")
    parser.add_argument("--peer", choices=("duckdb", "polars"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--credits", help=argparse.SUPPRESS)
    return parser.parse_args()


class Table:
    """Rows of figures, printed as they come in."""

    def __init__(self):
        self.row("case", "what", "seconds", "MiB", "ratio", "bar")
        self.row("-" * 10, "-" * 30, "-" * 8, "-" * 7, "-" * 7, "-" * 7)

    def row(self, case, what, seconds, memory, ratio="", bar=""):
        print(f"{case:<10}  {what:<30}  {seconds:>8}  {memory:>7}  {ratio:>7}  {bar:>7}", flush=True)

    def measured(self, case, what, one, ratio="", bar=""):
        if one.failed:
            self.row(case, f"{what}: {one.failed}", f"{one.seconds:.2f}", f"{one.memory:.0f}")
        else:
            self.row(case, what, f"{one.seconds:.2f}", f"{one.memory:.0f}", ratio, bar)

    def ratio(self, case, what, value, bar):
        self.row(case, what, "", "", f"{value:.3f}", bar)


def against_peers(run, table, case, folder, time_bar, memory_bar):
    ours = measure(apportion(folder, run.threads), run.repeat, run.limit)
    table.measured(case, "apportion", ours)
    peers = {}
    for name in ("duckdb", "polars"):
        one = measure(peer_command(name, folder, run.threads), run.repeat, run.limit)
        table.measured(case, name, one)
        if not one.failed:
            check(ours, one, name)
            peers[name] = one
    if peers:
        quickest = min(one.seconds for one in peers.values())
        smallest = min(one.memory for one in peers.values())
        table.ratio(case, "time, of the quicker peer's", ours.seconds / quickest, time_bar)
        table.ratio(case, "memory, of the smaller peer's", ours.memory / smallest, memory_bar)
    return ours


def aliased_export(run):
    """A quarter of the sessions under an anonymous id; persons from one session to tens of thousands."""
    return generated(run, "aliased", *ALIASED, "--orders", run.sessions // 25)


def aliased(run, table):
    folder = aliased_export(run)
    against_peers(run, table, "aliased", folder, "1/10", "1/8")


def plain(run, table):
    folder = generated(run, "plain", "--orders", run.sessions * 3 // 100, "--alias-share", 0, "--id-length", 8)
    against_peers(run, table, "plain", folder, "1/3", "1/2")


def floor(run, table):
    folder = aliased_export(run)
    built = subprocess.run(["cargo", "bench", "--bench", "floor", "--no-run", "--message-format", "json"],
                           cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = [json.loads(line).get("executable") for line in built.splitlines() if line.startswith("{")]
    binary = [path for path in found if path and "floor" in path][-1]
    files = [folder / f"{name}.parquet" for name in ("orders", "user_aliases", "sessions")]
    decoded = measure([binary, str(run.threads), *map(str, files)], run.repeat, run.limit)
    ours = measure(apportion(folder, run.threads), run.repeat, run.limit)
    table.measured("floor", "decoding alone", decoded)
    table.measured("floor", "apportion", ours)
    table.ratio("floor", "time, of decoding alone", ours.seconds / decoded.seconds, "2")


def bot(run, table):
    without = measure(apportion(aliased_export(run), run.threads), run.repeat, run.limit)
    folder = generated(run, "bot", *ALIASED, "--orders", run.sessions // 25, "--bots", 1)
    with_bot = measure(apportion(folder, run.threads), run.repeat, run.limit)
    table.measured("bot", "apportion without the bot", without)
    table.measured("bot", "apportion with it", with_bot)
    for name in ("duckdb", "polars"):
        table.measured("bot", name, measure(peer_command(name, folder, run.threads), 1, run.limit))
    table.ratio("bot", "time with it", with_bot.seconds / without.seconds, "1.3")
    table.ratio("bot", "memory with it", with_bot.memory / without.memory, "alike")


def seven(run, table):
    folder = aliased_export(run)
    three = measure(apportion(folder, run.threads), run.repeat, run.limit)
    more = measure(apportion(folder, run.threads, SEVEN), run.repeat, run.limit)
    table.measured("seven", "three models", three)
    table.measured("seven", "seven models", more)
    table.ratio("seven", "time of seven", more.seconds / three.seconds, "1.2")


def credits(run, table):
    folder = aliased_export(run)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "credits.parquet"
        ours = measure(apportion(folder, run.threads, more=("--credits", path)), run.repeat, run.limit)
        theirs = measure(peer_command("duckdb", folder, run.threads, "--credits", path), run.repeat, run.limit)
    table.measured("credits", "apportion", ours)
    table.measured("credits", "duckdb", theirs)
    table.ratio("credits", "time, of DuckDB's", ours.seconds / theirs.seconds, "1/4")


def threads(run, table):
    folder = aliased_export(run)
    one = measure(apportion(folder, 1), run.repeat, run.limit)
    two = measure(apportion(folder, 2), run.repeat, run.limit)
    table.measured("threads", "one thread", one)
    table.measured("threads", "two threads", two)
    table.ratio("threads", "one, of two", one.seconds / two.seconds, "1.7")


def cold(run, table):
    small = argparse.Namespace(**{**vars(run), "sessions": run.sessions // 10})
    one = measure(apportion(aliased_export(small), run.threads), run.repeat, run.limit)
    table.measured("cold", f"{small.sessions:,} sessions", one, "", "0.5 s")


def scaled(run, factor):
    """The same run over another number of sessions."""
    return argparse.Namespace(**{**vars(run), "sessions": int(run.sessions * factor)})


def beyond(run, table):
    """Ten times the sessions, more than the memory limit holds: the same bytes as without a limit."""
    more = scaled(run, 10)
    limit = ("--memory-limit", f"{run.memory_limit}MiB")
    once = measure(apportion(aliased_export(run), run.threads), run.repeat, run.limit)
    within = measure(apportion(aliased_export(more), run.threads, more=limit), 1, run.limit)
    without = measure(apportion(aliased_export(more), run.threads), 1, run.limit)
    if within.printed != without.printed:
        sys.exit("with --memory-limit the report is another one")
    table.measured("beyond", f"{more.sessions:,} sessions within {run.memory_limit} MiB", within, "",
                   f"{run.memory_limit} MiB")
    table.measured("beyond", "without a limit", without)
    table.ratio("beyond", f"time, of {run.sessions:,} sessions", within.seconds / once.seconds, "12")


def growth(run, table):
    """A tenth of the sessions, as many, and ten times as many, within the memory limit."""
    sizes, found = [scaled(run, factor) for factor in (0.1, 1, 10)], []
    for size in sizes:
        limit = ("--memory-limit", f"{run.memory_limit}MiB")
        one = measure(apportion(aliased_export(size), run.threads, more=limit), run.repeat, run.limit)
        table.measured("growth", f"{size.sessions:,} sessions", one)
        found.append((size.sessions, one.seconds, one.memory))
    if run.plot:
        plot(found, run)


def plot(found, run):
    import matplotlib
    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams["svg.hashsalt"] = "growth"
    sessions, seconds, mebibytes = zip(*found)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    left.loglog(sessions, seconds, "o-")
    left.loglog(sessions, [seconds[0] * one / sessions[0] for one in sessions], ":", color="grey")
    left.set(xlabel="sessions", ylabel="seconds", title="time; dotted: in proportion")
    right.loglog(sessions, mebibytes, "o-")
    right.axhline(run.memory_limit, linestyle=":", color="grey")
    right.set(xlabel="sessions", ylabel="MiB", title="peak memory; dotted: the limit")
    figure.savefig(run.plot, metadata={"Date": None})


CASES = {"aliased": aliased, "plain": plain, "floor": floor, "bot": bot, "seven": seven, "credits": credits,
         "threads": threads, "cold": cold, "beyond": beyond, "growth": growth}


def main():
    run = arguments()
    if run.peer:
        return peer(run)
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, check=True)
    table = Table()
    for case in run.cases:
        CASES[case](run, table)


if __name__ == "__main__":
    main()
