"""Files that say to show a part of their picture only."""

import struct

import pytest

from server.media.decode import decode
from server.media.limits import MediaLimits
from server.media.types import RowSpec
from tests.media import encode_video, moving_pictures, photo
from tests.server.media.boxes import box, span, spliced
from tests.server.media.heif_files import avif

PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1")


def aperture(width: int, height: int, wide: bool = False) -> bytes:
    content = struct.pack(">8I", width, 1, height, 1, 0, 1, 0, 1)
    return struct.pack(">I4sQ", 1, b"clap", 48) + content if wide else box(b"clap", content)


def film(clap: bytes) -> bytes:
    """An MP4 of 320 x 240 with this box in the entry of its pictures."""
    data = encode_video(moving_pictures(10, 320, 240))
    _, end = span(data, PARENTS[-1])
    return spliced(data, end, end, clap, *PARENTS)


def warnings(data: bytes) -> tuple[str, ...]:
    return decode(data, RowSpec(want_audio=False), MediaLimits()).facts.warnings


@pytest.mark.parametrize("wide", [False, True])
def test_the_answer_says_that_some_viewers_show_less(wide: bool) -> None:
    (warning,) = warnings(film(aperture(80, 60, wide)))
    assert "80x60" in warning


def test_the_answer_says_so_of_photos_too() -> None:
    tiles = [photo(64, 64, seed) for seed in range(4)]
    (warning,) = warnings(avif(tiles, 2, (128, 128), aperture(32, 32)))
    assert "32x32" in warning


def test_that_of_a_thumbnail_is_no_matter() -> None:
    tiles = [photo(64, 64, seed) for seed in range(4)]
    data = avif(tiles, 2, (128, 128), aperture(32, 32))
    # The whole picture has its extent twice now, and the aperture is no longer its own.
    assert warnings(data.replace(bytes([5, 2, 3, 0x84]), bytes([5, 2, 3, 3]), 1)) == ()


def test_an_aperture_that_breaks_off_is_none() -> None:
    tiles = [photo(64, 64, seed) for seed in range(4)]
    assert warnings(avif(tiles, 2, (128, 128), box(b"clap", bytes(8)))) == ()


def test_what_only_evens_a_size_out_is_no_matter() -> None:
    assert warnings(film(b"")) == warnings(film(aperture(312, 240))) == ()


def test_an_aperture_without_sense_is_none() -> None:
    assert warnings(film(box(b"clap", bytes(32)))) == ()
