"""The node as a process: shutdown by signals, and errors at the start."""

from __future__ import annotations

import os
import signal
import time

import pytest

from instructsam_ros.tools.node_process import NodeProcess, ProcessEndedError
from tests.support import SUPPORT
from tests.support.graph import Graph

SLOW_SEGMENTER = str(SUPPORT / 'slow_segmenter.py')
SLOW_LOADING = str(SUPPORT / 'slow_loading.py')
ENDED_CONTEXT = str(SUPPORT / 'ended_context.py')


def wait_for_state(graph: Graph, child: NodeProcess, said: str) -> None:
    def has_said() -> bool:
        child.check()
        return said in child.tail()

    graph.wait_for(has_said, f'the node to say {said!r}', timeout_s=60)


@pytest.mark.parametrize('signal_number', [signal.SIGINT, signal.SIGTERM], ids=['SIGINT', 'SIGTERM'])
@pytest.mark.parametrize('busy', [False, True], ids=['waiting', 'during inference'])
def test_node_shuts_down_cleanly_on_a_signal(graph: Graph, signal_number: int, busy: bool):
    with NodeProcess(SLOW_SEGMENTER, '0.5', parameters={'instruction': 'red', 'warmup': False}) as child:
        wait_for_state(graph, child, 'active, subscribed')
        if busy:
            answers = graph.subscribe()
            graph.publish_images(graph.camera(), until=lambda: answers)
            graph.publish_images(graph.camera(), until=iter([False] * 10 + [True]).__next__)
        assert child.stop(signal_number) == 0, child.tail()
        assert 'Traceback' not in child.tail()


@pytest.mark.parametrize('signal_number', [signal.SIGINT, signal.SIGTERM], ids=['SIGINT', 'SIGTERM'])
def test_signal_while_loading_ends_the_process_at_once(graph: Graph, signal_number: int):
    """Python would end the loading thread inside native code, which aborts the process."""
    with NodeProcess(SLOW_LOADING) as child:
        wait_for_state(graph, child, 'loading')
        started_s = time.monotonic()
        assert child.stop(signal_number) == 0, child.tail()
        assert time.monotonic() < started_s + 9, 'loading takes 60 s'
        assert 'terminate called' not in child.tail()


def test_second_interrupt_is_ignored(graph: Graph):
    with NodeProcess(SLOW_SEGMENTER, '1.0', parameters={'instruction': 'red', 'warmup': False}) as child:
        wait_for_state(graph, child, 'active, subscribed')
        answers, camera = graph.subscribe(), graph.camera()
        graph.publish_images(camera, until=lambda: answers)
        graph.publish_images(camera, until=iter([False] * 10 + [True]).__next__)
        os.kill(child.pid, signal.SIGINT)
        time.sleep(0.2)
        assert child.stop(signal.SIGINT) == 0, child.tail()
        assert 'Traceback' not in child.tail()


def test_unconfigured_node_shuts_down_cleanly_on_a_signal(graph: Graph):
    with NodeProcess('-m', 'instructsam_ros.node.segmenter_node', parameters={'checkpoint': 'no/such/folder'}) as child:
        wait_for_state(graph, child, 'not configured: no/such/folder')
        assert child.stop(signal.SIGINT) == 0
        assert 'Traceback' not in child.tail()


def test_context_shutdown_while_the_executor_waits_is_no_error():
    with NodeProcess(ENDED_CONTEXT) as child, pytest.raises(ProcessEndedError, match='ended with status 0') as caught:
        wait_until_ended(child)
    assert 'Traceback' not in str(caught.value)


@pytest.mark.parametrize(
    ('module', 'parameters', 'said'),
    [
        ('instructsam_ros.node.segmenter_node', {'score_threshold': 1.5}, 'parameter score_threshold'),
        (
            'instructsam_ros.node.segmenter_node',
            {'dtype': 'int8'},
            'dtype: expected one of auto, float32, bfloat16, float16',
        ),
        ('instructsam_ros.sim.image_player', {'path': 'nowhere.png'}, 'nowhere.png'),
    ],
)
def test_node_that_cannot_start_prints_the_reason(module: str, parameters: dict[str, object], said: str):
    with NodeProcess('-m', module, parameters=parameters) as child, pytest.raises(ProcessEndedError) as caught:
        wait_until_ended(child)
    assert 'ended with status 1' in str(caught.value)
    assert 'not started: ' in str(caught.value)
    assert said in str(caught.value)
    assert 'Traceback' not in str(caught.value)


def wait_until_ended(child: NodeProcess) -> None:
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        child.check()
        time.sleep(0.05)
