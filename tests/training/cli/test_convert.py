"""instructsam-convert, from a raw release to files that training reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from instructsam_training.cli.conversion_report import write_skipped
from instructsam_training.cli.convert import main
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.io.mixture import find_published_files
from instructsam_training.datasets.io.published import read_published
from tests.support.coco_content import content, image_entry, instance

SQUARE = [0, 0, 2, 0, 2, 4, 0, 4]


def coco(root: Path, *segmentations: Any) -> Path:
    """Write a COCO release with one image for each argument; only the first image file exists."""
    (root / 'annotations').mkdir(parents=True)
    (root / 'train2017').mkdir()
    Image.new('RGB', (6, 4)).save(root / 'train2017' / '000000000000.jpg')
    content = {
        'images': [
            {'id': number, 'file_name': f'{number:012}.jpg', 'height': 4, 'width': 6}
            for number in range(len(segmentations))
        ],
        'annotations': [
            {'id': number, 'image_id': number, 'category_id': 1, 'iscrowd': 0, 'segmentation': segmentation}
            for number, segmentation in enumerate(segmentations)
        ],
        'categories': [{'id': 1, 'name': 'cup'}],
    }
    (root / 'annotations' / 'instances_train2017.json').write_text(json.dumps(content))
    return root


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def command(*arguments: object, out: str = 'out/coco.json') -> tuple[int, str, str]:
        common = ['coco', '--data', tmp_path / 'coco', '--split', 'train', '--out', tmp_path / out]
        status = main([str(argument) for argument in (*common, *arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return command


def numbers(out: str) -> dict[str, int]:
    """Read the printed table of counts."""
    rows = [line.strip('│').split('│') for line in out.splitlines() if line.startswith('│')]
    return {name.strip(): int(number) for name, number in rows}


def test_release_is_converted_to_the_published_format(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    coco(tmp_path / 'coco', [SQUARE], [SQUARE, [4, 0, 6, 0, 6, 4, 4, 4]], [[1, 1]])
    status, out, err = run()
    assert status == 0
    assert numbers(out) == {
        'images': 2,
        'annotations': 2,
        'of these without a target': 0,
        'instances': 2,
        'of these boxes': 0,
        'missing images': 1,
        'images held out': 0,
        'skipped': 1,
    }
    skipped = tmp_path / 'out' / 'coco.json.skipped.txt'
    assert "instances_train2017.json[images.2]: annotation 2 of 'cup'" in skipped.read_text()
    assert str(skipped) in err.replace('\n', '')
    assert '--held-out' in err
    report = SkipReport()
    first, _ = read_published(tmp_path / 'out' / 'coco.json', report, tmp_path / 'coco')
    assert not report.errors
    assert first.image.is_file()
    assert json.loads((tmp_path / 'out' / 'coco.json').read_text())[0]['image'] == 'train2017/000000000000.jpg'


def test_records_are_distributed_over_shards(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    coco(tmp_path / 'coco', *[[SQUARE]] * 5)
    status, out, _ = run('--shards', 2, '--relative-to', tmp_path, out='out/coco.jsonl')
    assert status == 0
    files = find_published_files('coco', tmp_path / 'out')
    assert out.splitlines()[:2] == [str(file) for file in files]
    samples = [sample for file in files for sample in read_published(file, SkipReport(), tmp_path)]
    assert sorted(sample.id for sample in samples) == ['0', '1', '2', '3', '4']
    assert json.loads(files[0].read_text().splitlines()[0])['image'].startswith('coco/train2017/')
    assert not list((tmp_path / 'out').glob('*.skipped.txt'))


def test_held_out_images_are_dropped(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    coco(tmp_path / 'coco', [SQUARE], [SQUARE], [SQUARE])
    (tmp_path / 'refer' / 'refcoco').mkdir(parents=True)
    refs = [{'image_id': 1, 'split': 'testA'}, {'image_id': 2, 'split': 'train'}]
    (tmp_path / 'refer' / 'refcoco' / 'refs(unc).json').write_text(json.dumps(refs))
    status, out, err = run('--held-out', tmp_path / 'refer')
    assert (status, numbers(out)['images'], numbers(out)['images held out']) == (0, 2, 1)
    assert 'use --held-out to drop' not in err
    assert 'because --held-out has no files of them: RefCOCO+, RefCOCOg' in err
    samples = read_published(tmp_path / 'out' / 'coco.json', SkipReport())
    assert [sample.id for sample in samples] == ['0', '2']


def test_skipped_list_is_removed_when_nothing_is_skipped(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    root = coco(tmp_path / 'coco', [SQUARE], [[1, 1]])
    run()
    skipped = tmp_path / 'out' / 'coco.json.skipped.txt'
    assert skipped.is_file()
    file = root / 'annotations' / 'instances_train2017.json'
    file.write_text(file.read_text().replace('[[1, 1]]', json.dumps([SQUARE])))
    run()
    assert not skipped.exists()


def test_skipped_list_escapes_lone_surrogates(tmp_path: Path) -> None:
    report = SkipReport()
    report.skip(Path('a.json'), 0, 'JSON may hold half of a pair: \ud800\nand lines')
    file = write_skipped(report, tmp_path / 'out.json')
    assert file is not None
    assert file.read_text() == 'a.json[0]: JSON may hold half of a pair: \\ud800 and lines\n'


def test_existing_output_is_kept_if_no_record_is_readable(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    root = coco(tmp_path / 'coco', [SQUARE])
    run()
    before = (tmp_path / 'out' / 'coco.json').read_text()
    file = root / 'annotations' / 'instances_train2017.json'
    file.write_text(file.read_text().replace(json.dumps([SQUARE]), '[[1, 1]]'))
    status, _, err = run()
    assert status == 2
    assert 'expected at least one sample, found none; the first that was skipped' in err
    assert (tmp_path / 'out' / 'coco.json').read_text() == before
    assert (tmp_path / 'out' / 'coco.json.skipped.txt').is_file()


@pytest.mark.parametrize(
    ('arguments', 'out', 'message'),
    [
        ((), 'out.json', 'found no such file'),
        ((), 'out.csv', 'expected a name that ends in .json or .jsonl'),
        (('--held-out', '/nowhere'), 'out.json', 'to read the held-out images'),
    ],
)
def test_error_is_one_line_with_status_2(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, arguments: tuple[Any, ...], out: str, message: str
) -> None:
    if out != 'out.json' or arguments:
        coco(tmp_path / 'coco', [SQUARE])
    status, _, err = run(*arguments, out=out)
    assert status == 2
    assert err.startswith('instructsam-convert: error: ')
    assert message in err
    assert err.count('\n') == 1


def user_file(tmp_path: Path, *annotations: dict[str, Any]) -> tuple[Path, Path]:
    """Write a COCO file of one image, and the image into a folder elsewhere; return both."""
    (tmp_path / 'photos' / 'day 1').mkdir(parents=True)
    Image.new('RGB', (6, 4)).save(tmp_path / 'photos' / 'day 1' / '1.jpg')
    file = tmp_path / 'export' / 'result.json'
    file.parent.mkdir()
    images = [image_entry(1, file_name='day%201\\1.jpg')]
    file.write_text(json.dumps(content(images, list(annotations), 'cup', 'pan')))
    return file, tmp_path / 'photos'


def test_file_of_a_user(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, images = user_file(tmp_path, instance(1, [SQUARE]), instance(2, [[1, 1]], id=8))
    out = tmp_path / 'mine.json'
    arguments = ['coco', '--annotations', str(file), '--images', str(images), '--out', str(out)]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert numbers(captured.out)['annotations'] == 1
    assert 'dropped: annotation * of *: polygons' in captured.err
    assert '--held-out' not in captured.err
    (sample,) = read_published(out, SkipReport(), images)
    assert sample.image == images / 'day 1' / '1.jpg'
    out.unlink()
    assert main([*arguments, '--strict']) == 1
    assert 'but 1 records were skipped' in capsys.readouterr().err
    assert not out.exists()


def test_only_images_without_annotations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, images = user_file(tmp_path)
    arguments = ['coco', '--annotations', str(file), '--images', str(images), '--out', str(tmp_path / 'mine.json')]
    assert main(arguments) == 2
    assert 'found none; 1 images without annotations, left out' in capsys.readouterr().err
    assert main([*arguments, '--negatives', '2']) == 0
    assert numbers(capsys.readouterr().out)['of these without a target'] == 2


def test_strict_needs_the_images(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    coco(tmp_path / 'coco', [SQUARE], [SQUARE])
    status, _, err = run('--strict')
    assert status == 1
    assert '0 records were skipped and 1 images are missing' in err


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], 'expected --data and --split'),
        (['--data', '.'], 'expected --data and --split'),
        (['--data', '.', '--split', 'train', '--shards', '0'], 'argument --shards: expected 1 to 99999, got 0'),
        (['--annotations', 'a.json', '--split', 'train'], 'expected --annotations without --data and --split'),
        (['--data', '.', '--split', 'train', '--negatives', '1'], '--boxes, --negatives, --texts'),
    ],
)
def test_arguments_that_do_not_belong_together(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as error:
        main(['coco', '--out', 'a.json', *arguments])
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_data_set_without_single_files(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(['roborefit', '--annotations', 'a.json', '--out', 'b.json'])
    assert 'roborefit: has no --annotations; data sets that do: coco' in capsys.readouterr().err


def test_unknown_data_set_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(['cocoo', '--data', '.', '--split', 'train', '--out', 'a.json'])
    assert error.value.code == 2
    assert 'refcoco+' in capsys.readouterr().err


def test_levels_of_sam3i_are_written_and_read_back(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    coco(tmp_path / 'coco', [SQUARE], [SQUARE])
    status, out, _ = run('--format', 'sam3i', out='out/sam3i_train.json')
    assert status == 0
    assert numbers(out)['annotations'] == 2
    texts = [
        image['text_inst_input'] for image in json.loads((tmp_path / 'out/sam3i_train.json').read_text())['images']
    ]
    assert texts == [{'concept': ['cup'], 'simple_query': [], 'complex_query': []}] * 2
    back = ['sam3i', '--data', tmp_path / 'out', '--split', 'train', '--images', tmp_path / 'coco']
    assert main([str(each) for each in (*back, '--out', tmp_path / 'back.json')]) == 0
    samples = list(read_published(tmp_path / 'back.json', SkipReport(), tmp_path / 'coco'))
    assert [(each.text, each.level) for sample in samples for each in sample.annotations] == [('cup', 'concept')] * 2


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--level', 'simple'], '--level belongs to --format sam3i'),
        (['--format', 'sam3i', '--shards', '2'], 'writes one file'),
    ],
)
def test_arguments_of_another_format(
    run: Callable[..., tuple[int, str, str]], capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    with pytest.raises(SystemExit, match='2'):
        run(*arguments)
    assert words in capsys.readouterr().err
