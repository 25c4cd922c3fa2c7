"""Cards that the network may run on: their public figures, and how much of these the model of time believes in.

A product of large matrices in bfloat16 reaches about 60 % of an H200's peak, and a kernel that only moves data about
75 % of its bandwidth; the same fractions are assumed for all. On a Jetson, CPU and GPU share the memory and its
bandwidth, of which 65 % are assumed. Launches take as long as the host's CPU needs for PyTorch's dispatcher and the
driver: 5 to 8 microseconds on a server or a desktop, of which the middle is taken, and about twice that on the Arm
cores of a Jetson. None of this was measured here.
"""

from __future__ import annotations

from dataclasses import dataclass

from instructsam_model.errors import ConfigError


@dataclass(frozen=True)
class Card:
    """A GPU and its host.

    Attributes:
        title: as it is sold.
        source: the public figures, and how those that are not printed there follow.
        half_tflop_per_s: dense products in bfloat16 or float16 with sums in float32, at most.
        single_tflop_per_s: float32 outside of tensor cores, at most.
        tbyte_per_s: memory bandwidth, at most.
        memory_gib: of the card, or shared with the host.
        shares_memory: with the host.
        compute_fraction: of the peak that products of matrices reach.
        memory_fraction: of the bandwidth that is reached.
        kernel_us: what a kernel takes besides: its start, and the tail in which not all of the card has work.
        launch_us: what the host takes to launch an operation.
        graph_launch_us: what the host takes to launch a captured graph.
        wait_us: until the host goes on after the device is done.
        copy_gbyte_per_s: between host and device.
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

CARDS = {
    'h200': Card(
        title='NVIDIA H200 SXM',
        source='H200 Tensor Core GPU data sheet: bfloat16 1,979 TFLOPS with sparsity, half of it dense; float32 67 '
        'TFLOPS; 4.8 TB/s; 141 GB HBM3e',
        half_tflop_per_s=989.5,
        single_tflop_per_s=67.0,
        tbyte_per_s=4.8,
        memory_gib=141 * GIB_PER_GB,
        copy_gbyte_per_s=40.0,
    ),
    '4090': Card(
        title='GeForce RTX 4090',
        source='Ada GPU Architecture white paper, appendix A: bfloat16 with float32 accumulation 165.2 TFLOPS dense; '
        'float32 82.6 TFLOPS; 1,008 GB/s; 24 GB GDDR6X',
        half_tflop_per_s=165.2,
        single_tflop_per_s=82.6,
        tbyte_per_s=1.008,
        memory_gib=24.0,
    ),
    '4060': Card(
        title='GeForce RTX 4060',
        source='product page: 242 AI TOPS (8 bits, sparse), of which bfloat16 with float32 accumulation is an eighth, '
        'as in the white paper for the RTX 4090; float32 15 TFLOPS; 272 GB/s; 8 GB GDDR6',
        half_tflop_per_s=30.2,
        single_tflop_per_s=15.1,
        tbyte_per_s=0.272,
        memory_gib=8.0,
        copy_gbyte_per_s=10.0,
    ),
    'orin': Card(
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
    'thor': Card(
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


def get_card(name: str) -> Card:
    """The card of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in CARDS:
        raise ConfigError(f'gpu: expected one of {", ".join(CARDS)}, got {name!r}')
    return CARDS[name]
