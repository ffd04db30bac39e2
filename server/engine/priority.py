"""Who goes first when there is not enough for all."""

from enum import IntEnum


class Priority(IntEnum):
    """As `deepfake.v1.Priority`; sorts the most urgent first."""

    INTERACTIVE = 0
    NORMAL = 1
    BATCH = 2


Urgency = tuple[Priority, float]
"""Priority and deadline, a time.monotonic(); the most urgent sorts first."""
