import math
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import Overloaded
from server.media.backlog import Backlog, DecodeJob, Urgency
from server.media.types import RowSpec

URGENCIES = st.lists(st.tuples(st.integers(0, 2), st.floats(1, 1000)), min_size=1, max_size=20, unique=True)


def job(urgency: Urgency = (0, math.inf)) -> DecodeJob:
    return DecodeJob(urgency, b"", RowSpec(), None, 1.0)


def backlog_of(*jobs: DecodeJob) -> Backlog:
    backlog = Backlog()
    for waiting in jobs:
        assert backlog.put(waiting)
    return backlog


@given(URGENCIES)
def test_the_most_urgent_goes_first_and_equals_as_they_came(urgencies: list[Urgency]) -> None:
    jobs = [job(urgency) for urgency in urgencies]
    backlog = backlog_of(*jobs)
    taken = [backlog.take() for _ in jobs]
    assert taken == sorted(jobs, key=lambda each: each.urgency)


@given(URGENCIES)
def test_the_least_urgent_gives_way_to_more_urgent_ones_only(urgencies: list[Urgency]) -> None:
    jobs = [job(urgency) for urgency in urgencies]
    backlog = backlog_of(*jobs)
    least = max(urgencies)
    assert backlog.least_urgent() == least
    assert not backlog.drop(least, Overloaded("full"))
    assert backlog.drop((-1, 0.0), Overloaded("full"))
    (victim,) = (each for each in jobs if each.future.done())
    assert victim.urgency == least
    with pytest.raises(Overloaded):
        victim.future.result(0)
    assert len(backlog) == len(jobs) - 1


def test_cancelled_ones_do_not_count() -> None:
    unwanted = job((2, 1.0))
    backlog = backlog_of(unwanted, job((1, 1.0)))
    unwanted.future.cancel()
    assert backlog.least_urgent() == (1, 1.0)
    assert backlog.before((2, 5.0)) == 1


def test_closing_wakes_those_who_wait_and_hands_out_the_rest() -> None:
    backlog = Backlog()
    threading.Timer(0.05, backlog.close).start()
    assert backlog.take() is None
    assert not backlog.put(job())
    filled = backlog_of(job())
    assert filled.close()
    assert not filled.close()
    assert filled.take() is not None
    assert filled.take() is None


def test_waiting_for_work_needs_no_clock() -> None:
    backlog, waiting = Backlog(), job()
    threading.Timer(0.05, lambda: backlog.put(waiting)).start()
    start = time.monotonic()
    assert backlog.take() is waiting
    assert time.monotonic() - start >= 0.04


def test_all_media_of_one_request_give_way_together() -> None:
    media = [job((2, 1.0)) for _ in range(3)]
    backlog = backlog_of(job((0, 1.0)), *media)
    assert backlog.drop((1, 1.0), Overloaded("full"))
    assert all(each.future.done() for each in media)
    assert len(backlog) == 1
    assert not backlog.drop((1, 1.0), Overloaded("full"))
