"""Runs of a few steps: they learn, and they lose no work when they are interrupted.

Covers engine/step.py, families/family.py, families/choose.py, families/instructsam/family.py,
families/instructsam/task.py, data/micro_batch.py and data/record_tensors.py.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from instructsam_model import Frame, Instruction, load_segmenter
from instructsam_model.image_io import read_image
from instructsam_training.config.config_file import read_config
from instructsam_training.config.options import RatesConfig
from instructsam_training.engine.loop import train
from instructsam_training.engine.metrics_logger import read_lines
from instructsam_training.engine.state import find_states, read_last_state
from instructsam_training.families.instructsam import task
from instructsam_training.families.instructsam.initial_weights import load_initial_weights
from tests.support.small_run import COMMAND, ENVIRONMENT, GOLDEN, losses, weights, write_run


def wait_for_steps(folder: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while len(read_lines(folder / 'one' / 'metrics.jsonl')) < count:
        assert process.poll() is None, 'the run ended before it could be interrupted'
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_run_lowers_the_loss_and_writes_a_usable_checkpoint(uninterrupted: Path) -> None:
    steps = read_lines(uninterrupted / 'one' / 'metrics.jsonl')
    assert [line['step'] for line in steps] == list(range(1, 6))
    assert min(line['loss'] for line in steps[2:]) < steps[0]['loss']
    assert (uninterrupted / 'one' / 'curves.png').stat().st_size > 10_000
    names = weights(uninterrupted).keys()
    assert not [name for name in names if 'lora' in name or 'base_layer' in name]
    segmenter = load_segmenter(uninterrupted / 'one' / 'merged', device='cpu', dtype='float32')
    frame = Frame(read_image(GOLDEN / 'images' / '000.png'))
    assert segmenter.segment(frame, Instruction("Please segment 'red ball'.")).text


@pytest.mark.parametrize(('sent', 'after'), [(signal.SIGKILL, 3), (signal.SIGTERM, 2)], ids=['killed', 'stopped'])
def test_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(
    uninterrupted: Path, run_file: Path, tmp_path: Path, sent: signal.Signals, after: int
) -> None:
    """Killed after a saved checkpoint, or stopped before the last step."""
    command = [*COMMAND, str(run_file), 'stages.0.steps=5']
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        wait_for_steps(tmp_path / 'run', after, process)
        process.send_signal(sent)
        _, errors = process.communicate()
    if sent == signal.SIGTERM:
        assert process.returncode == 143
        assert b'run the same command again to resume' in errors
    assert not (tmp_path / 'run' / 'one' / 'merged').exists()
    train(read_config(run_file, ['stages.0.steps=5']))
    assert losses(tmp_path / 'run') == losses(uninterrupted)
    assert all(torch.equal(tensor, weights(uninterrupted)[name]) for name, tensor in weights(tmp_path / 'run').items())


def test_stage_starts_from_the_merged_weights_of_the_previous_one_and_runs_once(tmp_path: Path) -> None:
    """At learning rates near 0 the second stage changes nothing, so that its weights are its initial weights."""
    config = read_config(
        write_run(tmp_path, 'one', 'two'), ['stages.1.steps=1', 'stages.1.warmup=1', 'stages.0.steps=2']
    )
    still = dict.fromkeys(('llm', 'projector', 'vision', 'decoder'), 1e-30)
    config = replace(config, stages=(config.stages[0], replace(config.stages[1], rates=RatesConfig(**still))))
    assert train(config) == tmp_path / 'run' / 'two' / 'merged'
    one, two = weights(tmp_path / 'run'), weights(tmp_path / 'run', 'two')
    assert all(torch.equal(tensor, one[name]) for name, tensor in two.items())
    written = (tmp_path / 'run' / 'one' / 'metrics.jsonl').stat().st_mtime_ns
    train(config)
    assert (tmp_path / 'run' / 'one' / 'metrics.jsonl').stat().st_mtime_ns == written


def test_language_model_stage_then_queries_initialized_from_sam3(tmp_path: Path) -> None:
    run = write_run(tmp_path, 'words', 'whole')
    parts = [
        'stages.0.objective=language_model',
        'stages.0.steps=2',
        'stages.1.init_queries_from_sam3=true',
        'stages.1.steps=1',
    ]
    config = read_config(run, parts)
    before, _ = load_initial_weights(config.start, config.seed)
    train(config)
    words = weights(tmp_path / 'run', 'words')
    changed = {name for name, tensor in before.state_dict().items() if not torch.equal(tensor, words[name])}
    assert changed
    assert not [name for name in changed if 'grounding_model' in name or '_fcs' in name]
    steps = read_lines(tmp_path / 'run' / 'words' / 'metrics.jsonl')
    assert all(line['loss'] == pytest.approx(line['text']) and line['text'] > 0 for line in steps)
    fitted = weights(tmp_path / 'run', 'whole')['model.mask_hidden_fcs.0.2.weight']
    rate = config.stages[1].rates.decoder
    assert float((fitted - words['model.mask_hidden_fcs.0.2.weight']).abs().max()) > 10 * rate


def test_divergence_stops_the_run_and_names_the_samples(run_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = read_config(run_file, ['stages.0.rates.decoder=1', 'stages.0.clip=0'])
    monkeypatch.setattr(task, 'cosine_factor', lambda *_: 1e30)
    with pytest.raises(FloatingPointError, match=r'step 2: the last update, of step 1, has ruined .*train\.json\[\d\]'):
        train(config)
    assert not find_states(Path(config.out) / 'one' / 'states')


def test_recomputed_activations_do_not_change_the_losses(uninterrupted: Path, run_file: Path, tmp_path: Path) -> None:
    train(read_config(run_file, ['stages.0.steps=5', 'stages.0.gradient_checkpointing=true']))
    assert losses(tmp_path / 'run') == pytest.approx(losses(uninterrupted), abs=1e-5)


def test_bfloat16_with_averaged_weights_and_frozen_weights_in_either_precision(run_file: Path, tmp_path: Path) -> None:
    """Frozen weights in bfloat16 change no loss, and are written with their exact values."""
    settings = ['stages.0.steps=3', 'precision=bfloat16', 'stages.0.ema=0.9']
    runs = [
        [str(run_file), *settings, f'out={tmp_path / out}', f'frozen_float32={frozen}']
        for out, frozen in (('run', 'false'), ('float32', 'true'))
    ]
    # Accelerate allows one precision a process.
    program = f'from instructsam_training.cli.train import main; exit(any([main(run) for run in {runs}]))'
    subprocess.run([sys.executable, '-c', program], env=ENVIRONMENT, check=True, capture_output=True)
    written = weights(tmp_path / 'run')
    assert all(torch.isfinite(tensor).all() for tensor in written.values())
    last = read_last_state(tmp_path / 'run' / 'one' / 'states')
    assert last is not None
    name = 'model.mask_queries'
    assert torch.equal(written[name], last.ema[name])
    assert not torch.equal(last.ema[name], last.trainable[name])
    assert losses(tmp_path / 'run') == losses(tmp_path / 'float32')
    assert all(torch.equal(tensor, weights(tmp_path / 'float32')[name]) for name, tensor in written.items())
    frozen_name = 'model.grounding_model.model.vision_encoder.backbone.layers.0.mlp.fc1.weight'
    before = load_file(GOLDEN / 'checkpoint' / 'model.safetensors')[frozen_name]
    assert not torch.equal(before.bfloat16().float(), before)
    assert torch.equal(written[frozen_name], before)
