"""What is asked about a user's categories: cleaned names, further names, instructions, and absent categories.

red_apple: ripe apple                   # the name that is asked for and answered
class_0:
  name: gear wheel
  names: [gear, cogwheel]               # asked for as well; the answer is their own
  instructions:                         # answered with the name
    - Which part turns the shaft?
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import yaml

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import Annotation, Sample, SkipReport, clean_phrase, named
from instructsam_training.datasets.io.category_names import plain_name

PLACEHOLDER = re.compile(r'(class|cls|label|object|obj|category|cat|item)?\W*\d+')
"""Names that say nothing: 'class 0', '7'."""
CAMEL_CASE = re.compile(r'(?<=[a-z])(?=[A-Z][a-z])')
HYPHEN = re.compile(r'(?<=\w\w)-(?=\w\w)')
"""A hyphen between words, unlike those of t-shirt and x-ray."""
KEYS = ('name', 'names', 'instructions')


@dataclass(frozen=True)
class CategoryTexts:
    """Texts of one category.

    Attributes:
        name: asked for and answered.
        names: further names, each asked for and answered with itself.
        instructions: free-form, answered with `name`.
    """

    name: str
    names: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()


def own_name(category: Mapping[str, Any]) -> str:
    """Return the spoken name of a user's category: 'red apple' for `red_apple`, `red-apple` and `RedApple`.

    Raises:
        ValueError: the category has no name.
    """
    name = category.get('name')
    if isinstance(name, str):
        # Users write identifiers where the model needs words.
        name = HYPHEN.sub(' ', CAMEL_CASE.sub(' ', name))
    return plain_name({**category, 'name': name})


def read_texts(file: Path) -> dict[str, CategoryTexts]:
    """Read the texts of categories, by the spoken name of the category.

    Raises:
        ConfigError: the file cannot be read, or an entry is neither a name nor an object with the keys of `KEYS`.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding='utf-8-sig'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f'{file}: expected YAML, cannot read it: {error}') from None
    if not isinstance(content, dict) or not content:
        raise ConfigError(f'{file}: expected category: name, or category: {{{", ".join(KEYS)}}}; got {content!r}')
    texts: dict[str, CategoryTexts] = {}
    for category, entry in content.items():
        try:
            key = own_name({'name': str(category)})
            if key in texts:
                raise ValueError('this category stands here twice, in other spellings')
            texts[key] = _parse(key, entry)
        except ValueError as error:
            raise ConfigError(f'{file}: {category}: {error}') from None
    return texts


def check_texts(texts: Mapping[str, CategoryTexts], known: Iterable[str], report: SkipReport) -> None:
    """Check that the texts belong to categories, and count the categories whose names say nothing.

    Args:
        texts: by spoken name.
        known: spoken names of the categories.
        report: gets the count.

    Raises:
        ConfigError: there is no category of that name.
    """
    names = sorted(set(known))
    unknown = sorted(set(texts) - set(names))
    if unknown:
        raise ConfigError(f'--texts: {unknown[0]!r}: expected one of the categories {", ".join(names)}')
    for name in names:
        # The model cannot learn what `class_0` looks like from its name.
        if PLACEHOLDER.fullmatch(texts[name].name if name in texts else name):
            report.note('categories whose names say nothing; give them others with --texts', name)


@dataclass(frozen=True)
class Questions:
    """Makes the annotations of samples from those of their categories.

    Attributes:
        texts: by the spoken name of the category.
        known: spoken names of all categories.
        absent: number of categories asked about that are not in the image; right only if every category was annotated
            in every image.
        seed: of their choice.
    """

    texts: Mapping[str, CategoryTexts]
    known: Sequence[str]
    absent: int = 0
    seed: int = 0

    def apply(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Yield the samples with all questions about them."""
        for sample in samples:
            asked = [question for annotation in sample.annotations for question in self._questions(annotation)]
            # Several categories may be asked for by one name: that name is not absent if one of them is there.
            present = {annotation.text for annotation in sample.annotations}
            taken = {question.text for question in asked}
            others = [name for name in sorted(set(self.known) - present) if self.name_of(name) not in taken]
            # Seeded by the sample: its questions do not depend on the samples before it.
            chosen = Random(f'{self.seed} {sample.id}').sample(others, min(self.absent, len(others)))
            yield replace(sample, annotations=(*asked, *(named(self.name_of(name)) for name in chosen)))

    def name_of(self, spoken: str) -> str:
        """Return the name that is asked for."""
        return self.texts[spoken].name if spoken in self.texts else spoken

    def _questions(self, annotation: Annotation) -> Iterator[Annotation]:
        # Without texts, a category is asked for by its own name.
        texts = self.texts.get(annotation.text, CategoryTexts(annotation.text))
        for name in (texts.name, *texts.names):
            yield named(name, annotation.masks, box_only=annotation.box_only)
        for text in texts.instructions:
            yield Annotation('sentence', text, clean_phrase(texts.name), annotation.masks, annotation.box_only)


def _parse(category: str, entry: Any) -> CategoryTexts:
    if isinstance(entry, str) and clean_phrase(entry):
        return CategoryTexts(entry.strip())
    if not isinstance(entry, dict) or not entry or set(entry) - set(KEYS):
        raise ValueError(f'expected a name, or {", ".join(KEYS)}, got {entry!r}')
    name = entry.get('name', category)
    # `names:` with nothing behind it is None in YAML.
    lists = [entry.get(key) or [] for key in KEYS[1:]]
    for key, texts in zip(KEYS, ([name], *lists), strict=True):
        if not isinstance(texts, list) or not all(isinstance(text, str) and clean_phrase(text) for text in texts):
            raise ValueError(f'{key}: expected text, got {texts!r}')
    return CategoryTexts(name.strip(), *(tuple(text.strip() for text in texts) for texts in lists))
