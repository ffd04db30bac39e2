"""From scores to a verdict that can be defended."""

from collections.abc import Sequence

from server.detect.request import AUDIO, Evidence, ModalityScore, Options, Reason, Verdict
from server.engine.manifest import MODALITIES, Thresholds
from server.media.types import MediaKind
from server.media.windows import MIN_SECONDS


def thresholds(own: Thresholds, options: Options) -> Thresholds:
    """The request's single threshold, if it set one, else the model's two."""
    if options.threshold is None:
        return own
    return Thresholds(real=options.threshold, fake=options.threshold)


def judge(
    evidence: Evidence, modalities: Sequence[ModalityScore], limits: Thresholds
) -> tuple[Verdict, Reason | None]:
    """The verdict of the modalities that took part, and the reason if it is INCONCLUSIVE."""
    if not modalities:
        return Verdict.INCONCLUSIVE, _why_nothing(evidence)
    probability = evidence.scores.fake_probability
    if probability >= limits.fake:
        return Verdict.FAKE, None
    if probability <= limits.real:
        return Verdict.REAL, None
    return Verdict.INCONCLUSIVE, Reason.BETWEEN_THRESHOLDS


def modality_scores(evidence: Evidence) -> tuple[ModalityScore, ...]:
    """Score, rows and share of each modality that took part."""
    scores = evidence.scores
    # Three elements: plain Python is several times faster than NumPy.
    present, weights = scores.modality_present.tolist(), evidence.weights.tolist()
    shares = [weight if taken else 0.0 for weight, taken in zip(weights, present, strict=True)]
    total = sum(shares)
    rows = len(scores.image_probability), len(scores.clip_probability), len(scores.audio_probability)
    return tuple(
        ModalityScore(name, float(scores.modality_probability[column]), rows[column], share / total)
        for column, (name, share) in enumerate(zip(MODALITIES, shares, strict=True))
        if share > 0
    )


def _why_nothing(evidence: Evidence) -> Reason:
    wanted_audio = evidence.weights[MODALITIES.index(AUDIO)] > 0
    short_sound = all(
        rows.facts.kind is MediaKind.AUDIO and rows.facts.duration_seconds < MIN_SECONDS
        for rows in evidence.media
    )
    return Reason.TOO_SHORT if short_sound and wanted_audio else Reason.NO_EVIDENCE
