#!/usr/bin/env bash
# Writes docs/tabletop-levels.md: SAM3, SAM3-I and InstructSAM on the same small SAM3, trained for about the same time, on
# instructions of three levels; and runs/tabletop-sam3i. Takes 50 minutes on two cores; resumes where it stopped. Set
# STEP=phrases to stop after the SAM3, runs/tabletop-sam3i/phrases/phrases/merged, which takes 15 minutes; QUICK=1 for
# a test with a few steps, in other folders. Set MACHINE to a description of the computer, for example '2 cores'.
set -euo pipefail
source "$(dirname "$0")/common.sh"
export OMP_NUM_THREADS=1

SCENES=1500 TEST_SCENES=100 LIMIT=400 QUICK=${QUICK:-} DATA=data/tabletop-levels RUNS=runs/tabletop-sam3i
EVALUATIONS=evaluation/tabletop-levels OUT=docs
if [ -n "$QUICK" ]; then
    SCENES=12 TEST_SCENES=4 LIMIT=8 DATA=data/quick-levels RUNS=runs/quick-sam3i EVALUATIONS=evaluation/quick-levels
    OUT=$EVALUATIONS
fi

TRAIN=(torchrun --standalone --nproc_per_node 2 -m instructsam_training.cli.train)
# Trains a configuration of a number of stages with further settings: in these folders, and with QUICK in two steps each.
train() {
    local settings=("out=$RUNS/$1" "${@:3}") number
    for ((number = 0; number < $2; number++)); do
        settings+=("stages.$number.data.folder=$DATA")
        [ -z "$QUICK" ] || settings+=("stages.$number.steps=2" "stages.$number.global_batch=4" "stages.$number.micro_batch=2")
    done
    "${TRAIN[@]}" "training/configs/tabletop-sam3i/$1.yaml" "${settings[@]}"
}

instructsam-tabletop "$DATA" --scenes "$SCENES" --questions 1 --names 12 --captions 0 --targets 8 --workers 2
instructsam-tabletop "$DATA-test" --split test --scenes "$TEST_SCENES" --questions 1 --names 6 --captions 0 --targets 6 --workers 2

# 1. The SAM3 that all share.
if [ ! -e "$RUNS/start/config.json" ]; then
    python -m instructsam_training.tabletop.small_sam3 "$DATA"/sam3i_*train.json --out "$RUNS/start"
fi
train phrases 1 "start.sam3=$RUNS/start"
SAM3=$RUNS/phrases/phrases/merged
[ "${STEP:-}" != phrases ] || exit 0

# 2. SAM3-I: adapters.
train sam3i 3 "start.sam3=$SAM3"

# 3. InstructSAM: a language model.
if [ ! -e "$DATA/instructions.json" ]; then
    instructsam-convert sam3i --data "$DATA" --split train --out "$DATA/instructions.json"
fi
if [ ! -e "$RUNS/small-instructsam-start/config.json" ]; then
    python -m instructsam_training.tabletop.small_model "$DATA/instructions.json" --sam3 "$SAM3" --out "$RUNS/small-instructsam-start"
fi
train small-instructsam 2 "start.checkpoint=$RUNS/small-instructsam-start"

# 4. Evaluations: the system, its checkpoint and its options, and the level.
EVALUATE=(instructsam-eval tabletop_levels --data "$DATA-test" --device cpu --dtype float32 --limit "$LIMIT")
evaluate() {
    local folder="$EVALUATIONS/$1/$2"
    [ -e "$folder/report.json" ] || "${EVALUATE[@]}" --split "$2" --checkpoint "$3" --out "$folder" "${@:4}"
}
for level in concept names; do
    evaluate sam3 "$level" "$SAM3" --backend sam3 --sam3.conventions meta --prompt unchanged
done
for level in simple complex; do
    evaluate sam3-instructions "$level" "$SAM3" --backend sam3 --sam3.conventions meta --sam3.phrase_separator '' --prompt unchanged
done
for level in concept simple complex; do
    evaluate sam3i "$level" "$RUNS/sam3i/aligned/merged" --backend sam3i --sam3i.level "$level" --prompt unchanged
    evaluate small-instructsam "$level" "$RUNS/small-instructsam/whole/merged"
    evaluate embedded "$level" embedded
done
python -m instructsam_training.tabletop.report.levels --evaluations "$EVALUATIONS" --runs "$RUNS" --out "$OUT" --machine "${MACHINE:-}"
