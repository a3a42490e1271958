#!/usr/bin/env python3
"""A night of a store: what a run takes that works out again only what has changed, of one in full.

    pip install -r benches/requirements.txt
    python3 benches/store.py                          # 10 million sessions, 1 % of them new
    python3 benches/store.py --sessions 1000000 --data /tmp/worlds

An export is simulated once and cut by time: all but the last part of it is put in a store, then the rest
arrives as files of its own, and a run goes on from the first. A run in full into a store of its own says
what the answer is: reports are compared byte by byte, credits and journeys file by file.
"""

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARY = ROOT / "target/release/apportion"
TABLES = ("sessions", "orders", "user_aliases")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=10_000_000)
    parser.add_argument("--new", type=float, default=0.01, help="the part of the rows that is new (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=Path("target/worlds"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser.parse_args()


def world(asked):
    """The folder of the export, cut in two by time."""
    folder = asked.data / f"nights-{asked.sessions}-{asked.new}"
    if (folder / "done").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    whole = folder / "whole"
    subprocess.run([BINARY, "simulate", "--sessions", str(asked.sessions), "--users", str(asked.sessions // 8),
                    "--orders", str(asked.sessions // 25), "--minimal", "--alias-share", "0.25", "--id-length", "20",
                    "--tail", "1.1", "--busiest", "5000", "--quiet", "-o", whole], check=True)
    import duckdb

    sessions = f"read_parquet('{whole / 'sessions.parquet'}')"
    cut = duckdb.sql(f"select quantile_disc(created_at, {1 - asked.new})::varchar from {sessions}").fetchall()[0][0]
    for table in TABLES:
        path = whole / f"{table}.parquet"
        columns = [row[0] for row in duckdb.sql(f"describe select * from '{path}'").fetchall()]
        # An alias comes with the first session of whom it is about.
        first = (f"(select user_external_id as id, min(created_at) as first_at from {sessions} group by 1)")
        source = f"select a.* from '{path}' as a"
        when = "a.created_at"
        if "created_at" not in columns:
            source += f" left join {first} as f on f.id = a.from_user_external_id"
            when = "f.first_at"
        for part, condition in (("before", f"{when} is null or {when} < '{cut}'"), ("after", f"{when} >= '{cut}'")):
            (folder / part / table).mkdir(parents=True, exist_ok=True)
            out = folder / part / table / f"{part}.parquet"
            duckdb.sql(f"copy ({source} where {condition}) to '{out}' (format parquet, compression zstd)")
    (folder / "done").touch()
    return folder


def run(asked, export, store, *more):
    """Runs into a store: seconds, and MiB at most."""
    command = [BINARY, "run", "--quiet", "--threads", str(asked.threads), "--lookback", "30d", "--overlap",
               "--sessions", export / "sessions", "--orders", export / "orders", "--aliases", export / "user_aliases",
               "--as-of", "2100-01-01", "--store", store, "--format", "csv", "-o", f"{store}.csv", *more]
    start = time.monotonic()
    process = subprocess.Popen([str(part) for part in command])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"apportion ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - start, usage.ru_maxrss / 1024


def current(store):
    return store / "runs" / (store / "current").read_text().strip()


def main():
    asked = arguments()
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
    folder = world(asked)
    export, nightly, fresh = folder / "export", folder / "nightly", folder / "fresh"
    for place in (export, nightly, fresh):
        shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder / "before", export)
    rows = [("first run, in full", *run(asked, export, nightly))]
    time.sleep(3)  # a file that was written a moment before it was looked at has to be read to be known
    for table in TABLES:
        shutil.copy(folder / "after" / table / "after.parquet", export / table / "after.parquet")
    rows.append(("next run, what changed", *run(asked, export, nightly)))
    rows.append(("next run, in full", *run(asked, export, fresh)))
    same = Path(f"{nightly}.csv").read_bytes() == Path(f"{fresh}.csv").read_bytes()
    ours, theirs = current(nightly), current(fresh)
    for frame in ("credits", "journeys"):
        names = sorted(path.name for path in (theirs / frame).iterdir())
        _, differ, missing = filecmp.cmpfiles(ours / frame, theirs / frame, names, shallow=False)
        same = same and not differ and not missing
    for what, seconds, memory in rows:
        print(f"{what:<24} {seconds:8.2f} s {memory:8.0f} MiB")
    print(f"{'of the time in full':<24} {rows[1][1] / rows[2][1]:8.3f}   wanted 0.1")
    print("the answers are the same" if same else "THE ANSWERS DIFFER")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
