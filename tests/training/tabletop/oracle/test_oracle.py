"""The oracle: a scripted vision-language model that knows the tabletop and errs at a set rate.

Covers tabletop.oracle.calls, tabletop.oracle.mistakes, tabletop.oracle.questions and
tabletop.oracle.phrase_segmenter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from instructsam_model import Frame, Instruction
from instructsam_model.errors import ConfigError, InferenceError
from instructsam_model.image_io import read_image
from instructsam_model.sam3_agent.core.messages import Message
from instructsam_model.sam3_agent.segmenter import AgentError, AgentSegmenter
from instructsam_model.sam3_agent.tool_calls.repair import parse_lenient
from instructsam_model.sam3_agent.vlm.server import Server
from instructsam_model.sam3_agent.vlm.server_vlm import ServerVlm
from instructsam_training.tabletop.oracle.calls import examine, report, segment, select
from instructsam_training.tabletop.oracle.mistakes import make_mistake, possible_mistakes
from instructsam_training.tabletop.oracle.oracle import Oracle
from instructsam_training.tabletop.oracle.phrase_segmenter import PhraseSegmenter
from instructsam_training.tabletop.oracle.questions import read_questions
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.fake_vlm_server import serve_vlm
from tests.support.tabletop_questions import QUESTIONS, load_questions, make_oracle, square, write_questions


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_questions(tmp_path_factory.mktemp('data'))


class Recording(Oracle):
    """An oracle whose replies are kept."""

    replies: list[str]

    def chat(self, messages: Sequence[Message], kind: Any, **limits: Any) -> Any:
        """Keep the reply."""
        reply = super().chat(messages, kind, **limits)
        self.replies.append(reply.text or '')
        return reply


def answers(agent: AgentSegmenter, data: Path) -> Iterator[tuple[str, set[str] | None]]:
    """Yield each question with the colors of the answer; None if the run died."""
    frame = Frame(read_image(data / '0.png'))
    for text, *_ in QUESTIONS:
        try:
            found = agent.segment(frame, Instruction(text)).instances
        except AgentError:
            yield text, None
        else:
            yield (
                text,
                {
                    color
                    for color in ('red', 'green', 'blue')
                    for instance in found
                    if np.array_equal(instance.mask, square(color))
                },
            )


def test_without_mistakes_the_answers_are_those_that_the_phrases_allow(data: Path) -> None:
    segmenter = FakeSegmenter()
    agent = AgentSegmenter(make_oracle(data), segmenter)
    expected = {text: set(colors) for text, _, _, colors in QUESTIONS}
    # One phrase must find all targets, and the fake segmenter knows no 'things'.
    expected['Show me the red mug and the green box.'] = set()
    assert dict(answers(agent, data)) == expected
    # Candidates first in the number of the answer, or in the plural; then more general ones.
    assert segmenter.asked == ['red mug', 'green boxes', 'blue ball', 'gray cup', 'things', 'thing']


def test_small_masks_are_examined_among_others(data: Path) -> None:
    oracle = Recording(read_questions(data, load_questions(data)))
    oracle.replies = []
    # Two squares for each phrase, of which the blue one has 16 of 4800 pixels.
    agent = AgentSegmenter(oracle, PhraseSegmenter(FakeSegmenter(), 'red blue {}'))
    assert dict(answers(agent, data))['Where is the blue ball?'] == {'blue'}
    blue = oracle.replies[4:9]
    assert blue[1] == examine().text
    assert [reply.split('<verdict>')[1].split('<')[0] for reply in blue[2:4]] == ['Reject', 'Accept']
    # The only mask that was accepted has a new number.
    assert blue[4] == select([1]).text


def test_share_and_kinds_of_mistakes(data: Path) -> None:
    def run(error_rate: float, seed: int) -> list[str]:
        oracle = Recording(read_questions(data, load_questions(data)), error_rate, seed)
        oracle.replies = []
        list(answers(AgentSegmenter(oracle, FakeSegmenter()), data))
        return oracle.replies

    right = set(run(0.0, 0))
    replies = [reply for seed in range(10) for reply in run(0.3, seed)]
    # Replies after a mistake are right again, but may be others.
    wrong = sum(reply not in right for reply in replies) / len(replies)
    assert 0.2 < wrong < 0.4
    assert run(0.3, 5) == run(0.3, 5) != run(0.3, 6)
    assert not right & set(run(1.0, 0)) - {report('Nothing here matches the question.').text}


@pytest.mark.parametrize(
    ('call', 'masks', 'kinds'),
    [
        (segment('mugs'), 0, {'malformed', 'wrong_report', 'wrong_phrase'}),
        (select([2]), 2, {'malformed', 'wrong_report', 'wrong_number'}),
        (select([1, 2]), 2, {'malformed', 'wrong_report', 'wrong_number'}),
        (examine(), 2, {'malformed', 'wrong_report'}),
        (report('No.'), 0, {'malformed', 'wrong_phrase'}),
        (report('No.'), 2, {'malformed', 'wrong_phrase', 'wrong_number'}),
    ],
)
def test_mistakes_are_other_calls_or_none(call: Any, masks: int, kinds: set[str]) -> None:
    assert set(possible_mistakes(call, masks)) == kinds
    for kind in possible_mistakes(call, masks):
        for seed in range(10):
            reply = make_mistake(kind, call, masks, Random(seed))
            try:
                parsed = json.loads(reply.split('<tool>')[1].split('</tool>')[0])
                content = parsed['name'], parsed['parameters']
            except (IndexError, KeyError, ValueError):
                assert kind == 'malformed'
                continue
            assert content != (call.tool, dict(call.parameters))
            if kind == 'wrong_number':
                assert set(content[1]['final_answer_masks']) <= set(range(1, masks + 2))


def test_right_calls_are_valid() -> None:
    for call in (segment('mugs'), examine(), select([1, 3]), report('No.')):
        assert parse_lenient(call.text, False, 200) is not None


def test_other_questions_and_rates_are_refused(data: Path) -> None:
    with pytest.raises(ConfigError, match=r'error_rate: expected 0\.\.1, got 30'):
        make_oracle(data, 30)
    agent = AgentSegmenter(make_oracle(data), FakeSegmenter())
    frame = Frame(read_image(data / '0.png'))
    with pytest.raises(InferenceError, match='oracle: knows 5 questions about its own images, got Show me a cat'):
        agent.segment(frame, Instruction('Show me a cat.'))
    darker = Frame(frame.image_rgb // 2)
    with pytest.raises(InferenceError, match='oracle: knows 5 questions about its own images, got Show me the red mug'):
        agent.segment(darker, Instruction(QUESTIONS[0][0]))


def test_data_without_phrases_is_refused(data: Path, tmp_path: Path) -> None:
    records = json.loads((data / 'inst2seg.json').read_text())
    del records[0]['annotation'][1]['phrase']
    (tmp_path / 'inst2seg.json').write_text(json.dumps(records))
    with pytest.raises(ConfigError, match=r'expected the phrase of a correct answer for 0\.1 .*, found none'):
        read_questions(tmp_path, load_questions(data))


def test_replies_over_http_give_the_same_answers(data: Path) -> None:
    oracle = Recording(read_questions(data, load_questions(data)), 0.3, 1)
    oracle.replies = []
    expected = list(answers(AgentSegmenter(oracle, FakeSegmenter()), data))
    with serve_vlm(oracle.replies) as served:
        vlm = ServerVlm(Server(served.url), reply_form='text')
        agent = AgentSegmenter(vlm, FakeSegmenter())
        assert list(answers(agent, data)) == expected
        assert len(served.chats) == len(oracle.replies)
        agent.close()
