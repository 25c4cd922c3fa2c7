"""The range of the options of the output topics."""

from __future__ import annotations

import pytest

from instructsam_model import ConfigError
from instructsam_ros.node.output_options import OutputOptions


@pytest.mark.parametrize('quality', [0, 101])
def test_quality_of_a_jpeg_is_1_to_100(quality: int):
    with pytest.raises(ConfigError, match='overlay_quality'):
        OutputOptions(overlay_quality=quality)
