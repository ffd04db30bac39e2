"""A real server on a real socket, in a thread of the test process."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from deepfake.v1 import detector_pb2_grpc
from server.app import Server, running
from server.settings import Settings


@contextmanager
def running_server(models: Path, **settings: Any) -> Iterator[Server]:
    """Serves the models on a free port of the loopback interface; drains at the end."""
    started: Future[tuple[Server, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    # No cache, so that the same medium may be used again and again.
    defaults = {"models": models, "profile": "test", "cache_max_bytes": 0}

    async def serve() -> None:
        stop = asyncio.Event()
        try:
            async with running(Settings(**{**defaults, **settings})) as server:
                started.set_result((server, asyncio.get_running_loop(), stop))
                await stop.wait()
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    server, loop, stop = started.result(60)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)


@contextmanager
def stub_of(server: Server) -> Iterator[detector_pb2_grpc.DetectorStub]:
    with grpc.insecure_channel(server.address) as channel:
        yield detector_pb2_grpc.DetectorStub(channel)
