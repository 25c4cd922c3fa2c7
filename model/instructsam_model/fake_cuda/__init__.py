r"""The real code on CUDA tensors that do not exist: what it launches, where the host waits, what memory it needs.

No GPU is needed, nor a driver. Inside `FakeCuda`, tensors of the CPU are real, and those of `cuda` have shape, type and
device but no contents; `torch.cuda` answers as if there was one GPU of the Hopper generation. Every operation is
recorded with its name, its stage (`instructsam_model.runtime.stages`) and the line of code that asked for it.

    with FakeCuda() as cuda:
        network = build().to('cuda')
        with cuda.recording() as recording:
            answer = network(batch)
    print(recording.kernels, recording.launches, recording.peak_bytes)
    print(*recording.host_waits, sep='\\n')  # copy D2H at instructsam_model/.../postprocess.py:31 (postprocess): ...

* Small values stay known beside the fake tensors: positions, masks and indices, whatever follows from them. When the
  host reads something that is not known, `FakeCuda(unknown=...)` says what it reads; zeros by default.
* The host waits for: `item`, `tolist`, `cpu`, `nonzero` and indexing by bool, `torch.equal`, `synchronize` of streams
  and events, and copies unless they are asynchronous and their memory is pinned.
* Tensors of two devices in one operation raise `MixedDevicesError`, which names file and line.
* `FakeGraphs` captures and replays as CUDA graphs do, with the same rules: inputs keep their shapes and types, and the
  host does not wait within (`CaptureError`). A replay is one launch.
* Autograd, autocast, checkpointing and optimizers work; see `fake_cuda.backward` for how.

It is a model: of kernels it knows how many are launched, what they compute and what they move, not how long they take.
`time_model` estimates that for the cards of `cards`, and `inductor_schedule` counts the kernels that `torch.compile`
would make.
"""

from instructsam_model.fake_cuda.graphs import CapturedGraph, FakeGraphs
from instructsam_model.fake_cuda.mixed import MixedDevicesError
from instructsam_model.fake_cuda.recorder import CUDA, CaptureError, FakeCuda
from instructsam_model.fake_cuda.recording import Op, Recording

__all__ = ['CUDA', 'CaptureError', 'CapturedGraph', 'FakeCuda', 'FakeGraphs', 'MixedDevicesError', 'Op', 'Recording']
