"""Questions to a checker, a second vision-language model: which instances does a text mean, and does it name them?

A candidate passes only if every answer is right. The questions are asked about an image in which the instances are
numbered; the numbers are shuffled, so that none of them is right more often than others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from instructsam_training.data.sample import LevelName
from instructsam_training.datasets.hmpl.candidate import Candidate
from instructsam_training.datasets.io.coco_file import Id

NUMBER = re.compile(r'\d+')


@dataclass(frozen=True)
class CheckQuestion:
    """One multiple-choice question.

    Attributes:
        about: level of the text, or 'negative'; with '/name' if it asks whether the text names the class.
        text: the instruction that it is about.
        prompt: the question.
        choices: what may be answered.
        correct: the right choices; none of the numbers, '0', if the text means nothing in the image.
    """

    about: str
    text: str
    prompt: str
    choices: tuple[str, ...]
    correct: frozenset[str]

    def is_answered_by(self, reply: str) -> bool:
        """Whether a reply has exactly the right choices; a reply that is no choice is wrong."""
        return parse_choices(reply, self.choices) == self.correct


def number_instances(candidate: Candidate, instances: Sequence[Id], seed: int) -> dict[Id, int]:
    """Return the numbers that the instances of the image have in the questions, from 1 in a random order.

    Args:
        candidate: one target of the image.
        instances: ids of all instances of the image, also of other classes.
        seed: of the order; the candidate's id is added, so that candidates of one image differ.

    Raises:
        ValueError: a target is not among the instances.
    """
    if missing := set(candidate.targets) - set(instances):
        raise ValueError(
            f'{candidate.id}: expected all targets among the instances, missing {sorted(missing, key=str)}'
        )
    order = list(instances)
    Random(f'{seed}/{candidate.id}').shuffle(order)
    return {instance: number for number, instance in enumerate(order, start=1)}


def check_questions(candidate: Candidate, numbers: Mapping[Id, int]) -> Iterator[CheckQuestion]:
    """Yield all questions about the texts of a candidate.

    Args:
        candidate: with its texts.
        numbers: of the instances in the image, see `number_instances`.
    """
    choices = ('0', *(str(number) for number in sorted(numbers.values())))
    targets = frozenset(str(numbers[target]) for target in candidate.targets)
    named: tuple[tuple[LevelName, str], ...] = (('simple', 'yes'), ('complex', 'no'))
    for level, names_class in named:
        for text in candidate.texts.of(level):
            yield CheckQuestion(level, text, _which_prompt(text, choices), choices, targets)
            prompt = _name_prompt(text, candidate.class_name)
            yield CheckQuestion(f'{level}/name', text, prompt, ('yes', 'no'), frozenset([names_class]))
    for text in candidate.negatives:
        yield CheckQuestion('negative', text, _which_prompt(text, choices), choices, frozenset(['0']))


def find_failures(questions: Sequence[CheckQuestion], replies: Sequence[str]) -> tuple[str, ...]:
    """Say what the replies find wrong; nothing if the candidate passes.

    Raises:
        ValueError: there are not as many replies as questions, or no question, so that nothing was checked.
    """
    if not questions or len(questions) != len(replies):
        raise ValueError(f'expected a reply to each question, got {len(replies)} for {len(questions)}')
    return tuple(
        f'{question.about} {question.text!r}: expected {" ".join(sorted(question.correct))}, got {reply.strip()!r}'
        for question, reply in zip(questions, replies, strict=True)
        if not question.is_answered_by(reply)
    )


def parse_choices(reply: str, choices: Sequence[str]) -> frozenset[str] | None:
    """Return the choices of a reply; None if it has none, or one that is not offered."""
    words = NUMBER.findall(reply) if '0' in choices else re.findall(r'[a-z]+', reply.lower())[:1]
    return frozenset(words) if words and set(words) <= set(choices) else None


def _which_prompt(text: str, choices: Sequence[str]) -> str:
    return (
        f'The objects in the image are numbered from 1 to {len(choices) - 1}. Which of them does this instruction ask '
        f'for?\n"{text}"\nReply with all their numbers and nothing else, or with 0 if it asks for none of them.'
    )


def _name_prompt(text: str, class_name: str) -> str:
    return (
        f'Does this instruction say the word "{class_name}", its plural or a synonym of it, for what it asks for?\n'
        f'"{text}"\nReply with yes or no.'
    )
