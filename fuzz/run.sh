#!/usr/bin/env bash
# Breaks inputs of the corpus for ten seconds a target (or --seconds N, --seed N, and names of targets), with
# the compiler that builds the engine and what it has compiled already. Memory is limited, so that what
# takes it without end is found. An input that was too much is left in fuzz/findings.
set -euo pipefail
cd "$(dirname "$0")"

CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/../target}
export CARGO_TARGET_DIR
cargo build --locked --quiet --bin fuzz
# Room for the stacks of threads, which are asked for and not used, and two gigabytes beside them.
ulimit -v 12000000 2> /dev/null || echo "memory cannot be limited here"
exec "$CARGO_TARGET_DIR/debug/fuzz" "$@"
