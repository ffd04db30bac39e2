"""One HTTP/1.1 connection, one POST at a time."""

import asyncio
from typing import cast


class HttpConnection(asyncio.Protocol):
    """Gives each answer as (body, trouble): the body of a 200, or None and the head of what came instead."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._buffer = bytearray()
        self._answer: asyncio.Future[tuple[bytes | None, bytes]] | None = None

    @staticmethod
    def head(authority: str, path: str, content_type: str) -> bytes:
        """Of every request, as far as all have the same."""
        return (
            f"POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: {content_type}\r\nContent-Length: "
        ).encode()

    @staticmethod
    def ready(message: bytes) -> bytes:
        """What `call` sends for a body."""
        return b"%d\r\n\r\n" % len(message) + message

    @staticmethod
    def explain(trouble: bytes) -> str:
        """The status of an answer without a body."""
        fields = trouble.split(b" ", 2)
        return f"HTTP {fields[1].decode()}" if len(fields) > 1 else "NO ANSWER"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._finish(None, b"")

    @property
    def open(self) -> bool:
        """Whether it can be called."""
        return not self._transport.is_closing()

    async def call(
        self,
        ready: bytes,
        seconds: float | None = None,  # noqa: ARG002 - HTTP has no word for a deadline
    ) -> tuple[bytes | None, bytes]:
        """Sends one request."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.writelines([self._head, ready])
        try:
            return await self._answer
        except asyncio.CancelledError:
            # There is no other way to give up.
            self._transport.close()
            raise

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._buffer[:end]).lower()
        body = self._body(head, end + 4)
        if body is not None:
            self._buffer.clear()
            if b"connection: close" in head:
                self._transport.close()
            ok = head.split(b" ", 2)[1] == b"200"
            self._finish(body if ok else None, b"" if ok else head)

    def _body(self, head: bytes, start: int) -> bytes | None:
        """None if it has not come whole."""
        if b"transfer-encoding: chunked" in head:
            return self._chunks(start)
        _, _, rest = head.partition(b"content-length:")
        length = int(rest.split(b"\r\n", 1)[0] or 0)
        return bytes(self._buffer[start : start + length]) if len(self._buffer) >= start + length else None

    def _chunks(self, start: int) -> bytes | None:
        body = bytearray()
        while (end := self._buffer.find(b"\r\n", start)) >= 0:
            size = int(self._buffer[start:end].split(b";")[0], 16)
            if len(self._buffer) < end + size + 4:
                return None
            if size == 0:
                return bytes(body)
            body += self._buffer[end + 2 : end + 2 + size]
            start = end + size + 4
        return None

    def _finish(self, body: bytes | None, trouble: bytes) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_result((body, trouble))
