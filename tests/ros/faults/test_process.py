"""Faults of the process: signals in the middle of an inference, and operators who press every button."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator

import pytest
from lifecycle_msgs.msg import Transition

from instructsam_ros.srv import Segment
from instructsam_ros.tools.node_process import NodeProcess
from tests.support import SUPPORT
from tests.support.graph import Graph, Manager

SLOW_SEGMENTER = str(SUPPORT / 'slow_segmenter.py')


@pytest.fixture
def busy(graph: Graph) -> Iterator[NodeProcess]:
    """A node in a process of its own that is in the middle of an inference of 5 seconds."""
    client = graph.peer.create_client(Segment, 'segmenter/segment')
    with NodeProcess(SLOW_SEGMENTER, '5.0', parameters={'warmup': False, 'request_timeout': 60.0}) as segmenter:
        assert client.wait_for_service(60)
        graph.wait_for(lambda: 'active, subscribed' in segmenter.tail(), 'the node to be active', timeout_s=60)
        request = Segment.Request(instruction='red', image=graph.image('red'))
        client.call_async(request)
        # Requests are taken in order: once a second one is refused for its empty text, the first has been taken.
        graph.call(client, Segment.Request(), retry_s=1)
        yield segmenter


@pytest.mark.parametrize('signal_number', [signal.SIGTERM, signal.SIGINT], ids=['SIGTERM', 'SIGINT'])
def test_signal_during_inference_ends_the_process_cleanly(busy: NodeProcess, signal_number: int):
    assert busy.stop(signal_number) == 0, busy.tail()
    assert 'Traceback' not in busy.tail(), busy.tail()


def test_node_starts_again_after_sigkill_during_inference(graph: Graph, busy: NodeProcess):
    assert busy.stop(signal.SIGKILL) == -signal.SIGKILL
    with NodeProcess(SLOW_SEGMENTER, '0.01', parameters={'instruction': 'red'}):
        answers = graph.subscribe()
        graph.publish_images(graph.camera(), until=lambda: answers, rate_hz=10)


@pytest.mark.parametrize('count', [100, pytest.param(500, marks=pytest.mark.slow)])
def test_random_transitions(graph: Graph, count: int):
    node = graph.segmenter(autostart=False, instruction='red')
    manager, camera, rng = Manager(graph), graph.camera(), random.Random(0)
    allowed = {
        ('unconfigured', Transition.TRANSITION_CONFIGURE): 'inactive',
        ('inactive', Transition.TRANSITION_ACTIVATE): 'active',
        ('inactive', Transition.TRANSITION_CLEANUP): 'unconfigured',
        ('active', Transition.TRANSITION_DEACTIVATE): 'inactive',
    }
    buttons = [transition for _, transition in allowed]
    state, states = 'unconfigured', set()
    for _ in range(count):
        transition = rng.choice(buttons)
        camera.publish(graph.image('red'))
        assert manager.change(transition) == ((state, transition) in allowed)
        state = allowed.get((state, transition), state)
        assert node.state == state
        states.add(state)
    assert states == {'unconfigured', 'inactive', 'active'}
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        manager.change(transition)
    answers = graph.subscribe()
    graph.publish_images(camera, until=lambda: answers)
