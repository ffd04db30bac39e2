"""Measures of a binary detector with confidence intervals. Label 1 is fake; scores are P(fake) in [0, 1]."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict
from sklearn.metrics import auc, average_precision_score, log_loss, roc_curve

Floats = NDArray[np.float64]
Metric = Callable[[NDArray[np.int64], Floats, Floats], float]


class Estimate(BaseModel):
    """A metric and its 95 % interval; None where one class is missing and it has no value."""

    model_config = ConfigDict(frozen=True)

    value: float | None
    low: float | None = None
    high: float | None = None


def equal_error_rate(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Where the false-positive rate equals the miss rate, interpolated on the ROC curve."""
    false_positive, true_positive, _ = roc_curve(
        labels, scores, sample_weight=weights, drop_intermediate=False
    )
    gap = false_positive + true_positive - 1
    after = int(np.argmax(gap >= 0))
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])
    return float(false_positive[before] + share * (false_positive[after] - false_positive[before]))


def expected_calibration_error(
    labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None, bins: int = 10
) -> float:
    """Mean distance between score and frequency over `bins` equal-width bins (Guo et al., ICML 2017)."""
    y, p = np.asarray(labels, np.float64), np.asarray(scores, np.float64)
    w = np.ones_like(p) if weights is None else np.asarray(weights, np.float64)
    bin_of = np.minimum((p * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(bin_of, weights=w * (y - p), minlength=bins)
    return float(np.abs(gaps).sum() / w.sum())


def _accuracy(y: NDArray[np.int64], p: Floats, w: Floats) -> float:
    return float(np.average((p >= 0.5) == y, weights=w))


def _area_under_roc(y: NDArray[np.int64], p: Floats, w: Floats) -> float:
    false_positive, true_positive, _ = roc_curve(y, p, sample_weight=w)
    return float(auc(false_positive, true_positive))


def _average_precision(y: NDArray[np.int64], p: Floats, w: Floats) -> float:
    return float(average_precision_score(y, p, sample_weight=w))


def _log_loss(y: NDArray[np.int64], p: Floats, w: Floats) -> float:
    return float(log_loss(y, p, sample_weight=w, labels=[0, 1]))


def _brier(y: NDArray[np.int64], p: Floats, w: Floats) -> float:
    return float(np.average((p - y) ** 2, weights=w))


METRICS: dict[str, Metric] = {
    "accuracy": _accuracy,
    "auc": _area_under_roc,
    "eer": equal_error_rate,
    "average_precision": _average_precision,
    "log_loss": _log_loss,
    "brier": _brier,
    "ece": expected_calibration_error,
}
_NEED_BOTH_CLASSES = {"auc", "eer", "average_precision"}


def estimate(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike,
    names: tuple[str, ...] = tuple(METRICS),
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
    y, p = np.asarray(labels, np.int64), np.asarray(scores, np.float64)
    draws = list(_draws(np.asarray(groups), resamples, seed))
    return {name: _estimate(partial(_value, name), y, p, draws) for name in names}


def _draws(groups: NDArray[np.str_], resamples: int, seed: int) -> Iterator[Floats]:
    names, group_of = np.unique(groups, return_inverse=True)
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        times = np.bincount(generator.integers(len(names), size=len(names)), minlength=len(names))
        yield times[group_of].astype(np.float64)


def _value(name: str, y: NDArray[np.int64], p: Floats, w: Floats) -> float | None:
    drawn = w > 0
    if not drawn.any() or (name in _NEED_BOTH_CLASSES and len(np.unique(y[drawn])) < 2):
        return None
    return METRICS[name](y[drawn], p[drawn], w[drawn])


def _estimate(
    metric: Callable[[NDArray[np.int64], Floats, Floats], float | None],
    y: NDArray[np.int64],
    p: Floats,
    draws: list[Floats],
) -> Estimate:
    value = metric(y, p, np.ones_like(p))
    resampled = [found for w in draws if (found := metric(y, p, w)) is not None]
    if value is None or not resampled:
        return Estimate(value=value)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Estimate(value=value, low=float(low), high=float(high))
