"""A conversation as the network takes it in training, and comparison of predictions."""

from __future__ import annotations

import torch

from instructsam_model import Frame
from instructsam_model.instructsam.inputs import ModelInputs
from instructsam_model.instructsam.prediction import Prediction
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter

FIELDS = ('query_states', 'query_embeds', 'phrase_embeds', 'score_logits', 'mask_logits', 'refined_xyxy')


def conversation(segmenter: InstructSAMSegmenter, frame: Frame, instruction: str, phrases: list[str]) -> ModelInputs:
    """A question with its whole answer, as training packs it."""
    preprocessor, config = segmenter.preprocessor, segmenter.network.config
    tokens = config.tokens
    pixels = preprocessor.pixels(frame, torch.device('cpu'))
    ids = [*preprocessor.image_prefix(pixels.grid_thw), *preprocessor.instruction(instruction)]
    for index, phrase in enumerate(phrases):
        ids += preprocessor.text(', ') if index else []
        ids += [tokens.ref_start, *preprocessor.text(phrase), tokens.ref_end]
        ids += [tokens.mask_start, *[tokens.query] * config.num_queries, tokens.mask_end]
    phrase_ids, phrase_mask = torch.zeros(len(phrases), 32, dtype=torch.long), torch.zeros(len(phrases), 32).bool()
    for row, phrase in enumerate(phrases):
        words = preprocessor.text(phrase)
        phrase_ids[row, : len(words)], phrase_mask[row, : len(words)] = torch.tensor(words), True
    input_ids = torch.tensor([ids])
    owner = torch.zeros(len(phrases), dtype=torch.long)
    return ModelInputs(input_ids, torch.ones_like(input_ids).bool(), pixels, phrase_ids, phrase_mask, owner)


def assert_close(ours: Prediction, theirs: Prediction) -> None:
    for field in FIELDS:
        torch.testing.assert_close(getattr(ours, field), getattr(theirs, field), rtol=1e-4, atol=1e-3, msg=field)
