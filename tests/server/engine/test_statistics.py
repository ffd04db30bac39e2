import pytest

from server.engine.statistics import Statistics


def test_each_request_of_a_run_waits_by_itself_and_has_the_whole_run() -> None:
    statistics = Statistics()
    statistics.ran(3, waited=0.6, seconds=0.1)
    figures = statistics.figures
    assert figures.scored.count == figures.queued.count == figures.shared.count == 3
    assert figures.queued.seconds == pytest.approx(0.6)
    assert figures.shared.seconds == pytest.approx(3 * 0.1)
    assert figures.scored.seconds == pytest.approx(0.6 + 3 * 0.1)
    assert figures.runs[3].count == 1
    assert figures.runs[3].seconds == pytest.approx(0.1)
