"""Who is let in while there is more work than time."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from server.detect.forecast import Forecast
from server.engine.live import LiveEngine
from server.errors import DeadlineExceeded, Overloaded, ShuttingDown
from server.media.isolation import DecodePool
from server.sources.fetching import FetchPool
from server.urgency import Urgency, has_passed

_SHORTEST_RETRY_SECONDS = 0.1


class Admission:
    """Counts the requests that are accepted and not yet answered, and bounds them.

    A request that more urgent work would likely delay beyond its deadline is refused at once. When there is
    no room, the least urgent request that waits to be fetched, for a decoder or the engine gives way to a
    more urgent one; if none is less urgent, the newcomer is refused. For use on one event loop.

    Args:
        live: whose queue requests wait in.
        decoders: whose backlog they wait in before.
        fetching: where those wait first whose media are named by URI.
        max_requests: accepted and unanswered at once.

    Attributes:
        in_flight: accepted and not yet answered.
        draining: whether all are refused.
        forecast: how long newcomers will wait.
        forecast_by_uri: the same of those whose media are named by URI, as these take longer.
    """

    def __init__(
        self, live: LiveEngine, decoders: DecodePool, fetching: FetchPool, max_requests: int
    ) -> None:
        self.in_flight = 0
        self.draining = False
        self._live = live
        self._decoders = decoders
        self._fetching = fetching
        self._max_requests = max_requests
        self.forecast, self.forecast_by_uri = Forecast(), Forecast()
        self._idle = asyncio.Event()
        self._idle.set()

    async def drain(self) -> None:
        """Refuses new requests from now on, and waits for the accepted ones to be answered."""
        self.draining = True
        await self._idle.wait()

    @contextmanager
    def accepted(self, urgency: Urgency, by_uri: bool = False) -> Iterator[None]:
        """Counts a request until the context ends. Raises ShuttingDown, DeadlineExceeded, Overloaded.

        Args:
            by_uri: whether media of it are yet to be fetched.
        """
        began, deadline = time.monotonic(), urgency[1]
        forecast = self.forecast_by_uri if by_uri else self.forecast
        wait = self._check(urgency, began, forecast, by_uri)
        self.in_flight += 1
        self._idle.clear()
        allowed = deadline - began
        try:
            yield
            forecast.learn(wait, time.monotonic() - began, allowed)
        except (DeadlineExceeded, asyncio.CancelledError) as error:
            # gRPC cancels a call at its deadline, mostly before the time-out here is noticed.
            late = isinstance(error, DeadlineExceeded) or has_passed(deadline)
            # All that is known is that it takes longer than `allowed`: that must not lower an estimate.
            if late and (wait or allowed > forecast.alone):
                forecast.learn(wait, allowed, allowed)
            raise
        finally:
            self.in_flight -= 1
            if self.in_flight == 0:
                self._idle.set()

    def _check(self, urgency: Urgency, now: float, forecast: Forecast, by_uri: bool) -> float:
        """Estimated seconds until its turn. Raises ShuttingDown, DeadlineExceeded, Overloaded."""
        if self.draining:
            raise ShuttingDown("the server is stopping")
        deadline = urgency[1]
        if deadline <= now:
            # Let in, it would be learnt from as if its wait had been estimated wrongly.
            raise DeadlineExceeded("the deadline had passed before the request was there")
        # All that waits, a sum that is at hand; what of it goes first has to be counted one by one.
        wait = self._seconds(self._decoders.unfinished, self._live.current.backlog_seconds)
        wait += self._fetching.backlog_seconds if by_uri else 0.0
        full = self.in_flight >= self._max_requests
        if full or now + forecast.seconds(wait) > deadline:
            wait = self._seconds_before(urgency, by_uri)
        if now + forecast.seconds(wait) > deadline:
            raise Overloaded(f"{wait:.1f} s of work go first, too much for the deadline", retry_after=wait)
        if full and not self._made_room(urgency, wait):
            raise Overloaded(
                f"{self.in_flight} requests are waiting already",
                retry_after=max(_SHORTEST_RETRY_SECONDS, wait),
            )
        return wait

    def _seconds_before(self, urgency: Urgency, by_uri: bool) -> float:
        engine = self._live.current
        wait = self._seconds(self._decoders.unfinished_before(urgency), engine.seconds_before(urgency))
        return wait + (self._fetching.seconds_before(urgency) if by_uri else 0.0)

    def _seconds(self, media: float, in_engine: float) -> float:
        """What media that are yet to be decoded will take, and what the engine has to do."""
        # The engine has to do with them, too, and mostly on the same cores.
        return media * (self._decoders.seconds_each + self._live.current.seconds_each) + in_engine

    def _made_room(self, urgency: Urgency, wait: float) -> bool:
        """Whether a less urgent request gave way."""
        stages = (self._fetching, self._decoders, self._live.current)
        least_urgent = [(stage.least_urgent(), stage) for stage in stages]
        waiting = [(least, stage) for least, stage in least_urgent if least is not None]
        if not waiting:
            return False
        _, stage = max(waiting, key=lambda pair: pair[0])
        retry = max(_SHORTEST_RETRY_SECONDS, wait)
        return stage.drop(urgency, Overloaded("a more urgent request needed the room", retry_after=retry))
