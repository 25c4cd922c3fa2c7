"""Parity of the start of training: initial values, which tensors move at all, and the learning rates.

`init_and_loading_facts.json` has what was measured on the public code: the kind of each initial value, and the largest
change of each tensor in 8 steps of AdamW, with weight decay on all of them. `N` stands for any layer. Here the adapters
start with `init: released`, and the same tensors must move.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import torch

from instructsam_model.sam3i.levels import Level
from instructsam_model.sam3i.names import to_public
from instructsam_model.sam3i.network import Sam3I
from instructsam_training.config.sam3i_options import Sam3ILossOptions, Sam3IRates, Sam3IStageConfig
from instructsam_training.families.sam3i.initialization import init_adapters, start_complex
from instructsam_training.families.schedules import inverse_root_factor
from instructsam_training.losses.sam3i.losses import detector_losses
from instructsam_training.losses.sam3i.targets import InstructionTargets
from instructsam_training.parity.report import Difference, NotCompared
from instructsam_training.parity.sam3i.golden_files import read_object, read_tensors
from instructsam_training.parity.sam3i.golden_inputs import GoldenInputs
from instructsam_training.parity.sam3i.golden_network import load_golden_network
from instructsam_training.parity.sam3i.losses import NO_TARGETS, read_targets

STEPS = 3
"""A tensor in front of one that starts at 0 moves in the second step, so that three show all that ever move."""
RATE, DECAY = 0.01, 0.1
RATE_TOLERANCE = 1e-9
"""Relative, of learning rates."""
WARMUP_STAGE3 = 1
"""Steps of warm-up and cool-down in the released stage 3, whose peak rates are a quarter."""
VISION_PEAK = 3.2e-3
"""Peak rate of the image encoder in the public code, whose parameters are frozen."""


def compare_start(inputs: GoldenInputs) -> list[Difference | NotCompared]:
    """Compare initial values, that they change no output, and which tensors move in both stages."""
    facts = read_object(inputs.folder / 'init_and_loading_facts.json')
    targets = read_targets(read_tensors(inputs.folder / 'stage3_tensors.safetensors'), inputs)
    if targets is None:
        return [NotCompared(f'init_and_loading_facts.json: stage3_tensors.safetensors: {NO_TARGETS}')]
    network = load_golden_network(inputs.folder)
    init_adapters(network, 'released')
    kinds = _kinds(network)
    expected = {name: ' '.join(each) for name, each in facts['init_stage1_1'].items()}
    rows: list[Difference | NotCompared] = [
        Difference.texts('start kinds', [kinds.get(name, 'none') for name in expected], [*expected.values()]),
        Difference.arrays('start changes outputs', _largest_change(network, inputs), 0, abs_tol=0),
    ]
    for stage, level in (('stage1_1', Level.SIMPLE), ('stage1_2', Level.COMPLEX)):
        if level is Level.COMPLEX:
            start_complex(network, 'released')
        moved = _train(network, inputs, level, targets)
        golden = {name for name, change in facts[f'{stage}_max_change_after_8_adamw_steps'].items() if change}
        rows.append(Difference.texts(f'start moved in {stage}', sorted(moved), sorted(golden)))
    return rows


def _kinds(network: Sam3I) -> dict[str, str]:
    """Return the kinds of values of each tensor over all layers, by its public name with `N` for the layer."""
    kinds: dict[str, set[str]] = defaultdict(set)
    for name, tensor in network.adapters.named_parameters():
        kind = 'zero' if not tensor.any() else 'ones' if bool((tensor == 1).all()) else 'random'
        kinds[_any_layer(name)].add(kind)
    return {name: ' '.join(sorted(each)) for name, each in kinds.items()}


@torch.no_grad()
def _largest_change(network: Sam3I, inputs: GoldenInputs) -> float:
    """Return how much the adapters change the masks of the same texts."""
    vision = network.encode_image(inputs.pixel_values).select(inputs.image_index)
    token_ids = inputs.token_ids(Level.SIMPLE)
    masks = [
        network.detect(vision, network.prompt(network.encode_text(token_ids, level), vision), level).mask_logits
        for level in Level
    ]
    return max((each - masks[0]).abs().max().item() for each in masks)


def _train(network: Sam3I, inputs: GoldenInputs, level: Level, targets: InstructionTargets) -> set[str]:
    """Train one level for some steps; returns the public names of the tensors that moved in any layer."""
    before = {name: tensor.detach().clone() for name, tensor in network.adapters.named_parameters()}
    optimizer = torch.optim.AdamW(network.adapters.parameters(), lr=RATE, weight_decay=DECAY)
    vision = inputs.vision.select(inputs.image_index)
    for _ in range(STEPS):
        optimizer.zero_grad()
        prediction = network(vision, network.encode_text(inputs.token_ids(level), level), level, has_one_to_many=True)
        losses = detector_losses(prediction, targets, Sam3ILossOptions(), max(1.0, sum(targets.counts)))
        torch.autograd.backward(losses.total)
        optimizer.step()
    return {
        _any_layer(name)
        for name, tensor in network.adapters.named_parameters()
        if not torch.equal(tensor.detach(), before[name])
    }


def _any_layer(name: str) -> str:
    return re.sub(r'(resblocks|layers)\.\d+\.', r'\1.N.', to_public(name))


def compare_rates(folder: Path) -> list[Difference]:
    """Compare the learning rates of every group and stage at the recorded steps."""
    golden = read_object(folder / 'lr_schedule.json')
    rows = []
    for name, values in golden['values'].items():
        stage, _, group = name.partition('.')
        ours = [_rate(stage, group, step, golden['total_steps']) for step, _ in values]
        rows.append(Difference.arrays('rates', ours, [rate for _, rate in values], rel_tol=RATE_TOLERANCE))
    return rows


def _rate(stage: str, group: str, step: int, steps: int) -> float:
    config = Sam3IStageConfig()
    peaks: Mapping[str, float] = {
        'default': Sam3IRates().detector,
        'language_backbone': Sam3IRates().text,
        'vision_backbone': VISION_PEAK,
    }
    is_third = stage == 'stage3'
    warmup, cooldown = (WARMUP_STAGE3,) * 2 if is_third else (config.warmup_steps, config.cooldown_steps)
    return peaks[group] / (4 if is_third else 1) * inverse_root_factor(step, steps, config.timescale, warmup, cooldown)
