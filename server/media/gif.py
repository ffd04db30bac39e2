"""Reading a GIF's structure without decoding it."""

import struct

from server.errors import CorruptMedia, UnsupportedMedia
from server.media.container import Packet


def gif_size(data: bytes) -> tuple[int, int]:
    """Width and height of a GIF's canvas, which its demuxer would allocate unasked.

    Raises:
        CorruptMedia: it ends before it says.
    """
    if len(data) < 10:
        raise CorruptMedia("the GIF ends in its header")
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def check_gif(packets: list[Packet]) -> None:
    """Whether FFmpeg can decode all the pictures of a GIF.

    Raises:
        CorruptMedia: the only one breaks off, which its decoder would fill with transparency.
        UnsupportedMedia: several follow one another without times, of which it decodes the first only.
    """
    pictures, ended = _pictures(bytes(packets[0]))
    if pictures > 1:
        raise UnsupportedMedia("a GIF of pictures without times is not read here")
    if len(packets) == 1 and not ended:
        raise CorruptMedia("the GIF ends before its end marker")


def _pictures(data: bytes) -> tuple[int, bool]:
    """How many whole pictures a GIF has, and whether it has an end marker, whatever follows it."""
    pictures = 0
    try:
        position = 13 + _palette_bytes(data[10])
        while (block := data[position]) != 0x3B:
            if block not in b"!,":
                position += 1  # padding, over which viewers go
                continue
            # An extension, else a picture; both end in blocks, of which the last is empty.
            position += 2 if block == 0x21 else 11 + _palette_bytes(data[position + 9])
            while size := data[position]:
                position += 1 + size
            position += 1
            pictures += block == 0x2C
    except IndexError:
        return pictures, False
    return pictures, True


def _palette_bytes(flags: int) -> int:
    """Of the palette that a byte of flags tells of."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
