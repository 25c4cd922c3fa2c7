"""The same commands with either back end: only `--backend` and the checkpoint change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from instructsam_model.cli.segment import main as segment
from instructsam_training.cli.evaluate import main as evaluate
from tests.support import GOLDEN
from tests.support.tiny_sam3 import write_tiny_sam3
from tests.support.tiny_sam3i import write_tiny_sam3i

MODEL = ['--device', 'cpu', '--dtype', 'float32', '--min-score', '0']


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        'instructsam': GOLDEN / 'checkpoint',
        'sam3': write_tiny_sam3(tmp_path_factory.mktemp('sam3')),
        'sam3i': write_tiny_sam3i(tmp_path_factory.mktemp('sam3i') / 'delta'),
    }


@pytest.mark.parametrize('backend', ['instructsam', 'sam3', 'sam3i'])
@pytest.mark.parametrize('is_named', [True, False], ids=['named', 'auto'])
def test_segment_command(backend: str, is_named: bool, checkpoints: dict[str, Path], tmp_path: Path) -> None:
    chosen = ['--checkpoint', str(checkpoints[backend]), *(['--backend', backend] if is_named else [])]
    files = ['--json', str(tmp_path / 'results.json'), '--out', str(tmp_path / 'overlay.png')]
    assert segment([str(GOLDEN / 'images' / '000.png'), 'Segment the red box.', *chosen, *MODEL, *files]) == 0
    assert (tmp_path / 'overlay.png').stat().st_size > 0
    assert '"score": 0.' in (tmp_path / 'results.json').read_text()


def test_evaluation_of_sam3(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    records = json.loads((GOLDEN / 'eval_inst2seg.json').read_text())
    for record in records:
        for entry in record['annotation']:
            entry['kind'] = 'attribute' if entry.get('mask') else 'no-target'
    (tmp_path / 'inst2seg.json').write_text(json.dumps(records))
    chosen = ['--checkpoint', str(checkpoints['sam3']), '--backend', 'sam3']
    data = ['--data', str(tmp_path), '--images', str(GOLDEN), '--out', str(tmp_path / 'out'), '--limit', '4']
    assert evaluate(['tabletop', *data, *chosen, *MODEL]) == 0
    report = json.loads((tmp_path / 'out' / 'report.json').read_text())
    assert (report['queries'], report['scored'], report['settings']['backend']) == (4, 4, 'sam3')
    assert 'back end sam3' in (tmp_path / 'out' / 'report.html').read_text()
