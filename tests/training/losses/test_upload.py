"""Row numbers on a device."""

from __future__ import annotations

import torch

from instructsam_model.fake_cuda import CUDA, FakeCuda
from instructsam_training.losses.upload import upload


def test_rows_arrive_as_int64() -> None:
    rows = upload([[1, 2], [3, 4]], torch.device('cpu'))
    assert rows.dtype == torch.long
    assert rows.tolist() == [[1, 2], [3, 4]]
    assert upload([], torch.device('cpu')).shape == (0,)


def test_upload_to_a_gpu_does_not_wait() -> None:
    with FakeCuda() as cuda:
        with cuda.recording() as recording:
            rows = upload([1, 2, 3], CUDA)
        assert rows.device.type == 'cuda'
    assert not recording.host_waits
