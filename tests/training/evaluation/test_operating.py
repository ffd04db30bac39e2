import numpy as np
import pytest
from scipy.special import expit

from training.evaluation.judged import JudgedFile
from training.evaluation.operating import coverage_curve, operate, threshold_for

LABELS = np.array([0] * 10 + [1] * 5)
SCORES = np.array([*np.arange(10) / 10, 0.35, 0.55, 0.75, 0.85, 0.95])


def _files(labels: np.ndarray, scores: np.ndarray) -> list[JudgedFile]:
    return [
        JudgedFile(
            path=str(number),
            label=1 if label else 0,
            kind="image",
            fake_probability=score,
            verdict="FAKE" if score >= 0.65 else "REAL" if score <= 0.35 else "INCONCLUSIVE",
        )
        for number, (label, score) in enumerate(zip(labels.tolist(), scores.tolist(), strict=True))
    ]


@pytest.mark.parametrize(("rate", "above"), [(0.0, 0), (0.1, 1), (0.15, 1), (0.3, 3), (1.0, 10)])
def test_no_more_real_files_than_allowed_reach_the_threshold(rate: float, above: int) -> None:
    threshold = threshold_for(LABELS, SCORES, rate)
    assert np.sum(SCORES[LABELS == 0] >= threshold) == above


def test_a_rate_that_binary_numbers_miss_allows_what_it_says() -> None:
    scores = np.arange(100) / 100
    assert np.sum(scores >= threshold_for(np.zeros(100, int), scores, 0.29)) == 29


def test_tied_real_files_are_kept_below_together() -> None:
    threshold = threshold_for(np.zeros(4, int), np.array([0.5, 0.5, 0.5, 0.1]), 0.5)
    assert threshold > 0.5


def test_thresholds_are_chosen_on_validation_and_measured_on_the_others() -> None:
    validation = _files(LABELS, SCORES)
    measured = _files(np.array([0, 0, 1, 1]), np.array([0.85, 0.2, 0.83, 0.5]))
    found = operate("image", measured, validation, (0.35, 0.65), rates=(0.1,))
    assert found is not None
    assert found.chosen_on == "validation"
    (point,) = found.points
    # Above the second highest real score of validation, 0.8.
    assert 0.8 < point.threshold < 0.81
    assert (point.false_positive_rate, point.recall) == (0.5, 0.5)
    at_it = _files(np.array([0, 1]), np.full(2, point.threshold))
    found = operate("image", at_it, validation, (0.35, 0.65), rates=(0.1,))
    assert found is not None
    assert (found.points[0].false_positive_rate, found.points[0].recall) == (1, 1)


def test_without_validation_files_it_says_what_the_choice_rests_on() -> None:
    found = operate("image", _files(LABELS, SCORES), [], (0.35, 0.65))
    assert found is not None
    assert found.chosen_on == "measured"
    reals_alone = operate("image", _files(LABELS, SCORES), _files(LABELS[:3], SCORES[:3]), (0.35, 0.65))
    assert reals_alone == found
    assert operate("image", _files(LABELS[:3], SCORES[:3]), [], (0.35, 0.65)) is None


def test_the_band_counts_verdicts_and_errors_among_them() -> None:
    found = operate("image", _files(LABELS, SCORES), [], (0.35, 0.65))
    assert found is not None
    # Reals: 4 REAL (to 0.3), 3 between, 3 FAKE; fakes: 1 REAL (0.35), 1 between, 3 FAKE.
    assert found.band.verdicts == {
        "real": {"FAKE": 3, "INCONCLUSIVE": 3, "REAL": 4},
        "fake": {"FAKE": 3, "INCONCLUSIVE": 1, "REAL": 1},
    }
    assert (found.band.real_threshold, found.band.fake_threshold) == (0.35, 0.65)
    assert found.band.coverage == pytest.approx(11 / 15)
    assert found.band.error == pytest.approx(4 / 11)


def test_the_band_is_that_of_the_thresholds_which_count_themselves() -> None:
    failed = JudgedFile(path="x", label=0, kind="image", error="CORRUPT_MEDIA: no")
    files = [*_files(np.array([0, 0, 1]), np.array([0.55, 0.6, 0.8])), failed]
    found = operate("image", files, [], (0.6, 0.8))
    assert found is not None
    assert (found.band.coverage, found.band.error) == (1, 0)
    assert found.band.verdicts["real"]["FAILED"] == 1


def test_the_most_confident_files_come_first_in_the_coverage_curve() -> None:
    share, error = coverage_curve(np.array([1, 0, 1, 0]), np.array([0.99, 0.1, 0.2, 0.45]))
    assert share.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert error.tolist() == pytest.approx([0, 0, 1 / 3, 1 / 4])
    # One half is called fake.
    assert coverage_curve(np.array([1]), np.array([0.5]))[1].tolist() == [0]


def test_recalibration_mends_scores_that_are_too_sure() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 2000)
    honest = 1.5 * (2 * labels - 1) + random.normal(0, np.sqrt(3), 2000)
    sure = expit(2 * (honest - 1))
    half = len(labels) // 2
    found = operate(
        "image", _files(labels[:half], sure[:half]), _files(labels[half:], sure[half:]), (0.35, 0.65)
    )
    assert found is not None
    assert found.recalibration.temperature == pytest.approx(2, rel=0.15)
    assert found.recalibration.bias == pytest.approx(1, abs=0.3)
    assert found.recalibration.after["ece"] < 0.5 * found.recalibration.before["ece"]
    assert found.recalibration.after["brier"] == pytest.approx(
        np.mean((expit(honest[:half]) - labels[:half]) ** 2), abs=0.005
    )
    # Fitted on validation alone, however well what is measured is calibrated.
    measured, validation = _files(labels[:half], expit(honest[:half])), _files(labels[half:], sure[half:])
    other = operate("image", measured, validation, (0.35, 0.65))
    assert other is not None
    assert other.recalibration.temperature == found.recalibration.temperature


def test_recalibration_on_the_files_that_it_is_measured_on_makes_nothing_worse() -> None:
    random = np.random.default_rng(0)
    labels = (random.random(2000) < 0.9).astype(int)
    ratios = 1.5 * (2 * labels - 1) + random.normal(0, np.sqrt(3), 2000)
    # Calibrated for the share of fakes among these files, not for equal shares.
    found = operate("image", _files(labels, expit(ratios + np.log(9))), [], (0.35, 0.65))
    assert found is not None
    assert found.recalibration.bias == pytest.approx(-np.log(9), abs=0.3)
    before, after = found.recalibration.before, found.recalibration.after
    assert all(after[name] < before[name] for name in before)
    assert after["ece"] < 0.05


def test_a_threshold_keeps_what_it_says_in_the_precision_of_the_server() -> None:
    scores = np.random.default_rng(0).random(100).astype(np.float32).astype(float)
    for rate in np.arange(20) / 20:
        threshold = np.float32(threshold_for(np.zeros(100, int), scores, rate))
        assert np.mean(scores >= threshold) <= rate
