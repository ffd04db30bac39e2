"""A process that decodes one medium after another, so that a codec can only take itself down.

Started by the pool as `python -m server.media.worker SOCKET MODULE:FUNCTION`, with the number of
an inherited socket.
"""

import contextlib
import importlib
import os
import resource
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from server.errors import DecoderCrashed, MediaError, MediaLimitExceeded
from server.media import wire
from server.media.limits import MediaLimits
from server.media.types import MediaKind, MediaRows, RowSpec

Decoder = Callable[[bytes, RowSpec, MediaLimits, MediaKind | None], MediaRows]


def main() -> None:
    """Serves until the pool closes the socket or dies."""
    link = socket.socket(fileno=int(sys.argv[1]))
    module, function = sys.argv[2].split(":")
    decoder: Decoder = getattr(importlib.import_module(module), function)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.Thread(target=_die_with_parent, daemon=True).start()
    idle_bytes = _address_space()
    wire.send(link, {})
    with contextlib.suppress(EOFError, OSError):
        while True:
            header, body = wire.receive(link)
            data = bytes(body)
            del body
            limits = MediaLimits(**header["limits"])
            _cap_address_space(idle_bytes, limits)
            kind = MediaKind(header["kind"]) if header["kind"] else None
            answer, arrays = _answer(decoder, data, RowSpec(**header["spec"]), limits, kind)
            # What codecs leak or leave in pieces would be missing for the next file.
            retires = _address_space() > idle_bytes + limits.max_memory_bytes // 2
            wire.send(link, answer | {"retires": retires}, arrays)
            if retires:
                return


def _answer(
    decoder: Decoder, data: bytes, spec: RowSpec, limits: MediaLimits, kind: MediaKind | None
) -> tuple[wire.Header, list[wire.Body]]:
    try:
        return wire.rows_message(decoder(data, spec, limits, kind))
    except MediaError as error:
        return wire.error_message(error), []
    except MemoryError:
        return wire.error_message(MediaLimitExceeded("decoding it needs more memory than allowed")), []
    except Exception as error:
        # A file that finds a mistake of ours still costs only its own request.
        return wire.error_message(DecoderCrashed(f"the decoder failed: {error!r}")), []


def _die_with_parent() -> None:
    # The pool holds the other end of our standard input for as long as it lives, and writes nothing.
    sys.stdin.buffer.read()
    os._exit(1)


def _address_space() -> int:
    """Bytes of address space in use; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def _cap_address_space(idle_bytes: int, limits: MediaLimits) -> None:
    if idle_bytes:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (idle_bytes + limits.max_memory_bytes, hard))


if __name__ == "__main__":
    main()
