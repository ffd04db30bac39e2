import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.engine import in_process
from benchmarks.yardstick.bare import BareSession
from benchmarks.yardstick.sample import Sample


def test_the_engine_is_measured_beside_bare_sessions_and_its_answers_are_checked(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_process, "LOADS", ((1, 1), (3, 8)))
    measured = in_process.measure(graph, "cpu", rounds=2, seconds=0.2, report=lambda _: None)
    assert measured.wrong == 0
    assert list(measured.engine) == ["1 clients", "3 clients, 8 rows each"]
    for rates in (*measured.bare.values(), *measured.engine.values()):
        assert len(rates) == 2
        # Of both together, as a busy machine may leave one of such short turns without an answer.
        assert sum(rates) > 0
    assert len(in_process.table(measured).rows) == len(measured.bare) + 2


def test_wrong_answers_are_counted(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_process, "LOADS", ((1, 1),))
    monkeypatch.setattr(BareSession, "probabilities", lambda _: [2.0] * in_process.DIFFERENT_ROWS)
    measured = in_process.measure(graph, "cpu", 1, 0.1, lambda _: None)
    assert measured.wrong > 0


def test_rows_that_are_answered_on_the_clock_count(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_process, "LOADS", ((1, 8),))
    monkeypatch.setattr(BareSession, "sample", lambda *_: Sample(1, [1], 1))
    monkeypatch.setattr(in_process, "time", SimpleNamespace(perf_counter=itertools.count().__next__))
    measured = in_process.measure(graph, "cpu", rounds=1, seconds=20, report=lambda _: None)
    # The clock runs from 4 to 24, and answers come at 2, 4, ... 24.
    assert measured.latencies == {"1 clients, 8 rows each": [1] * 10}
    assert measured.engine == {"1 clients, 8 rows each": [8 * 10 / 20]}
