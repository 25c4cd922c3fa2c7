"""State that Accelerate keeps for a whole process, and that two runs in one process must not share."""

from __future__ import annotations

from accelerate.state import AcceleratorState, PartialState


def forget_processes() -> None:
    """Let the next run or evaluation in this process choose its device and precision anew.

    Nothing changes with several processes, whose group stays as it is until they end.
    """
    # Accelerate has no public function for this; its own tests call the same one.
    if PartialState._shared_state and PartialState().num_processes == 1:
        AcceleratorState._reset_state(reset_partial_state=True)
