"""The eight orientations, from EXIF and from display matrices."""

import io
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from av.sidedata.sidedata import Type as SideDataType
from PIL import Image

from server.media.decode import decode
from server.media.limits import MediaLimits
from server.media.orientation import UPRIGHT, from_display_matrix, from_exif
from server.media.types import RowSpec
from tests.media import encode_picture, photo
from tests.server.media.pictures import native, pillow

PICTURE = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
# What EXIF 2.32 says where the stored first row and first column are to be seen.
EXIF = {
    1: PICTURE,
    2: PICTURE[:, ::-1],
    3: PICTURE[::-1, ::-1],
    4: PICTURE[::-1],
    5: PICTURE.transpose(1, 0, 2),
    6: np.rot90(PICTURE, -1),
    7: PICTURE[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(PICTURE, 1),
}


@pytest.mark.parametrize("value", EXIF)
def test_exif(value: int) -> None:
    orientation = from_exif(value)
    np.testing.assert_array_equal(orientation.upright(PICTURE), EXIF[value])
    assert orientation.stored_size(*EXIF[value].shape[1::-1]) == (4, 2)


@pytest.mark.parametrize("value", EXIF)
def test_a_box_of_the_upright_picture_is_found_where_it_is_stored(value: int) -> None:
    orientation, shown = from_exif(value), EXIF[value]
    height, width, _ = shown.shape
    for left, top in np.ndindex(width - 1, height - 1):
        box = (left, top, left + 2, top + 2) if width > height else (left, top, left + 1, top + 2)
        x, y, right, bottom = orientation.stored_box(box, 4, 2)
        cut = orientation.upright(PICTURE[y:bottom, x:right])
        np.testing.assert_array_equal(cut, shown[box[1] : box[3], box[0] : box[2]])


@pytest.mark.parametrize("value", EXIF)
def test_the_facts_tell_the_same_turn(value: int) -> None:
    orientation = from_exif(value)
    mirrored = PICTURE[:, ::-1] if orientation.mirrored else PICTURE
    turned = np.rot90(mirrored, -orientation.rotation_degrees // 90)
    np.testing.assert_array_equal(turned, EXIF[value])


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_numbers_that_exif_does_not_have(value: int) -> None:
    assert from_exif(value) == UPRIGHT


# Rows of (right, down): where the stored picture's axes point when shown, y downwards.
MATRICES = {
    1: ((1, 0), (0, 1)),
    2: ((-1, 0), (0, 1)),
    3: ((-1, 0), (0, -1)),
    4: ((1, 0), (0, -1)),
    5: ((0, 1), (1, 0)),
    6: ((0, 1), (-1, 0)),
    7: ((0, -1), (-1, 0)),
    8: ((0, -1), (1, 0)),
}


@pytest.mark.parametrize("value", MATRICES)
@pytest.mark.parametrize("tilt", [0.0, 0.1, 0.7, -0.7])
def test_display_matrix(value: int, tilt: float) -> None:
    (a, b), (c, d) = MATRICES[value]
    # A hand-held camera may write an angle that is not a quarter turn.
    cosine, sine = np.cos(tilt), np.sin(tilt)
    numbers = [a * cosine - b * sine, a * sine + b * cosine, 0, c * cosine - d * sine, c * sine + d * cosine]
    matrix = struct.pack("9i", *[round(65536 * number) for number in numbers], 0, 0, 0, 1 << 30)
    assert from_display_matrix(matrix) == from_exif(value)


def exif_of_a_camera(orientation: int) -> bytes:
    """More than the orientation, which Pillow's writers would express in ways of the format's own."""
    exif = Image.Exif()
    exif[0x112], exif[0x10F] = orientation, "Camera"
    return exif.tobytes()


@pytest.mark.parametrize("value", EXIF)
def test_an_avif_that_has_exif_too_is_upright(value: int) -> None:
    # FFmpeg gives the EXIF beside the display matrix.
    data = encode_picture(photo(96, 64), "AVIF", quality=95, exif=exif_of_a_camera(value))
    assert np.abs(native(data).astype(int) - pillow(data)).mean() < 3


@pytest.mark.parametrize(("container", "codec"), [("avi", "mjpeg"), ("mov", "mjpeg"), ("mov", "png")])
@pytest.mark.parametrize("value", EXIF)
def test_a_video_of_photos_that_have_exif_is_upright(value: int, container: str, codec: str) -> None:
    file_format = "JPEG" if codec == "mjpeg" else "PNG"
    still = encode_picture(photo(96, 64), file_format, exif=exif_of_a_camera(value))
    upright = pillow(still)
    height, width, _ = upright.shape
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = 96, 64
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "rgb24"
        for number in range(6):
            packet = av.Packet(still)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), True
            packet.pts = packet.dts = number
            output.mux(packet)
    rows = decode(buffer.getvalue(), RowSpec(width=width, height=height), MediaLimits())
    assert np.abs(rows.frames[0].astype(int) - upright).mean() < 3
    expected = from_exif(value)
    assert (rows.facts.rotation_degrees, rows.facts.mirrored) == (
        expected.rotation_degrees,
        expected.mirrored,
    )


def test_side_data_without_a_name_has_one_of_its_own() -> None:
    unknown = SideDataType(9999)
    assert unknown.name == "UNKNOWN_9999"
    assert {unknown: 1, SideDataType.DISPLAYMATRIX: 2}[SideDataType.DISPLAYMATRIX] == 2
    assert unknown not in list(SideDataType)
