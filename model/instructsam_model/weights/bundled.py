"""The checkpoint inside this package: what is used where none is named."""

from __future__ import annotations

from pathlib import Path

EXAMPLE = "'CircleRadon/InstructSAM-2B'"
FOLDER = Path(__file__).parent / 'tabletop'
NOTE = (
    'no checkpoint is named: using the embedded one, a small network that knows simulated tabletops and nothing else; '
    f'name one such as {EXAMPLE} for real pictures'
)
MISSING = f'no checkpoint is named, and this package has none inside: expected a folder or a hub id such as {EXAMPLE}'
