#!/usr/bin/env bash
# Writes benchmark/gpu-*.json: measurements of the full-size network with random weights on a GPU. Compares results with
# those on the CPU and latency with modeled latency, and measures a profile and training throughput. Takes at most 12
# minutes: each part has a time limit. The most important parts come first; if a part fails, the others still run.
set -euo pipefail
source "$(dirname "$0")/common.sh"

# Run one part with a time limit in seconds. Report a failure and continue.
part() {
    timeout "$@" || echo "bench-gpu.sh: exit status $? of: timeout $*" >&2
}

mkdir -p benchmark
part 90 instructsam-bench "${FULL_SIZE[@]}" --device fake-cuda --instructsam.engine compiled \
    --out benchmark/gpu-modeled.json
part 300 instructsam-bench "${FULL_SIZE[@]}" --device cuda --check --compare-naive --profile --repeats 10 \
    --modeled benchmark/gpu-modeled.json --out benchmark/gpu-1.json
part 75 instructsam-bench "${FULL_SIZE[@]}" --device cuda --phrases 4 --repeats 5 --out benchmark/gpu-2-phrases.json
part 75 python -m instructsam_training.cli.throughput training/configs/stage1.yaml --device cuda \
    --image-size 1280x960 --steps 5 --architecture training/configs/instructsam-2b --tokenizer tests/golden/checkpoint \
    > benchmark/gpu-3-training.txt
part 180 instructsam-bench "${FULL_SIZE[@]}" --device cuda --experiments --repeats 5 --out benchmark/gpu-4-experiments.json
