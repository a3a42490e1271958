#!/usr/bin/env bash
# Which lines of ours the tests run: builds our crates with LLVM's counters, runs tests, and prints a line for
# each file, those that are run least first. Arguments go to `cargo test`; without any, all tests are run.
#   tests/coverage.sh [--lib] [--test NAME ...]
# Needs llvm-profdata and llvm-cov of the LLVM that `rustc -vV` names, such as Debian's llvm-22.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
for tool in llvm-profdata llvm-cov; do
  command -v "$tool-$version" > /dev/null || { echo "there is no $tool-$version: apt-get install llvm-$version" >&2; exit 1; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Dependencies are built as ever: only our own lines count.
printf '#!/bin/sh\nexec "$@" -C instrument-coverage\n' > "$work/rustc"
chmod +x "$work/rustc"
export RUSTC_WORKSPACE_WRAPPER="$work/rustc" CARGO_INCREMENTAL=0
# Programs that tests start count into the same few files.
export LLVM_PROFILE_FILE="$work/%2m.profraw"

mapfile -t programs < <(cargo test --locked --no-run "$@" 2>&1 | tee /dev/stderr | sed -n 's/.*Executable.*(\(.*\))$/\1/p')
cargo test --locked --no-fail-fast "$@" >&2
"llvm-profdata-$version" merge --sparse "$work"/*.profraw -o "$work/all.profdata"
objects=(target/debug/apportion)
for program in "${programs[@]}"; do objects+=(--object "$program"); done
"llvm-cov-$version" report "${objects[@]}" --instr-profile "$work/all.profdata" \
  --ignore-filename-regex '(\.cargo|rustc|/tests)/' |
  awk '$1 ~ /\.rs$/ || $1 == "TOTAL" { printf "%7s of %6d lines  %s\n", $10, $8, $1 }' | sort -n
