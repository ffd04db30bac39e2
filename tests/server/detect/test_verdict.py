from dataclasses import replace

import numpy as np
import pytest

from server.detect.request import Evidence, Options, Reason, Verdict
from server.detect.verdict import judge, modality_scores, thresholds
from server.engine.batch import Scores
from server.engine.manifest import Thresholds
from server.media.types import MediaFacts, MediaKind, MediaRows

WEIGHTS = np.array([0.4, 0.4, 0.2], np.float32)


def evidence(
    probability: float,
    present: tuple[bool, bool, bool] = (True, False, True),
    kind: MediaKind = MediaKind.VIDEO,
) -> Evidence:
    scores = Scores(
        probability,
        np.array([probability] * 3, np.float32),
        np.array(present),
        np.zeros(3 if present[0] else 0, np.float32),
        np.zeros(2 if present[1] else 0, np.float32),
        np.zeros(4 if present[2] else 0, np.float32),
        np.zeros((0, 1, 1), np.float32),
    )
    return Evidence((MediaRows(MediaFacts(kind)),), scores, WEIGHTS)


def judged(evidence: Evidence, limits: Thresholds) -> tuple[Verdict, Reason | None]:
    return judge(evidence, modality_scores(evidence), limits)


@pytest.mark.parametrize(
    ("probability", "verdict", "reason"),
    [
        (0.0, Verdict.REAL, None),
        (0.3, Verdict.REAL, None),
        (0.5, Verdict.INCONCLUSIVE, Reason.BETWEEN_THRESHOLDS),
        (0.7, Verdict.FAKE, None),
        (1.0, Verdict.FAKE, None),
    ],
)
def test_two_thresholds(probability: float, verdict: Verdict, reason: Reason | None) -> None:
    assert judged(evidence(probability), Thresholds(real=0.3, fake=0.7)) == (verdict, reason)


@pytest.mark.parametrize(
    ("probability", "verdict"), [(0.19, Verdict.REAL), (0.2, Verdict.FAKE), (0.21, Verdict.FAKE)]
)
def test_a_threshold_of_the_request_leaves_no_band(probability: float, verdict: Verdict) -> None:
    limits = thresholds(Thresholds(), Options(threshold=0.2))
    assert judged(evidence(probability), limits) == (verdict, None)


@pytest.mark.parametrize(
    ("kind", "reason"), [(MediaKind.AUDIO, Reason.TOO_SHORT), (MediaKind.IMAGE, Reason.NO_EVIDENCE)]
)
def test_nothing_judged_is_never_a_probability(kind: MediaKind, reason: Reason) -> None:
    nothing = evidence(0.0, (False, False, False), kind)
    assert judged(nothing, Thresholds()) == (Verdict.INCONCLUSIVE, reason)
    assert modality_scores(nothing) == ()


def test_sound_that_is_long_enough_gave_nothing_for_another_reason() -> None:
    silent = replace(
        evidence(0.0, (False, False, False)),
        media=(MediaRows(MediaFacts(MediaKind.AUDIO, duration_seconds=4.0)),),
    )
    assert judged(silent, Thresholds()) == (Verdict.INCONCLUSIVE, Reason.NO_EVIDENCE)


def test_sound_is_not_too_short_where_something_else_was_to_be_judged() -> None:
    nothing = evidence(0.0, (False, False, False), MediaKind.AUDIO)
    unwanted = replace(nothing, weights=np.array([1, 0, 0], np.float32))
    beside_a_picture = replace(nothing, media=(*nothing.media, MediaRows(MediaFacts(MediaKind.IMAGE))))
    for other in (unwanted, beside_a_picture):
        assert judged(other, Thresholds()) == (Verdict.INCONCLUSIVE, Reason.NO_EVIDENCE)


def test_shares_of_absent_modalities_go_to_the_others() -> None:
    image, audio = modality_scores(evidence(0.5))
    assert (image.modality, image.rows, audio.modality, audio.rows) == ("image", 3, "audio", 4)
    assert image.weight == pytest.approx(2 / 3)
    assert audio.weight == pytest.approx(1 / 3)
