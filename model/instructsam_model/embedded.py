"""The checkpoint inside this package: what is used where none is named."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / 'tabletop'
NOTE = (
    'no checkpoint is named: using the embedded one, a small network that knows simulated tabletops and nothing else; '
    "name one such as 'CircleRadon/InstructSAM-2B' for real pictures"
)
