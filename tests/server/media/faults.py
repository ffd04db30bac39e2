"""Decoders that fail in the ways that codecs do; the pool is told to run them instead of ours."""

import ctypes
import os
import signal
import time
from pathlib import Path

from server.errors import CorruptMedia
from server.media import wire
from server.media.limits import MediaLimits
from server.media.types import MediaFacts, MediaKind, MediaRows, RowSpec


def decode(data: bytes, spec: RowSpec, limits: MediaLimits, kind: MediaKind | None) -> MediaRows:
    """Does what the first word of `data` says; any other word is a medium without rows.

    Their facts tell of the decoder: `sample_rate` is its process, `channels` its threads, and
    `duration_seconds` the time that it has.
    """
    word, _, rest = data.partition(b" ")
    fault = _FAULTS.get(word)
    if fault is not None:
        fault(rest, limits)
    facts = MediaFacts(
        MediaKind.AUDIO,
        size_bytes=len(data),
        sample_rate=os.getpid(),
        channels=limits.max_threads,
        duration_seconds=limits.decode_timeout_seconds,
    )
    return MediaRows(facts)


def _crash(rest: bytes, limits: MediaLimits) -> None:
    ctypes.string_at(0)


def _abort(rest: bytes, limits: MediaLimits) -> None:
    os.abort()


def _signal(rest: bytes, limits: MediaLimits) -> None:
    """Of a number without a name, as a process can send itself that its file has taken over."""
    os.kill(os.getpid(), signal.SIGRTMIN + 5)


def _exit(rest: bytes, limits: MediaLimits) -> None:
    os._exit(3)


def _hang(rest: bytes, limits: MediaLimits) -> None:
    time.sleep(600)


def _eat_memory(rest: bytes, limits: MediaLimits) -> None:
    bytearray(2 * limits.max_memory_bytes)


def _leak(rest: bytes, limits: MediaLimits) -> None:
    _leaked.append(bytearray(limits.max_memory_bytes * 2 // 3))


def _leave_in_a_circle(rest: bytes, limits: MediaLimits) -> None:
    circle: list[object] = [bytes(limits.max_memory_bytes // 250)]
    circle.append(circle)


def _make_a_mistake(rest: bytes, limits: MediaLimits) -> None:
    raise KeyError("nobody thought of this")


def _talk_nonsense(rest: bytes, limits: MediaLimits) -> None:
    """As a process does that its file has taken over, from now on."""
    wire.rows_message = lambda rows: ({"facts": 7}, [])


def _refuse(rest: bytes, limits: MediaLimits) -> None:
    raise CorruptMedia("as it should be", "a hint")


def _wait_for_file(rest: bytes, limits: MediaLimits) -> None:
    """Says so by a file of its own beside that one."""
    gate = Path(os.fsdecode(rest))
    gate.with_suffix(f".{os.getpid()}").touch()
    while not gate.exists():
        time.sleep(0.005)


_leaked: list[bytearray] = []
_FAULTS = {
    b"crash": _crash,
    b"abort": _abort,
    b"exit": _exit,
    b"signal": _signal,
    b"hang": _hang,
    b"memory": _eat_memory,
    b"leak": _leak,
    b"circle": _leave_in_a_circle,
    b"mistake": _make_a_mistake,
    b"nonsense": _talk_nonsense,
    b"corrupt": _refuse,
    b"wait": _wait_for_file,
}
