"""Reading a PNG's chunks without decoding them."""

import struct
import zlib

from server.errors import CorruptMedia, UnsupportedMedia
from server.media.orientation import UPRIGHT
from server.media.pixels import transfer_warnings
from server.media.still import Still
from server.media.tiff import exif_orientation

# Compressed text and colour profiles expand to hundreds of megabytes in the decoder.
_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})
_COLOURS = frozenset({b"gAMA", b"sRGB", b"iCCP", b"cICP"})
# In 100,000ths: from darker than old Macs to linear light. With less, pictures hide in the lightest tones.
_GAMMAS = range(30_000, 110_001)
_SIGNATURE_BYTES = 8
_KIND = 25
_GREY, _PALETTE = 0, 3


def read_png(data: bytes, animated: bool = False) -> Still:
    """Walks the chunks of a PNG, and leaves out the ancillary ones.

    Args:
        animated: whether to keep the chunks of its other pictures.

    Raises:
        CorruptMedia: it ends within a chunk or has no picture.
        UnsupportedMedia: to those who heed its gamma it shows another picture than to those who do not.
    """
    wanted = _KEPT | _ANIMATION if animated else _KEPT
    kept = [data[:_SIGNATURE_BYTES]]
    # Behind the palette is where transparency belongs; a picture of another kind needs none.
    seen = set() if data[_KIND : _KIND + 1] == bytes([_PALETTE]) else {b"PLTE"}
    orientation, name = None, b""
    colours: dict[bytes, bytes] = {}
    position = _SIGNATURE_BYTES
    while name != b"IEND":
        if position + 12 > len(data):
            raise CorruptMedia("the PNG ends before its end chunk")
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if name in wanted and (name != b"tRNS" or _is_heeded(data[position:end], seen)):
            kept.append(data[position:end])
            seen.add(name)
        elif name in _COLOURS and b"IDAT" not in seen:
            colours[name] = data[position + 8 : end - 4]
        elif name == b"eXIf" and orientation is None:
            orientation = exif_orientation(data[position + 8 : end - 4])
        position = end
    _check_gamma(colours)
    if kept[1][4:8] != b"IHDR" or len(kept[1]) != 25:
        raise CorruptMedia("a PNG without a header")
    width, height, *kind = struct.unpack_from(">IIBB", kept[1], 8)
    if kind == [1, _GREY]:
        kept = _with_palette(kept)
    warnings = transfer_warnings(int.from_bytes(colours.get(b"cICP", b"")[1:2], "big"))
    return Still(b"".join(kept), width, height, orientation or UPRIGHT, warnings)


def _check_gamma(colours: dict[bytes, bytes]) -> None:
    gamma = int.from_bytes(colours.get(b"gAMA", b"")[:4], "big")
    # The others count more. 0 is none.
    if gamma and gamma not in _GAMMAS and len(colours) == 1:
        raise UnsupportedMedia(f"a PNG of gamma {gamma / 100_000:g} is not read here")


def _with_palette(chunks: list[bytes]) -> list[bytes]:
    """Black and white as a palette: of grey of one bit, FFmpeg forgets what is transparent."""
    key = next((chunk[8:-4] for chunk in chunks if chunk[4:8] == b"tRNS"), b"")
    if len(key) != 2:
        return chunks
    alpha = b"\xff\0" if key[1] & 1 else b"\0\xff"
    header = chunks[1][8:17] + bytes([_PALETTE]) + chunks[1][18:21]
    pixels = [chunk for chunk in chunks[2:] if chunk[4:8] in (b"IDAT", b"IEND")]
    palette = _chunk(b"PLTE", b"\0\0\0\xff\xff\xff")
    return [chunks[0], _chunk(b"IHDR", header), palette, _chunk(b"tRNS", alpha), *pixels]


def _is_heeded(chunk: bytes, seen: set[bytes]) -> bool:
    """Whether browsers, as libpng, heed what a chunk says of transparency, behind those of these names."""
    intact = zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
    return intact and b"PLTE" in seen and not seen & {b"tRNS", b"IDAT"}


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
