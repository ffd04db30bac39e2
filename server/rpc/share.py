"""What one caller may use: calls at once, and calls a second."""

import asyncio
import time

from server.errors import RateLimited

_TOO_MANY_AT_ONCE_RETRY_SECONDS = 0.5


class Share:
    """One caller's; for use on one event loop.

    The rate is a token bucket that holds one second's worth.

    Args:
        max_calls: at once.
        max_rate: calls a second; 0 for any.
    """

    def __init__(self, max_calls: int, max_rate: float) -> None:
        self._max_calls, self._rate = max_calls, max_rate
        self._calls = 0
        self._burst = max(max_rate, 1.0)
        self._left = self._burst
        self._filled = time.monotonic()

    def enter(self) -> None:
        """Counts a call that begins; `leave` must follow. Raises RateLimited."""
        if self._calls >= self._max_calls:
            raise RateLimited(
                f"{self._calls} calls with this token are running already",
                retry_after=_TOO_MANY_AT_ONCE_RETRY_SECONDS,
            )
        wait = self._wait()
        if wait > 0:
            raise RateLimited(f"more than {self._rate:g} calls a second with this token", retry_after=wait)
        self._left -= 1
        self._calls += 1

    def leave(self) -> None:
        self._calls -= 1

    async def turn(self) -> None:
        """Waits until one more request of a running stream fits the rate."""
        # Taken before the wait, so that streams that wait together queue up one behind another.
        wait = self._wait()
        self._left -= 1
        if wait > 0:
            await asyncio.sleep(wait)

    def _wait(self) -> float:
        """Seconds until a call fits the rate."""
        if not self._rate:
            return 0.0
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._filled) * self._rate)
        self._filled = now
        return max(0.0, (1 - self._left) / self._rate)
