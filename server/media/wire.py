"""What the decode pool and its workers say to each other: JSON and raw bytes, nothing executable.

A worker may have been taken over by the file it decodes, so its answers are never unpickled.
A message is the sizes of its two parts, a JSON header, and a body of bytes.
"""

import json
import os
import socket
import struct
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from server import errors
from server.media.types import MediaFacts, MediaKind, MediaRows, RowSpec

Header = dict[str, Any]
Body = bytes | memoryview

_SIZES = struct.Struct("<QQ")
# More than this is given back once it was read.
_KEPT_BYTES = 8 * 2**20
# Widest types first, so that every array in the body is aligned.
_ARRAYS: dict[str, np.dtype[Any]] = {
    "image_index": np.dtype(np.int64),
    "clip_index": np.dtype(np.int64),
    "audio_channel": np.dtype(np.int64),
    "image_times": np.dtype(np.float64),
    "clip_times": np.dtype(np.float64),
    "audio_times": np.dtype(np.float64),
    "image_regions": np.dtype(np.float32),
    "audio": np.dtype(np.float32),
    "frames": np.dtype(np.uint8),
}


class Link:
    """One end of the connection of a pool and a worker, who send by turns.

    Headers go through a socket. Bodies go through a file in memory that both have open, where the
    system has such, because that is faster. It is read and written and not mapped: a mapping of
    what the other side makes shorter would kill this one.

    Args:
        channel: connected to the other side, and closed with the link.
        memory: descriptor of that file, closed with the link; None to use the socket for all.
    """

    def __init__(self, channel: socket.socket, memory: int | None) -> None:
        self._channel, self._memory = channel, memory

    def set_timeout(self, seconds: float) -> None:
        """How long the other side may be silent, or not take what is sent."""
        self._channel.settimeout(min(seconds, threading.TIMEOUT_MAX))

    def send(self, header: Header, body: Sequence[Body] = ()) -> None:
        """Raises OSError if the other side is gone, TimeoutError if it does not take the bytes."""
        views = [memoryview(part).cast("B") for part in body if memoryview(part).nbytes]
        text = json.dumps(header).encode()
        message = _SIZES.pack(len(text), sum(view.nbytes for view in views)) + text
        if self._memory is not None:
            _write_file(self._memory, views)
            self._channel.sendall(message)
        else:
            self._channel.sendall(message)
            for view in views:
                self._channel.sendall(view)

    def receive(self) -> tuple[Header, bytes | bytearray]:
        """Raises EOFError or OSError if the other side is gone, TimeoutError if nothing comes."""
        header_bytes, body_bytes = _SIZES.unpack(_read(self._channel, _SIZES.size))
        header = json.loads(_read(self._channel, header_bytes))
        if self._memory is None:
            return header, _read(self._channel, body_bytes)
        return header, _read_file(self._memory, body_bytes)

    def close(self) -> None:
        """May be called again."""
        self._channel.close()
        memory, self._memory = self._memory, None
        if memory is not None:
            os.close(memory)


def new_memory() -> int | None:
    """Descriptor of a new file in memory; None if the system has no such files."""
    return os.memfd_create("media") if hasattr(os, "memfd_create") else None


def _write_file(file: int, views: list[memoryview]) -> None:
    place = 0
    for view in views:
        while view.nbytes:
            count = os.pwrite(file, view, place)
            view, place = view[count:], place + count


def _read_file(file: int, size: int) -> bytes:
    parts: list[bytes] = []
    place = 0
    while place < size:
        part = os.pread(file, size - place, place)
        if not part:
            raise EOFError("the body is shorter than the other side said")
        parts.append(part)
        place += len(part)
    if size > _KEPT_BYTES:
        os.ftruncate(file, 0)
    return b"".join(parts)


def _read(channel: socket.socket, size: int) -> bytearray:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view.nbytes:
        count = channel.recv_into(view)
        if not count:
            raise EOFError("the other side closed the connection")
        view = view[count:]
    return buffer


def fields(record: RowSpec | MediaFacts) -> Header:
    """The fields of a record by name, which `dataclasses.asdict` takes ten times as long to tell."""
    return {name: getattr(record, name) for name in record.__slots__}


def rows_message(rows: MediaRows) -> tuple[Header, list[Body]]:
    """Header and body of an answer that `read_answer` turns into these rows."""
    arrays = [np.ascontiguousarray(getattr(rows, name), kind) for name, kind in _ARRAYS.items()]
    header = {"facts": fields(rows.facts), "shapes": [array.shape for array in arrays]}
    return header, [array.data for array in arrays]


def error_message(error: errors.MediaError) -> Header:
    """The header of an answer for which `read_answer` raises this error."""
    return {"error": error.code, "message": error.message, "hint": error.hint}


def read_answer(header: Header, body: bytes | bytearray) -> MediaRows:
    """The rows that a worker answered.

    Raises:
        MediaError: it answered with one.
        Exception: any other, if its answer is neither rows nor an error.
    """
    if "error" in header:
        raise _ERRORS[header["error"]](header["message"], header["hint"])
    facts = header["facts"]
    facts |= {"kind": MediaKind(facts["kind"]), "warnings": tuple(facts["warnings"])}
    arrays, start = {}, 0
    for (name, kind), shape in zip(_ARRAYS.items(), header["shapes"], strict=True):
        arrays[name] = np.ndarray(shape, kind, body, start)
        start += arrays[name].nbytes
    return MediaRows(MediaFacts(**facts), **arrays)


_ERRORS = {kind.code: kind for kind in errors.MediaError.__subclasses__()}
