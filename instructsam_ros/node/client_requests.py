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
from instructsam_ros.node.request_images import RequestImages, read_images, read_prompt
from instructsam_ros.node.request_limits import WaitingRequests, check_goals
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
        self._waiting = WaitingRequests()
        self.parameters = parameters
        self.state = 'unconfigured'

    @property
    def waiting(self) -> int:
        """Number of service requests that have no result yet."""
        return self._waiting.count

    def submit(self, request: Segment.Request) -> InferenceRequest:
        """Enqueue a service request.

        Raises:
            RequestError: it cannot be processed; NotActiveError if the node is not active, BusyError if too many wait.
        """
        self._check_active()
        camera = self._camera(request.camera)
        selection, prompt = self._selection(request.min_score), read_prompt(request)
        instruction = Instruction(request.instruction, request.request_id)
        images = read_images(request)
        self._waiting.add(images.size_bytes, self.parameters.requests)
        pending = self._scheduler.submit(
            instruction,
            self.parameters.request_timeout,
            capture=self._capture(camera, images),
            selection=selection,
            camera=camera,
            prompt=prompt,
        )
        size_bytes = images.size_bytes  # the callback must not hold the images
        pending.future.add_done_callback(lambda _: self._waiting.remove(size_bytes))
        # Another thread may have deactivated the node meanwhile, and canceled only the requests of before.
        if self.state != 'active':
            pending.fail(self._not_active())
        return pending

    def start(self, goal: Track.Goal, publisher: ResultPublisher) -> ContinuousQuery:
        """Start processing a goal; its results go to `publisher`.

        Raises:
            RequestError: it cannot be processed; NotActiveError if the node is not active.
        """
        self._check_active()
        camera = self._camera(goal.camera)
        check_goals(self._instructions.goals, self.parameters.requests)
        query = ContinuousQuery(Instruction(goal.instruction), self._selection(goal.min_score), camera, publisher)
        self._instructions.add_goal(query)
        return query

    def stop(self, query: ContinuousQuery) -> None:
        """Stop processing a goal."""
        self._instructions.remove_goal(query)

    def _capture(self, camera: str, images: RequestImages) -> CapturedImage | None:
        """Return the image of a request with its depth; None without an image."""
        if images.image is None:
            return None
        header, camera_info = images.image.header, images.camera_info
        if images.depth is not None:
            given = self._depth.give(camera, header, images.depth, camera_info)
            return CapturedImage(images.image, camera, depth=given)
        search = self._depth.register(camera, header)
        if search is not None and camera_info is not None:
            search = replace(search, camera_info=camera_info)
        return CapturedImage(images.image, camera, depth=search)

    def _check_active(self) -> None:
        if self.state == 'configuring':
            raise NotActiveError('the node is configuring: the checkpoint is being loaded; try again when it is active')
        if self.state != 'active':
            raise self._not_active()

    def _not_active(self) -> NotActiveError:
        return NotActiveError(f'the node is {self.state}; configure and activate it first, as ros2 lifecycle does')

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
