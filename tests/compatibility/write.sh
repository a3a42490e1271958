#!/usr/bin/env bash
# Writes the fixtures anew, with each writer in an environment of its own (Spark wants Java). They are
# committed, and read by `cargo test --test compatibility`: run this to add a type or a writer's newer
# version, not in every check, since no writer gives the same bytes twice.
set -euo pipefail
cd "$(dirname "$0")"

environments=../../target/writers
write() {
  local writer=$1
  shift
  python3 -m venv "$environments/$writer"
  "$environments/$writer/bin/pip" install --quiet --disable-pip-version-check "$@"
  "$environments/$writer/bin/python" "${writer}_files.py"
  "$environments/$writer/bin/pip" freeze | grep -iE "^(py)?$writer==" >> files/versions.txt
}

rm -rf files
mkdir files
write pyarrow pyarrow
write polars polars
write duckdb duckdb pytz
write spark pyspark
write fastparquet fastparquet pandas
