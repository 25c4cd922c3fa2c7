#!/usr/bin/env bash
# Writes evaluation/tabletop: an evaluation of the embedded checkpoint on scenes and wordings that are not in its training
# data; and evaluation/tabletop-shuffled: the same with shuffled instructions. Takes a few minutes on two cores.
set -euo pipefail
source "$(dirname "$0")/common.sh"

EVALUATE=(instructsam-eval tabletop --data data/tabletop-test --device cpu --dtype float32)

instructsam-tabletop data/tabletop-test --scenes 220 --split test --names 0 --captions 0 --workers 2
"${EVALUATE[@]}" --out evaluation/tabletop
"${EVALUATE[@]}" --out evaluation/tabletop-shuffled --shuffle-instructions 1
