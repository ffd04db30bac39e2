"""The plain way: a grpc.aio handler in front of a small batcher, as one would write it in an afternoon."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import uvloop
from numpy.typing import NDArray

from benchmarks.peers.launch import Launch, read_launch
from benchmarks.peers.scorer import Scorer

_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]


class Batcher:
    """Whatever waits when a worker is free, up to the batch, is run by it."""

    def __init__(self, launch: Launch) -> None:
        self._scorer = Scorer(launch)
        self._batch = launch.batch
        self._threads = ThreadPoolExecutor(launch.workers)
        self._waiting: asyncio.Queue[tuple[bytes, asyncio.Future[float]]] = asyncio.Queue()
        self._workers = [asyncio.create_task(self._work()) for _ in range(launch.workers)]

    async def probability(self, payload: bytes) -> float:
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((payload, future))
        return await future

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            requests = [await self._waiting.get()]
            while len(requests) < self._batch and not self._waiting.empty():
                requests.append(self._waiting.get_nowait())
            wanted = [(payload, future) for payload, future in requests if not future.done()]
            if not wanted:
                continue
            payloads = [payload for payload, _ in wanted]
            answers = await loop.run_in_executor(self._threads, self._score, payloads)
            for (_, future), answer in zip(wanted, answers, strict=True):
                if not future.done():  # its caller may have given up meanwhile
                    future.set_result(float(answer))

    def _score(self, payloads: Sequence[bytes]) -> NDArray[np.float32]:
        return self._scorer.probabilities(payloads)


async def serve(
    port: int, answer: Callable[[bytes, object], Awaitable[bytes]], options: Sequence[tuple[str, int]] = ()
) -> None:
    """Answers calls with what `answer` gives for their bytes, without end."""
    server = grpc.aio.server(options=[*_OPTIONS, *options])
    handlers: dict[str, Any] = {"Score": grpc.unary_unary_rpc_method_handler(answer)}
    service = grpc.method_handlers_generic_handler("benchmarks.Peer", handlers)
    server.add_generic_rpc_handlers([service])
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


async def main(launch: Launch) -> None:
    batcher = Batcher(launch)

    async def score(payload: bytes, _: object) -> bytes:
        return np.float32(await batcher.probability(payload)).tobytes()

    await serve(launch.port, score)


if __name__ == "__main__":
    uvloop.run(main(read_launch()))
