import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import Overloaded, ShuttingDown
from server.media.decode_queue import DecodeJob, DecodeQueue
from server.media.types import RowSpec
from server.urgency import Priority, Urgency

URGENCIES = st.lists(
    st.tuples(st.sampled_from(Priority), st.floats(1, 1000)),
    min_size=1,
    max_size=20,
    unique=True,
)


def job(urgency: Urgency = (Priority.INTERACTIVE, math.inf)) -> DecodeJob:
    return DecodeJob(urgency, b"", RowSpec(), None, 1.0)


def queue_of(*jobs: DecodeJob) -> DecodeQueue:
    queue = DecodeQueue()
    for waiting in jobs:
        queue.put(waiting)
    return queue


@given(URGENCIES)
def test_the_most_urgent_goes_first_and_equals_as_they_came(urgencies: list[Urgency]) -> None:
    jobs = [job(urgency) for urgency in urgencies]
    queue = queue_of(*jobs)
    taken = [queue.take() for _ in jobs]
    assert taken == sorted(jobs, key=lambda each: each.urgency)


@given(URGENCIES)
def test_the_least_urgent_gives_way_to_more_urgent_ones_only(urgencies: list[Urgency]) -> None:
    jobs = [job(urgency) for urgency in urgencies]
    queue = queue_of(*jobs)
    least = max(urgencies)
    assert queue.least_urgent() == least
    assert not queue.drop(least, Overloaded("full"))
    assert queue.drop((Priority.INTERACTIVE, 0.0), Overloaded("full"))
    (victim,) = (each for each in jobs if each.future.done())
    assert victim.urgency == least
    with pytest.raises(Overloaded):
        victim.future.result(0)
    assert len(queue) == len(jobs) - 1


# Of few urgencies, so that several media are of one request.
FEW_URGENCIES = st.tuples(st.sampled_from(Priority), st.sampled_from((1.0, 2.0)))


@given(st.lists(st.tuples(st.sampled_from(("put", "take", "cancel", "drop")), FEW_URGENCIES), max_size=40))
def test_whatever_happens_what_is_still_wanted_counts(happenings: list[tuple[str, Urgency]]) -> None:
    queue, waiting = DecodeQueue(), list[DecodeJob]()
    for what, urgency in happenings:
        if what == "put":
            waiting.append(job(urgency))
            queue.put(waiting[-1])
        elif what == "cancel":
            those = [each for each in waiting if each.urgency == urgency and not each.future.done()]
            for each in those[:1]:
                each.future.cancel()
        elif what == "drop":
            queue.drop(urgency, Overloaded("full"))
        elif len(queue):
            taken = queue.take()
            waiting = [each for each in waiting if each is not taken]
        wanted = [each.urgency for each in waiting if not each.future.done()]
        assert queue.cost == len(wanted)
        assert queue.least_urgent() == max(wanted, default=None)
        assert queue.cost_before(urgency) == sum(other <= urgency for other in wanted)


def test_what_is_cancelled_costs_nothing_and_is_given_up_once() -> None:
    waiting = [job((Priority.NORMAL, 1.0)) for _ in range(5)]
    queue = queue_of(*waiting)
    waiting[4].future.cancel()
    assert (queue.cost, len(queue)) == (4, 5)
    assert queue.take() is waiting[0]
    waiting[0].future.cancel()
    assert queue.cost == 3
    for each in waiting[1:4]:
        each.future.cancel()
    assert (queue.cost, len(queue), queue.least_urgent()) == (0, 0, None)


def test_closing_wakes_those_who_wait_and_hands_out_the_rest() -> None:
    queue = DecodeQueue()
    threading.Timer(0.05, queue.close).start()
    assert queue.take() is None
    with pytest.raises(ShuttingDown):
        queue.put(job())
    filled = queue_of(job())
    filled.close()
    assert filled.take() is not None
    assert filled.take() is None


def test_decoders_wait_for_work() -> None:
    queue, waiting = DecodeQueue(), job()
    threading.Timer(0.05, queue.put, [waiting]).start()
    assert queue.take() is waiting


def test_all_media_of_one_request_give_way_together() -> None:
    media = [job((Priority.BATCH, 1.0)) for _ in range(3)]
    queue = queue_of(job((Priority.INTERACTIVE, 1.0)), *media)
    assert queue.drop((Priority.NORMAL, 1.0), Overloaded("full"))
    assert all(each.future.done() for each in media)
    assert len(queue) == 1
    assert not queue.drop((Priority.NORMAL, 1.0), Overloaded("full"))
