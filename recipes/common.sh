# Sourced by the recipes: changes to the root of the repository and uses the programs of .venv if it exists.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"

# The configurations in training/configs/tabletop-ablations, in the order of docs/tabletop.md.
ABLATIONS=(full no_query_bank no_hybrid_attention queries_5 queries_20 no_phrase unconditioned_queries no_stage1)
ABLATION_RUNS=runs/tabletop-ablations

# Options of all full-size benchmarks.
FULL_SIZE=(--architecture training/configs/instructsam-2b --dtype bfloat16 --size 1280x720)
