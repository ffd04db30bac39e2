"""Reads the bytes that a URI names, where the settings allow it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from server.errors import InvalidRequest, SourceNotAllowed
from server.sources.files import Files
from server.sources.s3 import S3


class Sources:
    """What the server may read on a caller's behalf; by default nothing.

    Args:
        max_bytes: size of one medium at most.
        file_roots: folders that file:// may read.
        s3_buckets: buckets that s3:// may read.
        s3_endpoint: URL of an S3-compatible store; None for AWS.
    """

    def __init__(
        self,
        max_bytes: int,
        file_roots: Sequence[Path] = (),
        s3_buckets: Sequence[str] = (),
        s3_endpoint: str | None = None,
    ) -> None:
        self._max_bytes = max_bytes
        self._schemes: dict[str, Files | S3] = {"file": Files(file_roots), "s3": S3(s3_buckets, s3_endpoint)}

    async def read(self, uri: str) -> bytes:
        """The content of `uri`.

        Raises:
            InvalidRequest: not a URI.
            SourceNotAllowed: its scheme or place is not allowed.
            SourceNotFound: nothing is there.
            SourceUnavailable: it could not be read.
            MediaLimitExceeded: it is too large.
        """
        try:
            parts = urlsplit(uri)
        except ValueError as error:
            raise InvalidRequest(f"not a URI: {uri!r}") from error
        source = self._schemes.get(parts.scheme)
        if source is None:
            known = ", ".join(f"{scheme}://" for scheme in self._schemes)
            raise SourceNotAllowed(f"this server reads {known} URIs only, not {uri[:100]!r}")
        return await asyncio.to_thread(source.read, parts, self._max_bytes)
