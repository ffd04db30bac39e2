"""The part of a picture that its file says to show (ISO/IEC 14496-12), which PyAV does not tell."""

import re
import struct

from server.errors import CorruptMedia
from server.media.heif_items import boxes, primary_properties

# With its size in 32 bits or in 64.
_CLEAN_APERTURE = re.compile(rb"(?:\0\0\0\x28clap|\0\0\0\x01clap\0{7}\x30)(.{16})", re.DOTALL)
# Encoders that know only sizes in steps of 16 or 64 have less cut off.
_MOST = 0.9


def cut_off(data: bytes, width: int, height: int) -> tuple[str, ...]:
    """A warning, if viewers like QuickTime show so little of a width x height MP4, HEIC or AVIF."""
    for numbers in _apertures(data):
        across, across_unit, down, down_unit = struct.unpack_from(">4I", numbers)
        if across * down < _MOST * width * height * across_unit * down_unit:
            shown = f"{across // across_unit}x{down // down_unit}"
            return (f"Some viewers show only its clean aperture, {shown}; all of it was judged.",)
    return ()


def _apertures(data: bytes) -> list[bytes]:
    try:
        # Views, as what lies before it may be the whole film.
        parts = boxes(memoryview(data))
        header, content = next(part for part in parts if part[0] in (b"moov", b"meta"))
        if header == b"moov":
            return _CLEAN_APERTURE.findall(content)
        # Thumbnails have one of their own.
        return [
            content for name, content in primary_properties(data) if name == b"clap" and len(content) >= 16
        ]
    except (CorruptMedia, struct.error, StopIteration):
        return []
