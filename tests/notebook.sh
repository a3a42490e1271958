#!/usr/bin/env bash
# Runs the example notebook and the one-liners of docs/notebooks.md with the libraries that they name,
# against the binary of the dev build. Skips loudly where the libraries cannot be installed.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=target/notebook-tools
if ! { python3 -m venv "$tools" && "$tools/bin/pip" install --quiet -r examples/requirements.txt; }; then
  echo "SKIPPED: the notebook's libraries cannot be installed here"
  exit 0
fi
PATH="$PWD/$tools/bin:$PWD/target/debug:$PATH"
python tests/notebook.py examples/sample_shop.ipynb "$@"

# Each block of the page that is labelled `bash` runs as it is printed and says something.
blocks=$(mktemp -d)
trap 'rm -rf "$blocks"' EXIT
awk -v folder="$blocks" '/^```$/ {inside = 0} inside {print > (folder "/" number)} /^```bash$/ {inside = 1; number++}' docs/notebooks.md
for block in "$blocks"/*; do
  if grep -q Rscript "$block" && ! command -v Rscript > /dev/null; then
    echo "SKIPPED: R is not installed here: $(head -n 1 "$block")"
    continue
  fi
  said=$(bash -euo pipefail "$block") || { echo "fails: $(cat "$block")" >&2; exit 1; }
  grep -q google <<< "$said" || { printf 'says nothing of google: %s\n%s\n' "$(cat "$block")" "$said" >&2; exit 1; }
done
echo "$(find "$blocks" -type f | wc -l) one-liners of docs/notebooks.md run"
