"""Turning pictures upright: the eight orientations of EXIF and of display matrices."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from numpy.typing import NDArray

from server.media.sampling import Box


def _nameless(kind: type[SideDataType], value: Any) -> SideDataType:
    member = object.__new__(kind)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    return member


# FFmpeg has kinds of side data that PyAV (18.1) cannot name, as EXIF: beside one of them it would give none.
SideDataType._missing_ = classmethod(_nameless)  # type: ignore


@dataclass(frozen=True, slots=True)
class Orientation:
    """How to turn a stored picture upright: transpose first, then flip its columns and rows."""

    transpose: bool = False
    flip_columns: bool = False
    flip_rows: bool = False

    @property
    def mirrored(self) -> bool:
        """True if the picture is mirrored left to right before it is rotated."""
        return self.transpose ^ self.flip_columns ^ self.flip_rows

    @property
    def rotation_degrees(self) -> int:
        """Clockwise, after mirroring: 0, 90, 180 or 270."""
        if self.transpose:
            return 90 if self.flip_columns else 270
        return 180 if self.flip_rows else 0

    def stored_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height to store, so that the upright picture is width x height (or the reverse)."""
        return (height, width) if self.transpose else (width, height)

    def stored_box(self, box: Box, width: int, height: int) -> Box:
        """Where a box (left, top, right, bottom) of the upright picture is stored.

        Args:
            width, height: of the stored picture.
        """
        left, top, right, bottom = box
        width, height = self.stored_size(width, height)
        if self.flip_columns:
            left, right = width - right, width - left
        if self.flip_rows:
            top, bottom = height - bottom, height - top
        return (top, left, bottom, right) if self.transpose else (left, top, right, bottom)

    def upright(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A view of [H, W, ...] as it should be seen."""
        if self.transpose:
            picture = picture.swapaxes(0, 1)
        return picture[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]


UPRIGHT = Orientation()

_EXIF = {
    1: UPRIGHT,
    2: Orientation(flip_columns=True),
    3: Orientation(flip_columns=True, flip_rows=True),
    4: Orientation(flip_rows=True),
    5: Orientation(transpose=True),
    6: Orientation(transpose=True, flip_columns=True),
    7: Orientation(transpose=True, flip_columns=True, flip_rows=True),
    8: Orientation(transpose=True, flip_rows=True),
}


def from_exif(value: int) -> Orientation:
    """From EXIF tag 0x112; values out of 1..8 mean upright, as every viewer has it."""
    return _EXIF.get(value, UPRIGHT)


def from_display_matrix(matrix: bytes) -> Orientation:
    """From FFmpeg's nine 32-bit numbers; angles are taken to the nearest quarter turn."""
    right_x, right_y, _, down_x, down_y = struct.unpack_from("5i", matrix)
    if abs(right_x) + abs(down_y) >= abs(right_y) + abs(down_x):
        return Orientation(flip_columns=right_x < 0, flip_rows=down_y < 0)
    return Orientation(transpose=True, flip_columns=down_x < 0, flip_rows=right_y < 0)


def frame_orientation(frame: av.VideoFrame) -> Orientation:
    """From the display matrix that comes with the frame, if one does."""
    # PyAV's stubs call the container of side data a single one.
    side_data: Mapping[SideDataType, SideData] = frame.side_data  # type: ignore[assignment]
    matrix = side_data.get(SideDataType.DISPLAYMATRIX)
    return UPRIGHT if matrix is None else from_display_matrix(bytes(matrix))
