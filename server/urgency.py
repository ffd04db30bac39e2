"""Who goes first when there is not enough for all."""

import math
import time
from enum import IntEnum


class Priority(IntEnum):
    """As `deepfake.v1.Priority`; sorts the most urgent first."""

    INTERACTIVE = 0
    NORMAL = 1
    BATCH = 2


Urgency = tuple[Priority, float]
"""Priority and deadline, a time.monotonic(); the most urgent sorts first."""
NOT_URGENT: Urgency = (Priority.NORMAL, math.inf)
"""Of work that nobody waits for with a deadline."""

# gRPC ends a call at its deadline by a clock of its own, which may be a little ahead.
_AHEAD_SECONDS = 0.02


def has_passed(deadline: float) -> bool:
    """Whether a call that gRPC cancels now is cancelled because of this deadline, a time.monotonic()."""
    return time.monotonic() >= deadline - _AHEAD_SECONDS
