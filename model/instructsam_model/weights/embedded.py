"""The checkpoint that is embedded in this package, for simulated tabletops only."""

from __future__ import annotations

from pathlib import Path

EXAMPLE = "'CircleRadon/InstructSAM-2B'"
EMBEDDED = 'embedded'
"""Name of the embedded checkpoint, in place of a folder or hub id, and in results."""
FOLDER = Path(__file__).parent / 'tabletop'
NOTE = (
    'using the embedded checkpoint, a small network that was trained on simulated tabletops only; '
    f'for real images give a checkpoint such as {EXAMPLE}'
)
EXPECTED = (
    f"expected a folder, a file or a hub id such as {EXAMPLE}, or '{EMBEDDED}', the small network of this package"
)
MISSING = (
    f'the checkpoint {EMBEDDED!r} is not part of this installation: expected a folder or a hub id such as {EXAMPLE}'
)
