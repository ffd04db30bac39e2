import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from training.calibrate import Calibration, calibrate, finite_logits


def _one_row_each(count: int) -> NDArray[np.int64]:
    return np.arange(count)


@pytest.mark.parametrize(("temperature", "bias"), [(2.5, 0.0), (0.4, 0.3), (8.0, -0.5)])
def test_a_known_temperature_and_bias_are_recovered(temperature: float, bias: float) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2 * temperature, 40_000)
    labels = (random.random(40_000) < expit(logits / temperature + bias)).astype(int)
    # Classes that differ in size are weighed alike, which shifts the bias by the log of their ratio.
    prior = np.log(labels.mean() / (1 - labels.mean()))
    found = calibrate(logits, _one_row_each(40_000), labels)
    assert found.temperature == pytest.approx(temperature, rel=0.05)
    assert found.bias == pytest.approx(bias - prior, abs=0.05)


def test_the_class_balance_does_not_move_the_point_of_indifference() -> None:
    random = np.random.default_rng(1)
    labels = (random.random(20_000) < 0.1).astype(int)
    logits = 3.0 * (labels - 0.5) + random.normal(0, 1.5, 20_000)
    found = calibrate(logits, _one_row_each(20_000), labels)
    assert found.probability(np.zeros(1)) == pytest.approx(0.5, abs=0.05)


def test_logits_without_error_do_not_give_certainty() -> None:
    logits = np.array([-9.0, -8.0, -7.0, 7.0, 8.0, 9.0])
    found = calibrate(logits, _one_row_each(6), np.array([0, 0, 0, 1, 1, 1]))
    assert found.probability(logits).max() < 0.95
    assert found.probability(logits).min() > 0.05


def test_aggregation_of_hand_worked_files() -> None:
    logits, starts = np.array([1.0, 3.0, -2.0]), np.array([0, 2])
    assert Calibration().aggregate(logits, starts) == pytest.approx([2.0, -2.0])
    sharp = Calibration(aggregation="log_mean_exp", sharpness=2.0).aggregate(logits, starts)
    assert sharp == pytest.approx([np.log((np.exp(2) + np.exp(6)) / 2) / 2, -2.0])


def test_certainty_is_as_far_as_single_precision_reaches() -> None:
    assert expit(finite_logits([0.0, 0.3, 1.0])) == pytest.approx([1e-7, 0.3, 1 - 1e-7], rel=1e-6)


def test_huge_logits_do_not_overflow() -> None:
    sharp = Calibration(aggregation="log_mean_exp", sharpness=4.0)
    assert sharp.aggregate(np.array([500.0, -500.0]), np.array([0])) == pytest.approx(
        [500 - np.log(2) / 4], rel=1e-6
    )


def _files(
    forged_rows: int, seed: int = 2
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """300 files of 5 rows; in the fakes so many rows stand out."""
    random = np.random.default_rng(seed)
    labels = np.tile([0, 1], 150)
    logits = random.normal(-2, 1, (300, 5))
    logits[labels == 1, :forged_rows] += 5
    return logits.ravel(), np.arange(0, 1500, 5), labels


def test_few_forged_rows_call_for_a_rule_near_the_maximum() -> None:
    found = calibrate(*_files(forged_rows=1))
    assert found.aggregation == "log_mean_exp"
    assert found.sharpness >= 1


def test_rows_that_agree_call_for_the_mean() -> None:
    random = np.random.default_rng(3)
    labels = (random.random(3000) < 0.5).astype(int)
    # Symmetric noise on every row: their mean is all that there is to know.
    logits = 0.5 * (labels * 2 - 1)[:, None] + random.normal(0, 2, (3000, 5))
    assert calibrate(logits.ravel(), np.arange(0, 15_000, 5), labels).aggregation == "mean"
