"""Still pictures whose files hold more than one picture, or say in an odd way what is transparent."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from server.errors import CorruptMedia, UnsupportedMedia
from server.media.decode import decode
from server.media.limits import MediaLimits
from server.media.types import MediaKind, RowSpec
from tests.media import Picture, encode_picture, encode_video, photo

LIMITS = MediaLimits()
WIDTH, HEIGHT = 96, 64
PHOTO = photo(WIDTH, HEIGHT)


def native(data: bytes, width: int = WIDTH, height: int = HEIGHT) -> Picture:
    frame: Picture = decode(data, RowSpec(width=width, height=height), LIMITS, MediaKind.IMAGE).frames[0]
    return frame


@pytest.mark.parametrize("options", [{}, {"transparency": 3}, {"comment": b"x;" * 300}, {"interlace": 0}])
@pytest.mark.parametrize("trailing", [b"", b"\n", b"\0\0", b"\x1a", b"junk"])
def test_what_follows_the_end_of_a_gif_is_nothing(options: dict[str, object], trailing: bytes) -> None:
    data = encode_picture(Image.fromarray(PHOTO).quantize(50), "GIF", **options)
    np.testing.assert_array_equal(native(data + trailing), native(data))


def test_viewers_go_over_padding_before_the_end_of_a_gif() -> None:
    data = encode_picture(Image.fromarray(PHOTO).quantize(50), "GIF")
    np.testing.assert_array_equal(native(data[:-1] + b"\0\0;"), native(data))


@pytest.mark.parametrize("missing", [1, 2, 30, 500])
def test_a_gif_without_its_end_is_refused_whatever_follows(missing: int) -> None:
    data = encode_picture(Image.fromarray(PHOTO).quantize(50), "GIF", comment=b"comment;")
    with pytest.raises(CorruptMedia):
        native(data[:-missing])
    with pytest.raises(CorruptMedia):
        native(data[:-missing] + b";" * (missing > 2))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("transparent", ["black", "white"])
def test_transparent_grey_is_white_at_every_depth(bits: int, transparent: str) -> None:
    half = WIDTH * bits // 16
    line = b"\0" + b"\0" * half + b"\xff" * half
    key = 0 if transparent == "black" else 2**bits - 1
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in (
            (b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, 0, 0, 0, 0)),
            (b"tRNS", struct.pack(">H", key)),
            (b"IDAT", zlib.compress(line * HEIGHT)),
            (b"IEND", b""),
        )
    )
    shown = native(data)
    assert (shown[:, WIDTH // 2 :] == 255).all()
    assert (shown[:, : WIDTH // 2] == (255 if transparent == "black" else 0)).all()


def test_of_several_pictures_in_an_avif_the_primary_one_is_judged() -> None:
    layered = Image.fromarray(PHOTO)
    layered.putalpha(Image.new("L", layered.size, 90))
    data = bytearray(encode_picture(layered, "AVIF"))
    # Points the box of the primary item to the second, the transparency.
    struct.pack_into(">H", data, data.index(b"pitm") + 8, 2)
    assert np.abs(native(bytes(data)).astype(int) - 90).max() <= 2


def test_what_is_compatible_with_avif_is_a_picture_as_in_browsers() -> None:
    data = encode_picture(PHOTO, "AVIF")
    np.testing.assert_array_equal(native(data.replace(b"ftypavif", b"ftypisom")), native(data))


def test_an_avif_whose_primary_picture_is_none_of_its_coded_ones_is_refused() -> None:
    data = bytearray(encode_picture(PHOTO, "AVIF"))
    struct.pack_into(">H", data, data.index(b"pitm") + 8, 9)
    with pytest.raises(UnsupportedMedia, match="derived"):
        native(bytes(data))


@pytest.mark.parametrize("brand", [b"avif", b"isom"])
def test_a_picture_that_is_a_video_as_well_is_refused(brand: bytes) -> None:
    video = encode_video([PHOTO] * 3)
    data = encode_picture(PHOTO, "AVIF").replace(b"ftypavif", b"ftyp" + brand)
    with pytest.raises(UnsupportedMedia, match="with a video"):
        native(data + video[video.index(b"moov") - 4 :])


@pytest.mark.parametrize(("matrix", "full_range"), [(1, True), (6, False), (9, True)])
def test_an_avif_has_the_colours_that_its_container_states(matrix: int, full_range: bool) -> None:
    data = avif_stating(matrix, full_range)
    with Image.open(io.BytesIO(data)) as image:
        viewed = np.asarray(image.convert("RGB"))
    assert np.abs(native(data).astype(int) - viewed).mean() < 1
    assert np.abs(native(data).astype(int) - native(avif_stating(6, True))).mean() > 1


@pytest.mark.parametrize("matrix", [0, 8, 14])
def test_an_avif_of_other_colours_is_refused(matrix: int) -> None:
    with pytest.raises(UnsupportedMedia, match=f"matrix {matrix} "):
        native(avif_stating(matrix, True))


def avif_stating(matrix: int, full_range: bool) -> bytes:
    data = bytearray(encode_picture(PHOTO, "AVIF", quality=95, subsampling="4:4:4"))
    struct.pack_into(">HB", data, data.index(b"colrnclx") + 12, matrix, 0x80 * full_range)
    return bytes(data)
