import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from server.engine.batch import Rows, Scores
from server.engine.cost import CostModel
from server.engine.engine import Engine
from server.engine.session import Session
from server.errors import DeadlineExceeded, EngineFailed, ShuttingDown
from tests.random_rows import assert_as_alone, random_rows
from tests.urgencies import soon
from tests.waiting import until

SINGLE_RUNS = CostModel(fixed=1e-6, per_row=(1e-6, 1e-6, 1e-6), full=(1, 1, 1))
"""Of a graph whose rows gain nothing in company."""
SHARED_RUNS = replace(SINGLE_RUNS, full=(math.inf, math.inf, math.inf))
"""Of one whose rows are better run together, which a measurement would not find on every machine."""


class WatchedSession(Session):
    """Counts the requests of each run, can be held, and fails on request."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "cpu")
        self.runs: list[int] = []
        self.may_run = Event()
        self.may_run.set()
        self.poison: Rows | None = None

    def run(self, requests: Sequence[Rows]) -> list[Scores]:
        self.may_run.wait(10)
        self.runs.append(len(requests))
        if any(rows is self.poison for rows in requests):
            raise RuntimeError("poisoned")
        return super().run(requests)


@pytest.fixture
def watched(graph: Path) -> WatchedSession:
    return WatchedSession(graph)


@pytest.fixture
def engine(watched: WatchedSession, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr("server.engine.engine.warm_up", lambda _: SHARED_RUNS)
    engine = Engine(watched, workers=1)
    yield engine
    watched.may_run.set()
    engine.close()


class Clock:
    """Runs ahead by as much as a test says, so that it is not by chance what a short time-out meets."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """That of the engine."""
    clock = Clock()
    monkeypatch.setattr("server.engine.engine.time", clock)
    return clock


def held_back(engine: Engine, watched: WatchedSession) -> "Future[Scores]":
    """Keeps the worker busy with a request of its own, so that what is submitted next forms one batch."""
    watched.may_run.clear()
    held = engine.submit(random_rows(engine.manifest, 99, images=1), soon())
    until(lambda: not engine.waiting)
    return held


def test_one_run_mixes_photo_video_and_sound_and_each_gets_its_own_answer(
    engine: Engine, watched: WatchedSession, session: Session
) -> None:
    photo = random_rows(engine.manifest, 1, images=1)
    video = random_rows(engine.manifest, 2, images=5, clips=2, windows=3)
    sound = random_rows(engine.manifest, 3, windows=4)
    held_back(engine, watched)
    futures = [engine.submit(rows, soon()) for rows in (photo, video, sound)]
    watched.may_run.set()
    answers = [future.result(10) for future in futures]
    assert watched.runs == [1, 3]
    assert_as_alone(answers, (photo, video, sound), session)
    assert len({answer.fake_probability for answer in answers}) == 3


def test_many_callers_each_get_their_own_answer(graph: Path, session: Session) -> None:
    engine = Engine(Session(graph, "cpu"), workers=2, max_batch_size=8)
    counts = [(1, 0, 0), (5, 2, 3), (0, 0, 4), (0, 2, 0), (0, 0, 0)]
    requests = [random_rows(engine.manifest, seed, *counts[seed % 5]) for seed in range(200)]
    with ThreadPoolExecutor(16) as callers:
        answers = list(callers.map(lambda rows: engine.submit(rows, soon()).result(30), requests))
    engine.close()
    assert_as_alone(answers, requests, session)


def test_cancelled_requests_are_never_run(engine: Engine, watched: WatchedSession) -> None:
    held_back(engine, watched)
    futures = [engine.submit(random_rows(engine.manifest, seed, images=1), soon()) for seed in range(3)]
    futures[1].cancel()
    watched.may_run.set()
    assert [future.result(10) for future in (futures[0], futures[2])]
    assert watched.runs == [1, 2]


def test_expired_requests_are_never_run(engine: Engine, watched: WatchedSession) -> None:
    with pytest.raises(DeadlineExceeded):
        engine.submit(random_rows(engine.manifest, 1, images=1), soon(0)).result(10)
    assert watched.runs == []


def test_a_request_that_breaks_the_graph_breaks_no_other(engine: Engine, watched: WatchedSession) -> None:
    requests = [random_rows(engine.manifest, seed, images=1) for seed in range(3)]
    watched.poison = requests[1]
    held_back(engine, watched)
    futures = [engine.submit(rows, soon()) for rows in requests]
    watched.may_run.set()
    with pytest.raises(EngineFailed, match="poisoned"):
        futures[1].result(10)
    assert np.isfinite([futures[0].result(10).fake_probability, futures[2].result(10).fake_probability]).all()


def test_a_run_that_does_not_end_is_the_death_of_the_engine(watched: WatchedSession, clock: Clock) -> None:
    died = Event()
    engine = Engine(watched, workers=1, run_timeout=600.0, on_death=died.set)
    hanging = held_back(engine, watched)
    waiting, cancelled = (
        engine.submit(random_rows(engine.manifest, seed, images=1), soon()) for seed in (1, 2)
    )
    cancelled.cancel()
    clock.ahead = 10_000.0
    with pytest.raises(EngineFailed, match="did not finish"):
        hanging.result(10)
    with pytest.raises(ShuttingDown):
        waiting.result(10)
    assert died.wait(10)
    engine.close()
    watched.may_run.set()


def test_a_run_that_was_estimated_to_take_long_may_take_ten_times_as_long_and_more(
    watched: WatchedSession, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.engine.engine.warm_up", lambda _: replace(SINGLE_RUNS, fixed=100.0))
    monkeypatch.setattr("server.engine.engine._LOOK_SECONDS", 0.01)
    died = Event()
    engine = Engine(watched, workers=1, run_timeout=600.0, on_death=died.set)
    watched.may_run.clear()
    engine.submit(random_rows(engine.manifest, 1, images=1), soon(10_000.0))
    until(lambda: engine.running)
    clock.ahead = 1_500.0
    assert not died.wait(0.2)
    clock.ahead = 1_700.0
    assert died.wait(10)
    engine.close()
    watched.may_run.set()


def test_several_runs_that_do_not_end_are_one_death(watched: WatchedSession, clock: Clock) -> None:
    deaths: list[bool] = []
    engine = Engine(watched, workers=2, run_timeout=600.0, on_death=lambda: deaths.append(True))
    runs = [held_back(engine, watched) for _ in range(2)]
    clock.ahead = 10_000.0
    for hanging in runs:
        with pytest.raises(EngineFailed, match="did not finish"):
            hanging.result(10)
    engine.close()
    assert deaths == [True]
    watched.may_run.set()


def test_no_number_is_an_error_of_its_own_request(engine: Engine, watched: WatchedSession) -> None:
    fine, sick = (random_rows(engine.manifest, seed, windows=1) for seed in (1, 2))
    sick.audio[0, 0] = np.nan
    held_back(engine, watched)
    futures = [engine.submit(rows, soon()) for rows in (fine, sick)]
    watched.may_run.set()
    assert np.isfinite(futures[0].result(10).fake_probability)
    with pytest.raises(EngineFailed, match="no number"):
        futures[1].result(10)


def test_an_engine_that_keeps_failing_reports_its_death_once(watched: WatchedSession) -> None:
    deaths: list[bool] = []
    engine = Engine(watched, workers=1, on_death=lambda: deaths.append(True))
    watched.poison = random_rows(engine.manifest, 1, images=1)
    for _ in range(3):
        with pytest.raises(EngineFailed):
            engine.submit(watched.poison, soon()).result(10)
    with pytest.raises(ShuttingDown):
        engine.submit(random_rows(engine.manifest, 2, images=1), soon()).result(10)
    engine.close()
    assert deaths == [True]


def test_failures_with_a_success_between_them_are_no_death(watched: WatchedSession) -> None:
    engine = Engine(watched, workers=1)
    watched.poison = random_rows(engine.manifest, 1, images=1)
    for seed in range(2, 6):
        with pytest.raises(EngineFailed):
            engine.submit(watched.poison, soon()).result(10)
        engine.submit(random_rows(engine.manifest, seed, images=1), soon()).result(10)
    engine.close()


def test_requests_too_large_for_a_device_are_no_death(
    watched: WatchedSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "share", lambda rows: 1.5)
    engine = Engine(watched, workers=1)
    watched.poison = random_rows(engine.manifest, 1, images=1)
    for _ in range(4):
        with pytest.raises(EngineFailed):
            engine.submit(watched.poison, soon()).result(10)
    engine.close()


def test_a_request_all_of_whose_parts_fail_has_failed_once(watched: WatchedSession) -> None:
    engine = Engine(watched, workers=1)
    watched.poison = random_rows(engine.manifest, 1, windows=1)
    urgency = soon()
    for part in [engine.submit(watched.poison, urgency) for _ in range(4)]:
        with pytest.raises(EngineFailed):
            part.result(10)
    engine.submit(random_rows(engine.manifest, 2, images=1), soon()).result(10)
    engine.close()


def test_closing_finishes_what_was_accepted(engine: Engine, watched: WatchedSession) -> None:
    held_back(engine, watched)
    futures = [engine.submit(random_rows(engine.manifest, seed, windows=1), soon()) for seed in range(5)]
    with ThreadPoolExecutor(1) as closer:
        closing = closer.submit(engine.close)
        watched.may_run.set()
        closing.result(10)
    assert all(future.done() for future in futures)
    with pytest.raises(ShuttingDown):
        engine.submit(random_rows(engine.manifest, 1, images=1), soon())


def test_requests_that_gain_nothing_by_company_are_run_and_answered_one_by_one(
    watched: WatchedSession, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.engine.engine.warm_up", lambda _: SINGLE_RUNS)
    futures: list[Future[Scores]] = []
    done_after_run: list[int] = []
    engine = Engine(
        watched, workers=1, on_batch=lambda _jobs, _: done_after_run.append(sum(f.done() for f in futures))
    )
    held = held_back(engine, watched)
    requests = [random_rows(engine.manifest, seed, images=1) for seed in range(3)]
    futures += [engine.submit(rows, soon()) for rows in requests]
    watched.may_run.set()
    held.result(10)
    assert_as_alone([future.result(10) for future in futures], requests, session)
    engine.close()
    assert watched.runs == [1, 1, 1, 1]
    assert done_after_run == [0, 0, 1, 2]


@pytest.mark.parametrize("workers", [1, 2])
def test_what_runs_delays_a_newcomer_unless_a_worker_is_idle(
    watched: WatchedSession, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr("server.engine.engine.warm_up", lambda _: replace(SINGLE_RUNS, fixed=5.0))
    engine = Engine(watched, workers=workers)
    held = held_back(engine, watched)
    until(lambda: engine.running)
    assert engine.backlog_seconds == pytest.approx(0 if workers > 1 else 5, abs=1)
    watched.may_run.set()
    held.result(10)
    engine.close()


@pytest.mark.parametrize(
    ("provider", "backlog", "seconds"),
    [("CPUExecutionProvider", 50, 100 / 2), ("CUDAExecutionProvider", 50 + 200, 100)],
)
def test_a_newcomer_waits_for_the_worker_that_is_done_first_but_on_a_device_for_all(
    watched: WatchedSession, monkeypatch: pytest.MonkeyPatch, provider: str, backlog: float, seconds: float
) -> None:
    watched.provider = replace(watched.provider, name=provider)
    costs = replace(SINGLE_RUNS, per_row=(50.0, 50.0, 50.0))
    monkeypatch.setattr("server.engine.engine.warm_up", lambda _: costs)
    engine = Engine(watched, workers=2)
    watched.may_run.clear()
    held = []
    for images in (1, 4):
        held.append(engine.submit(random_rows(engine.manifest, images, images=images), soon(1000)))
        until(lambda: engine.running == len(held))
    assert engine.backlog_seconds == pytest.approx(backlog, abs=20)
    waiting = engine.submit(random_rows(engine.manifest, 9, images=2), soon(1000))
    assert engine.backlog_seconds == pytest.approx(backlog + seconds, abs=20)
    assert engine.seconds((2, 0, 0)) == seconds
    watched.may_run.set()
    for future in (*held, waiting):
        future.result(10)
    engine.close()


def test_a_request_that_is_alone_is_run_by_all_cores(watched: WatchedSession, graph: Path) -> None:
    lone = WatchedSession(graph)
    engine = Engine(watched, workers=2, lone=lone)
    watched.runs.clear()
    first, second = (random_rows(engine.manifest, seed, images=1) for seed in (1, 2))
    lone.may_run.clear()
    alone = engine.submit(first, soon())
    until(lambda: engine.running)
    # The lone one still runs, so this one is not alone.
    engine.submit(second, soon()).result(10)
    assert (lone.runs, watched.runs) == ([], [1])
    # What all cores need says nothing of a run on one.
    seconds = engine.seconds((1, 0, 0))
    lone.may_run.set()
    alone.result(10)
    assert (lone.runs, watched.runs) == ([1], [1])
    assert engine.seconds((1, 0, 0)) == seconds
    engine.close()


def test_who_is_alone_by_chance_gets_one_core_like_the_others(
    watched: WatchedSession, graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = replace(SINGLE_RUNS, per_row=(0.1, 0.1, 0.1))
    monkeypatch.setattr("server.engine.engine.warm_up", lambda _: costs)
    lone = WatchedSession(graph)
    engine = Engine(watched, workers=2, lone=lone)
    rows = random_rows(engine.manifest, 1, images=1)

    def two_at_once() -> None:
        for session in (watched, lone):
            session.may_run.clear()
        futures = [engine.submit(rows, soon()) for _ in range(2)]
        until(lambda: engine.running == 2)
        for session in (watched, lone):
            session.may_run.set()
        for future in futures:
            future.result(10)
        until(lambda: not engine.running)

    def one_alone() -> bool:
        """Whether all cores ran it."""
        before = len(lone.runs)
        engine.submit(rows, soon()).result(10)
        until(lambda: not engine.running)
        return len(lone.runs) > before

    assert one_alone()
    for _ in range(20):
        two_at_once()
    assert not one_alone()
    assert [one_alone() for _ in range(40)][-1]
    engine.close()
