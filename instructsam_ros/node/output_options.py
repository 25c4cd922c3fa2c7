"""`OutputOptions`: the parameters of the output topics."""

from __future__ import annotations

from dataclasses import dataclass

from instructsam_ros.options import ParameterGroup, parameter


@dataclass(frozen=True)
class OutputOptions(ParameterGroup):
    """Options of the output topics.

    Attributes:
        overlay_quality: of the JPEG on ~/overlay/compressed.
    """

    overlay_quality: int = parameter(
        80, 'Quality of the JPEG images on ~/overlay/compressed; higher is better and larger.', range_=(1, 100)
    )
