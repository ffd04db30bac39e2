"""From row logits to a file's probability: the aggregation rule and the temperature, chosen on validation."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel
from scipy.optimize import minimize
from scipy.special import expit, logit

Floats = NDArray[np.float64]

SHARPNESS_GRID = (0.25, 0.5, 1.0, 2.0, 4.0)
_LOG_TEMPERATURE_BOUNDS = (np.log(0.05), np.log(50.0))
_BIAS_BOUNDS = (-10.0, 10.0)
# As far from 0 and 1 as single precision can tell probabilities from them.
_FARTHEST = 1e-7


class Calibration(BaseModel, frozen=True):
    """What the exported graph does to one modality's logits; fields as in `server.engine.manifest.Branch`."""

    temperature: float = 1.0
    bias: float = 0.0
    aggregation: Literal["mean", "log_mean_exp"] = "mean"
    sharpness: float = 1.0

    def probability(self, logits: NDArray[np.floating]) -> Floats:
        """Calibrated P(fake) of row or file logits."""
        return np.asarray(expit(logits.astype(np.float64) / self.temperature + self.bias))

    def aggregate(self, logits: NDArray[np.floating], starts: NDArray[np.int64]) -> Floats:
        """One logit per file.

        Args:
            logits: [N], rows of a file side by side.
            starts: [F], where each file's rows begin, ascending from 0.
        """
        rows = logits.astype(np.float64)
        counts = np.diff(np.append(starts, len(rows)))
        if self.aggregation == "mean":
            return np.asarray(np.add.reduceat(rows, starts) / counts)
        total = np.logaddexp.reduceat(self.sharpness * rows, starts)
        return np.asarray((total - np.log(counts)) / self.sharpness)


def finite_logits(probabilities: ArrayLike) -> Floats:
    """The logits of probabilities, of 0 and 1 too."""
    return np.asarray(logit(np.clip(np.asarray(probabilities, np.float64), _FARTHEST, 1 - _FARTHEST)))


def calibrate(
    logits: NDArray[np.floating], starts: NDArray[np.int64], labels: NDArray[np.integer]
) -> Calibration:
    """The aggregation rule, temperature and bias with the lowest file-level log-loss.

    Both classes weigh the same whatever their counts, so that 0.5 stays the point of
    indifference; targets are smoothed as in Platt (1999), so that a validation set which
    is separated without error does not give infinite confidence.

    Args:
        logits: [N] row logits, rows of a file side by side.
        starts: [F], where each file's rows begin.
        labels: [F], 0 real or 1 fake; both must occur.
    """
    rules = [Calibration()] + [
        Calibration(aggregation="log_mean_exp", sharpness=sharpness) for sharpness in SHARPNESS_GRID
    ]
    candidates = [_fit_temperature(rule, rule.aggregate(logits, starts), labels) for rule in rules]
    # min keeps the first of equals: the mean, unless another rule is really better.
    return min(candidates, key=lambda candidate: candidate[0])[1]


def _fit_temperature(
    rule: Calibration, logits: Floats, labels: NDArray[np.integer]
) -> tuple[float, Calibration]:
    fakes, reals = int((labels == 1).sum()), int((labels == 0).sum())
    targets = np.where(labels == 1, (fakes + 1) / (fakes + 2), 1 / (reals + 2))
    weights = np.where(labels == 1, 0.5 / fakes, 0.5 / reals)
    # Starting near unit spread keeps the optimiser out of the flat ends of the sigmoid.
    scale = max(float(logits.std()), 1e-6)

    def loss(parameters: Floats) -> float:
        scaled = logits / scale / np.exp(parameters[0]) + parameters[1]
        return float(np.sum(weights * (np.logaddexp(0, scaled) - targets * scaled)))

    shift = float(np.log(scale))
    bounds = [tuple(bound - shift for bound in _LOG_TEMPERATURE_BOUNDS), _BIAS_BOUNDS]
    found = minimize(loss, np.zeros(2), method="L-BFGS-B", bounds=bounds)
    temperature = float(scale * np.exp(found.x[0]))
    return float(found.fun), rule.model_copy(
        update={"temperature": round(temperature, 6), "bias": round(float(found.x[1]), 6)}
    )
