"""Figures from samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Figure:
    """Several measurements of one thing: the median, and how far they lay apart.

    Attributes:
        half_spread: half of the distance between the largest and the smallest.
    """

    median: float
    half_spread: float

    def __str__(self) -> str:
        return f"{self.median:.1f} ±{self.half_spread:.1f}"


def figure(samples: Sequence[float]) -> Figure:
    """Raises ValueError without samples."""
    if not samples:
        raise ValueError("nothing was measured")
    return Figure(float(np.median(samples)), (max(samples) - min(samples)) / 2)


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that at least `percent` of them do not exceed (nearest rank); NaN if none."""
    if not samples:
        return float("nan")
    return float(np.percentile(samples, percent, method="inverted_cdf"))


def growth(samples: Sequence[float]) -> float:
    """Median of the last fifth over that of the first, minus 1."""
    fifth = max(1, len(samples) // 5)
    return float(np.median(samples[-fifth:]) / np.median(samples[:fifth])) - 1
