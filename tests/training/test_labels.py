from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.labels import UNCLEAR, cell_labels, row_label
from training.masks import FORGED, row_cells
from training.sample import WHOLE, Region

LEFT_HALF: Region = (0.0, 0.0, 0.5, 1.0)
ROWS: list[Region] = [
    WHOLE,
    (0.1, 0.1, 0.3, 0.3),
    (0.4, 0.0, 0.6, 0.2),
    (0.7, 0.7, 0.9, 0.9),
    (0.496, 0.0, 0.896, 0.4),
]


@pytest.mark.parametrize(
    ("row", "forged", "label"),
    [
        (WHOLE, (0.4, 0.4, 0.5, 0.5), 1),
        ((0.0, 0.0, 0.3, 0.3), (0.4, 0.4, 0.5, 0.5), 0),
        ((0.0, 0.0, 0.5, 0.5), (0.1, 0.1, 0.9, 0.9), 1),
        ((0.4, 0.4, 0.6, 0.6), (0.1, 0.1, 0.9, 0.9), 1),
        ((0.0, 0.0, 0.5, 0.5), (0.3, 0.3, 0.7, 0.7), 1),
        # A tenth of the region: too little to call it fake, too much to call it real.
        ((0.0, 0.0, 0.5, 0.5), (0.45, 0.0, 0.95, 0.5), UNCLEAR),
        ((0.0, 0.0, 0.5, 0.5), (0.49, 0.49, 0.9, 0.9), 0),
    ],
)
def test_a_row_is_fake_where_it_shows_the_forged_region(row: Region, forged: Region, label: int) -> None:
    assert row_label(1, row, forged) == label
    assert row_label(0, row, forged) == 0


def test_a_row_is_fake_where_it_shows_the_forged_part_and_what_it_was_put_into(tmp_path: Path) -> None:
    left = np.zeros((100, 200), np.uint8)
    left[:, :100] = 255
    Image.fromarray(left).save(tmp_path / "mask.png")
    cells = row_cells(tmp_path / "mask.png", ROWS, 10)
    assert cell_labels(cells, ROWS, LEFT_HALF) == [1, UNCLEAR, 1, 0, UNCLEAR]
    assert cell_labels(np.full_like(cells[:2], FORGED), ROWS[:2], WHOLE) == [1, 1]
    assert cell_labels(np.full_like(cells[:1], FORGED), [WHOLE], LEFT_HALF) == [1]


@pytest.mark.parametrize(("forged", "label"), [(0, 0), (1, 0), (8, UNCLEAR), (20, 1), (300, 1)])
def test_few_forged_cells_make_a_row_fake(forged: int, label: int) -> None:
    cells = (FORGED * (np.arange(400) < forged)).astype(np.uint8).reshape(1, 20, 20)
    assert cell_labels(cells, [(0.0, 0.0, 0.5, 0.5)], LEFT_HALF) == [label]
