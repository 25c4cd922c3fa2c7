"""The benchmark describes the networks of SAM3 and SAM3-I."""

from __future__ import annotations

from pathlib import Path

from instructsam_model.bench.hooks import hooks_of
from tests.support.tiny_sam3 import load_tiny_sam3
from tests.support.tiny_sam3i import load_tiny_sam3i, make_tiny_sam3i, write_tiny_sam3i


def test_networks_are_counted_with_their_adapters(tmp_path: Path) -> None:
    delta = write_tiny_sam3i(tmp_path / 'delta')
    base = delta.with_name('delta_base')
    plain = hooks_of('sam3')(load_tiny_sam3(base, dtype='bfloat16')).describe()
    adapted = hooks_of('sam3i')(load_tiny_sam3i(delta, dtype='bfloat16')).describe()
    added = sum(parameter.numel() for parameter in make_tiny_sam3i(base).adapters.parameters())
    assert adapted['parameters'] - plain['parameters'] == added
    assert (plain['dtype'], plain['queries'], adapted['dtype'], adapted['queries']) == ('bfloat16', 8) * 2
