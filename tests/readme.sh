#!/usr/bin/env bash
# Runs the first command block of the README's "Try it" and checks that it prints a report whose
# total is that of the orders.
set -euo pipefail
cd "$(dirname "$0")/.."

command=$(awk '/^## Try it/ {here = 1} here && /^```$/ && inside {exit} inside {print} here && /^```sh$/ {inside = 1}' README.md)
[ -n "$command" ] || { echo "the README has no first command" >&2; exit 1; }
echo "$command"
report=$(bash -c "$command" 2>/tmp/readme-summary.$$) || { cat /tmp/readme-summary.$$ >&2; exit 1; }
rm -f /tmp/readme-summary.$$
grep -q '^last_click' <<< "$report"
grep -Eq '^total .* 773.00 +100.0 % +50,167.82' <<< "$report"
echo "the README's first command prints its report"
