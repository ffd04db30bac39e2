"""What gRPC alone takes: reads the same payloads, runs nothing, and answers in the size of a verdict."""

import ctypes
from contextlib import suppress

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
# Of glibc's malloc.h, and bytes that are more than any message.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _LARGE = -1, -3, 2**25


async def answer(_: bytes, __: object) -> bytes:
    return _ANSWER


def keep_memory() -> None:
    """Else glibc gives the memory of photos back and gets it anew, by chance of what was allocated before."""
    with suppress(AttributeError):  # of another C library
        for parameter in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            ctypes.CDLL(None).mallopt(parameter, _LARGE)


if __name__ == "__main__":
    keep_memory()
    uvloop.run(serve(read_launch().port, answer, _OPTIONS))
