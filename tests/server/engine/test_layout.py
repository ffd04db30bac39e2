from pathlib import Path

import pytest

from server.engine import layout
from server.engine.cores import usable_cores
from server.engine.graph_cache import GraphCache
from server.engine.layout import divide_cores
from server.engine.session import Session
from tests.random_rows import assert_same, random_rows


class Measured:
    """Stands for a machine of four cores, on which runs of each number of threads are as fast as it says."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, rates: dict[int, float], alone: dict[int, float]
    ) -> None:
        self.measurements = 0
        self._rates, self._alone = rates, alone
        monkeypatch.setattr(layout, "usable_cores", lambda: 4)
        monkeypatch.setattr(layout, "_runs_per_second", lambda session, _: self._rate(session))
        monkeypatch.setattr(layout, "_seconds_alone", lambda session: self._alone[session.threads])

    def _rate(self, session: Session) -> float:
        self.measurements += 1
        return self._rates[session.threads]


def test_many_runs_at_once_and_all_cores_for_a_lone_one(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    Measured(monkeypatch, {1: 100, 2: 90, 4: 50}, {1: 0.04, 2: 0.02, 4: 0.01})
    found = divide_cores(session)
    assert (found.workers, found.session) == (4, session)
    assert found.lone is not None
    assert found.lone.threads == 4
    rows = random_rows(session.manifest, 1, 1, 1, 1)
    assert_same(found.lone.run([rows])[0], session.run([rows])[0])


def test_runs_that_hardly_compute_get_one_worker(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Measured(monkeypatch, {}, {1: 0.0001})
    found = divide_cores(session)
    assert (found.workers, found.session, found.lone) == (1, session, None)
    assert measured.measurements == 0


def test_more_threads_inside_a_run_where_they_are_faster(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    Measured(monkeypatch, {1: 100, 2: 150, 4: 50}, {1: 0.04, 2: 0.02, 4: 0.03})
    found = divide_cores(session)
    assert (found.workers, found.session.threads) == (2, 2)
    assert found.lone is None


def test_more_threads_that_gain_next_to_nothing_are_not_taken(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = Measured(monkeypatch, {1: 100, 2: 104}, {1: 0.04, 2: 0.039})
    found = divide_cores(session)
    assert (found.workers, found.session, found.lone) == (4, session, None)
    assert measured.measurements == 2


@pytest.mark.parametrize("alone", [{1: 0.04, 2: 0.02, 4: 0.01}, {1: 0.04, 2: 0.02, 4: 0.03}])
def test_the_next_start_remembers(
    graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: dict[int, float]
) -> None:
    measured = Measured(monkeypatch, {1: 100, 2: 100, 4: 100}, alone)
    session = Session(graph, "cpu", 1, GraphCache(tmp_path / "cache"))
    first = divide_cores(session)
    before = measured.measurements
    second = divide_cores(session)
    assert measured.measurements == before > 0
    assert [second.workers, second.session.threads, second.lone and second.lone.threads] == [
        first.workers,
        first.session.threads,
        first.lone and first.lone.threads,
    ]
    # Other cores are divided otherwise.
    divide_cores(session, cores=2)
    assert measured.measurements > before


def test_that_threads_gain_nothing_is_measured_again(
    graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(graph, "cpu", 1, GraphCache(tmp_path / "cache"))
    Measured(monkeypatch, {1: 100, 2: 100}, {1: 0.04, 2: 0.04})
    assert divide_cores(session).lone is None
    Measured(monkeypatch, {1: 100, 2: 100, 4: 100}, {1: 0.04, 2: 0.02, 4: 0.03})
    assert divide_cores(session).lone is not None


def test_another_version_is_divided_like_the_one_that_serves(
    graph: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = Measured(monkeypatch, {1: 100, 2: 90}, {1: 0.04, 2: 0.02})
    serving = divide_cores(session, cores=2)
    before = measured.measurements
    other = divide_cores(Session(graph, "cpu"), like=serving)
    assert measured.measurements == before
    assert (other.workers, other.session.threads) == (2, 1)
    assert other.lone is not None
    assert other.lone.threads == 2


@pytest.mark.parametrize(("workers", "threads", "expected"), [(3, 0, 3), (3, 2, 3), (0, 2, 2), (0, 9, 1)])
def test_nothing_is_measured_where_it_is_told(
    graph: Path, monkeypatch: pytest.MonkeyPatch, workers: int, threads: int, expected: int
) -> None:
    measured = Measured(monkeypatch, {}, {})
    session = Session(graph, "cpu", threads or 1)
    found = divide_cores(session, workers, threads)
    assert (found.workers, found.session, found.lone) == (expected, session, None)
    assert measured.measurements == 0


def test_a_real_measurement_chooses_something_that_works(session: Session) -> None:
    found = divide_cores(session)
    assert found.workers * found.session.threads <= usable_cores()
