#!/usr/bin/env bash
# Whether tests notice when attribution is changed: runs the mutants that `cargo mutants` lists, all built into one
# program, see mutants.py. What is known already is not run again; an argument is a part of the names of those to run.
#   tests/mutants/run.sh [TEXT] [--again]
set -euo pipefail
cd "$(dirname "$0")/../.."

command -v cargo-mutants > /dev/null || {
  echo "there is no cargo-mutants: cargo install cargo-mutants --version 27.1.0 --locked" >&2
  exit 1
}
tools=target/mutants-tools
python3 -m venv "$tools"
"$tools/bin/pip" install --quiet --disable-pip-version-check tree-sitter tree-sitter-rust
for step in prepare build "reach --again"; do "$tools/bin/python" tests/mutants/mutants.py $step; done
"$tools/bin/python" tests/mutants/mutants.py run "$@"
"$tools/bin/python" tests/mutants/mutants.py report
