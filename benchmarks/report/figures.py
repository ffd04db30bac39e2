"""Figures from samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Name = TypeVar("Name")


@dataclass(frozen=True, slots=True)
class Figure:
    """Several measurements of one thing: the median, and how far they lay apart.

    As text it takes the format of a number, such as `.2f`, for both.

    Attributes:
        half_spread: half of the distance between the largest and the smallest.
    """

    median: float
    half_spread: float

    def __str__(self) -> str:
        return f"{self:.1f}"

    def __format__(self, number: str) -> str:
        return f"{self.median:{number}} ±{self.half_spread:{number}}" if number else str(self)


def figure(samples: Sequence[float]) -> Figure:
    """Raises ValueError without samples."""
    if not samples:
        raise ValueError("nothing was measured")
    return Figure(float(np.median(samples)), (max(samples) - min(samples)) / 2)


def milliseconds(seconds: Sequence[float]) -> Figure:
    """In milliseconds, of measurements in seconds."""
    return figure([1000 * sample for sample in seconds])


def ratio(samples: Sequence[float], others: Sequence[float]) -> Figure:
    """Of one to the other, round by round, so that what slowed the machine in one round slowed both."""
    return figure([one / other for one, other in zip(samples, others, strict=True)])


def best(rates: Mapping[Name, Sequence[float]]) -> Name:
    """The name whose rates have the highest median."""
    return max(rates, key=lambda name: figure(rates[name]).median)


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that at least `percent` of them do not exceed (nearest rank); NaN if none."""
    if not samples:
        return float("nan")
    return float(np.percentile(samples, percent, method="inverted_cdf"))


def percentiles_ms(latencies: Sequence[float], *percents: float) -> list[float]:
    """In milliseconds, of latencies in seconds."""
    return [1000 * percentile(latencies, percent) for percent in percents]


def growth(samples: Sequence[float]) -> float:
    """Median of the last fifth over that of the first, minus 1."""
    fifth = max(1, len(samples) // 5)
    return float(np.median(samples[-fifth:]) / np.median(samples[:fifth])) - 1
