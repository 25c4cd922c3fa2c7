"""Operations on fake CUDA are recorded as a GPU would run them.

Covers fake_cuda.attention, fake_cuda.backward, fake_cuda.cost, fake_cuda.device, fake_cuda.dispatch,
fake_cuda.indexing, fake_cuda.known, fake_cuda.memory, fake_cuda.mixed, fake_cuda.pinned, fake_cuda.call_site,
fake_cuda.recording and fake_cuda.transfers.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from instructsam_model.fake_cuda import CUDA, FakeCuda, MixedDevicesError, Recording
from instructsam_model.runtime.stages import stage


@pytest.fixture
def cuda() -> Iterator[FakeCuda]:
    with FakeCuda() as cuda:
        yield cuda


def here(offset: int = 0) -> str:
    """Return file and line of the caller plus an offset."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return f'test_recorder.py:{frame.f_back.f_lineno + offset}'


def kernels(recording: Recording) -> list[str]:
    return [op.name for op in recording.ops if op.kind == 'kernel']


def waits(recording: Recording) -> list[str]:
    return [f'{op.name} at {op.where}' for op in recording.host_waits]


def test_kernels_views_and_arithmetic_are_counted(cuda: FakeCuda) -> None:
    states, weight, bias = torch.zeros(4, 8, device=CUDA), torch.zeros(16, 8, device=CUDA), torch.zeros(16, device=CUDA)
    with cuda.recording() as recording, stage('text'):
        F.layer_norm(F.linear(states, weight, bias), (16,)).view(2, 32)
    assert kernels(recording) == ['addmm', 'native_layer_norm']
    assert [op.name for op in recording.ops if op.kind == 'view'] == ['t', 'view']
    assert recording.flops == 2 * 4 * 8 * 16
    assert recording.ops[1].bytes == 4 * (4 * 8 + 16 * 8 + 16 + 4 * 16)
    assert list(recording.by_stage()) == ['text']


@pytest.mark.parametrize('context', [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_rms_norm_is_one_kernel(cuda: FakeCuda, context: type[torch.no_grad]) -> None:
    states = torch.zeros(4, 8, device=CUDA)
    with cuda.recording() as recording, context():
        F.rms_norm(states, (8,))
    assert kernels(recording) == ['_fused_rms_norm']


def test_host_wait_is_recorded_with_file_and_line(cuda: FakeCuda) -> None:
    with cuda.recording() as recording:
        torch.randn(3, device=CUDA).sum().item()
    assert waits(recording) == [f'item at {here(-1)}']


def test_all_kinds_of_host_waits_are_counted(cuda: FakeCuda) -> None:
    numbers = torch.arange(4, device=CUDA)
    asks = {
        'tolist': lambda: numbers.tolist(),
        'cpu': lambda: numbers.cpu(),
        'bool': lambda: bool((numbers > 1).any()),
        'nonzero': lambda: numbers.nonzero(),
        'by bool': lambda: numbers[numbers > 1],
        'equal': lambda: torch.equal(numbers, numbers),
        'upload': lambda: torch.tensor([1, 2], device=CUDA),
        'pageable': lambda: torch.arange(4).to(CUDA, non_blocking=True),
        'synchronize': lambda: torch.cuda.synchronize(),
        'event': lambda: torch.cuda.Event().synchronize(),
    }
    counted = {}
    for name, ask in asks.items():
        with cuda.recording() as recording:
            ask()
        counted[name] = len(recording.host_waits)
    assert counted == dict.fromkeys(asks, 1)


def test_asynchronous_copies_of_pinned_memory_do_not_wait(cuda: FakeCuda) -> None:
    source = torch.arange(4).pin_memory()
    target = torch.empty(4, dtype=torch.long, pin_memory=True)
    with cuda.recording() as recording:
        uploaded = source[1:].to(CUDA, non_blocking=True)
        target[1:].copy_(uploaded, non_blocking=True)
        uploaded.to('cpu', non_blocking=True)
    assert waits(recording) == []
    assert kernels(recording) == ['copy H2D', 'copy D2H', 'copy D2H']
    assert target[1:].tolist() == [1, 2, 3]


def test_small_values_are_tracked_through_views_and_writes(cuda: FakeCuda) -> None:
    table = torch.zeros(2, 3, dtype=torch.long, device=CUDA)
    column = table[:, 1]
    table[0] = torch.tensor([4, 5, 6], device=CUDA)
    column += 1
    assert table.tolist() == [[4, 6, 6], [0, 1, 0]]
    assert table[table > 4].tolist() == [6, 6]
    assert table.gather(1, torch.tensor([[2], [1]], device=CUDA)).flatten().tolist() == [6, 1]


def test_writing_an_unknown_value_makes_the_storage_unknown() -> None:
    with FakeCuda(lambda tensor: torch.full(tensor.shape, 7, dtype=tensor.dtype)) as cuda:
        known = torch.arange(3, device=CUDA)
        assert known.tolist() == [0, 1, 2]
        known[1:] = torch.randn(5, 2, device=CUDA).argmax(0)
        assert known.tolist() == [7, 7, 7]
        assert cuda.values.get(known) is None


@pytest.mark.parametrize(
    'ask',
    [
        lambda states: states + torch.zeros(8),
        lambda states: F.embedding(torch.arange(3), states),
        lambda states: torch.cat([states, torch.zeros(1, 8)]),
        lambda states: torch.zeros(4, 8)[states.argmax(0)],
    ],
)
def test_tensors_of_two_devices_are_refused(cuda: FakeCuda, ask: object) -> None:
    with pytest.raises(MixedDevicesError, match=r'at test_recorder\.py:\d+: expected all tensors on one device'):
        ask(torch.zeros(4, 8, device=CUDA))  # type: ignore[operator]


def test_zero_dimensional_cpu_tensors_are_accepted(cuda: FakeCuda) -> None:
    assert (torch.arange(3, device=CUDA) + torch.tensor(1)).tolist() == [1, 2, 3]


def test_numpy_of_a_cuda_tensor_is_refused(cuda: FakeCuda) -> None:
    with pytest.raises(TypeError, match=r'copy it with \.cpu\(\)'):
        torch.zeros(3, device=CUDA).numpy()


@pytest.mark.parametrize(
    ('dtype', 'options', 'expected'),
    [
        (torch.bfloat16, {}, ['_scaled_dot_product_flash_attention']),
        (torch.bfloat16, {'is_causal': True}, ['_scaled_dot_product_flash_attention']),
        (torch.float32, {}, ['_scaled_dot_product_efficient_attention']),
        (torch.bfloat16, {'attn_mask': torch.bfloat16}, ['_scaled_dot_product_efficient_attention']),
        (
            torch.bfloat16,
            {'attn_mask': torch.bool},
            ['zeros_like', 'logical_not', 'masked_fill_', '_scaled_dot_product_efficient_attention'],
        ),
    ],
)
def test_attention_kernel_is_that_of_torch(
    cuda: FakeCuda, dtype: torch.dtype, options: dict[str, object], expected: list[str]
) -> None:
    states = torch.zeros(1, 2, 16, 32, device=CUDA, dtype=dtype)
    mask = options.get('attn_mask')
    if isinstance(mask, torch.dtype):
        options = {'attn_mask': torch.zeros(16, 16, device=CUDA, dtype=mask)}
    with cuda.recording() as recording, torch.inference_mode():
        F.scaled_dot_product_attention(states, states, states, **options)  # type: ignore[arg-type]
    assert kernels(recording) == expected


def test_grouped_queries_with_a_mask_use_matrix_products(cuda: FakeCuda) -> None:
    query, key = (torch.zeros(1, heads, 16, 32, device=CUDA, dtype=torch.bfloat16) for heads in (4, 2))
    bias = torch.zeros(16, 16, device=CUDA, dtype=torch.bfloat16)
    with cuda.recording() as recording, torch.inference_mode():
        F.scaled_dot_product_attention(query, key, key, attn_mask=bias, enable_gqa=True)
    assert kernels(recording).count('bmm') == 2


def test_memory_is_that_of_live_tensors(cuda: FakeCuda) -> None:
    mebibyte = 2**18  # numbers of four bytes
    kept = torch.empty(mebibyte, device=CUDA)
    with cuda.recording() as recording:
        with stage('text'):
            torch.empty(2 * mebibyte, device=CUDA)
        with stage('prefill'):
            kept.view(2, -1)[0] + 1
    assert recording.peak_bytes == 3 * 2**20
    assert recording.by_stage()['prefill'].peak_bytes == 1.5 * 2**20
    assert torch.cuda.memory_allocated() == 2**20


def test_backward_gives_the_gradients_of_torch() -> None:
    def loss(module: torch.nn.Module, inputs: Tensor) -> Tensor:
        hidden = torch.utils.checkpoint.checkpoint(module, inputs, use_reentrant=False)
        return (hidden * hidden.sum(1, keepdim=True) + next(module.parameters()).sum()).pow(2).mean()

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.LayerNorm(8), torch.nn.GELU(), torch.nn.Linear(8, 8))
    inputs, parameters = torch.randn(4, 8), list(module.parameters())
    expected = torch.autograd.grad(loss(module, inputs), parameters)
    with FakeCuda() as cuda:
        computed = torch.autograd.grad(loss(module, inputs), parameters)
        moved = module.to(CUDA)
        optimizer = torch.optim.AdamW(moved.parameters(), fused=True)
        with cuda.recording() as recording:
            with torch.autocast('cuda', torch.bfloat16):
                value = loss(moved, torch.zeros(4, 8, device=CUDA))
            value.backward()
            optimizer.step()
    assert all(torch.equal(*pair) for pair in zip(expected, computed, strict=True))
    assert '_fused_adamw_' in kernels(recording)
    assert waits(recording) == []
