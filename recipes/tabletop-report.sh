#!/usr/bin/env bash
# Writes docs/tabletop.md and its figures from the results of tabletop-eval.sh and tabletop-ablations.sh. Takes a
# minute. Set MACHINE to a description of the computer that ran the evaluation, for example '2 cores'.
set -euo pipefail
source "$(dirname "$0")/common.sh"

ablations=()
for name in "${ABLATIONS[@]}"; do
    if [ -e "$ABLATION_RUNS/$name/evaluation" ]; then
        ablations+=("--ablation=$name=$ABLATION_RUNS/$name/evaluation")
    fi
done
python -m instructsam_training.tabletop.report --shuffled evaluation/tabletop-shuffled --machine "${MACHINE:-}" \
    ${ablations[@]+"${ablations[@]}"}
