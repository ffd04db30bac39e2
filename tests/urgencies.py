"""How urgent requests of tests are."""

import time

from server.urgency import Priority, Urgency


def soon(seconds: float = 30.0, priority: Priority = Priority.NORMAL) -> Urgency:
    """Wanted in so many seconds from now."""
    return priority, time.monotonic() + seconds
