"""The process that puts the load on: `python -m benchmarks.callers.program JOB RESULT`.

JOB is a `Job` as a JSON file, RESULT the file that gets a `Result` as JSON.
"""

import asyncio
import gc
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import uvloop

from benchmarks.callers.arrivals import poisson
from benchmarks.callers.http1 import HttpConnection
from benchmarks.callers.http2 import GrpcConnection
from benchmarks.callers.job import Job, Result
from benchmarks.peers.codecs import CODECS

_MOST_CONNECTIONS = 256
_RETRY_SECONDS = 0.05
# A server that has said nothing for so long after the end will not.
_PATIENCE_SECONDS = 20.0

Connection = GrpcConnection | HttpConnection


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request.

    Attributes:
        number: of its message in the job.
        sent, ended: by `time.perf_counter`; in the open loop `sent` is when it arrived.
        message: the answer; None without one.
        trouble: what came instead, for the connection's `explain`.
    """

    number: int
    sent: float
    ended: float
    message: bytes | None
    trouble: bytes


class Callers:
    """All callers of one job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._codec = CODECS[job.codec]
        self._kind = GrpcConnection if self._codec.protocol == "grpc" else HttpConnection
        self._head = self._kind.head(f"127.0.0.1:{job.port}", self._codec.path, self._codec.content_type)
        self._messages = [self._kind.ready(Path(file).read_bytes()) for file in job.messages]
        self._outcomes: list[Outcome] = []
        self._given_up = 0

    async def run(self) -> Result:
        """Until the last request has ended."""
        connections: list[Connection] = []
        with suppress(TimeoutError):  # a server that is gone gets no answers, which tells enough
            async with asyncio.timeout(_PATIENCE_SECONDS):
                connections = [await self._connect() for _ in range(self._connections())]
        before, begun = time.process_time(), time.perf_counter()
        start = begun + self._job.warm_up
        end = start + self._job.seconds
        if self._job.rate:
            await self._open_loop(connections, begun)
        else:
            numbers = count()
            await asyncio.gather(*(self._client(connection, numbers, end) for connection in connections))
        return self._result(start, end, time.process_time() - before)

    def _connections(self) -> int:
        if not self._job.rate:
            return self._job.clients
        # Answers that are later than the deadline are not waited for, so more are never in flight for long.
        return min(_MOST_CONNECTIONS, 8 + round(2 * self._job.rate * self._job.deadline))

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        while True:
            with suppress(OSError):
                address = ("127.0.0.1", self._job.port)
                _, connection = await loop.create_connection(lambda: self._kind(self._head), *address)
                return connection
            await asyncio.sleep(_RETRY_SECONDS)

    async def _client(self, connection: Connection, numbers: "count[int]", end: float) -> None:
        while (sent := time.perf_counter()) < end:
            number = next(numbers) % len(self._messages)
            message, trouble = None, b""
            with suppress(TimeoutError):
                async with asyncio.timeout(end + _PATIENCE_SECONDS - sent):
                    if not connection.open:
                        connection = await self._connect()
                    message, trouble = await connection.call(self._messages[number])
            self._outcomes.append(Outcome(number, sent, time.perf_counter(), message, trouble))

    async def _open_loop(self, connections: Sequence[Connection], begun: float) -> None:
        job = self._job
        idle: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        for connection in connections:
            idle.put_nowait(connection)
        async with asyncio.TaskGroup() as group:
            for number, due in enumerate(poisson(job.rate, job.warm_up + job.seconds, job.seed)):
                await asyncio.sleep(begun + due - time.perf_counter())
                group.create_task(self._request(number % len(self._messages), begun + due, idle))

    async def _request(self, number: int, due: float, idle: "asyncio.LifoQueue[Connection]") -> None:
        left = due + self._job.deadline - time.perf_counter()
        connection: Connection | None = None
        try:
            async with asyncio.timeout(left):
                connection = await idle.get()
                if not connection.open:
                    connection = await self._connect()
                left = due + self._job.deadline - time.perf_counter()
                message, trouble = await connection.call(self._messages[number], left)
                self._outcomes.append(Outcome(number, due, time.perf_counter(), message, trouble))
        except TimeoutError:
            self._given_up += 1
        finally:
            if connection:
                idle.put_nowait(connection)

    def _result(self, start: float, end: float, used: float) -> Result:
        answered = [outcome for outcome in self._outcomes if outcome.message is not None]
        # In the open loop by when a request arrived, or the late answers of the last ones would be missing.
        on_clock = [
            outcome
            for outcome in answered
            if start <= (outcome.sent if self._job.rate else outcome.ended) < end
        ]
        unanswered = [outcome.trouble for outcome in self._outcomes if outcome.message is None]
        failures = Counter(map(self._kind.explain, unanswered))
        if self._given_up:
            failures["DEADLINE_EXCEEDED"] += self._given_up
        decode = self._codec.decode
        return Result(
            seconds=self._job.seconds,
            latencies=[outcome.ended - outcome.sent for outcome in on_clock],
            answers=[(outcome.number, decode(outcome.message or b"")) for outcome in answered],
            failures=dict(failures),
            cpu_seconds=used,
        )


def main(job_file: str, result_file: str) -> None:
    job = Job(**json.loads(Path(job_file).read_text()))
    callers = Callers(job)
    # Nothing here is cyclic, and a collection would stop all callers at once.
    gc.disable()
    result = uvloop.run(callers.run())
    Path(result_file).write_text(json.dumps(asdict(result)))


if __name__ == "__main__":
    main(*sys.argv[1:])
