"""Where results go; each delivery may happen again, and the receiver can tell by the result's key."""

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any, Protocol

import urllib3

from server.aws import typed_errors
from server.errors import DeliveryFailed
from server.jobs.queue import once
from server.jobs.results import Result

SIGNATURE_HEADER = "Deepfake-Signature"
KEY_HEADER = "Idempotency-Key"
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_FIRST_PAUSE_SECONDS = 0.5
_SHORT_BODY = 1024


class Delivery(Protocol):
    """One way to deliver; used from many threads."""

    def deliver(self, result: Result) -> None:
        """Returns when the receiver has it. Raises DeliveryFailed or SourceError."""


class ToPrefix:
    """Objects below s3://bucket/prefix: [ID/]KEY.json, each written once.

    Args:
        client: boto3's for S3.
        prefix: s3://bucket/prefix.
    """

    def __init__(self, client: Any, prefix: str) -> None:
        self._client = client
        self._bucket, _, folder = prefix.removeprefix("s3://").partition("/")
        self._prefix = f"{folder.rstrip('/')}/" if folder else ""

    def deliver(self, result: Result) -> None:
        from botocore.exceptions import ClientError

        folder = f"{result.id}/" if result.id else ""
        key = f"{self._prefix}{folder}{result.file_name}"
        with typed_errors(f"s3://{self._bucket}/{key}"):
            try:
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=result.body,
                    ContentType="application/json",
                    IfNoneMatch="*",
                )
            except ClientError as error:
                # Somebody who had this message before us has delivered it.
                if error.response["Error"]["Code"] != "PreconditionFailed":
                    raise


class ToQueue:
    """Messages of an SQS queue; a FIFO queue drops those that come again within five minutes.

    Args:
        client: boto3's for SQS.
    """

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def deliver(self, result: Result) -> None:
        with typed_errors(self._url):
            self._client.send_message(
                QueueUrl=self._url, MessageBody=result.body.decode(), **once(self._url, result.key)
            )


class ToWebhook:
    """POST of the result's body, tried again while the receiver cannot be reached or is busy.

    The header Deepfake-Signature is `t=SECONDS,v1=HEX`: Unix time, and HMAC-SHA256 of `SECONDS.BODY` with
    the secret. Idempotency-Key is the result's key.

    Args:
        secret: gives it for each attempt, as it may be replaced.
        timeout: seconds of silence that end an attempt.
        connections: kept open at most.
    """

    def __init__(
        self, url: str, secret: Callable[[], bytes], timeout: float, attempts: int, connections: int
    ) -> None:
        self._url = url
        self._secret = secret
        self._attempts = attempts
        self._http = urllib3.PoolManager(timeout=timeout, retries=False, maxsize=connections)

    def deliver(self, result: Result) -> None:
        for attempt in range(1, self._attempts + 1):
            problem, passing = self._post(result)
            if not problem:
                return
            if not passing or attempt == self._attempts:
                raise DeliveryFailed(problem)
            # Not what the receiver asks for: a pause of up to hours would keep the worker from stopping.
            time.sleep(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))

    def _post(self, result: Result) -> tuple[str, bool]:
        """Why the receiver did not take it, if so, and whether that may pass."""
        try:
            secret = self._secret()
        except OSError as error:
            return f"the webhook's secret cannot be read: {error.strerror}", True
        if not secret:  # as of a file that is being written
            return "the webhook's secret is empty", True
        headers = {
            "Content-Type": "application/json",
            SIGNATURE_HEADER: sign(result.body, secret, int(time.time())),
            KEY_HEADER: result.key,
        }
        try:
            answer = self._http.request(
                "POST", self._url, body=result.body, headers=headers, preload_content=False
            )
        except urllib3.exceptions.HTTPError as error:
            return f"the webhook cannot be reached: {type(error).__name__}", True
        length = answer.length_remaining
        if length is not None and length <= _SHORT_BODY:
            answer.drain_conn()  # so that the connection is used again
        else:
            answer.close()  # what it says is of no interest, and may never end
        if 200 <= answer.status < 300:
            return "", False
        return f"the webhook answered {answer.status}", answer.status in _BUSY


def sign(body: bytes, secret: bytes, seconds: int) -> str:
    """The value of the signature's header."""
    digest = hmac.new(secret, f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"
