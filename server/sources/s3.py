"""s3:// URIs, from allowed buckets only."""

import io
import time
from collections.abc import Sequence
from functools import cached_property
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote

from server.aws import Aws, typed_errors
from server.errors import (
    DeadlineExceeded,
    InvalidRequest,
    MediaLimitExceeded,
    SourceNotAllowed,
)
from server.sources.fetched import Fetched, Hold, SourceFacts, sha256

_CHUNK_BYTES = 2**18
_FIRST_PAUSE_SECONDS = 0.1


class S3:
    """Reads objects of `buckets` into memory, one copy of each.

    What is cut on the way is continued where it was cut, if the object is still the same.

    Args:
        endpoint: URL of an S3-compatible store; None for AWS.
    """

    def __init__(self, buckets: Sequence[str], aws: Aws, endpoint: str | None) -> None:
        self._buckets = frozenset(buckets)
        self._aws = aws
        self._endpoint = endpoint

    def read(self, uri: SplitResult, max_bytes: int, deadline: float, hold: Hold) -> Fetched:
        """The object's content. Raises SourceError, MediaLimitExceeded, DeadlineExceeded, Overloaded."""
        location = _location(uri)
        if location["Bucket"] not in self._buckets:
            raise SourceNotAllowed(
                f"this server does not read bucket {location['Bucket']!r}",
                "Send the bytes, or set --s3-buckets.",
            )
        with typed_errors(uri.geturl()):
            return self._download(location, uri.geturl(), max_bytes, deadline, hold)

    def _download(
        self, location: dict[str, str], uri: str, max_bytes: int, deadline: float, hold: Hold
    ) -> Fetched:
        from botocore.exceptions import (
            ConnectionClosedError,
            IncompleteReadError,
            ReadTimeoutError,
            ResponseStreamingError,
        )

        first = self._client.get_object(**location)
        if (size := first.get("ContentLength", 0)) > max_bytes:
            first["Body"].close()
            raise MediaLimitExceeded(f"{uri} has {size} bytes; the limit is {max_bytes}")
        buffer, body = io.BytesIO(), first["Body"]
        for attempt in range(1, self._aws.max_attempts + 1):
            try:
                _copy(body, buffer, max_bytes, deadline, hold)
                break
            except (ConnectionClosedError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError):
                # Without an ETag nobody could tell whether the rest is of the same object.
                if attempt == self._aws.max_attempts or "ETag" not in first:
                    raise
            time.sleep(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
            rest = self._client.get_object(**location, IfMatch=first["ETag"], Range=f"bytes={buffer.tell()}-")
            body = rest["Body"]
            if "ContentRange" not in rest:  # the whole object again
                hold(-buffer.tell())
                first, buffer = rest, io.BytesIO()
        content = buffer.getvalue()
        return Fetched(content, _facts(first, content))

    @cached_property
    def _client(self) -> Any:
        return self._aws.client("s3", self._endpoint)


def _location(uri: SplitResult) -> dict[str, str]:
    """Bucket, key, and version if there is one. Raises InvalidRequest."""
    query = dict(parse_qsl(uri.query, keep_blank_values=True))
    version = query.pop("versionId", None)
    if query or uri.fragment:
        raise InvalidRequest(
            f"{uri.geturl()}: only ?versionId=… may follow the key",
            "In a key, write ? as %3F, # as %23 and % as %25.",
        )
    location = {"Bucket": uri.netloc, "Key": unquote(uri.path.removeprefix("/"))}
    if not all(location.values()):
        raise InvalidRequest(f"{uri.geturl()} does not name an object: s3://bucket/key")
    return location | ({"VersionId": version} if version else {})


def _copy(body: Any, buffer: io.BytesIO, max_bytes: int, deadline: float, hold: Hold) -> None:
    with body:
        for chunk in body.iter_chunks(_CHUNK_BYTES):
            hold(len(chunk))
            buffer.write(chunk)
            if buffer.tell() > max_bytes:
                raise MediaLimitExceeded(f"the object is longer than the limit of {max_bytes} bytes")
            if time.monotonic() > deadline:
                raise DeadlineExceeded("the deadline passed while the medium was being read")


def _facts(answer: dict[str, Any], content: bytes) -> SourceFacts:
    etag = answer.get("ETag", "").strip('"')
    return SourceFacts(sha256(content), etag, answer.get("ContentType", ""), answer.get("LastModified"))
