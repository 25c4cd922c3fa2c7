"""`instructsam-convert` with a user's own data: parts, texts, and what it refuses.

Covers datasets/annotation_tools/tools.py and datasets/annotation_tools/validation_share.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from instructsam_model.errors import ConfigError
from instructsam_training.cli.convert import main
from instructsam_training.datasets.annotation_tools.validation_share import choose_validation, image_ids, write_part
from tests.support.own_exports import export_label_studio, export_labelme, export_roboflow
from tests.support.own_photos import blank_photos


def read(file: Path) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = json.loads(file.read_text())
    return content


def test_a_validation_part_with_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export_labelme(tmp_path / 'images', blank_photos(10))
    (tmp_path / 'texts.yaml').write_text('class_0: {name: gear, instructions: ["Which part turns?"]}')
    out = tmp_path / 'data' / 'own.json'
    arguments = ['labelme', '--data', str(tmp_path / 'images'), '--out', str(out), '--val-share', '0.3']
    assert main([*arguments, '--texts', str(tmp_path / 'texts.yaml'), '--seed', '1']) == 0
    printed = capsys.readouterr().out
    train, validation = read(out), read(out.with_name('own_val.json'))
    assert (len(train), len(validation)) == (7, 3)
    assert not {record['image'] for record in train} & {record['image'] for record in validation}
    texts = {(entry['type'], entry['text'], entry['category']) for record in train for entry in record['annotation']}
    assert texts == {
        ('phrase', 'red mug', None), ('phrase', 'gear', None), ('sentence', 'Which part turns?', 'gear'),
    }  # fmt: skip
    # COCO files of both parts with the names that are asked for, for instructsam-eval coco.
    for name, records in (('own', train), ('own_val', validation)):
        assert f'{name}.coco.json' in printed
        coco = json.loads(out.with_name(f'{name}.coco.json').read_text())
        assert {category['name'] for category in coco['categories']} == {'red mug', 'gear'}
        assert len(coco['images']) == len(records)
        ids = {entry['id'] for entry in coco['images']}
        assert {entry['image_id'] for entry in coco['annotations']} == ids
    # The same seed gives the same parts.
    assert main([*arguments, '--texts', str(tmp_path / 'texts.yaml'), '--seed', '1']) == 0
    assert read(out.with_name('own_val.json')) == validation


def test_roboflow_splits_and_absent_categories(tmp_path: Path) -> None:
    export_roboflow(tmp_path / 'rf', {'train': blank_photos(4), 'valid': blank_photos(2)})
    for split, count in (('train', 4), ('valid', 2)):
        out = tmp_path / f'{split}.json'
        arguments = ['roboflow', '--data', str(tmp_path / 'rf'), '--split', split, '--out', str(out), '--absent', '3']
        assert main(arguments) == 0
        records = read(out)
        assert len(records) == count
        # Every image is asked about both categories, and never about that of Roboflow's project.
        assert {entry['text'] for record in records for entry in record['annotation']} == {'red mug', 'class 0'}
        assert all(len(record['annotation']) == 2 for record in records)


def test_names_that_say_nothing_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export = export_label_studio(tmp_path / 'ls', blank_photos(2))
    assert main(['label_studio', '--data', str(export), '--out', str(tmp_path / 'own.json')]) == 0
    assert 'whose names say nothing' in ' '.join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['--val-share', '1'], '--val-share: expected a number above 0 and below 1, got 1'),
        (['--split', 'train'], "--split: exports of labelme have none, got 'train'; --val-share makes one"),
        (['--texts', 'texts.yaml'], 'texts.yaml: expected YAML, cannot read it'),
        (['--images', 'nowhere'], 'nowhere'),
    ],
)
def test_wrong_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    export_labelme(tmp_path / 'images', blank_photos(2))
    out = tmp_path / 'own.json'
    assert main(['labelme', '--data', str(tmp_path / 'images'), '--out', str(out), *arguments]) == 2
    assert said in ' '.join(capsys.readouterr().err.split())
    assert not out.exists()


def test_nothing_at_the_path_and_no_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['yolo', '--data', str(tmp_path / 'x'), '--split', 'train', '--out', str(tmp_path / 'own.json')]) == 2
    assert 'expected data.yaml, or its folder, found nothing there' in ' '.join(capsys.readouterr().err.split())
    with pytest.raises(SystemExit):
        main(['yolo', '--out', str(tmp_path / 'own.json')])
    assert 'expected --data: data.yaml' in ' '.join(capsys.readouterr().err.split())


def coco(names: list[str]) -> dict[str, Any]:
    images = [{'id': number, 'file_name': name} for number, name in enumerate(names)]
    return {'images': images, 'annotations': [{'image_id': entry['id']} for entry in images]}


def test_copies_of_an_image_stay_together() -> None:
    """Roboflow's augmented copies of one image, and one file under two ids."""
    names = [f'{name}_jpg.rf.{number}a.jpg' for name in 'abcdefgh' for number in range(3)] + ['i.jpg', 'i.jpg']
    for seed in range(20):
        chosen = choose_validation(coco(names), 0.3, seed)
        stems = {names[int(number)].partition('.')[0] for number in chosen}
        assert len(stems) == 3
        assert len(chosen) == sum(name.partition('.')[0] in stems for name in names)


def test_ids_of_the_parts_are_in_one_form(tmp_path: Path) -> None:
    content = coco(['a.jpg', 'b.jpg', 'c.jpg'])
    content |= {'categories': [{'id': 1, 'name': 'mug'}], 'images': [*content['images'], 'damaged']}
    content['images'][1]['id'], content['annotations'][2]['image_id'] = 1.0, '2'
    assert choose_validation(content, 0.99, 0) < image_ids(content) == {'0', '1', '2'}
    part = json.loads(write_part(tmp_path / 'part.json', content, frozenset('12'), str).read_text())
    assert [entry['file_name'] for entry in part['images']] == ['b.jpg', 'c.jpg']
    assert len(part['annotations']) == 2


def test_images_without_annotations_are_not_for_validation() -> None:
    content = coco(['a.jpg', 'b.jpg', 'c.jpg'])
    content['annotations'] = content['annotations'][:2]
    assert {*choose_validation(content, 0.01, 0), *choose_validation(content, 0.99, 0)} <= {'0', '1'}
    content['annotations'] = content['annotations'][:1]
    with pytest.raises(ConfigError, match='expected at least two annotated images, found 1'):
        choose_validation(content, 0.5, 0)


def test_the_input_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export_labelme(tmp_path, blank_photos(1))
    (labels,) = tmp_path.glob('*.json')
    before = labels.read_text()
    assert main(['labelme', '--data', str(tmp_path), '--out', str(labels)]) == 2
    assert 'it would replace' in capsys.readouterr().err
    assert labels.read_text() == before
    # What the command wrote itself is replaced, but not read and replaced at once.
    arguments = ['labelme', '--data', str(tmp_path), '--out', str(tmp_path / 'own.json')]
    assert [main(arguments), main(arguments)] == [0, 0]
    coco = tmp_path / 'own.coco.json'
    before = coco.read_text()
    for out in (coco, tmp_path / 'own.json'):
        assert main(['coco', '--annotations', str(coco), '--out', str(out)]) == 2
        assert f'would replace {coco}, which is read' in capsys.readouterr().err
    assert coco.read_text() == before


@pytest.mark.parametrize('name', [3, True, '', '___', None])
def test_a_category_without_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: Any) -> None:
    category = {'id': 1, 'name': name}
    content = {'images': [{}], 'annotations': [{}], 'categories': [category]}
    (tmp_path / 'a.json').write_text(json.dumps(content))
    assert main(['coco', '--annotations', str(tmp_path / 'a.json'), '--out', str(tmp_path / 'own.json')]) == 2
    said = f'expected categories with id and name, a text with letters or digits, got {category}'
    assert said in capsys.readouterr().err


def test_entries_that_are_no_objects_are_skipped(tmp_path: Path) -> None:
    export_roboflow(tmp_path, {'train': blank_photos(3)})
    file = tmp_path / 'train' / '_annotations.coco.json'
    content = json.loads(file.read_text())
    for key in ('images', 'annotations'):
        content[key].append(None)
    file.write_text(json.dumps(content))
    out = tmp_path / 'own.json'
    assert main(['coco', '--annotations', str(file), '--out', str(out), '--val-share', '0.4']) == 0
    assert len(read(out)) == 2
    assert len(json.loads((tmp_path / 'own.coco.json').read_text())['images']) == 2
    assert (tmp_path / 'own.json.skipped.txt').read_text().count('None') == 2
