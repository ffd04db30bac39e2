"""Media that wait to be fetched, and the threads that fetch them: the most urgent first, of many hosts."""

import asyncio
import itertools
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from server.backlog import Backlog, Tally
from server.errors import Overloaded, ShuttingDown
from server.estimates import moving_average
from server.sources.fetched import Fetched
from server.urgency import Priority, Urgency

_LEAST_URGENT: Urgency = (max(Priority), math.inf)


class _Host:
    """Where media are read from.

    Attributes:
        limit: of them read at once.
        reading: how many are read now.
        waiting: those that wait.
        mean_seconds: that one takes; 0 before any.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.reading = 0
        self.waiting = Tally()
        self.mean_seconds = 0.0

    @property
    def has_room(self) -> bool:
        """Whether another may be read now."""
        return self.reading < self.limit

    def ahead(self, urgency: Urgency) -> float:
        """How many are read already, or before one of this urgency that comes now."""
        return self.reading + self.waiting.before(urgency)


@dataclass(order=True, slots=True)
class FetchJob:
    """One medium; ordered by urgency, then by arrival.

    Attributes:
        cost: one medium, as nothing is known of how long it will take.
    """

    urgency: Urgency
    number: int = field(default_factory=itertools.count().__next__, init=False)
    host: _Host = field(compare=False)
    read: Callable[[], Fetched] = field(compare=False)
    future: "Future[Fetched]" = field(compare=False, default_factory=Future)
    cost: float = field(compare=False, default=1.0, init=False)


class FetchPool(Backlog[FetchJob]):
    """Thread-safe.

    Args:
        workers: media fetched at once.
        max_per_host: of which from one host, so that a slow one leaves threads for others; 0: three quarters.
    """

    def __init__(self, workers: int, max_per_host: int = 0) -> None:
        super().__init__()
        self._workers = workers
        self._max_per_host = max_per_host or max(1, workers * 3 // 4)
        # Callers name them: one is forgotten once nothing of it waits or is read.
        self._hosts: WeakValueDictionary[str, _Host] = WeakValueDictionary()
        self._unbounded = _Host(workers)
        # Those of which something is read.
        self._reading: set[_Host] = set()
        self._mean_seconds = 0.0
        self._closed = False
        # Threads that read, or are about to look what they may read.
        self._busy = 0
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="fetch")

    @property
    def backlog_seconds(self) -> float:
        """Estimated seconds until a medium that comes now would be fetched, if its host has room."""
        return self.seconds_before(_LEAST_URGENT)

    def seconds_before(self, urgency: Urgency) -> float:
        """The same for a medium of this urgency."""
        with self._lock:
            if self._busy < self._workers:
                return 0.0
            # Files and S3 too: else each that waits would count like one of a host that is not known.
            known = {self._unbounded, *self._reading}
            # Of each host: what one medium takes, how many go first, and in how many threads at most.
            hosts = [
                (self._mean(host), ahead, min(ahead, host.limit))
                for host in known
                if (ahead := host.ahead(urgency))
            ]
            # Those of other hosts.
            others = self._tally.before(urgency) - sum(host.waiting.before(urgency) for host in known)
        threads = float(self._workers)
        number = others + sum(ahead for _, ahead, _ in hosts)
        seconds = others * self._mean_seconds + sum(mean * ahead for mean, ahead, _ in hosts)
        wait = _wait(threads, number, seconds)
        # If that is sooner: the host that has most to do keeps its threads, and others share the rest.
        for mean, ahead, kept in sorted(hosts, key=lambda host: host[0] * host[1] / host[2], reverse=True):
            if kept < threads:
                threads, number, seconds = threads - kept, number - ahead, seconds - mean * ahead
                wait = min(wait, _wait(threads, number, seconds))
        return wait

    async def fetch(self, read: Callable[[], Fetched], urgency: Urgency, host: str = "") -> Fetched:
        """What `read` gives. Cancelling it before a thread takes it costs nothing.

        Args:
            host: that it reads from; without a name it is not bounded.

        Raises:
            Overloaded: its host has too much to do until the deadline.
            ShuttingDown: after `close`.
        """
        with self._lock:
            if self._closed:
                raise ShuttingDown("the server is stopping")
            job = FetchJob(urgency, self._host(host), read)
            self._check(job)
            self._add(job)
            another = self._busy < self._workers and job.host.has_room
            self._busy += another
        self._watch(job)
        if another:
            self._threads.submit(self._work)
        try:
            return await asyncio.wrap_future(job.future)
        finally:
            # The error of one that failed holds this frame, and its caller's other media: a circle.
            del job

    def close(self) -> None:
        """Cancels what waits; does not wait for what is still being read: nobody does."""
        with self._lock:
            self._closed = True
            waiting = self._jobs
            self._take_out(waiting)
        self._threads.shutdown(wait=False, cancel_futures=True)
        for job in waiting:
            job.future.cancel()

    def _host(self, name: str) -> _Host:
        host = self._hosts.get(name) if name else self._unbounded
        if host is None:
            host = self._hosts[name] = _Host(self._max_per_host)
        return host

    def _check(self, job: FetchJob) -> None:
        """Raises Overloaded if it would get its turn too late: of hosts, whoever let it in knew nothing."""
        host = job.host
        turns = max(0, host.ahead(job.urgency) + 1 - host.limit)
        wait = turns * host.mean_seconds / host.limit
        if wait and time.monotonic() + wait > job.urgency[1]:
            raise Overloaded(
                f"{wait:.1f} s of reading from its host go first, too much for the deadline", retry_after=wait
            )

    def _count(self, job: FetchJob, number: int) -> None:
        super()._count(job, number)
        job.host.waiting.count(job, number)

    def _mean(self, host: _Host) -> float:
        """Seconds that a medium of this host takes; of one that is not known, what others took at first."""
        return host.mean_seconds or self._mean_seconds

    def _work(self) -> None:
        while (job := self._take()) is not None:
            self._read(job)

    def _take(self) -> FetchJob | None:
        """The most urgent job whose host has room; None if there is none, and the thread has to end."""
        with self._lock:
            place = 0
            while place < len(self._jobs):
                if not self._jobs[place].host.has_room:
                    place += 1
                    continue
                job = self._pop(place)
                # Cancelled ones may have been taken out already.
                if job.future.set_running_or_notify_cancel():
                    job.host.reading += 1
                    self._reading.add(job.host)
                    return job
            self._busy -= 1
            return None

    def _read(self, job: FetchJob) -> None:
        host, start = job.host, time.perf_counter()
        try:
            job.future.set_result(job.read())
        except BaseException as error:
            job.future.set_exception(error)
        finally:
            # The frames of an error, of which this is one, would keep the job, and that the error.
            del job
        self._learn(host, time.perf_counter() - start)

    def _learn(self, host: _Host, seconds: float) -> None:
        with self._lock:
            host.reading -= 1
            if not host.reading:
                self._reading.remove(host)
            if not host.mean_seconds:
                # Only the first of each, or else one that is slow would stand for all that are not known.
                self._mean_seconds = moving_average(self._mean_seconds, seconds)
            host.mean_seconds = moving_average(host.mean_seconds, seconds)


def _wait(threads: float, number: float, seconds: float) -> float:
    """Until a thread is free, where so many media go first, which take `seconds` together."""
    # What waits beside an idle thread is about to be taken.
    return max(0, number + 1 - threads) * seconds / (threads * max(1, number))
