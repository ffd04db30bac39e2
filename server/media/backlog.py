"""Media that wait for a decoder: the most urgent first."""

import heapq
import itertools
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition

from server.media.types import MediaKind, MediaRows, RowSpec

Urgency = tuple[int, float]
"""Priority, the most urgent lowest, and a time.monotonic() after which nobody waits for the rows."""


@dataclass(order=True, slots=True)
class DecodeJob:
    """One medium; ordered by urgency, then by arrival.

    Attributes:
        timeout: seconds that decoding may take.
    """

    urgency: Urgency
    number: int = field(default_factory=itertools.count().__next__, init=False)
    data: bytes = field(compare=False)
    spec: RowSpec = field(compare=False)
    kind: MediaKind | None = field(compare=False)
    timeout: float = field(compare=False)
    future: "Future[MediaRows]" = field(compare=False, default_factory=Future)


class Backlog:
    """Thread-safe; every decoder takes from it."""

    def __init__(self) -> None:
        self._jobs: list[DecodeJob] = []
        self._cancelled = 0
        self._closed = False
        self._changed = Condition()

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, job: DecodeJob) -> bool:
        """Adds a job; False after `close`."""
        with self._changed:
            if self._closed:
                return False
            heapq.heappush(self._jobs, job)
            self._changed.notify()
        # Else what nobody waits for any more would stay in memory as long as more urgent media come.
        job.future.add_done_callback(self._forget)
        return True

    def take(self) -> DecodeJob | None:
        """The most urgent job; None once the backlog is closed and empty. Blocks."""
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            return heapq.heappop(self._jobs) if self._jobs else None

    def close(self) -> bool:
        """Takes no new jobs; False if it was closed already."""
        with self._changed:
            was_open, self._closed = not self._closed, True
            self._changed.notify_all()
            return was_open

    def before(self, urgency: Urgency) -> int:
        """How many jobs go first, if one of this urgency comes now."""
        with self._changed:
            return sum(job.urgency <= urgency for job in self._wanted())

    def least_urgent(self) -> Urgency | None:
        """None if nothing waits."""
        with self._changed:
            return max((job.urgency for job in self._wanted()), default=None)

    def drop(self, than: Urgency, error: Exception) -> bool:
        """Fails the least urgent job with `error`, if it is less urgent than `than`."""
        with self._changed:
            job = max(self._wanted(), default=None)
            if job is None or job.urgency <= than:
                return False
            # With all of its request, which fails with the first: else each would count as room for another.
            leaving = [other for other in self._jobs if other.urgency == job.urgency]
            self._jobs = [other for other in self._jobs if other.urgency != job.urgency]
            heapq.heapify(self._jobs)
        for job in leaving:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(error)
        return True

    def _forget(self, future: "Future[MediaRows]") -> None:
        if not future.cancelled():
            return
        with self._changed:
            self._cancelled += 1
            # Many at once: one by one, thousands that are cancelled together would take seconds.
            if 2 * self._cancelled >= len(self._jobs):
                self._jobs, self._cancelled = list(self._wanted()), 0
                heapq.heapify(self._jobs)

    def _wanted(self) -> Iterator[DecodeJob]:
        return (job for job in self._jobs if not job.future.cancelled())
