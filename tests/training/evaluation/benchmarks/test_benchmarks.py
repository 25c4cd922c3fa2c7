"""Covers every module of evaluation.benchmarks, evaluation.benchmark, evaluation.prompts and evaluation.published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle
from instructsam_training.data.sample import SkipReport
from instructsam_training.evaluation.benchmark import Benchmark
from instructsam_training.evaluation.benchmarks import BENCHMARKS, find_benchmarks
from instructsam_training.evaluation.metrics import METRICS
from instructsam_training.evaluation.published import ALL
from instructsam_training.evaluation.query import Query, with_prompt

Save = Callable[[str, Any], Path]
Paint = Callable[..., Path]
MakeMask = Callable[[int, int], Rle]
REQUEST = 'Please output the segmentation mask.'


def read(name: str, root: Path, split: str, report: SkipReport | None = None) -> list[Query]:
    return BENCHMARKS[name].load_queries(root, split, SkipReport() if report is None else report)


def prompts(name: str, queries: list[Query]) -> list[str]:
    return prompts_of(BENCHMARKS[name], queries)


def prompts_of(benchmark: Benchmark, queries: list[Query]) -> list[str]:
    return [query.text for query in with_prompt(queries, benchmark.prompt)]


def test_tabletop(save: Save, tmp_path: Path, pixels: MakeMask) -> None:
    entries = [
        {'text': 'the red mug', 'kind': 'attribute', 'mask': [pixels(0, 5)]},
        {'text': 'a cat', 'kind': 'no-target'},
    ]
    entries.insert(0, {'text': 'damaged', 'kind': 'damaged', 'mask': [{}]})
    save('inst2seg.json', [{'image': 'a.png', 'height': 1, 'width': 100, 'scene': 's', 'annotation': entries}])
    report = SkipReport()
    queries = read('tabletop', tmp_path, 'test', report)
    assert [(query.group, len(query.targets)) for query in queries] == [('attribute', 1), ('no-target', 0)]
    assert prompts('tabletop', queries) == ['the red mug', 'a cat']
    assert len(report) == 1
    assert read('tabletop', tmp_path / 'inst2seg.json', 'test') == queries


def test_inst2seg(save: Save, tmp_path: Path, pixels: MakeMask) -> None:
    entries = [{'text': 'Which?', 'mask': [pixels(0, 5), pixels(9, 2)]}, {'text': f'None? {REQUEST}'}]
    save('inst2seg.json', [{'image': 'a.png', 'height': 1, 'width': 100, 'annotation': entries}])
    queries = read('inst2seg', tmp_path, 'test')
    assert [query.id for query in queries] == ['0.0', '0.1']
    assert prompts('inst2seg', queries) == [f'Which? {REQUEST}', f'None? {REQUEST}']


def test_reasonseg_published(save: Save, tmp_path: Path, pixels: MakeMask) -> None:
    record = {'image': 'a.jpg', 'mask': pixels(0, 5), 'ignore_mask': pixels(9, 2)}
    save('reason_seg_val.json', [
        {**record, 'question': 'What keeps rain off?', 'is_sentence': True},
        {**record, 'question': 'Umbrella', 'is_sentence': False},
    ])  # fmt: skip
    queries = read('reasonseg', tmp_path, 'val')
    assert [query.group for query in queries] == ['long', 'short']
    assert queries[0].ignore == pixels(9, 2)
    expected = [f'What keeps rain off? {REQUEST}', "Please segment the 'umbrella' in the image."]
    assert prompts('reasonseg', queries) == expected


def test_reasonseg_release(save: Save, paint: Paint, tmp_path: Path) -> None:
    paint('val/1.jpg', (20, 20))
    shape = {'label': 'target', 'points': [[2, 2], [9, 2], [9, 9]]}
    save('val/1.json', {'text': ['Umbrella', 'not asked'], 'is_sentence': False, 'shapes': [shape]})
    [query] = read('reasonseg', tmp_path, 'val')
    assert (query.id, query.group, len(query.targets)) == ('1.0', 'short', 1)


def test_grefcoco(save: Save, paint: Paint, tmp_path: Path, pixels: MakeMask) -> None:
    paint('train2017/000000000001.jpg')
    record = {'image': 'COCO_train2014_000000000001.jpg', 'height': 1, 'width': 100}
    save('grefcoco_val.json', [{**record, 'cat': ['two men', 'nobody'], 'masks': [[pixels(0, 2), pixels(5, 2)], []]}])
    queries = read('grefcoco', tmp_path, 'val')
    assert [len(query.targets) for query in queries] == [2, 0]
    assert prompts('grefcoco', queries)[0] == "Can you segment 'two men' in the image?"


def test_roborefit_release_and_published(save: Save, tmp_path: Path, paint: Paint, pixels: MakeMask) -> None:
    folder = tmp_path / 'final_dataset' / 'testA'
    paint('final_dataset/testA/image/0000003.png', (4, 6))
    mask_rgb = np.zeros((4, 6, 3), np.uint8)
    mask_rgb[1, 1:3] = 0, 0, 9
    (folder / 'mask' / '0000003').mkdir(parents=True)
    Image.fromarray(mask_rgb).save(folder / 'mask' / '0000003' / '1.png')
    save('final_dataset/testA/roborefit_testA.json', [{
        'num': 0, 'text': 'could you pass the can', 'bbox': [1, 1, 99, 2], 'scene': 'shelf', 'class': 'can',
        'rgb_path': 'final_dataset\\testA\\image\\0000003.png',
        'mask_path': 'final_dataset\\testA\\mask\\0000003\\1.png',
    }])  # fmt: skip
    [query] = read('roborefit', tmp_path, 'testA')
    assert (query.id, query.group, query.box_xyxy) == ('0000003.0', 'shelf', (1, 1, 6, 2))
    assert prompts('roborefit', [query]) == [f'Could you pass the can? {REQUEST}']
    save('roborefit_testA_qa.json', [{'image': 'x.png', 'expression': 'Pass it.', 'masks': pixels(0, 3)}])
    [published] = read('roborefit', tmp_path, 'testA')
    assert prompts('roborefit', [published]) == [f'Pass it. {REQUEST}']
    assert BENCHMARKS['roborefit'].min_score == 0.5


def test_refcoco(save: Save, tmp_path: Path) -> None:
    (tmp_path / 'images' / 'train2014').mkdir(parents=True)
    sentences = [{'sent': 'left man'}, {'sent': 'him'}]
    save('refcoco/refs(unc).json', [
        {'ref_id': 1, 'ann_id': 5, 'image_id': 9, 'split': 'testA', 'sentences': sentences}
    ])  # fmt: skip
    save('refcoco/instances.json', {
        'images': [{'id': 9, 'height': 20, 'width': 30, 'file_name': '9.jpg'}],
        'annotations': [{'id': 5, 'image_id': 9, 'segmentation': [[2, 2, 9, 2, 9, 9]], 'iscrowd': 0}],
    })  # fmt: skip
    assert [query.id for query in read('refcoco', tmp_path, 'testA')] == ['9.0', '9.1']


def test_gseval(save: Save, tmp_path: Path, pixels: MakeMask) -> None:
    line = {'image_path': 'unlabeled2017/1.jpg', 'label': 'sky', 'caption': 'the sky', 'segmentation': pixels(0, 9)}
    lines = [
        {**line, 'idx': 7, 'class_id': 1, 'box': [0, 0, 9, 1]}, {**line, 'idx': 8, 'class_id': 4},
        {**line, 'idx': 9, 'class_id': 5}, {**line, 'idx': 8, 'class_id': 4, 'caption': 'again'},
    ]  # fmt: skip
    save('GroundingSuite-Eval.jsonl', lines)
    report = SkipReport()
    queries = read('gseval', tmp_path, 'test', report)
    assert [(query.id, query.group, query.text) for query in queries] == [
        ('7', 'stuff', 'the sky'), ('8', 'single', 'the sky')
    ]  # fmt: skip
    assert queries[0].image == tmp_path / 'unlabeled2017' / '1.jpg'
    assert [error.reason for error in report.errors] == ['expected idx, and class_id 1 to 4, got 9 and 5']


def test_unknown_split_and_empty_data_set_are_errors(save: Save, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="split: expected one of testA, testB of roborefit, got 'val'"):
        read('roborefit', tmp_path, 'val')
    save('inst2seg.json', [{'image': 'a.png', 'height': 1, 'width': 100, 'annotation': [{'text': 'x', 'mask': [{}]}]}])
    with pytest.raises(ConfigError, match=r'expected queries of inst2seg test, found none; the first .*RLE'):
        read('inst2seg', tmp_path, 'test')


def test_published_numbers_are_of_reported_metrics_and_strata() -> None:
    strata = {
        'inst2seg': {'0', '1', '>=2'},
        'reasonseg': {'long', 'short'},
        'gseval': {'stuff', 'part', 'multi', 'single'},
    }
    for benchmark in BENCHMARKS.values():
        assert {*benchmark.published} <= {*benchmark.splits}
        for result in (result for results in benchmark.published.values() for result in results):
            assert {*result.numbers} <= {ALL} | strata.get(benchmark.name, set())
            metrics = {metric for numbers in result.numbers.values() for metric in numbers}
            assert metrics <= {*benchmark.metrics}


def test_every_metric_exists() -> None:
    assert {metric for benchmark in BENCHMARKS.values() for metric in benchmark.metrics} <= METRICS.keys()


DUMMY = """
from pathlib import Path
from instructsam_training.evaluation.benchmark import Benchmark
from instructsam_training.evaluation.prompts import can_you_segment
from instructsam_training.evaluation.published import ALL, PublishedResult
from instructsam_training.evaluation.query import Query

def read_queries(root, split, report, images):
    yield Query('1', Path('a.png'), (1, 100), 'phrase', 'cup', ())

PUBLISHED = {'test': (PublishedResult('Method', 'Table 1', {ALL: {'gIoU': 50.0}}),)}
BENCHMARKS = (Benchmark('dummy', read_queries, ('test',), can_you_segment, ('gIoU',), published=PUBLISHED),)
"""


def test_one_new_file_is_a_new_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / 'more_benchmarks'
    package.mkdir()
    (package / 'dummy.py').write_text(DUMMY)
    monkeypatch.syspath_prepend(tmp_path)
    [(name, benchmark)] = find_benchmarks([str(package)], 'more_benchmarks').items()
    assert (name, benchmark.published['test'][0].method) == ('dummy', 'Method')
    assert prompts_of(benchmark, benchmark.load_queries(tmp_path, 'test', SkipReport())) == [
        "Can you segment 'cup' in the image?"
    ]
    (package / 'again.py').write_text(DUMMY)
    with pytest.raises(ValueError, match="'dummy' is already a benchmark"):
        find_benchmarks([str(package)], 'more_benchmarks')
