"""Reads the bytes that a URI names, where the settings allow its scheme."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from server.errors import MediaLimitExceeded, SourceNotAllowed, SourceNotFound, SourceUnavailable


class Sources:
    """What the server may read on a caller's behalf.

    Args:
        file_roots: folders that file:// may read; symbolic links are followed before the check.
        max_bytes: size of one medium at most.
    """

    def __init__(self, file_roots: Sequence[Path], max_bytes: int) -> None:
        self._roots = [root.resolve() for root in file_roots]
        self._max_bytes = max_bytes

    async def read(self, uri: str) -> bytes:
        """The content of `uri`.

        Raises:
            SourceNotAllowed: its scheme or place is not allowed.
            SourceNotFound: nothing is there.
            SourceUnavailable: it could not be read.
            MediaLimitExceeded: it is too large.
        """
        parts = urlsplit(uri)
        if parts.scheme != "file" or not self._roots:
            raise SourceNotAllowed(f"this server does not read {parts.scheme or 'relative'} URIs")
        if parts.netloc not in ("", "localhost"):
            raise SourceNotAllowed(f"file URI names another host: {parts.netloc}")
        return await asyncio.to_thread(self._read_file, Path(unquote(parts.path)))

    def _read_file(self, path: Path) -> bytes:
        try:
            resolved = path.resolve(strict=True)
            # The same answer for what is forbidden and what is not there tells nothing about the disk.
            if not any(resolved.is_relative_to(root) for root in self._roots) or not resolved.is_file():
                raise SourceNotFound(f"no readable file at {path}")
            if (size := resolved.stat().st_size) > self._max_bytes:
                raise MediaLimitExceeded(f"{path} has {size} bytes; the limit is {self._max_bytes}")
            return resolved.read_bytes()
        except FileNotFoundError as error:
            raise SourceNotFound(f"no readable file at {path}") from error
        except OSError as error:
            raise SourceUnavailable(f"{path} could not be read: {error.strerror}") from error
