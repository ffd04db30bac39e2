"""Jobs that wait to be done: the most urgent first, and none that nobody waits for any more."""

from bisect import insort
from collections.abc import Iterable
from concurrent.futures import Future
from functools import partial
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

    Subclasses hold the lock for `_add`, `_pop` and `_keep`, and call `_watch` for each job that was added.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        # The most urgent first.
        self._jobs: list[Job] = []
        # Of those that were not cancelled: their futures, and number and cost by urgency. Each newcomer is
        # compared with what waits, which may be a hundred jobs of each request.
        self._wanted: set[Future[Any]] = set()
        self._requests: dict[Urgency, tuple[int, float]] = {}
        self._cost = 0.0

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def cost(self) -> float:
        """Of all that waits."""
        return self._cost

    def cost_before(self, urgency: Urgency) -> float:
        """Of what goes first, if a job of this urgency comes now."""
        with self._lock:
            return sum(cost for other, (_, cost) in self._requests.items() if other <= urgency)

    def least_urgent(self) -> Urgency | None:
        """None if nothing waits."""
        with self._lock:
            return max(self._requests, default=None)

    def drop(self, than: Urgency, error: Exception) -> bool:
        """Fails the least urgent job with `error`, if it is less urgent than `than`."""
        with self._lock:
            least = max(self._requests, default=than)
            if least <= than:
                return False
            # With all of its request, which fails with the first: else each would count as room for another.
            leaving = [job for job in self._jobs if job.urgency == least]
            self._keep(job for job in self._jobs if job.urgency != least)
        for job in leaving:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(error)
        return True

    def _add(self, job: Job) -> None:
        insort(self._jobs, job)
        self._wanted.add(job.future)
        self._tally(job.urgency, 1, job.cost)

    def _pop(self, place: int = 0) -> Job:
        job = self._jobs.pop(place)
        self._leave(job.urgency, job.cost, job.future)
        return job

    def _watch(self, job: Job) -> None:
        # Not with the job itself, whose future would keep it.
        job.future.add_done_callback(partial(self._forget, job.urgency, job.cost))

    def _forget(self, urgency: Urgency, cost: float, future: "Future[Any]") -> None:
        # Else what nobody waits for any more would stay in memory as long as more urgent jobs come.
        if not future.cancelled():
            return
        with self._lock:
            self._leave(urgency, cost, future)
            # Only when they are half of all: one by one, thousands cancelled together would take seconds.
            if 2 * len(self._wanted) <= len(self._jobs):
                self._keep(self._jobs)

    def _keep(self, jobs: Iterable[Job]) -> None:
        """Keeps only these jobs of all that wait, in their order, less those that were cancelled."""
        self._jobs, self._cost = [job for job in jobs if job.future in self._wanted], 0.0
        self._wanted = {job.future for job in self._jobs}
        self._requests = {}
        for job in self._jobs:
            self._tally(job.urgency, 1, job.cost)

    def _leave(self, urgency: Urgency, cost: float, future: "Future[Any]") -> None:
        if future in self._wanted:
            self._wanted.remove(future)
            self._tally(urgency, -1, -cost)

    def _tally(self, urgency: Urgency, number: int, cost: float) -> None:
        count, total = self._requests.get(urgency, (0, 0.0))
        if count + number:
            self._requests[urgency] = count + number, total + cost
        else:
            del self._requests[urgency]
        # Without the rest that sums of floats leave.
        self._cost = self._cost + cost if self._requests else 0.0
