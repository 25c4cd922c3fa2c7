"""Adapters that cannot have learned anything are found in the weights, and reported when they are loaded."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from instructsam_model.sam3i.checkpoint import reference_to, write_delta
from instructsam_model.sam3i.dead_branches import dead_branches, describe_dead
from instructsam_model.sam3i.network import Sam3I
from tests.support.tiny_sam3i import load_tiny_sam3i, make_tiny_sam3i


@pytest.fixture
def changed(delta: Path) -> Sam3I:
    """A network of its own."""
    return make_tiny_sam3i(delta.with_name('delta_base'))


def zero(network: Sam3I, *parts: str) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        for name, parameter in network.adapters.named_parameters():
            if all(part in name for part in parts):
                parameter.zero_()
    return network.adapters.state_dict()


def test_trained_adapters_are_not_reported(network: Sam3I) -> None:
    assert dead_branches(network.adapters.state_dict()) == {}
    assert list(describe_dead(network.adapters.state_dict())) == []


def test_zero_projections_are_dead_zero_biases_are_not(changed: Sam3I) -> None:
    zero(changed, 'bias')
    zero(changed, 'text.1.adapter1.', 'up_proj.weight')
    tensors = zero(changed, 'encoder.', 'adapter2.', 'down_proj.weight')
    assert dead_branches(tensors) == {('text', 'adapter1'): (1, 2), ('encoder', 'adapter2'): (2, 2)}


def test_report_names_place_and_level_when_loaded(
    changed: Sam3I, delta: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As the public code leaves its text adapters."""
    zero(changed, 'text.', 'adapter1.', 'down_proj.weight')
    write_delta(tmp_path / 'dead', changed, reference_to(delta.with_name('delta_base')))
    with caplog.at_level(logging.WARNING):
        load_tiny_sam3i(tmp_path / 'dead').close()
    [message] = caplog.messages
    assert message.endswith(
        'adapter1 of the text encoder is dead in 2 of 2 layers: all weights of down_proj or up_proj are 0, so that at '
        'level simple it adds a constant at most'
    )


def test_adapters_that_the_public_code_started_again_are_recognized(changed: Sam3I) -> None:
    tensors = zero(changed, 'adapter2.', 'proj.weight')
    assert not any('adapter12 equals adapter1' in line for line in describe_dead(tensors))
    for name in [name for name in tensors if '.adapter12.' in name]:
        tensors[name] = tensors[name.replace('.adapter12.', '.adapter1.')]
    assert any('adapter12 equals adapter1 and adapter2 is 0' in line for line in describe_dead(tensors))
