"""Still pictures whose files hold more than one picture, or say in an odd way what is transparent."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from server.errors import CorruptMedia, MediaLimitExceeded, UnsupportedMedia
from server.media.decode import decode
from server.media.limits import MediaLimits
from server.media.types import MediaKind, RowSpec
from tests.media import Picture, encode_picture, encode_video, photo, png, png_chunk
from tests.server.media.pictures import native

LIMITS = MediaLimits()
WIDTH, HEIGHT = 96, 64
PHOTO = photo(WIDTH, HEIGHT)


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


@pytest.mark.usefixtures("with_blank_pictures")
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("transparent", ["black", "white"])
def test_transparent_grey_is_white_at_every_depth(bits: int, transparent: str) -> None:
    half = WIDTH * bits // 16
    line = b"\0" + b"\0" * half + b"\xff" * half
    key = 0 if transparent == "black" else 2**bits - 1
    data = png(
        (b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, 0, 0, 0, 0)),
        (b"tRNS", struct.pack(">H", key)),
        (b"IDAT", zlib.compress(line * HEIGHT)),
    )
    shown = native(data)
    assert (shown[:, WIDTH // 2 :] == 255).all()
    assert (shown[:, : WIDTH // 2] == (255 if transparent == "black" else 0)).all()


@pytest.mark.usefixtures("with_blank_pictures")
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


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize(("transfer", "warned"), [(13, False), (16, True), (18, True)])
def test_high_dynamic_range_is_named(transfer: int, warned: bool, transparent: bool) -> None:
    picture = Image.fromarray(PHOTO).convert("RGB")
    if transparent:
        picture.putalpha(200)
    data = bytearray(encode_picture(picture, "AVIF"))
    struct.pack_into(">H", data, data.index(b"colrnclx") + 10, transfer)
    warnings = decode(bytes(data), RowSpec(), LIMITS).facts.warnings
    assert warnings == ("High dynamic range was not tone-mapped.",) * warned


@pytest.mark.parametrize("pictures", [[PHOTO], [PHOTO, 255 - PHOTO]])
@pytest.mark.parametrize(("transfer", "warned"), [(13, False), (16, True), (18, True)])
def test_high_dynamic_range_of_a_png_is_named(pictures: list[Picture], transfer: int, warned: bool) -> None:
    data = animated(pictures) if len(pictures) > 1 else encode_picture(PHOTO, "PNG")
    stated = png_chunk(b"cICP", bytes([9, transfer, 0, 1]))
    behind_header = 8 + len(png_chunk(b"IHDR", bytes(13)))
    data = data[:behind_header] + stated + data[behind_header:]
    warnings = decode(data, RowSpec(), LIMITS).facts.warnings
    assert ("High dynamic range was not tone-mapped." in warnings) == warned


@pytest.mark.parametrize("value_range", ["full", "limited"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_grey_avif_has_the_range_that_it_states(mode: str, value_range: str) -> None:
    stripes = np.repeat(np.linspace(0, 255, WIDTH).astype(np.uint8)[None, :, None], HEIGHT, 0).repeat(3, 2)
    picture = Image.fromarray(stripes).convert(mode)
    if mode == "RGBA":
        picture.putpixel((0, 0), (0, 0, 0, 254))
    options = {"quality": 100, "subsampling": "4:0:0", "range": value_range}
    assert np.abs(native(encode_picture(picture, "AVIF", **options)).astype(int) - stripes).max() <= 2


@pytest.mark.parametrize("matrix", [0, 8, 14])
def test_an_avif_of_other_colours_is_refused(matrix: int) -> None:
    with pytest.raises(UnsupportedMedia, match=f"matrix {matrix} "):
        native(avif_stating(matrix, True))


def avif_stating(matrix: int, full_range: bool) -> bytes:
    data = bytearray(encode_picture(PHOTO, "AVIF", quality=95, subsampling="4:4:4"))
    struct.pack_into(">HB", data, data.index(b"colrnclx") + 12, matrix, 0x80 * full_range)
    return bytes(data)


PALETTE = Image.fromarray(PHOTO).quantize(200)
HEADER = b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 3, 0, 0, 0)
COLOURS = b"PLTE", bytes(PALETTE.getpalette() or ())
PIXELS = b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in np.asarray(PALETTE)))
OPAQUE, CLEAR = (b"tRNS", b"\xff" * 200), (b"tRNS", b"\0" * 200)


@pytest.mark.usefixtures("with_blank_pictures")
def test_of_what_a_png_says_of_transparency_the_first_counts() -> None:
    plain = native(png(HEADER, COLOURS, PIXELS))
    assert (native(png(HEADER, COLOURS, CLEAR, PIXELS)) == 255).all()
    assert (native(png(HEADER, CLEAR, COLOURS, CLEAR, PIXELS)) == 255).all()
    np.testing.assert_array_equal(native(png(HEADER, COLOURS, OPAQUE, CLEAR, PIXELS)), plain)
    np.testing.assert_array_equal(native(png(HEADER, COLOURS, PIXELS, CLEAR)), plain)


def test_what_is_damaged_of_it_does_not_count() -> None:
    data = bytearray(png(HEADER, COLOURS, CLEAR, PIXELS))
    data[data.index(b"tRNS") + 4 + 200] ^= 1
    np.testing.assert_array_equal(native(bytes(data)), native(png(HEADER, COLOURS, PIXELS)))


GAMMA = b"gAMA", struct.pack(">I", 2_000)


def test_a_png_that_shows_another_picture_by_its_gamma_is_refused() -> None:
    with pytest.raises(UnsupportedMedia, match=r"gamma 0\.02"):
        native(png(HEADER, GAMMA, COLOURS, PIXELS))


@pytest.mark.parametrize("other", [(b"sRGB", b"\0"), (b"tEXt", b"a\0b")])
def test_a_gamma_that_viewers_do_not_heed_or_know_is_none(other: tuple[bytes, bytes]) -> None:
    usual = b"gAMA", struct.pack(">I", 45_455)
    gamma = GAMMA if other[0] == b"sRGB" else usual
    expected = native(png(HEADER, COLOURS, PIXELS))
    np.testing.assert_array_equal(native(png(HEADER, gamma, other, COLOURS, PIXELS)), expected)
    np.testing.assert_array_equal(native(png(HEADER, COLOURS, PIXELS, GAMMA)), expected)


def animated(pictures: list[Picture], **options: object) -> bytes:
    rest = [Image.fromarray(picture) for picture in pictures[1:]]
    return encode_picture(pictures[0], "PNG", save_all=True, append_images=rest, duration=100, **options)


def test_an_animated_png_is_a_video() -> None:
    pictures = [photo(WIDTH, HEIGHT, seed) for seed in range(3)]
    rows = decode(animated(pictures), RowSpec(width=WIDTH, height=HEIGHT), LIMITS, MediaKind.VIDEO)
    np.testing.assert_array_equal(rows.frames, pictures)
    np.testing.assert_allclose(rows.image_times, [[0, 0.1], [0.1, 0.2], [0.2, 0.3]])


def test_the_picture_for_viewers_without_animation_is_not_judged() -> None:
    shown = photo(WIDTH, HEIGHT, 1)
    data = animated([PHOTO, shown], default_image=True)
    np.testing.assert_array_equal(native(data), shown)


def test_what_comes_behind_its_pixels_animates_no_png() -> None:
    data = encode_picture(PHOTO, "PNG")
    late = png((b"acTL", struct.pack(">II", 2, 0)))[8:]
    np.testing.assert_array_equal(native(data[:-12] + late), PHOTO)


@pytest.mark.parametrize("frames", [0, 5])
def test_an_animation_without_frames_leaves_a_picture(frames: int) -> None:
    data = encode_picture(PHOTO, "PNG")
    stated = png((b"acTL", struct.pack(">II", frames, 0)))[8:-12]
    np.testing.assert_array_equal(native(data[:33] + stated + data[33:]), PHOTO)


def test_an_animated_png_that_breaks_off_is_refused() -> None:
    with pytest.raises(CorruptMedia):
        native(animated([PHOTO, photo(WIDTH, HEIGHT, 1)])[:-200])


def test_a_large_animated_png_is_refused() -> None:
    with pytest.raises(MediaLimitExceeded, match="pixels"):
        decode(animated([PHOTO, PHOTO + 1]), RowSpec(), MediaLimits(max_pixels=5_000))


def test_pictures_that_ffmpeg_takes_for_one_are_refused() -> None:
    # Browsers show them one after the other.
    picture = encode_picture(Image.fromarray(PHOTO).quantize(50), "GIF")
    start = 13 + 3 * (2 << (picture[10] & 7))
    image = picture.index(b",", start)
    with pytest.raises(UnsupportedMedia, match="without times"):
        native(picture[:-1] + picture[image:])
    timed = b"\x21\xf9\4\4\x0a\0\0\0"
    with pytest.raises(UnsupportedMedia, match="without times"):
        decode(picture[:-1] + picture[image:-1] + timed + picture[image:], RowSpec(), LIMITS)
    decode(picture[:image] + (timed + picture[image:-1]) * 2 + b";", RowSpec(), LIMITS, MediaKind.VIDEO)


HALF_CLEAR = np.dstack([PHOTO, np.repeat([[0, 255]], WIDTH // 2, 1).repeat(HEIGHT, 0).astype(np.uint8)])
LAYERED = Image.fromarray(HALF_CLEAR)


def bmp(compression: int, masks: tuple[int, ...] = ()) -> bytes:
    pixels = HALF_CLEAR[::-1, :, [2, 1, 0, 3]].tobytes()
    described = struct.pack(f"<{len(masks)}I", *masks) + bytes(52) if masks else b""
    header = 40 + len(described)
    start = struct.pack("<2sIII", b"BM", 14 + header + len(pixels), 0, 14 + header)
    sizes = struct.pack("<IiiHHIIiiII", header, WIDTH, HEIGHT, 1, 32, compression, len(pixels), 0, 0, 0, 0)
    return start + sizes + described + pixels


def webp(flags: int, lossless: bool = False) -> bytes:
    """With or without the flags for transparency, of the container and of lossless pixels."""
    data = bytearray(encode_picture(LAYERED, "WEBP", lossless=lossless, exact=True, quality=90))
    place = 24 if lossless else 20
    data[place] = data[place] & ~0x10 | flags
    return bytes(data)


def tiff(meaning: int) -> bytes:
    data = bytearray(encode_picture(LAYERED, "TIFF"))
    entry = data.index(struct.pack("<HHI", 0x152, 3, 1))
    data[entry + 8] = meaning
    return bytes(data)


MASKS = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


@pytest.mark.parametrize("data", [bmp(3, MASKS), webp(0x10), webp(0x10, lossless=True), tiff(2)])
def test_what_is_said_to_be_transparent_is_white(data: bytes) -> None:
    shown = native(data)
    assert shown[:, : WIDTH // 2 - 2].min() > 250
    assert np.abs(shown[:, WIDTH // 2 :].astype(int) - PHOTO[:, WIDTH // 2 :]).mean() < 8


@pytest.mark.parametrize("data", [bmp(0), bmp(0, MASKS), webp(0), webp(0, lossless=True), tiff(0)])
def test_what_is_not_said_to_be_transparent_is_shown(data: bytes) -> None:
    assert np.abs(native(data).astype(int) - PHOTO).mean() < 8
