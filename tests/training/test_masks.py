from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.errors import DataError
from training.masks import FORGED, row_cells
from training.sample import WHOLE, Region

ROWS: list[Region] = [WHOLE, (0.1, 0.1, 0.3, 0.3), (0.4, 0.0, 0.6, 0.2), (0.7, 0.7, 0.9, 0.9)]


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    picture = np.zeros((100, 200), np.uint8)
    picture[:, :100] = 200
    Image.fromarray(picture).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def test_cells_say_how_much_of_them_is_forged(mask: Path) -> None:
    whole, inside, across, missed = row_cells(mask, ROWS, 4)
    assert np.array_equal(whole, np.tile([FORGED, FORGED, 0, 0], (4, 1)))
    assert np.array_equal(across, whole)
    assert (inside == FORGED).all()
    assert not missed.any()


def test_what_a_mask_shows_faintly_is_not_forged(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 63, 64, 255]], np.uint8)).save(tmp_path / "mask.png")
    (cells,) = row_cells(tmp_path / "mask.png", [WHOLE], 4)
    assert np.array_equal(cells[0], [0, 0, FORGED, FORGED])


def test_a_mask_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.png"):
        row_cells(tmp_path / "nowhere.png", ROWS, 4)


def test_a_mask_that_breaks_off_between_its_chunks_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 2, (1200, 1600), np.uint8) * 255).save(path)
    before, first, second, *rest = path.read_bytes().split(b"IDAT")
    path.write_bytes(b"IDAT".join([before, first]) + b"\xffDAT" + b"IDAT".join([second, *rest]))
    with pytest.raises(DataError, match=r"mask\.png"):
        row_cells(path, ROWS, 4)


def test_a_mask_that_is_cut_short_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mask.tif"
    Image.new("L", (80, 60)).save(path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match=r"mask\.tif"):
        row_cells(path, ROWS, 4)
