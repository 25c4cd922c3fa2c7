"""A tiny Qwen3-VL with random weights in the layout of published checkpoints, with the tokenizer of the golden one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from transformers import AutoModelForImageTextToText, Qwen3VLConfig

from tests.support import ROOT

SOURCE = ROOT / 'tests' / 'golden' / 'checkpoint'
CONTEXT = 8192
PROCESSOR = ('chat_template.jinja', 'processor_config.json', 'tokenizer.json', 'tokenizer_config.json')


def write_tiny_vlm(folder: Path) -> Path:
    """Write the checkpoint into a folder and return it."""
    published = json.loads((SOURCE / 'config.json').read_text())
    config = Qwen3VLConfig.from_dict({**published, 'model_type': Qwen3VLConfig.model_type})
    # The tiny tokenizer makes many tokens of the agent's prompts.
    config.get_text_config().max_position_embeddings = CONTEXT
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config)
    model.generation_config.eos_token_id = config.get_text_config().eos_token_id
    model.save_pretrained(folder)
    for name in PROCESSOR:
        shutil.copy(SOURCE / name, folder / name)
    return folder
