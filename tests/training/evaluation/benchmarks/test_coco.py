"""A user's COCO file, or the training file made from it, as a benchmark."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle
from instructsam_training.cli.convert import main as convert
from instructsam_training.cli.evaluate import main
from instructsam_training.data.sample import SkipReport
from instructsam_training.evaluation.benchmarks import BENCHMARKS
from instructsam_training.evaluation.query import Query, with_prompt

MakeMask, Save, Paint = Callable[[int, int], Rle], Callable[[str, Any], Path], Callable[..., Path]
CATEGORIES = ('Cup', 'wine_glass', 'Plate')


@pytest.fixture
def coco(save: Save, paint: Paint, pixels: MakeMask) -> Path:
    """Two images: two cups and a glass; one plate. A third one has no annotations."""
    instances = [(7, 1, pixels(0, 10)), (7, 1, pixels(20, 10)), (7, 2, pixels(40, 10)), ('b', 3, pixels(0, 50))]
    images = [(7, '7.png'), ('b', 'b.png'), (9, '9.png')]
    for _, name in images:
        paint(f'images/{name}')
    return save('own.json', {
        'images': [{'id': number, 'file_name': name, 'height': 1, 'width': 100} for number, name in images],
        'categories': [{'id': number, 'name': name} for number, name in enumerate(CATEGORIES, 1)],
        'annotations': [
            {'id': number, 'image_id': image, 'category_id': category, 'segmentation': mask, 'iscrowd': 0}
            for number, (image, category, mask) in enumerate(instances, 1)
        ],
    })  # fmt: skip


def load(file: Path, absent: int = 0, report: SkipReport | None = None) -> list[Query]:
    report = SkipReport() if report is None else report
    return BENCHMARKS['coco'].load_queries(file, 'all', report, file.parent / 'images', absent)


def summary(queries: list[Query]) -> list[tuple[str, str, int]]:
    return [(query.image.name, query.text, len(query.targets)) for query in queries]


def test_one_query_for_each_category_of_an_image(coco: Path) -> None:
    report = SkipReport()
    queries = load(coco, report=report)
    assert summary(queries) == [('7.png', 'cup', 2), ('7.png', 'wine glass', 1), ('b.png', 'plate', 1)]
    assert [query.group for query in queries] == ['cup', 'wine glass', 'plate']
    assert with_prompt(queries, BENCHMARKS['coco'].prompt)[1].text == "Segment 'wine glass'."
    assert report.notes == {'images without annotations, left out': 1}


def test_absent_categories_are_the_same_each_time(coco: Path) -> None:
    queries = load(coco, absent=1)
    absent = [query for query in queries if not query.targets]
    assert [query.image.name for query in absent] == ['7.png', 'b.png', '9.png']
    assert absent[0].text == 'plate'
    assert absent[1].text in ('cup', 'wine glass')
    assert load(coco, absent=1) == queries
    assert summary(load(coco, absent=9))[4:6] == [('b.png', 'cup', 0), ('b.png', 'wine glass', 0)]
    with pytest.raises(ConfigError, match=r'absent: expected 0 for inst2seg, .* got 1'):
        BENCHMARKS['inst2seg'].load_queries(coco, 'test', SkipReport(), absent=1)


def test_converted_file_has_the_same_queries(coco: Path, tmp_path: Path) -> None:
    images, out = tmp_path / 'images', tmp_path / 'train' / 'own.json'
    assert convert(['coco', '--annotations', str(coco), '--images', str(images), '--out', str(out)]) == 0
    converted = BENCHMARKS['coco'].load_queries(out, 'all', SkipReport(), images)
    assert summary(converted) == summary(load(coco))
    # The only data file of a folder needs no name; beside its copy in COCO's format it does.
    copy = out.with_suffix('.coco.json')
    assert summary(BENCHMARKS['coco'].load_queries(copy, 'all', SkipReport(), images)) == summary(converted)
    copy.unlink()
    assert BENCHMARKS['coco'].load_queries(out.parent, 'all', SkipReport(), images) == converted


def test_kinds_of_annotations_of_a_training_file(save: Save, pixels: MakeMask) -> None:
    def entry(kind: str, ann_type: str, *targets: Any) -> dict[str, Any]:
        return {'type': kind, 'text': 'Exit', 'category': 'sign', 'ann_type': ann_type, 'ann': list(targets)}

    entries = [
        entry('sentence', 'mask', pixels(0, 3)), entry('OCR', 'mask', pixels(0, 3)), entry('caption', 'mask'),
        entry('phrase', 'bbox', [0, 0, 5, 1]),
    ]  # fmt: skip
    report = SkipReport()
    file = save('train.json', [{'image': 'a.png', 'height': 1, 'width': 100, 'annotation': entries}])
    queries = with_prompt(load(file, report=report), BENCHMARKS['coco'].prompt)
    assert [(query.group, query.text) for query in queries] == [
        ('sentence', 'Exit'), ('OCR', "Segment the text 'Exit'.")
    ]  # fmt: skip
    assert report.notes == {
        'questions with a text answer, left out': 1, 'annotations with boxes instead of masks, left out': 1
    }  # fmt: skip


def test_results_of_a_detector_by_image_and_category(
    coco: Path, save: Save, pixels: MakeMask, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A result names its image and category by their ids in the file, never by numbers of queries."""
    found = [(7, 1, pixels(0, 10), 0.9), ('7', 2, pixels(0, 10), 0.9), ('b', 3, pixels(0, 50), 0.8)]
    found.append((7, 3, pixels(0, 5), 0.9))
    results = [{'image_id': i, 'category_id': c, 'segmentation': m, 'score': s} for i, c, m, s in found]
    command = ['coco', '--annotations', str(coco), '--images', str(tmp_path / 'images'), '--out', str(tmp_path / 'o')]
    assert main([*command, '--predictions', str(save('results.json', results))]) == 0
    report = json.loads((tmp_path / 'o' / 'report.json').read_text())
    assert report['overall']['gIoU'] == pytest.approx((1 / 2 + 0 + 1) / 3)
    # COCO's AP of cups, glasses and plates: half the recall (51 of 101 points), nothing, all.
    assert report['overall']['COCO AP'] == pytest.approx((51 / 101 + 0 + 1) / 3)
    assert report['strata']['category']['plate']['mAP'] == 1.0
    assert report['notes'] == {
        'images without annotations, left out': 1,
        'predictions for categories that their image is not asked about, left out': 1,
    }
    wrong = [{**result, 'image_id': 0} for result in results]
    assert main([*command, '--predictions', str(save('results.json', wrong))]) == 2
    assert 'expected the id of an image of the annotation file, got 0' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([{'image': 'a', 'cat': ['x'], 'masks': [[]]}], 'expected a COCO file or a training .*, got an evaluation'),
        ({'benchmark': 'x', 'settings': {}, 'overall': {}}, 'got the report of an evaluation'),
    ],
)
def test_wrong_file(save: Save, content: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(save('x.json', content))


def test_folder_with_several_files_is_an_error(coco: Path, save: Save) -> None:
    save('train.json', json.loads(coco.read_text()))
    with pytest.raises(ConfigError, match=r'found .*own.json, .*train.json; name one'):
        load(coco.parent)
