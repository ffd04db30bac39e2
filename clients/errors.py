"""The one exception that the clients raise."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

Detail = TypeVar("Detail", bound=Message)

TOO_LARGE = "MESSAGE_TOO_LARGE"
SOURCE_UNAVAILABLE = "SOURCE_UNAVAILABLE"
RETRYABLE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
# Without a code of the server's: a proxy's word for a server that died behind it, and gRPC's for a call that
# reached a server as it stopped, before it was looked at.
RETRYABLE_BARE = {grpc.StatusCode.INTERNAL.name, grpc.StatusCode.CANCELLED.name}
CLOSED = "Channel closed!"
"""gRPC's own words to who waits while another thread closes the client."""
STATUS_BY_NUMBER = {status.value[0]: status for status in grpc.StatusCode}

# For failures that never reached a server that could have said what to do.
HINTS = {
    grpc.StatusCode.UNAVAILABLE: (
        "Check the address, that the server is running and ready, and TLS: both sides or neither, "
        "with certificates that fit."
    ),
    grpc.StatusCode.DEADLINE_EXCEEDED: "Allow a longer timeout, or send less at once.",
    grpc.StatusCode.UNAUTHENTICATED: "Give the server's token.",
}


class DetectionError(Exception):
    """A medium that could not be judged, or a server that could not be reached.

    Attributes:
        code: the server's stable code, for example CORRUPT_MEDIA; the name of the gRPC status if the
            failure happened outside the server; or one of the client's own, see below.
        message: what is wrong.
        hint: what to do about it; may be empty.
        status: gRPC's status; None if no call failed, as for UNREADABLE_FILE or UNANSWERED.
        retry_after: seconds after which the server thinks that a retry has a chance, or None.

    The client's own codes:
        UNREADABLE_FILE: a local file cannot be read.
        MESSAGE_TOO_LARGE: gRPC refuses to send so much at once.
        INVALID_TOKEN: the token cannot be sent.
        UNANSWERED: a stream ended too early.
        UNWRITABLE_FILE, OTHER_COLUMNS: predictions cannot be written, or not be added to this file.
        MISSING_PACKAGE, UNSUPPORTED_SYSTEM: what an option needs is not installed, or does not run here.
        As the server's: INVALID_REQUEST, MEDIA_LIMIT_EXCEEDED, SOURCE_NOT_FOUND, SOURCE_DENIED and
            SOURCE_UNAVAILABLE, of s3:// that the client reads or lists itself; the first also of a URI that
            is not UTF-8.
    """

    def __init__(
        self,
        code: str,
        message: str,
        hint: str = "",
        status: grpc.StatusCode | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{code}: {message.removesuffix('.')}. {hint}".rstrip())
        self.code = code
        self.message = message
        self.hint = hint
        self.status = status
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        # Process pools and Ray pass it on; by default it would be made again of the text alone.
        return DetectionError, (self.code, self.message, self.hint, self.status, self.retry_after)

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later."""
        if self.code == TOO_LARGE:
            return False
        return self.status in RETRYABLE or (self.code in RETRYABLE_BARE and self.message != CLOSED)


def missing_package(problem: str, extra: str) -> DetectionError:
    """What to raise where an extra of this project is needed and not installed."""
    hint = f"Install it with: pip install 'deepfake-detector[{extra}]'"
    return DetectionError("MISSING_PACKAGE", problem, hint)


def from_status(status: status_pb2.Status) -> DetectionError:
    """Reads the code, the hint and the delay from the details of a failure."""
    grpc_status = STATUS_BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    info = _detail(status, error_details_pb2.ErrorInfo())
    retry = _detail(status, error_details_pb2.RetryInfo())
    delay = retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None
    return DetectionError(
        code=info.reason or grpc_status.name,
        message=status.message,
        hint=info.metadata.get("hint", HINTS.get(grpc_status, "")),
        status=grpc_status,
        retry_after=delay,
    )


def from_rpc_error(error: grpc.RpcError) -> DetectionError:
    """Translates what a stub raised; without details it is the bare gRPC status."""
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # a proxy changed the message, so that the details no longer agree with it
        status = None
    if status:
        return from_status(status)
    code, message = error.code(), error.details() or ""
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED and "message larger than max" in message:
        # gRPC's own words, before the server has seen anything.
        hint = "Send fewer media in one request, and large files by their paths: those are uploaded in parts."
        return DetectionError(TOO_LARGE, message, hint, code)
    return from_status(status_pb2.Status(code=code.value[0], message=message))


def kept(error: DetectionError) -> DetectionError:
    """The same as an answer, which callers may keep: without the frames it came through, and their media."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


@contextmanager
def translated() -> Iterator[None]:
    """Turns gRPC's exceptions into `DetectionError`."""
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error


def _detail(status: status_pb2.Status, detail: Detail) -> Detail:
    for packed in status.details:
        if packed.Unpack(detail):
            break
    return detail
