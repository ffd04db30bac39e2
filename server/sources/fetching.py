"""Media that wait to be fetched, and the threads that fetch them: the most urgent first."""

import asyncio
import itertools
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from server.backlog import Backlog
from server.estimates import moving_average
from server.sources.fetched import Fetched
from server.urgency import Urgency


@dataclass(order=True, slots=True)
class FetchJob:
    """One medium; ordered by urgency, then by arrival.

    Attributes:
        cost: one medium, as nothing is known of how long it will take.
    """

    urgency: Urgency
    number: int = field(default_factory=itertools.count().__next__, init=False)
    read: Callable[[], Fetched] = field(compare=False)
    future: "Future[Fetched]" = field(compare=False, default_factory=Future)
    cost: float = field(compare=False, default=1.0, init=False)


class FetchPool(Backlog[FetchJob]):
    """Thread-safe.

    Args:
        workers: media fetched at once.
    """

    def __init__(self, workers: int) -> None:
        super().__init__()
        self._workers = workers
        self._running = 0
        self._mean_seconds = 0.0
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="fetch")

    @property
    def backlog_seconds(self) -> float:
        """Estimated seconds until a medium that comes now would be fetched."""
        return self._seconds(self.cost)

    def seconds_before(self, urgency: Urgency) -> float:
        """The same for a medium of this urgency."""
        return self._seconds(self.cost_before(urgency))

    async def fetch(self, read: Callable[[], Fetched], urgency: Urgency) -> Fetched:
        """What `read` gives. Cancelling it before a thread takes it costs nothing."""
        job = FetchJob(urgency, read)
        with self._lock:
            self._add(job)
        self._watch(job)
        # For each medium one turn of a thread, which takes the one that is then the most urgent.
        self._threads.submit(self._next)
        return await asyncio.wrap_future(job.future)

    def close(self) -> None:
        """Cancels what waits; does not wait for what is still being read: nobody does."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for job in tuple(self._jobs):
            job.future.cancel()

    def _seconds(self, ahead: float) -> float:
        # What waits beside an idle thread is about to be taken.
        turns = max(0.0, ahead + self._running + 1 - self._workers)
        return turns * self._mean_seconds / self._workers

    def _next(self) -> None:
        with self._lock:
            # Cancelled ones may have been taken out already.
            job = self._pop() if self._jobs else None
            if job is None or not job.future.set_running_or_notify_cancel():
                return
            self._running += 1
        start = time.perf_counter()
        try:
            job.future.set_result(job.read())
        except BaseException as error:
            job.future.set_exception(error)
        finally:
            # The frames of an error, of which this is one, would keep the job, and that the error.
            del job
        self._count(time.perf_counter() - start)

    def _count(self, seconds: float) -> None:
        with self._lock:
            self._running -= 1
            self._mean_seconds = moving_average(self._mean_seconds, seconds)
