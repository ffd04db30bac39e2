import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest

from server.detect.admission import Admission
from server.detect.request import Stage
from server.errors import DeadlineExceeded, Overloaded
from server.urgency import Priority, Urgency


class Clock:
    """Goes on only while a test sleeps by it, so that no busy machine makes anybody late."""

    def __init__(self) -> None:
        self._now = 1000.0

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


CLOCK = Clock()
MOST_URGENT: Urgency = (Priority.INTERACTIVE, 0.0)


def stage(seconds: float, urgency: Urgency = MOST_URGENT) -> Any:
    """Where work of that urgency waits."""
    return SimpleNamespace(
        backlog_seconds=seconds, seconds_before=lambda than: seconds if urgency <= than else 0.0
    )


IDLE = stage(0.0)


@pytest.fixture(autouse=True)
def _by_this_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("server.detect.admission", "server.urgency"):
        monkeypatch.setattr(f"{module}.time", CLOCK)


def admission(engine: Any, decoders: Any = IDLE, fetching: Any = IDLE) -> Admission:
    return Admission(cast("Any", SimpleNamespace(current=engine)), decoders, fetching, cast("Any", None), 10)


def soon(seconds: float = 10.0) -> Urgency:
    return Priority.NORMAL, CLOCK.monotonic() + seconds


def ask(admission: Admission, seconds: float, error: Exception | None = None) -> None:
    with admission.accepted(soon(seconds)):
        if error:
            raise error


def test_a_margin_is_kept_to_the_deadline() -> None:
    busy = admission(stage(8.0))
    with pytest.raises(Overloaded):
        ask(busy, seconds=10.0)
    ask(busy, seconds=20.0)
    assert busy.in_flight == 0


def test_the_work_of_all_stages_goes_first() -> None:
    busy = admission(stage(2.0), stage(6.0))
    with pytest.raises(Overloaded, match=r"8\.0 s") as refused:
        ask(busy, seconds=10.0)
    assert refused.value.retry_after == 8.0
    ask(busy, seconds=20.0)


def test_only_who_has_to_be_fetched_waits_for_others_that_are_being_fetched() -> None:
    busy = admission(IDLE, fetching=stage(8.0))
    with pytest.raises(Overloaded, match=r"8\.0 s"), busy.accepted(soon(10), first=Stage.FETCH):
        pass
    ask(busy, seconds=10.0)


def test_rows_that_are_there_do_not_wait_for_decoders() -> None:
    busy = admission(stage(2.0), stage(6.0))
    with busy.accepted(soon(10), first=Stage.ENGINE):
        pass
    with pytest.raises(Overloaded):
        ask(busy, seconds=10.0)


@pytest.mark.parametrize("least", [0, 1, 2])
def test_the_least_urgent_gives_way_wherever_it_waits(least: int) -> None:
    dropped: list[int] = []

    def place(number: int) -> Any:
        urgency = (Priority.BATCH if number == least else Priority.NORMAL, CLOCK.monotonic() + 60.0)

        def drop(than: Urgency, error: Overloaded) -> bool:
            dropped.append(number)
            return error.retry_after > 0

        return SimpleNamespace(**vars(IDLE), least_urgent=lambda: urgency, drop=drop)

    engine, decoders, verdicts = map(place, range(3))
    nobody: Any = SimpleNamespace(**vars(IDLE), least_urgent=lambda: None)
    full = Admission(cast("Any", SimpleNamespace(current=engine)), decoders, nobody, verdicts, 0)
    with full.accepted((Priority.INTERACTIVE, CLOCK.monotonic() + 10.0)):
        assert dropped == [least]


def test_who_comes_with_about_the_same_deadline_makes_nobody_late() -> None:
    urgency = soon(10.0)
    busy = admission(stage(8.0, urgency))
    with pytest.raises(Overloaded):
        ask(busy, seconds=9.9)
    ask(busy, seconds=5.0)
    with busy.accepted((Priority.INTERACTIVE, urgency[1])):
        pass


@pytest.mark.parametrize(
    ("slow", "quick"),
    [
        ({"size": 20_000_000}, {"size": 400_000}),
        ({"first": Stage.DECODE}, {"first": Stage.ENGINE}),
    ],
)
def test_how_long_others_take_tells_nothing_of_those_that_are_unlike_them(
    slow: dict[str, Any], quick: dict[str, Any]
) -> None:
    engine = stage(0.0)
    server = admission(engine)
    for kind, seconds in ((quick, 0.01), (slow, 1.0)):
        with server.accepted(soon(), **kind):
            CLOCK.sleep(seconds)
    engine.backlog_seconds, engine.seconds_before = 0.001, lambda _: 0.001
    with pytest.raises(Overloaded), server.accepted(soon(0.9), **slow):
        pass
    with server.accepted(soon(0.9), **quick):
        pass


@pytest.mark.parametrize("late", [False, True])
def test_a_host_that_answers_slowly_tells_nothing_of_others(late: bool) -> None:
    engine = stage(0.0)
    server = admission(engine)
    for _ in range(20):
        with suppress(DeadlineExceeded), server.accepted(soon(60.0), first=Stage.FETCH):
            CLOCK.sleep(50.0)
            if late:
                raise DeadlineExceeded("too late")
    engine.backlog_seconds, engine.seconds_before = 0.001, lambda _: 0.001
    with server.accepted(soon(1.0), first=Stage.FETCH):
        pass


def test_a_late_request_makes_the_margin_wider() -> None:
    busy = admission(stage(6.0))
    with pytest.raises(DeadlineExceeded):
        ask(busy, seconds=9.1, error=DeadlineExceeded("too late"))
    with pytest.raises(Overloaded):
        ask(busy, seconds=9.1)


def test_who_comes_too_late_changes_no_estimate() -> None:
    busy = admission(stage(6.0))
    for _ in range(100):
        with pytest.raises(DeadlineExceeded):
            ask(busy, seconds=-1.0)
    ask(busy, seconds=9.1)
    assert busy.in_flight == 0


def test_who_has_little_time_tells_only_that_it_takes_longer() -> None:
    idle = admission(IDLE)
    with idle.accepted(soon()):
        CLOCK.sleep(1.0)
    before = idle.forecasts[Stage.DECODE].alone.of(0)
    for _ in range(100):
        with pytest.raises(DeadlineExceeded):
            ask(idle, seconds=0.001, error=DeadlineExceeded("too late"))
    assert idle.forecasts[Stage.DECODE].alone.of(0) >= before


def test_who_finds_nothing_before_it_is_let_in_however_little_time_it_has() -> None:
    idle = admission(IDLE)
    idle.forecasts[Stage.DECODE].learn(0.0, 0, took=60.0, allowed=100.0)
    ask(idle, seconds=1.0)


def given_up(busy: Admission, seconds: float, after: float) -> None:
    """A call that gRPC cancels, as it does at the deadline and when its caller is gone."""
    with suppress(asyncio.CancelledError), busy.accepted(soon(seconds)):
        CLOCK.sleep(after)
        raise asyncio.CancelledError


def test_a_call_that_grpc_ended_at_its_deadline_was_late() -> None:
    busy = admission(stage(0.02))
    before = busy.forecasts[Stage.DECODE].seconds(1.0, 0)
    with suppress(Overloaded):
        for _ in range(20):
            given_up(busy, seconds=0.05, after=0.05)
    assert busy.forecasts[Stage.DECODE].seconds(1.0, 0) > before


def test_a_call_that_its_caller_gave_up_tells_nothing() -> None:
    busy = admission(stage(0.02))
    before = busy.forecasts[Stage.DECODE].seconds(1.0, 0)
    given_up(busy, seconds=60, after=0)
    assert busy.forecasts[Stage.DECODE].seconds(1.0, 0) == before
