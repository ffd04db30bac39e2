"""The loop: fetch messages, judge what they name, deliver the verdicts, and only then delete them.

Whatever stops it in between, the message is seen again after its visibility timeout, by this worker or
another. So no verdict is lost, and one that is delivered twice is recognised by its key.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from deepfake.v1 import detector_pb2 as pb
from server.backend import Backend
from server.detect.request import Detection, Stopwatch
from server.errors import (
    DetectorError,
    EngineFailed,
    InvalidRequest,
    MediaError,
    Overloaded,
    ShuttingDown,
    SourceNotAllowed,
    SourceNotFound,
)
from server.jobs import messages, results
from server.jobs.delivery import Delivery
from server.jobs.queue import Message, Queue
from server.jobs.settings import JobSettings
from server.rpc import convert

log = logging.getLogger(__name__)

# The media are to blame: that is an answer, and stays one.
_FINAL = (MediaError, SourceNotFound)
# The message or the settings are to blame: trying again would change nothing.
_HOPELESS = (InvalidRequest, SourceNotAllowed)
_LONGEST_PAUSE_SECONDS = 900.0
_PAUSE_SECONDS = 1.0
_HEARTBEATS_PER_TIMEOUT = 3


class Worker:
    """Works on one queue until told to stop; many may work on the same one.

    Args:
        backend: judges.
        deliveries: all get each result, in turn.
    """

    def __init__(
        self, backend: Backend, queue: Queue, deliveries: Sequence[Delivery], settings: JobSettings
    ) -> None:
        self._backend = backend
        self._queue = queue
        self._deliveries = deliveries
        self._settings = settings
        self._stopping = asyncio.Event()
        self._running: dict[asyncio.Task[None], Message] = {}

    def stop(self) -> None:
        """Makes `run` fetch no more, finish what it has as far as there is time, and return."""
        self._stopping.set()

    async def run(self) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        while not stopping.done():
            if len(self._running) >= self._settings.max_jobs:
                await asyncio.wait([*self._running, stopping], return_when=asyncio.FIRST_COMPLETED)
                continue
            for message in await self._fetched():
                task = asyncio.create_task(self._work(message))
                self._running[task] = message
                task.add_done_callback(self._running.pop)
        await self._drain()

    async def _fetched(self) -> list[Message]:
        free = self._settings.max_jobs - len(self._running)
        try:
            return await asyncio.to_thread(self._queue.receive, free, self._settings.poll_seconds)
        except Exception as error:  # for an answer that is none, botocore has no common kind
            self._backend.count_message("NOT_FETCHED")
            log.error("cannot fetch messages: %s", error, exc_info=not isinstance(error, DetectorError))
            await asyncio.sleep(_PAUSE_SECONDS)
            return []

    async def _drain(self) -> None:
        if not self._running:
            return
        log.info("finishing %d messages", len(self._running))
        _, late = await asyncio.wait(self._running, timeout=self._settings.drain_timeout_seconds)
        unfinished = [self._running[task] for task in late]
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for message in unfinished:
            try:
                await asyncio.to_thread(self._queue.release, message)
            except Exception as error:  # it may have been deleted meanwhile
                log.warning("message %s is left in the queue: %s", message.id, error)

    async def _work(self, message: Message) -> None:
        try:
            async with self._kept(message):
                await self._worked_off(message)
        except Exception as error:
            # It is seen again after its visibility timeout.
            self._backend.count_message("LEFT")
            unexpected = not isinstance(error, DetectorError)
            log.error("message %s is left in the queue: %s", message.id, error, exc_info=unexpected)

    async def _worked_off(self, message: Message) -> None:
        try:
            if message.receives > self._settings.max_receives:
                raise EngineFailed(f"{message.receives - 1} workers did not survive it or could not say why")
            for request in messages.requests(message.body):
                await self._delivered(await self._judged(request, request.id or message.id))
        except _HOPELESS as error:
            await self._bury(message, error)
        except ShuttingDown:
            await asyncio.to_thread(self._queue.release, message)
        except Exception as error:
            await self._failed(message, error)
        else:
            await asyncio.to_thread(self._queue.delete, message)
            self._backend.count_message("DELIVERED")

    async def _judged(self, request: pb.DetectRequest, name: str) -> results.Result:
        try:
            with self._backend.telemetry.request("Job", name) as record:
                detection = await self._detected(request, record.timing)
                record.answered(detection)
        except _FINAL as error:
            return results.failure(request, error)
        return results.verdict(request, convert.to_response(request, detection, record.timing))

    async def _detected(self, request: pb.DetectRequest, timing: Stopwatch) -> Detection:
        while True:
            asked = convert.to_request(request, self._settings, None)
            try:
                return await self._backend.pipeline.detect(asked, timing)
            except Overloaded as error:
                # By our own other messages, so this one only has to wait.
                await asyncio.sleep(error.retry_after)

    async def _delivered(self, result: results.Result) -> None:
        for delivery in self._deliveries:
            await asyncio.to_thread(delivery.deliver, result)

    async def _failed(self, message: Message, error: Exception) -> None:
        if not isinstance(error, DetectorError):
            log.error("message %s met an unexpected error", message.id, exc_info=error)
            error = EngineFailed(f"unexpected: {type(error).__name__}")
        if message.receives >= self._settings.max_receives:
            await self._bury(message, error)
            return
        pause = min(self._settings.retry_seconds * 2 ** (message.receives - 1), _LONGEST_PAUSE_SECONDS)
        log.warning("message %s is tried again in %.0f s: %s", message.id, pause, error)
        await asyncio.to_thread(self._queue.release, message, pause)
        self._backend.count_message("RETRIED")

    async def _bury(self, message: Message, error: DetectorError) -> None:
        log.error("message %s is a dead letter: %s: %s", message.id, error.code, error)
        await asyncio.to_thread(self._queue.bury, message, error)
        self._backend.count_message("DEAD_LETTER")

    @asynccontextmanager
    async def _kept(self, message: Message) -> AsyncIterator[None]:
        """Keeps others from getting the message while we work on it."""

        async def heartbeats() -> None:
            while True:
                await asyncio.sleep(self._settings.visibility_timeout_seconds / _HEARTBEATS_PER_TIMEOUT)
                try:
                    await asyncio.to_thread(self._queue.keep, message)
                except Exception as error:  # botocore has some of no common kind
                    log.warning("message %s may be given to others: %s", message.id, error)

        beating = asyncio.create_task(heartbeats())
        try:
            yield
        finally:
            beating.cancel()
