#!/usr/bin/env bash
# Writes docs/tabletop.md and its figures from the results of tabletop-eval.sh. Takes a minute. Set MACHINE to a description of the computer that ran the evaluation, for example '2 cores'.
set -euo pipefail
source "$(dirname "$0")/common.sh"

python -m instructsam_training.tabletop.report --shuffled evaluation/tabletop-shuffled --machine "${MACHINE:-}"
