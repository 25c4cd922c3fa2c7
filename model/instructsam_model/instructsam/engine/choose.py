"""Choice of the engine that runs a network."""

from __future__ import annotations

from instructsam_model.errors import ConfigError
from instructsam_model.instructsam.engine.engine import Engine
from instructsam_model.instructsam.engine.reference import ReferenceEngine
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.runtime.choices import ENGINES


def choose_engine(network: InstructSAM, name: str = 'auto') -> Engine:
    """Return a new engine for a network.

    Args:
        network: on the device where it runs.
        name: `eager` launches operations one by one: on a CPU with the modules of `transformers` (`ReferenceEngine`),
            elsewhere with fused layers and a static cache (`StaticEngine`). `compiled` is `StaticEngine` with layers
            compiled by `torch.compile` and, on CUDA, whole passes replayed as CUDA graphs. `auto` is `compiled` on
            CUDA and `eager` elsewhere.

    Raises:
        ConfigError: no engine has that name.
    """
    check_engine(name)
    device = network.device.type
    if name == 'auto':
        name = 'compiled' if device == 'cuda' else 'eager'
    if name == 'eager' and device == 'cpu':
        return ReferenceEngine(network)
    # Imported late: the reference engine does not need them.
    from instructsam_model.instructsam.engine.static import StaticEngine
    from instructsam_model.runtime.compilation import InductorCompiler, run_eagerly
    from instructsam_model.runtime.graphs import CudaGraphs, run_directly

    graphs = CudaGraphs(network.device).capture if name == 'compiled' and device == 'cuda' else run_directly
    return StaticEngine(network, capture=graphs, compile_=InductorCompiler() if name == 'compiled' else run_eagerly)


def check_engine(name: str) -> None:
    """Check the name of an engine.

    Raises:
        ConfigError: no engine has that name.
    """
    if name not in ENGINES:
        raise ConfigError(f'engine: expected one of {", ".join(ENGINES)}, got {name!r}')
