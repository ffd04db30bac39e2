from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from server.engine import cost
from server.engine.batch import Rows, Scores, one_row_each
from server.engine.session import Session


class ClockedSession(Session):
    """A session whose runs take what `seconds` says, by a clock of its own."""

    def __init__(self, path: Path, seconds: Callable[[int], float], monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(path, "cpu")
        self._seconds = seconds
        self._now = 0.0
        monkeypatch.setattr("server.engine.cost.time.perf_counter", lambda: self._now)

    def run(self, requests: Sequence[Rows]) -> list[Scores]:
        self._now += self._seconds(sum(sum(rows.counts) for rows in requests))
        return super().run(requests)


def test_rows_that_cost_the_same_in_company_are_batched_only_to_hide_the_fixed_cost(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = ClockedSession(graph, lambda rows: 0.001 + 0.01 * rows, monkeypatch)
    costs = cost.warm_up(session)
    assert costs.fixed == pytest.approx(0.001)
    assert costs.per_row == pytest.approx((0.01, 0.01, 0.01))
    assert not costs.batching_pays
    assert costs.run_seconds == pytest.approx(0.05)
    assert costs.seconds(one_row_each(session.manifest, 2)) == pytest.approx(0.001 + 6 * 0.01)


def test_rows_that_are_cheaper_in_company_are_batched_without_such_a_limit(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = ClockedSession(graph, lambda rows: 0.001 + (0.01 if rows else 0) + 0.002 * rows, monkeypatch)
    costs = cost.warm_up(session)
    assert costs.batching_pays
    assert costs.run_seconds == float("inf")


def test_no_row_is_believed_to_be_free(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = cost.warm_up(ClockedSession(graph, lambda rows: 0.01, monkeypatch))
    assert min(costs.per_row) > 0
