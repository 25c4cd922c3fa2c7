"""The node in another process as a segmenter."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import numpy as np
import pytest
import rclpy

from instructsam_model import Frame, InferenceError, Instruction, Selection
from instructsam_ros.tools.client import SegmenterClient
from instructsam_ros.tools.dds_domain import use_own_domain
from instructsam_ros.tools.node_process import NodeProcess, ProcessEndedError
from instructsam_ros.tools.remote_segmenter import RemoteSegmenter
from tests.support import SUPPORT
from tests.support.fake_segmenter import COLORS_RGB, FakeSegmenter

SLOW_SEGMENTER = str(SUPPORT / 'slow_segmenter.py')
BOTH = Instruction('the red one and the blue one', '7.0')


@pytest.fixture
def node() -> Iterator[NodeProcess]:
    use_own_domain()
    rclpy.init(args=[])
    with NodeProcess(SLOW_SEGMENTER, '0', parameters={'autostart': False}) as child:
        yield child
    rclpy.try_shutdown()


@pytest.fixture
def remote(node: NodeProcess) -> Iterator[RemoteSegmenter]:
    client = SegmenterClient('remote_segmenter', 60.0, node)
    client.bring_up(300.0)
    segmenter = RemoteSegmenter(client)
    yield segmenter
    segmenter.close()


@pytest.fixture
def frame() -> Frame:
    """An odd size, with a red block in a corner and a blue one that touches the opposite one."""
    image_rgb = np.zeros((47, 61, 3), dtype=np.uint8)
    image_rgb[:5, :7] = COLORS_RGB['red']
    image_rgb[40:, 50:] = COLORS_RGB['blue']
    return Frame(image_rgb, stamp_ns=1_234_567_890, frame_id='optical')


def test_result_is_that_of_the_segmenter_in_the_node(remote: RemoteSegmenter, frame: Frame) -> None:
    expected, found = (segmenter.segment(frame, BOTH) for segmenter in (FakeSegmenter(), remote))
    assert (found.instruction, found.text, found.size_wh) == (BOTH, 'red, blue', (61, 47))
    assert (found.stamp_ns, found.frame_id) == (1_234_567_890, 'optical')
    assert len(found.instances) == 2
    for instance, original in zip(found.instances, expected.instances, strict=True):
        assert np.array_equal(instance.mask, original.mask)
        assert np.array_equal(instance.box_xyxy, original.box_xyxy)
        assert (instance.label, instance.score) == (original.label, np.float32(original.score))


def test_selection_is_applied_by_the_node(remote: RemoteSegmenter, frame: Frame) -> None:
    def labels(selection: Selection | None) -> list[str]:
        return [instance.label for instance in remote.segment(frame, BOTH, selection).instances]

    assert labels(Selection(min_score=0.8)) == ['red']
    assert labels(None) == ['red']
    assert labels(Selection(min_score=0.0)) == ['red', 'blue']
    assert labels(Selection(min_score=0.0, max_instances=1)) == ['red']


def test_failed_model_and_ended_process_raise_different_errors(
    node: NodeProcess, remote: RemoteSegmenter, frame: Frame
) -> None:
    with pytest.raises(InferenceError, match="the node failed on 'fail': RuntimeError: the model broke"):
        remote.segment(frame, Instruction('fail'))
    assert remote.segment(frame, BOTH).instances
    assert node.peak_memory_gib() > 0.01
    node.stop(signal.SIGKILL)
    with pytest.raises(ProcessEndedError, match='ended with status -9'):
        remote.segment(frame, BOTH)
    assert node.peak_memory_gib() == 0.0
