"""A video, and which of its frames rows show."""

import io

import av
import numpy as np

from server.media.limits import MediaLimits
from server.media.pixels import PixelConverter
from server.media.types import MediaRows, RowSpec
from tests.media import Picture, moving_pictures

LIMITS = MediaLimits()
WIDTH, HEIGHT = 96, 64
SPEC = RowSpec(width=WIDTH, height=HEIGHT, window_samples=16_000)
COUNT = 60
PICTURES = moving_pictures(COUNT, WIDTH, HEIGHT)


def in_sequence(data: bytes) -> list[Picture]:
    """Every frame of the file, upright or not, at our size."""
    converter = PixelConverter()
    with av.open(io.BytesIO(data), "r") as container:
        return [converter.scaled(frame, WIDTH, HEIGHT) for frame in container.decode(video=0)]


def numbers(rows: MediaRows, frames: list[Picture]) -> list[int]:
    """Which of `frames` each row of `rows.frames` is, to the bit."""
    return [[np.array_equal(frame, row) for frame in frames].index(True) for row in rows.frames]
