"""Fakes and helpers shared by tests, and paths of the files that tests read."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = ROOT / 'tests' / 'support'
GOLDEN = ROOT / 'tests' / 'golden'
