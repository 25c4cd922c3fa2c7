"""`ClientRequests`: checks service requests and goals, and hands them to the scheduler."""

from __future__ import annotations

from dataclasses import replace

from instructsam_model import ConfigError, Instruction, RequestError, Selection
from instructsam_ros.action import Track
from instructsam_ros.depth3d.estimator import DepthEstimator
from instructsam_ros.inference.active_instructions import ActiveInstructions
from instructsam_ros.inference.error_codes import NotActiveError
from instructsam_ros.inference.requests import CapturedImage, ContinuousQuery, InferenceRequest, ResultPublisher
from instructsam_ros.inference.scheduler import Scheduler
from instructsam_ros.node.parameters import NodeParameters
from instructsam_ros.srv import Segment


class ClientRequests:
    """Makes inference requests of service requests, and continuous queries of goals.

    Args:
        scheduler: processes single requests.
        instructions: holds the queries of goals.
        depth: finds the depth images that belong to the images of requests.
        parameters: initial values.

    Attributes:
        parameters: current values; replaced when they change.
        state: lifecycle state of the node: `unconfigured`, `configuring`, `inactive` or `active`.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        instructions: ActiveInstructions,
        depth: DepthEstimator,
        parameters: NodeParameters,
    ) -> None:
        self._scheduler = scheduler
        self._instructions = instructions
        self._depth = depth
        self.parameters = parameters
        self.state = 'unconfigured'

    def submit(self, request: Segment.Request) -> InferenceRequest:
        """Enqueue a service request.

        Raises:
            RequestError: it cannot be processed; NotActiveError if the node is not active.
        """
        self._check_active()
        camera = self._camera(request.camera)
        selection = self._selection(request.min_score)
        instruction = Instruction(request.instruction, request.request_id)
        image, capture = request.image, None
        # Only a default image means that there is none; a broken one is an error.
        if image.data or image.width or image.height:
            capture = CapturedImage(image, camera, depth=self._depth.register(camera, image.header))
        timeout_s = self.parameters.request_timeout
        return self._scheduler.submit(instruction, timeout_s, capture=capture, selection=selection, camera=camera)

    def start(self, goal: Track.Goal, publisher: ResultPublisher) -> ContinuousQuery:
        """Start processing a goal; its results go to `publisher`.

        Raises:
            RequestError: it cannot be processed; NotActiveError if the node is not active.
        """
        self._check_active()
        camera = self._camera(goal.camera)
        query = ContinuousQuery(Instruction(goal.instruction), self._selection(goal.min_score), camera, publisher)
        self._instructions.add_goal(query)
        return query

    def stop(self, query: ContinuousQuery) -> None:
        """Stop processing a goal."""
        self._instructions.remove_goal(query)

    def _check_active(self) -> None:
        if self.state == 'configuring':
            raise NotActiveError('the node is configuring: the checkpoint is being loaded; try again when it is active')
        if self.state != 'active':
            raise NotActiveError(f'the node is {self.state}; configure and activate it first, as ros2 lifecycle does')

    def _camera(self, name: str) -> str:
        names = self.parameters.camera_names
        if name and name not in names:
            raise RequestError(f"camera: expected one of {', '.join(filter(None, names)) or 'none'}, got '{name}'")
        # A client that names no camera means the first one.
        return name or names[0]

    def _selection(self, min_score: float) -> Selection:
        selection = self.parameters.stream.selection
        # 0 is the default of the field in the message, and means that the client does not set it.
        try:
            return replace(selection, min_score=min_score) if min_score != 0.0 else selection
        except ConfigError as error:
            raise RequestError(str(error)) from error
