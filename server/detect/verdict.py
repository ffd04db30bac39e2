"""From scores to a verdict that can be defended."""

import numpy as np
from numpy.typing import NDArray

from server.detect.request import AUDIO, Evidence, ModalityScore, Options, Reason, Verdict
from server.engine.batch import Scores
from server.engine.manifest import MODALITIES, Thresholds
from server.media.types import MediaKind
from server.media.windows import MIN_SECONDS


def thresholds(own: Thresholds, options: Options) -> Thresholds:
    """The request's single threshold, if it set one, else the model's two."""
    if options.threshold is None:
        return own
    return Thresholds(real=options.threshold, fake=options.threshold)


def judge(evidence: Evidence, limits: Thresholds) -> tuple[Verdict, Reason | None]:
    """The verdict, and the reason if it is INCONCLUSIVE."""
    if not any(_judged(evidence.scores, evidence.weights)):
        return Verdict.INCONCLUSIVE, _why_nothing(evidence)
    probability = evidence.scores.fake_probability
    if probability >= limits.fake:
        return Verdict.FAKE, None
    if probability <= limits.real:
        return Verdict.REAL, None
    return Verdict.INCONCLUSIVE, Reason.BETWEEN_THRESHOLDS


def modality_scores(evidence: Evidence) -> tuple[ModalityScore, ...]:
    """Score, rows and share of each modality that took part."""
    judged = _judged(evidence.scores, evidence.weights)
    shares = [
        weight if taken else 0.0 for weight, taken in zip(evidence.weights.tolist(), judged, strict=True)
    ]
    total = sum(shares) or 1.0
    rows = (
        len(evidence.scores.image_probability),
        len(evidence.scores.clip_probability),
        len(evidence.scores.audio_probability),
    )
    return tuple(
        ModalityScore(
            name,
            float(evidence.scores.modality_probability[column]),
            rows[column],
            shares[column] / total,
        )
        for column, name in enumerate(MODALITIES)
        if judged[column]
    )


def _judged(scores: Scores, weights: NDArray[np.float32]) -> list[bool]:
    # Three elements: plain Python is several times faster than NumPy.
    pairs = zip(scores.modality_present.tolist(), weights.tolist(), strict=True)
    return [present and weight > 0 for present, weight in pairs]


def _why_nothing(evidence: Evidence) -> Reason:
    wanted_audio = evidence.weights[MODALITIES.index(AUDIO)] > 0
    short_sound = all(
        rows.facts.kind is MediaKind.AUDIO and rows.facts.duration_seconds < MIN_SECONDS
        for rows in evidence.media
    )
    return Reason.TOO_SHORT if short_sound and wanted_audio else Reason.NO_EVIDENCE
