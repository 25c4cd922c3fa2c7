#!/usr/bin/env bash
# Writes benchmark/*.json and docs/performance.md: measured latency on this CPU, and modeled latency of the full-size
# network on GPUs (bench-modeled.sh). Takes 20 minutes on two cores.
set -euo pipefail
source "$(dirname "$0")/common.sh"

recipes/bench-modeled.sh
instructsam-bench --architecture training/configs/instructsam-100m --device cpu --dtype float32 \
    --compare-naive --sweep --experiments --repeats 3 --out benchmark/1-model.json
instructsam-bench --device cpu --dtype float32 --size 320x240 --compare-naive --out benchmark/2-embedded.json
python -m instructsam_ros.tools.bench --size 320x240 --rate 30 --out benchmark/3-throughput.json
python -m instructsam_ros.tools.bench --size 1280x720 --rate 2 --out benchmark/4-overhead.json
python -m instructsam_model.bench.report benchmark/*.json --out docs/performance.md
