r"""Running CUDA code without a GPU: records kernel launches, host waits and memory of the real code.

No GPU and no driver are needed. Inside `FakeCuda`, CPU tensors are real; CUDA tensors have shape, dtype and device but
no contents, and `torch.cuda` reports one GPU of the Hopper generation. Every operation is recorded with its name, its
stage (`instructsam_model.runtime.stages`) and the line of code that called it.

    with FakeCuda() as cuda:
        network = build().to('cuda')
        with cuda.recording() as recording:
            answer = network(batch)
    print(recording.kernels, recording.launches, recording.peak_bytes)
    print(*recording.host_waits, sep='\\n')  # copy D2H at instructsam_model/.../postprocess.py:31 (postprocess): ...

* The values of small tensors, such as positions, masks and indices, are tracked beside the fake tensors. When the host
  reads other values, it gets those of `FakeCuda(unknown=...)`, zeros by default.
* The host waits in `item`, `tolist`, `cpu`, `nonzero` and indexing by bool, `torch.equal`, `synchronize` of streams and
  events, and in copies unless they are asynchronous and their host memory is pinned.
* An operation with tensors of two devices raises `MixedDevicesError` with file and line.
* `FakeGraphs` captures and replays with the rules of CUDA graphs: inputs keep their shapes and dtypes, and the host
  must not wait during a capture (`CaptureError`). A replay is one launch.
* Autograd, autocast, activation checkpointing and optimizers work; see `fake_cuda.backward`.

This is a model: it counts kernels, arithmetic and memory traffic, but does not know how long kernels take. `time_model`
estimates times for the data sheets of `gpus`, and `inductor_schedule` counts the kernels of `torch.compile`.
"""

from instructsam_model.fake_cuda.graphs import CapturedGraph, FakeGraphs
from instructsam_model.fake_cuda.mixed import MixedDevicesError
from instructsam_model.fake_cuda.recorder import CUDA, CaptureError, FakeCuda
from instructsam_model.fake_cuda.recording import Op, Recording

__all__ = ['CUDA', 'CaptureError', 'CapturedGraph', 'FakeCuda', 'FakeGraphs', 'MixedDevicesError', 'Op', 'Recording']
