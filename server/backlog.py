"""Jobs that wait to be done: the most urgent first, and none that nobody waits for any more."""

import heapq
from collections.abc import Iterator
from concurrent.futures import Future
from threading import Lock
from typing import Any, Generic, Protocol, TypeVar

from server.urgency import Urgency


class UrgentJob(Protocol):
    """Sorts by urgency, then by arrival.

    Attributes:
        cost: of doing it, in whatever unit.
    """

    @property
    def urgency(self) -> Urgency: ...

    @property
    def cost(self) -> float: ...

    @property
    def future(self) -> "Future[Any]": ...

    def __lt__(self, other: Any, /) -> bool: ...


Job = TypeVar("Job", bound=UrgentJob)


class Backlog(Generic[Job]):
    """What the queues of jobs have in common; how jobs are put and taken is their own.

    They hold the lock for `_add` and `_pop`, and give `_forget` to the future of each job that was added.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._jobs: list[Job] = []
        self._cost = 0.0
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def cost(self) -> float:
        """Of all that waits."""
        return self._cost

    def cost_before(self, urgency: Urgency) -> float:
        """Of what goes first, if a job of this urgency comes now."""
        with self._lock:
            return sum(job.cost for job in self._wanted() if job.urgency <= urgency)

    def least_urgent(self) -> Urgency | None:
        """None if nothing waits."""
        with self._lock:
            return max((job.urgency for job in self._wanted()), default=None)

    def drop(self, than: Urgency, error: Exception) -> bool:
        """Fails the least urgent job with `error`, if it is less urgent than `than`."""
        with self._lock:
            least = max((job.urgency for job in self._wanted()), default=than)
            if least <= than:
                return False
            # With all of its request, which fails with the first: else each would count as room for another.
            leaving = [job for job in self._jobs if job.urgency == least]
            self._keep([job for job in self._jobs if job.urgency != least])
        for job in leaving:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(error)
        return True

    def _add(self, job: Job) -> None:
        heapq.heappush(self._jobs, job)
        self._cost += job.cost

    def _pop(self) -> Job:
        job = heapq.heappop(self._jobs)
        self._cost = self._cost - job.cost if self._jobs else 0.0
        return job

    def _forget(self, future: "Future[Any]") -> None:
        # Else what nobody waits for any more would stay in memory as long as more urgent jobs come.
        if not future.cancelled():
            return
        with self._lock:
            self._cancelled += 1
            # Only when they are half of all: one by one, thousands cancelled together would take seconds.
            if 2 * self._cancelled >= len(self._jobs):
                self._keep(list(self._wanted()))
                self._cancelled = 0

    def _keep(self, jobs: list[Job]) -> None:
        heapq.heapify(jobs)
        self._jobs, self._cost = jobs, sum(job.cost for job in jobs)

    def _wanted(self) -> Iterator[Job]:
        return (job for job in self._jobs if not job.future.cancelled())
