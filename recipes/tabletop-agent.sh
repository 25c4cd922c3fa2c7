#!/usr/bin/env bash
# Writes docs/tabletop-agent.md: SAM3-Agent with an oracle instead of a vision-language model, a model of one pass, and
# SAM3 alone, on 200 questions; and evaluation/tabletop-agent. Takes 6 minutes on two cores; resumes where it stopped.
# Needs the SAM3 that `STEP=phrases recipes/tabletop-sam3i.sh` trains; SAM3=embedded takes the embedded checkpoint instead
# of it, and the page says so. QUICK=1 is a test with a few questions, in other folders. Set MACHINE to a description of
# the computer, for example '2 cores'.
set -euo pipefail
source "$(dirname "$0")/common.sh"

SAM3=${SAM3:-runs/tabletop-sam3i/phrases/phrases/merged} QUICK=${QUICK:-}
SCENES=25 LIMIT=200 DATA=data/tabletop-agent OUT=evaluation/tabletop-agent DOCUMENT=docs/tabletop-agent.md
if [ -n "$QUICK" ]; then
    SCENES=2 LIMIT=8 DATA=data/quick-agent OUT=evaluation/quick-agent DOCUMENT=evaluation/quick-agent/page.md
fi
OPTIONS=(--sam3.geometry_cls_token on)
[ "$SAM3" != embedded ] || OPTIONS=()

instructsam-tabletop "$DATA" --scenes "$SCENES" --split test --names 0 --captions 0 --workers 2
python -m instructsam_training.tabletop.oracle --data "$DATA" --limit "$LIMIT" --error-rates 0 10 30 --strict \
    --sam3 "$SAM3" "${OPTIONS[@]}" --out "$OUT" --document "$DOCUMENT" --machine "${MACHINE:-}"
