#!/usr/bin/env bash
# Reads and writes objects in stores that run on this machine: see stores.py. Installs what speaks S3,
# Azure and HTTP into target/; where that cannot be had, nothing is tested and a loud line says so.
set -euo pipefail
cd "$(dirname "$0")/../.."

tools=target/stores-tools
if ! { python3 -m venv "$tools" && "$tools/bin/pip" install --quiet 'moto[s3,server]==5.*' 'pyarrow>=20' 'rangehttpserver==1.*'; }; then
  printf '\n!!! SKIPPED: stores were not tested: what speaks S3 cannot be installed here\n\n'
  exit 0
fi
azurite=$tools/node_modules/.bin/azurite-blob
if ! [ -x "$azurite" ] && ! npm install --silent --no-fund --no-audit --prefix "$tools" 'azurite@3'; then
  printf '\n!!! SKIPPED: Azure was not tested: what speaks it cannot be installed here\n\n'
  azurite=
fi
cargo build --locked --quiet
"$tools/bin/python" tests/stores/stores.py target/debug/apportion "$azurite"
