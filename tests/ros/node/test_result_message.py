"""The message of a result."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from instructsam_model import Frame, FrameError, Instruction
from instructsam_ros.inference.error_codes import ErrorCode
from instructsam_ros.inference.requests import CapturedImage, InferenceResult
from instructsam_ros.msg import Segmentation
from instructsam_ros.node.result_message import make_result_message


def test_a_failed_result_has_a_status_an_error_code_and_the_size_of_its_image():
    capture = CapturedImage(Image(header=Header(frame_id='camera')), frame=Frame(np.zeros((2, 3, 3), np.uint8)))
    result = InferenceResult(Instruction('red', 'request 7'), capture, error=FrameError('too thin'))
    message = make_result_message(result)
    assert (message.status, message.error_code) == (Segmentation.FAILED, ErrorCode.BAD_IMAGE)
    assert message.message == 'too thin'
    assert (message.width, message.height, message.header.frame_id) == (3, 2, 'camera')
    assert (message.instruction, message.request_id) == ('red', 'request 7')
