"""H.264 files to decode, generated once and kept."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.plane import VideoPlane
from numpy.typing import NDArray

from benchmarks.material.media import FRAME_RATE, photo

_PAN = 256
"""Pixels that the camera wanders over; even, as chroma is shared by two."""


@dataclass(frozen=True, slots=True)
class Video:
    """One file, at FRAME_RATE.

    Attributes:
        group: frames from one keyframe to the next (GOP).
    """

    width: int
    height: int
    seconds: int
    group: int

    def __str__(self) -> str:
        return f"{self.height}p, {self.seconds} s, GOP {self.group}"

    @property
    def frames(self) -> int:
        return self.seconds * FRAME_RATE

    def file(self, folder: Path) -> Path:
        """The file in `folder`, made if it is not there."""
        path = folder / f"{self.height}p-{self.seconds}s-gop{self.group}.mp4"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".part.mp4")
            self._write(unfinished)
            unfinished.rename(path)
        return path

    def _write(self, path: Path) -> None:
        scene = av.VideoFrame.from_ndarray(photo(self.width + _PAN, self.height + _PAN, self.group), "rgb24")
        light, *colours = (_pixels(plane) for plane in scene.reformat(format="yuv420p").planes)
        options = {
            "preset": "veryfast",
            "g": str(self.group),
            "keyint_min": str(self.group),
            "sc_threshold": "0",
        }
        with av.open(path, "w") as output:
            stream = output.add_stream("libx264", rate=FRAME_RATE, options=options)
            stream.width, stream.height, stream.pix_fmt = self.width, self.height, "yuv420p"
            for number in range(self.frames):
                x, y = (_wander(number, period) for period in (40, 27))
                frame = av.VideoFrame(self.width, self.height, "yuv420p")
                for plane, source, step in zip(frame.planes, (light, *colours), (1, 2, 2), strict=True):
                    left, top = x // step, y // step
                    _pixels(plane)[...] = source[top : top + plane.height, left : left + plane.width]
                frame.pts = number
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))


def _pixels(plane: VideoPlane) -> NDArray[np.uint8]:
    """A view, for reading and writing. PyAV's stubs do not say that planes are buffers."""
    lines = np.frombuffer(cast("memoryview[int]", plane), np.uint8).reshape(plane.height, plane.line_size)
    return lines[:, : plane.width]


def _wander(number: int, period: int) -> int:
    return round(_PAN / 4 * (1 + math.sin(number / period))) * 2
