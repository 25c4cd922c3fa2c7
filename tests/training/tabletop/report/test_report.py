"""docs/tabletop.md: numbers and images.

Covers tabletop.report.__main__, tabletop.report.document and tabletop.report.sheets.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from instructsam_model.masks import Rle, encode_rle
from instructsam_training.data.sample import SkipReport
from instructsam_training.evaluation.benchmarks import BENCHMARKS
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.report.files import write_json
from instructsam_training.evaluation.report.report import EvaluationSettings, make_report
from instructsam_training.evaluation.report.speed import summarize_speed
from instructsam_training.tabletop.report.__main__ import main

SIZE_HW = (24, 32)
SETTINGS = EvaluationSettings('test', 'authors', 0.3, 'embedded', 'published')
IMAGES = 12


def block(first: int, count: int) -> Rle:
    mask = np.zeros(SIZE_HW, dtype=np.bool_)
    mask[:, first : first + count] = True
    return encode_rle(mask)


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with three queries on each image: with one target, with two, with none."""
    folder = tmp_path_factory.mktemp('data')
    records = []
    for number in range(IMAGES):
        Image.fromarray(np.full((*SIZE_HW, 3), 20 * number, dtype=np.uint8)).save(folder / f'{number}.png')
        annotation = [
            {'text': 'the left one', 'mask': [block(0, 8)], 'kind': 'relation'},
            {'text': 'both of them', 'mask': [block(0, 8), block(16, 8)], 'kind': 'counting'},
            {'text': 'the spoon', 'kind': 'none'},
        ]
        size = {'height': SIZE_HW[0], 'width': SIZE_HW[1]}
        records.append({'image': f'{number}.png', **size, 'annotation': annotation})
    (folder / 'inst2seg.json').write_text(json.dumps(records))
    return folder


def evaluated(folder: Path, data: Path, share: float) -> Path:
    """Write an evaluation in which this share of the images has correct predictions."""
    benchmark = BENCHMARKS['tabletop']
    queries = benchmark.load_queries(data, 'test', SkipReport())
    predictions = {}
    for query in queries:
        is_right = int(query.id.partition('.')[0]) < share * IMAGES
        masks = query.targets if is_right else (block(24, 8),)
        predictions[query.id] = PredictedMasks(
            query.id, masks, (0.9,) * len(masks), 'red mug [SEG]', 0.1, {'encode': 0.05}
        )
    folder.mkdir()
    write_json(folder / 'report.json', make_report(benchmark, SETTINGS, queries, predictions, [])[0])
    write_json(folder / 'speed.json', summarize_speed([*predictions.values()]))
    (folder / 'predictions-0.jsonl').write_text(
        ''.join(json.dumps(asdict(each)) + '\n' for each in predictions.values())
    )
    return folder


@pytest.fixture(scope='module')
def folders(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp('evaluations')
    return {name: evaluated(top / name, data, share) for name, share in (('good', 0.75), ('same', 0.75), ('bad', 0.0))}


def cells(text: str, first: str) -> list[list[str]]:
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in text.splitlines() if line.startswith('|')]
    return [row[1:] for row in rows if row[0] == first]


def test_document(data: Path, folders: dict[str, Path], tmp_path: Path) -> None:
    arguments = ['--data', str(data), '--evaluation', str(folders['good']), '--out']
    shuffled = ['--shuffled', str(folders['bad']), '--machine', 'one core']
    assert main([*arguments, str(tmp_path / 'one'), *shuffled]) == 0
    text = (tmp_path / 'one' / 'tabletop.md').read_text()
    giou, accuracy = cells(text, 'gIoU')[0], cells(text, 'accuracy')[0]
    assert (giou[0], giou[2], accuracy[0]) == ('75.0', '0.0', '75.0')
    assert cells(text, 'counting') == [['12', '75.0', '75.0', '75.0', '0.0']]
    assert cells(text, 'gIoU of queries without a target') == [['at least 85.0', '75.0', 'no']]
    assert cells(text, 'mAP with shuffled instructions') == [['below 15.0', '0.0', 'yes']]
    assert 'median 100 ms, 95 % within 100 ms; peak memory 0.00 GiB. Measured on one core.' in text
    images = {file.name: file.read_bytes() for file in (tmp_path / 'one' / 'tabletop').iterdir()}
    assert sorted(images) == ['counting.jpg', 'none.jpg', 'relation.jpg']
    assert all(f'](tabletop/{name})' in text for name in images)

    # Without shuffled instructions, their columns are absent. A seed repeats the images.
    assert main([*arguments, str(tmp_path / 'two')]) == 0
    text = (tmp_path / 'two' / 'tabletop.md').read_text()
    assert cells(text, 'counting') == [['12', '75.0', '75.0', '75.0']]
    assert {file.name: file.read_bytes() for file in (tmp_path / 'two' / 'tabletop').iterdir()} == images
    assert main([*arguments, str(tmp_path / 'three'), '--seed', '1']) == 0
    assert (tmp_path / 'three' / 'tabletop' / 'none.jpg').read_bytes() != images['none.jpg']


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (['--evaluation', '{data}'], 'report.json: expected a JSON file'),
    ],
)
def test_unusable_evaluations_are_errors(
    data: Path,
    folders: dict[str, Path],
    tmp_path: Path,
    changes: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ['--data', str(data), '--evaluation', str(folders['good']), '--out', str(tmp_path / 'out')]
    assert main([*arguments, *(change.format(data=data, **folders) for change in changes)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out' / 'tabletop.md').exists()


def test_evaluation_of_another_data_set_is_an_error(
    data: Path, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = json.loads((data / 'inst2seg.json').read_text())
    for record in records:
        record['image'] = str(data / record['image'])
        record['annotation'][0]['mask'] = [block(12, 8)]
    (tmp_path / 'inst2seg.json').write_text(json.dumps(records))
    arguments = ['--data', str(tmp_path), '--evaluation', str(folders['good']), '--out', str(tmp_path / 'out')]
    assert main(arguments) == 2
    assert 'expected a gIoU of 0.75 as in its report' in capsys.readouterr().err
