"""Wrong files, folders and predictions are errors of instructsam-eval that say what was given; no report is written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from instructsam_model.masks import Rle, encode_rle
from instructsam_training.cli.evaluate import main
from tests.support import ROOT

GOLDEN = ROOT / 'tests' / 'golden'
Save, MakeMask = Callable[[str, Any], Path], Callable[[int, int], Rle]


def inst2seg(*masks: Any, image: str = 'a.png') -> dict[str, Any]:
    """A record of Inst2Seg with one question."""
    return {'image': image, 'height': 1, 'width': 100, 'annotation': [{'text': 'Which?', 'mask': list(masks)}]}


@pytest.fixture
def fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail without a report; returns its message."""

    def run(*arguments: str | Path) -> str:
        out = tmp_path / 'out'
        try:
            status = main([*map(str, arguments), '--device', 'cpu', '--out', str(out)])
        except SystemExit as error:  # argparse
            status = int(error.code or 0)
        assert status == 2
        assert not (out / 'report.json').exists()
        return capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ('benchmark', 'content', 'message'),
    [
        ('inst2seg', 'training', 'got a training file in the published format; train with it'),
        ('tabletop', 'training', 'got a training file in the published format; train with it'),
        ('gseval', 'training', 'expected the file of GSEval, got a training file'),
        ('tabletop', [inst2seg([])], 'got an evaluation file in the format of Inst2Seg; evaluate it with'),
        ('roborefit', [inst2seg([])], 'got an evaluation file in the format of Inst2Seg'),
        ('inst2seg', [{'image': 'a', 'cat': ['x'], 'masks': [[]]}], 'got an evaluation file of gRefCOCO; evaluate it'),
        ('grefcoco', [{'image': 'a', 'question': 'x', 'masks': None}], 'got an evaluation file of RoboRefIt'),
        ('inst2seg', {'images': [], 'annotations': []}, 'got a COCO file; evaluate on it with `instructsam-eval coco'),
        ('inst2seg', {'benchmark': 'x', 'settings': {}, 'overall': {}}, 'got the report of an evaluation'),
        ('inst2seg', [{'id': '0.0', 'masks': [], 'scores': []}], 'got a file of predictions; score it with'),
        ('inst2seg', [{'image': 'a', 'conversations': []}], 'got a file of conversations without masks'),
        ('refcoco', [{'ref_id': 1, 'sentences': []}], 'expected the folder of refcoco, got a file of the RefCOCO'),
    ],
)
def test_wrong_data_file_is_named(
    fail: Callable[..., str], save: Save, benchmark: str, content: Any, message: str
) -> None:
    file = GOLDEN / 'train.json' if content == 'training' else save('data.json', content)
    assert message in fail(benchmark, '--data', file)


def test_folder_of_another_kind_says_what_it_holds(fail: Callable[..., str], save: Save, tmp_path: Path) -> None:
    (tmp_path / 'train').mkdir()
    (tmp_path / 'train' / 'data.json').write_bytes((GOLDEN / 'train.json').read_bytes())
    assert 'data.json is a training file in the published format' in fail('inst2seg', '--data', tmp_path / 'train')
    # The right name does not make it the right file.
    (tmp_path / 'train' / 'data.json').rename(tmp_path / 'train' / 'inst2seg.json')
    assert 'got a training file in the published format' in fail('tabletop', '--data', tmp_path / 'train')


def test_another_split_is_named(fail: Callable[..., str], save: Save) -> None:
    file = save('grefcoco_testA.json', [{'image': 'a', 'cat': ['x'], 'masks': [[]]}])
    assert 'its name says testA; use --split testA' in fail('grefcoco', '--data', file, '--split', 'val')


def test_data_set_without_any_target(fail: Callable[..., str], save: Save, pixels: MakeMask) -> None:
    file = save('a.json', [inst2seg(), inst2seg()])
    assert 'none of its 2 queries has one' in fail('inst2seg', '--data', file)
    training = {'text': 'x', 'ann': [json.dumps(pixels(0, 3))], 'type': 'phrase', 'ann_type': 'mask'}
    mixed = {**inst2seg(), 'annotation': [training]}
    file = save('mixed.json', [*[inst2seg(pixels(0, 3))] * 20, mixed])
    message = fail('inst2seg', '--data', file)
    assert '1 of 21 queries and records cannot be read' in message
    assert 'found none, but ann' in message


def test_no_image_exists_and_images_of_another_size(
    fail: Callable[..., str], save: Save, pixels: MakeMask, paint: Callable[..., Path], tmp_path: Path
) -> None:
    file = save('a.json', [inst2seg(pixels(0, 3))])
    message = fail('inst2seg', '--data', file)
    assert '1 of 1 images cannot be used, with 1 of 1 queries; ' in message
    assert 'a.png: expected an image, found no such file' in message
    paint('a.png', (2, 50))
    assert 'a.png: expected 100x1 pixels as in the data file, got 50x2' in fail('inst2seg', '--data', file)
    # The orientation turns the image, whose stored size is wrong too; a right one is `upright`'s.
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((1, 90, 3), dtype=np.uint8)).save(tmp_path / 'a.png', exif=exif)
    assert 'got 1x90 once turned by its EXIF orientation' in fail('inst2seg', '--data', file)


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('p.json', [{'image_id': 'x', 'segmentation': None, 'score': 1}], 'found none that can be used'),
        ('p.json', 'training', 'expected a file of predictions, got a training file in the published format'),
        ('p.json', {'benchmark': 'x', 'settings': {}, 'overall': {}}, 'got the report of an evaluation'),
        ('p.json', 'wrong size', 'found none that can be used; the first that was skipped'),
        ('', None, 'expected a file of predictions, got a folder'),
    ],
)
def test_wrong_predictions(
    fail: Callable[..., str], save: Save, pixels: MakeMask, tmp_path: Path, name: str, content: Any, message: str
) -> None:
    data = save('data.json', [inst2seg(pixels(0, 3))])
    if content == 'training':
        content = json.loads((GOLDEN / 'train.json').read_text())
    if content == 'wrong size':
        content = [{'image_id': '0.0', 'segmentation': encode_rle(np.ones((2, 50), dtype=np.bool_)), 'score': 1.0}]
    file = save(name, content) if name else tmp_path
    assert message in fail('inst2seg', '--data', data, '--predictions', file)


def test_predictions_of_another_benchmark_with_the_same_ids(
    fail: Callable[..., str], save: Save, pixels: MakeMask
) -> None:
    data = save('data.json', [inst2seg(pixels(0, 3))])
    save('earlier/run.json', {'benchmark': 'tabletop', 'split': 'test'})
    file = save('earlier/predictions-0.jsonl', [{'id': '0.0', 'masks': [], 'scores': []}])
    assert 'expected predictions for inst2seg test, got those for tabletop test' in fail(
        'inst2seg', '--data', data, '--predictions', file
    )


@pytest.mark.parametrize(
    'option', [('--limit', '0'), ('--limit', '-3'), ('--max-skipped', '2'), ('--min-score', 'nan')]
)
def test_options_have_ranges(fail: Callable[..., str], tmp_path: Path, option: tuple[str, str]) -> None:
    error = fail('inst2seg', '--data', tmp_path, *option)
    assert re.search(f'argument {option[0]}: expected .*, got {option[1]}', error)


def test_options_that_drop_everything_or_do_nothing(
    save: Save, pixels: MakeMask, fail: Callable[..., str], tmp_path: Path
) -> None:
    data = save('data.json', [inst2seg(pixels(0, 3))])
    predictions = save('p.jsonl', [{'id': '0.0', 'masks': [pixels(0, 3)], 'scores': [0.1]}])
    command = ['inst2seg', '--data', str(data), '--out', str(tmp_path / 'out')]
    assert '--min-score: expected 0 to below 1, got 1' in fail(*command, '--min-score', '1')
    command += ['--predictions', str(predictions)]
    assert 'the largest of 1 masks is 0.1; all would be dropped' in fail(*command)
    for option in ('--dtype=float32', '--instructsam.max_mask_iou=0.5'):
        said = f'expected no options of a model beside it, got {option.partition("=")[0]}'
        assert said in fail(*command, '--min-score', '0.05', option)
    assert main([*command, '--min-score', '0.05']) == 0


def test_share_of_skipped_queries_is_limited(save: Save, pixels: MakeMask, tmp_path: Path) -> None:
    data = save('data.json', [inst2seg(pixels(0, 3)) for _ in range(4)])
    predictions = save('p.json', [
        *({'idx': number, 'segmentation': pixels(0, 3)} for number in range(4)), {'idx': 99, 'segmentation': None}
    ])  # fmt: skip
    command = ['inst2seg', '--data', str(data), '--predictions', str(predictions), '--out', str(tmp_path / 'out')]
    assert main([*command, '--limit', '2']) == 2
    assert main([*command, '--max-skipped', '0.5']) == 1
    report = json.loads((tmp_path / 'out' / 'report.json').read_text())
    assert (report['queries'], report['queries_without_target'], report['overall']['gIoU']) == (4, 0, 1.0)
