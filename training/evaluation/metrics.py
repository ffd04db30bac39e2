"""Measures of a binary detector with confidence intervals. Label 1 is fake; scores are P(fake) in [0, 1].

scikit-learn has most of these, and the tests compare with it; its checks of every call would take
most of the time of a thousand resamples.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Metric = Callable[[NDArray[np.int64], Floats, Floats], float]
"""Labels [N], scores [N], weights [N] → value."""


class Estimate(NamedTuple):
    """A metric and its 95 % interval; None where one class is missing and it has no value."""

    value: float | None
    low: float | None = None
    high: float | None = None


def roc_points(
    labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None
) -> tuple[Floats, Floats]:
    """False- and true-positive weight at every threshold from above all scores to below them: [K], [K]."""
    y, p, w = _arrays(labels, scores, weights)
    order = np.argsort(-p, kind="stable")
    y, p, w = y[order], p[order], w[order]
    # Scores that are equal fall together.
    ends = np.append(np.flatnonzero(np.diff(p)), len(p) - 1)
    false, true = np.cumsum(w * (1 - y))[ends], np.cumsum(w * y)[ends]
    return np.append(0.0, false), np.append(0.0, true)


def area_under_roc(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Chance that a fake scores above a real, ties counting half."""
    false, true = roc_points(labels, scores, weights)
    return float(np.sum(np.diff(false) * (true[1:] + true[:-1])) / (2 * true[-1] * false[-1]))


def equal_error_rate(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Where the false-positive rate equals the miss rate, interpolated on the ROC curve."""
    false, true = roc_points(labels, scores, weights)
    false_rate = false / false[-1]
    gap = false_rate + true / true[-1] - 1
    after = int(np.argmax(gap >= 0))
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    return float(false_rate[after - 1] + share * (false_rate[after] - false_rate[after - 1]))


def average_precision(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Precision averaged over the steps of recall, without interpolation."""
    false, true = roc_points(labels, scores, weights)
    precision = true[1:] / (true[1:] + false[1:])
    return float(np.sum(np.diff(true) * precision) / true[-1])


def expected_calibration_error(
    labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None, bins: int = 10
) -> float:
    """Mean distance between score and frequency over `bins` equal-width bins (Guo et al., ICML 2017)."""
    y, p, w = _arrays(labels, scores, weights)
    bin_of = np.minimum((p * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(bin_of, weights=w * (y - p), minlength=bins)
    return float(np.abs(gaps).sum() / w.sum())


def _arrays(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    y, p = np.asarray(labels, np.float64), np.asarray(scores, np.float64)
    return y, p, np.ones_like(p) if weights is None else np.asarray(weights, np.float64)


def _accuracy(y: NDArray[np.int64], p: Floats, w: Floats) -> float:
    return float(np.average((p >= 0.5) == y, weights=w))


def _precision(y: NDArray[np.int64], p: Floats, w: Floats) -> float:
    called = w * (p >= 0.5)
    return _ratio(np.sum(called * y), np.sum(called))


def _recall(y: NDArray[np.int64], p: Floats, w: Floats) -> float:
    return _ratio(np.sum(w * y * (p >= 0.5)), np.sum(w * y))


def _f1(y: NDArray[np.int64], p: Floats, w: Floats) -> float:
    called = p >= 0.5
    return _ratio(2 * np.sum(w * y * called), np.sum(w * y) + np.sum(w * called))


def _ratio(part: np.floating, whole: np.floating) -> float:
    return float(part / whole) if whole else 0.0


def _log_loss(y: NDArray[np.int64], p: Floats, w: Floats) -> float:
    of_truth = np.where(y == 1, p, 1 - p)
    return float(-np.average(np.log(np.maximum(of_truth, np.finfo(np.float64).eps)), weights=w))


def _brier(y: NDArray[np.int64], p: Floats, w: Floats) -> float:
    return float(np.average((p - y) ** 2, weights=w))


METRICS: dict[str, Metric] = {
    "accuracy": _accuracy,
    "precision": _precision,
    "recall": _recall,
    "f1": _f1,
    "auc": area_under_roc,
    "eer": equal_error_rate,
    "average_precision": average_precision,
    "log_loss": _log_loss,
    "brier": _brier,
    "ece": expected_calibration_error,
}
"""Accuracy, precision, recall and F1 are of the decision "fake at 0.5 or above"."""
_ONE_CLASS_SUFFICES = {"accuracy", "log_loss", "brier", "ece"}


def estimate(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike,
    metrics: Mapping[str, Metric] = METRICS,
    resamples: int = 500,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Metrics with 95 % percentile bootstrap intervals.

    Whole groups are drawn, not single scores: rows of one file, and a fake and its real
    source, are not independent, and drawing them alone would make the intervals too narrow.

    Args:
        labels: [N], 0 real or 1 fake.
        scores: [N], probability of fake.
        groups: [N], any hashable identity.
    """
    y, p, group_of = np.asarray(labels, np.int64), np.asarray(scores, np.float64), np.asarray(groups)
    # Sorted once, so that the ranking metrics' own sort of every resample has nothing to do.
    order = np.argsort(-p, kind="stable")
    y, p, group_of = y[order], p[order], group_of[order]
    resampled: dict[str, list[float]] = {name: [] for name in metrics}
    # Draws of a single group are all the same: they would say that nothing is uncertain.
    for w in _draws(group_of, resamples, seed) if len(np.unique(group_of)) > 1 else ():
        for name, metric in metrics.items():
            if (found := _value(name, metric, y, p, w)) is not None:
                resampled[name].append(found)
    return {
        name: _estimate(_value(name, metric, y, p, np.ones_like(p)), resampled[name])
        for name, metric in metrics.items()
    }


def _draws(groups: NDArray[np.str_], resamples: int, seed: int) -> Iterator[Floats]:
    names, group_of = np.unique(groups, return_inverse=True)
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        times = np.bincount(generator.integers(len(names), size=len(names)), minlength=len(names))
        yield times[group_of].astype(np.float64)


def _estimate(value: float | None, resampled: list[float]) -> Estimate:
    if value is None or not resampled:
        return Estimate(value)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def _value(name: str, metric: Metric, y: NDArray[np.int64], p: Floats, w: Floats) -> float | None:
    drawn = w > 0
    fakes = int(np.count_nonzero(y[drawn]))
    both = 0 < fakes < np.count_nonzero(drawn)
    if not drawn.any() or (name not in _ONE_CLASS_SUFFICES and not both):
        return None
    return metric(y[drawn], p[drawn], w[drawn])
