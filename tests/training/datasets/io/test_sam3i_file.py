import json

import pytest

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.io.sam3i_file import LevelTexts, Sam3iFile, read_sam3i_file

RLE = {'size': [4, 6], 'counts': [0, 2, 22]}
CUP = {'concept': ['cup'], 'simple_query': ['the left cup', 'the small cup'], 'complex_query': []}


def image(image_id: int, **changes) -> dict:
    entry = {'id': image_id, 'file_name': 'a.png', 'width': 6, 'height': 4, 'text_inst_input': CUP}
    return entry | changes


def annotation(annotation_id: int, image_id: int, **changes) -> dict:
    box = {'bbox': [0, 0, 1, 2.5], 'area': 2, 'iscrowd': 0, 'segmentation': RLE}
    return {'id': annotation_id, 'image_id': image_id, 'category_id': 1, **box} | changes


@pytest.fixture
def read(tmp_path):
    def read(images: list, annotations: list, report: SkipReport | None = None) -> Sam3iFile:
        content = {'images': images, 'annotations': annotations, 'categories': [{'id': 1, 'name': 'object'}]}
        file = tmp_path / 'sam3i_train.json'
        file.write_text(json.dumps(content))
        return read_sam3i_file(file, SkipReport() if report is None else report)

    return read


def test_texts_instances_and_entries_without_a_target(read):
    found = read([image(8), image(3)], [annotation(5, 3), annotation(4, 3, iscrowd=1)])
    assert [entry.id for entry in found.images] == [8, 3]
    assert found.images[0].texts == LevelTexts(('cup',), ('the left cup', 'the small cup'))
    assert found.images[0].texts.of('complex') == ()
    assert [each.id for each in found.instances_by_image[3]] == [5, 4]
    assert found.instances_by_image[8] == ()
    crowd = found.instances[1]
    assert (crowd.is_crowd, crowd.box_xywh, crowd.area) == (True, (0.0, 0.0, 1.0, 2.5), 2.0)
    assert crowd.rle((4, 6))['size'] == [4, 6]
    assert found.categories == {1: 'object'}


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'bbox': [0, 0, 1]}, 'left, top, width and height'),
        ({'bbox': [0, 0, 1, float('nan')]}, 'expected numbers'),
        ({'area': None}, 'area: expected numbers'),
        ({'iscrowd': None}, 'expected 0 or 1'),
        ({'category_id': 7}, 'a category of the file, got 7'),
    ],
)
def test_a_damaged_annotation_takes_its_entry_with_it(read, changes, words):
    report = SkipReport()
    found = read([image(1), image(2)], [annotation(1, 1), annotation(2, 1, **changes), annotation(3, 2)], report)
    assert [entry.id for entry in found.images] == [2]
    assert [each.id for each in found.instances] == [3]
    assert words in str(report.errors[0])
    assert 'its target is incomplete' in str(report.errors[1])


def test_damaged_entries_of_images_and_annotations_without_one_are_reported(read):
    report = SkipReport()
    broken = image(2, text_inst_input={'concept': [3]})
    found = read([image(1), broken, image(3, width=0)], [annotation(1, 9), annotation(2, 2)], report)
    assert [entry.id for entry in found.images] == [1]
    assert found.instances == ()
    assert [error.index for error in report.errors] == ['images.1', 'images.2', 'annotations.0', 'annotations.1']


@pytest.mark.parametrize(
    ('images', 'annotations', 'words'),
    [
        ([image(1), image(1)], [], 'found 1 again'),
        ([image(1)], [annotation(1, 1), annotation(1, 1)], 'annotations.1: expected ids that differ'),
        ([image(1)], [annotation(1, None)], 'annotations.0.image_id'),
        ([], [], 'expected images, found an empty list'),
    ],
)
def test_ids_that_do_not_say_what_belongs_together_are_an_error(read, images, annotations, words):
    with pytest.raises(ConfigError, match=words):
        read(images, annotations)
