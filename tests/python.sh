#!/usr/bin/env bash
# Builds the Python package as a user's pip does, but with the dev profile and what `cargo test` has compiled
# already, installs it with the libraries whose tables it takes, and tests it against the command line.
# Arguments go to pytest. Skips loudly where pip cannot install.
set -euo pipefail
cd "$(dirname "$0")/.."

export CARGO_TARGET_DIR="$PWD/target" APPORTION="$PWD/target/debug/apportion"
cargo build --locked --quiet

tools="$PWD/target/python-tools"
pip() { "$tools/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
if ! { python3 -m venv "$tools" && pip install -r python/tests/requirements.txt; }; then
  echo "SKIPPED: what the Python package is built and tested with cannot be installed here"
  exit 0
fi

# What is written in Python, before anything is built.
"$tools/bin/ruff" check --quiet python
"$tools/bin/ruff" format --quiet --check python
(cd python && "$tools/bin/mypy" --no-incremental --cache-dir=/dev/null)

wheels=target/wheels/tested
rm -rf "$wheels"
PATH="$tools/bin:$PATH" MATURIN_PEP517_ARGS="--profile dev --locked" \
  pip wheel ./python --no-deps --no-build-isolation --wheel-dir "$wheels"
# One wheel serves every Python from 3.10 on.
ls "$wheels"/apportion-*-cp310-abi3-*.whl
pip install --force-reinstall --no-deps "$wheels"/apportion-*.whl
"$tools/bin/python" -m pytest python/tests -c python/pyproject.toml -q "$@"
