"""The engine that answers now, and its replacement while requests are being answered."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from server.engine.engine import Engine


class LiveEngine:
    """The current engine, for use on one event loop.

    Whoever answers a request borrows the engine for the whole of it, so that a request ends on the
    engine on which it began.

    Args:
        engine: the first one; ready.
    """

    def __init__(self, engine: Engine) -> None:
        self._held = _Held(engine)

    @property
    def current(self) -> Engine:
        """For a look at it; to run something, borrow it."""
        return self._held.engine

    @contextmanager
    def borrowed(self) -> Iterator[Engine]:
        """The current engine, which is not closed before the context ends."""
        held = self._held
        held.users += 1
        try:
            yield held.engine
        finally:
            held.users -= 1
            if held.replaced and not held.users:
                held.unused.set()

    async def replace(self, engine: Engine) -> None:
        """Lets `engine` answer from now on; returns when the old one has finished and is closed."""
        old, self._held = self._held, _Held(engine)
        old.replaced = True
        if old.users:
            await old.unused.wait()
        await asyncio.to_thread(old.engine.close)

    def close(self) -> None:
        """Finishes what the current engine has queued, and stops it. Blocks."""
        self._held.engine.close()


class _Held:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.users = 0
        self.replaced = False
        self.unused = asyncio.Event()
