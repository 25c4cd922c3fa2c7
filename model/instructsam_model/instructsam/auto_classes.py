"""What the Auto classes of `transformers` say about a checkpoint: use `InstructSAM.from_pretrained`.

The published checkpoint has `model_type: qwen3_vl`, so that `AutoModel` loads its language model alone, and reports the
other weights as unexpected. Checkpoints that this package writes have a type of their own: `AutoModel` fails, with the
message below wherever this module was imported. Elsewhere, `transformers` reports code in the checkpoint; that is
`SIGNPOST_FILE`, which raises the same message. This package never runs code of a checkpoint.
"""

from __future__ import annotations

from typing import Any, NoReturn

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMaskGeneration,
    AutoProcessor,
    Qwen3VLConfig,
)

from instructsam_model.errors import CheckpointError

MODEL_TYPE = 'instructsam'
SIGNPOST_FILE = 'instructsam_auto.py'
MESSAGE = (
    'this is an InstructSAM checkpoint, which the Auto classes of transformers cannot load; '
    'install instructsam_ros, and use InstructSAM.from_pretrained and InstructSAMProcessor.from_pretrained, or '
    'load_segmenter, of its package instructsam_model'
)
SIGNPOST = f'''"""Says how to load this checkpoint."""

raise ImportError("""{MESSAGE}""")
'''
AUTO_MAP = {
    name: f'{SIGNPOST_FILE.removesuffix(".py")}.InstructSAM' for name in ('AutoConfig', 'AutoModel', 'AutoProcessor')
}
"""Value of `auto_map` in `config.json`."""


class InstructSAMConfig(Qwen3VLConfig):  # type: ignore[misc]  # transformers is untyped for us
    """Qwen3-VL's configuration with the type of this network; `ModelConfig` is what the package itself uses."""

    model_type = MODEL_TYPE


class Signpost:
    """Stands for the network and its processor in the registries of `transformers`."""

    config_class = InstructSAMConfig

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> NoReturn:
        """Say what to use instead.

        Raises:
            CheckpointError: always.
        """
        source = args[0] if args else kwargs.get('pretrained_model_name_or_path', '')
        raise CheckpointError(f'{source}: {MESSAGE}')

    _from_config = from_pretrained


def register() -> None:
    """Register the signpost; `transformers` then no longer takes the checkpoints for those of an unknown network."""
    AutoConfig.register(MODEL_TYPE, InstructSAMConfig, exist_ok=True)
    for auto_class in (AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMaskGeneration):
        auto_class.register(InstructSAMConfig, Signpost, exist_ok=True)
    AutoProcessor.register(InstructSAMConfig, Signpost, exist_ok=True)


register()
