"""`InstructSAMProcessor`: images and instructions to tensors, and answers to instances, as processors of the hub do.

    processor = InstructSAMProcessor.from_pretrained(checkpoint)
    inputs = processor(images=image, text='the red mug').to(model.device)
    [segmentation] = processor.post_process(model.generate(**inputs))

Notation: B samples, T tokens, N patches, S side of SAM3's input.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import HfApi
from numpy.typing import NDArray
from PIL import Image
from transformers import BatchFeature

from instructsam_model.datatypes import Frame, Instruction, Segmentation, Selection
from instructsam_model.errors import CheckpointError, ConfigError, FrameError
from instructsam_model.image_io import read_image, to_rgb
from instructsam_model.instructsam.answer import SampleAnswer
from instructsam_model.instructsam.checkpoint import resolve_sam3
from instructsam_model.instructsam.config import SAM3_FOLDER
from instructsam_model.instructsam.hub_arguments import HUB_ARGUMENTS, PUSH_ARGUMENTS, find_folder, push
from instructsam_model.instructsam.plain_text import decode_text
from instructsam_model.instructsam.postprocess import select_instances
from instructsam_model.instructsam.preprocess import Preprocessor, read_preprocessor
from instructsam_model.options import check_names
from instructsam_model.weights.hub import CONFIG_FILE, read_json

AnyImage = str | Path | Image.Image | NDArray[np.uint8]
TOKENIZER_FILE = 'tokenizer.json'
IMAGE_TOKEN = '<|image_pad|>'
PHRASE_END = '<|object_ref_end|>'
QUERIES = '<|mask_start|>[SEG]<|mask_end|>'
CPU = torch.device('cpu')


class InstructSAMProcessor:
    """Tokenizer and image processors of a checkpoint.

    Args:
        preprocessor: of the checkpoint.
    """

    def __init__(self, preprocessor: Preprocessor) -> None:
        self.preprocessor = preprocessor

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **arguments: Any) -> InstructSAMProcessor:
        """Read the processor of a checkpoint; the weights are not needed.

        Args:
            pretrained_model_name_or_path: a folder or an id on the hub; `embedded` for the checkpoint in this package.
            arguments: `revision`, `cache_dir`, `token`, `local_files_only`, `force_download` and `subfolder` as in
                `huggingface_hub`.

        Raises:
            CheckpointError: a file is missing or damaged, or cannot be downloaded.
            ConfigError: an argument is unknown.
        """
        check_names(arguments, HUB_ARGUMENTS, 'argument of InstructSAMProcessor.from_pretrained')
        folder = find_folder(pretrained_model_name_or_path, arguments)
        # A folder that `save_pretrained` wrote has no configuration of a network.
        sam3_folder = resolve_sam3(folder) if (folder / CONFIG_FILE).exists() else folder / SAM3_FOLDER
        return cls(read_preprocessor(folder, sam3_folder, read_image_token(folder)))

    def save_pretrained(
        self, save_directory: str | Path, *, push_to_hub: bool = False, repo_id: str | None = None, **arguments: Any
    ) -> str | None:
        """Write the files of the processor, also into the folder of a checkpoint, whose own they replace.

        Args:
            save_directory: the folder.
            push_to_hub: upload them as well.
            repo_id: where to; the name of the folder unless given.
            arguments: of `push_to_hub`.

        Returns:
            The address of the upload, or None.
        """
        check_names(arguments, PUSH_ARGUMENTS if push_to_hub else (), 'argument of save_pretrained')
        folder = Path(save_directory).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        self.preprocessor.save(folder, folder / SAM3_FOLDER)
        return self.push_to_hub(repo_id or folder.name, **arguments) if push_to_hub else None

    def push_to_hub(self, repo_id: str, **arguments: Any) -> str:
        """Upload the files of the processor as one commit; arguments, result and errors are those of the network's."""
        check_names(arguments, PUSH_ARGUMENTS, 'argument of push_to_hub')
        options = {**arguments, 'revision': arguments.get('branch')}
        private, token = options.pop('private', None), options.pop('token', None)
        options.pop('branch', None)

        def upload() -> str:
            api = HfApi(token=token)
            full_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
            with tempfile.TemporaryDirectory() as folder:
                self.save_pretrained(folder)
                return str(api.upload_folder(repo_id=full_id, folder_path=folder, **options))

        return push(repo_id, token, upload)

    def __call__(
        self, images: AnyImage | Sequence[AnyImage], text: str | Sequence[str], *, return_tensors: str = 'pt'
    ) -> BatchFeature:
        """Convert images and instructions to the inputs of `InstructSAM.generate`.

        Args:
            images: one or B images: a file, a Pillow image, or uint8 (H, W, 3) RGB; they are turned upright, and
                transparent pixels become white.
            text: one or B instructions. One image is combined with each of several instructions, and one instruction
                with each of several images.
            return_tensors: only `pt`.

        Raises:
            ConfigError: the numbers of images and instructions differ, or other tensors than torch's are wanted.
            FrameError: an image cannot be used.
            RequestError: an instruction is empty or too long.
        """
        if return_tensors != 'pt':
            raise ConfigError(f"return_tensors: expected 'pt', got {return_tensors!r}")
        frames = [Frame(load_image(image)) for image in _as_list(images)]
        instructions = [Instruction(each) for each in _as_list(text)]
        count = max(len(frames), len(instructions))
        if {len(frames), len(instructions)} - {1, count} or not (frames and instructions):
            raise ConfigError(
                f'expected as many images as instructions, or one of either, got {len(frames)} and {len(instructions)}'
            )
        frames, instructions = frames * (count // len(frames)), instructions * (count // len(instructions))
        pixels = [self.preprocessor.pixels(frame, CPU) for frame in frames]
        prefixes = [self.preprocessor.image_prefix(each.grid_thw) for each in pixels]
        prompts = [
            torch.tensor([*prefix, *self.preprocessor.instruction(instruction.text)])
            for prefix, instruction in zip(prefixes, instructions, strict=True)
        ]
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        return BatchFeature(
            {
                'pixel_values': torch.cat([each.qwen for each in pixels]),
                'image_grid_thw': torch.cat([each.grid_thw for each in pixels]),
                'sam3_pixel_values': torch.cat([each.sam3 for each in pixels]),
                'input_ids': torch.nn.utils.rnn.pad_sequence(prompts, batch_first=True),
                'attention_mask': torch.arange(int(lengths.max())) < lengths.unsqueeze(1),
                'instruction_starts': torch.tensor([len(prefix) for prefix in prefixes]),
                'original_sizes': torch.tensor([frame.size_wh[::-1] for frame in frames]),
                'instructions': [instruction.text for instruction in instructions],
            }
        )

    def post_process(
        self,
        outputs: Sequence[SampleAnswer],
        *,
        threshold: float = Selection.min_score,
        mask_threshold: float = Selection.mask_threshold,
        max_instances: int = Selection.max_instances,
    ) -> list[Segmentation]:
        """Convert answers to instances with masks of the size of their images, best score first.

        Args:
            outputs: of `InstructSAM.generate`.
            threshold: slots with this score or a lower one are dropped.
            mask_threshold: probability above which a pixel belongs to an instance.
            max_instances: maximum number of instances of an answer.

        Raises:
            ConfigError: a number is out of range.
        """
        selection = Selection(threshold, mask_threshold, max_instances)
        return [self._segmentation(output, selection) for output in outputs]

    def _segmentation(self, output: SampleAnswer, selection: Selection) -> Segmentation:
        ids, decode = output.answer.token_ids, self.preprocessor.decode
        phrases = tuple(decode(ids[slice(*span)]).strip() for span in output.answer.phrase_spans)
        prediction = replace(output.prediction, phrases=phrases)
        instances, is_truncated = select_instances(prediction, output.size_wh, selection)
        # The queries after each phrase are not among the generated tokens.
        raw_text = decode(ids).replace(PHRASE_END, PHRASE_END + QUERIES)
        return Segmentation(
            instances=instances,
            instruction=Instruction(output.instruction),
            text=decode_text(self.preprocessor.tokenizer, ids),
            size_wh=output.size_wh,
            raw_text=raw_text,
            truncated=is_truncated,
        )


def read_image_token(folder: Path) -> int:
    """Return the id of the token that stands for a patch of an image.

    Raises:
        CheckpointError: neither the configuration nor the tokenizer has it.
    """
    if (folder / CONFIG_FILE).exists():
        ids = [read_json(folder / CONFIG_FILE).get('image_token_id')]
    else:
        added = read_json(folder / TOKENIZER_FILE).get('added_tokens', [])
        ids = [token['id'] for token in added if token['content'] == IMAGE_TOKEN]
    if len(ids) != 1 or type(ids[0]) is not int:
        raise CheckpointError(f'{folder}: expected the processor of an InstructSAM checkpoint, found no {IMAGE_TOKEN}')
    return ids[0]


def load_image(image: AnyImage) -> NDArray[np.uint8]:
    """Return an image as uint8 (H, W, 3), RGB.

    Raises:
        FrameError: it cannot be read, or is none of the kinds of `InstructSAMProcessor.__call__`.
    """
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        return to_rgb(image)
    if isinstance(image, np.ndarray):
        return image  # checked by `Frame`
    raise FrameError(f'images: expected files, Pillow images or uint8 arrays (H, W, 3), got {type(image).__name__}')


def _as_list(value: Any) -> list[Any]:
    return [*value] if isinstance(value, list | tuple) else [value]
