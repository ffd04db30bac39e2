"""The costs that the ASVspoof challenges rank speech countermeasures by.

There, a score is high for bona fide speech and is a log-likelihood ratio; ours are probabilities of
fake under equal priors, so that ratio is minus the logit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.calibrate import finite_logits
from training.errors import DataError
from training.evaluation.metrics import Floats, Metric, roc_points

SPOOF_PRIOR = 0.05
COST_MISS, COST_FALSE_ACCEPT = 1.0, 10.0
_TARGET_PRIOR, _NONTARGET_PRIOR = 0.95 * 0.99, 0.95 * 0.01
_BETA = COST_MISS * (1 - SPOOF_PRIOR) / (COST_FALSE_ACCEPT * SPOOF_PRIOR)


def log_likelihood_ratios(scores: ArrayLike) -> Floats:
    """log p(x | bona fide) / p(x | spoof) of probabilities of fake that were calibrated for equal priors."""
    return -finite_logits(scores)


def cllr(y: NDArray[np.int64], p: Floats, w: Floats) -> float:
    """Cost of log-likelihood ratios in bits (Brümmer and du Preez, 2006): 1 for knowing nothing."""
    ratios = log_likelihood_ratios(p)
    bona_fide = np.average(np.logaddexp(0, -ratios[y == 0]), weights=w[y == 0])
    spoofed = np.average(np.logaddexp(0, ratios[y == 1]), weights=w[y == 1])
    return float((bona_fide + spoofed) / (2 * np.log(2)))


def min_dcf(y: NDArray[np.int64], p: Floats, w: Floats) -> float:
    """Normalised detection cost at the best threshold (ASVspoof 5 evaluation plan, track 1)."""
    miss, accept = _error_rates(y, p, w)
    return float(np.min(_BETA * miss + accept) / min(_BETA, 1))


def act_dcf(y: NDArray[np.int64], p: Floats, w: Floats) -> float:
    """The same cost at the threshold that would be best if scores were log-likelihood ratios."""
    accepted = log_likelihood_ratios(p) >= -np.log(_BETA)
    miss = np.average(~accepted[y == 0], weights=w[y == 0])
    accept = np.average(accepted[y == 1], weights=w[y == 1])
    return float((_BETA * miss + accept) / min(_BETA, 1))


@dataclass(frozen=True, slots=True)
class AsvErrors:
    """Error rates of the speaker verification behind the countermeasure, at its own threshold.

    Attributes:
        false_accept: of other speakers.
        miss: of the claimed speaker.
        spoof_miss: spoofed speech that it refuses by itself.
    """

    false_accept: float
    miss: float
    spoof_miss: float


def min_tdcf(errors: AsvErrors) -> Metric:
    """Minimum normalised tandem detection cost, as ASVspoof 2019 ranked by (its evaluation plan, §4.1).

    This is the legacy form; the later one of Kinnunen et al. (TASLP 2020) divides by another default.

    Raises:
        DataError: with this verification system the cost is not defined.
    """
    of_miss = _TARGET_PRIOR * (COST_MISS - COST_MISS * errors.miss)
    of_miss -= _NONTARGET_PRIOR * COST_FALSE_ACCEPT * errors.false_accept
    of_accept = COST_FALSE_ACCEPT * SPOOF_PRIOR * (1 - errors.spoof_miss)
    if min(of_miss, of_accept) <= 0:
        raise DataError("t-DCF is not defined for this ASV system: it gains nothing from a countermeasure")

    def cost(y: NDArray[np.int64], p: Floats, w: Floats) -> float:
        miss, accept = _error_rates(y, p, w)
        return float(np.min(of_miss * miss + of_accept * accept) / min(of_miss, of_accept))

    return cost


def read_asv_errors(file: Path) -> AsvErrors:
    """Error rates at the equal error rate of target and nontarget trials.

    Args:
        file: the organisers' ASV scores: lines that end in `target|nontarget|spoof SCORE`.

    Raises:
        DataError: the file is something else.
    """
    scores: dict[str, list[float]] = {"target": [], "nontarget": [], "spoof": []}
    for key, score in _asv_trials(file):
        scores[key].append(score)
    if not all(scores.values()):
        raise DataError(f"{file} needs target, nontarget and spoof trials")
    target, nontarget, spoof = (np.asarray(scores[key]) for key in scores)
    threshold = _eer_threshold(target, nontarget)
    return AsvErrors(
        false_accept=float(np.mean(nontarget >= threshold)),
        miss=float(np.mean(target < threshold)),
        spoof_miss=float(np.mean(spoof < threshold)),
    )


def _asv_trials(file: Path) -> Iterator[tuple[str, float]]:
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        fields = line.split()
        try:
            key, score = fields[-2], float(fields[-1])
        except (IndexError, ValueError) as error:
            raise DataError(f"{file}, line {number}: not KEY SCORE at its end") from error
        if key not in ("target", "nontarget", "spoof"):
            raise DataError(f"{file}, line {number}: {key!r} is not target, nontarget or spoof")
        yield key, score


def _eer_threshold(target: Floats, nontarget: Floats) -> float:
    """Where misses and false acceptances are as equal as trials allow."""
    candidates = np.unique(np.concatenate([target, nontarget]))
    miss = np.searchsorted(np.sort(target), candidates) / len(target)
    accept = 1 - np.searchsorted(np.sort(nontarget), candidates) / len(nontarget)
    return float(candidates[np.argmin(np.abs(miss - accept))])


def _error_rates(y: NDArray[np.int64], p: Floats, w: Floats) -> tuple[Floats, Floats]:
    """Miss rate of bona fide speech and acceptance rate of spoofed speech at every threshold."""
    refused_bona_fide, refused_spoof = roc_points(y, p, w)
    return refused_bona_fide / refused_bona_fide[-1], 1 - refused_spoof / refused_spoof[-1]


COSTS: dict[str, Metric] = {"cllr": cllr, "min_dcf": min_dcf, "act_dcf": act_dcf}
