"""Conversations about samples, their tokens and labels. Covers data/encode.py, data/sample.py and data/templates.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.masks import Rle, encode_rle
from instructsam_training.config.data_options import ConversationOptions
from instructsam_training.data.conversation import Span, Turn, build_conversation
from instructsam_training.data.encode import IGNORED, encode_conversation
from instructsam_training.data.sample import Annotation, Sample


def box(column: int) -> Rle:
    mask = np.zeros((10, 40), np.bool_)
    mask[2:8, column : column + 4] = True
    return encode_rle(mask)


MUG = Annotation('phrase', 'Mug', 'mug', (box(0), box(6)))
BOWL = Annotation('phrase', 'bowl', 'bowl', (box(20),))
KNIFE = Annotation('sentence', 'What would cut the bread?', 'knife', (box(30),))
SIGN = Annotation('OCR', 'EXIT', 'EXIT', (box(12),))
GHOST = Annotation('phrase', 'elephant', 'elephant')
SET = Annotation(
    'sentence',
    'The spoon and the fork?',
    'spoon',
    (box(12),),
    additional_phrases=(Annotation('phrase', 'fork', 'fork'),),
)


def sample(*annotations: Annotation, allow_multi_phrase: bool = False) -> Sample:
    return Sample(Path('a.png'), (10, 40), annotations, allow_multi_phrase)


def conversations(one: Sample, options: ConversationOptions, count: int = 60) -> list[tuple[Turn, ...]]:
    return [build_conversation(one, Random(seed), options) for seed in range(count)]


SINGLE = ConversationOptions(merge_pairs=False)


def test_each_annotation_is_asked_about_once_with_its_instances() -> None:
    for turns in conversations(sample(MUG, BOWL, KNIFE, SIGN, GHOST), SINGLE):
        spans = {turn.spans[0].phrase: turn.spans[0].masks for turn in turns}
        assert spans == {'mug': MUG.masks, 'bowl': BOWL.masks, 'knife': KNIFE.masks, 'EXIT': SIGN.masks, 'elephant': ()}
        for turn in turns:
            assert (turn.question == KNIFE.text) == (turn.spans[0].phrase == 'knife')
            assert turn.spans[0].phrase in turn.question or turn.spans[0].phrase == 'knife'


def test_only_selected_phrases_are_asked_about() -> None:
    chosen = ConversationOptions(merge_pairs=False, phrases=('mug', 'elephant'))
    for turns in conversations(sample(MUG, BOWL, KNIFE, GHOST), chosen, 5):
        assert sorted(turn.spans[0].phrase for turn in turns) == ['elephant', 'mug']


def test_annotations_with_more_instances_than_the_public_code_allows_are_dropped_on_request() -> None:
    pair, three = sample(MUG, BOWL), Annotation('phrase', 'three', 'three', (box(0), box(6), box(12)))
    for options, phrases in ((SINGLE, {'mug', 'bowl'}), (replace(SINGLE, drop_above=1), {'bowl'})):
        assert {span.phrase for turn in conversations(pair, options, 1)[0] for span in turn.spans} == phrases
    # Exactly as many are allowed, and of an instruction each name counts.
    assert conversations(sample(three), replace(SINGLE, drop_above=3), 1)[0][0].spans[0].masks == three.masks
    several = replace(SET, additional_phrases=(three,))
    assert conversations(sample(several), replace(SINGLE, drop_above=2), 1) == [()]


def test_first_phrases_come_first_in_every_conversation() -> None:
    options = ConversationOptions(merge_pairs=False, max_phrases=2, first_phrases=('bowl',))
    asked = [[turn.spans[0].phrase for turn in turns] for turns in conversations(sample(MUG, BOWL, GHOST), options)]
    assert {phrases[0] for phrases in asked} == {'bowl'}
    assert {phrases[1] for phrases in asked} == {'mug', 'elephant'}


def test_order_and_wording_depend_on_the_seed_alone() -> None:
    one = sample(MUG, BOWL, KNIFE)
    assert len({turns[0].question for turns in conversations(one, SINGLE)}) > 6
    assert conversations(one, SINGLE) == conversations(one, SINGLE)


def test_instruction_for_several_objects_is_answered_in_one_turn() -> None:
    for turns in conversations(sample(SET, MUG), SINGLE):
        asked = {turn.question: turn.spans for turn in turns}
        assert asked[SET.text] == (Span('spoon', SET.masks), Span('fork'))


def test_two_names_that_do_not_overlap_share_a_question() -> None:
    merged = conversations(sample(MUG, BOWL, KNIFE), ConversationOptions())
    pairs = [turn for turns in merged for turn in turns if len(turn.spans) == 2]
    assert len(pairs) == len(merged)
    for turns in merged:
        assert sorted(span.phrase for turn in turns for span in turn.spans) == ['bowl', 'knife', 'mug']
    assert all("'mug'" in turn.question and "'bowl'" in turn.question for turn in pairs)


def test_names_that_overlap_do_not_share_a_question() -> None:
    same = Annotation('phrase', 'cup', 'cup', MUG.masks)
    for turns in conversations(sample(MUG, same, KNIFE), ConversationOptions()):
        assert all(len(turn.spans) == 1 for turn in turns)


def test_one_question_for_all_names_if_the_sample_allows_it() -> None:
    options = ConversationOptions(multi_phrase_probability=0.5, merge_pairs=False)
    turns = conversations(sample(MUG, BOWL, GHOST, allow_multi_phrase=True), options)
    together = [each for each in turns if len(each) == 1]
    assert 15 < len(together) < 45
    assert all(len(each[0].spans) == 3 for each in together)


@pytest.mark.parametrize(
    ('options', 'spans'),
    [(ConversationOptions(max_phrases=2), 2), (ConversationOptions(max_instances=2), 2)],
)
def test_phrases_and_instances_are_limited(options: ConversationOptions, spans: int) -> None:
    for turns in conversations(sample(MUG, BOWL, KNIFE, SIGN), options):
        assert sum(len(turn.spans) for turn in turns) <= spans


def test_each_name_of_an_instruction_counts_towards_the_limit() -> None:
    counts = {
        sum(len(turn.spans) for turn in turns)
        for turns in conversations(sample(SET, BOWL, KNIFE), ConversationOptions(max_phrases=2))
    }
    assert counts == {1, 2}


def test_tokens_that_the_model_generates_are_supervised(segmenter: InstructSAMSegmenter) -> None:
    preprocessor, config = segmenter.preprocessor, segmenter.network.config
    turns = (
        Turn('red ball and box?', (Span('red ball'), Span('box'))),
        Turn('blue box?', (Span('blue box'),)),
    )
    prefix = preprocessor.image_prefix(torch.tensor([[1, 4, 4]]))
    encoding = encode_conversation(turns, prefix, preprocessor, config)
    written = preprocessor.decode([label for label in encoding.labels if label != IGNORED])
    assert written == (
        '<|object_ref_start|>red ball<|object_ref_end|><|mask_start|>, '
        '<|object_ref_start|>box<|object_ref_end|><|mask_start|><|im_end|>'
        '<|object_ref_start|>blue box<|object_ref_end|><|mask_start|><|im_end|>'
    )
    assert encoding.input_ids.count(config.tokens.query) == 3 * config.num_queries
    assert [preprocessor.decode(ids) for ids in encoding.phrase_ids] == ['red ball', 'box', 'blue box']
    assert all(label in (IGNORED, token) for label, token in zip(encoding.labels, encoding.input_ids, strict=True))
