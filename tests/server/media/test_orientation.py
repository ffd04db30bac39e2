"""The eight orientations, from EXIF and from display matrices."""

import struct

import numpy as np
import pytest

from server.media.orientation import UPRIGHT, from_display_matrix, from_exif

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
@pytest.mark.parametrize("tilt", [0.0, 0.1])
def test_display_matrix(value: int, tilt: float) -> None:
    (a, b), (c, d) = MATRICES[value]
    # A hand-held camera may write an angle that is not a quarter turn.
    cosine, sine = np.cos(tilt), np.sin(tilt)
    numbers = [a * cosine - b * sine, a * sine + b * cosine, 0, c * cosine - d * sine, c * sine + d * cosine]
    matrix = struct.pack("9i", *[round(65536 * number) for number in numbers], 0, 0, 0, 1 << 30)
    assert from_display_matrix(matrix) == from_exif(value)
