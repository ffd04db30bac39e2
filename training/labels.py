"""Labels of image rows: a crop of a forged picture may show nothing of the forgery."""

from collections.abc import Iterable

from training.masks import FORGED, Cells
from training.sample import WHOLE, Region

UNCLEAR = -1
"""Label of a row that shows too little of a forged region to be called either."""

# Of a forged region, or of the row if that is smaller.
_MISSED_REGION, _SHOWN_REGION = 0.05, 0.25
# Of the row.
_MISSED_CELLS, _SHOWN_CELLS, _INSIDE = 0.005, 0.04, 0.97


def row_label(label: int, row: Region, forged: Region) -> int:
    """Label of an image row by the box around the forgery.

    Overlap is measured against the smaller of the two, so both a crop inside a large forged
    region and one that holds a small region whole count as fake.

    Args:
        label: of the file.
        row: the part of the picture that the row shows: left, top, right, bottom as fractions.
        forged: the part of the picture that was forged.
    """
    if label == 0:
        return 0
    width = max(0.0, min(row[2], forged[2]) - max(row[0], forged[0]))
    height = max(0.0, min(row[3], forged[3]) - max(row[1], forged[1]))
    share = width * height / max(min(_area(row), _area(forged)), 1e-9)
    if share >= _SHOWN_REGION:
        return 1
    return 0 if share < _MISSED_REGION else UNCLEAR


def _area(region: Region) -> float:
    return (region[2] - region[0]) * (region[3] - region[1])


def cell_labels(cells: Cells, rows: Iterable[Region], forged: Region) -> list[int]:
    """Label of each image row by the share of forged cells in it.

    A crop of nothing but a forged part has nothing to compare that with: it may be called either.
    """
    labels = []
    for share, row in zip(cells.mean(axis=(1, 2)) / FORGED, rows, strict=True):
        inside = share > _INSIDE and row != WHOLE and forged != WHOLE
        unclear = inside or _MISSED_CELLS <= share < _SHOWN_CELLS
        labels.append(UNCLEAR if unclear else int(share >= _SHOWN_CELLS))
    return labels
