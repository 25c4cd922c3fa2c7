"""The adapters of SAM3-I: what the public code computes, and how the three places combine them.

Covers sam3i/levels.py and sam3i/config.py.
"""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_model.sam3i.adapters import BottleneckAdapter, DetrLayerAdapters, TextAdapter, TextLayerAdapters
from instructsam_model.sam3i.config import Sam3IConfig
from instructsam_model.sam3i.levels import Level, trained_levels
from instructsam_model.sam3i.names import from_public
from tests.support import GOLDEN

SIZES = Sam3IConfig(adapter_dim=8)
RECORDED = [(2, 'adapter1'), (4, 'adapter12'), (4, 'adapter2')]


@pytest.fixture(scope='module')
def golden() -> dict[str, Tensor]:
    return load_file(GOLDEN / 'sam3i' / 'adapters.safetensors')


def weights_of(golden: dict[str, Tensor], layer: str) -> dict[str, Tensor]:
    """Return the weights of the adapters of a layer, such as `text.0.`, by their names in it."""
    own = {from_public(name): tensor for name, tensor in golden.items() if not name.startswith('type')}
    return {name.removeprefix(layer): tensor for name, tensor in own.items() if name.startswith(layer)}


def randomized(module: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module.eval()


@pytest.mark.parametrize(('text_type', 'branch'), RECORDED)
@pytest.mark.parametrize('place', ['text', 'encoder', 'decoder'])
def test_adapters_compute_what_the_public_code_does(
    golden: dict[str, Tensor], place: str, text_type: int, branch: str
) -> None:
    layer = TextLayerAdapters(48, SIZES) if place == 'text' else DetrLayerAdapters(32, SIZES, has_skip=False)
    layer.load_state_dict(weights_of(golden, f'{place}.0.'))
    start = f'type{text_type}.{place}.{branch}'
    computed = layer.eval()[branch](golden[f'{start}.in'])
    expected = golden[f'{start}.out']
    if (place, branch) == ('encoder', 'adapter2'):
        expected = expected - golden[f'{start}.in']  # the skip connection is part of the layer here
    torch.testing.assert_close(computed, expected, rtol=0, atol=1e-5)


def test_text_adapter_is_attention_and_a_bottleneck_with_skip_connections() -> None:
    """Against `torch.nn.MultiheadAttention`, with the equations of the module's docstring."""
    adapter = randomized(TextAdapter(12, Sam3IConfig(adapter_dim=4, adapter_heads=3, adapter_scale=7.0)))
    attention = nn.MultiheadAttention(12, 3, batch_first=True)
    attention.load_state_dict(adapter.mha_adapter.state_dict())
    states = torch.randn(2, 5, 12)
    normalized = adapter.norm1(states)
    middle = states + attention(normalized, normalized, normalized)[0]
    expected = middle + adapter.up_proj(nn.functional.gelu(adapter.down_proj(adapter.norm2(middle))))
    # Two ways to compute attention over values of about 100.
    torch.testing.assert_close(adapter(states), expected, rtol=1e-5, atol=1e-4)


def test_text_adapters_read_the_padding() -> None:
    adapter = TextAdapter(12, Sam3IConfig(adapter_dim=4, adapter_heads=3)).eval()
    states = torch.randn(1, 5, 12)
    changed = torch.cat([states[:, :4], -states[:, 4:]], dim=1)
    assert not torch.allclose(adapter(states)[:, 0], adapter(changed)[:, 0])


@pytest.mark.parametrize('has_skip', [True, False], ids=['encoder', 'decoder'])
def test_levels_combine_the_adapters_of_detr(has_skip: bool) -> None:
    layer = randomized(DetrLayerAdapters(12, Sam3IConfig(adapter_dim=4, adapter_scale=0.7), has_skip=has_skip))
    states = torch.randn(2, 5, 12)
    first, middle, second = (layer[name] for name in ('adapter1', 'adapter12', 'adapter2'))
    torch.testing.assert_close(layer(states, Level.SIMPLE), states + 0.7 * first(states))
    below = middle(states)
    expected = states + 0.7 * (below + second(below) if has_skip else second(below))
    torch.testing.assert_close(layer(states, Level.COMPLEX), expected)


def test_bottleneck_normalizes_its_narrow_states() -> None:
    adapter = randomized(BottleneckAdapter(12, Sam3IConfig(adapter_dim=4)))
    states = torch.randn(2, 5, 12)
    expected = adapter.up_proj(nn.functional.gelu(adapter.norm(adapter.down_proj(states))))
    torch.testing.assert_close(adapter(states), expected)


def test_levels_of_the_text_encoder() -> None:
    layer = randomized(TextLayerAdapters(12, Sam3IConfig(adapter_dim=4, adapter_heads=2)))
    states = torch.randn(1, 5, 12)
    assert layer(states, Level.CONCEPT) is states
    torch.testing.assert_close(layer(states, Level.SIMPLE), layer['adapter1'](states))
    torch.testing.assert_close(layer(states, Level.COMPLEX), layer['adapter2'](layer['adapter12'](states)))


def test_levels_have_the_numbers_of_the_public_code() -> None:
    assert [level.text_type for level in Level] == [1, 2, 4]


@pytest.mark.parametrize(
    ('stage', 'names'),
    [('0_0', 'concept'), ('1_1', 'concept simple'), ('1_2', 'concept simple complex'), ('', 'concept simple complex')],
)
def test_stages_of_training_leave_levels_untrained(stage: str, names: str) -> None:
    assert ' '.join(level.value for level in trained_levels(stage)) == names


def test_sizes_that_do_not_fit_are_named() -> None:
    with pytest.raises(CheckpointError, match='adapter_heads: expected a divisor of the text width 12, got 5'):
        TextAdapter(12, Sam3IConfig(adapter_heads=5))
    with pytest.raises(ConfigError, match='adapter_dim: expected 1 to 65536, got 0'):
        Sam3IConfig(adapter_dim=0)
