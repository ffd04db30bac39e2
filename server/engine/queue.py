"""Requests that wait for the engine, and how they form batches."""

import math
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition

from server.backlog import Backlog
from server.engine.batch import Rows, Scores
from server.engine.queue_delay import QueueDelay
from server.errors import DeadlineExceeded, ShuttingDown
from server.urgency import Urgency

# Sums of costs and shares drift; without this slack the last job that fits would miss its batch.
_ROUNDING = 1 + 1e-6
# Of the jobs that are estimated to miss their deadline, one in so many is run all the same.
_CHANCES = 16
# Less than this sooner is not worth waking a worker for.
_NOTICED_SECONDS = 1e-4
# A batch may grow as long as its run takes no more than this share of the time until its earliest deadline.
_BATCH_SHARE = 0.25


@dataclass(order=True, slots=True)
class Job:
    """One request in the queue; ordered by urgency, then by arrival.

    Attributes:
        urgency: its priority is strict, so that one of low priority may wait until its deadline.
        enqueued: time.monotonic() of arrival.
        cost: estimated seconds that its rows add to a run.
        share: of a run that its rows fill; from 1, more rows in the same run would gain nothing.
    """

    urgency: Urgency
    enqueued: float
    rows: Rows = field(compare=False)
    cost: float = field(compare=False)
    share: float = field(compare=False, default=0.0)
    future: "Future[Scores]" = field(compare=False, default_factory=Future)

    @property
    def deadline(self) -> float:
        """time.monotonic() by which the answer must be there."""
        return self.urgency[1]


class JobQueue(Backlog[Job]):
    """Thread-safe; every worker of the engine takes from it.

    A batch holds as many jobs as gain by sharing a run.

    Args:
        max_batch_size: jobs in one batch at most.
        max_batch_seconds: estimated cost of one batch at most; a single job may cost more.
        delay: says how long the first job of a batch waits for others.
        takers: workers that compute at the same time, and share what waits.
        fixed_seconds: estimated cost of a batch beside that of its jobs.
    """

    def __init__(
        self,
        max_batch_size: int,
        max_batch_seconds: float,
        delay: QueueDelay,
        takers: int,
        fixed_seconds: float = 0.0,
    ) -> None:
        super().__init__()
        self._max_batch_size = max_batch_size
        self._max_batch_seconds = max_batch_seconds
        self._delay = delay
        self._takers = takers
        self._fixed_seconds = fixed_seconds
        self._hopeless = 0
        self._closed = False
        # While a worker gathers a batch, jobs wake nobody: each time would cost a switch of threads.
        self._gathering = False
        self._gathered_by = 0.0
        self._changed, self._gathered = Condition(self._lock), Condition(self._lock)

    def put(self, job: Job) -> None:
        """Adds a job. Raises ShuttingDown after `close`."""
        with self._changed:
            if self._closed:
                raise ShuttingDown("the engine is stopping")
            self._add(job)
            if not self._gathering:
                self._changed.notify()
            elif time.monotonic() + self._left() < self._gathered_by - _NOTICED_SECONDS:
                self._gathered.notify()
        self._watch(job)

    def take(self) -> list[Job] | None:
        """The next batch, at least one job; None once the queue is closed and empty. Blocks."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._closed or (self._jobs and not self._gathering))
                if not self._jobs:
                    return None
                self._gather()
                batch = self._batch()
                if self._jobs:
                    self._changed.notify()
                if batch:
                    return batch

    def close(self) -> None:
        """Takes no new jobs; those that wait are still handed out."""
        with self._changed:
            self._closed = True
            self._gathered.notify()
            self._changed.notify_all()

    def abandon(self) -> list[Job]:
        """Closes, and gives what waits to the caller, to be answered otherwise."""
        self.close()
        with self._changed:
            jobs = self._jobs
            self._take_out(jobs)
        return jobs

    def _gather(self) -> None:
        self._gathering = True
        while (left := self._left()) > 0:
            self._gathered_by = time.monotonic() + left
            self._gathered.wait(left)
        self._gathering = False

    def _left(self) -> float:
        """Seconds that a batch of what waits is still to wait for more."""
        if self._closed or not self._jobs or self._is_full():
            return 0.0
        delay = self._delay.seconds(len(self._jobs), self.cost)
        if not delay:
            return 0.0
        # Of all, as the most urgent by priority need not be the one with least time.
        earliest = min(job.deadline for job in self._jobs)
        latest = earliest - (self._fixed_seconds + self.cost) / _BATCH_SHARE
        # No job waits for others longer than half of the time until its deadline.
        until = min(job.enqueued + min(delay, (job.deadline - job.enqueued) / 2) for job in self._jobs)
        return max(0.0, min(until, latest) - time.monotonic())

    def _is_full(self) -> bool:
        """Whether a batch of what waits could hold no more."""
        if len(self._jobs) >= self._max_batch_size or self.cost >= self._max_batch_seconds:
            return True
        return sum(job.share for job in self._jobs) * _ROUNDING >= 1

    def _batch(self) -> list[Job]:
        # A fair share of what waits, so that no worker idles while another runs a long batch.
        budget = min(self._max_batch_seconds, self.cost / self._takers) * _ROUNDING
        batch: list[Job] = []
        cost, share, earliest = 0.0, 0.0, math.inf
        while self._jobs and len(batch) < self._max_batch_size:
            job = self._jobs[0]
            if not self._in_time(job, first=not batch):
                self._pop()
                continue
            # All jobs of a batch are answered at its end.
            earliest = min(earliest, job.deadline)
            seconds = self._fixed_seconds + cost + job.cost
            if batch and (
                cost + job.cost > budget
                or share + job.share > _ROUNDING
                or seconds > _BATCH_SHARE * (earliest - time.monotonic())
            ):
                break
            self._pop()
            if job.future.set_running_or_notify_cancel():
                batch.append(job)
                cost += job.cost
                share += job.share
        return batch

    def _in_time(self, job: Job, first: bool) -> bool:
        """False for one that was cancelled, or is too late, which it is told."""
        if job.future.cancelled():
            return False
        left = job.deadline - time.monotonic()
        if left >= self._fixed_seconds + job.cost:
            return True
        self._hopeless += 1
        # Estimates only improve by runs: one that is too high must not keep everything from being run.
        if first and left > 0 and self._hopeless >= _CHANCES:
            self._hopeless = 0
            return True
        if job.future.set_running_or_notify_cancel():
            job.future.set_exception(DeadlineExceeded("no time was left to run the model"))
        return False
