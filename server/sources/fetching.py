"""Media that wait to be fetched, and the threads that fetch them: the most urgent first, of many hosts."""

import asyncio
import itertools
import math
import time
from bisect import bisect
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from server.backlog import Backlog
from server.errors import Overloaded, ShuttingDown
from server.estimates import moving_average
from server.sources.fetched import Fetched
from server.urgency import Priority, Urgency

_LEAST_URGENT: Urgency = (max(Priority), math.inf)


class _Host:
    """Where media are read from.

    Attributes:
        limit: of them read at once.
        room: how many more may be read now.
        mean_seconds: that one takes; 0 before any.
    """

    def __init__(self, limit: int) -> None:
        self.limit = self.room = limit
        self.mean_seconds = 0.0


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
            wanted = (job for job in self._jobs if job.urgency <= urgency and job.future in self._wanted)
            ahead = Counter(job.host for job in wanted)
            for host in (self._unbounded, *self._hosts.values()):
                ahead[host] += host.limit - host.room
        threads, number = self._workers, ahead.total()
        seconds = sum(count * self._mean(host) for host, count in ahead.items())
        wait = _wait(threads, number, seconds)
        # If that is sooner: the busiest host keeps the threads that it may have, and others share the rest.
        for host in sorted(ahead, key=lambda host: ahead[host] / host.limit, reverse=True):
            if host.limit < threads:
                threads, number = threads - host.limit, number - ahead[host]
                seconds -= ahead[host] * self._mean(host)
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
            another = self._busy < self._workers and job.host.room > 0
            self._busy += another
        self._watch(job)
        if another:
            self._threads.submit(self._work)
        return await asyncio.wrap_future(job.future)

    def close(self) -> None:
        """Cancels what waits; does not wait for what is still being read: nobody does."""
        with self._lock:
            self._closed = True
            waiting = self._jobs
            self._keep(())
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
        host, before = job.host, self._jobs[: bisect(self._jobs, job)]
        ahead = sum(other.host is host and other.future in self._wanted for other in before)
        wait = max(0, ahead + 1 - host.room) * self._mean(host) / host.limit
        if wait and time.monotonic() + wait > job.urgency[1]:
            raise Overloaded(
                f"{wait:.1f} s of reading from its host go first, too much for the deadline", retry_after=wait
            )

    def _mean(self, host: _Host) -> float:
        """Seconds that a medium of this host takes."""
        return host.mean_seconds or self._mean_seconds

    def _work(self) -> None:
        while (job := self._take()) is not None:
            self._read(job)

    def _take(self) -> FetchJob | None:
        """The most urgent job whose host has room; None if there is none, and the thread has to end."""
        with self._lock:
            place = 0
            while place < len(self._jobs):
                if not self._jobs[place].host.room:
                    place += 1
                    continue
                job = self._pop(place)
                # Cancelled ones may have been taken out already.
                if job.future.set_running_or_notify_cancel():
                    job.host.room -= 1
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
        self._count(host, time.perf_counter() - start)

    def _count(self, host: _Host, seconds: float) -> None:
        with self._lock:
            host.room += 1
            host.mean_seconds = moving_average(host.mean_seconds, seconds)
            self._mean_seconds = moving_average(self._mean_seconds, seconds)


def _wait(threads: int, number: int, seconds: float) -> float:
    """Until a thread is free, where so many media go first, which take `seconds` together."""
    # What waits beside an idle thread is about to be taken.
    return max(0, number + 1 - threads) * seconds / (threads * max(1, number))
