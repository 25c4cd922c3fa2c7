#!/usr/bin/env bash
# Makes benchmark/5-modeled-*.json: the kernels that the full-size network launches on a GPU, and a model of their
# time. Needs no GPU. Takes a few minutes on two cores.
set -euo pipefail
source "$(dirname "$0")/common.sh"

for phrases in 1 4; do
    instructsam-bench "${FULL_SIZE[@]}" --device fake-cuda --instructsam.engine compiled --phrases "$phrases" \
        --out "benchmark/5-modeled-$phrases.json"
done
