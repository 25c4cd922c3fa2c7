#!/usr/bin/env bash
# Makes benchmark/gpu-*.json on a GPU with random weights: a check of the results, measured beside modeled latency, a
# profile, and training throughput. Takes at most twelve minutes: each part has a time limit. The most important parts
# come first, and a part that fails does not stop the others.
set -euo pipefail
source "$(dirname "$0")/common.sh"

# Run one part with a time limit in seconds; report its failure and go on.
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
part 180 instructsam-bench "${FULL_SIZE[@]}" --device cuda --trials --repeats 5 --out benchmark/gpu-4-trials.json
