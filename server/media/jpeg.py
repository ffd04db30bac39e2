"""Reading a JPEG's structure without decoding it."""

import re
import struct
from dataclasses import dataclass, field

from server.errors import CorruptMedia, MediaLimitExceeded, UnsupportedMedia
from server.media.orientation import UPRIGHT, Orientation
from server.media.still import Still
from server.media.tiff import exif_orientation

MAX_SCANS = 100
"""Encoders write up to about fifteen; each costs a pass over the whole picture."""
MAX_SEGMENTS = 100_000
"""Of four bytes each, a file of them would take half a minute to walk."""

_START, _END, _SCAN, _JFIF, _EXIF, _ADOBE = 0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xEE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_DECODED_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_PROGRESSIVE = 0xC2
# Tables, which a decoder needs beside frames and scans. In segments that it does not know FFmpeg would
# find others.
_KEPT = _FRAMES | {0xC4, 0xDB, 0xDD, _SCAN}
# In entropy-coded data 0xFF is followed by 0 or a restart marker; fill bytes repeat it. Those that are
# left out are no segments.
_NEXT_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")


def read_jpeg(data: bytes) -> Still:
    """Walks the markers of a JPEG up to its end.

    Metadata, which the decoder would parse and does not need, are left out; but what they say of its colours
    is said so that it cannot be misunderstood.

    Raises:
        CorruptMedia: there is no picture in it, or more than one in the same place; or no encoder
            wrote it, as it has more than MAX_SEGMENTS segments.
        UnsupportedMedia: lossless, hierarchical or arithmetic coding.
        MediaLimitExceeded: more than MAX_SCANS scans.
    """
    kept = [data[:2]]
    picture, said = _Picture(), _Metadata()
    warnings: tuple[str, ...] = ()
    position = 2
    while (match := _NEXT_MARKER.search(data, position)) is not None:
        marker, start = data[match.start() + 1], match.start()
        if marker == _END:
            kept.append(data[position : start + 2])
            break
        kept.append(data[position:start])
        if len(kept) > MAX_SEGMENTS:
            raise CorruptMedia(f"a JPEG of more than {MAX_SEGMENTS} segments")
        if marker == _START:
            position = start + 2
            continue
        position = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        if marker in _KEPT:
            kept.append(data[start:position])
            picture.read(marker, data[start + 4 : position])
        else:
            said.read(marker, data[start + 4 : position])
    else:
        kept.append(data[position:])
        warnings = ("The JPEG ends without its end marker.",)
    if not picture.width or not picture.height or not picture.scans:
        raise CorruptMedia("a JPEG without a picture")
    kept.insert(1, said.colours(picture.components))
    return Still(b"".join(kept), picture.width, picture.height, said.orientation or UPRIGHT, warnings)


@dataclass(slots=True)
class _Picture:
    """What the segments without which there is no picture have said so far.

    Decoders disagree on which of two pictures in the same place they show, so there must be but one.

    Attributes:
        components: their names, a byte each.
        known: bit per coefficient of each component that a scan has begun.
    """

    width: int = 0
    height: int = 0
    scans: int = 0
    components: bytes = b""
    progressive: bool = False
    known: dict[int, int] = field(default_factory=dict)

    def read(self, marker: int, segment: bytes) -> None:
        try:
            if marker in _FRAMES:
                self._frame(marker, segment)
            elif marker == _SCAN:
                self._scan(segment)
        except (struct.error, IndexError) as error:
            raise CorruptMedia("the JPEG ends in its header") from error

    def _frame(self, marker: int, segment: bytes) -> None:
        if marker not in _DECODED_FRAMES:
            raise UnsupportedMedia("lossless, hierarchical and arithmetic JPEG are not read here")
        if self.components:
            raise CorruptMedia("a JPEG of several frames")
        precision, self.height, self.width, count = struct.unpack_from(">BHHB", segment)
        if precision != 8:
            raise UnsupportedMedia(f"JPEG of {precision} bits is not read here")
        self.progressive = marker == _PROGRESSIVE
        self.components = segment[6 : 6 + 3 * count : 3]

    def _scan(self, segment: bytes) -> None:
        self.scans += 1
        if self.scans > MAX_SCANS:
            raise MediaLimitExceeded(f"a JPEG of more than {MAX_SCANS} scans", "Save it as a baseline JPEG.")
        end = 1 + 2 * segment[0]
        first, last, bits = segment[end], segment[end + 1], segment[end + 2] >> 4
        if not self.progressive:
            first, last, bits = 0, 63, 0
        band = (2 << last) - (1 << first)
        for component in segment[1:end:2]:
            known = self.known.get(component, 0)
            # A first scan of new coefficients, after the mean; or more bits of known ones.
            if known & band != band if bits else known & band or (first and not known):
                raise CorruptMedia("a JPEG whose scans contradict one another")
            self.known[component] = known | band


@dataclass(slots=True)
class _Metadata:
    """What the other segments say that matters; of orientations the first, as in browsers."""

    orientation: Orientation | None = None
    jfif: bool = False
    adobe: int | None = None

    def read(self, marker: int, segment: bytes) -> None:
        if marker == _JFIF:
            self.jfif |= segment.startswith(b"JFIF\0") and len(segment) >= 14
        elif marker == _ADOBE and segment.startswith(b"Adobe") and len(segment) >= 12:
            self.adobe = segment[11]
        elif marker == _EXIF and self.orientation is None and segment.startswith(b"Exif\0\0"):
            self.orientation = exif_orientation(segment)

    def colours(self, components: bytes) -> bytes:
        """Adobe's segment, if one is needed, that tells the decoder what libjpeg would assume."""
        transform = self._transform(components)
        if transform and components in (b"RGB", b"CMYK"):
            # FFmpeg believes these names whatever the segment says.
            raise UnsupportedMedia("a JPEG that contradicts itself about its colours is not read here")
        needed = len(components) == 4 or self.adobe is not None
        return b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform]) if needed else b""

    def _transform(self, components: bytes) -> int:
        if len(components) == 4:
            return 2 if self.adobe else 0
        if self.jfif or self.adobe is not None:
            return 1 if self.jfif or self.adobe else 0
        return 0 if components == b"RGB" else 1
