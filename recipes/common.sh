# Sourced by the recipes: changes to the root of the repository and uses the programs of .venv if it exists.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"

# Options of all full-size benchmarks.
FULL_SIZE=(--architecture training/configs/instructsam-2b --dtype bfloat16 --size 1280x720)
