#!/usr/bin/env bash
# Writes runs/tabletop-ablations: trains and evaluates the ablations of the paper with the small network. Run
# tabletop-train.sh and tabletop-eval.sh first. Takes 30 minutes on two cores; resumes where it stopped.
set -euo pipefail
source "$(dirname "$0")/common.sh"

for name in "${ABLATIONS[@]}"; do
    OMP_NUM_THREADS=1 torchrun --standalone --nproc_per_node 2 \
        -m instructsam_training.cli.train "training/configs/tabletop-ablations/$name.yaml"
    instructsam-eval tabletop --data data/tabletop-test --device cpu --limit 400 \
        --checkpoint "$ABLATION_RUNS/$name/whole/merged" --out "$ABLATION_RUNS/$name/evaluation"
done
