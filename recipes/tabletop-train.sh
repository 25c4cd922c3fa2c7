#!/usr/bin/env bash
# Writes runs/tabletop/embedded: the embedded checkpoint, trained from random weights on simulated tables. Takes 9 hours on
# two cores; resumes where it stopped.
set -euo pipefail
source "$(dirname "$0")/common.sh"
export OMP_NUM_THREADS=1

if [ ! -e data/tabletop/written ]; then
    instructsam-tabletop data/tabletop --scenes 5000 --questions 12 --names 10 --captions 14 --shard 500 --workers 2
    touch data/tabletop/written
fi
if [ ! runs/tabletop/start/config.json -nt data/tabletop/written ]; then
    rm -rf runs/tabletop/start
    python -m instructsam_training.tabletop.small_model data/tabletop/tabletop_train-*.json --out runs/tabletop/start
fi
torchrun --standalone --nproc_per_node 2 -m instructsam_training.cli.train training/configs/tabletop.yaml
rm -rf runs/tabletop/embedded
python -m instructsam_training.cli.publish runs/tabletop/whole-6/merged --out runs/tabletop/embedded
