"""Model cards: valid metadata, code that runs, no paths of this machine."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from instructsam_model.instructsam.model_card import CardFacts, add_results, make_card, read_card, with_checkpoint
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from tests.support import GOLDEN

FACTS = CardFacts(
    bases=('Qwen/Qwen3-VL-2B-Instruct', '/home/me/sam3.pt'),
    data=('refcoco', 'my mugs'),
    settings={'steps': 100, 'learning rate': 1e-5},
)


@pytest.fixture
def card(segmenter: InstructSAMSegmenter) -> ModelCard:
    return make_card(FACTS, segmenter.network.config)


def test_metadata_is_what_the_hub_expects(card: ModelCard, tmp_path: Path) -> None:
    card.save(tmp_path / 'README.md')
    data = ModelCard.load(tmp_path / 'README.md').data
    assert isinstance(data, ModelCardData)
    assert data.library_name == 'instructsam_ros'
    assert data.pipeline_tag == 'image-segmentation'
    assert data.license == 'other'
    assert data.license_name
    assert data.license_link.startswith('https://')
    assert data.base_model == ['Qwen/Qwen3-VL-2B-Instruct']  # the hub refuses paths
    assert data.datasets == ['refcoco', 'my-mugs']
    assert 'instance-segmentation' in data.tags


def test_body_says_what_the_weights_are(card: ModelCard, segmenter: InstructSAMSegmenter) -> None:
    assert '| data | refcoco, my mugs |' in card.text
    assert '| learning rate | 1e-05 |' in card.text
    assert '/home' not in card.content
    assert f'At most {segmenter.network.config.num_queries} instances per phrase' in card.text
    height, width = segmenter.network.mask_grid
    assert f'{height}x{width} cells' in card.text


@pytest.mark.parametrize('bases', [(), ('embedded',)])
def test_weights_that_were_random_have_the_license_of_the_package(
    segmenter: InstructSAMSegmenter, bases: tuple[str, ...]
) -> None:
    card = make_card(CardFacts(bases=bases), segmenter.network.config)
    assert card.data.license == 'apache-2.0'
    assert card.data.base_model is None


def test_results_are_metadata_and_a_table(card: ModelCard) -> None:
    for value in (51.0, 52.5):  # again: they replace the earlier ones
        result = EvalResult(
            task_type='image-segmentation', dataset_type='reasonseg', dataset_name='ReasonSeg', dataset_split='val',
            metric_type='gIoU', metric_value=value,
        )  # fmt: skip
        card = add_results(card, [result])
    card = ModelCard(card.content)
    [read] = card.data.eval_results
    assert (read.dataset_name, read.dataset_split, read.metric_value) == ('ReasonSeg', 'val', 52.5)
    assert card.data.metrics == ['gIoU']
    assert '| ReasonSeg | val | gIoU | 52.5 |' in card.text
    assert '51.0' not in card.content
    assert 'Not evaluated' not in card.text
    assert '\n## License\n' in card.text
    assert card.data.datasets == ['refcoco', 'my-mugs']


def test_code_on_the_card_runs(
    card: ModelCard, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(sorted((GOLDEN / 'images').iterdir())[0], tmp_path / 'image.png')
    monkeypatch.chdir(tmp_path)
    [code] = re.findall(r'```python\n(.*?)```', with_checkpoint(card, str(checkpoint)).text, re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    assert names['checkpoint'] == str(checkpoint)
    assert names['segmentation'].text  # type: ignore[attr-defined]


@pytest.mark.parametrize('content', [None, 'no metadata\n', '---\n- a list\n---\n', '---\n: [\n---\n'])
def test_file_that_is_no_card_is_not_one(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / 'README.md').write_text(content)
    card = read_card(tmp_path)
    assert card is None or not card.data.to_dict()
