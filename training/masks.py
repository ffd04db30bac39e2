"""Which cells of a row show a forgery, where its file says so with a mask."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.errors import DataError
from training.sample import Region

CELL = 16
"""Pixels a side."""
UNKNOWN = 255
"""Of a cell; others are 0 to `FORGED`."""
FORGED = 254

_FAINT = 0.25

Cells = NDArray[np.uint8]


@contextmanager
def opened(mask: Path) -> Iterator[Image.Image]:
    """The picture of a mask, of which only the head is read at first.

    Raises:
        DataError: it, or what is read of it in this context, cannot be read.
    """
    try:
        with Image.open(mask) as image:
            yield image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # SyntaxError is what Pillow says of a PNG with a broken chunk behind its first pixels.
        raise DataError(f"the mask {mask} cannot be read: {error}") from error


def row_cells(mask: Path, rows: Sequence[Region], side: int) -> Cells:
    """How much of every cell is forged: uint8 [N, side, side], up to `FORGED`.

    Args:
        mask: a grey picture; white is forged.
        rows: the part of the picture that each row shows.

    Raises:
        DataError: it cannot be read.
    """
    with opened(mask) as image:
        weights = np.asarray(image.convert("L"))
    shown = Image.fromarray((weights >= _FAINT * 255).astype(np.float32))
    boxes = [np.multiply(row, shown.size * 2) for row in rows]
    cells = [shown.resize((side, side), Image.Resampling.BOX, tuple(box)) for box in boxes]
    shares = np.stack([np.asarray(cell) for cell in cells])
    return np.asarray(np.rint(shares * FORGED), np.uint8)
