"""What a worker gives back when it has to stop, and that AWS may fail it meanwhile."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from server.errors import SourceUnavailable
from server.jobs.queue import Message
from server.jobs.settings import JobSettings
from server.jobs.worker import Worker
from server.telemetry import Telemetry
from tests.waiting import until_async


class TroubledQueue:
    """Hands out four messages; heartbeats fail in a way of no kind, and one message cannot be released."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.released: list[str] = []
        self._waiting = [Message(str(number), "receipt", '{"uri": "s3://b/k"}', 1) for number in range(4)]

    def receive(self, count: int, seconds: int) -> list[Message]:
        waiting, self._waiting = self._waiting, []
        return waiting

    def keep(self, message: Message) -> None:
        self.kept.append(message.id)
        raise RuntimeError("the refreshed credentials are still expired")

    def release(self, message: Message, seconds: float = 0) -> None:
        if message.id == "0":
            raise SourceUnavailable("AWS answered ReceiptHandleIsInvalid")
        self.released.append(message.id)


class Endless:
    async def detect(self, *_: object) -> None:
        await asyncio.sleep(60)


async def test_trouble_with_one_message_is_not_that_of_others(tmp_path: Path) -> None:
    settings = JobSettings(
        queue_url="queue",
        result_prefix="s3://results",
        file_roots=(tmp_path,),
        visibility_timeout_seconds=2,
        poll_seconds=0,
        drain_timeout_seconds=0.1,
    )
    queue: Any = TroubledQueue()
    backend: Any = SimpleNamespace(pipeline=Endless(), telemetry=Telemetry())
    worker = Worker(backend, queue, [], settings)
    running = asyncio.create_task(worker.run())
    await until_async(lambda: len(queue.kept) >= 8)
    worker.stop()
    await asyncio.wait_for(running, 30)
    assert sorted(queue.released) == ["1", "2", "3"]
