"""Data sheets of GPUs, and the fractions of their peak figures that the time model assumes.

Large matrix products in bfloat16 reach about 60 % of an H200's peak, and kernels that only move data about 75 % of its
bandwidth; the same fractions are assumed for all GPUs. On a Jetson, CPU and GPU share memory and bandwidth, of which
65 % are assumed. The launch time is that of PyTorch's dispatcher and the driver on the host: 5 to 8 us on a server or
desktop, of which the middle is used, and about twice as much on the Arm cores of a Jetson. None of this was measured
for this project.
"""

from __future__ import annotations

from dataclasses import dataclass

from instructsam_model.errors import ConfigError


@dataclass(frozen=True)
class GpuSpec:
    """A GPU and its host.

    Attributes:
        title: product name.
        source: data sheet, and how figures that it does not contain are derived.
        half_tflop_per_s: peak of dense products in bfloat16 or float16 with float32 accumulation, TFLOP/s.
        single_tflop_per_s: peak of float32 without tensor cores, TFLOP/s.
        tbyte_per_s: peak memory bandwidth, TB/s.
        memory_gib: device memory, GiB; on a Jetson shared with the host.
        shares_memory: whether the memory is shared with the host.
        compute_fraction: fraction of the peak that matrix products reach.
        memory_fraction: fraction of the bandwidth that kernels reach.
        kernel_us: overhead per kernel on the device: its start, and its end, when the GPU is not fully occupied.
        launch_us: host time to launch an operation.
        graph_launch_us: host time to launch a captured graph.
        wait_us: time until the host continues after the device has finished.
        copy_gbyte_per_s: bandwidth between host and device, GB/s.
    """

    title: str
    source: str
    half_tflop_per_s: float
    single_tflop_per_s: float
    tbyte_per_s: float
    memory_gib: float
    shares_memory: bool = False
    compute_fraction: float = 0.607
    memory_fraction: float = 0.75
    kernel_us: float = 2.0
    launch_us: float = 6.5
    graph_launch_us: float = 10.0
    wait_us: float = 8.0
    copy_gbyte_per_s: float = 20.0


GIB_PER_GB = 1e9 / 2**30

# Peaks are those of dense products: half of what data sheets state with sparsity.
GPUS = {
    'h200': GpuSpec(
        title='NVIDIA H200 SXM',
        source='H200 Tensor Core GPU data sheet: bfloat16 1,979 TFLOPS with sparsity, half of it dense; float32 67 '
        'TFLOPS; 4.8 TB/s; 141 GB HBM3e',
        half_tflop_per_s=989.5,
        single_tflop_per_s=67.0,
        tbyte_per_s=4.8,
        memory_gib=141 * GIB_PER_GB,
        copy_gbyte_per_s=40.0,
    ),
    '4090': GpuSpec(
        title='GeForce RTX 4090',
        source='Ada GPU Architecture white paper, appendix A: bfloat16 with float32 accumulation 165.2 TFLOPS dense; '
        'float32 82.6 TFLOPS; 1,008 GB/s; 24 GB GDDR6X',
        half_tflop_per_s=165.2,
        single_tflop_per_s=82.6,
        tbyte_per_s=1.008,
        memory_gib=24.0,
    ),
    '4060': GpuSpec(
        title='GeForce RTX 4060',
        source='product page: 242 AI TOPS (8 bits, sparse), of which bfloat16 with float32 accumulation is an eighth, '
        'as in the white paper for the RTX 4090; float32 15 TFLOPS; 272 GB/s; 8 GB GDDR6',
        half_tflop_per_s=30.2,
        single_tflop_per_s=15.1,
        tbyte_per_s=0.272,
        memory_gib=8.0,
        copy_gbyte_per_s=10.0,
    ),
    'orin': GpuSpec(
        title='Jetson AGX Orin 64GB',
        source='Jetson AGX Orin Series technical brief: GPU 170 INT8 TOPS sparse, 85 dense, of which float16 is half; '
        'float32 5.3 TFLOPS; 204.8 GB/s; 64 GB LPDDR5',
        half_tflop_per_s=42.5,
        single_tflop_per_s=5.3,
        tbyte_per_s=0.2048,
        memory_gib=64.0,
        shares_memory=True,
        memory_fraction=0.65,
        kernel_us=4.0,
        launch_us=14.0,
        graph_launch_us=25.0,
        wait_us=20.0,
    ),
    'thor': GpuSpec(
        title='Jetson AGX Thor (T5000)',
        source='Jetson Thor data sheet: 2,070 FP4 TFLOPS sparse, of which dense bfloat16 is an eighth; float32 8.1 '
        'TFLOPS; 273 GB/s; 128 GB LPDDR5X',
        half_tflop_per_s=258.8,
        single_tflop_per_s=8.1,
        tbyte_per_s=0.273,
        memory_gib=128.0,
        shares_memory=True,
        memory_fraction=0.65,
        kernel_us=3.0,
        launch_us=12.0,
        graph_launch_us=20.0,
        wait_us=16.0,
    ),
}


def get_gpu(name: str) -> GpuSpec:
    """Return the GPU of that name.

    Raises:
        ConfigError: no GPU has that name.
    """
    if name not in GPUS:
        raise ConfigError(f'gpu: expected one of {", ".join(GPUS)}, got {name!r}')
    return GPUS[name]
