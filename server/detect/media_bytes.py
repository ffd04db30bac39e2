"""Bounds the bytes of media that the server holds, however they arrive."""

import threading
from typing import Self

from server.errors import DeadlineExceeded, MediaLimitExceeded, Overloaded

MESSAGE_COPIES = 3
"""How often the media of a message are in memory until it is answered: as gRPC received them, as protobuf
parsed them, and as they were read from that."""
STREAM_COPIES = 2
"""The same in a stream, whose messages gRPC does not keep."""


class MediaBytes:
    """Bytes of all media that are received, fetched or waiting for their answer; safe to use from threads.

    Args:
        limit: bytes held at once.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held = 0
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """Bytes held now."""
        return self._held

    def hold(self, size: int = 0) -> "Holding":
        """Counts `size` bytes until the context that it returns is left. Raises Overloaded."""
        return Holding(self, size)

    def check(self, size: int) -> None:
        """Raises Overloaded if `size` more bytes would not fit now."""
        if self._held + size > self.limit:
            raise Overloaded(
                f"the server holds {self._held} bytes of media, and {size} more would pass its limit "
                f"of {self.limit}"
            )

    def take(self, size: int) -> None:
        """Counts `size` bytes. Raises Overloaded."""
        with self._lock:
            self.check(size)
            self._held += size

    def give_back(self, size: int) -> None:
        with self._lock:
            self._held -= size


class Holding:
    """One request's share, which may grow while the request arrives; safe to use from threads."""

    def __init__(self, media_bytes: MediaBytes, size: int) -> None:
        self._media_bytes = media_bytes
        self._size = 0
        self._over = False
        self._lock = threading.Lock()
        if size:
            self.add(size)

    def add(self, size: int) -> None:
        """Counts `size` bytes more.

        Raises:
            Overloaded: not now.
            MediaLimitExceeded: never, as this request alone would pass the limit.
            DeadlineExceeded: the request is over, and whoever adds to it may stop.
        """
        with self._lock:
            if self._over:
                raise DeadlineExceeded("nobody waits for this medium any more")
            if self._size + size > self._media_bytes.limit:
                raise MediaLimitExceeded(
                    f"the media of one request have more than {self._media_bytes.limit} bytes"
                )
            self._media_bytes.take(size)
            self._size += size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._over = True
            if self._size:
                self._media_bytes.give_back(self._size)
