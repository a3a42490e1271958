#!/usr/bin/env bash
# Installs the Python package as `tests/python.sh` does and holds what Spark says up to one machine: on a
# cluster of two executors, on a server of Spark Connect, and on Sail. Arguments go to pytest.
# Skips loudly where Spark or Java cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."

export CARGO_TARGET_DIR="$PWD/target" APPORTION="$PWD/target/debug/apportion"
# Nobody but this machine is spoken to.
export SPARK_LOCAL_IP=127.0.0.1

if ! java -version >/dev/null 2>&1; then
  echo "SKIPPED: Spark runs on Java, and there is none here"
  exit 0
fi
tools="$PWD/target/spark-tools" sail="$PWD/target/sail-tools"
made() { # folder, requirements
  python3 -m venv "$1" && "$1/bin/python" -m pip --quiet --disable-pip-version-check install -r "$2"
}
if ! made "$tools" python/tests/spark/requirements.txt; then
  echo "SKIPPED: Spark cannot be installed here"
  exit 0
fi

cargo build --locked --quiet
wheels=target/wheels/spark
rm -rf "$wheels"
PATH="$tools/bin:$PATH" MATURIN_PEP517_ARGS="--profile dev --locked" \
  "$tools/bin/python" -m pip --quiet --disable-pip-version-check \
  wheel ./python --no-deps --no-build-isolation --wheel-dir "$wheels"

tested() { # folder, kind, arguments of pytest
  local python="$1/bin/python" kind="$2"
  shift 2
  "$python" -m pip --quiet --disable-pip-version-check \
    install --force-reinstall --no-deps "$wheels"/apportion-*.whl
  # What these libraries warn of is theirs.
  APPORTION_SPARK="$kind" "$python" -m pytest python/tests/spark -c python/pyproject.toml \
    --confcutdir python/tests/spark -o filterwarnings=ignore -q "$@"
}
tested "$tools" cluster "$@"
# The same tables by way of a server; golden runs and what a cluster alone has are done.
tested "$tools" connect --ignore python/tests/spark/test_golden.py "$@"
# The notebook, on the Spark of its first cell, whose tasks need the same Python.
PYSPARK_PYTHON="$tools/bin/python" "$tools/bin/python" tests/notebook.py examples/spark/shop.ipynb
if made "$sail" python/tests/spark/requirements-sail.txt; then
  # Another engine's gaps are told, and are no fault of this one.
  tested "$sail" sail --ignore python/tests/spark/test_golden.py "$@" || echo "Sail does not answer all of it: see above"
else
  echo "SKIPPED: Sail cannot be installed here"
fi
