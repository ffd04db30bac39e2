"""One HTTP/2 connection, one unary gRPC call at a time: RFC 9113, as far as that needs it."""

import asyncio
import struct
from typing import cast

import grpc
from hpack import Decoder, HPACKError

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS, _PADDED = 0x1, 0x1, 0x4, 0x8
_HEADER_TABLE_SIZE, _ENABLE_PUSH, _INITIAL_WINDOW_SIZE, _MAX_FRAME_SIZE = 1, 2, 4, 5
_CANCEL = 8
_LARGEST_WINDOW = 2**31 - 1
_FIRST_WINDOW = 65_535
_STATUS = {code.value[0]: code.name for code in grpc.StatusCode}


class GrpcConnection(asyncio.Protocol):
    """Gives each answer as (message, trouble): bytes, or None and the headers that came instead."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._buffer = bytearray()
        self._stream = -1
        self._answer: asyncio.Future[tuple[bytes | None, bytes]] | None = None
        self._message = bytearray()
        self._trailers = b""
        self._unsent = memoryview(b"")
        self._connection_window = self._stream_window = self._first_window = _FIRST_WINDOW
        self._largest_frame = 16_384
        self._consumed = 0
        self._leaving = False

    @staticmethod
    def head(authority: str, path: str, content_type: str) -> bytes:
        """The header block of every call: literals that no table remembers, so that it never changes."""
        named = [(b"\x01", authority), (b"\x04", path), (b"\x0f\x10", content_type)]
        block = b"\x83\x86" + b"".join(name + _string(value) for name, value in named)
        return block + b"\x00" + _string("te") + _string("trailers")

    @staticmethod
    def ready(message: bytes) -> bytes:
        """What `call` sends for a serialised message."""
        return b"\0" + struct.pack(">I", len(message)) + message

    @staticmethod
    def explain(trouble: bytes) -> str:
        """The status of an answer without a message."""
        if not trouble:
            return "NO ANSWER"
        try:
            # Each block stands alone, because we allow the server no table.
            headers = dict(Decoder().decode(trouble, raw=True))
        except HPACKError:
            return "HEADERS NOT UNDERSTOOD"
        return _STATUS.get(int(headers.get(b"grpc-status", b"2")), "UNKNOWN")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        settings = {_HEADER_TABLE_SIZE: 0, _ENABLE_PUSH: 0, _INITIAL_WINDOW_SIZE: _LARGEST_WINDOW}
        packed = b"".join(struct.pack(">HI", *setting) for setting in settings.items())
        wider = struct.pack(">I", _LARGEST_WINDOW - _FIRST_WINDOW)
        self._transport.write(
            _PREFACE + _frame(_SETTINGS, 0, 0, packed) + _frame(_WINDOW_UPDATE, 0, 0, wider)
        )

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._finish(None, b"")

    @property
    def open(self) -> bool:
        """Whether it can be called."""
        return not self._leaving and not self._transport.is_closing()

    async def call(self, ready: bytes, seconds: float | None = None) -> tuple[bytes | None, bytes]:
        """Calls with `seconds` as the deadline."""
        self._stream += 2
        self._answer = asyncio.get_running_loop().create_future()
        self._message.clear()
        self._trailers = b""
        block = self._head
        if seconds is not None:
            block += b"\x00" + _string("grpc-timeout") + _string(f"{max(1, round(1e6 * seconds))}u")
        self._transport.write(_frame(_HEADERS, _END_HEADERS, self._stream, block))
        self._stream_window = self._first_window
        self._unsent = memoryview(ready)
        self._send()
        try:
            return await self._answer
        except asyncio.CancelledError:
            self._unsent = memoryview(b"")
            if self.open:
                self._transport.write(_frame(_RST_STREAM, 0, self._stream, struct.pack(">I", _CANCEL)))
            else:
                self._transport.close()
            raise

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        start = 0
        while len(self._buffer) >= start + 9:
            length = int.from_bytes(self._buffer[start : start + 3])
            if len(self._buffer) < start + 9 + length:
                break
            kind, flags = self._buffer[start + 3], self._buffer[start + 4]
            stream = int.from_bytes(self._buffer[start + 5 : start + 9])
            self._received(kind, flags, stream, bytes(self._buffer[start + 9 : start + 9 + length]))
            start += 9 + length
        del self._buffer[:start]

    def _received(self, kind: int, flags: int, stream: int, content: bytes) -> None:
        if kind in (_DATA, _HEADERS):
            self._part_of_answer(kind, flags, stream, content)
        elif kind == _WINDOW_UPDATE:
            self._widen(stream, int.from_bytes(content))
        elif kind == _SETTINGS and not flags & _ACK:
            self._apply(content)
        elif kind == _PING and not flags & _ACK:
            self._transport.write(_frame(_PING, _ACK, 0, content))
        elif kind == _RST_STREAM and stream == self._stream:
            self._finish(None, self._trailers)
        elif kind == _GOAWAY:
            self._leave(int.from_bytes(content[:4]))

    def _leave(self, last: int) -> None:
        """Takes no other call; the one that runs is still answered, unless it came after the `last`."""
        self._leaving = True
        if self._stream > last or self._answer is None or self._answer.done():
            self._finish(None, self._trailers)

    def _part_of_answer(self, kind: int, flags: int, stream: int, content: bytes) -> None:
        if kind == _DATA:
            self._consume(len(content))
        if stream != self._stream:  # of a call that was given up
            return
        if flags & _PADDED:
            content = content[1 : len(content) - content[0]]
        if kind == _DATA:
            self._message += content
        else:
            self._trailers = content
        if flags & _END_STREAM:
            whole = bytes(self._message[5:]) if len(self._message) >= 5 else None
            self._finish(whole, self._trailers)

    def _consume(self, size: int) -> None:
        self._consumed += size
        if self._consumed > _LARGEST_WINDOW // 2:
            self._transport.write(_frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", self._consumed)))
            self._consumed = 0

    def _widen(self, stream: int, more: int) -> None:
        if stream == 0:
            self._connection_window += more
        elif stream == self._stream:
            self._stream_window += more
        self._send()

    def _apply(self, content: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", content):
            if name == _INITIAL_WINDOW_SIZE:
                self._stream_window += value - self._first_window
                self._first_window = value
            elif name == _MAX_FRAME_SIZE:
                self._largest_frame = value
        self._transport.write(_frame(_SETTINGS, _ACK, 0, b""))
        self._send()

    def _send(self) -> None:
        """As much of the message as the server takes now."""
        while self._unsent:
            size = min(len(self._unsent), self._largest_frame, self._connection_window, self._stream_window)
            if size <= 0:
                return
            part, self._unsent = self._unsent[:size], self._unsent[size:]
            self._connection_window -= size
            self._stream_window -= size
            end = 0 if self._unsent else _END_STREAM
            self._transport.writelines([_head(_DATA, end, self._stream, size), part])

    def _finish(self, message: bytes | None, trouble: bytes) -> None:
        self._unsent = memoryview(b"")
        if self._answer and not self._answer.done():
            self._answer.set_result((message, trouble))
        if self._leaving:
            self._transport.close()


def _head(kind: int, flags: int, stream: int, length: int) -> bytes:
    return struct.pack(">IBI", length << 8 | kind, flags, stream)


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return _head(kind, flags, stream, len(content)) + content


def _string(text: str) -> bytes:
    """HPACK: not compressed, shorter than 127 bytes."""
    raw = text.encode()
    if len(raw) >= 127:
        raise ValueError(f"{text!r} is too long for a header here")
    return bytes([len(raw)]) + raw
