"""The parts of a golden set of SAM3-I, and what compares each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from instructsam_model.sam3i.levels import Level
from instructsam_training.parity.comparison import Comparison
from instructsam_training.parity.report import Difference, NotCompared
from instructsam_training.parity.sam3i.clip_vocabulary import MERGES_FILE, load_clip_tokenizer
from instructsam_training.parity.sam3i.data_path import compare_data_path
from instructsam_training.parity.sam3i.forward import compare_forward, compare_vision, compare_with_sam3
from instructsam_training.parity.sam3i.golden_inputs import GoldenInputs
from instructsam_training.parity.sam3i.loss_cases import compare_loss_cases
from instructsam_training.parity.sam3i.losses import compare_stage1, compare_stage3
from instructsam_training.parity.sam3i.metrics import compare_metrics
from instructsam_training.parity.sam3i.predictions import LEVEL_NAMES, compare_end_to_end, compare_postprocessing
from instructsam_training.parity.sam3i.reader import compare_reader
from instructsam_training.parity.sam3i.starting_values import compare_rates, compare_start
from instructsam_training.parity.sam3i.texts import compare_texts

Results = Sequence[Difference | NotCompared]
CompareInputs = Callable[[GoldenInputs], Results]
NETWORK = ('config.json', 'weights.safetensors', 'inputs.json')
"""Files that every part with the network needs, besides the images."""


def sam3i_comparisons(folder: Path, tokenizer: Path | None) -> tuple[Comparison, ...]:
    """Return the comparisons of a set.

    Args:
        folder: of the set.
        tokenizer: folder or file with CLIP's vocabulary, see `load_clip_tokenizer`.
    """
    inputs = GoldenInputs(folder)
    images = inputs.image_names

    def with_network(
        name: str, files: Sequence[str], compare: CompareInputs, optional: Sequence[str] = ()
    ) -> Comparison:
        compare_folder = partial(_compare_inputs, compare=compare, inputs=inputs)
        return Comparison(name, (*NETWORK, *files), compare_folder, tuple(optional))

    return (
        Comparison(
            'tokens', ('inputs.json',), partial(_compare_tokens, tokenizer=tokenizer), ('tokenizer_cases.json',)
        ),
        with_network('reader', (), compare_reader),
        with_network('vision', ('vision.safetensors', *images), compare_vision),
        with_network('forward', ('forward_type*.safetensors', *images), compare_forward, _each_type('forward_type')),
        with_network('concepts', images, compare_with_sam3),
        with_network(
            'postprocessing',
            ('postprocessed_type*.json', *images),
            compare_postprocessing,
            _each_type('postprocessed_type', 'json'),
        ),
        with_network(
            'stage 3',
            ('stage3_losses.json', 'stage3_tensors.safetensors', *images),
            compare_stage3,
            ('stage3_grads_small.safetensors',),
        ),
        with_network(
            'no target', ('stage1_notarget_losses.json', 'stage1_notarget_tensors.safetensors', *images), compare_stage1
        ),
        with_network('start', ('init_and_loading_facts.json', 'stage3_tensors.safetensors', *images), compare_start),
        with_network(
            'end to end',
            ('e2e/metrics.json', 'dataset.json', *images),
            lambda inputs: compare_end_to_end(inputs, load_clip_tokenizer(tokenizer)),
            [f'e2e/pred_{level}.json' for level in LEVEL_NAMES],
        ),
        Comparison('learning rates', ('lr_schedule.json',), compare_rates),
        Comparison('loss cases', ('loss_cases.json', 'loss_cases.safetensors'), compare_loss_cases),
        Comparison(
            'data',
            ('data_path.json', 'dataset.json', *images),
            compare_data_path,
            ('data_path.safetensors',),
        ),
        Comparison(
            'metrics',
            ('metrics/expected.json', 'metrics/gt.json', 'metrics/pred.json'),
            compare_metrics,
            ('metrics/gt_multi.json', 'metrics/pred_multi.json'),
        ),
    )


def _each_type(prefix: str, suffix: str = 'safetensors') -> list[str]:
    return [f'{prefix}{level.text_type}.{suffix}' for level in Level]


def _compare_inputs(folder: Path, *, compare: CompareInputs, inputs: GoldenInputs) -> Results:
    # The network and the features of the images are loaded once for all parts.
    assert folder == inputs.folder
    return compare(inputs)


def _compare_tokens(folder: Path, tokenizer: Path | None) -> Results:
    found = load_clip_tokenizer(tokenizer)
    if found is None:
        return [
            NotCompared(
                f'token ids, without the vocabulary of CLIP: name a folder of tokenizer files or {MERGES_FILE} with '
                '--tokenizer, or install clip-anytorch'
            )
        ]
    return compare_texts(folder, found)
