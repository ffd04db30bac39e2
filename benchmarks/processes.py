"""What processes have used, together with those that they started."""

import resource
import secrets
import socket
import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

# Below those that a system gives to whoever asks for any.
_PORTS = range(20_000, 32_000)


def family(process: psutil.Process) -> list[psutil.Process]:
    """It and all below it that are alive."""
    with suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def cpu_seconds(process: psutil.Process) -> float:
    """Used so far by its family, and on Linux by those of it that have ended."""
    return _used(family(process))


def own_cpu_seconds() -> float:
    """Used so far by this process and all that it has started, those that have ended included."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    below = psutil.Process().children(recursive=True)
    return time.process_time() + ended.ru_utime + ended.ru_stime + _used(below)


def _used(members: Sequence[psutil.Process]) -> float:
    total = 0.0
    for member in members:
        with suppress(psutil.NoSuchProcess):  # ended meanwhile
            # User and system, of its own and of what it has started and waited for.
            total += sum(member.cpu_times()[:4])
    return total


def free_port() -> int:
    """One that nobody listens on now, nor gets by chance before its server has started."""
    while True:
        port = secrets.choice(_PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
