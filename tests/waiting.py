"""Waiting for what another task, thread or process does."""

import asyncio
import time
from collections.abc import Callable


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Returns when it holds, and fails if that takes too long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


async def until_async(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """`until`, which lets other tasks run meanwhile."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
