"""Media that wait for a decoder."""

import itertools
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition

from server.backlog import Backlog
from server.errors import ShuttingDown
from server.media.types import MediaKind, MediaRows, RowSpec
from server.urgency import Urgency


@dataclass(order=True, slots=True)
class DecodeJob:
    """One medium; ordered by urgency, then by arrival.

    Attributes:
        cost: estimated seconds for which it keeps back those behind it.
    """

    urgency: Urgency
    number: int = field(default_factory=itertools.count().__next__, init=False)
    data: bytes = field(compare=False)
    spec: RowSpec = field(compare=False)
    kind: MediaKind | None = field(compare=False)
    cost: float = field(compare=False)
    future: "Future[MediaRows]" = field(compare=False, default_factory=Future)


class DecodeQueue(Backlog[DecodeJob]):
    """Thread-safe; every decoder takes from it."""

    def __init__(self) -> None:
        super().__init__()
        self._closed = False
        self._changed = Condition(self._lock)

    def put(self, job: DecodeJob) -> None:
        """Adds a job. Raises ShuttingDown after `close`."""
        with self._changed:
            if self._closed:
                raise ShuttingDown("the decode pool is closed")
            self._add(job)
            self._changed.notify()
        self._watch(job)

    def take(self) -> DecodeJob | None:
        """The most urgent job; None once the queue is closed and empty. Blocks."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            return self._pop() if self._jobs else None

    def close(self) -> None:
        """Takes no new jobs; those that wait are still handed out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
