"""Reading a JPEG's structure without decoding it."""

import re
import struct
from dataclasses import dataclass

from server.errors import CorruptMedia, MediaLimitExceeded, UnsupportedMedia
from server.media.orientation import UPRIGHT, Orientation
from server.media.tiff import exif_orientation

MAX_SCANS = 100
"""Encoders write up to about fifteen; each costs a pass over the whole picture."""

_START, _END, _SCAN, _EXIF, _ADOBE = 0xD8, 0xD9, 0xDA, 0xE1, 0xEE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_DECODED_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_METADATA = frozenset(range(0xE0, 0xF0)) - {_ADOBE} | {0xFE}
# In entropy-coded data 0xFF is followed by 0 or a restart marker; fill bytes repeat it.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Attributes:
    payload: the file up to its end marker, without metadata segments, which the decoder
        would parse and does not need.
    """

    payload: bytes
    width: int
    height: int
    orientation: Orientation
    complete: bool


def read_jpeg(data: bytes) -> JpegHeader:
    """Walks the markers of a JPEG.

    Raises:
        CorruptMedia: there is no picture in it.
        UnsupportedMedia: lossless, hierarchical or arithmetic coding.
        MediaLimitExceeded: more than MAX_SCANS scans.
    """
    kept = [data[:2]]
    width = height = scans = 0
    orientation, complete = UPRIGHT, False
    position = 2
    while (match := _NEXT_MARKER.search(data, position)) is not None:
        marker, start = data[match.start() + 1], match.start()
        if marker == _END:
            kept.append(data[position : start + 2])
            complete = True
            break
        kept.append(data[position:start])
        if marker == _START:
            position = start + 2
            continue
        position = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        if marker == _EXIF and data[start + 4 : start + 10] == b"Exif\0\0":
            orientation = exif_orientation(data[start + 4 : position])
        if marker in _METADATA:
            continue
        kept.append(data[start:position])
        if marker in _FRAMES:
            width, height = _frame_size(data, start, marker)
        scans += marker == _SCAN
        if scans > MAX_SCANS:
            raise MediaLimitExceeded(f"a JPEG of more than {MAX_SCANS} scans")
    else:
        kept.append(data[position:])
    if not width or not height or not scans:
        raise CorruptMedia("a JPEG without a picture")
    return JpegHeader(b"".join(kept), width, height, orientation, complete)


def _frame_size(data: bytes, start: int, marker: int) -> tuple[int, int]:
    if marker not in _DECODED_FRAMES:
        raise UnsupportedMedia("lossless, hierarchical and arithmetic JPEG are not read here")
    try:
        precision, height, width = struct.unpack_from(">BHH", data, start + 4)
    except struct.error as error:
        raise CorruptMedia("the JPEG ends in its header") from error
    if precision != 8:
        raise UnsupportedMedia(f"JPEG of {precision} bits is not read here")
    return width, height
