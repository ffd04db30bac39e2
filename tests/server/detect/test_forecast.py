import numpy as np
import pytest

from server.detect.forecast import Forecast

ALLOWED = 10.0


@pytest.mark.parametrize("bias", [0.5, 1.0, 2.0, 3.0])
def test_nearly_all_requests_are_answered_as_forecast_and_not_by_waste(bias: float) -> None:
    generator = np.random.default_rng(0)
    forecast = Forecast()
    late, stretches = [], []
    for _ in range(20_000):
        estimate = generator.uniform(2.5, 10)
        took = estimate * bias * generator.lognormal(0, 0.1)
        late.append(took > forecast.seconds(estimate))
        stretches.append(forecast.stretch)
        forecast.learn(estimate, took, ALLOWED)
    assert np.mean(late[5_000:]) < 0.01
    needed = max(1.5, bias * np.exp(0.1 * 2.576))
    assert np.mean(stretches[5_000:]) < 1.15 * needed


def test_its_own_work_counts_only_behind_others() -> None:
    forecast = Forecast()
    forecast.learn(0.0, took=0.2, allowed=ALLOWED)
    assert forecast.seconds(0.0) == 0.0
    assert forecast.seconds(1.0) == pytest.approx(1.2 * forecast.stretch)


def test_a_wait_that_decides_nothing_teaches_nothing() -> None:
    forecast = Forecast()
    before = forecast.stretch
    forecast.learn(1.0, took=9.0, allowed=ALLOWED)
    forecast.learn(0.0, took=ALLOWED, allowed=ALLOWED)
    assert forecast.stretch == before


def test_whatever_happens_some_are_let_in_and_a_margin_stays() -> None:
    forecast = Forecast()
    for _ in range(1_000):
        forecast.learn(5.0, took=100.0, allowed=ALLOWED)
    assert forecast.seconds(1.0) == 4.0
    for _ in range(100_000):
        forecast.learn(5.0, took=0.1, allowed=ALLOWED)
    assert forecast.seconds(1.0) == 1.5
