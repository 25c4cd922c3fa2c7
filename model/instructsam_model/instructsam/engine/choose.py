"""Which engine runs a network."""

from __future__ import annotations

from instructsam_model.errors import ConfigError
from instructsam_model.instructsam.engine.engine import Engine
from instructsam_model.instructsam.engine.reference import ReferenceEngine
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.runtime.choices import ENGINES


def choose_engine(network: InstructSAM, name: str = 'auto') -> Engine:
    """The engine of that name for a network.

    Args:
        network: where it is to run.
        name: `eager` launches every operation by itself: on a CPU the modules of `transformers` as they are, the
            reference; elsewhere fused layers over a static cache. `compiled` compiles these layers (`torch.compile`)
            and, on CUDA, replays whole passes as CUDA graphs. `auto` is `compiled` on CUDA and `eager` elsewhere.

    Raises:
        ConfigError: there is no engine of that name.
    """
    check_engine(name)
    device = network.device.type
    if name == 'auto':
        name = 'compiled' if device == 'cuda' else 'eager'
    if name == 'eager' and device == 'cpu':
        return ReferenceEngine(network)
    # What only accelerators and compilation need is imported with them.
    from instructsam_model.instructsam.engine.static import StaticEngine
    from instructsam_model.runtime.compilation import InductorCompiler, run_eagerly
    from instructsam_model.runtime.graphs import CudaGraphs, run_directly

    graphs = CudaGraphs(network.device).capture if name == 'compiled' and device == 'cuda' else run_directly
    return StaticEngine(network, capture=graphs, compile_=InductorCompiler() if name == 'compiled' else run_eagerly)


def check_engine(name: str) -> None:
    """Check the name of an engine.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in ENGINES:
        raise ConfigError(f'engine: expected one of {", ".join(ENGINES)}, got {name!r}')
