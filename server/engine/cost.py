"""What a row costs: measured when the graph is warmed up, so that batches close on time, not on count."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.engine.batch import Rows, empty_rows, one_row_each
from server.engine.manifest import MODALITIES
from server.engine.session import Session

_REPEATS = 3
_MANY = 4


@dataclass(frozen=True, slots=True)
class CostModel:
    """Seconds of one run: `fixed` plus those of its rows.

    Attributes:
        fixed: seconds of a run whatever it holds.
        per_row: float64 [3], seconds of one more image row, clip, audio window.
    """

    fixed: float
    per_row: NDArray[np.float64]

    def seconds(self, rows: Rows) -> float:
        """Estimated seconds that `rows` add to a run."""
        return float(np.dot(self.per_row, rows.counts))


def warm_up(session: Session) -> CostModel:
    """Runs every branch, alone and together, and measures what its rows cost.

    Raises:
        Exception: as ONNX Runtime does, if the graph cannot be run.
    """
    manifest = session.manifest
    session.run([one_row_each(manifest)])
    fixed = _fastest(session, empty_rows(manifest))
    per_row = np.zeros(len(MODALITIES))
    for column, modality in enumerate(MODALITIES):
        if modality in manifest.modalities:
            one = _fastest(session, one_row_each(manifest, 1, modality))
            many = _fastest(session, one_row_each(manifest, _MANY, modality))
            # A GPU answers four rows in the time of one; never believe that a row is free.
            per_row[column] = max((many - one) / (_MANY - 1), one / 100)
    return CostModel(fixed, per_row)


def _fastest(session: Session, rows: Rows) -> float:
    session.run([rows])
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        session.run([rows])
        seconds.append(time.perf_counter() - start)
    return min(seconds)
