"""Reading a PNG's chunks without decoding them."""

import struct
from dataclasses import dataclass

from server.errors import CorruptMedia
from server.media.orientation import UPRIGHT, Orientation
from server.media.tiff import exif_orientation

# Compressed text and colour profiles expand to hundreds of megabytes in the decoder.
_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_SIGNATURE_BYTES = 8


@dataclass(frozen=True, slots=True)
class PngHeader:
    """Attributes:
    payload: the file without ancillary chunks.
    """

    payload: bytes
    width: int
    height: int
    orientation: Orientation
    animated: bool


def read_png(data: bytes) -> PngHeader:
    """Walks the chunks of a PNG.

    Raises:
        CorruptMedia: it ends within a chunk or has no picture.
    """
    kept = [data[:_SIGNATURE_BYTES]]
    orientation, animated, name = UPRIGHT, False, b""
    position = _SIGNATURE_BYTES
    while name != b"IEND":
        if position + 12 > len(data):
            raise CorruptMedia("the PNG ends before its end chunk")
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if name in _KEPT:
            kept.append(data[position:end])
        elif name == b"eXIf":
            orientation = exif_orientation(data[position + 8 : end - 4])
        animated = animated or name == b"acTL"
        position = end
    if kept[1][4:8] != b"IHDR" or len(kept[1]) != 25:
        raise CorruptMedia("a PNG without a header")
    width, height = struct.unpack_from(">II", kept[1], 8)
    return PngHeader(b"".join(kept), width, height, orientation, animated)
