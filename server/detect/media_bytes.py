"""Bounds the bytes of media that the server holds, however they arrive."""

import threading
from collections import Counter
from contextvars import ContextVar
from typing import Self

from server.errors import DeadlineExceeded, MediaLimitExceeded, Overloaded, RateLimited

MESSAGE_COPIES = 3
"""How often the media of a message are in memory until it is answered: as gRPC received them, as protobuf
parsed them, and as they were read from that."""
STREAM_COPIES = 2
"""The same in a stream, whose messages gRPC does not keep."""

caller: ContextVar[str] = ContextVar("caller", default="")
"""Who made the call that the current task answers; empty where callers have no names, and no shares."""


class MediaBytes:
    """Bytes of all media that are received, fetched or waiting for their answer; safe to use from threads.

    Args:
        limit: bytes held at once.
        share: of which each caller may hold as many; None: all.
    """

    def __init__(self, limit: int, share: int | None = None) -> None:
        self._limit = limit
        self._share = limit if share is None else min(share, limit)
        self._held = 0
        self._held_by: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """Bytes held now."""
        return self._held

    def hold(self, size: int = 0) -> "Holding":
        """Counts `size` bytes of the current caller until the context that it returns is left.

        Raises:
            MediaLimitExceeded, Overloaded: as `Holding.add`.
        """
        return Holding(self, caller.get(), size)

    def most(self, name: str) -> int:
        """Bytes that this caller may hold at once."""
        return self._share if name else self._limit

    def check(self, name: str, size: int) -> None:
        """Raises Overloaded if `size` more bytes of this caller would not fit now."""
        if self._held + size > self._limit:
            raise Overloaded(
                f"the server holds {self._held} bytes of media, and {size} more would pass its limit "
                f"of {self._limit}"
            )
        if name and (own := self._held_by[name]) + size > self._share:
            raise RateLimited(
                f"calls with this token hold {own} bytes of media, and {size} more would pass its share "
                f"of {self._share}",
                "Send fewer or smaller media at once, or ask the operator for a larger "
                "--max-queue-bytes-per-token.",
            )

    def take(self, name: str, size: int) -> None:
        """Counts `size` bytes. Raises Overloaded."""
        with self._lock:
            self.check(name, size)
            self._held += size
            self._held_by[name] += size

    def give_back(self, name: str, size: int) -> None:
        with self._lock:
            self._held -= size
            self._held_by[name] -= size


class Holding:
    """What one request of a caller holds, which may grow while it arrives; safe to use from threads."""

    def __init__(self, media_bytes: MediaBytes, name: str, size: int) -> None:
        self._media_bytes, self._name = media_bytes, name
        self._size = 0
        self._over = False
        self._lock = threading.Lock()
        if size:
            self.add(size)

    def check(self, size: int) -> None:
        """Raises Overloaded if `size` bytes more would not fit now."""
        self._media_bytes.check(self._name, size)

    def add(self, size: int) -> None:
        """Counts `size` bytes more, or fewer if it is below 0.

        Raises:
            Overloaded: not now.
            MediaLimitExceeded: never, as this request alone would pass the limit.
            DeadlineExceeded: the request is over, and whoever adds to it may stop.
        """
        with self._lock:
            if self._over:
                raise DeadlineExceeded("nobody waits for this medium any more")
            most = self._media_bytes.most(self._name)
            if self._size + size > most:
                raise MediaLimitExceeded(
                    f"the media of one request, with their copies, have more than {most} bytes",
                    "Send fewer or smaller media in one request, or raise --max-queue-bytes and "
                    "--max-queue-bytes-per-token.",
                )
            self._media_bytes.take(self._name, size)
            self._size += size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._over = True
            if self._size:
                self._media_bytes.give_back(self._name, self._size)
