"""Reading a TIFF directory: of TIFF files, and of the EXIF block in other formats."""

import struct

from server.errors import CorruptMedia, UnsupportedMedia
from server.media.orientation import Orientation, from_exif

WIDTH, HEIGHT, COMPRESSION, PHOTOMETRIC, ORIENTATION = 0x100, 0x101, 0x103, 0x106, 0x112
TILE_WIDTH, EXTRA_SAMPLES, DNG_VERSION = 0x142, 0x152, 0xC612

# None, LZW, Deflate (two numbers) and PackBits. FFmpeg decodes JPEG-in-TIFF (6, 7) to wrong
# colours without an error.
_COMPRESSIONS = frozenset({1, 5, 8, 32946, 32773})
# Greyscale (two polarities), RGB and palette.
_PHOTOMETRICS = frozenset({0, 1, 2, 3})
_INTEGERS = {1: "B", 3: "H", 4: "I"}
_SHORT = 3, 1


def read_directory(block: bytes) -> dict[int, int]:
    """First value of every integer tag of the first directory; empty if it is malformed."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return {}
    tags: dict[int, int] = {}
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(order + "HHI", block, entry)
            if tag == ORIENTATION and (kind, values) != _SHORT:
                continue  # as in browsers, which do not turn such a picture
            if kind in _INTEGERS and tag not in tags:
                size = values * struct.calcsize(_INTEGERS[kind])
                place = entry + 8 if size <= 4 else struct.unpack_from(order + "I", block, entry + 8)[0]
                (tags[tag],) = struct.unpack_from(order + _INTEGERS[kind], block, place)
    except struct.error:
        return tags
    return tags


def exif_orientation(exif: bytes) -> Orientation:
    """Orientation from an EXIF block (with or without its `Exif` prefix)."""
    return from_exif(read_directory(exif.removeprefix(b"Exif\0\0")).get(ORIENTATION, 1))


def check_tiff(data: bytes) -> dict[int, int]:
    """The directory of a TIFF file that FFmpeg decodes rightly.

    Raises:
        CorruptMedia: it has no readable directory.
        UnsupportedMedia: it is compressed, coloured or laid out in a way that decodes wrongly.
    """
    tags = read_directory(data)
    if WIDTH not in tags or HEIGHT not in tags:
        raise CorruptMedia("the TIFF directory cannot be read")
    if tags.get(COMPRESSION, 1) not in _COMPRESSIONS:
        raise UnsupportedMedia(f"TIFF compression {tags[COMPRESSION]} is not read here")
    if tags.get(PHOTOMETRIC, 1) not in _PHOTOMETRICS:
        raise UnsupportedMedia(f"TIFF photometric interpretation {tags[PHOTOMETRIC]} is not read here")
    if TILE_WIDTH in tags or DNG_VERSION in tags:
        raise UnsupportedMedia("tiled TIFF and DNG are not read here")
    return tags
