import numpy as np
import pytest

from training.cell_loss import CellLoss
from training.masks import FORGED, UNKNOWN

LOGITS = np.array([[[4.0, -4.0], [-4.0, -4.0]]], np.float32)


def loss(cells: np.ndarray, logits: np.ndarray = LOGITS) -> float:
    return float(CellLoss()(cells[None].astype(np.uint8), logits))


def test_cells_that_are_right_cost_little() -> None:
    right = np.array([[FORGED, 0], [0, 0]])
    assert loss(right) < 0.05 < 1 < loss(FORGED - right)


def test_unknown_cells_cost_nothing() -> None:
    assert loss(np.full((2, 2), UNKNOWN)) == 0


def test_a_coarser_heatmap_is_compared_with_means() -> None:
    fine = np.kron(np.array([[FORGED, 0], [0, 0]]), np.ones((2, 2)))
    assert loss(fine) == pytest.approx(loss(np.array([[FORGED, 0], [0, 0]])))


@pytest.mark.parametrize(("cells", "coarse"), [(14, 7), (18, 10), (12, 7)])
def test_forged_cells_count_whatever_the_sizes(cells: int, coarse: int) -> None:
    logits = np.full((1, coarse, coarse), -3, np.float32)
    assert loss(np.full((cells, cells), FORGED), logits) == pytest.approx(np.log1p(np.exp(3)), abs=1e-4)
