"""config/foxglove.json: a layout in which each panel is placed once, and whose topics are documented."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.support import ROOT

LAYOUT = json.loads((ROOT / 'config' / 'foxglove.json').read_text())
PANELS = LAYOUT['configById']
NODE = '/segmenter'


def placed(part: Any) -> Iterator[str]:
    """The panels of a part of the layout."""
    if isinstance(part, str):
        yield part
        return
    assert part['direction'] in ('row', 'column')
    assert 0 < part['splitPercentage'] < 100
    yield from placed(part['first'])
    yield from placed(part['second'])


def topics(value: Any) -> set[str]:
    """Every name of a topic, as key or value."""
    if isinstance(value, str):
        return {value} if re.fullmatch(r'/[a-z_/]+', value) else set()
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return set().union(*map(topics, parts))


def test_every_panel_is_placed_once() -> None:
    assert sorted(placed(LAYOUT['layout'])) == sorted(PANELS)


def test_kinds_of_panels() -> None:
    kinds = {name.partition('!')[0] for name in PANELS}
    assert kinds == {'Image', '3D', 'RawMessages', 'DiagnosticSummary', 'Publish'}


def test_topics_are_documented() -> None:
    documents = [(ROOT / name).read_text() for name in ('README.md', 'docs/interfaces.md')]
    documented = set(re.findall(r'`(~?/\w[\w/]*)`', ' '.join(documents)))
    shown = {topic.replace(f'{NODE}/', '~/') for topic in topics(PANELS)}
    assert len(shown) == 6
    assert shown - documented == set()


def test_an_instruction_can_be_published() -> None:
    panel = PANELS['Publish!instruction']
    assert (panel['topicName'], panel['datatype']) == (f'{NODE}/instruction', 'std_msgs/msg/String')
    assert list(json.loads(panel['value'])) == ['data']
