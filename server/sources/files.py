"""file:// URIs, below allowed folders only."""

import logging
import os
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import SplitResult, unquote_to_bytes

from server.errors import (
    InvalidRequest,
    MediaLimitExceeded,
    SourceNotAllowed,
    SourceNotFound,
    SourceUnavailable,
)
from server.sources.fetched import Fetched, Hold, SourceFacts, sha256

log = logging.getLogger(__name__)


class Files:
    """Reads regular files below `roots`; symbolic links are followed before the check."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = [root.resolve() for root in roots]
        for root in self._roots:
            if not root.is_dir():  # it may be mounted later
                log.warning("file_roots: there is no folder %s", root)

    def read(self, uri: SplitResult, max_bytes: int, deadline: float, hold: Hold) -> Fetched:  # noqa: ARG002
        """The file's content. Raises SourceError, MediaLimitExceeded, Overloaded."""
        if not self._roots:
            raise SourceNotAllowed(
                "this server does not read file URIs", "Send the bytes, or set --file-roots."
            )
        if uri.netloc not in ("", "localhost"):
            raise SourceNotAllowed(f"file URI names another host: {uri.netloc}")
        if uri.query or uri.fragment:
            raise InvalidRequest("a file URI has no ? and #", "In a name, write ? as %3F and # as %23.")
        # Names need not be UTF-8.
        path = os.fsdecode(unquote_to_bytes(uri.path))
        root, names = self._below_root(path)
        try:
            with os.fdopen(_open(root, names), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise _not_found(path)
                if status.st_size > max_bytes:
                    raise MediaLimitExceeded(f"{path} has {status.st_size} bytes; the limit is {max_bytes}")
                hold(status.st_size)
                # No further, should it grow meanwhile.
                content = file.read(status.st_size)
        except OSError as error:
            raise SourceUnavailable(f"{path} could not be read: {error.strerror}") from error
        changed = datetime.fromtimestamp(status.st_mtime, UTC)
        return Fetched(content, SourceFacts(sha256(content), last_modified=changed))

    def _below_root(self, path: str) -> tuple[Path, tuple[str, ...]]:
        """The root that a file lies below, and the names from there, without links. Raises SourceNotFound."""
        try:
            resolved = Path(path).resolve(strict=True)
            if not resolved.is_file():
                raise _not_found(path)
        except (OSError, ValueError, RuntimeError) as error:  # also a zero byte, and links in a circle
            raise _not_found(path) from error
        for root in self._roots:
            if resolved.is_relative_to(root):
                return root, resolved.relative_to(root).parts
        raise _not_found(path)


def _open(root: Path, names: Sequence[str]) -> int:
    """Follows no link, so that none can be slipped in after the check; waits for no pipe."""
    opened = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for number, name in enumerate(names, 1):
        kind = os.O_NONBLOCK if number == len(names) else os.O_DIRECTORY
        folder = opened
        try:
            opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | kind, dir_fd=folder)
        finally:
            os.close(folder)
    return opened


def _not_found(path: str) -> SourceNotFound:
    # The same answer for what is forbidden and what is not there tells nothing about the disk.
    return SourceNotFound(f"no readable file at {path}")
