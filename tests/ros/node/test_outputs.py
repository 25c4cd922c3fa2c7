"""The table of output topics: what is published, and what is made of the table elsewhere."""

from __future__ import annotations

import pytest

from instructsam_ros.node.outputs import OUTPUTS, Output, policy_lines, readme_lines
from tests.support import ROOT
from tests.support.graph import Graph
from tests.support.policy import POLICY, allowed

COMMAND = 'python -m instructsam_ros.node.outputs prints the lines'


def test_the_node_publishes_each_available_output(graph: Graph):
    node = graph.segmenter(autostart=False)
    published = dict(node.get_publisher_names_and_types_by_node('segmenter', '/'))
    for output in OUTPUTS:
        topic = f'/segmenter/{output.name}'
        assert (topic in published) == output.is_available
        assert published.get(topic, [output.type_name]) == [output.type_name]


def test_the_policy_allows_each_output():
    text = POLICY.read_text()
    missing = [line for line in policy_lines() if line not in text]
    assert not missing, f'config/sros2_policy.xml: add {missing} to what the node may publish; {COMMAND}'
    others = {'/segmenter/transition_event', '/bond', '/diagnostics', '/parameter_events', '/rosout'}
    left = allowed('segmenter', 'topic', 'publish') - {f'/segmenter/{output.name}' for output in OUTPUTS} - others
    assert not left, f'config/sros2_policy.xml: remove {left}; no output has this name'


@pytest.mark.parametrize('output', OUTPUTS, ids=lambda output: output.name)
def test_the_readme_lists_each_output(output: Output):
    rows = [line for line in (ROOT / 'README.md').read_text().splitlines() if f'`~/{output.name}`' in line]
    name = output.type_name.rpartition('/')[2]
    [expected] = [line for line in readme_lines() if f'`~/{output.name}`' in line]
    assert any(name in row for row in rows), f'README.md: add the row {expected}; {COMMAND}'
