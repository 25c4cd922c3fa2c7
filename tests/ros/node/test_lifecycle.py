"""Lifecycle transitions: loading, activating, deactivating and freeing the model."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
from lifecycle_msgs.msg import Transition

from instructsam_model import CheckpointError
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.graph import Graph, Manager

CONFIGURE, CLEANUP = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP
ACTIVATE, DEACTIVATE = Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE


def test_round_trip(graph: Graph):
    node = graph.segmenter(autostart=False, instruction='red')
    manager, answers, camera = Manager(graph), graph.subscribe(), graph.camera()
    for _ in range(2):
        assert manager.state == node.state == 'unconfigured'
        assert manager.change(CONFIGURE)
        assert manager.state == node.state == 'inactive'
        for _ in range(2):
            assert manager.change(ACTIVATE)
            assert manager.state == node.state == 'active'
            answers.clear()
            graph.publish_images(camera, until=lambda: answers)
            assert manager.change(DEACTIVATE)
            assert manager.state == 'inactive'
            graph.wait_for(lambda: camera.get_subscription_count() == 0, 'the node to unsubscribe')
        assert manager.change(CLEANUP)


def test_autostart_activates(graph: Graph):
    graph.segmenter()
    assert Manager(graph).state == 'active'


def test_warms_up_in_the_thread_that_answers(graph: Graph):
    fake = FakeSegmenter()
    graph.segmenter(fake, instruction='red')
    answers = graph.subscribe()
    graph.publish_images(graph.camera(), until=lambda: answers)
    assert fake.warmed[0] == (640, 480)
    assert fake.asked[0] == 'red'
    assert len(fake.threads) == 1


def test_cleanup_frees_the_segmenter(graph: Graph):
    alive = []

    def load(*_, **__):
        fake = FakeSegmenter()
        alive.append(weakref.ref(fake))
        return fake

    graph.segmenter(load=load, autostart=False)
    manager = Manager(graph)
    assert manager.change(CONFIGURE)
    assert alive[0]() is not None
    assert alive[0]().closed == 0
    closed = alive[0]().close
    assert manager.change(CLEANUP)
    assert closed.__self__.closed == 1
    del closed
    gc.collect()
    assert alive[0]() is None


@pytest.mark.parametrize(
    ('error', 'said'),
    [
        (CheckpointError('no such folder'), 'not configured: no such folder'),
        (RuntimeError('out of memory'), 'RuntimeError: out of memory'),
    ],
    ids=['expected error', 'unexpected error'],
)
def test_stays_unconfigured_when_loading_fails(graph: Graph, error: Exception, said: str, log: Callable[[], str]):
    outcomes = [error, FakeSegmenter()]

    def load(*_, **__):
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    graph.segmenter(load=load, autostart=False)
    manager = Manager(graph)
    assert not manager.change(CONFIGURE)
    assert manager.state == 'unconfigured'
    graph.wait_for(lambda: said in log(), f'the log to say {said!r}')
    assert manager.change(CONFIGURE), 'the second attempt succeeds'


def test_missing_embedded_checkpoint_is_reported(
    graph: Graph, log: Callable[[], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    from instructsam_model.weights import embedded
    from instructsam_ros.node.backend_loader import load_checkpoint

    monkeypatch.setattr(embedded, 'FOLDER', tmp_path / 'nowhere')

    node = graph.segmenter(load=load_checkpoint, autostart=False)
    assert not Manager(graph).change(CONFIGURE)
    graph.wait_for(lambda: "checkpoint 'embedded' is not part of this" in log(), 'the error')
    assert node.state == 'unconfigured'


def test_checkpoint_can_be_set_only_while_unconfigured(graph: Graph):
    loaded = []

    def load(parameters):
        loaded.append(parameters)
        return FakeSegmenter()

    node = graph.segmenter(load=load, autostart=False)
    manager = Manager(graph)
    assert graph.set_parameter(node, 'checkpoint', 'here').successful
    assert manager.change(CONFIGURE)
    assert [each.checkpoint for each in loaded] == ['here']
    result = graph.set_parameter(node, 'checkpoint', 'there')
    assert not result.successful
    assert 'cleanup' in result.reason


@pytest.mark.parametrize('steps', [(), (CONFIGURE,), (CONFIGURE, ACTIVATE)], ids=['unconfigured', 'inactive', 'active'])
def test_shuts_down_from_every_state(graph: Graph, steps: tuple[int, ...]):
    node = graph.segmenter(autostart=False)
    manager = Manager(graph)
    for step in steps:
        assert manager.change(step)
    shutdown = {
        'unconfigured': Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
        'inactive': Transition.TRANSITION_INACTIVE_SHUTDOWN,
        'active': Transition.TRANSITION_ACTIVE_SHUTDOWN,
    }
    assert manager.change(shutdown[node.state])
    assert manager.state == 'finalized'
    assert node.supervisor is None
