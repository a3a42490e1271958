#!/usr/bin/env bash
# Lets exports change at random under runs that are killed at random, for MINUTES from SEED on, and holds
# what is left to the bytes of runs in full.
#   tests/soak.sh [MINUTES [SEED]]
set -euo pipefail
cd "$(dirname "$0")/.."
SOAK_MINUTES=${1:-5} SOAK_SEED=${2:-1} cargo test --locked --test soak -- --ignored --nocapture
