from pathlib import Path

import pytest

from benchmarks.engine import in_process
from benchmarks.yardstick.bare import BareSession


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
