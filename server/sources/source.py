"""Reads the bytes that a URI names, where the settings allow it."""

import contextvars
from collections.abc import Mapping
from functools import partial
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from server.errors import InvalidRequest, SourceNotAllowed
from server.sources.fetched import Fetched, Hold
from server.sources.fetching import FetchPool
from server.sources.hosts import ascii_name
from server.urgency import Urgency

_MAX_URI = 8192


class Source(Protocol):
    """Reads URIs of one scheme; called from many threads at once."""

    def read(self, uri: SplitResult, max_bytes: int, deadline: float, hold: Hold) -> Fetched:
        """The whole medium, of at most `max_bytes`.

        Args:
            deadline: a time.monotonic() after which nobody waits for it.
            hold: told of the bytes before they are kept.

        Raises:
            SourceError, MediaLimitExceeded, DeadlineExceeded, Overloaded
        """


class Sources:
    """What the server may read on a caller's behalf.

    Args:
        max_bytes: size of one medium at most.
        workers: media read at once; others wait their turn.
        schemes: the source that reads each.
        max_per_host: media read at once from one host of https; 0: three quarters of `workers`.

    Attributes:
        pool: where media wait to be read.
    """

    def __init__(
        self, max_bytes: int, workers: int, schemes: Mapping[str, Source], max_per_host: int = 0
    ) -> None:
        self._max_bytes = max_bytes
        self._schemes = schemes
        self.pool = FetchPool(workers, max_per_host)

    async def read(self, uri: str, urgency: Urgency, hold: Hold) -> Fetched:
        """The content of `uri`, the most urgent first; `hold` is told of the bytes.

        Raises:
            InvalidRequest: not a URI.
            SourceNotAllowed: its scheme or place is not allowed.
            SourceNotFound: nothing is there.
            SourceDenied: whoever keeps it refuses this server.
            SourceUnavailable: it could not be read.
            MediaLimitExceeded: it is too large.
            DeadlineExceeded: reading it took too long.
            Overloaded: the server has no room for it, or its host too much to do.
            ShuttingDown: after `close`.
        """
        parts = _split(uri)
        source = self._schemes.get(parts.scheme)
        if source is None:
            known = ", ".join(f"{scheme}://" for scheme in self._schemes)
            raise SourceNotAllowed(f"this server reads {known} URIs only, not {parts.scheme[:20]!r}")
        # In a copy of the context, so that what the thread logs carries the request's id.
        run = contextvars.copy_context().run
        read = partial(run, source.read, parts, self._max_bytes, urgency[1], hold)
        return await self.pool.fetch(read, urgency, _host(parts))

    def close(self) -> None:
        """Does not wait for what is still being read: nobody does."""
        self.pool.close()


def _host(parts: SplitResult) -> str:
    """The host that others may wait for; empty where the store is the operator's own, or the host is none."""
    try:
        return ascii_name(parts.hostname or "") if parts.scheme == "https" else ""
    except ValueError:
        return ""


def _split(uri: str) -> SplitResult:
    """Its parts. Raises InvalidRequest, whose message quotes nothing that may be a secret."""
    if len(uri) > _MAX_URI:
        raise InvalidRequest(f"the URI is longer than {_MAX_URI} characters")
    try:
        parts = urlsplit(uri)
        _ = parts.port  # a password with a slash in it reads like a port that is no number
    except ValueError as error:
        raise InvalidRequest("what was sent as a URI is none") from error
    if parts.scheme and "://" not in uri:
        raise InvalidRequest(f"a URI begins {parts.scheme[:20]}://")
    if "@" in parts.netloc:
        raise InvalidRequest(
            "the URI holds a user name or a password",
            "Leave them out: the server has credentials of its own.",
        )
    return parts
