"""Results of other threads, brought to the event loop many at a time."""

import asyncio
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class Mailbox:
    """Like `asyncio.wrap_future`, which wakes the loop anew for each of the answers of a batch.

    For use on one event loop.
    """

    def __init__(self) -> None:
        self._post: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()
        self._called = False

    def bring(self, work: "Future[_Result]") -> "asyncio.Future[_Result]":
        """What `work` gives, to be awaited. Cancelling it cancels `work`."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[_Result] = loop.create_future()
        waiting.add_done_callback(partial(_give_up, work))
        work.add_done_callback(partial(self._put, loop, waiting))
        return waiting

    async def bring_all(self, work: "Iterable[Future[_Result]]") -> list[_Result]:
        """What each of them gives. If one fails, or this is cancelled, so are the others."""
        waiting = [self.bring(each) for each in work]
        try:
            # For a lone one, which most are, gather would take a turn of the loop.
            return [await waiting[0]] if len(waiting) == 1 else await asyncio.gather(*waiting)
        finally:
            # Nobody will read the others' answers when one has failed; and its error refers to this frame,
            # which must not refer back to it: such a cycle would keep what was to be judged alive.
            while waiting:
                waiting.pop().cancel()

    def _put(
        self, loop: asyncio.AbstractEventLoop, waiting: "asyncio.Future[_Result]", work: "Future[_Result]"
    ) -> None:
        if waiting.done():  # it was cancelled, and the loop may be closed
            return
        # From any thread. That two of them call the loop at the same moment does no harm.
        self._post.append((waiting, work))
        if not self._called:
            self._called = True
            loop.call_soon_threadsafe(self._hand_out)

    def _hand_out(self) -> None:
        # First, so that what is put from now on calls again.
        self._called = False
        while self._post:
            waiting, work = self._post.popleft()
            if waiting.done():
                continue
            if work.cancelled():
                waiting.cancel()
            elif error := work.exception():
                waiting.set_exception(error)
            else:
                waiting.set_result(work.result())


def _give_up(work: "Future[_Result]", waiting: "asyncio.Future[_Result]") -> None:
    if waiting.cancelled():
        work.cancel()
