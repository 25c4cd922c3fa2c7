"""Soak test: runs the node for hours with changing instructions, requests and subscribers, and checks every result.

The camera is the simulated one, with depth: a recording of it, played in a loop at twice its speed with /clock and,
where tf2 is installed, with /tf at 5 Hz. Faults are injected: depth, transforms or images are missing, or images are
broken. The last line is JSON. The exit status is 1 if a result was lost, belongs to another image or instruction than
it should, if /diagnostics did not tell the truth, or if memory grew.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from instructsam_model.backend_arguments import backend_arguments
from instructsam_model.command_line import ArgumentParser
from instructsam_ros.sim.lap_player import PREFIX, TYPES
from instructsam_ros.tools.client import ClientError, SegmenterClient
from instructsam_ros.tools.node_process import NodeProcess
from instructsam_ros.tools.runner import add_arguments, run_session
from instructsam_ros.tools.soak_checker import ResultChecker
from instructsam_ros.tools.soak_faults import FaultInjector, has_transforms
from instructsam_ros.tools.soak_load import LoadGenerator

SPEED = 2.0
TF_RATE_HZ = 5.0
SEED = 1
REQUEST_TIMEOUT_S = 60.0
"""Time limit of requests, so that none fails because this machine is slow."""
NODE_PARAMETERS = {
    'depth.enabled': True,
    'use_sim_time': True,
    'autostart': False,
    'request_timeout': REQUEST_TIMEOUT_S,
}


@contextmanager
def open_looped_session(arguments: argparse.Namespace) -> Iterator[SegmenterClient]:
    """Record the simulated camera, play the recording in a loop, and bring the segmenter node up.

    Raises:
        ProcessEndedError: a process has ended.
        ClientError: nothing is recorded in time, or the node cannot be configured or activated.
    """
    player_parameters = {'lap_s': arguments.lap, 'speed': SPEED, 'tf_rate_hz': TF_RATE_HZ}
    upright: dict[str, Any] = {'depth.box_frame': 'table'} if has_transforms() else {'depth.box_plane': True}
    parameters = {**backend_arguments(arguments), **NODE_PARAMETERS, **upright}
    with NodeProcess('-m', 'instructsam_ros.sim.lap_player', parameters=player_parameters) as player:
        record(player, arguments)
        with NodeProcess('-m', 'instructsam_ros.node.segmenter_node', parameters=parameters) as segmenter:
            client = SegmenterClient('segmenter_client', arguments.timeout, segmenter, player)
            try:
                client.bring_up(arguments.start_timeout)
                yield client
            finally:
                client.close()


def record(player: NodeProcess, arguments: argparse.Namespace) -> None:
    """Run the simulated camera until the player has recorded it.

    Raises:
        ProcessEndedError: a process has ended.
        ClientError: nothing is recorded in time.
    """
    remappings = {topic: f'/{PREFIX}/{topic.lstrip("/")}' for topic in TYPES}
    camera_parameters = {'rate_hz': arguments.rate / SPEED, 'seed': SEED}
    deadline_s = time.monotonic() + arguments.timeout + 2 * arguments.lap
    with NodeProcess(
        '-m', 'instructsam_ros.sim.sim_camera', parameters=camera_parameters, remappings=remappings
    ) as camera:
        while 'playing' not in player.tail():
            for process in (player, camera):
                process.check()
            if time.monotonic() > deadline_s:
                raise ClientError(f'no recording of {arguments.lap:g} s; the end of the log:\n{camera.tail()}')
            time.sleep(0.5)


def soak(arguments: argparse.Namespace) -> dict[str, float | int | None]:
    """Run for as long as the arguments say, then wait for the pending responses.

    Raises:
        ProcessEndedError: a process has ended.
        ClientError: responses do not arrive in time.
    """
    with open_looped_session(arguments) as client:
        checker = ResultChecker()
        load, faults = LoadGenerator(client, checker), FaultInjector(client, checker)
        end_s = time.monotonic() + 60.0 * arguments.minutes
        cycles = 0
        while arguments.faults and time.monotonic() + faults.cycle_s < end_s:
            faults.run()
            cycles += 1
        client.spin_for(max(0.0, end_s - time.monotonic()))
        # Nothing new is sent from here on, so that every request has time for a response.
        load.stop()
        client.wait_for(lambda: checker.pending_requests == 0 or None, 'the last responses')
        for error in checker.errors:
            print(error, file=sys.stderr)
        return {**checker.report(), 'faults': cycles * len(faults.faults)}


def main(args: list[str] | None = None) -> None:
    """Run the soak test."""
    parser = ArgumentParser(prog='python -m instructsam_ros.tools.soak', description=__doc__.split('\n\n')[0])
    parser.add_argument('--minutes', type=float, default=10.0, help='duration (default: %(default)g)')
    parser.add_argument('--rate', type=float, default=30.0, help='images per second (default: %(default)g)')
    parser.add_argument('--lap', type=float, default=25.0, help='seconds of the recording (default: %(default)g)')
    parser.add_argument('--faults', action=argparse.BooleanOptionalAction, default=True, help='inject faults')
    parser.add_argument(
        '--max-growth', type=float, default=50.0, help='memory that the node may grow, MB (default: %(default)g)'
    )
    add_arguments(parser)
    arguments = parser.parse_args(args)
    report = run_session('soak', lambda: soak(arguments))
    print(json.dumps(report))
    counted = ('lost_results', 'wrong_stamps', 'wrong_instructions', 'untrue_diagnostics')
    if any(report[name] for name in counted) or (report['memory_growth_mb'] or 0.0) > arguments.max_growth:
        sys.exit(1)


if __name__ == '__main__':
    main()
