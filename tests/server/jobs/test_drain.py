"""What a worker gives back: all that it has when it has to stop, and what may be judged later."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from server.errors import ShuttingDown, SourceUnavailable
from server.jobs.queue import Message
from server.jobs.settings import JobSettings
from server.jobs.worker import Worker
from server.telemetry import Telemetry
from tests.waiting import until_async


class TroubledQueue:
    """Hands out four messages; heartbeats fail in a way of no kind, and one message cannot be released.

    Attributes:
        kept: messages.
        released: the pause after which others may have each; in no other way can a message leave it.
    """

    def __init__(self, receives: int = 1) -> None:
        self.kept: list[str] = []
        self.released: dict[str, float] = {}
        body = '{"uri": "s3://b/k"}'
        self._waiting = [Message(str(number), "receipt", body, receives) for number in range(4)]

    def receive(self, count: int, seconds: int) -> list[Message]:
        waiting, self._waiting = self._waiting, []
        return waiting

    def keep(self, message: Message) -> None:
        self.kept.append(message.id)
        raise RuntimeError("the refreshed credentials are still expired")

    def release(self, message: Message, seconds: float = 0) -> None:
        if message.id == "0":
            raise SourceUnavailable("AWS answered ReceiptHandleIsInvalid")
        self.released[message.id] = seconds


class Endless:
    async def detect(self, *_: object) -> None:
        await asyncio.sleep(60)


class Failing:
    def __init__(self, error: Exception) -> None:
        self._error = error

    async def detect(self, *_: object) -> None:
        raise self._error


def settings_of(folder: Path, **others: Any) -> JobSettings:
    return JobSettings(
        queue_url="queue", result_prefix="s3://results", file_roots=(folder,), poll_seconds=0, **others
    )


@pytest.mark.parametrize(
    ("error", "receives", "pause"),
    [
        (SourceUnavailable("busy"), 1, 5.0),
        (SourceUnavailable("busy"), 3, 20.0),
        (SourceUnavailable("busy"), 99, 900.0),
        (ShuttingDown("stopping"), 3, 0.0),
    ],
)
async def test_what_may_pass_is_given_back_for_a_time_that_doubles(
    tmp_path: Path, error: Exception, receives: int, pause: float
) -> None:
    settings = settings_of(tmp_path, retry_seconds=5, max_receives=1000)
    queue: Any = TroubledQueue(receives)
    backend: Any = SimpleNamespace(
        pipeline=Failing(error), telemetry=Telemetry(), count_message=lambda outcome: None
    )
    worker = Worker(backend, queue, [], settings)
    running = asyncio.create_task(worker.run())
    await until_async(lambda: len(queue.released) == 3)
    worker.stop()
    await asyncio.wait_for(running, 30)
    assert queue.released == dict.fromkeys("123", pause)


async def test_trouble_with_one_message_is_not_that_of_others(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, visibility_timeout_seconds=2, drain_timeout_seconds=0.1)
    queue: Any = TroubledQueue()
    backend: Any = SimpleNamespace(pipeline=Endless(), telemetry=Telemetry())
    worker = Worker(backend, queue, [], settings)
    running = asyncio.create_task(worker.run())
    await until_async(lambda: len(queue.kept) >= 8)
    worker.stop()
    await asyncio.wait_for(running, 30)
    assert sorted(queue.released) == ["1", "2", "3"]
