"""`TrackClient`: a client of the action `~/track`."""

from __future__ import annotations

from typing import Any

from rclpy.action.client import ActionClient

from instructsam_ros.action import Track
from tests.support.graph import Graph


class TrackClient:
    """Sends goals and collects the feedback on them."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._client: ActionClient[Any, Any, Any] = graph.action_client(Track, 'segmenter/track')

    def follow(
        self, instruction: str, feedback: list[Any] | None = None, *, whole: bool = False, **options: Any
    ) -> Any:
        """Send a goal and wait until it is accepted; returns its handle.

        Args:
            instruction: of the goal.
            feedback: gets the segmentation of each feedback.
            whole: it gets the whole feedback.
            **options: other fields of the goal.
        """
        graph, feedback = self._graph, [] if feedback is None else feedback
        graph.wait_for(self._client.server_is_ready, 'the action server')
        future = self._client.send_goal_async(
            Track.Goal(instruction=instruction, **options),
            feedback_callback=lambda message: feedback.append(
                message.feedback if whole else message.feedback.segmentation
            ),
        )
        graph.wait_for(future.done, 'the goal to be accepted')
        assert future.result().accepted
        return future.result()

    def result(self, handle: Any) -> tuple[int, Track.Result]:
        """Wait for the end of a goal."""
        future = handle.get_result_async()
        self._graph.wait_for(future.done, 'the result')
        return future.result().status, future.result().result

    def close(self) -> None:
        self._graph.run_in_executor(self._client.destroy)  # the executor must not be waiting for it
