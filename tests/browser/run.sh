#!/usr/bin/env bash
# Opens the page in a real Chromium and uses it: see page.py. Installs Debian's chromium and, into
# target/, the driver; where either cannot be had, nothing is tested and a loud line says so.
# `tests/browser/run.sh FOLDER` keeps screenshots there.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() { printf '\n!!! SKIPPED: the page was not tested in a browser: %s\n\n' "$1"; exit 0; }

browser() { command -v chromium || command -v chromium-browser; }
if ! browser >/dev/null; then
  log=$(mktemp)
  if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium fonts-dejavu-core; } >"$log" 2>&1; then
    tail -n 3 "$log"
    rm -f "$log"
    skip "Debian's chromium cannot be installed here"
  fi
  rm -f "$log"
fi
tools=target/browser-tools
if ! [ -x "$tools/bin/python" ] || ! "$tools/bin/python" -c 'import playwright' 2>/dev/null; then
  # The driver alone: the browser is the system's.
  { python3 -m venv "$tools" && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 "$tools/bin/pip" install --quiet 'playwright==1.*'; } ||
    skip "playwright cannot be installed here"
fi
cargo build --locked --quiet
"$tools/bin/python" tests/browser/page.py "$(browser)" target/debug/apportion "${1:-}"
