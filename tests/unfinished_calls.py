"""Calls that wait for a caller who says no more."""

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def unfinished(begin: Callable[[Iterator[Any]], Any], *messages: Any) -> Iterator[Any]:
    """The call that `begin` makes of its messages: it has sent these, and never ends by itself."""
    outgoing: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for message in messages:
        outgoing.put(message)
    call = begin(iter(outgoing.get, None))
    try:
        yield call
    finally:
        call.cancel()
        outgoing.put(None)
