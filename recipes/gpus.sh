#!/usr/bin/env bash
# Writes docs/gpus.md: modeled memory and latency of the full-size network by image size and quantization, and the
# accuracy of each option on the simulated tabletop. Needs the extra `quantized`, but no GPU. Takes 30 minutes on two
# cores.
set -euo pipefail
source "$(dirname "$0")/common.sh"

SMALLER=(--instructsam.max_pixels 307200 --instructsam.sam3_size 672)
OPTIONS=(
    max_pixels=38400 max_pixels=19200 max_pixels=9600 quantization=int8 quantization=fp8
    sam3_size=120 sam3_size=180 sam3_size=300
)

# Model one configuration. Arguments: number of the output file, options of instructsam-bench.
model() {
    instructsam-bench --architecture training/configs/instructsam-2b --device fake-cuda --dtype bfloat16 "${@:2}" \
        --out "benchmark/gpus/$1.json"
}

# Evaluate the embedded checkpoint. Arguments: name of the output folder, options of instructsam-eval.
evaluate() {
    instructsam-eval tabletop --data data/gpus --device cpu --dtype float32 --out "evaluation/gpus/$1" "${@:2}"
}

model 01 --size 640x480
model 02 --size 1280x720
model 03 --size 1920x1080
model 04 --size 1280x720 --instructsam.max_pixels 307200
model 05 --size 1280x720 --instructsam.sam3_size 672
model 06 --size 1280x720 --instructsam.sam3_size 336
model 07 --size 1280x720 "${SMALLER[@]}"
model 08 --size 1280x720 --instructsam.quantization int8
model 09 --size 1280x720 --instructsam.quantization fp8
model 10 --size 1280x720 --instructsam.quantization int8 "${SMALLER[@]}"

instructsam-tabletop data/gpus --scenes 60 --split test --names 0 --captions 0
evaluate none
for option in "${OPTIONS[@]}"; do
    evaluate "$option" "--instructsam.$option"
done

python -m instructsam_model.bench.gpu_page benchmark/gpus/*.json --out docs/gpus.md \
    --losses evaluation/gpus/none "${OPTIONS[@]/#/evaluation/gpus/}"
