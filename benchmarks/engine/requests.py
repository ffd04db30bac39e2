"""A request as the engine and the sessions of the server take it."""

import numpy as np
from numpy.typing import NDArray

from server.engine.batch import Rows, empty_rows
from server.engine.manifest import Manifest


def of_pictures(manifest: Manifest, frames: NDArray[np.uint8]) -> Rows:
    """One with a row for each frame, uint8 [rows, height, width, 3]."""
    empty = empty_rows(manifest)
    weights = np.array([1, 0, 0], np.float32)
    return Rows(frames, np.arange(len(frames)), empty.clip_index, empty.audio, weights)
