"""Boxes of MP4, AVIF and HEIC files (ISO/IEC 14496-12)."""

import struct


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, name) + content


def span(data: bytes, name: bytes, end: int | None = None) -> tuple[int, int]:
    """Where the last box of this name before `end` starts and ends."""
    start = data.rindex(name, 0, end) - 4
    (size,) = struct.unpack_from(">I", data, start)
    return start, start + size


def spliced(data: bytes, start: int, end: int, content: bytes, *around: bytes) -> bytes:
    """The file with other content in the place of data[start:end], and of fitting sizes.

    Args:
        around: names of the boxes in which it lies.
    """
    changed = bytearray(data)
    changed[start:end] = content
    for name in around:
        place, place_end = span(data, name, start)
        struct.pack_into(">I", changed, place, place_end - place + len(content) - (end - start))
    return bytes(changed)
