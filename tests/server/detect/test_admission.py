import asyncio
import time
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest

from server.detect.admission import Admission
from server.detect.request import Stage
from server.errors import DeadlineExceeded, Overloaded
from server.urgency import Priority


def admission(wait: float, media: int = 0, fetching: float = 0.0) -> Admission:
    """In front of an engine that has `wait` seconds to do, and decoders that have so many media.

    Each of these keeps the others back for 2 seconds there, and for 1 in the engine. Those that fetch
    media have `fetching` seconds to do.
    """
    engine = SimpleNamespace(backlog_seconds=wait, seconds_before=lambda _: wait, seconds_each=1.0)
    decoders = SimpleNamespace(unfinished=media, unfinished_before=lambda _: media, seconds_each=2.0)
    fetchers = SimpleNamespace(backlog_seconds=fetching, seconds_before=lambda _: fetching)
    live = cast("Any", SimpleNamespace(current=engine))
    return Admission(live, cast("Any", decoders), cast("Any", fetchers), 10)


def ask(admission: Admission, seconds: float, error: Exception | None = None) -> None:
    with admission.accepted((Priority.NORMAL, time.monotonic() + seconds)):
        if error:
            raise error


def test_a_margin_is_kept_to_the_deadline() -> None:
    busy = admission(wait=8.0)
    with pytest.raises(Overloaded):
        ask(busy, seconds=10.0)
    ask(busy, seconds=20.0)
    assert busy.in_flight == 0


def test_media_that_are_being_decoded_come_to_the_engine_first() -> None:
    busy = admission(wait=2.0, media=2)
    with pytest.raises(Overloaded, match=r"8\.0 s"):
        ask(busy, seconds=10.0)
    ask(busy, seconds=20.0)


def test_only_who_has_to_be_fetched_waits_for_others_that_are_being_fetched() -> None:
    busy = admission(wait=0.0, fetching=8.0)
    soon = Priority.NORMAL, time.monotonic() + 10
    with pytest.raises(Overloaded, match=r"8\.0 s"), busy.accepted(soon, Stage.FETCH):
        pass
    with busy.accepted(soon):
        pass


def test_who_comes_with_about_the_same_deadline_makes_nobody_late() -> None:
    now = time.monotonic()
    before = Priority.NORMAL, now + 10.0
    engine = SimpleNamespace(
        backlog_seconds=8.0, seconds_before=lambda than: 8.0 if before <= than else 0.0, seconds_each=1.0
    )
    idle = SimpleNamespace(unfinished=0, unfinished_before=lambda _: 0, seconds_each=2.0)
    unused = SimpleNamespace(backlog_seconds=0.0, seconds_before=lambda _: 0.0)
    live = cast("Any", SimpleNamespace(current=engine))
    busy = Admission(live, cast("Any", idle), cast("Any", unused), 10)
    with pytest.raises(Overloaded), busy.accepted((Priority.NORMAL, now + 9.9)):
        pass
    with busy.accepted((Priority.NORMAL, now + 5.0)):
        pass
    with busy.accepted((Priority.INTERACTIVE, now + 10.1)):
        pass


def test_rows_that_are_there_do_not_wait_for_decoders() -> None:
    busy = admission(wait=2.0, media=2)
    soon = Priority.NORMAL, time.monotonic() + 10
    with busy.accepted(soon, Stage.ENGINE):
        pass
    with pytest.raises(Overloaded), busy.accepted(soon, Stage.DECODE):
        pass


def test_how_long_fetching_takes_says_nothing_of_what_comes_with_its_request() -> None:
    idle = admission(wait=0.0)
    with idle.accepted((Priority.NORMAL, time.monotonic() + 10), Stage.FETCH):
        time.sleep(0.05)
    assert idle.forecasts[Stage.FETCH].alone > 0
    assert idle.forecasts[Stage.DECODE].alone == 0


def test_a_late_request_makes_the_margin_wider() -> None:
    busy = admission(wait=6.0)
    with pytest.raises(DeadlineExceeded):
        ask(busy, seconds=9.1, error=DeadlineExceeded("too late"))
    with pytest.raises(Overloaded):
        ask(busy, seconds=9.1)


def test_who_comes_too_late_changes_no_estimate() -> None:
    busy = admission(wait=6.0)
    for _ in range(100):
        with pytest.raises(DeadlineExceeded):
            ask(busy, seconds=-1.0)
    ask(busy, seconds=9.1)
    assert busy.in_flight == 0


def test_who_has_little_time_tells_only_that_it_takes_longer() -> None:
    idle = admission(wait=0.0)
    before = idle.forecasts[Stage.DECODE].alone
    for _ in range(100):
        with pytest.raises(DeadlineExceeded):
            ask(idle, seconds=0.001, error=DeadlineExceeded("too late"))
    assert idle.forecasts[Stage.DECODE].alone >= before


def test_who_finds_nothing_before_it_is_let_in_however_little_time_it_has() -> None:
    ask(admission(wait=0.0), seconds=0.01)


def given_up(busy: Admission, seconds: float, after: float) -> None:
    """A call that gRPC cancels, as it does at the deadline and when its caller is gone."""
    with suppress(asyncio.CancelledError), busy.accepted((Priority.NORMAL, time.monotonic() + seconds)):
        time.sleep(after)
        raise asyncio.CancelledError


def test_a_call_that_grpc_ended_at_its_deadline_was_late() -> None:
    busy = admission(wait=0.02)
    before = busy.forecasts[Stage.DECODE].seconds(1.0)
    with suppress(Overloaded):
        for _ in range(20):
            given_up(busy, seconds=0.05, after=0.05)
    assert busy.forecasts[Stage.DECODE].seconds(1.0) > before


def test_a_call_that_its_caller_gave_up_tells_nothing() -> None:
    busy = admission(wait=0.02)
    before = busy.forecasts[Stage.DECODE].seconds(1.0)
    given_up(busy, seconds=60, after=0)
    assert busy.forecasts[Stage.DECODE].seconds(1.0) == before
