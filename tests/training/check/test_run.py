"""The check of training data. Covers check/facts.py, check/faults.py, check/summary.py, check/table.py."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from instructsam_training.check.run import FILE, SHEET, choose_samples
from instructsam_training.cli.train import main
from tests.support.faulty_data import (
    ANNOTATION_FAULTS,
    SAMPLE_FAULTS,
    annotation,
    record,
    write_faulty_data,
    write_good_data,
)
from tests.support.small_run import write_run


def check(folder: Path, *settings: str, samples: int = 0) -> tuple[int, dict[str, Any]]:
    """Run `--check` on `folder/data`; return the exit status and the content of the report."""
    data = [
        f'stages.0.data.folder={folder / "data"}',
        'stages.0.data.files=[data]',
        f'stages.0.data.check_samples={samples}',
    ]
    status = main([str(write_run(folder)), '--check', *data, *settings])
    return status, json.loads((folder / 'run' / 'one' / FILE).read_text())


@pytest.fixture(scope='module')
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, dict[str, Any]]:
    folder = tmp_path_factory.mktemp('faulty')
    write_faulty_data(folder / 'data')
    return folder, *check(folder)


def test_every_fault_is_counted_by_kind_with_the_names_of_files(faulty: tuple[Path, int, dict[str, Any]]) -> None:
    folder, status, report = faulty
    assert status == 2
    assert report['sample_faults'] == SAMPLE_FAULTS
    assert report['annotation_faults'] == ANNOTATION_FAULTS
    assert (report['samples'], report['checked'], report['unreadable']) == (19, 19, 7)
    assert report['unreadable_annotations'] == 6
    for kind, name in {'image missing': 'none', 'image damaged': 'cut', 'pixel format': 'deep'}.items():
        assert str(folder / 'data' / f'{name}.png') in report['examples'][kind][0]
    assert 'allow_resized' in ' '.join(report['examples']['image of another size'])
    assert 'data.jsonl[12]' in ' '.join(report['examples']['record damaged'])
    assert '7 of 19 samples cannot be used (image of another size 2, ' in report['refusals'][0]


def test_content_is_counted(faulty: tuple[Path, int, dict[str, Any]]) -> None:
    _, _, report = faulty
    assert report['num_queries'] == 4
    assert (report['over_num_queries'], report['largest_count']) == (2, 11)
    assert report['repeated_records'] == 1
    assert report['kinds'] == {'phrase': 12}
    assert report['forms'] == {'mask': 12}
    assert report['heights'] == {'min': 48, 'median': 48, 'max': 48}
    assert 20 < report['tokens']['max'] < report['max_positions']


def test_the_sheet_shows_the_readable_samples(faulty: tuple[Path, int, dict[str, Any]]) -> None:
    with Image.open(faulty[0] / 'run' / 'one' / SHEET) as sheet:
        assert sheet.size == (4 * 430 + 10, 3 * 712 + 10)


def test_good_data_passes_and_the_limit_can_be_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_good_data(tmp_path / 'data', 6)
    assert check(tmp_path)[0] == 0
    write_good_data(tmp_path / 'data', 6, lambda number, each: each.update(image='none.png') if number == 3 else None)
    assert check(tmp_path)[0] == 2
    assert '1 of 6 samples cannot be used (image missing 1)' in capsys.readouterr().err
    assert check(tmp_path, 'stages.0.data.max_unreadable=0.2')[0] == 0


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        ({'images': [], 'annotations': [], 'categories': []}, 'got a COCO file; convert it with instructsam-convert'),
        (record('good.png', annotation=[]), 'none of its annotations can be read: it has none'),
        ({'image': None}, r'\(record damaged 1\).*expected text in image'),
    ],
    ids=['coco', 'no-annotation', 'no-image'],
)
def test_file_of_another_kind_is_named(tmp_path: Path, content: dict[str, Any], reason: str) -> None:
    write_good_data(tmp_path / 'data', 1).write_text(json.dumps(content) + '\n')
    status, report = check(tmp_path)
    assert status == 2
    assert re.search(reason, report['refusals'][0])


def test_data_without_a_readable_sample_is_refused_whatever_the_limit(tmp_path: Path) -> None:
    write_good_data(tmp_path / 'data', 2, lambda number, each: each.update(image='none.png'))
    status, report = check(tmp_path, 'stages.0.data.max_unreadable=1')
    assert (status, report['refusals']) == (2, ['none of the 2 samples can be used, so nothing would be trained'])


def test_annotations_that_cannot_be_read_are_refused_too(tmp_path: Path) -> None:
    damaged = annotation('damaged', [1, 2, 3])
    write_good_data(tmp_path / 'data', 4, lambda number, each: each['annotation'].append(damaged))
    status, report = check(tmp_path)
    assert (status, report['unreadable']) == (2, 0)
    assert '4 of 8 annotations cannot be used (mask damaged 4)' in report['refusals'][0]


@pytest.mark.parametrize(
    'settings',
    [('stages.0.data.conversation.kinds=[caption]',), ('stages.0.data.conversation.phrases=[nothing]',)],
    ids=['kinds', 'phrases'],
)
def test_data_that_trains_nothing_is_refused(tmp_path: Path, settings: tuple[str, ...]) -> None:
    write_good_data(tmp_path / 'data', 3)
    status, report = check(tmp_path, *settings)
    assert (status, report['without_question']) == (2, 3)
    assert 'none of the 3 samples has anything that this stage trains' in report['refusals'][0]


def test_captions_train_no_detector(tmp_path: Path) -> None:
    caption = {'type': 'caption', 'text': 'What is it?', 'category': 'a box', 'ann': None}
    write_good_data(tmp_path / 'data', 2, lambda number, each: each.update(annotation=[caption]))
    assert check(tmp_path)[0] == 0
    assert check(tmp_path, 'stages.0.objective=detector')[0] == 2


def test_conversations_over_the_limit_of_the_model_are_unreadable(tmp_path: Path) -> None:
    write_good_data(tmp_path / 'data', 1, lambda number, each: each['annotation'].append(annotation('box ' * 40_000)))
    status, report = check(tmp_path, 'stages.0.data.conversation.merge_pairs=false')
    assert (status, report['sample_faults']) == (2, {'conversation too long': 1})


def test_a_part_of_large_data_is_read_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_good_data(tmp_path / 'data', 30)
    _, report = check(tmp_path, samples=5)
    assert (report['samples'], report['checked']) == (30, 5)
    assert '5 of them read' in capsys.readouterr().out
    chosen = choose_samples(1000, 50, seed=1)
    assert len({*chosen}) == 50
    assert chosen == choose_samples(1000, 50, seed=1) != choose_samples(1000, 50, seed=2)
    assert sorted(choose_samples(7, 0, seed=1)) == [*range(7)]
