"""JPEGs made to show viewers, which use libjpeg, another picture than a decoder that judges it."""

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from server.errors import CorruptMedia, UnsupportedMedia
from tests.media import encode_picture, photo, photo_jpeg
from tests.server.media.pictures import native

WIDTH, HEIGHT = 96, 64
FRAME, SCAN, TABLE = (0xC0, 0xC2), 0xDA, 0xC4
Segments = list[tuple[int, bytes]]


def segments(seed: int, **options: object) -> Segments:
    """Of a JPEG, without its start and end; coded pixels belong to their scan."""
    data = photo_jpeg(WIDTH, HEIGHT, seed, subsampling=0, **options)
    return split(data)


def split(data: bytes) -> Segments:
    found: Segments = []
    position = 2
    while (marker := data[position + 1]) != 0xD9:
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        while marker == SCAN and (data[end] != 0xFF or data[end + 1] in (0, *range(0xD0, 0xD8))):
            end += 1
        found.append((marker, data[position:end]))
        position = end
    return found


def joined(parts: Sequence[tuple[int, bytes]]) -> bytes:
    return b"\xff\xd8" + b"".join(content for _, content in parts) + b"\xff\xd9"


def of(parts: Segments, *markers: int) -> Segments:
    return [part for part in parts if part[0] in markers]


def adobe(transform: int) -> tuple[int, bytes]:
    return 0xEE, b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])


def renamed(parts: Segments, old: bytes, new: bytes) -> Segments:
    """The same with other names for the components."""
    names = bytes.maketrans(old, new)
    changed = []
    for marker, content in parts:
        segment = bytearray(content)
        if marker in FRAME:
            segment[10 : 10 + 3 * len(old) : 3] = segment[10 : 10 + 3 * len(old) : 3].translate(names)
        if marker == SCAN:
            end = 5 + 2 * segment[4]
            segment[5:end:2] = segment[5:end:2].translate(names)
        changed.append((marker, bytes(segment)))
    return changed


@pytest.mark.parametrize("progressive", [False, True])
def test_what_is_made_of_parts_is_the_picture(progressive: bool) -> None:
    whole = photo_jpeg(WIDTH, HEIGHT, 1, subsampling=0, progressive=progressive)
    np.testing.assert_array_equal(native(joined(split(whole))), native(whole))


@pytest.mark.parametrize("hidden", [False, True])
def test_a_second_scan_of_the_same_pixels_is_refused(hidden: bool) -> None:
    parts = segments(1) + ([(0x01, b"\xff\x01\xff\x00")] if hidden else []) + of(segments(2), SCAN)
    with pytest.raises(CorruptMedia, match="scans"):
        native(joined(parts))


@pytest.mark.parametrize("progressive", [False, True])
def test_a_second_frame_is_refused(progressive: bool) -> None:
    second = of(segments(2, progressive=progressive), *FRAME, TABLE, SCAN)
    with pytest.raises(CorruptMedia, match="frames"):
        native(joined(segments(1, progressive=progressive) + second))


def test_what_an_unknown_segment_holds_is_not_decoded() -> None:
    content = b"".join(content for _, content in of(segments(2), *FRAME, TABLE, SCAN))
    unknown = 0xF5, b"\xff\xf5" + (2 + len(content)).to_bytes(2, "big") + content
    first = segments(1)
    np.testing.assert_array_equal(native(joined([*first, unknown])), native(joined(first)))


def test_progressive_details_before_the_mean_are_refused() -> None:
    # FFmpeg forgets them, and would judge a picture of an eighth of the resolution.
    parts = segments(1, progressive=True)
    tables = of(parts, TABLE)
    others = [part for part in parts if part[0] not in (TABLE, SCAN)]
    scans: list[Segments] = []
    for part in of(parts, TABLE, SCAN):
        if not scans or scans[-1][-1][0] == SCAN:
            scans.append([])
        scans[-1].append(part)
    assert tables
    late = sorted(scans, key=lambda scan: scan[-1][1][5 + 2 * scan[-1][1][4]] == 0)
    with pytest.raises(CorruptMedia, match="scans"):
        native(joined(others + [part for scan in late for part in scan]))


def test_colours_are_those_of_libjpeg() -> None:
    plain = segments(1)
    as_it_is = native(joined(plain))
    # JFIF says YCbCr, and counts more.
    np.testing.assert_array_equal(native(joined([plain[0], adobe(0), *plain[1:]])), as_it_is)
    assert np.abs(native(joined([adobe(0), *plain[1:]])).astype(int) - as_it_is).mean() > 10


@pytest.mark.parametrize("names", [b"CMYK", b"\1\2\3\4"])
@pytest.mark.parametrize("segment", [[], [adobe(0)]])
def test_four_components_are_ink_unless_adobe_says_otherwise(names: bytes, segment: Segments) -> None:
    picture = photo(WIDTH, HEIGHT, 1)
    parts = split(encode_picture(Image.fromarray(picture).convert("CMYK"), "JPEG", quality=95))
    parts = segment + renamed([part for part in parts if part[0] != 0xEE], b"CMYK", names)
    assert np.abs(native(joined(parts)).astype(int) - picture).mean() < 3


@pytest.mark.parametrize("segment", [[], [adobe(1)]])
def test_names_that_contradict_what_is_said_of_the_colours_are_refused(segment: Segments) -> None:
    parts = renamed(segments(1), b"\1\2\3", b"RGB")
    with pytest.raises(UnsupportedMedia, match="colours"):
        native(joined(segment + parts[len(segment) :]))


def exif(orientation: int, kind: int = 3) -> tuple[int, bytes]:
    value = orientation.to_bytes(2, "big").ljust(4, b"\0") if kind == 3 else orientation.to_bytes(4, "big")
    entry = b"\x01\x12" + kind.to_bytes(2, "big") + b"\0\0\0\1" + value
    block = b"Exif\0\0MM\0*\0\0\0\x08\0\1" + entry + b"\0\0\0\0"
    return 0xE1, b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block


def test_of_two_orientations_the_first_counts() -> None:
    plain = segments(1)
    upright = native(joined(plain))
    np.testing.assert_array_equal(native(joined([exif(1), exif(3), *plain])), upright)
    np.testing.assert_array_equal(native(joined([exif(3), exif(1), *plain])), upright[::-1, ::-1])


def test_an_orientation_of_another_type_turns_nothing() -> None:
    plain = segments(1)
    np.testing.assert_array_equal(native(joined([exif(3, kind=4), *plain])), native(joined(plain)))
