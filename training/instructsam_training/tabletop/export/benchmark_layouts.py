"""Writes test scenes of the tabletop in the layouts of the paper's benchmarks, to try their commands in small.

python -m instructsam_training.tabletop.export.benchmark_layouts data/tabletop-test data/benchmarks

    <out>/inst2seg/inst2seg.json                      every instruction
    <out>/reasonseg/reason_seg_{val,test}.json        instructions with a target; those with a name alone are short ones
    <out>/grefcoco/grefcoco_{val,testA,testB}.json    instructions with a name, and those without a target
    <out>/gseval/GroundingSuite-Eval.jsonl            instructions with a target; two kinds stand for stuff and parts
    <out>/roborefit/roborefit_{testA,testB}_qa.json   instructions with one target

The files are those that the public evaluation reads, with images as links. All texts are instructions of the tabletop,
also where the benchmark has names, because the embedded checkpoint knows these: evaluate it with `--prompt unchanged`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from instructsam_model.command_line import ArgumentParser
from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle, to_rle
from instructsam_training.datasets.io.files import find, load_list

Record = Mapping[str, Any]
GSEVAL_CLASSES = {'stuff': 1, 'part': 2, 'multi': 3, 'single': 4}
FUNCTION, CATEGORY = 'function', 'category'
"""Kinds of instructions: about the use of an object, and with its name alone."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 if all files are written and 2 on an error."""
    parser = ArgumentParser(
        prog='python -m instructsam_training.tabletop.export.benchmark_layouts',
        description="Write simulated tabletops in the layouts of the paper's benchmarks.",
    )
    parser.add_argument('source', type=Path, help='folder of instructsam-tabletop --split test')
    parser.add_argument('out', type=Path, help='gets a folder for each benchmark')
    arguments = parser.parse_args(argv)
    try:
        print(json.dumps(write_layouts(arguments.source, arguments.out)))
    except (ConfigError, OSError) as error:
        print(f'benchmark_layouts: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    return 0


def write_layouts(source: Path, out: Path) -> dict[str, int]:
    """Write all files.

    Returns:
        Number of records of each file.

    Raises:
        ConfigError: there is no test split in the folder.
        OSError: a file cannot be written.
    """
    records = load_list(find(source, 'inst2seg.json'))
    files: dict[str, list[Any]] = {}
    for number, record in enumerate(records):
        for file, entries in _entries(record, number).items():
            files.setdefault(file, []).extend(entries)
    for file, content in files.items():
        path = out / file
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.suffix == '.jsonl'
        text = ''.join(json.dumps(entry) + '\n' for entry in content) if lines else json.dumps(content)
        path.write_text(text, encoding='utf-8')
    _link_images(records, source.resolve(), out)
    return {file: len(content) for file, content in files.items()}


def _entries(record: Record, number: int) -> dict[str, list[Any]]:
    """Return the records of one scene, by file; the splits take turns."""
    image, size = record['image'], {'height': record['height'], 'width': record['width']}
    grefcoco = ('val', 'testA', 'testB')[number % 3]
    reasonseg, robot = ('val', 'test')[number % 2], ('testA', 'testB')[number % 2]
    questions = [(entry, [to_rle(mask) for mask in entry.get('mask') or []]) for entry in record['annotation']]
    found = [(entry, masks) for entry, masks in questions if masks]
    named = [(entry, masks) for entry, masks in questions if entry['kind'] in (CATEGORY, 'none')]
    return {
        'inst2seg/inst2seg.json': [
            {'image': image, **size, 'annotation': [_without(entry, 'kind', 'phrase') for entry, _ in questions]}
        ],
        f'reasonseg/reason_seg_{reasonseg}.json': [
            {
                'image': image,
                'question': entry['text'],
                'is_sentence': entry['kind'] != CATEGORY,
                'mask': _union(masks),
            }
            for entry, masks in found
        ],
        f'grefcoco/grefcoco_{grefcoco}.json': [
            {
                'image': f'COCO_train2014_{_coco_name(number)}',
                **size,
                'cat': [entry['text'] for entry, _ in named],
                'masks': [masks for _, masks in named],
            }
        ]
        if named
        else [],
        'gseval/GroundingSuite-Eval.jsonl': [
            {
                'idx': f'{number}.{index}',
                'image_path': image,
                'class_id': GSEVAL_CLASSES[_class(entry, masks)],
                'caption': entry['text'],
                'box': _box(masks),
                'segmentation': _union(masks),
            }
            for index, (entry, masks) in enumerate(found)
        ],
        f'roborefit/roborefit_{robot}_qa.json': [
            {'image': image, 'question': entry['text'], 'masks': masks[0]} for entry, masks in found if len(masks) == 1
        ],
    }


def _without(entry: Record, *keys: str) -> Record:
    return {key: value for key, value in entry.items() if key not in keys}


def _class(entry: Record, masks: Sequence[Rle]) -> str:
    """Return the class of GSEval; the tabletop has neither parts nor stuff."""
    by_kind = {FUNCTION: 'part', CATEGORY: 'stuff'}
    return by_kind.get(entry['kind'], 'multi' if len(masks) > 1 else 'single')


def _union(masks: Sequence[Rle]) -> Rle:
    return to_rle(coco_mask.merge(list(masks)))


def _box(masks: Sequence[Rle]) -> list[float]:
    x, y, width, height = coco_mask.toBbox(coco_mask.merge(list(masks))).tolist()
    return [x, y, x + width, y + height]


def _coco_name(number: int) -> str:
    return f'{number:012}.png'


def _link_images(records: Sequence[Record], source: Path, out: Path) -> None:
    """Link the images where the readers of the benchmarks look for them."""
    for folder in ('inst2seg', 'reasonseg', 'gseval', 'roborefit'):
        for part in {Path(record['image']).parts[0] for record in records}:
            _link(out / folder / part, source / part)
    for number, record in enumerate(records):
        _link(out / 'grefcoco' / 'train2017' / _coco_name(number), source / record['image'])


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(target)


if __name__ == '__main__':
    sys.exit(main())
