"""The small SAM3 that is trained by names of the tabletop. Covers small_sam3_network.py too."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from instructsam_model import CheckpointError, Frame, Instruction, load_segmenter
from instructsam_model.sam3.checkpoint import read_tokenizer
from instructsam_model.weights.embedded import FOLDER
from instructsam_training.datasets.io.sam3i_file import LevelTexts
from instructsam_training.datasets.io.sam3i_writer import open_sam3i_file
from instructsam_training.tabletop.small_network import write_small_model
from instructsam_training.tabletop.small_sam3 import main
from instructsam_training.tabletop.small_sam3_network import DETECTOR, NEW

TEXTS = ['red mug', 'Which mug is left of the red bowl?', 'something to drink from'] * 3


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('sam3')
    with open_sam3i_file(folder / 'sam3i_train.json') as writer:
        writer.append('a.png', (4, 6), LevelTexts(*([text] for text in TEXTS[:3])), [])
        writer.append('a.png', (4, 6), LevelTexts(*([text] for text in TEXTS[3:6])), [])
    main([str(folder / 'sam3i_train.json'), '--out', str(folder / 'start')])
    return folder / 'start'


def test_it_is_a_checkpoint_of_the_back_end_sam3(checkpoint: Path) -> None:
    segmenter = load_segmenter(checkpoint, 'sam3', device='cpu', dtype='float32')
    frame = Frame(np.zeros((240, 320, 3), np.uint8))
    assert segmenter.segment(frame, Instruction('red mug')).size_wh == (320, 240)


def test_detector_is_that_of_the_embedded_checkpoint(checkpoint: Path) -> None:
    written, source = load_file(checkpoint / 'model.safetensors'), load_file(FOLDER / 'model.safetensors')
    old = {name for name in written if not name.startswith(NEW)}
    assert all(torch.equal(written[name], source[f'{DETECTOR}{name}'].float()) for name in old)
    assert {name.split('.')[0] for name in written.keys() - old} == {
        'text_encoder', 'text_projection', 'geometry_encoder', 'detr_decoder',
    }  # fmt: skip


def test_tokenizer_is_clip_s_and_knows_the_words(checkpoint: Path) -> None:
    tokenizer = read_tokenizer(checkpoint)
    assert tokenizer.tokenize('Red MUG') == ['red</w>', 'mug</w>']
    ids = tokenizer('red mug')['input_ids']
    assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    # Position 0 is also the padding of SAM3-I, so no text of letters may have it.
    assert tokenizer.convert_ids_to_tokens(0) == '!'
    assert tokenizer.decode(tokenizer('ünknown zebra')['input_ids'], skip_special_tokens=True) == 'ünknown zebra'


def test_small_instructsam_takes_its_detector(checkpoint: Path, tmp_path: Path) -> None:
    network = write_small_model(TEXTS, tmp_path / 'start', sam3=checkpoint)
    own, written = network.model.grounding_model.model.state_dict(), load_file(checkpoint / 'model.safetensors')
    assert all(torch.equal(tensor, written[name]) for name, tensor in own.items())


def test_folders_in_use_and_other_sources_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    files = [str(checkpoint.parent / 'sam3i_train.json')]
    with pytest.raises(SystemExit, match='new or empty folder'):
        main([*files, '--out', str(checkpoint)])
    with pytest.raises(SystemExit, match='small_sam3: '):
        main([*files, '--source', str(checkpoint), '--out', str(tmp_path / 'start')])
    (tmp_path / 'config.json').write_text(json.dumps({}))
    with pytest.raises(CheckpointError):
        write_small_model(TEXTS, tmp_path / 'other', sam3=tmp_path)
