"""file:// URIs, below allowed folders only."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import SplitResult, unquote

from server.errors import MediaLimitExceeded, SourceNotAllowed, SourceNotFound, SourceUnavailable
from server.sources.fetched import Fetched, SourceFacts, sha256


class Files:
    """Reads files below `roots`; symbolic links are followed before the check."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = [root.resolve() for root in roots]

    def read(self, uri: SplitResult, max_bytes: int, deadline: float) -> Fetched:  # noqa: ARG002
        """The file's content. Raises SourceError or MediaLimitExceeded."""
        if not self._roots:
            raise SourceNotAllowed(
                "this server does not read file URIs", "Send the bytes, or set --file-roots."
            )
        if uri.netloc not in ("", "localhost"):
            raise SourceNotAllowed(f"file URI names another host: {uri.netloc}")
        path = Path(unquote(uri.path))
        try:
            resolved = path.resolve(strict=True)
            # The same answer for what is forbidden and what is not there tells nothing about the disk.
            if not any(resolved.is_relative_to(root) for root in self._roots) or not resolved.is_file():
                raise SourceNotFound(f"no readable file at {path}")
            stat = resolved.stat()
            if stat.st_size > max_bytes:
                raise MediaLimitExceeded(f"{path} has {stat.st_size} bytes; the limit is {max_bytes}")
            content = resolved.read_bytes()
        except FileNotFoundError as error:
            raise SourceNotFound(f"no readable file at {path}") from error
        except OSError as error:
            raise SourceUnavailable(f"{path} could not be read: {error.strerror}") from error
        changed = datetime.fromtimestamp(stat.st_mtime, UTC)
        return Fetched(content, SourceFacts(sha256(content), last_modified=changed))
