"""Photos against Pillow: the same pixels, whatever the format, its options and its orientation."""

import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from server.errors import CorruptMedia, MediaLimitExceeded, UnsupportedMedia
from server.media.decode import decode, decode_reduced
from server.media.limits import MediaLimits
from server.media.types import MediaKind, MediaRows, RowSpec
from tests.media import Picture, encode_picture, photo, photo_jpeg
from tests.server.media.pictures import native, pillow

LIMITS = MediaLimits()
WIDTH, HEIGHT = 320, 240
PHOTO = photo(WIDTH, HEIGHT)


def rows(data: bytes, size: tuple[int, int] = (64, 64), crops: int = 0) -> MediaRows:
    return decode(data, RowSpec(width=size[0], height=size[1], crops=crops), LIMITS)


def difference(ours: Picture, theirs: Picture) -> tuple[int, float]:
    delta = np.abs(ours.astype(int) - theirs.astype(int))
    return int(delta.max()), float(delta.mean())


def picture() -> Image.Image:
    return Image.fromarray(PHOTO)


def exif(orientation: int) -> bytes:
    stated = Image.Exif()
    stated[0x112] = orientation
    return stated.tobytes()


def assert_crops(found: MediaRows, whole: Picture) -> None:
    """The rows behind the first are the parts of the picture that their regions say."""
    height, width, _ = whole.shape
    for frame, region in zip(found.frames[1:], found.image_regions[1:], strict=True):
        left, top, right, bottom = np.rint(region * [width, height, width, height]).astype(int)
        np.testing.assert_array_equal(frame, whole[top:bottom, left:right])


JPEGS: dict[str, Callable[[], bytes]] = {
    "4:4:4": lambda: photo_jpeg(WIDTH, HEIGHT, subsampling=0),
    "4:2:0": lambda: photo_jpeg(WIDTH, HEIGHT, subsampling=2, quality=95),
    "progressive": lambda: photo_jpeg(WIDTH, HEIGHT, subsampling=0, progressive=True),
    "grey": lambda: encode_picture(picture().convert("L"), "JPEG"),
    "restart markers": lambda: photo_jpeg(WIDTH, HEIGHT, subsampling=0, restart_marker_blocks=4),
}


@pytest.mark.parametrize("name", JPEGS)
def test_jpeg_has_the_pixels_that_pillow_has(name: str) -> None:
    data = JPEGS[name]()
    largest, mean = difference(native(data), pillow(data))
    # Chroma is enlarged by other filters in 4:2:0; both are within what the standard allows.
    assert mean < (1.0 if name == "4:2:0" else 0.5)
    assert largest <= (40 if name == "4:2:0" else 4)


def test_cmyk_jpeg() -> None:
    data = encode_picture(picture().convert("CMYK"), "JPEG", quality=95)
    largest, mean = difference(native(data), pillow(data))
    assert largest <= 4
    assert mean < 1.5


LOSSLESS: dict[str, Callable[[], bytes]] = {
    "png": lambda: encode_picture(picture(), "PNG"),
    "png grey": lambda: encode_picture(picture().convert("L"), "PNG"),
    "png palette": lambda: encode_picture(picture().quantize(200), "PNG"),
    "png black and white": lambda: encode_picture(picture().convert("1"), "PNG"),
    "webp lossless": lambda: encode_picture(picture(), "WEBP", lossless=True),
    "bmp": lambda: encode_picture(picture(), "BMP"),
    "bmp palette": lambda: encode_picture(picture().quantize(200), "BMP"),
    "gif": lambda: encode_picture(picture().quantize(200), "GIF"),
    "tiff": lambda: encode_picture(picture(), "TIFF"),
    "tiff lzw": lambda: encode_picture(picture(), "TIFF", compression="tiff_lzw"),
    "tiff deflate": lambda: encode_picture(picture(), "TIFF", compression="tiff_deflate"),
    "tiff packbits": lambda: encode_picture(picture(), "TIFF", compression="packbits"),
    "tiff grey": lambda: encode_picture(picture().convert("L"), "TIFF"),
    "tiff palette": lambda: encode_picture(picture().quantize(200), "TIFF"),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_are_exact(name: str) -> None:
    data = LOSSLESS[name]()
    np.testing.assert_array_equal(native(data), pillow(data))


@pytest.mark.parametrize(
    ("file_format", "options", "allowed"),
    [("WEBP", {"quality": 95}, 2.0), ("AVIF", {"quality": 95, "subsampling": "4:4:4"}, 1.0)],
)
def test_lossy_formats_are_close(file_format: str, options: dict[str, object], allowed: float) -> None:
    data = encode_picture(picture(), file_format, **options)
    assert difference(native(data), pillow(data))[1] < allowed


def test_png_of_16_bits() -> None:
    grey = (np.asarray(picture().convert("L")).astype(np.uint16) << 8) + 37
    ours = native(encode_picture(Image.fromarray(grey), "PNG"))
    assert difference(ours, np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, -1))[0] <= 1


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_black_and_white_scaled_is_grey_of_the_right_level(file_format: str) -> None:
    dithered = picture().convert("1")
    frame = decode(encode_picture(dithered, file_format), RowSpec(HEIGHT // 4, WIDTH // 4), LIMITS).frames[0]
    expected = np.asarray(dithered.convert("L").reduce(4))[..., None]
    assert difference(frame, expected)[0] <= 1


def test_a_bitmap_of_16_bits_a_pixel_has_the_same_colours_at_any_size() -> None:
    white = np.full((HEIGHT, WIDTH), 0x7FFF, "<u2")
    white[:, : WIDTH // 2] = 0
    header = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 16, 0, white.nbytes, 0, 0, 0, 0)
    data = b"BM" + struct.pack("<IHHI", 54 + white.nbytes, 0, 0, 54) + header + white.tobytes()
    frame = decode(data, RowSpec(HEIGHT // 4, WIDTH // 4), LIMITS).frames[0]
    assert (frame.min(), frame.max()) == (0, 255)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
def test_transparency_lies_on_white(file_format: str) -> None:
    layered = picture().convert("RGBA")
    alpha = np.tile(np.linspace(0, 255, WIDTH, dtype=np.uint8), (HEIGHT, 1))
    layered.putalpha(Image.fromarray(alpha))
    options: dict[str, object] = {"lossless": True, "exact": True} if file_format == "WEBP" else {}
    white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
    expected = np.asarray(Image.alpha_composite(white, layered).convert("RGB"))
    assert difference(native(encode_picture(layered, file_format, **options)), expected)[0] <= 1


def test_palette_transparency_lies_on_white() -> None:
    palette = picture().quantize(16)
    data = encode_picture(palette, "PNG", transparency=3)
    hidden = np.asarray(palette) == 3
    assert (native(data)[hidden] == 255).all()
    np.testing.assert_array_equal(native(data)[~hidden], np.asarray(palette.convert("RGB"))[~hidden])


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(orientation: int, file_format: str) -> None:
    lossy: dict[str, dict[str, object]] = {"JPEG": {"quality": 95, "subsampling": 0}}
    options = lossy.get(file_format, {"lossless": True} if file_format == "WEBP" else {})
    data = encode_picture(PHOTO, file_format, exif=exif(orientation), **options)
    stated = rows(data)
    width, height = (HEIGHT, WIDTH) if orientation >= 5 else (WIDTH, HEIGHT)
    assert (stated.facts.width, stated.facts.height) == (width, height)
    ours = native(data)
    assert difference(ours, pillow(data))[1] < 1.5
    # The facts tell the same turn: mirror left to right first, then rotate clockwise.
    turned = PHOTO[:, ::-1] if stated.facts.mirrored else PHOTO
    turned = np.rot90(turned, -stated.facts.rotation_degrees // 90)
    assert difference(ours, turned)[1] < 6


def test_the_whole_picture_is_squeezed_by_area() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 480, 3), np.uint8)
    mean = noise.reshape(80, 6, 160, 3, 3).mean((1, 3))
    assert np.abs(rows(encode_picture(noise, "PNG"), (160, 80)).frames[0] - mean).max() < 1


def test_crops_are_the_picture_itself() -> None:
    found = rows(encode_picture(PHOTO, "PNG"), (64, 48), crops=5)
    assert found.frames.shape == (6, 48, 64, 3)
    assert found.image_index.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.image_regions[0].tolist() == [0, 0, 1, 1]
    assert_crops(found, PHOTO)


CROPPED: dict[str, Callable[[Image.Image], bytes]] = {
    "jpeg 4:4:4": lambda whole: encode_picture(whole, "JPEG", subsampling="4:4:4"),
    "jpeg 4:2:2": lambda whole: encode_picture(whole, "JPEG", subsampling="4:2:2"),
    "jpeg 4:2:0": lambda whole: encode_picture(whole, "JPEG", subsampling="4:2:0"),
    "jpeg grey": lambda whole: encode_picture(whole.convert("L"), "JPEG"),
    "jpeg cmyk": lambda whole: encode_picture(whole.convert("CMYK"), "JPEG"),
    "webp": lambda whole: encode_picture(whole, "WEBP"),
    "avif": lambda whole: encode_picture(whole, "AVIF", subsampling="4:2:0", speed=10),
    "png black and white": lambda whole: encode_picture(whole.convert("1"), "PNG"),
    "png palette": lambda whole: encode_picture(whole.quantize(20), "PNG"),
    "png grey and alpha": lambda whole: encode_picture(whole.convert("LA"), "PNG"),
}


@pytest.mark.parametrize("name", CROPPED)
@pytest.mark.parametrize("size", [(320, 240), (321, 240), (318, 239), (317, 241), (64, 48), (999, 50)])
def test_crops_have_the_colours_of_the_whole_picture(name: str, size: tuple[int, int]) -> None:
    width, height = size
    data = CROPPED[name](Image.fromarray(photo(width, height)))
    whole, found = native(data), rows(data, (64, 48), crops=7)
    assert len(found.frames) == 8
    assert_crops(found, whole)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_crops_of_a_turned_photo_are_cut_from_the_upright_picture(orientation: int) -> None:
    data = encode_picture(photo(303, 205), "JPEG", exif=exif(orientation), subsampling="4:2:0")
    found = rows(data, (64, 48), crops=5)
    assert len(found.frames) == 6
    assert_crops(found, native(data))


def test_a_picture_smaller_than_a_crop_has_none() -> None:
    assert len(rows(encode_picture(PHOTO, "PNG"), (321, 64), crops=4).frames) == 1


@pytest.mark.usefixtures("with_blank_pictures")
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (3, 2), (7, 5)])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_tiny_and_thin_pictures(size: tuple[int, int], file_format: str) -> None:
    data = encode_picture(np.full((size[1], size[0], 3), 90, np.uint8), file_format)
    frame = rows(data).frames[0]
    assert np.abs(frame.astype(int) - 90).max() <= 2


@pytest.mark.parametrize("size", [(1, 1), (640, 480)])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_a_picture_that_shows_nothing_is_no_evidence(size: tuple[int, int], file_format: str) -> None:
    data = encode_picture(np.full((size[1], size[0], 3), 90, np.uint8), file_format)
    found = rows(data, crops=4)
    assert not len(found.frames)
    assert not len(found.image_index)
    assert found.facts.warnings == ("The picture shows nothing.",)


def test_facts_of_a_photo() -> None:
    data = photo_jpeg(WIDTH, HEIGHT)
    facts = rows(data).facts
    assert (facts.kind, facts.video_codec, facts.size_bytes) == (MediaKind.IMAGE, "mjpeg", len(data))
    assert (facts.width, facts.height, facts.duration_seconds, facts.warnings) == (WIDTH, HEIGHT, 0.0, ())


def test_nothing_is_decoded_when_images_are_not_wanted() -> None:
    found = decode(photo_jpeg(), RowSpec(want_images=False), LIMITS)
    assert len(found.frames) == len(found.image_index) == 0
    assert found.facts.width == 640


# JPEGs at a fraction of their size.


def reduced(data: bytes, size: tuple[int, int] = (64, 64), crops: int = 0) -> MediaRows:
    pytest.importorskip("simplejpeg")
    return decode_reduced(data, RowSpec(width=size[0], height=size[1], crops=crops), LIMITS)


@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_decoded_at_a_fraction_of_its_size_looks_the_same(name: str) -> None:
    data = JPEGS[name]()
    ours, whole = reduced(data, (60, 50)), rows(data, (60, 50))
    assert ours.facts == whole.facts
    assert 0 < difference(ours.frames[0], whole.frames[0])[1] < 4


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_it_is_upright(orientation: int) -> None:
    data = encode_picture(PHOTO, "JPEG", exif=exif(orientation))
    ours, whole = reduced(data, (48, 70)), rows(data, (48, 70))
    assert ours.facts == whole.facts
    assert difference(ours.frames[0], whole.frames[0])[1] < 4


def test_what_cannot_or_must_not_be_reduced_is_decoded_as_ever() -> None:
    jpeg = JPEGS["4:2:0"]()
    for data, crops in (
        (jpeg, 2),
        (encode_picture(picture().convert("CMYK"), "JPEG"), 0),
        (encode_picture(picture(), "PNG"), 0),
    ):
        np.testing.assert_array_equal(reduced(data, crops=crops).frames, rows(data, crops=crops).frames)


def test_a_reduced_jpeg_that_breaks_off_is_refused_unless_only_its_end_marker_is_missing() -> None:
    data = JPEGS["4:4:4"]()
    whole, open_ended = reduced(data), reduced(data[:-2])
    np.testing.assert_array_equal(open_ended.frames, whole.frames)
    assert "end marker" in open_ended.facts.warnings[0]
    with pytest.raises(CorruptMedia):
        reduced(data[: len(data) // 2])


# What comes out wrong, or not at all, without an error of its own.


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.98])
def test_a_jpeg_that_breaks_off_is_refused(progressive: bool, share: float) -> None:
    data = photo_jpeg(progressive=progressive)
    with pytest.raises(CorruptMedia):
        rows(data[: int(share * len(data))])


def test_a_jpeg_without_its_end_marker_is_read_with_a_warning() -> None:
    data = photo_jpeg(WIDTH, HEIGHT)
    found = rows(data[:-2])
    np.testing.assert_array_equal(found.frames, rows(data).frames)
    assert "end marker" in found.facts.warnings[0]


def test_a_damaged_jpeg_is_refused() -> None:
    data = bytearray(photo_jpeg())
    middle = len(data) // 2
    data[middle : middle + 50] = bytes([0x5A]) * 50
    with pytest.raises(CorruptMedia):
        rows(bytes(data))


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF"])
def test_other_pictures_that_break_off_are_refused(file_format: str) -> None:
    data = encode_picture(PHOTO, file_format)
    with pytest.raises(CorruptMedia):
        rows(data[: len(data) // 2])


def test_jpeg_in_tiff_is_refused() -> None:
    with pytest.raises(UnsupportedMedia, match="TIFF compression 7"):
        rows(encode_picture(PHOTO, "TIFF", compression="jpeg"))


def test_animated_webp_is_refused() -> None:
    second = Image.fromarray(photo(WIDTH, HEIGHT, seed=1))
    with pytest.raises(UnsupportedMedia, match="animated WebP"):
        rows(encode_picture(PHOTO, "WEBP", save_all=True, append_images=[second]))


def test_an_end_marker_hidden_in_a_segment_does_not_end_the_jpeg() -> None:
    data = photo_jpeg(WIDTH, HEIGHT)
    comment = b"\xff\xfe" + (6).to_bytes(2, "big") + b"\xff\xd9\xff\xda"
    np.testing.assert_array_equal(rows(data[:2] + comment + data[2:]).frames, rows(data).frames)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "GIF", "BMP"])
def test_too_many_pixels_are_refused(file_format: str) -> None:
    data = encode_picture(photo(400, 300), file_format)
    with pytest.raises(MediaLimitExceeded, match="pixels"):
        decode(data, RowSpec(), MediaLimits(max_pixels=100_000))
