"""What gRPC alone takes: reads the same payloads, runs nothing, and answers in the size of a verdict."""

import uvloop

from benchmarks.peers.grpc_aio import serve
from benchmarks.peers.launch import read_launch

_ANSWER = bytes(100)


async def answer(_: bytes, __: object) -> bytes:
    return _ANSWER


if __name__ == "__main__":
    uvloop.run(serve(read_launch().port, answer))
