"""The words of the agent: its sentences and its system prompts."""

from __future__ import annotations

import json
import re

import pytest

from instructsam_model.sam3_agent.prompts.checking import CHECKING_PROMPT
from instructsam_model.sam3_agent.prompts.main import MAIN_PROMPT
from instructsam_model.sam3_agent.prompts.sentences import SENTENCES, make_sentence
from instructsam_model.sam3_agent.tool_calls.calls import TOOLS
from instructsam_model.sam3_agent.tool_calls.parse import parse_strict

SLOTS = {'query': 'a {0} "b" %s', 'n': 3, 'phrase': 'disc', 'used': ['disc', 'x'], 'fault': 'it is empty', 'left': 2}


@pytest.mark.parametrize('kind', SENTENCES)
def test_sentences_hold_their_slots_as_they_are(kind: str) -> None:
    sentence = make_sentence(kind, **SLOTS)
    assert sentence.kind == kind
    assert sentence.text
    if kind in ('initial', 'segmented', 'examined', 'check_query'):
        assert json.dumps(SLOTS['query']) in sentence.text
    if kind in ('segmented', 'examined'):
        assert '3 masks, numbered 1 to 3' in sentence.text


def test_one_mask_is_in_the_singular() -> None:
    assert 'one mask, number 1' in make_sentence('segmented', n=1, query='q').text


def test_a_missing_slot_is_an_error() -> None:
    with pytest.raises(KeyError):
        make_sentence('segmented', n=1)


def test_the_prompts_are_short_and_name_all_tools() -> None:
    assert 8000 <= len(MAIN_PROMPT.encode()) + len(CHECKING_PROMPT.encode()) <= 10_000
    assert all(tool in MAIN_PROMPT for tool in TOOLS)
    assert '<verdict>Accept</verdict>' in CHECKING_PROMPT
    assert '<verdict>Reject</verdict>' in CHECKING_PROMPT


def test_the_example_in_the_prompt_is_a_valid_call() -> None:
    example = re.findall(r'<think>.*?</tool>', MAIN_PROMPT, re.DOTALL)[-1]
    assert parse_strict(example, has_masks=False).phrase == 'cup'  # type: ignore[union-attr]
