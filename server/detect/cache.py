"""Verdicts on media that were judged before, and one computation for all who ask at the same time."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace

from server.detect.contents import Hashes
from server.detect.request import Detection, Options, ScoredRow
from server.errors import CorruptMedia, DecodeTimeout, MediaError, UnsupportedMedia
from server.urgency import Priority, Urgency, has_passed

# Callers with the same time limit ask at slightly different moments.
_SLACK_SECONDS = 0.5
# Failures that the same bytes lead to every time. Crashes and time-outs are not among them, nor are
# limits: memory that was short once need not be short again.
_LASTING = (CorruptMedia, UnsupportedMedia)
# Python's objects, roughly: of an entry and its key, of what is known of one medium, and of one row.
_ENTRY_BYTES = 1536
_MEDIUM_BYTES = 640
_ROW_BYTES = 384


@dataclass(frozen=True, slots=True)
class Question:
    """All that decides an answer.

    Attributes:
        engine: serial number of the engine.
        media: their hashes and stated kinds.
        options: of the request.
    """

    engine: int
    media: Hashes
    options: Options


@dataclass(slots=True)
class _Entry:
    answer: Detection | MediaError
    size: int
    stored: float


class _Flight:
    """A computation that others wait for."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.waiting: list[asyncio.Future[None]] = []
        self.answer: Detection | MediaError | None = None

    def land(self) -> None:
        """Wakes those who wait."""
        for place in self.waiting:
            if not place.done():
                place.set_result(None)


class VerdictCache:
    """Answers, and media errors that last, by question; the least recently asked go first.

    For use on one event loop.

    Args:
        max_bytes: of all entries, estimated.
        max_entries: how many.
        seconds: how long an entry is good.

    Attributes:
        hits: questions answered by an entry, or by somebody else's computation.
        misses: questions that had to be computed.
        enabled: whether it may keep anything; if not, nobody asks it, and equal questions are not joined.
        size: bytes of all entries, estimated.
    """

    def __init__(self, max_bytes: int, max_entries: int, seconds: float) -> None:
        self.hits = self.misses = self.size = 0
        self.enabled = max_bytes > 0 and max_entries > 0
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._seconds = seconds
        self._entries: OrderedDict[Question, _Entry] = OrderedDict()
        self._flights: dict[tuple[Question, Priority], _Flight] = {}
        # Those who wait for a flight, which is done when they are about to go on.
        self._waiting: dict[asyncio.Future[None], Urgency] = {}

    @property
    def entries(self) -> int:
        """How many there are."""
        return len(self._entries)

    def find(self, question: Question) -> Detection | None:
        """The answer given before, if it is known. Raises the MediaError that was."""
        entry = self._entries.get(question)
        if entry is None:
            return None
        if time.monotonic() - entry.stored > self._seconds:
            self._forget(question)
            return None
        self._entries.move_to_end(question)
        return self._hit(entry.answer)

    async def answer(
        self, question: Question, urgency: Urgency, compute: Callable[[], Awaitable[Detection]]
    ) -> Detection:
        """The known answer, or that of whoever computes it already, or what `compute` gives.

        Whoever waits for another's computation takes over if that one is cancelled or fails in a way
        that says nothing about the media, but shares its decoding time-out. Nobody waits for a computation
        of lower priority or with a much later deadline, which stands behind others in the queue.

        Raises:
            MediaError: as `compute` did, for this question.
            Exception: as `compute` does; as `drop` was told.
        """
        priority, deadline = urgency
        key = (question, priority)
        while True:
            if known := self.find(question):
                return known
            flight = self._flights.get(key)
            if flight is None or flight.deadline > deadline + _SLACK_SECONDS:
                return await self._lead(key, deadline, compute)
            await self._landed(flight, urgency)
            if flight.answer is not None:
                return self._hit(flight.answer)

    def least_urgent(self) -> Urgency | None:
        """Of those who wait for another's computation; None if nobody does."""
        return max((urgency for _, urgency in self._patient()), default=None)

    def drop(self, than: Urgency, error: Exception) -> bool:
        """Fails the least urgent of them with `error`, if it is less urgent than `than`."""
        place, least = max(self._patient(), key=lambda waiting: waiting[1], default=(None, than))
        if place is None or least <= than:
            return False
        place.set_exception(error)
        return True

    def _patient(self) -> Iterator[tuple[asyncio.Future[None], Urgency]]:
        return ((place, urgency) for place, urgency in self._waiting.items() if not place.done())

    async def _landed(self, flight: _Flight, urgency: Urgency) -> None:
        place = asyncio.get_running_loop().create_future()
        flight.waiting.append(place)
        self._waiting[place] = urgency
        try:
            await place
        finally:
            flight.waiting.remove(place)
            del self._waiting[place]
            # The error of one that was dropped holds this frame, and its caller's media: a circle.
            del place

    async def _lead(
        self, key: tuple[Question, Priority], deadline: float, compute: Callable[[], Awaitable[Detection]]
    ) -> Detection:
        self.misses += 1
        flight = self._flights[key] = _Flight(deadline)
        try:
            detection = await compute()
            own = tuple(map(_own, detection.rows))
            flight.answer = replace(detection, rows=own, cached=True)
            return detection
        except _LASTING as error:
            flight.answer = _fresh(error)
            raise
        except DecodeTimeout as error:
            # Those who wait would find the same, one after another, unless only this caller's time was up.
            if not has_passed(deadline):
                flight.answer = _fresh(error)
            raise
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]
            flight.land()
            if isinstance(flight.answer, (Detection, *_LASTING)):
                self._store(key[0], flight.answer)

    def _hit(self, answer: Detection | MediaError) -> Detection:
        self.hits += 1
        if isinstance(answer, MediaError):
            raise _fresh(answer)
        return answer

    def _store(self, question: Question, answer: Detection | MediaError) -> None:
        size = _ENTRY_BYTES + _MEDIUM_BYTES * len(question.media)
        if isinstance(answer, Detection):
            size += sum(map(_row_bytes, answer.rows))
        if size > self._max_bytes:
            return
        self._forget(question)
        self._entries[question] = _Entry(answer, size, time.monotonic())
        self.size += size
        while self.size > self._max_bytes or len(self._entries) > self._max_entries:
            self._forget(next(iter(self._entries)))

    def _forget(self, question: Question) -> None:
        if entry := self._entries.pop(question, None):
            self.size -= entry.size


def _own(row: ScoredRow) -> ScoredRow:
    # A heatmap is a view of a whole batch's, which an entry must not keep in memory.
    return row if row.heatmap is None else replace(row, heatmap=row.heatmap.copy())


def _row_bytes(row: ScoredRow) -> int:
    return _ROW_BYTES + (0 if row.heatmap is None else row.heatmap.nbytes)


def _fresh(error: MediaError) -> MediaError:
    """The same failure for another caller, who may add to its message and its traceback."""
    again = type(error)(error.message, error.hint)
    again.medium = error.medium
    return again
