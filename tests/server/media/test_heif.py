"""Pictures made of tiles, as phones write them, against the pictures that were cut into these."""

import io
import struct
import time
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from server.errors import CorruptMedia, MediaError, MediaLimitExceeded, UnsupportedMedia
from server.media import heif
from server.media.decode import decode
from server.media.limits import MediaLimits
from server.media.orientation import from_exif
from server.media.types import RowSpec
from tests.media import Picture, encode_picture, photo
from tests.server.media.boxes import box
from tests.server.media.heif_files import avif, heic
from tests.server.media.pictures import native

SIDE, COLUMNS, ROWS = 64, 3, 2
WIDTH, HEIGHT = 180, 120
WHOLE = photo(WIDTH, HEIGHT)
LIMITS = MediaLimits()


def tiles_of(picture: Picture) -> list[Picture]:
    """What lies over the edge is what no viewer may show."""
    padded = np.full((ROWS * SIDE, COLUMNS * SIDE, 3), 255, np.uint8)
    padded[:HEIGHT, :WIDTH] = picture
    rows = [padded[top : top + SIDE] for top in range(0, ROWS * SIDE, SIDE)]
    return [row[:, left : left + SIDE] for row in rows for left in range(0, COLUMNS * SIDE, SIDE)]


TILES = tiles_of(WHOLE)
TILED = avif(TILES, COLUMNS, (WIDTH, HEIGHT))


def colours(matrix: int, transfer: int = 13) -> bytes:
    return box(b"colr", b"nclx" + struct.pack(">HHHB", 1, transfer, matrix, 0x80))


def test_an_avif_of_tiles_is_one_picture() -> None:
    rows = decode(TILED, RowSpec(HEIGHT, WIDTH), LIMITS)
    assert np.abs(rows.frames[0].astype(int) - WHOLE).mean() < 2
    assert (rows.facts.width, rows.facts.height, rows.facts.video_codec) == (WIDTH, HEIGHT, "av1")
    assert rows.facts.warnings == ()


def test_numbers_of_every_size_are_read() -> None:
    wide = avif(TILES, COLUMNS, (WIDTH, HEIGHT), wide=True)
    np.testing.assert_array_equal(native(wide), native(TILED))


def test_tiles_of_high_dynamic_range_are_named() -> None:
    for data in (
        avif(TILES, COLUMNS, (WIDTH, HEIGHT), colours(6, transfer=16)),
        heic(TILES, COLUMNS, (WIDTH, HEIGHT), transfer="smpte2084"),
    ):
        assert decode(data, RowSpec(), LIMITS).facts.warnings == ("High dynamic range was not tone-mapped.",)


def test_a_heic_of_tiles_is_one_picture() -> None:
    assert np.abs(native(heic(TILES, COLUMNS, (WIDTH, HEIGHT))).astype(int) - WHOLE).mean() < 6


def test_a_heic_of_one_item_is_read() -> None:
    rows = decode(heic([TILES[0]], 1, (SIDE, SIDE)), RowSpec(SIDE, SIDE), LIMITS)
    assert rows.facts.video_codec == "hevc"
    assert np.abs(rows.frames[0].astype(int) - TILES[0]).mean() < 6


def test_a_picture_of_many_tiles_is_read() -> None:
    tile = photo(SIDE, SIDE)
    shown = native(avif([tile] * 192, 16, (16 * SIDE, 12 * SIDE)))
    assert np.abs(shown.astype(int) - np.tile(tile, (12, 16, 1))).mean() < 2


@pytest.mark.parametrize(
    ("turns", "mirror", "exif"),
    [(0, None, 1), (0, 1, 2), (2, None, 3), (0, 0, 4), (1, 0, 5), (3, None, 6), (3, 0, 7), (1, None, 8)],
)
def test_tiles_are_turned_like_a_single_picture(turns: int, mirror: int | None, exif: int) -> None:
    """As in libavif's table of what `irot` and `imir` are in EXIF."""
    properties = [box(b"irot", bytes([turns]))] if turns else []
    properties += [] if mirror is None else [box(b"imir", bytes([mirror]))]
    tiled = avif(TILES, COLUMNS, (WIDTH, HEIGHT), colours(6), *properties)
    expected = from_exif(exif).upright(WHOLE)
    assert np.abs(native(tiled).astype(int) - expected).mean() < 2
    single = avif([WHOLE], 1, (WIDTH, HEIGHT), colours(6), *properties)
    assert np.abs(native(single).astype(int) - expected).mean() < 2


def test_colours_are_those_that_the_whole_states() -> None:
    stated = avif(TILES, COLUMNS, (WIDTH, HEIGHT), colours(9))
    single = avif([WHOLE], 1, (WIDTH, HEIGHT), colours(9))
    assert np.abs(native(stated).astype(int) - native(single)).mean() < 1
    assert np.abs(native(stated).astype(int) - native(TILED)).mean() > 1


def transparent() -> bytes:
    layered = Image.fromarray(WHOLE)
    layered.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))))
    return encode_picture(layered, "AVIF", quality=95)


def test_what_is_transparent_lies_on_white() -> None:
    with Image.open(io.BytesIO(transparent())) as image:
        viewed = Image.new("RGBA", image.size, "white")
        viewed.alpha_composite(image)
    rows = decode(transparent(), RowSpec(HEIGHT, WIDTH), LIMITS)
    assert np.abs(rows.frames[0].astype(int) - np.asarray(viewed.convert("RGB"))).mean() < 1
    assert rows.facts.warnings == ()


def test_transparency_that_is_not_said_whose_it_is_is_ignored_and_told() -> None:
    rows = decode(transparent().replace(b"auxl", b"thmb"), RowSpec(HEIGHT, WIDTH), LIMITS)
    assert np.abs(rows.frames[0].astype(int) - WHOLE).mean() < 6
    assert rows.facts.warnings == ("Transparency was ignored.",)


def test_tiles_that_do_not_make_the_picture_are_refused() -> None:
    for size in ((COLUMNS * SIDE + 1, HEIGHT), (WIDTH, ROWS * SIDE + 1)):
        with pytest.raises(CorruptMedia, match="cover"):
            native(avif(TILES, COLUMNS, size))
    with pytest.raises(CorruptMedia, match="different"):
        native(avif([*TILES[:-1], photo(SIDE, SIDE // 2)], COLUMNS, (WIDTH, HEIGHT)))
    parts = struct.pack(">HH6H", 7, 6, *range(1, 7))
    for others in (struct.pack(">HH6H", 7, 5, *range(1, 7)), struct.pack(">HH6H", 7, 6, *range(3, 9))):
        with pytest.raises(CorruptMedia):
            native(TILED.replace(parts, others))
    with pytest.raises(UnsupportedMedia, match="derived"):
        native(TILED.replace(b"grid", b"iovl"))


def test_the_whole_counts_against_the_limit() -> None:
    for data in (TILED, encode_picture(WHOLE, "AVIF")):
        with pytest.raises(MediaLimitExceeded, match=f"{WIDTH} x {HEIGHT} pixels"):
            decode(data, RowSpec(HEIGHT, WIDTH), MediaLimits(max_pixels=WIDTH * HEIGHT - 1))


def test_one_tile_in_too_many_places_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heif, "MAX_TILES", len(TILES) - 1)
    with pytest.raises(MediaLimitExceeded, match="tiles"):
        native(TILED)


@pytest.mark.parametrize("behind", [b"\n", bytes(7), b"\0\0\0\4trailer"])
def test_what_lies_behind_the_last_box_is_passed_over(behind: bytes) -> None:
    single = avif([WHOLE], 1, (WIDTH, HEIGHT))
    assert np.array_equal(native(single + behind), native(single))
    assert np.array_equal(native(TILED + behind), native(TILED))


def test_counts_of_pieces_without_length_cost_no_time() -> None:
    pieces = struct.pack(">HHHH", 2, 0, 0, 0xFFFF) * 100
    boxes = [
        box(b"pitm", struct.pack(">IH", 0, 1)),
        box(b"iloc", struct.pack(">IHH", 1 << 24, 0, 100) + pieces),
        box(b"iinf", struct.pack(">IH", 0, 1) + box(b"infe", struct.pack(">IHH4s", 2 << 24, 1, 0, b"grid"))),
    ]
    start = TILED.index(b"meta") - 4
    # FFmpeg passes over it for want of a handler.
    meta = box(b"meta", bytes(4) + b"".join(boxes))
    begin = time.process_time()
    with pytest.raises(CorruptMedia, match="grid"):
        native(TILED[:start] + meta + TILED[start:])
    assert time.process_time() - begin < 2


@given(st.data())
def test_damage_of_the_header_costs_an_error_at_most(data: st.DataObject) -> None:
    damaged = bytearray(TILED)
    end = TILED.index(b"mdat")
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, end))] = data.draw(st.integers(0, 255))
    with suppress(MediaError):
        decode(bytes(damaged), RowSpec(HEIGHT, WIDTH), LIMITS)
