import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine.batch import Rows
from server.engine.queue import Job, JobQueue
from server.engine.queue_delay import QueueDelay
from server.errors import DeadlineExceeded, Overloaded, ShuttingDown
from server.urgency import Priority
from tests.urgencies import soon
from tests.waiting import until

NO_ROWS = Rows(
    np.zeros((0, 1, 1, 3), np.uint8),
    np.zeros(0, np.int64),
    np.zeros((0, 1), np.int64),
    np.zeros((0, 1), np.float32),
    np.ones(3, np.float32),
)


def job(
    deadline: float = 60.0, cost: float = 0.01, priority: Priority = Priority.NORMAL, share: float = 0.0
) -> Job:
    return Job(soon(deadline, priority), time.monotonic(), NO_ROWS, cost, share)


def queue_of(
    *jobs: Job,
    size: int = 100,
    seconds: float = 1e9,
    delay: QueueDelay | float | None = None,
    takers: int = 1,
    fixed: float = 0.0,
) -> JobQueue:
    given = delay if isinstance(delay, QueueDelay) else QueueDelay(delay)
    queue = JobQueue(size, seconds, given, takers, fixed)
    for waiting in jobs:
        queue.put(waiting)
    return queue


def taken(queue: JobQueue) -> list[Job]:
    batch = queue.take()
    assert batch is not None
    return batch


@given(st.lists(st.floats(10, 1000), min_size=1, max_size=20))
def test_the_earliest_deadline_goes_first(deadlines: list[float]) -> None:
    batch = taken(queue_of(*(job(deadline) for deadline in deadlines)))
    assert [each.deadline for each in batch] == sorted(each.deadline for each in batch)
    assert len(batch) == len(deadlines)


def test_priority_goes_before_deadline() -> None:
    batch, normal, interactive = (
        job(10, priority=Priority.BATCH),
        job(20),
        job(30, priority=Priority.INTERACTIVE),
    )
    assert taken(queue_of(batch, normal, interactive)) == [interactive, normal, batch]


@given(st.lists(st.tuples(st.sampled_from(Priority), st.floats(10, 1000)), min_size=1, max_size=20))
def test_the_least_urgent_gives_way_and_all_others_stay(urgencies: list[tuple[Priority, float]]) -> None:
    jobs = [job(deadline, priority=priority) for priority, deadline in urgencies]
    queue = queue_of(*jobs)
    victim = max(jobs)
    assert queue.least_urgent() == victim.urgency
    assert not queue.drop(victim.urgency, Overloaded("full"))
    assert queue.drop((Priority.INTERACTIVE, 0.0), Overloaded("full"))
    with pytest.raises(Overloaded):
        victim.future.result(0)
    assert queue.cost == pytest.approx(0.01 * (len(jobs) - 1))
    queue.close()
    assert (queue.take() or []) == sorted(each for each in jobs if each is not victim)


def test_one_that_nobody_wants_is_not_asked_to_give_way() -> None:
    unwanted, wanted = job(2), job(1)
    queue = queue_of(unwanted, wanted)
    unwanted.future.cancel()
    assert queue.least_urgent() == wanted.urgency


def test_what_goes_first_is_what_is_more_urgent() -> None:
    queue = queue_of(job(1, 0.5), job(10, 1.0), job(1, 2.0, Priority.BATCH))
    now = time.monotonic()
    assert queue.cost_before((Priority.INTERACTIVE, now)) == 0
    assert queue.cost_before((Priority.NORMAL, now + 5)) == 0.5
    assert queue.cost_before((Priority.BATCH, now)) == 1.5


def test_what_was_cancelled_goes_before_nobody() -> None:
    unwanted, wanted = job(1, 0.5), job(1, 0.25)
    queue = queue_of(unwanted, wanted)
    unwanted.future.cancel()
    assert queue.cost_before((Priority.NORMAL, time.monotonic() + 5)) == 0.25


def test_a_batch_closes_on_count() -> None:
    queue = queue_of(*(job() for _ in range(5)), size=3)
    assert [len(taken(queue)), len(taken(queue))] == [3, 2]


def test_a_batch_closes_on_cost_so_that_one_video_does_not_stall_photos() -> None:
    photos, video = [job(10, 0.01) for _ in range(4)], job(20, 1.0)
    queue = queue_of(*photos, video, seconds=0.05)
    assert taken(queue) == photos
    assert taken(queue) == [video]


def test_a_request_that_costs_more_than_a_batch_may_is_still_run() -> None:
    assert len(taken(queue_of(job(cost=5.0), seconds=0.1))) == 1


def test_what_waits_is_shared_fairly_among_idle_workers() -> None:
    queue = queue_of(*(job(cost=0.01) for _ in range(8)), takers=2)
    assert len(taken(queue)) == 4


def test_a_batch_is_no_more_than_a_run_but_at_least_one_job() -> None:
    queue = queue_of(*(job(share=share) for share in (0.1, 0.2, 0.7, 0.5, 3.0, 0.5, 0.5)))
    assert [[each.share for each in taken(queue)] for _ in range(4)] == [
        [0.1, 0.2, 0.7],
        [0.5],
        [3.0],
        [0.5, 0.5],
    ]


def test_cancelled_requests_are_dropped() -> None:
    unwanted, wanted = job(1), job(2)
    queue = queue_of(unwanted, wanted)
    unwanted.future.cancel()
    assert taken(queue) == [wanted]


def test_requests_that_cannot_meet_their_deadline_are_dropped_with_an_error() -> None:
    late, wanted = job(deadline=0.5, cost=1.0), job(cost=1.0)
    queue = queue_of(late, wanted)
    assert taken(queue) == [wanted]
    with pytest.raises(DeadlineExceeded):
        late.future.result(0)


@given(st.lists(st.tuples(st.floats(0.1, 5), st.floats(0.01, 1)), min_size=1, max_size=20), st.integers(1, 3))
def test_company_takes_a_quarter_of_the_time_until_any_deadline_in_its_batch(
    jobs: list[tuple[float, float]], takers: int
) -> None:
    queue = queue_of(*(job(deadline, cost) for deadline, cost in jobs), takers=takers)
    queue.close()
    handed_out = 0
    before = time.monotonic()
    while batch := queue.take():
        left = min(each.deadline for each in batch) - before
        # A single job may be one that is tried against the odds.
        assert len(batch) == 1 or sum(each.cost for each in batch) <= left / 4
        handed_out += len(batch)
        before = time.monotonic()
    assert handed_out <= len(jobs)
    assert queue.cost == 0


def test_one_that_would_delay_a_more_urgent_one_waits_for_the_next_batch() -> None:
    tight, short, long = job(deadline=10.0, cost=1.0), job(deadline=50.0, cost=1.0), job(cost=8.0)
    queue = queue_of(tight, short, long)
    assert taken(queue) == [tight, short]
    assert taken(queue) == [long]


def test_the_fixed_cost_counts_against_a_deadline() -> None:
    late, wanted = job(deadline=1.0), job()
    assert taken(queue_of(late, wanted, fixed=2.0)) == [wanted]
    with pytest.raises(DeadlineExceeded):
        late.future.result(0)


def test_an_estimate_that_is_too_high_for_every_deadline_is_put_to_the_test() -> None:
    jobs = [job(deadline=5.0, cost=60.0) for _ in range(20)]
    queue = queue_of(*jobs)
    (tried,) = taken(queue)
    assert sum(each.future.done() for each in jobs) == 19
    assert not tried.future.done()


def test_only_one_of_many_is_put_to_the_test() -> None:
    queue = queue_of(*(job(deadline=5.0, cost=60.0) for _ in range(16)))
    assert len(taken(queue)) == 1
    queue.put(job(deadline=5.0, cost=60.0))
    queue.close()
    assert queue.take() is None


def test_none_whose_deadline_is_past_is_put_to_the_test() -> None:
    queue = queue_of(*(job(deadline=-1.0) for _ in range(20)))
    queue.close()
    assert queue.take() is None


def test_an_idle_worker_waits_for_company_only_when_told() -> None:
    queue = queue_of(job(), size=2, delay=30.0)
    threading.Timer(0.05, lambda: queue.put(job())).start()
    assert len(taken(queue)) == 2


def test_what_costs_a_whole_batch_waits_for_nobody_even_when_told() -> None:
    queue = queue_of(job(cost=0.1), seconds=0.05, delay=5.0)
    started = time.monotonic()
    assert len(taken(queue)) == 1
    assert time.monotonic() - started < 2.5


def test_nobody_waits_for_company_until_it_is_too_late() -> None:
    urgent = job(deadline=1.0, cost=0.2)
    assert taken(queue_of(urgent, delay=30.0)) == [urgent]


def test_nobody_waits_for_company_longer_than_half_of_the_time_until_the_deadline() -> None:
    patient = Job(soon(20.0), time.monotonic() - 19.5, NO_ROWS, 0.001)
    assert taken(queue_of(patient, delay=60.0)) == [patient]
    assert time.monotonic() < patient.deadline - 10


def usually(requests: int) -> QueueDelay:
    """Of runs that cost half a minute."""
    delay = QueueDelay()
    for _ in range(100):
        delay.learn(requests, fixed_cost=30.0)
    return delay


def test_one_that_gains_nothing_from_company_does_not_wait_for_it() -> None:
    assert len(taken(queue_of(job(share=1.0), delay=usually(3)))) == 1


def test_a_worker_that_gathers_stops_as_soon_as_the_usual_company_is_there() -> None:
    queue = queue_of(job(), delay=usually(3))
    for _ in range(2):
        threading.Timer(0.05, lambda: queue.put(job())).start()
    assert len(taken(queue)) == 3


def test_a_worker_that_gathers_stops_as_soon_as_the_run_is_full() -> None:
    queue = queue_of(job(share=0.4), delay=30.0)
    for _ in range(2):
        threading.Timer(0.05, lambda: queue.put(job(share=0.3))).start()
    began = time.monotonic()
    assert len(taken(queue)) == 3
    assert time.monotonic() - began < 10


def test_only_one_worker_gathers_and_the_others_get_what_comes_next() -> None:
    queue = queue_of(size=2, delay=30.0)
    with ThreadPoolExecutor(2) as workers:
        batches = [workers.submit(taken, queue) for _ in range(2)]
        for _ in range(4):
            queue.put(job())
        assert [len(batch.result(10)) for batch in batches] == [2, 2]


def test_what_a_worker_leaves_is_taken_by_an_idle_one() -> None:
    queue = queue_of(delay=30.0)
    with ThreadPoolExecutor(2) as workers:
        batches = [workers.submit(taken, queue) for _ in range(2)]
        queue.put(job(share=0.4))
        until(lambda: queue._gathering)
        # It fills the run, but does not fit into it.
        queue.put(job(share=1.0))
        try:
            assert [len(batch.result(10)) for batch in batches] == [1, 1]
        finally:
            queue.close()


def test_closing_hands_out_what_waits_and_then_nothing() -> None:
    queue = queue_of(job(), delay=30.0)
    queue.close()
    assert len(taken(queue)) == 1
    assert queue.take() is None
    with pytest.raises(ShuttingDown):
        queue.put(job())


def test_closing_wakes_an_idle_worker() -> None:
    queue = queue_of()
    threading.Timer(0.05, queue.close).start()
    assert queue.take() is None


@given(st.lists(st.floats(0.001, 1), max_size=20))
def test_the_backlog_is_the_cost_of_what_waits(costs: list[float]) -> None:
    queue = queue_of(*(job(cost=cost) for cost in costs), size=3)
    assert queue.cost == pytest.approx(sum(costs))
    left = len(costs)
    while left:
        left -= len(taken(queue))
    assert queue.cost == 0


def test_thousands_are_cancelled_in_no_time() -> None:
    jobs = [job(1 + number % 7, 0.5) for number in range(4000)]
    queue = queue_of(*jobs, size=10)
    start = time.process_time()
    for one in jobs[:-1]:
        one.future.cancel()
    assert time.process_time() - start < 1
    assert queue.cost_before((Priority.BATCH, time.monotonic() + 60)) == 0.5


def test_what_was_cancelled_is_not_kept() -> None:
    queue = queue_of(job(1, 0.25))
    unwanted = job(2, 0.5)
    kept = weakref.ref(unwanted.future)
    queue.put(unwanted)
    unwanted.future.cancel()
    del unwanted
    assert kept() is None
    assert queue.cost == 0.25


def test_all_subjects_of_one_request_give_way_together() -> None:
    subjects = [job(priority=Priority.BATCH) for _ in range(3)]
    for subject in subjects:
        subject.urgency = subjects[0].urgency
    queue = queue_of(job(), *subjects)
    assert queue.drop((Priority.INTERACTIVE, 0.0), Overloaded("full"))
    assert all(subject.future.done() for subject in subjects)
    assert len(queue) == 1


@pytest.mark.parametrize("before", [[], [60.0]])
def test_nobody_is_late_for_the_sake_of_company(before: list[float]) -> None:
    queue = queue_of(*map(job, before), delay=6.0)
    urgent = job(3.0, cost=0.001)
    threading.Timer(0.05, lambda: queue.put(urgent)).start()
    assert urgent in taken(queue)
    assert time.monotonic() < urgent.deadline
