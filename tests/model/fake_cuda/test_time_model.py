"""Time model, compared with hand-computed values.

Covers fake_cuda.gpus.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.fake_cuda import Op, Recording
from instructsam_model.fake_cuda.gpus import GPUS, get_gpu
from instructsam_model.fake_cuda.time_model import model_time, without_graphs

GPU = replace(
    get_gpu('h200'),
    half_tflop_per_s=200.0,
    single_tflop_per_s=20.0,
    tbyte_per_s=2.0,
    compute_fraction=0.5,
    memory_fraction=0.5,
    kernel_us=2.0,
    launch_us=5.0,
    graph_launch_us=10.0,
    wait_us=8.0,
)
PRODUCT = Op('mm', 'kernel', 'text', '', launches=1, flops=1e9, bytes=1e6, dtype='bfloat16')  # 10 us
SMALL = Op('add', 'kernel', 'text', '', launches=1, bytes=1e3, dtype='bfloat16')  # 0.001 us
WAIT = Op('item', 'wait', 'text', '', launches=1)
REPLAY = Op('graph', 'replay', 'text', '')


def us(*ops: Op) -> float:
    return 1e3 * model_time(Recording(list(ops)), GPU).ms


def test_kernel_time_is_the_longer_of_arithmetic_and_traffic() -> None:
    assert us(PRODUCT) == pytest.approx(5 + 10 + 2)
    assert us(replace(PRODUCT, bytes=2e7)) == pytest.approx(5 + 20 + 2)
    assert us(replace(PRODUCT, dtype='float32')) == pytest.approx(5 + 100 + 2)


def test_host_launches_while_the_device_computes() -> None:
    assert us(PRODUCT, PRODUCT, PRODUCT) == pytest.approx(5 + 3 * 12)
    assert us(SMALL, SMALL, SMALL) == pytest.approx(3 * 5 + 2.001)


def test_device_is_idle_after_a_host_wait() -> None:
    assert us(PRODUCT, WAIT, PRODUCT) == pytest.approx(5 + 12 + 2 + 8 + 5 + 12)


def test_graph_costs_one_launch() -> None:
    inside = replace(SMALL, graph='graph')
    assert us(REPLAY, *[inside] * 4) == pytest.approx(10 + 4 * 2.001)
    apart = without_graphs(Recording([REPLAY, *[inside] * 4]))
    assert 1e3 * model_time(apart, GPU).ms == pytest.approx(4 * 5 + 2.001)


def test_stages_add_up() -> None:
    modeled = model_time(Recording([PRODUCT, WAIT, replace(SMALL, stage='prefill')]), GPU)
    assert sum(modeled.stages_ms.values()) == pytest.approx(modeled.ms)
    assert list(modeled.stages_ms) == ['text', 'prefill']


@pytest.mark.parametrize('name', GPUS)
def test_gpus_name_their_data_sheet(name: str) -> None:
    gpu = get_gpu(name)
    assert len(gpu.source) > 40
    assert gpu.half_tflop_per_s > gpu.single_tflop_per_s > 0
    assert 0.1 < gpu.tbyte_per_s < 10
    assert 4 < gpu.memory_gib < 200


def test_unknown_gpu_is_refused() -> None:
    with pytest.raises(ConfigError, match='gpu: expected one of h200, 4090'):
        get_gpu('h100')
