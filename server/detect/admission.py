"""Who is let in while there is more work than time."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from server.detect.cache import VerdictCache
from server.detect.forecast import Forecast
from server.detect.request import Stage
from server.engine.engine import Engine
from server.engine.live import LiveEngine
from server.errors import DeadlineExceeded, Overloaded, ShuttingDown
from server.media.isolation import DecodePool
from server.sources.fetching import FetchPool
from server.urgency import Urgency, has_passed

_SHORTEST_RETRY_SECONDS = 0.1
# Deadlines that differ by less than this share of the time left count as the same.
_ALIKE_SHARE = 0.1


class Admission:
    """Counts the requests that are accepted and not yet answered, and bounds them.

    A request that more urgent work would likely delay beyond its deadline is refused at once. When there is
    no room, the least urgent request that waits to be fetched, for a decoder, the engine or another's verdict
    gives way to a more urgent one; if none is less urgent, the newcomer is refused. For use on one event
    loop.

    Args:
        live: whose queue requests wait in.
        decoders: whose backlog they wait in before.
        fetching: where those wait first whose media are named by URI.
        verdicts: where those wait whose media are judged for others already.
        max_requests: accepted and unanswered at once.

    Attributes:
        in_flight: accepted and not yet answered.
        draining: whether all are refused.
        forecasts: how long newcomers will take, by where they begin.
    """

    def __init__(
        self,
        live: LiveEngine,
        decoders: DecodePool,
        fetching: FetchPool,
        verdicts: VerdictCache,
        max_requests: int,
    ) -> None:
        self.in_flight = 0
        self.draining = False
        self._live = live
        self._decoders = decoders
        self._fetching = fetching
        self._verdicts = verdicts
        self._max_requests = max_requests
        self.forecasts = {stage: Forecast() for stage in Stage}
        self._idle = asyncio.Event()
        self._idle.set()

    async def drain(self) -> None:
        """Refuses new requests from now on, and waits for the accepted ones to be answered."""
        self.draining = True
        await self._idle.wait()

    @contextmanager
    def accepted(self, urgency: Urgency, size: int = 0, first: Stage = Stage.DECODE) -> Iterator[None]:
        """Counts a request until the context ends. Raises ShuttingDown, DeadlineExceeded, Overloaded.

        Args:
            size: bytes that came with it.
            first: where it begins.
        """
        began, deadline = time.monotonic(), urgency[1]
        forecast = self.forecasts[first]
        wait = self._check(urgency, began, size, first)
        self.in_flight += 1
        self._idle.clear()
        allowed = deadline - began
        # With nothing before it, a fetch takes as long as its host wants to, which tells nothing of others.
        telling = wait > 0 or first != Stage.FETCH
        try:
            yield
            if telling:
                forecast.learn(wait, size, time.monotonic() - began, allowed)
        except (DeadlineExceeded, asyncio.CancelledError) as error:
            # gRPC cancels a call at its deadline, mostly before the time-out here is noticed.
            late = isinstance(error, DeadlineExceeded) or has_passed(deadline)
            # All that is known is that it takes longer than `allowed`: that must not lower an estimate.
            if telling and late and (wait or allowed > forecast.alone.of(size)):
                forecast.learn(wait, size, allowed, allowed)
            raise
        finally:
            self.in_flight -= 1
            if self.in_flight == 0:
                self._idle.set()

    def _check(self, urgency: Urgency, now: float, size: int, first: Stage) -> float:
        """Estimated seconds until its turn. Raises ShuttingDown, DeadlineExceeded, Overloaded."""
        if self.draining:
            raise ShuttingDown("the server is stopping")
        deadline, forecast = urgency[1], self.forecasts[first]
        if deadline <= now:
            # Let in, it would be learnt from as if its wait had been estimated wrongly.
            raise DeadlineExceeded("the deadline had passed before the request was there")
        ahead = self._stages()[: first + 1]
        # All that waits, a sum that is at hand; what of it goes first has to be counted one by one.
        wait = sum(stage.backlog_seconds for stage in ahead)
        full = self.in_flight >= self._max_requests
        if full or now + forecast.seconds(wait, size) > deadline:
            # With those whose deadlines are about the same: it would go before them, and make them late.
            those = urgency[0], deadline + _ALIKE_SHARE * (deadline - now)
            wait = sum(stage.seconds_before(those) for stage in ahead)
        if now + forecast.seconds(wait, size) > deadline:
            raise Overloaded(f"{wait:.1f} s of work go first, too much for the deadline", retry_after=wait)
        retry = max(_SHORTEST_RETRY_SECONDS, wait)
        if full and not self._made_room(urgency, retry):
            raise Overloaded(f"{self.in_flight} requests are waiting already", retry_after=retry)
        return wait

    def _stages(self) -> tuple[Engine, DecodePool, FetchPool]:
        """Where requests wait, in the order of `Stage`."""
        return self._live.current, self._decoders, self._fetching

    def _made_room(self, urgency: Urgency, retry: float) -> bool:
        """Whether a less urgent request gave way, to be sent again after `retry` seconds."""
        places = *self._stages(), self._verdicts
        waiting = [(least, place) for place in places if (least := place.least_urgent())]
        if not waiting:
            return False
        _, place = max(waiting, key=lambda pair: pair[0])
        return place.drop(urgency, Overloaded("a more urgent request needed the room", retry_after=retry))
