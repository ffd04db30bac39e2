"""Serves the highest version that works: looks for others, tries them, and swaps without a pause."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from server.engine.engine import Engine
from server.engine.live import LiveEngine
from server.engine.repository import Repository, Version
from server.errors import DetectorError

log = logging.getLogger(__name__)


class Reloader:
    """Keeps `live` on the highest version of the repository that can be loaded.

    A version that fails is left out until its file changes. There are never more than two engines:
    the next look waits until the engine that was replaced is closed.

    Args:
        repository: where the versions are.
        load: makes a graph an engine that is tested and ready, or raises. Called outside the event loop.

    Attributes:
        live: what serves now.
        swaps: how often another version took over.
        failures: how many versions could not be loaded.

    Raises:
        Exception: none works; what `load` raised for the highest.
    """

    def __init__(self, repository: Repository, load: Callable[[Path], Engine]) -> None:
        self.swaps = self.failures = 0
        self._repository = repository
        self._load = load
        self._failed: dict[Version, Exception] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        self._serving: Version | None = None
        self._seen = repository.versions()
        found = self._best(self._seen)
        if found is None:
            raise next(iter(self._failed.values()))
        self._serving, engine = found
        self.live = LiveEngine(engine)

    @property
    def available(self) -> list[str]:
        """Numbers of the versions that were there at the last look, the highest first."""
        return [version.number for version in self._seen]

    @property
    def passed_over(self) -> int:
        """How many versions would serve now if they could be loaded."""
        return sum(version in self._failed for version in self._candidates(self._seen))

    async def run(self, poll_seconds: float) -> None:
        """Looks every `poll_seconds` (0: never) and whenever asked to, until stopped."""
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), poll_seconds or None)
            asked = self._wake.is_set()
            self._wake.clear()
            try:
                if not self._stopping:
                    await self._look(asked)
            except Exception:
                # Want of threads or memory passes, and then there shall be a next look.
                log.exception("cannot look for other versions of the model")

    def look_now(self) -> None:
        """Looks at once, and tries again what failed before."""
        self._wake.set()

    def stop(self) -> None:
        """Ends `run`, after the swap that may be going on."""
        self._stopping = True
        self._wake.set()

    async def _look(self, asked: bool) -> None:
        try:
            there = await asyncio.to_thread(self._repository.versions)
        except OSError as error:
            log.warning("the model repository cannot be read: %s", error)
            return
        # A file that is still being copied changes from one look to the next.
        settled = [version for version in self._candidates(there) if asked or version in self._seen]
        self._seen = there
        if asked:
            self._failed.clear()
        found = await asyncio.to_thread(self._best, settled)
        if found is None:
            return
        version, engine = found
        if self._stopping:
            await asyncio.to_thread(engine.close)
            return
        log.info("version %s takes over", version.number)
        self.swaps += 1
        self._serving = version
        await self.live.replace(engine)

    def _candidates(self, there: list[Version]) -> list[Version]:
        """Those that may serve: none lower than what does, unless that was taken away."""
        serving = self._serving and self._serving.number
        if serving not in [version.number for version in there]:
            return there
        # Its file may be new and not settled yet, or broken: no reason to go back to a lower one.
        return [version for version in there if int(version.number) >= int(serving)]

    def _best(self, versions: Iterable[Version]) -> tuple[Version, Engine] | None:
        """The first version that can be loaded; None if that is the one that serves."""
        for version in versions:
            if version == self._serving:
                return None
            if version in self._failed:
                continue
            try:
                return version, self._load(version.graph)
            except Exception as error:
                self.failures += 1
                unexpected = not isinstance(error, DetectorError)
                log.error("version %s is not served: %s", version.number, error, exc_info=unexpected)
                self._failed[version] = _without_frames(error)
        return None


def _without_frames(error: Exception) -> Exception:
    """The same; in its frames the graph that failed would stay in memory."""
    one: BaseException | None = error
    while one:
        one.__traceback__ = None
        one = one.__context__
    return error
