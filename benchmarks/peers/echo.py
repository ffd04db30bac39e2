"""What gRPC alone takes: reads the same payloads, runs nothing, and answers in the size of a verdict."""

import uvloop

from benchmarks.peers.grpc_aio import serve
from benchmarks.peers.launch import read_launch

_ANSWER = bytes(100)
# As our server has them: gRPC's own are slower for photos.
_OPTIONS = [
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 8 * 2**20),
    ("grpc.http2.max_frame_size", 2**20),
]


async def answer(_: bytes, __: object) -> bytes:
    return _ANSWER


if __name__ == "__main__":
    uvloop.run(serve(read_launch().port, answer, _OPTIONS))
