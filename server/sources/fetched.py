"""What every source gives."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

Hold = Callable[[int], None]
"""Told how many bytes more are about to be kept, below 0 how many are not kept any more; raises Overloaded if
the server has no room for them."""


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What was read, as `deepfake.v1.SourceFacts`; empty or None where the store did not say."""

    sha256: str
    etag: str = ""
    content_type: str = ""
    last_modified: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """One whole medium."""

    content: bytes
    facts: SourceFacts


def sha256(content: bytes) -> str:
    """In hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
