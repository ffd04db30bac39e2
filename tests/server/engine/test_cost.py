import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine import cost
from server.engine.batch import Counts, Rows, Scores, blank_rows, empty_rows
from server.engine.cost import CostModel, Triple
from server.engine.session import Session
from tests.tiny_graph import tiny_detector

SECONDS = st.floats(1e-5, 1.0)
COUNTS = st.tuples(st.integers(0, 8), st.integers(0, 4), st.integers(0, 8)).filter(any)


class ClockedSession(Session):
    """A session whose runs take what `seconds` says, by a clock of its own."""

    def __init__(self, path: Path, seconds: Callable[[int], float], monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(path, "cpu")
        self.rows = 0
        self._seconds = seconds
        self._now = 0.0
        monkeypatch.setattr("server.engine.cost.time.perf_counter", lambda: self._now)

    def run(self, requests: Sequence[Rows]) -> list[Scores]:
        rows = sum(sum(rows.counts) for rows in requests)
        self.rows += rows
        self._now += self._seconds(rows)
        return super().run(requests)


def test_rows_that_gain_nothing_in_company_are_run_one_by_one(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = ClockedSession(graph, lambda rows: 0.0001 + 0.01 * rows, monkeypatch)
    costs = cost.warm_up(session)
    assert costs.fixed == pytest.approx(0.0001)
    assert costs.per_row == pytest.approx((0.01, 0.01, 0.01))
    assert list(costs.full) == [1, 1, 1]
    rows = blank_rows(session.manifest, 2, 2, 2)
    assert costs.seconds(rows.counts) == pytest.approx(0.06)
    assert costs.share(rows) == 6


def test_a_fixed_cost_is_shared_until_rows_weigh_more(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = ClockedSession(graph, lambda rows: 0.01 + 0.01 * rows, monkeypatch)
    costs = cost.warm_up(session)
    assert costs.fixed == pytest.approx(0.01)
    # 16 rows have 1.07 times the rows a second of 8; 32 have only 1.03 times those of 16.
    assert list(costs.full) == [16, 16, 16]


def test_a_run_costs_something_where_each_row_is_dearer_than_the_one_before(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = ClockedSession(graph, lambda rows: 0.001 + 0.01 * rows**2, monkeypatch)
    assert cost.warm_up(session).fixed == pytest.approx(0.001)


def test_rows_that_always_gain_fill_no_run(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = ClockedSession(graph, lambda _: 0.01, monkeypatch)
    costs = cost.warm_up(session)
    assert list(costs.full) == [math.inf] * 3
    assert costs.share(blank_rows(session.manifest, 9, 9, 9)) == 0
    assert min(costs.per_row) > 0


def test_slow_rows_are_measured_with_few_runs(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = ClockedSession(graph, lambda rows: 0.1 * rows, monkeypatch)
    cost.warm_up(session)
    assert session.rows <= 3 + 3 * 6


def estimate(costs: CostModel, counts: Counts) -> float:
    return costs.fixed + sum(count * each for count, each in zip(counts, costs.per_row, strict=True))


@given(SECONDS, st.tuples(SECONDS, SECONDS, SECONDS), COUNTS, st.floats(0.1, 10))
def test_a_wrong_estimate_is_mended_by_what_runs_take(
    fixed: float, per_row: Triple, counts: Counts, wrong: float
) -> None:
    costs = CostModel(fixed, per_row, (1, 1, 1))
    true = wrong * estimate(costs, counts)
    for _ in range(300):
        costs = costs.corrected(counts, true)
    assert estimate(costs, counts) == pytest.approx(true, rel=0.05)


def test_each_kind_of_row_is_mended_by_the_runs_that_hold_it() -> None:
    costs = CostModel(0.0001, (0.03, 0.002, 0.003), (1, 1, 1))
    for _ in range(300):
        costs = costs.corrected((1, 0, 0), 0.01).corrected((0, 2, 0), 0.04)
    assert costs.per_row == pytest.approx((0.01, 0.02, 0.003), rel=0.05)


@given(SECONDS, st.tuples(SECONDS, SECONDS, SECONDS), COUNTS, st.floats(0, 1e6))
def test_one_odd_run_moves_the_estimate_little(
    fixed: float, per_row: Triple, counts: Counts, seconds: float
) -> None:
    before = CostModel(fixed, per_row, (1, 1, 1))
    after = before.corrected(counts, seconds)
    for old, new in zip((fixed, *per_row), (after.fixed, *after.per_row), strict=True):
        assert 0.9 * old <= new <= 1.1 * old


def test_a_branch_that_is_not_there_costs_nothing(tmp_path: Path) -> None:
    session = Session(tiny_detector(tmp_path, modalities=("audio",)), "cpu")
    costs = cost.warm_up(session)
    assert costs.per_row[:2] == (0, 0)
    assert costs.seconds(empty_rows(session.manifest).counts) == 0
