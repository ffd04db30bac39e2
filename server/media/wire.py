"""What the decode pool and its workers say to each other: JSON and raw bytes, nothing executable.

A worker may have been taken over by the file it decodes, so its answers are never unpickled.
A message is the sizes of its two parts, a JSON header, and a body of bytes.
"""

import json
import socket
import struct
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from server import errors
from server.media.types import MediaFacts, MediaKind, MediaRows

Header = dict[str, Any]
Body = bytes | memoryview

_SIZES = struct.Struct("<QQ")
# Widest types first, so that every array in the body is aligned.
_ARRAYS = {
    "image_index": np.int64,
    "clip_index": np.int64,
    "image_times": np.float64,
    "clip_times": np.float64,
    "audio_times": np.float64,
    "image_regions": np.float32,
    "audio": np.float32,
    "frames": np.uint8,
}


def send(link: socket.socket, header: Header, body: Sequence[Body] = ()) -> None:
    """Raises OSError if the other side is gone, TimeoutError if it does not take the bytes."""
    views = [memoryview(part).cast("B") for part in body if memoryview(part).nbytes]
    text = json.dumps(header).encode()
    link.sendall(_SIZES.pack(len(text), sum(view.nbytes for view in views)) + text)
    for view in views:
        link.sendall(view)


def receive(link: socket.socket) -> tuple[Header, bytearray]:
    """Raises EOFError or OSError if the other side is gone, TimeoutError if nothing comes."""
    header_bytes, body_bytes = _SIZES.unpack(_read(link, _SIZES.size))
    header = json.loads(_read(link, header_bytes))
    return header, _read(link, body_bytes)


def _read(link: socket.socket, size: int) -> bytearray:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view.nbytes:
        count = link.recv_into(view)
        if not count:
            raise EOFError("the other side closed the connection")
        view = view[count:]
    return buffer


def rows_message(rows: MediaRows) -> tuple[Header, list[Body]]:
    arrays = [np.ascontiguousarray(getattr(rows, name), kind) for name, kind in _ARRAYS.items()]
    header = {"facts": asdict(rows.facts), "shapes": [array.shape for array in arrays]}
    return header, [array.data for array in arrays]


def error_message(error: errors.MediaError) -> Header:
    return {"error": error.code, "message": error.message, "hint": error.hint}


def read_answer(header: Header, body: bytearray) -> MediaRows:
    """The rows that a worker answered.

    Raises:
        MediaError: it answered with one.
    """
    if "error" in header:
        raise _ERRORS[header["error"]](header["message"], header["hint"])
    facts = header["facts"]
    facts |= {"kind": MediaKind(facts["kind"]), "warnings": tuple(facts["warnings"])}
    arrays, start = {}, 0
    for (name, kind), shape in zip(_ARRAYS.items(), header["shapes"], strict=True):
        array = np.frombuffer(body, kind, int(np.prod(shape)), start)
        arrays[name] = array.reshape(shape)
        start += array.nbytes
    return MediaRows(MediaFacts(**facts), **arrays)


_ERRORS = {kind.code: kind for kind in errors.MediaError.__subclasses__()}
