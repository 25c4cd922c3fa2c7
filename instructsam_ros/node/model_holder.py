"""`ModelHolder`: the model of the node, from loading to release."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from concurrent.futures import Future

from rclpy.node import Node

from instructsam_model import CheckpointError, ConfigError, Segmenter
from instructsam_ros.inference.error_codes import error_message
from instructsam_ros.inference.pipeline import Pipeline
from instructsam_ros.inference.scheduler import Scheduler
from instructsam_ros.inference.supervisor import FailureLimits, Supervisor
from instructsam_ros.node.backend_loader import Load, backend_name, checkpoint_name, load_and_warm_up
from instructsam_ros.node.parameters import NodeParameters
from instructsam_ros.node.time_limits import check_time_limits


class ModelHolder:
    """Holds no model, one that is being loaded, or one that is loaded. All methods belong to the executor's thread.

    Args:
        node: logs.
        load: loads the segmenter.
        check: checks in the worker's thread what else the parameters need; raises ConfigError.
        pipeline: processes requests.
        scheduler: chooses them.

    Attributes:
        supervisor: of the worker that has loaded the model; None before.
        loading: of the worker that is loading it; None before and after.
        checkpoint: name of the checkpoint that is loaded, is being loaded or could not be loaded; empty before.
        backend: name of its back end; that of the parameter until it is known.
        error: why it could not be loaded the last time; empty if it was, or is being loaded.
    """

    def __init__(
        self, node: Node, load: Load, check: Callable[[], None], pipeline: Pipeline, scheduler: Scheduler
    ) -> None:
        self._node = node
        self._load = load
        self._check = check
        self._pipeline = pipeline
        self._scheduler = scheduler
        self.supervisor: Supervisor | None = None
        self.loading: Supervisor | None = None
        self.checkpoint = self.backend = self.error = ''

    @property
    def any_supervisor(self) -> Supervisor | None:
        """The supervisor of the model, loaded or not; None without a model."""
        return self.supervisor or self.loading

    def start_loading(self, values: NodeParameters) -> Future[None]:
        """Start to load what these parameters describe; return a future that is done when that has ended."""
        sizes = values.make_sizes()

        def load() -> Segmenter:
            self._check()
            self.backend = backend_name(self._load, values)
            if warning := check_time_limits(values, self.backend):
                self._node.get_logger().warning(warning)
            return load_and_warm_up(self._load, values, sizes)

        self.checkpoint, self.backend, self.error = checkpoint_name(values), values.backend, ''
        self.loading = Supervisor(load, self._pipeline, self._scheduler, sizes, values.limits)
        return self.loading.start()

    def finish_loading(self) -> Supervisor | None:
        """Wait until the model is loaded; return its supervisor, or None after logging why it could not be loaded."""
        supervisor, self.loading = self.loading, None
        assert supervisor is not None  # start_loading
        logger = self._node.get_logger()
        try:
            supervisor.worker.ready.result()
        except Exception as error:
            if isinstance(error, (CheckpointError, ConfigError)):
                self.error = f'not configured: {error}'
                logger.error(self.error)
            else:
                self.error = f'not configured: {error_message(error)}'
                logger.error('not configured:\n' + ''.join(traceback.format_exception(error)))
            return None
        loaded = f"the checkpoint '{self.checkpoint}' and the back end {self.backend}"
        logger.info(f'configured in {supervisor.worker.loading_s:.1f} s with {loaded}')
        self.supervisor = supervisor
        return supervisor

    def set_limits(self, limits: FailureLimits) -> None:
        """Replace the failure limits."""
        if (supervisor := self.any_supervisor) is not None:
            supervisor.limits = limits

    def release(self, reason: str) -> None:
        """Stop the worker and free the weights; a model that is being loaded is freed when its thread has loaded it."""
        supervisor = self.any_supervisor
        self.loading = self.supervisor = None
        self.checkpoint = self.backend = ''
        if supervisor is not None:
            supervisor.stop(reason)
