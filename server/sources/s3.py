"""s3:// URIs, from allowed buckets only."""

import io
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote

from server.aws import Aws
from server.errors import (
    DeadlineExceeded,
    InvalidRequest,
    MediaLimitExceeded,
    SourceDenied,
    SourceNotAllowed,
    SourceNotFound,
    SourceUnavailable,
)
from server.sources.fetched import Fetched, SourceFacts, sha256

log = logging.getLogger(__name__)

_NOT_FOUND = frozenset({"NoSuchKey", "NoSuchBucket", "NoSuchVersion", "404"})
_DENIED = frozenset({"AccessDenied", "403", "AllAccessDisabled", "AccountProblem"})
_BAD_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
_CHECK = "Check the server's AWS credentials: python -m clients aws-check."
_CHUNK_BYTES = 2**18
_FIRST_PAUSE_SECONDS = 0.1


class S3:
    """Reads objects of `buckets` into memory, one copy of each.

    What is cut on the way is continued where it was cut, if the object is still the same.

    Args:
        endpoint: URL of an S3-compatible store; None for AWS.
    """

    def __init__(self, buckets: Sequence[str], aws: Aws | None = None, endpoint: str | None = None) -> None:
        self._buckets = frozenset(buckets)
        self._aws = aws or Aws()
        self._endpoint = endpoint

    def read(self, uri: SplitResult, max_bytes: int, deadline: float) -> Fetched:
        """The object's content. Raises SourceError, MediaLimitExceeded or DeadlineExceeded."""
        location = _location(uri)
        if location["Bucket"] not in self._buckets:
            raise SourceNotAllowed(
                f"this server does not read bucket {location['Bucket']!r}",
                "Send the bytes, or set --s3-buckets.",
            )
        with _typed_errors(uri.geturl()):
            return self._download(location, uri.geturl(), max_bytes, deadline)

    def _download(self, location: dict[str, str], uri: str, max_bytes: int, deadline: float) -> Fetched:
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
                _copy(body, buffer, max_bytes, deadline)
                break
            except (ConnectionClosedError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError):
                if attempt == self._aws.max_attempts:
                    raise
            time.sleep(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
            rest = self._client.get_object(**location, IfMatch=first["ETag"], Range=f"bytes={buffer.tell()}-")
            body = rest["Body"]
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


def _copy(body: Any, buffer: io.BytesIO, max_bytes: int, deadline: float) -> None:
    with body:
        for chunk in body.iter_chunks(_CHUNK_BYTES):
            buffer.write(chunk)
            if buffer.tell() > max_bytes:
                raise MediaLimitExceeded(f"the object is longer than the limit of {max_bytes} bytes")
            if time.monotonic() > deadline:
                raise DeadlineExceeded("the deadline passed while the medium was being read")


def _facts(answer: dict[str, Any], content: bytes) -> SourceFacts:
    return SourceFacts(
        sha256(content), answer["ETag"].strip('"'), answer.get("ContentType", ""), answer.get("LastModified")
    )


@contextmanager
def _typed_errors(uri: str) -> Iterator[None]:
    """Callers get to know what failed; names of accounts and endpoints only go to the log."""
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        CredentialRetrievalError,
        NoCredentialsError,
        PartialCredentialsError,
        ProfileNotFound,
    )

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _NOT_FOUND:
            raise SourceNotFound(f"no object at {uri}") from error
        log.warning("S3 refused %s: %s", uri, error)
        if code in _DENIED:
            raise SourceDenied(f"S3 denied this server {uri}") from error
        if code in _BAD_CREDENTIALS:
            raise SourceDenied(f"S3 does not accept this server's credentials: {code}", _CHECK) from error
        if code == "PreconditionFailed":
            raise SourceUnavailable(f"{uri} was replaced while it was being read") from error
        raise SourceUnavailable(f"S3 answered {code} for {uri}") from error
    except (CredentialRetrievalError, NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
        log.warning("no credentials for %s: %s", uri, error)
        raise SourceDenied("this server has no AWS credentials", _CHECK) from error
    except BotoCoreError as error:
        log.warning("%s could not be read: %s", uri, error)
        raise SourceUnavailable(f"{uri} could not be read: {type(error).__name__}") from error
