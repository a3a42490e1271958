#!/usr/bin/env bash
# What dependencies may be (deny.toml): their licences, where they are from, and whether something is known
# against them. cargo-deny is built once, into target/deny-tools; skips loudly where it cannot be, and
# where the list of what is known cannot be fetched.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$PWD/target/deny-tools
if ! "$tools/bin/cargo-deny" --version > /dev/null 2>&1; then
  CARGO_TARGET_DIR=$tools/build cargo install --quiet --debug --locked --no-default-features --root "$tools" \
    'cargo-deny@^0.20' || { echo "SKIPPED: cargo-deny cannot be installed here"; exit 0; }
  rm -rf "$tools/build"
fi
for manifest in Cargo.toml fuzz/Cargo.toml; do
  "$tools/bin/cargo-deny" --manifest-path "$manifest" --locked --config deny.toml check licenses bans sources
done
if "$tools/bin/cargo-deny" --locked --config deny.toml fetch db > /dev/null 2>&1; then
  "$tools/bin/cargo-deny" --locked --config deny.toml check advisories
else
  echo "SKIPPED: the list of advisories cannot be fetched here"
fi

# Nothing of the engine is unsafe, and nothing can become so unseen.
grep -q '^unsafe_code = "forbid"' Cargo.toml
if grep -rnE '^\s*(pub )?(unsafe (fn|impl|trait|extern)|.*\bunsafe \{)' src python/src fuzz/src benches --include='*.rs'; then
  echo "unsafe code is in the lines above" >&2
  exit 1
fi
# The licence is where those look for it who pass the package on.
grep -q 'Apache License' LICENSE
for manifest in Cargo.toml python/Cargo.toml fuzz/Cargo.toml; do grep -q '^license = "Apache-2.0"' "$manifest"; done
