"""`Pretrained`: the methods that every model of the Hugging Face hub has, over this package's readers and writers.

    model = InstructSAM.from_pretrained('CircleRadon/InstructSAM-2B', dtype='bfloat16', device='cuda')
    model.save_pretrained('copy')
    model.push_to_hub('me/my-instructsam')

The network derives from `Pretrained`, so the modules that need the network are imported inside the methods.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import ModelCard, ModelHubMixin
from torch import Tensor

from instructsam_model.errors import CheckpointError
from instructsam_model.instructsam.hub_arguments import (
    HUB_ARGUMENTS,
    MODEL_ARGUMENTS,
    PUSH_ARGUMENTS,
    choose_device,
    choose_dtype,
    find_folder,
    move_new_files,
    parse_size,
    push,
)
from instructsam_model.options import check_names
from instructsam_model.weights import embedded
from instructsam_model.weights.hub import CONFIG_FILE

if TYPE_CHECKING:
    from instructsam_model.instructsam.answer import SampleAnswer
    from instructsam_model.instructsam.network import InstructSAM
    from instructsam_model.instructsam.preprocess import Preprocessor


class Pretrained(ModelHubMixin):
    """Base class of the network: `from_pretrained`, `save_pretrained`, `push_to_hub` and `generate`.

    Attributes:
        preprocessor: tokenizer and image processors of the checkpoint that the network was read from; None otherwise.
        card: its model card; None otherwise.
    """

    preprocessor: Preprocessor | None = None
    card: ModelCard | None = None

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **arguments: Any) -> InstructSAM:
        """Read a checkpoint for inference.

        Args:
            pretrained_model_name_or_path: a folder or an id on the hub; `embedded` for the checkpoint in this package.
            arguments: `revision`, `cache_dir`, `token`, `local_files_only`, `force_download` and `subfolder` as in
                `huggingface_hub`; `dtype` (or `torch_dtype`): a torch dtype, its name, or `auto` for that of the
                files, the default; `device` (or `device_map`, which places the whole network): `cpu` unless given.

        Raises:
            CheckpointError: the checkpoint is missing, damaged, or cannot be downloaded.
            ConfigError: an argument is unknown or out of range.
        """
        from instructsam_model.instructsam.checkpoint import read_network, resolve_sam3
        from instructsam_model.instructsam.consistency import check_consistency
        from instructsam_model.instructsam.model_card import CardFacts, make_card, read_card
        from instructsam_model.instructsam.preprocess import read_preprocessor

        check_names(arguments, [*HUB_ARGUMENTS, *MODEL_ARGUMENTS], 'argument of InstructSAM.from_pretrained')
        device, dtype = choose_device(arguments), choose_dtype(arguments)
        folder = find_folder(pretrained_model_name_or_path, arguments)
        sam3_folder = resolve_sam3(folder)
        network = read_network(folder, sam3_folder, device=device, dtype=dtype)
        network.preprocessor = read_preprocessor(folder, sam3_folder, network.config.qwen.image_token_id)
        check_consistency(folder, network.config, network.preprocessor)
        facts = CardFacts(bases=() if folder == embedded.FOLDER else (str(pretrained_model_name_or_path),))
        network.card = read_card(folder) or make_card(facts, network.config)
        return network

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        max_shard_size: int | str = '5GB',
        push_to_hub: bool = False,
        repo_id: str | None = None,
        **arguments: Any,
    ) -> str | None:
        """Write a complete checkpoint, with tokenizer, image processors and model card.

        Args:
            save_directory: a new folder, or one without a checkpoint; files that it has already are kept.
            max_shard_size: of a file of weights: bytes, or such as `5GB`.
            push_to_hub: upload it as well.
            repo_id: where to; the name of the folder unless given.
            arguments: of `push_to_hub`.

        Returns:
            The address of the upload, or None.

        Raises:
            CheckpointError: the folder holds a checkpoint, or the network has no preprocessor.
            ConfigError: an argument is unknown or out of range.
        """
        from instructsam_model.instructsam.checkpoint import write_checkpoint

        # `config` and `model_card_kwargs` are None: the mixin's own `push_to_hub` passes them.
        given = [name for name, value in arguments.items() if value is not None]
        check_names(given, PUSH_ARGUMENTS if push_to_hub else (), 'argument of save_pretrained')
        if self.preprocessor is None:
            raise CheckpointError(
                f'{save_directory}: a checkpoint has a tokenizer, which this network lacks; use a network of '
                'from_pretrained, or set its attribute preprocessor'
            )
        folder, size = Path(save_directory).expanduser(), parse_size(max_shard_size)
        if any(folder.glob('*.safetensors')) or (folder / CONFIG_FILE).exists():
            raise CheckpointError(f'{folder}: holds a checkpoint, which is never written over; choose another folder')
        folder.mkdir(parents=True, exist_ok=True)
        network: Any = self
        with tempfile.TemporaryDirectory(prefix='.saving-', dir=folder) as draft:
            written = Path(draft, 'checkpoint')
            write_checkpoint(written, network, self.preprocessor, max_shard_bytes=size, card=self.card)
            move_new_files(written, folder)
        return self.push_to_hub(repo_id or folder.name, **arguments) if push_to_hub else None

    def push_to_hub(self, repo_id: str, **arguments: Any) -> str:
        """Upload a complete checkpoint to the hub as one commit; the repository is created if necessary.

        Args:
            repo_id: `owner/name`, or a name in the account of the token.
            arguments: `commit_message`, `private`, `token`, `branch` and `create_pr` as in `huggingface_hub`.

        Returns:
            The address of the commit.

        Raises:
            CheckpointError: the hub refused it, or cannot be reached.
            ConfigError: an argument is unknown, or there is no token.
        """
        from instructsam_model.instructsam.model_card import with_checkpoint

        check_names(arguments, PUSH_ARGUMENTS, 'argument of push_to_hub')
        upload, card = super().push_to_hub, self.card
        self.card = card and with_checkpoint(card, repo_id)
        try:
            return push(repo_id, arguments.get('token'), lambda: str(upload(repo_id, **arguments)))
        finally:
            self.card = card

    def generate(
        self,
        *,
        pixel_values: Tensor,
        image_grid_thw: Tensor,
        sam3_pixel_values: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        instruction_starts: Tensor,
        original_sizes: Tensor,
        instructions: Sequence[str],
        max_new_tokens: int = 256,
    ) -> list[SampleAnswer]:
        """Answer instructions about images; the arguments are what `InstructSAMProcessor` returns.

        Args:
            pixel_values: patches of the B images for the language model, [N, patch values].
            image_grid_thw: int64 [B, 3], number of patches of each image in time (1), height and width.
            sam3_pixel_values: [B, 3, S, S].
            input_ids: int64 [B, T], prompts with image placeholders.
            attention_mask: [B, T], 0 on padding, which is on the right.
            instruction_starts: int64 [B], number of tokens before each instruction.
            original_sizes: int64 [B, 2], height and width of each image, pixels.
            instructions: the B instructions.
            max_new_tokens: maximum length of each answer.

        Returns:
            B answers, for `InstructSAMProcessor.post_process`.

        Raises:
            ConfigError: `max_new_tokens` is not positive.
        """
        from instructsam_model.instructsam.answer import SamplePrompt, answer_batch
        from instructsam_model.instructsam.inputs import Pixels

        network: Any = self
        prompts = [
            SamplePrompt(tuple(ids[: int(length)].tolist()), int(start), (int(width), int(height)), instruction)
            for ids, length, start, (height, width), instruction in zip(
                input_ids, attention_mask.sum(1), instruction_starts, original_sizes, instructions, strict=True
            )
        ]
        pixels = Pixels(pixel_values, image_grid_thw, sam3_pixel_values)
        return answer_batch(network, pixels, prompts, max_new_tokens)
