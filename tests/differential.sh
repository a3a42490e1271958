#!/usr/bin/env bash
# The report of the rule models against the same in SQL, by DuckDB and Polars; see differential.py. Skips
# loudly where pip cannot install them. An argument says how many worlds.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --locked --quiet
tools=target/differential-tools
if ! { python3 -m venv "$tools" && "$tools/bin/pip" install --quiet --disable-pip-version-check duckdb polars pyarrow pytz; }; then
  echo "SKIPPED: DuckDB and Polars cannot be installed here"
  exit 0
fi
"$tools/bin/python" tests/differential.py "$@"
