"""From probabilities to decisions: thresholds for a bearable false-positive rate, and when to say nothing."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from training.calibrate import calibrate, finite_logits
from training.evaluation.judged import JudgedFile
from training.evaluation.measure import labels_and_scores
from training.evaluation.metrics import METRICS, Floats

FALSE_POSITIVE_RATES = (0.001, 0.01, 0.05, 0.1)


class OperatingPoint(BaseModel, frozen=True):
    """A threshold at or above which to call files fake, chosen for a false-positive rate, and what it does.

    Attributes:
        wanted: false-positive rate that it was chosen for.
        threshold: the lowest that keeps to it on the files that it was chosen on.
        false_positive_rate, recall: on the measured files.
    """

    wanted: float
    threshold: float
    false_positive_rate: float
    recall: float


class Band(BaseModel, frozen=True):
    """Verdicts at or below one threshold and at or above the other, INCONCLUSIVE between them.

    Attributes:
        coverage: share of files that get a verdict.
        error: share of wrong ones among those; None if there are none.
        verdicts: counts by truth and verdict, files that gave no evidence included.
    """

    real_threshold: float
    fake_threshold: float
    coverage: float
    error: float | None
    verdicts: dict[str, dict[str, int]]


class Recalibration(BaseModel, frozen=True):
    """Temperature and bias of the fused logit, fitted on the files that thresholds were chosen on.

    Attributes:
        before, after: log-loss, Brier score and calibration error on the measured files, where real and
            fake ones weigh the same, as in the fit.
    """

    temperature: float
    bias: float
    before: dict[str, float]
    after: dict[str, float]


class Operation(BaseModel, frozen=True):
    """How to act on the fused probability of one kind of file.

    Attributes:
        chosen_on: "validation" files, or the "measured" ones themselves, which flatters.
    """

    media: str
    chosen_on: str
    points: list[OperatingPoint]
    band: Band
    recalibration: Recalibration


def operate(
    media: str,
    measured: Sequence[JudgedFile],
    validation: Sequence[JudgedFile],
    limits: tuple[float, float],
    rates: Sequence[float] = FALSE_POSITIVE_RATES,
) -> Operation | None:
    """Chooses thresholds on the validation files and measures them; None if the measured files lack a class.

    Args:
        measured, validation: of this kind of media; without both classes in `validation`, the
            choice is made on the measured files.
        limits: the detector's thresholds for REAL and for FAKE.
    """
    labels, scores = labels_and_scores(measured, "fused")
    chosen_on, held = "validation", labels_and_scores(validation, "fused")
    if len(np.unique(held[0])) < 2:
        chosen_on, held = "measured", (labels, scores)
    if len(np.unique(labels)) < 2:
        return None
    return Operation(
        media=media,
        chosen_on=chosen_on,
        points=[_point(rate, threshold_for(*held, rate), labels, scores) for rate in rates],
        band=_band(measured, labels, scores, *limits),
        recalibration=_recalibration(*held, labels, scores),
    )


def threshold_for(labels: NDArray[np.int64], scores: Floats, false_positive_rate: float) -> float:
    """The lowest threshold at or above which no more than this share of the real files lies."""
    reals = np.sort(scores[labels == 0])[::-1]
    allowed = int(np.floor(false_positive_rate * len(reals) + 1e-9))
    if allowed >= len(reals):
        return 0.0
    # In the server's precision: in float64 the next number would be the real file's own again there.
    return float(np.nextafter(np.float32(reals[allowed]), np.float32(2)))


def coverage_curve(labels: NDArray[np.int64], scores: Floats) -> tuple[Floats, Floats]:
    """Error among the most confident files, for every share of files: coverage [N], error [N]."""
    order = np.argsort(-np.abs(scores - 0.5), kind="stable")
    wrong = (scores[order] >= 0.5) != labels[order]
    counts = np.arange(1, len(scores) + 1)
    return counts / len(scores), np.cumsum(wrong) / counts


def _point(wanted: float, threshold: float, labels: NDArray[np.int64], scores: Floats) -> OperatingPoint:
    return OperatingPoint(
        wanted=wanted,
        threshold=threshold,
        false_positive_rate=float(np.mean(scores[labels == 0] >= threshold)),
        recall=float(np.mean(scores[labels == 1] >= threshold)),
    )


def _band(
    files: Sequence[JudgedFile], labels: NDArray[np.int64], scores: Floats, real: float, fake: float
) -> Band:
    decided = (scores <= real) | (scores >= fake)
    wrong = (scores >= fake) != labels
    counts = Counter(("fake" if file.label else "real", file.verdict or "FAILED") for file in files)
    return Band(
        real_threshold=real,
        fake_threshold=fake,
        coverage=float(np.mean(decided)),
        error=float(np.mean(wrong[decided])) if decided.any() else None,
        verdicts={
            truth: {verdict: count for (t, verdict), count in sorted(counts.items()) if t == truth}
            for truth in ("real", "fake")
        },
    )


def _recalibration(
    held_labels: NDArray[np.int64], held_scores: Floats, labels: NDArray[np.int64], scores: Floats
) -> Recalibration:
    fitted = calibrate(finite_logits(held_scores), np.arange(len(held_scores)), held_labels)
    return Recalibration(
        temperature=fitted.temperature,
        bias=fitted.bias,
        before=_calibration_metrics(labels, scores),
        after=_calibration_metrics(labels, fitted.probability(finite_logits(scores))),
    )


def _calibration_metrics(labels: NDArray[np.int64], scores: Floats) -> dict[str, float]:
    # By their counts, what is calibrated for equal shares would look worse than what is not.
    weights = 1 / np.bincount(labels)[labels]
    return {name: METRICS[name](labels, scores, weights) for name in ("log_loss", "brier", "ece")}
