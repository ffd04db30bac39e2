"""The load generator against servers that we make to say things."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest

pytest.importorskip("hpack", reason="needs the extra bench")

from benchmarks.callers import program
from benchmarks.callers.arrivals import poisson
from benchmarks.callers.http1 import HttpConnection
from benchmarks.callers.http2 import GrpcConnection
from benchmarks.callers.job import Job
from benchmarks.processes import free_port

LARGE = random.Random(0).randbytes(3_000_000)


def test_arrivals_come_at_the_rate_and_depend_on_the_seed_alone() -> None:
    times = poisson(1000, 20, seed=3)
    assert times == sorted(times) == poisson(1000, 20, seed=3) != poisson(1000, 20, seed=4)
    assert len(times) == pytest.approx(20_000, rel=0.05)
    assert times[0] > 0
    assert times[-1] < 20
    gaps = [after - before for before, after in pairwise(times)]
    # Of an exponential distribution, whose deviation is its mean.
    assert sum(gap > 0.001 for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.02)


def test_arrivals_need_a_rate() -> None:
    with pytest.raises(ValueError, match="above 0"):
        poisson(0, 1, seed=0)


@asynccontextmanager
async def grpc_connection(
    answer: Callable[[bytes, Any], Awaitable[bytes]], *options: tuple[str, int]
) -> AsyncIterator[GrpcConnection]:
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1), *options])
    handlers: dict[str, Any] = {"Call": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Peer", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    head = GrpcConnection.head(f"127.0.0.1:{port}", "/test.Peer/Call", "application/grpc")
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: GrpcConnection(head), "127.0.0.1", port)
    yield connection
    await server.stop(None)


async def test_messages_of_any_size_come_back_over_grpc() -> None:
    async def echo(message: bytes, _: object) -> bytes:
        return message

    async with grpc_connection(echo) as connection:
        for message in (b"", b"small", LARGE, b"small again"):
            answer, _ = await connection.call(GrpcConnection.ready(message))
            assert answer == message


async def test_a_grpc_status_is_told_from_an_answer() -> None:
    async def refuse(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")

    async with grpc_connection(refuse) as connection:
        message, trouble = await connection.call(GrpcConnection.ready(b"x"))
        assert message is None
        assert GrpcConnection.explain(trouble) == "RESOURCE_EXHAUSTED"
    assert GrpcConnection.explain(b"") == "NO ANSWER"


async def test_the_server_learns_of_the_deadline_and_of_callers_that_gave_up() -> None:
    arrived, cancelled = asyncio.Event(), asyncio.Event()
    left: list[float] = []

    async def answer(message: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        left.append(context.time_remaining() or 0)
        arrived.set()
        try:
            await asyncio.sleep(60 if message == b"slow" else 0)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return b"done"

    async with grpc_connection(answer) as connection:
        call = asyncio.create_task(connection.call(GrpcConnection.ready(b"slow"), seconds=50))
        await asyncio.wait_for(arrived.wait(), 30)
        call.cancel()
        await asyncio.wait_for(cancelled.wait(), 30)
        assert 40 < left[0] <= 50
        message, _ = await connection.call(GrpcConnection.ready(b"fast"), seconds=50)
        assert message == b"done"


async def test_a_call_is_answered_while_its_connection_is_replaced() -> None:
    async def answer(message: bytes, _: object) -> bytes:
        await asyncio.sleep(1)
        return message

    async with grpc_connection(answer, ("grpc.max_connection_age_ms", 200)) as connection:
        message, _ = await connection.call(GrpcConnection.ready(b"slow"))
        assert message == b"slow"
        assert not connection.open


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n0.25", (b"0.25", "")),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n0.2\r\n1\r\n5\r\n0\r\n\r\n",
            (b"0.25", ""),
        ),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", (None, "HTTP 503")),
        (b"", (None, "NO ANSWER")),
    ],
)
async def test_http_answers_are_read_however_they_come(
    answer: bytes, expected: tuple[bytes | None, str]
) -> None:
    received = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.readuntil(b"payload"))
        for byte in answer:  # in as many pieces as there are
            writer.write(bytes([byte]))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    head = HttpConnection.head(f"127.0.0.1:{port}", "/predict", "application/octet-stream")
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: HttpConnection(head), "127.0.0.1", port)
    body, trouble = await connection.call(HttpConnection.ready(b"payload"))
    assert (body, "" if body else HttpConnection.explain(trouble)) == expected
    assert received.startswith(b"POST /predict HTTP/1.1\r\n")
    assert b"Content-Length: 7\r\n\r\npayload" in received
    server.close()


async def test_requests_of_the_open_loop_wait_for_no_other_and_count_from_their_arrival(
    tmp_path: Path,
) -> None:
    arrivals = poisson(rate=40, seconds=0.5, seed=0)
    counted = [due for due in arrivals[::2] if due >= 0.2]
    asked, all_asked = 0, asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        with suppress(asyncio.IncompleteReadError):
            message = await reader.readuntil(b"payload")
            asked += 1
            if asked == len(arrivals):
                all_asked.set()
            await all_asked.wait()
            status = b"503 Busy" if b"busy" in message else b"200 OK"
            writer.write(b"HTTP/1.1 %b\r\nContent-Length: 4\r\n\r\n0.25" % status)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    messages = [tmp_path / "good", tmp_path / "bad"]
    for file, content in zip(messages, (b"payload", b"busy payload"), strict=True):
        file.write_bytes(content)
    port = server.sockets[0].getsockname()[1]
    files = [str(file) for file in messages]
    job = Job(port, "http", files, clients=0, warm_up=0.2, seconds=0.3, deadline=30, rate=40, seed=0)
    result = await program.Callers(job).run()
    server.close()
    assert result.answers == [(0, 0.25)] * len(arrivals[::2])
    assert len(result.latencies) == len(counted) < len(result.answers)
    # Nobody was answered before the last one asked.
    assert max(result.latencies) >= arrivals[-1] - counted[0]
    assert result.failures == {"HTTP 503": len(arrivals) // 2}


async def test_in_the_open_loop_waiting_for_a_connection_is_latency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_MOST_CONNECTIONS", 1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"payload"):
                await asyncio.sleep(0.1)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n0.25")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    message = tmp_path / "message"
    message.write_bytes(b"payload")
    port = server.sockets[0].getsockname()[1]
    job = Job(port, "http", [str(message)], clients=0, warm_up=0, seconds=0.2, deadline=30, rate=50)
    result = await program.Callers(job).run()
    server.close()
    # The last one arrived within the 0.2 seconds, and went after all others.
    assert max(result.latencies) > 0.09 * len(result.latencies) - 0.2 > 0.3


async def test_a_server_that_is_gone_gets_no_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_PATIENCE_SECONDS", 0.1)
    message = tmp_path / "message"
    message.write_bytes(b"x")
    job = Job(free_port(), "bytes", [str(message)], clients=2, warm_up=0.1, seconds=0.1, deadline=0.05)
    closed = await program.Callers(job).run()
    opened = await program.Callers(replace(job, rate=100)).run()
    assert closed.latencies == opened.latencies == []
    assert opened.failures["DEADLINE_EXCEEDED"] > 0
