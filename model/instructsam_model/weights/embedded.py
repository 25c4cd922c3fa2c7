"""The checkpoint that is embedded in this package, the default if none is given."""

from __future__ import annotations

from pathlib import Path

EXAMPLE = "'CircleRadon/InstructSAM-2B'"
EMBEDDED = 'embedded'
"""Name of the embedded checkpoint in results."""
FOLDER = Path(__file__).parent / 'tabletop'
NOTE = (
    'no checkpoint given: using the embedded one, a small network that was trained on simulated tabletops only; '
    f'for real images give one such as {EXAMPLE}'
)
MISSING = f'no checkpoint given, and none is part of this installation: expected a folder or a hub id such as {EXAMPLE}'
