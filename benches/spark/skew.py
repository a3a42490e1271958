#!/usr/bin/env python3
"""How much more the largest bucket holds than an even one, for several numbers of buckets.

Simulates a world with the command line, joins its user ids as a run on Spark does, puts every component
into a bucket by a hash and looks at the largest. A bucket is a task's whole work, so the largest one says
how long the last task works alone, and its share how much of the rows one task must hold.

    python benches/spark/skew.py --apportion target/release/apportion --sessions 1000000
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy
import pyarrow
import pyarrow.compute
import pyarrow.parquet

from apportion import _native

BUCKETS = [200, 500, 1_000, 2_000, 5_000, 10_000, 20_000]


def mixed(numbers: numpy.ndarray) -> numpy.ndarray:
    """Numbers that look drawn at random, one for each (Steele et al. 2014, SplitMix)."""
    mixed = numbers.astype(numpy.uint64) + numpy.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> numpy.uint64(31))


def persons_of(world: Path) -> numpy.ndarray:
    """The number of the component of every session and order."""

    def ids(table: str, column: str) -> pyarrow.Array:
        rows = pyarrow.parquet.read_table(world / f"{table}.parquet", columns=[column])
        return rows[column].cast(pyarrow.string()).combine_chunks()

    of_rows = [ids(table, "user_external_id") for table in ("sessions", "orders")]
    ends = [ids("user_aliases", f"{end}_user_external_id") for end in ("from", "to")]
    numbers = pyarrow.concat_arrays([*of_rows, *ends]).dictionary_encode().indices.cast(pyarrow.int64())
    rows = sum(map(len, of_rows))
    users, left = numbers[:rows], numbers[rows : rows + len(ends[0])]
    edges = pyarrow.table({"a": left, "b": numbers[rows + len(ends[0]) :]})
    joined = pyarrow.table(_native.components(edges.to_batches()))
    place = pyarrow.compute.index_in(users, joined["node"].combine_chunks())
    component = pyarrow.compute.take(joined["component"].combine_chunks(), place)
    persons = pyarrow.compute.coalesce(component, users)
    return persons.dictionary_encode().indices.to_numpy()


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--apportion", default="target/release/apportion", help="the command line")
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("simulate", nargs="*", help="more for `apportion simulate`, after `--`")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder) / "world"
        said = ["simulate", "--quiet", "--sessions", str(asked.sessions), "--output", str(world)]
        subprocess.run([asked.apportion, *said, *asked.simulate], check=True)
        persons = persons_of(world)
    rows = numpy.bincount(persons)
    rows = rows[rows > 0]
    print(f"{rows.sum():,} rows of {len(rows):,} persons; the busiest has {rows.max():,}")
    print()
    print("| buckets | rows of an even one | of the largest | how many times as many | share of all |")
    print("|---:|---:|---:|---:|---:|")
    place = mixed(numpy.arange(len(rows)))
    for buckets in BUCKETS:
        held = numpy.bincount((place % numpy.uint64(buckets)).astype(numpy.int64), rows, buckets)
        even, largest = rows.sum() / buckets, held.max()
        print(
            f"| {buckets:,} | {even:,.0f} | {largest:,.0f} | {largest / even:.2f} |"
            f" {100 * largest / rows.sum():.3f}% |"
        )


if __name__ == "__main__":
    main()
