"""Parity of the forward pass: `vision.safetensors` has the tensors of the images, `forward_type*` those of a text type.

Every recorded tensor is compared that the network computes; the set may have more or fewer.

Notation: B queries, L tokens, K decoder queries, C SAM3's hidden size, S positions of the coarsest feature map.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import Tensor

from instructsam_model.sam3.features import Detections
from instructsam_model.sam3i.levels import Level
from instructsam_model.sam3i.network import PADDING_ID, Prediction, Sam3I
from instructsam_training.parity.report import Difference, NotCompared
from instructsam_training.parity.sam3i.activations import Recorded, record_activations
from instructsam_training.parity.sam3i.golden_files import read_tensors
from instructsam_training.parity.sam3i.golden_inputs import LEVELS, GoldenInputs

TEXT_TOLERANCE, MASK_TOLERANCE, TOLERANCE = 1e-5, 2e-4, 5e-5
MASKS = ('out.pred_masks', 'out.semantic_seg', 'mask.instance_embed.query0')
PER_TYPE = ('out.', 'text.language_features')
"""Beginnings of the names of results, which have a row for each text type; others have one for all."""


def compare_vision(inputs: GoldenInputs) -> list[Difference | NotCompared]:
    """Compare the preprocessed images, and the feature maps and position encoding of the image encoder."""
    golden, vision = read_tensors(inputs.folder / 'vision.safetensors'), inputs.vision
    ours = {'pixel_values': inputs.pixel_values, 'vision.pos2': vision.positions}
    ours |= {f'vision.fpn{level}': features for level, features in enumerate(vision.maps)}
    rows: list[Difference | NotCompared] = []
    for name, expected in golden.items():
        if name in ours:
            # Some maps are recorded for the first images only.
            rows.append(Difference.arrays(f'vision {name}', ours[name][: len(expected)], expected, abs_tol=TOLERANCE))
        else:
            rows.append(NotCompared(f'vision.safetensors: {name}, not computed by this code'))
    return rows


def compare_forward(inputs: GoldenInputs) -> list[Difference | NotCompared]:
    """Compare every tensor of every text type that the set has.

    Raises:
        OSError, ValueError: a file cannot be read.
    """
    rows: list[Difference | NotCompared] = []
    for file in sorted(inputs.folder.glob('forward_type*.safetensors')):
        text_type = int(re.sub(r'\D', '', file.stem))
        if text_type not in LEVELS:
            rows.append(NotCompared(f'{file.name}: expected the text types {", ".join(map(str, LEVELS))}'))
            continue
        golden, ours = read_tensors(file), compute_tensors(inputs, LEVELS[text_type])
        for name in sorted(golden.keys() & ours.keys()):
            row = f'type{text_type} {name}' if name.startswith(PER_TYPE) else re.sub('[0-9]+', '*', name)
            rows.append(Difference.arrays(row, ours[name], golden[name], abs_tol=tolerance_of(name)))
        rows += [
            NotCompared(f'{file.name}: {name}, not computed by this code')
            for name in sorted(golden.keys() - ours.keys())
        ]
    return rows


@torch.no_grad()
def compare_with_sam3(inputs: GoldenInputs) -> list[Difference]:
    """Compare the level concept with SAM3 without any adapter, to the bit."""
    network, vision = inputs.network, inputs.vision.select(inputs.image_index)
    token_ids, detector = inputs.token_ids(Level.CONCEPT), inputs.network.detector
    prompt = network.prompt(network.encode_text(token_ids, Level.CONCEPT), vision)
    ours = network.detect(vision, prompt, Level.CONCEPT)
    plain_prompt = detector.encode_text(token_ids, token_ids != PADDING_ID).append(detector.geometry_token(vision))
    plain = detector.detect(vision, plain_prompt, has_presence=True)
    return [
        Difference.arrays('type1 is SAM3', getattr(ours, name), getattr(plain, name), abs_tol=0)
        for name in ('mask_logits', 'score_logits', 'refined_xyxy', 'region_logits', 'presence_logits')
    ]


def tolerance_of(name: str) -> float:
    """Return the largest absolute difference of a golden tensor."""
    if name.startswith('text.'):
        return TEXT_TOLERANCE
    return MASK_TOLERANCE if name in MASKS else TOLERANCE


@torch.no_grad()
def compute_tensors(inputs: GoldenInputs, level: Level) -> dict[str, Tensor]:
    """Run the network on all queries and return its tensors under the names, and in the layout, of the golden files."""
    network, vision = inputs.network, inputs.vision.select(inputs.image_index)
    with record_activations(network) as recorded:
        text = network.encode_text(inputs.token_ids(level), level)
        prediction = network(vision, text, level)
    prompt = network.prompt(text, vision)
    return {
        'geometry.cls_token': network.detector.geometry_token(vision).transpose(0, 1),
        'text.language_features': text.features.transpose(0, 1),
        'text.language_mask': ~text.mask,
        'prompt': prompt.features.transpose(0, 1),
        'prompt_mask': ~prompt.mask,
        **dict(_layers(recorded, network)),
        **_decoder(prediction, network),
        **_outputs(prediction, network.detect(vision, prompt, level)),
    }


def _layers(recorded: Recorded, network: Sam3I) -> Iterator[tuple[str, Tensor]]:
    """Yield the recorded activations of the layers."""
    own_layout = ('text.', 'detr_encoder.')
    last = len(network.adapters.encoder) - 1
    for name, calls in recorded.items():
        if name.startswith(own_layout) and name != 'detr_encoder.memory':
            yield name, calls[0]
        elif '.adapter' in name:
            yield name, calls[0].transpose(0, 1)
    (memory,) = recorded['detr_encoder.memory']
    yield f'detr_encoder.layer{last}.out', memory
    yield 'detr_encoder.memory', memory.transpose(0, 1)
    # The second adapter of the encoder includes its skip connection in the public code.
    for index in range(last + 1):
        name = f'detr_encoder.layer{index}.adapter2'
        if f'{name}.out' in recorded:
            yield f'{name}.out', recorded[f'{name}.in'][0] + recorded[f'{name}.out'][0]
    for index, (states, presence) in enumerate(
        zip(recorded['detr_decoder.out'], recorded['detr_decoder.presence'], strict=True)
    ):
        yield f'detr_decoder.layer{index}.out', states.transpose(0, 1)
        yield f'detr_decoder.layer{index}.presence', presence.transpose(0, 1)
    yield 'decoder.presence_feats', recorded['detr_decoder.presence'][-1].transpose(0, 1)
    yield 'mask.instance_embed.query0', recorded['mask.instance_embed'][0][:1]


def _decoder(prediction: Prediction, network: Sam3I) -> dict[str, Tensor]:
    """Return the outputs of the decoder's layers, [layers, K, B, ...]."""
    boxes = prediction.boxes_cxcywh
    # The boxes that each layer starts from: the learned ones, then those of the layer before.
    started = network.detector.boxes.start(*boxes.shape[1:3])
    return {
        'decoder.hs': prediction.states.transpose(1, 2),
        'decoder.reference_boxes': torch.cat([started[None], boxes[:-1]]).transpose(1, 2),
        'decoder.presence_logits': prediction.presence_logits.unsqueeze(1),
    }


def _outputs(prediction: Prediction, found: Detections) -> dict[str, Tensor]:
    """Return the outputs: of the forward pass for training, and scores and masks as the inference computes them."""
    assert found.presence_logits is not None
    boxes = prediction.boxes_cxcywh[-1]
    return {
        'out.pred_logits': prediction.score_logits[-1].unsqueeze(-1),
        'out.pred_boxes': boxes,
        'out.pred_boxes_xyxy': found.refined_xyxy[-1],
        'out.presence_logit_dec': prediction.presence_logits[-1].unsqueeze(-1),
        'out.score': found.score_logits.sigmoid() * found.presence_logits.sigmoid(),
        'out.pred_masks': found.mask_logits,
        'out.semantic_seg': prediction.region_logits.unsqueeze(1),
        'out.queries': prediction.states[-1],
    }
