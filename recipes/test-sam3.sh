#!/usr/bin/env bash
# Runs the tests that need Meta's package `sam3` in a separate environment, .venv-sam3, because the package pins older
# versions than constraints.txt. Takes 15 minutes the first time. PYTHON sets the interpreter; arguments are passed to
# pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ ! -e .venv-sam3/installed ]; then
    "${PYTHON:-python3}" -m venv .venv-sam3
    INSTRUCTSAM_ROS_INTERFACES=skip .venv-sam3/bin/python -m pip install --quiet --disable-pip-version-check \
        --editable '.[sam3]' pytest
    touch .venv-sam3/installed
fi
.venv-sam3/bin/python -m pytest -m sam3 -s tests/model/sam3 "$@"
