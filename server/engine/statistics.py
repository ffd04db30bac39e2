"""What an engine has done since it was loaded."""

import copy
import time
from dataclasses import dataclass, field
from threading import Lock


@dataclass(slots=True)
class Spent:
    """How often, and how many seconds together."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float, count: int = 1) -> None:
        self.count += count
        self.seconds += seconds


@dataclass(slots=True)
class Figures:
    """Counts of requests, except where it says runs.

    Attributes:
        scored: from the queue to the answer.
        failed: the same, of those that the graph could not be run on.
        queued: waiting for the engine.
        shared: the whole run, once for each request in it.
        runs: by the number of requests that shared one.
        last_run: time.time() at the end of the last one; 0 before the first.
    """

    scored: Spent = field(default_factory=Spent)
    failed: Spent = field(default_factory=Spent)
    queued: Spent = field(default_factory=Spent)
    shared: Spent = field(default_factory=Spent)
    runs: dict[int, Spent] = field(default_factory=dict)
    last_run: float = 0.0


class Statistics:
    """Adds up the runs of an engine; safe to use from threads."""

    def __init__(self) -> None:
        self._figures = Figures()
        self._lock = Lock()

    def ran(self, size: int, waited: float, seconds: float) -> None:
        """Counts a run of `size` requests, which had waited `waited` seconds together."""
        with self._lock:
            figures = self._figures
            figures.queued.add(waited, size)
            figures.shared.add(size * seconds, size)
            figures.scored.add(waited + size * seconds, size)
            figures.runs.setdefault(size, Spent()).add(seconds)
            figures.last_run = time.time()

    def failed(self, seconds: float) -> None:
        """Counts a request that failed after `seconds` in the queue and in its run."""
        with self._lock:
            self._figures.failed.add(seconds)

    @property
    def figures(self) -> Figures:
        """As they are now."""
        with self._lock:
            return copy.deepcopy(self._figures)
