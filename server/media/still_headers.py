"""Headers of still pictures: what must be known, refused or removed before a decoder sees them."""

import struct

from server.errors import CorruptMedia, UnsupportedMedia
from server.media import probe
from server.media.jpeg import read_jpeg
from server.media.orientation import from_exif
from server.media.png import read_png
from server.media.still import Still
from server.media.tiff import EXTRA_SAMPLES, HEIGHT, ORIENTATION, WIDTH, check_tiff, exif_orientation

# The shortest header of a BMP with a mask for transparency; bits of a pixel, "masks follow", and the masks.
_BMP_WITH_ALPHA = 56
_BMP_ALPHA = (32, 3, 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
_WEBP_LOSSLESS_ALPHA = 1 << 28


def read_still(data: bytes, found: probe.Format) -> Still:
    """Reads the header of a JPEG, PNG, WebP, BMP or TIFF.

    Raises:
        CorruptMedia, UnsupportedMedia, MediaLimitExceeded: see the formats.
    """
    try:
        return _READERS[found](data)
    except struct.error as error:
        raise CorruptMedia("the picture ends in its header") from error


def _bmp(data: bytes) -> Still:
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header_bytes == 12 else "<ii", data, 18)
    pixels = _bmp_pixels(data) if header_bytes >= _BMP_WITH_ALPHA else ()
    if pixels == _BMP_ALPHA:
        # FFmpeg reads the fourth byte of a pixel only where none is described.
        return Still(data[:30] + bytes(4) + data[34:], abs(width), abs(height))
    return Still(data, abs(width), abs(height), opaque=header_bytes > 12 and data[28] == 32)


def _bmp_pixels(data: bytes) -> tuple[int, ...]:
    return *struct.unpack_from("<HI", data, 28), *struct.unpack_from("<4I", data, 54)


def _tiff(data: bytes) -> Still:
    tags = check_tiff(data)
    orientation = from_exif(tags.get(ORIENTATION, 1))
    return Still(data, tags[WIDTH], tags[HEIGHT], orientation, opaque=tags.get(EXTRA_SAMPLES) == 0)


def _webp(data: bytes) -> Still:
    chunk = data[12:16]
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Still(data, width & 0x3FFF, height & 0x3FFF)
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        opaque = not bits & _WEBP_LOSSLESS_ALPHA
        return Still(data, (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, opaque=opaque)
    if chunk != b"VP8X":
        raise CorruptMedia("a WebP without a picture")
    flags, low, high = struct.unpack_from("<I3s3s", data, 20)
    if flags & 0x02:
        raise UnsupportedMedia("animated WebP is not read here")
    width, height = (int.from_bytes(side, "little") + 1 for side in (low, high))
    lossless = _webp_chunk(data, b"VP8L")[1:5]
    transparent = int.from_bytes(lossless, "little") & _WEBP_LOSSLESS_ALPHA if lossless else flags & 0x10
    orientation = exif_orientation(_webp_chunk(data, b"EXIF"))
    return Still(data, width, height, orientation, opaque=not transparent)


def _webp_chunk(data: bytes, wanted: bytes) -> bytes:
    position = 12
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        if name == wanted:
            return data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
    return b""


_READERS = {
    probe.JPEG: read_jpeg,
    probe.PNG: read_png,
    probe.WEBP: _webp,
    probe.BMP: _bmp,
    probe.TIFF: _tiff,
}
