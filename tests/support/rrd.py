"""Reader of Rerun recordings."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from rerun.chunk import RrdReader

Rows = list[tuple[int | None, dict[str, Any]]]


def read_recording(file: Path) -> dict[str, Rows]:
    """The rows of each entity: the stamp in ns, or None for static data, and the values."""
    rows: dict[str, Rows] = {}
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'RRD file has no footer')  # as long as it is being written
        reader = RrdReader(file)
    for chunk in reader.stream():
        batch = chunk.to_record_batch()
        for number in range(batch.num_rows):
            parts = {name: batch.column(name)[number] for name in batch.schema.names}
            stamp = parts.pop('capture', None)
            values = {name: value.as_py() for name, value in parts.items() if ':' in name}
            rows.setdefault(chunk.entity_path, []).append((stamp.value if stamp is not None else None, values))
    for logged in rows.values():
        logged.sort(key=lambda row: row[0] or 0)
    return rows
