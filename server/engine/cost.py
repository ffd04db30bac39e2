"""What a run costs: measured when the graph is warmed up, and corrected by every run after that."""

import math
import time
from dataclasses import dataclass

from server.engine.batch import Counts, Rows, blank_rows, counts_of, empty_rows
from server.engine.manifest import MODALITIES
from server.engine.session import Session

_REPEATS = 3
# Slow rows are not repeated for longer than this, because a server starts meanwhile.
_REPEAT_SECONDS = 0.05
# More rows in a run must raise the rows a second by this share, or they are better run apart.
_GAIN = 0.05
# Weight of the latest run, and the factor to which its distance from the estimate is cut.
_NEWEST_SHARE = 0.1
_LARGEST_ERROR = 2.0
_SHORTEST_SECONDS = 1e-6

Triple = tuple[float, float, float]
"""Of an image row, a clip, an audio window."""
Curve = list[tuple[int, float]]
"""(rows, seconds) of runs, with ever more rows."""


@dataclass(frozen=True, slots=True)
class CostModel:
    """Seconds of one run: `fixed` plus those of its rows.

    Attributes:
        fixed: seconds of a run whatever it holds; above 0.
        per_row: seconds of one more image row, clip, audio window; 0 for branches that are not there.
        full: rows of each kind after which more in the same run gain nothing; infinite where they do.
    """

    fixed: float
    per_row: Triple
    full: Triple

    def __str__(self) -> str:
        kinds = [
            f"{name} {1000 * cost:.2f} ms" + ("" if math.isinf(full) else f", run by {full:g}")
            for name, cost, full in zip(MODALITIES, self.per_row, self.full, strict=True)
            if cost
        ]
        return f"a run costs {1000 * self.fixed:.2f} ms and for each row: {'; '.join(kinds)}"

    def seconds(self, counts: Counts) -> float:
        """Estimated seconds that so many rows of each kind add to a run."""
        images, clips, windows = counts
        image, clip, window = self.per_row
        return images * image + clips * clip + windows * window

    def share(self, rows: Rows) -> float:
        """How much of a run `rows` fill; at 1 and above, others are better run apart."""
        images, clips, windows = rows.counts
        image, clip, window = self.full
        return images / image + clips / clip + windows / window

    def corrected(self, counts: Counts, seconds: float) -> "CostModel":
        """After a run of so many rows of each kind has taken so long.

        Each part moves by its share in the estimate (normalised least mean squares, Widrow and Hoff,
        1960), and one odd run moves it little.
        """
        parts = [count * cost for count, cost in zip(counts, self.per_row, strict=True)]
        estimate = self.fixed + sum(parts)
        error = min(max(seconds / estimate, 1 / _LARGEST_ERROR), _LARGEST_ERROR) - 1
        step = _NEWEST_SHARE * error / estimate
        image, clip, window = (
            cost * (1 + step * part) for cost, part in zip(self.per_row, parts, strict=True)
        )
        return CostModel(self.fixed * (1 + step * self.fixed), (image, clip, window), self.full)


def warm_up(session: Session) -> CostModel:
    """Runs every branch, each alone, and measures what its rows cost.

    Raises:
        Exception: as ONNX Runtime does, if the graph cannot be run.
    """
    session.prepare()
    empty = max(_fastest(session, empty_rows(session.manifest)), _SHORTEST_SECONDS)
    curves = [_curve(session, modality) for modality in MODALITIES]
    image, clip, window = (_line(curve, empty) for curve in curves)
    fixed = max(image[0], clip[0], window[0])
    return CostModel(fixed, (image[1], clip[1], window[1]), _full(curves))


def _curve(session: Session, modality: str) -> Curve:
    """Of one modality alone, as far as more rows pay; nothing without the branch."""
    if modality not in session.manifest.modalities:
        return []
    curve: Curve = []
    for count in session.steps(modality):
        rows = blank_rows(session.manifest, *counts_of(modality, count))
        curve.append((count, _fastest(session, rows)))
        if not _pays(curve):
            break
    return curve


def _pays(curve: Curve) -> bool:
    """Whether the last point has more rows a second than the one before."""
    if len(curve) < 2:
        return True
    (few, fast), (many, slow) = curve[-2:]
    return many / slow >= (1 + _GAIN) * few / fast


def _line(curve: Curve, empty: float) -> tuple[float, float]:
    """Fixed seconds and those of one more row, through the last two points."""
    if not curve:
        return empty, 0.0
    (few, fast), (many, slow) = curve[-2:]
    # A GPU answers many rows in the time of one; never believe that a row is free.
    per_row = max((slow - fast) / (many - few), fast / few / 100)
    return max(slow - many * per_row, empty), per_row


def _full(curves: list[Curve]) -> Triple:
    image, clip, window = (curve[-2][0] if curve and not _pays(curve) else math.inf for curve in curves)
    return image, clip, window


def _fastest(session: Session, rows: Rows) -> float:
    """Seconds of the fastest of several runs, after one that lets ONNX Runtime prepare for the shape."""
    session.run([rows])
    seconds: list[float] = []
    while len(seconds) < _REPEATS and sum(seconds) < _REPEAT_SECONDS:
        start = time.perf_counter()
        session.run([rows])
        seconds.append(time.perf_counter() - start)
    return min(seconds)
