"""The checkpoint that is bundled with this package, the default if none is given."""

from __future__ import annotations

from pathlib import Path

EXAMPLE = "'CircleRadon/InstructSAM-2B'"
FOLDER = Path(__file__).parent / 'tabletop'
NOTE = (
    'no checkpoint given: using the bundled one, a small network that was trained on simulated tabletops only; '
    f'for real images give one such as {EXAMPLE}'
)
MISSING = (
    f'no checkpoint given, and none is bundled with this installation: expected a folder or a hub id such as {EXAMPLE}'
)
