"""S3 from the client's side: listing what is below a prefix, and reading objects with its own credentials."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote

from clients.errors import DetectionError
from clients.requests import CHUNK_BYTES, sendable
from deepfake.v1 import detector_pb2 as pb

SCHEME = "s3://"
# As the server calls them, by HTTP status.
CODES = {403: "SOURCE_DENIED", 404: "SOURCE_NOT_FOUND"}
# Of S3, with status 400.
BAD_TOKENS = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired"}
NO_URL = "--s3-endpoint is a URL, with https://."
HINT = "See: python -m clients aws-check"


@dataclass(frozen=True)
class S3:
    """Access to S3; without arguments as boto3 finds it (environment, shared files, instance).

    Attributes:
        profile: of the shared AWS files.
        access_key, secret_key, session_token: explicit credentials; never shown.
        endpoint: URL of an S3-compatible store; None for AWS.
        region: None for the environment's or profile's.

    Raises (every method):
        DetectionError: SOURCE_NOT_FOUND, SOURCE_DENIED or SOURCE_UNAVAILABLE.
    """

    profile: str | None = None
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    endpoint: str | None = None
    region: str | None = None

    def find(self, prefix: str) -> Iterator[str]:
        """URIs of all objects below s3://bucket/prefix, in the order of their keys."""
        bucket, key = _plain(prefix)
        with _translated(prefix):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
            for page in pages:
                for entry in page.get("Contents", ()):
                    if entry["Size"]:  # "folders" made by consoles are empty objects
                        yield f"{SCHEME}{bucket}/{quote(entry['Key'])}"

    def read(self, uri: str, max_bytes: int) -> pb.Medium:
        """One object of at most `max_bytes`, as a medium to send."""
        name, _, version = uri.partition("?versionId=")
        bucket, key = _plain(name)
        versioned = {"VersionId": unquote(version)} if version else {}
        with _translated(uri):
            answer = self.client.get_object(Bucket=bucket, Key=key, **versioned)
            # Not every store says it.
            content, size, body = io.BytesIO(), answer.get("ContentLength", 0), answer["Body"]
            with body:  # "as" would give what raises urllib3's errors
                chunks = body.iter_chunks(CHUNK_BYTES)
                while size <= max_bytes and (chunk := next(chunks, b"")):
                    content.write(chunk)
                    size = max(size, content.tell())
        if size > max_bytes:
            problem = f"{uri} has {size} bytes or more; the server takes {max_bytes}"
            raise DetectionError("MEDIA_LIMIT_EXCEEDED", problem)
        return pb.Medium(content=content.getvalue(), name=key.rsplit("/", 1)[-1])

    def __getstate__(self) -> dict[str, Any]:
        # Ray sends it to other processes, where each makes a client of its own.
        return {name: value for name, value in vars(self).items() if name != "client"}

    def session(self) -> Any:
        """A boto3 session with these credentials."""
        import boto3  # loading it takes longer than all the rest of the client

        return boto3.Session(
            self.access_key,
            self.secret_key,
            self.session_token,
            region_name=self.region,
            profile_name=self.profile,
        )

    @cached_property
    def client(self) -> Any:
        """boto3's client for S3; safe to use from many threads."""
        from botocore.config import Config

        config = Config(retries={"mode": "standard", "total_max_attempts": 5}, max_pool_connections=32)
        client = self.session().client("s3", endpoint_url=self.endpoint, config=config)
        client.meta.events.register("before-call.s3.HeadBucket", _not_again)
        return client


def _not_again(context: dict[str, Any], **_: Any) -> None:
    # boto3 calls it to learn a bucket's region when it is redirected, and again when that is, without end.
    context.setdefault("s3_redirect", {})["redirected"] = True


def split(uri: str) -> tuple[str, str]:
    """Bucket and key of s3://bucket/key, where the key is percent-encoded; a query is left out."""
    # Not urlsplit, which raises where a bucket has brackets.
    bucket, _, key = re.split("[?#]", uri.removeprefix(SCHEME))[0].partition("/")
    return bucket, unquote(key)


def _plain(uri: str) -> tuple[str, str]:
    if "?" in uri or "#" in uri:
        raise DetectionError("INVALID_REQUEST", f"{uri}: in a key, write ? as %3F and # as %23")
    return split(sendable(uri))


@contextmanager
def _translated(uri: str) -> Iterator[None]:
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        NoCredentialsError,
        PartialCredentialsError,
        ProfileNotFound,
    )

    try:
        yield
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        denied = error.response["Error"].get("Code") in BAD_TOKENS
        code = "SOURCE_DENIED" if denied else CODES.get(status, "SOURCE_UNAVAILABLE")
        raise DetectionError(code, f"{uri}: {error}", HINT) from error
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound, RuntimeError) as error:
        # The last is all that botocore raises where renewed credentials have expired already.
        raise DetectionError("SOURCE_DENIED", f"{uri}: {error}", HINT) from error
    except BotoCoreError as error:
        raise DetectionError("SOURCE_UNAVAILABLE", f"{uri}: {error}", HINT) from error
    except ValueError as error:  # not a URL
        raise DetectionError("INVALID_REQUEST", str(error), NO_URL) from error
