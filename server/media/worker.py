"""A process that decodes one medium after another, so that a codec can only take itself down.

Started by the pool as `python -m server.media.worker MODULE:FUNCTION LIMITS SOCKET [MEMORY]`: its
limits as JSON, and the numbers of an inherited socket and file in memory.
"""

import contextlib
import gc
import importlib
import itertools
import json
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from server.errors import DecoderCrashed, MediaError, MediaLimitExceeded
from server.media import wire
from server.media.limits import MediaLimits
from server.media.types import MediaKind, MediaRows, RowSpec

# PyAV's containers and streams refer to each other: small to Python's collector, which would let hundreds
# wait, and large for what FFmpeg holds behind them.
_MEDIA_UNTIL_COLLECTED = 50

Decoder = Callable[[bytes, RowSpec, MediaLimits, MediaKind | None], MediaRows]


def main() -> None:
    """Serves until the pool closes the socket or dies."""
    # systemd sends it to every process of a service: what the pool's owner accepted is to be finished.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    name, caps, channel, *memory = sys.argv[1:]
    link = wire.Link(socket.socket(fileno=int(channel)), int(memory[0]) if memory else None)
    limits = MediaLimits(**json.loads(caps))
    module, function = name.split(":")
    decoder: Decoder = getattr(importlib.import_module(module), function)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    idle_bytes = _address_space()
    _cap(idle_bytes, limits)
    gc.freeze()
    with contextlib.suppress(EOFError, OSError):
        link.send({})
        for number in itertools.count(1):
            try:
                header, body = link.receive()
                data = bytes(body)
                del body
            except MemoryError:
                link.send(wire.error_message(_out_of_memory()) | {"retires": True})
                return
            kind = MediaKind(header["kind"]) if header["kind"] else None
            own_limits = replace(
                limits, decode_timeout_seconds=header["timeout"], max_threads=header["threads"]
            )
            answer, arrays = _answer(decoder, data, RowSpec(**header["spec"]), own_limits, kind)
            # What codecs leak or leave in pieces would be missing for the next file.
            retires = _address_space() > idle_bytes + limits.max_memory_bytes // 2
            link.send(answer | {"retires": retires}, arrays)
            del data, answer, arrays  # they would wait with it for the next medium
            if retires:
                return
            if number % _MEDIA_UNTIL_COLLECTED == 0:
                gc.collect()


def _answer(
    decoder: Decoder, data: bytes, spec: RowSpec, limits: MediaLimits, kind: MediaKind | None
) -> tuple[wire.Header, list[wire.Body]]:
    try:
        return wire.rows_message(decoder(data, spec, limits, kind))
    except MediaError as error:
        return wire.error_message(error), []
    except MemoryError:
        return wire.error_message(_out_of_memory()), []
    except Exception as error:
        # A file that finds a mistake of ours still costs only its own request.
        return wire.error_message(DecoderCrashed(f"the decoder failed: {error!r}")), []


def _out_of_memory() -> MediaLimitExceeded:
    return MediaLimitExceeded("decoding it needs more memory than allowed")


def _die_with_parent() -> None:
    # The pool holds the other end of our standard input for as long as it lives, and writes nothing.
    # Not through Python's buffer, whose lock would stop an interpreter that ends by itself.
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def _address_space() -> int:
    """Bytes of address space in use; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def _cap(idle_bytes: int, limits: MediaLimits) -> None:
    """Bounds what a codec may take, and what may be written into the memory that the pool reads."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_FSIZE, limits.max_memory_bytes)
    if idle_bytes:
        _lower(resource.RLIMIT_AS, idle_bytes + limits.max_memory_bytes)


def _lower(what: int, limit: int) -> None:
    # Whoever started the server may have set less already, which cannot be raised.
    _, hard = resource.getrlimit(what)
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(what, (limit, limit))


if __name__ == "__main__":
    main()
