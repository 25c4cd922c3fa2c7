#!/usr/bin/env bash
# Writes docs/tabletop-levels.md: SAM3, SAM3-I and InstructSAM on the same small SAM3, trained for about the same time, on
# instructions of three levels; and runs/tabletop-sam3i. Takes 45 minutes on two cores; resumes where it stopped. Set
# STEP=phrases to stop after the SAM3, runs/tabletop-sam3i/phrases/phrases/merged, which takes 15 minutes; QUICK=1 for
# a test with a few steps, in other folders. Set MACHINE to a description of the computer, for example '2 cores'.
set -euo pipefail
source "$(dirname "$0")/common.sh"
export OMP_NUM_THREADS=1

SCENES=1500 TEST_SCENES=100 LIMIT=500 QUICK=${QUICK:-} DATA=data/tabletop-levels RUNS=runs/tabletop-sam3i
EVALUATIONS=evaluation/tabletop-levels OUT=docs
if [ -n "$QUICK" ]; then
    SCENES=12 TEST_SCENES=4 LIMIT=8 DATA=data/quick-levels RUNS=runs/quick-sam3i EVALUATIONS=evaluation/quick-levels
    OUT=$EVALUATIONS
fi

# Settings of a configuration for these folders; with QUICK, of its stages too.
settings() {
    local number count="$1"
    shift
    echo "$@"
    for ((number = 0; number < count; number++)); do
        echo "stages.$number.data.folder=$DATA"
        [ -z "$QUICK" ] || echo "stages.$number.steps=2" "stages.$number.global_batch=4" "stages.$number.micro_batch=2"
    done
}
train() {
    torchrun --standalone --nproc_per_node 2 -m instructsam_training.cli.train "$@"
}

instructsam-tabletop "$DATA" --scenes "$SCENES" --questions 1 --names 12 --captions 0 --targets 8 --workers 2
instructsam-tabletop "$DATA-test" --split test --scenes "$TEST_SCENES" --questions 1 --names 6 --captions 0 --targets 6 --workers 2

# 1. The SAM3 that all share.
if [ ! -e "$RUNS/start/config.json" ]; then
    python -m instructsam_training.tabletop.small_sam3 "$DATA"/sam3i_*train.json --out "$RUNS/start"
fi
mapfile -t SETTINGS < <(settings 1 "out=$RUNS/phrases" "start.sam3=$RUNS/start" | tr ' ' '\n')
train training/configs/tabletop-sam3i/phrases.yaml "${SETTINGS[@]}"
SAM3=$RUNS/phrases/phrases/merged
[ "${STEP:-}" != phrases ] || exit 0

# 2. SAM3-I: adapters.
mapfile -t SETTINGS < <(settings 3 "out=$RUNS/sam3i" "start.sam3=$SAM3" | tr ' ' '\n')
train training/configs/tabletop-sam3i/sam3i.yaml "${SETTINGS[@]}"

# 3. InstructSAM: a language model.
if [ ! -e "$DATA/instructions.json" ]; then
    instructsam-convert sam3i --data "$DATA" --split train --out "$DATA/instructions.json"
fi
if [ ! -e "$RUNS/instructsam-start/config.json" ]; then
    python -m instructsam_training.tabletop.small_model "$DATA/instructions.json" --sam3 "$SAM3" --out "$RUNS/instructsam-start"
fi
mapfile -t SETTINGS < <(settings 2 "out=$RUNS/instructsam" "start.checkpoint=$RUNS/instructsam-start" | tr ' ' '\n')
train training/configs/tabletop-sam3i/instructsam.yaml "${SETTINGS[@]}"

# 4. Evaluations: the system, its checkpoint and its options, and the level.
evaluate() {
    local system="$1" level="$2" checkpoint="$3"
    shift 3
    local folder="$EVALUATIONS/$system/$level"
    [ -e "$folder/report.json" ] || instructsam-eval tabletop_levels --data "$DATA-test" --split "$level" --checkpoint "$checkpoint" \
        --device cpu --dtype float32 --limit "$LIMIT" --out "$folder" "$@"
}
for level in concept names; do
    evaluate sam3 "$level" "$SAM3" --backend sam3 --sam3.geometry_cls_token on --prompt unchanged
done
for level in simple complex; do
    evaluate sam3-instructions "$level" "$SAM3" --backend sam3 --sam3.geometry_cls_token on --sam3.phrase_separator '' --prompt unchanged
done
for level in concept simple complex; do
    evaluate sam3i "$level" "$RUNS/sam3i/aligned/merged" --backend sam3i --sam3i.level "$level" --prompt unchanged
    evaluate instructsam "$level" "$RUNS/instructsam/whole/merged"
    evaluate embedded "$level" embedded
done
python -m instructsam_training.tabletop.report.levels --evaluations "$EVALUATIONS" --runs "$RUNS" --out "$OUT" --machine "${MACHINE:-}"
