import math

import pytest

from benchmarks.report.figures import best, figure, growth, milliseconds, percentile, ratio


def test_a_figure_is_the_median_and_half_of_the_range() -> None:
    assert figure([5.0, 1.0, 2.0]).median == 2.0
    assert figure([5.0, 1.0, 2.0]).half_spread == 2.0
    assert str(figure([100.0, 110.0])) == "105.0 ±5.0"
    assert f"{milliseconds([0.1, 0.2]):.0f}" == "150 ±50"


def test_ratios_are_made_round_by_round() -> None:
    assert ratio([1.0, 20.0], [2.0, 20.0]) == figure([0.5, 1.0])


def test_the_best_is_that_of_the_highest_median() -> None:
    assert best({"steady": [3.0, 3.0, 3.0], "lucky": [1.0, 2.0, 9.0]}) == "steady"


def test_nothing_measured_is_no_figure() -> None:
    with pytest.raises(ValueError, match="nothing"):
        figure([])


def test_percentiles_are_samples_by_nearest_rank() -> None:
    samples = [float(number) for number in range(100, 0, -1)]
    assert percentile(samples, 50) == 50.0
    assert percentile(samples, 99) == 99.0
    assert percentile(samples, 100) == 100.0
    assert percentile([3.0], 1) == 3.0
    assert percentile([1.0, 2.0], 99) == 2.0


def test_a_percentile_of_nothing_is_no_number() -> None:
    assert math.isnan(percentile([], 99))


def test_growth_compares_the_last_fifth_with_the_first() -> None:
    assert growth([100.0, 900.0, 100.0, 100.0, 110.0]) == pytest.approx(0.1)
    assert growth([50.0] * 4 + [80.0] * 20) == pytest.approx(0.6)
    assert growth([7.0]) == 0.0
