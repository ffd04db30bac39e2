"""Work that other processes have begun, in order and bounded in number."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

Job = TypeVar("Job")


def begun_ahead(jobs: Iterable[Job], count: int) -> Iterator[Job]:
    """The same jobs in the same order, each given when `count` more have been taken.

    Args:
        jobs: begins a job whenever the next one is taken. So many at once keep all processes busy while one
            job takes long, without everything in memory.
    """
    waiting: deque[Job] = deque()
    for job in jobs:
        waiting.append(job)
        if len(waiting) > count:
            yield waiting.popleft()
    while waiting:
        yield waiting.popleft()
