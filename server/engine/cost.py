"""What a row costs: measured when the graph is warmed up, so that batches close on time, not on count."""

import time
from dataclasses import dataclass

from server.engine.batch import Rows, empty_rows, one_row_each
from server.engine.manifest import MODALITIES
from server.engine.session import Session

_REPEATS = 3
_MANY = 8
# A row that costs this share of a row alone, or less, makes batching worth the wait.
_GAIN = 0.8
# Where batching gains nothing, a run only has to hide its own fixed cost: this times as long.
_HIDES_FIXED_COST = 50


@dataclass(frozen=True, slots=True)
class CostModel:
    """Seconds of one run: `fixed` plus those of its rows.

    Attributes:
        fixed: seconds of a run whatever it holds.
        per_row: seconds of one more image row, clip, audio window.
        batching_pays: whether a row in company is cheaper than alone: on GPUs, hardly ever on CPUs.
    """

    fixed: float
    per_row: tuple[float, float, float]
    batching_pays: bool

    def seconds(self, rows: Rows) -> float:
        """Estimated seconds of a run of `rows`."""
        images, clips, windows = rows.counts
        image, clip, window = self.per_row
        return self.fixed + images * image + clips * clip + windows * window

    @property
    def run_seconds(self) -> float:
        """Run time after which more rows in a run gain nothing; infinite where they always do."""
        return float("inf") if self.batching_pays else _HIDES_FIXED_COST * self.fixed


def warm_up(session: Session) -> CostModel:
    """Runs every branch, alone and together, and measures what its rows cost.

    Raises:
        Exception: as ONNX Runtime does, if the graph cannot be run.
    """
    session.run([one_row_each(session.manifest)])
    fixed = _fastest(session, empty_rows(session.manifest))
    alone, together = zip(*(_row_costs(session, modality) for modality in MODALITIES), strict=True)
    image, clip, window = together
    return CostModel(fixed, (image, clip, window), sum(together) <= _GAIN * sum(alone))


def _row_costs(session: Session, modality: str) -> tuple[float, float]:
    """Seconds of a row alone in a run, and of one more row among several; 0 without that branch."""
    if modality not in session.manifest.modalities:
        return 0.0, 0.0
    one = _fastest(session, one_row_each(session.manifest, 1, modality))
    many = _fastest(session, one_row_each(session.manifest, _MANY, modality))
    # A GPU answers many rows in the time of one; never believe that a row is free.
    return one, max((many - one) / (_MANY - 1), one / 100)


def _fastest(session: Session, rows: Rows) -> float:
    session.run([rows])
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        session.run([rows])
        seconds.append(time.perf_counter() - start)
    return min(seconds)
