import numpy as np
import pytest

from server.detect.forecast import Forecast

ALLOWED = 10.0
SIZE = 1000


@pytest.mark.parametrize("bias", [0.5, 1.0, 2.0, 3.0])
def test_few_of_those_let_in_are_late_and_not_by_waste(bias: float) -> None:
    generator = np.random.default_rng(0)
    forecast = Forecast()
    late, longest = [], []
    for number in range(40_000):
        estimate = generator.uniform(0.5, 10)
        if forecast.seconds(estimate, SIZE) > ALLOWED:
            continue
        took = estimate * bias * generator.lognormal(0, 0.1)
        forecast.learn(estimate, SIZE, took, ALLOWED)
        if number > 10_000:
            late.append(took > ALLOWED)
            longest.append(ALLOWED / forecast.stretch)
    assert np.mean(late) < 0.03
    # What is let in at most, beside the largest estimate of which only few would be late.
    possible = min(ALLOWED / (bias * np.exp(0.1 * 1.88)), ALLOWED / 1.5)
    assert np.mean(longest) > 0.85 * possible


def test_its_own_work_counts_only_behind_others_and_is_not_stretched() -> None:
    forecast = Forecast()
    forecast.learn(0.0, SIZE, took=0.2, allowed=ALLOWED)
    assert forecast.seconds(0.0, SIZE) == 0.0
    assert forecast.seconds(1.0, SIZE) == pytest.approx(forecast.stretch + 0.2)


def test_a_wait_that_decides_nothing_teaches_nothing() -> None:
    forecast = Forecast()
    before = forecast.stretch
    forecast.learn(1.0, SIZE, took=ALLOWED, allowed=ALLOWED)
    forecast.learn(0.0, SIZE, took=ALLOWED, allowed=ALLOWED)
    assert forecast.stretch == before


def test_whatever_happens_some_are_let_in_and_a_margin_stays() -> None:
    forecast = Forecast()
    for _ in range(1_000):
        forecast.learn(5.0, SIZE, took=100.0, allowed=ALLOWED)
    assert forecast.seconds(1.0, SIZE) == 4.0
    for _ in range(100_000):
        forecast.learn(5.0, SIZE, took=0.1, allowed=ALLOWED)
    assert forecast.seconds(1.0, SIZE) == 1.5
