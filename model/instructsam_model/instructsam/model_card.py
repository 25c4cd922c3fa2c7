"""The model card of a checkpoint: `README.md` with the metadata that the Hugging Face hub shows and searches."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from instructsam_model.instructsam.config import ModelConfig
from instructsam_model.weights.embedded import EMBEDDED
from instructsam_model.weights.hub import HUB_PREFIX, is_hub_id

CARD_FILE = 'README.md'
LIBRARY = 'instructsam_ros'
NAME = 'InstructSAM'
TAGS = ('instance-segmentation', 'referring-expression-segmentation', 'instructsam', 'qwen3-vl', 'sam3')
RESULTS_HEADING = '## Results'
NO_RESULTS = 'Not evaluated when it was written.'
CHECKPOINT_LINE = "checkpoint = '{}'"
USAGE = """\
from PIL import Image

from instructsam_model import InstructSAM, InstructSAMProcessor

{checkpoint_line}  # a folder, or an id on the hub
model = InstructSAM.from_pretrained(checkpoint)
processor = InstructSAMProcessor.from_pretrained(checkpoint)
inputs = processor(images=Image.open('image.png'), text='the two largest mugs')
[segmentation] = processor.post_process(model.generate(**inputs))
for instance in segmentation.instances:
    print(instance.label, instance.score, instance.box_xyxy, instance.mask.sum())
"""
"""How to use a checkpoint; the tests run it."""
BODY = """
# {title}

Segments what an instruction asks for: an image and free-form text in, instance masks out. The method is
[InstructSAM](https://arxiv.org/abs/2605.26102); this checkpoint was written by `instructsam_ros`.

## How to use

    pip install instructsam_ros

```python
{usage}```

`load_segmenter(checkpoint)` of the same package is faster for many images, and `checkpoint` of its ROS 2 node takes the
same name. The Auto classes of `transformers` do not load this checkpoint.

## Training

{training}

## Results

{results}

## License

{license}

## Limits

* At most {num_queries} instances per phrase are found in one pass.
* Masks have a resolution of {grid} cells over the image, before they are enlarged.
* Scores are not calibrated probabilities. What the training data lacks is found badly or not at all: evaluate on images
  of the intended use before relying on the masks, and do not rely on them alone where people could be harmed.
"""
ORIGINAL = (
    'The weights were trained from random values by `instructsam_ros` and have its license, Apache 2.0. Licenses of\n'
    'the training data apply as well.'
)
DERIVED = (
    'The weights derive from {bases}; their licenses and those of the training data apply.\n'
    'Qwen3-VL is licensed under Apache 2.0, SAM3 under the SAM License of Meta.'
)
SAM_LICENSE = 'https://github.com/facebookresearch/sam3/blob/main/LICENSE'


@dataclass(frozen=True)
class CardFacts:
    """What a model card says about the origin of a checkpoint.

    Attributes:
        bases: checkpoints that the weights derive from: hub ids, `embedded`, or folders, whose names are not
            published; none if the weights were random.
        data: names of the data sets.
        settings: rows of the table of training settings.
        title: heading.
    """

    bases: tuple[str, ...] = ('an unknown checkpoint',)
    data: tuple[str, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    title: str = NAME


def make_card(facts: CardFacts, config: ModelConfig, checkpoint: str = '.') -> ModelCard:
    """Make the card of a checkpoint.

    Args:
        facts: its origin.
        config: of the network.
        checkpoint: its name in the example.
    """
    hub_ids = [base for base in facts.bases if is_hub_id(base) and not Path(base).exists()]
    is_original = set(facts.bases) <= {EMBEDDED}
    terms: dict[str, Any] = (
        {'license': 'apache-2.0'}
        if is_original
        else {'license': 'other', 'license_name': 'sam-license', 'license_link': SAM_LICENSE}
    )
    data = ModelCardData(
        language='en',
        library_name=LIBRARY,
        pipeline_tag='image-segmentation',
        tags=[*TAGS],
        # The hub refuses a card whose base model is not the id of a model, such as a path.
        base_model=[base.removeprefix(HUB_PREFIX) for base in hub_ids] or None,
        datasets=[_tag(name) for name in facts.data] or None,
        **terms,
    )
    bases = ' and '.join(base if base in hub_ids else 'a local checkpoint' for base in facts.bases)
    body = BODY.format(
        title=facts.title,
        usage=USAGE.format(checkpoint_line=CHECKPOINT_LINE.format(checkpoint)),
        training=_training(facts),
        results=NO_RESULTS,
        license=ORIGINAL if is_original else DERIVED.format(bases=bases),
        num_queries=config.num_queries,
        grid=_mask_grid(config),
    )
    return _join(data, body)


def add_results(card: ModelCard, results: Sequence[EvalResult]) -> ModelCard:
    """Return a card with the results of evaluations, in its metadata and as a table."""
    metadata: dict[str, Any] = card.data.to_dict()  # type: ignore[no-untyped-call]
    content = {key: value for key, value in metadata.items() if key != 'model-index'}
    data = ModelCardData(**content, model_name=NAME, eval_results=[*results])
    data.metrics = sorted({result.metric_type for result in results})
    rows = ['| benchmark | split | metric | value |', '|---|---|---|---|']
    rows += [
        f'| {each.dataset_name} | {each.dataset_split} | {each.metric_type} | {each.metric_value} |' for each in results
    ]
    table = '\n'.join(rows)
    text = re.sub(
        rf'({RESULTS_HEADING}\n\n).*?(?=\n## |\Z)', lambda match: f'{match[1]}{table}\n', card.text, flags=re.S
    )
    return _join(data, text)


def with_checkpoint(card: ModelCard, checkpoint: str) -> ModelCard:
    """Return a card whose example loads the checkpoint under this name, instead of from the folder of the card."""
    return ModelCard(card.content.replace(CHECKPOINT_LINE.format('.'), CHECKPOINT_LINE.format(checkpoint)))


def read_card(folder: Path) -> ModelCard | None:
    """Read the card of a checkpoint; None if it has none with metadata."""
    file = folder / CARD_FILE
    try:
        return ModelCard(file.read_text(encoding='utf-8')) if file.is_file() else None
    except (OSError, ValueError, yaml.YAMLError):
        return None


def _training(facts: CardFacts) -> str:
    if not facts.data and not facts.settings:
        return 'Unknown: the checkpoint was converted, and the original has no card.'
    rows = {'data': ', '.join(facts.data), **facts.settings}
    lines = [f'| {name} | {value} |' for name, value in rows.items()]
    return '\n'.join(['| | |', '|---|---|', *lines])


def _mask_grid(config: ModelConfig) -> str:
    vision = config.sam3.vision_config
    side = int(vision.backbone_config.image_size // vision.backbone_config.patch_size * max(vision.scale_factors))
    return f'{side}x{side}'


def _tag(name: str) -> str:
    """Return the name of a data set with the characters only that the hub allows."""
    return re.sub(r'[^\w.-]+', '-', name)


def _join(data: ModelCardData, body: str) -> ModelCard:
    return ModelCard(f'---\n{data.to_yaml()}\n---\n{body}')
