"""s3:// URIs, from allowed buckets only, with boto3's own credential chain and retries."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any
from urllib.parse import SplitResult, unquote

from server.errors import MediaLimitExceeded, SourceNotAllowed, SourceNotFound, SourceUnavailable

_NOT_FOUND = frozenset({"NoSuchKey", "NoSuchBucket", "404"})
_DENIED = frozenset({"AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"})


class S3:
    """Reads objects of `buckets`.

    Args:
        endpoint: URL of an S3-compatible store; None for AWS.
    """

    def __init__(self, buckets: Sequence[str], endpoint: str | None) -> None:
        self._buckets = frozenset(buckets)
        self._endpoint = endpoint

    def read(self, uri: SplitResult, max_bytes: int) -> bytes:
        """The object's content. Raises SourceError or MediaLimitExceeded."""
        bucket, key = uri.netloc, unquote(uri.path.removeprefix("/"))
        if bucket not in self._buckets:
            raise SourceNotAllowed(
                f"this server does not read bucket {bucket!r}", "Send the bytes, or set --s3-buckets."
            )
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client.get_object(Bucket=bucket, Key=key)
            with answer["Body"] as body:
                if (size := answer["ContentLength"]) > max_bytes:
                    raise MediaLimitExceeded(f"{uri.geturl()} has {size} bytes; the limit is {max_bytes}")
                return bytes(body.read())
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in _NOT_FOUND:
                raise SourceNotFound(f"no object at {uri.geturl()}") from error
            if code in _DENIED:
                hint = "Check the server's AWS credentials and the bucket's policy."
                raise SourceNotAllowed(f"S3 denied reading {uri.geturl()}: {code}", hint) from error
            raise SourceUnavailable(f"S3 answered {code} for {uri.geturl()}") from error
        except BotoCoreError as error:
            raise SourceUnavailable(f"{uri.geturl()} could not be read: {error}") from error

    @cached_property
    def _client(self) -> Any:
        # Loading boto3 takes longer than starting the rest of the server.
        import boto3
        from botocore.config import Config

        config = Config(retries={"mode": "standard", "max_attempts": 4}, connect_timeout=5, read_timeout=30)
        return boto3.session.Session().client("s3", endpoint_url=self._endpoint, config=config)
