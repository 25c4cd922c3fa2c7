#!/usr/bin/env bash
# Writes benchmark/5-modeled-*.json: the kernels that the full-size network launches on a GPU, and their modeled time.
# Needs no GPU. Takes 2 minutes on two cores.
set -euo pipefail
source "$(dirname "$0")/common.sh"

for phrases in 1 4; do
    instructsam-bench "${FULL_SIZE[@]}" --device fake-cuda --instructsam.engine compiled --phrases "$phrases" \
        --out "benchmark/5-modeled-$phrases.json"
done
