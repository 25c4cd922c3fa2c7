"""The protocols of SAM3-I's public evaluation, on masks of one row of 100 pixels; parity has the numbers of its code.

Covers ground_truth, records, level_queries, level_benchmark, public_numbers and public_scoring, and
evaluation.benchmarks.hmpl, evaluation.benchmarks.refzom, evaluation.benchmarks.instructpart and
evaluation.benchmarks.sam3i.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from instructsam_model.backends import get_backend
from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle
from instructsam_model.weights.hub import CheckpointSource
from instructsam_training.cli.evaluate import main
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.io.sam3i_file import read_sam3i_file
from instructsam_training.evaluation.benchmarks import BENCHMARKS
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.published import ALL
from instructsam_training.evaluation.report.report import EvaluationSettings
from instructsam_training.evaluation.run import EvaluationRun
from instructsam_training.evaluation.sam3i.ground_truth import read_ground_truth
from instructsam_training.evaluation.sam3i.protocols import MaskSizeError, multi_instance, one_to_one
from instructsam_training.evaluation.sam3i.records import PredictionRecord, read_records, records_of, write_records

MakeMask = Callable[[int, int], Rle]
TEXTS = {'concept': ['mug'], 'simple_query': ['the left mug', 'that mug'], 'complex_query': ['something to drink from']}


def image(number: int, **changes: Any) -> dict[str, Any]:
    return {'id': number, 'file_name': f'{number}.png', 'width': 100, 'height': 1, 'text_inst_input': TEXTS} | changes


def annotation(number: int, image_id: int, mask: Any) -> dict[str, Any]:
    fields = {'id': number, 'image_id': image_id, 'category_id': 1, 'bbox': [0, 0, 9, 1], 'area': 9.0, 'iscrowd': 0}
    return {**fields, 'segmentation': mask}


@pytest.fixture
def file(tmp_path: Path, pixels: MakeMask) -> Path:
    """Write two instances of image 1, one of image 2, and image 3 without a target."""
    for number in (1, 2, 3):
        Image.new('RGB', (100, 1)).save(tmp_path / f'{number}.png')
    annotations = [annotation(1, 1, pixels(0, 10)), annotation(2, 1, pixels(20, 10)), annotation(3, 2, pixels(0, 10))]
    content = {'images': [image(1), image(2), image(3)], 'annotations': annotations}
    written = tmp_path / 'sam3i_val.json'
    written.write_text(json.dumps({**content, 'categories': [{'id': 1, 'name': 'object'}]}))
    return written


def record(annotation_id: int, image_id: int, *masks: Rle) -> PredictionRecord:
    return PredictionRecord(annotation_id, image_id, masks, tuple(0.9 for _ in masks))


def test_one_to_one_counts_records_of_known_annotations(file: Path, pixels: MakeMask) -> None:
    truth = read_ground_truth(file)
    # Two masks are one answer; half of its 20 pixels are those of the annotation.
    result = one_to_one(truth, [record(1, 1, pixels(0, 10), pixels(20, 10)), record(3, 2), record(99, 1, pixels(0, 1))])
    assert result.counted == 2
    assert result.numbers['gIoU'] == pytest.approx((0.5 + 0.0) / 2)
    assert result.numbers['mIoU'] == pytest.approx(10 / 30)
    assert result.numbers['P@50'] == 0.5  # exactly one half counts
    assert result.left_out == {
        'records of unknown annotations, skipped': 1,
        'annotations without a record, not counted': 1,
    }


def test_multi_instance_counts_entries_and_a_right_refusal_as_wrong(file: Path, pixels: MakeMask) -> None:
    truth = read_ground_truth(file)
    right = pixels(0, 10), pixels(20, 10)
    # Image 1 has a right and an empty record, image 2 none, image 3 a right refusal.
    result = multi_instance(truth, [record(1, 1, *right), record(2, 1), record(-1, 3)])
    assert result.counted == 3
    assert result.numbers == {'gIoU': pytest.approx(0.5 / 3), 'P@50': pytest.approx(0.5 / 3)}
    assert result.left_out == {
        'entries without a record, counted as 0': 1,
        'entries without annotations, always counted as 0': 1,
    }


def test_masks_of_another_size(file: Path) -> None:
    wide: Rle = {'size': [1, 101], 'counts': '0e3'}
    with pytest.raises(MaskSizeError, match=r'annotation 1: expected masks of \(1, 100\)'):
        one_to_one(read_ground_truth(file), [record(1, 1, wide)])
    result = multi_instance(read_ground_truth(file), [record(1, 1, wide)])
    assert result.left_out['records with masks of another size, counted as 0'] == 1


def test_records_are_one_for_each_annotation_and_are_read_as_written(file: Path, pixels: MakeMask) -> None:
    content = read_sam3i_file(file, SkipReport())
    masks = pixels(0, 10), pixels(50, 1)
    found = records_of(content, 'simple', {1: PredictedMasks('1', masks, (0.9, 0.5))}, 0.5)
    # Two annotations of image 1; a score of the threshold itself is no detection.
    assert [(each.annotation_id, each.scores) for each in found] == [(1, (0.9,)), (2, (0.9,))]
    assert found[0].prompt['simple_query'] == ['the left mug', 'that mug', 'the left mug']
    written = file.with_name('records.json')
    write_records(reversed(found), written)
    assert read_records(written) == found
    both = PredictionRecord(1, 1, masks, (0.6, 0.9))
    assert both.keep_best().masks == masks[1:]


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        ({}, 'expected an object with annotation_id'),
        ({'annotation_id': 1, 'image_id': 1, 'predictions': [{'rle': {}, 'score': 1}]}, 'size and counts'),
        (
            {
                'annotation_id': 1,
                'image_id': 1,
                'predictions': [{'rle': {'size': [1, 2], 'counts': ''}, 'score': None}],
            },
            'score: expected a number',
        ),
        ({'image_id': 1, 'predictions': []}, 'expected an id'),
    ],
)
def test_damaged_records_are_errors(tmp_path: Path, entry: dict[str, Any], message: str) -> None:
    file = tmp_path / 'records.json'
    file.write_text(json.dumps([entry]))
    with pytest.raises(ConfigError, match=f'records.json: 0: .*{message}'):
        read_records(file)


def test_empty_counts_are_an_empty_mask_and_a_missing_score_is_one(tmp_path: Path) -> None:
    file = tmp_path / 'records.json'
    prediction = {'rle': {'size': [1, 100], 'counts': ''}}
    file.write_text(json.dumps([{'annotation_id': 1, 'image_id': 1, 'predictions': [prediction]}]))
    (found,) = read_records(file)
    assert found.scores == (1.0,)
    assert found.masks[0]['size'] == [1, 100]


def test_damaged_annotations_are_errors(file: Path) -> None:
    content = json.loads(file.read_text())
    content['annotations'][1]['image_id'] = 9
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r'annotations.1: expected an image of the id 9'):
        read_ground_truth(file)
    content['images'].append(content['images'][0])
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r'images.3: expected ids that differ, found 1 again'):
        read_ground_truth(file)


def test_polygons_are_read_where_the_public_evaluation_ends(tmp_path: Path) -> None:
    content = {
        'images': [image(1, height=10)],
        'annotations': [annotation(1, 1, [[0, 0, 10, 0, 10, 10, 0, 10]])],
        'categories': [],
    }
    file = tmp_path / 'sam3i_val.json'
    file.write_text(json.dumps(content))
    assert read_ground_truth(file).annotations[0].rle['size'] == [10, 100]


def test_queries_are_instructions_of_the_level(file: Path) -> None:
    report = SkipReport()
    queries = BENCHMARKS['sam3i_multi'].load_queries(file.parent, 'complex', report)
    assert [(query.text, len(query.targets)) for query in queries] == [
        ('something to drink from', n) for n in (2, 1, 0)
    ]
    content = json.loads(file.read_text())
    content['images'][1]['text_inst_input'] = {'concept': ['mug']}
    file.write_text(json.dumps(content))
    queries = BENCHMARKS['sam3i_1to1'].load_queries(file, 'simple', report)
    assert [query.id for query in queries] == ['1', '3']
    assert report.notes == {'entries without a text of the level simple, left out': 1}


@pytest.mark.parametrize(
    ('name', 'folder', 'numbers'),
    [
        ('hmpl_1to1', 'HMPL-Instruct_1to1', {'gIoU': 60.8, 'P@50': 66.7}),
        ('hmpl_1toN', 'HMPL-Instruct_1toN', {'gIoU': 48.9, 'P@50': 50.0}),
        ('hmpl_1toAll', 'HMPL-Instruct_1toAll', {'gIoU': 60.9, 'P@50': 67.8}),
        ('refzom', 'Ref-ZOM', {'gIoU': 73.6, 'P@50': 80.0}),
        ('instructpart', 'InstructPart', {'mIoU': 70.1}),
    ],
)
def test_released_folders_are_found_and_published_numbers_are_those_of_the_paper(
    file: Path, name: str, folder: str, numbers: dict[str, float]
) -> None:
    benchmark = BENCHMARKS[name]
    (file.parent / folder).mkdir()
    file.rename(file.parent / folder / file.name)
    queries = benchmark.load_queries(file.parent, 'simple', SkipReport(), file.parent)
    assert len(queries) == 3
    assert benchmark.published['simple'][0].numbers == {ALL: numbers}
    assert benchmark.backend_options['complex'] == {'sam3i.level': 'complex'}
    with pytest.raises(ConfigError, match=r'expected .*sam3i_val.json'):
        benchmark.load_queries(file.parent / 'nothing', 'simple', SkipReport())


def test_a_split_sets_the_level_of_the_back_end_unless_the_command_line_does(file: Path) -> None:
    def options(backend: str, **given: Any) -> dict[str, Any]:
        settings = EvaluationSettings('complex', 'authors', 0.5, 'weights', 'published', backend, given)
        benchmark, source = BENCHMARKS['sam3i_multi'], CheckpointSource(file.parent)
        run = EvaluationRun(benchmark, settings, [], source, get_backend(backend), file.parent, 'evaluate', 'auto')
        return run.options

    assert options('sam3i') == {'sam3i.level': 'complex'}
    assert options('sam3i', **{'sam3i.level': 'auto'}) == {'sam3i.level': 'auto'}
    assert options('sam3') == {}


def test_only_the_best_mask_counts_if_asked(file: Path, pixels: MakeMask) -> None:
    predictions, out = file.with_name('predictions.json'), file.parent / 'out'
    both = PredictionRecord(3, 2, (pixels(0, 10), pixels(50, 50)), (0.9, 0.6))
    write_records([both], predictions)
    command = ['sam3i_1to1', f'--data={file.parent}', f'--predictions={predictions}', f'--out={out}', '--max-skipped=1']
    assert main([*command, '--keep-best']) == 0
    report = json.loads((out / 'report.json').read_text())
    assert report['settings']['keep_best']
    assert report['public']['numbers']['gIoU'] == 1.0
    assert report['strata']['targets']['1']['gIoU'] == 1.0


def test_command_reports_the_public_numbers_beside_ours(
    file: Path, pixels: MakeMask, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions, out = file.with_name('predictions.json'), file.parent / 'out'
    write_records([record(1, 1, pixels(0, 10)), record(2, 1, pixels(20, 10)), record(3, 2, pixels(0, 10))], predictions)
    command = ['sam3i_1to1', f'--data={file.parent}', f'--predictions={predictions}', f'--out={out}']
    assert main([*command, '--max-skipped=1']) == 0
    report = json.loads((out / 'report.json').read_text())
    # Each annotation of image 1 has an answer of its own; an instruction has one answer, the first.
    assert report['public']['numbers']['gIoU'] == 1.0
    assert report['overall']['gIoU'] == pytest.approx((0.5 + 1 + 0) / 3)
    assert report['overall']['gIoU, empty is right'] == pytest.approx((0.5 + 1 + 1) / 3)
    assert report['notes'] == {'further predictions of a query that differ from its first one, left out': 1}
    assert 'public evaluation, 1to1' in capsys.readouterr().out
