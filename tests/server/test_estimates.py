import pytest

from server.estimates import BySize

PHOTO, VIDEO = 400_000, 20_000_000


def test_each_size_has_a_mean_of_its_own_in_which_the_latest_count_most() -> None:
    costs = BySize()
    costs.learn(PHOTO, 1.0)
    costs.learn(VIDEO, 50.0)
    costs.learn(PHOTO, 2.0)
    assert costs.of(PHOTO) == pytest.approx(1.1)
    assert costs.of(VIDEO) == 50.0


def test_an_unknown_size_is_taken_for_the_nearest_known_one() -> None:
    costs = BySize()
    assert costs.of(PHOTO) == 0.0
    costs.learn(PHOTO, 1.0)
    costs.learn(VIDEO, 50.0)
    assert costs.of(0) == 1.0
    assert costs.of(2**80) == 50.0
