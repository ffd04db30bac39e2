"""Jobs that wait to be done: the most urgent first, and none that nobody waits for any more."""

from bisect import insort
from collections.abc import Iterable
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


class Tally:
    """Number and cost of jobs by urgency: each newcomer is compared with them, a hundred of each request.

    Attributes:
        cost: of all.
    """

    def __init__(self) -> None:
        self._requests: dict[Urgency, tuple[int, float]] = {}
        self.cost = 0.0

    def count(self, job: UrgentJob, number: int) -> None:
        """Adds a job `number` times, or takes it off if that is -1."""
        count, total = self._requests.get(job.urgency, (0, 0.0))
        if count + number:
            self._requests[job.urgency] = count + number, total + number * job.cost
        else:
            del self._requests[job.urgency]
        # Without the rest that sums of floats leave.
        self.cost = self.cost + number * job.cost if self._requests else 0.0

    def before(self, urgency: Urgency) -> float:
        """Cost of what goes first, if a job of this urgency comes now."""
        return sum(cost for other, (_, cost) in self._requests.items() if other <= urgency)

    def least_urgent(self) -> Urgency | None:
        """None if there is no job."""
        return max(self._requests, default=None)


class Backlog(Generic[Job]):
    """What the queues of jobs have in common; how jobs are put and taken is their own.

    Subclasses hold the lock for `_add`, `_pop` and `_take_out`, and call `_watch` for each job they added.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        # The most urgent first.
        self._jobs: list[Job] = []
        # Those that were not cancelled.
        self._wanted: dict[Future[Any], Job] = {}
        self._tally = Tally()

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def cost(self) -> float:
        """Of all that waits."""
        return self._tally.cost

    def cost_before(self, urgency: Urgency) -> float:
        """Of what goes first, if a job of this urgency comes now."""
        with self._lock:
            return self._tally.before(urgency)

    def least_urgent(self) -> Urgency | None:
        """None if nothing waits."""
        with self._lock:
            return self._tally.least_urgent()

    def drop(self, than: Urgency, error: Exception) -> bool:
        """Fails the least urgent job with `error`, if it is less urgent than `than`."""
        with self._lock:
            least = self._tally.least_urgent()
            if least is None or least <= than:
                return False
            # With all of its request, which fails with the first: else each would count as room for another.
            leaving = [job for job in self._jobs if job.urgency == least]
            self._take_out(leaving)
        for job in leaving:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(error)
        return True

    def _add(self, job: Job) -> None:
        insort(self._jobs, job)
        self._wanted[job.future] = job
        self._count(job, 1)

    def _pop(self, place: int = 0) -> Job:
        job = self._jobs.pop(place)
        self._leave(job.future)
        return job

    def _watch(self, job: Job) -> None:
        # Not with the job itself, whose future would keep it.
        job.future.add_done_callback(self._forget)

    def _forget(self, future: "Future[Any]") -> None:
        # Else what nobody waits for any more would stay in memory as long as more urgent jobs come.
        if not future.cancelled():
            return
        with self._lock:
            self._leave(future)
            # Only when they are half of all: one by one, thousands cancelled together would take seconds.
            if 2 * len(self._wanted) <= len(self._jobs):
                self._take_out(())

    def _take_out(self, jobs: Iterable[Job]) -> None:
        """These jobs, and all that were cancelled."""
        for job in jobs:
            self._leave(job.future)
        self._jobs = [job for job in self._jobs if job.future in self._wanted]

    def _leave(self, future: "Future[Any]") -> None:
        job = self._wanted.pop(future, None)
        if job is not None:
            self._count(job, -1)

    def _count(self, job: Job, number: int) -> None:
        """Notes that a job has come, or with -1 that it waits no more."""
        self._tally.count(job, number)
