"""The only place where typed errors become gRPC statuses.

Every error carries google.rpc.ErrorInfo (reason = the stable code, metadata["hint"] = what to
do); errors worth a retry also carry google.rpc.RetryInfo, and the trailing metadata that
makes gRPC's own retry policy wait that long.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, NoReturn

import grpc
from google.protobuf import message
from google.protobuf.any import pack
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from server import errors

log = logging.getLogger(__name__)

DOMAIN = "deepfake.v1"

Context = Any  # grpc.aio.ServicerContext, whose type parameters differ per method and say nothing here

CODES: Mapping[type[errors.DetectorError], grpc.StatusCode] = {
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnsupportedMedia: grpc.StatusCode.INVALID_ARGUMENT,
    errors.CorruptMedia: grpc.StatusCode.INVALID_ARGUMENT,
    # Not RESOURCE_EXHAUSTED: clients retry that, and this file stays too large.
    errors.MediaLimitExceeded: grpc.StatusCode.INVALID_ARGUMENT,
    errors.DecodeTimeout: grpc.StatusCode.INVALID_ARGUMENT,
    errors.DecoderCrashed: grpc.StatusCode.INVALID_ARGUMENT,
    errors.SourceNotAllowed: grpc.StatusCode.PERMISSION_DENIED,
    errors.SourceDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.SourceNotFound: grpc.StatusCode.NOT_FOUND,
    errors.SourceUnavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.RateLimited: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.TooSlow: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.ShuttingDown: grpc.StatusCode.UNAVAILABLE,
    errors.CannotListen: grpc.StatusCode.UNAVAILABLE,
    errors.InvalidCredentials: grpc.StatusCode.FAILED_PRECONDITION,
    errors.DeliveryFailed: grpc.StatusCode.UNAVAILABLE,
    errors.MissingPackage: grpc.StatusCode.FAILED_PRECONDITION,
    errors.EngineFailed: grpc.StatusCode.INTERNAL,
    errors.ModelNotFound: grpc.StatusCode.NOT_FOUND,
    errors.InvalidModel: grpc.StatusCode.FAILED_PRECONDITION,
}

# The message is in the trailers twice, once percent-encoded, and clients refuse trailers above 8 KiB.
# What a caller has sent may be quoted in it.
_MAX_MESSAGE_BYTES = 1500

_RETRY_SECONDS = 1.0
_RETRYABLE = (errors.Overloaded, errors.ShuttingDown, errors.SourceUnavailable)


def to_status(error: Exception) -> status_pb2.Status:
    """The status of any error; one that is not ours becomes INTERNAL and is logged."""
    if not isinstance(error, errors.DetectorError):
        log.error("unexpected error", exc_info=error)
        error = errors.EngineFailed("the server failed unexpectedly")
    info = error_details_pb2.ErrorInfo(reason=error.code, domain=DOMAIN, metadata={"hint": error.hint})
    details: list[message.Message] = [info]
    if isinstance(error, _RETRYABLE):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(_retry_after(error) * 1e9))
        details.append(retry)
    code = code_pb2.Code.Value(CODES[type(error)].name)
    text = error.message.encode(errors="backslashreplace")[:_MAX_MESSAGE_BYTES].decode(errors="ignore")
    return status_pb2.Status(code=code, message=text, details=[pack(detail) for detail in details])


async def abort(context: Context, error: Exception) -> NoReturn:
    """Ends the call with the error's status."""
    status = rpc_status.to_status(to_status(error))
    trailing = status.trailing_metadata
    if isinstance(error, _RETRYABLE):
        trailing = (*trailing, ("grpc-retry-pushback-ms", str(int(_retry_after(error) * 1000))))
    try:
        await context.abort(status.code, status.details, trailing)
    except grpc.aio.AbortError as aborted:
        # gRPC keeps it with the call, and its traceback keeps what its frames hold: the media.
        asyncio.get_running_loop().call_soon(_forget, aborted)
        raise
    except grpc.aio.InternalError as gone:
        # The call ended meanwhile, by its deadline or because its caller is gone: nobody to tell.
        raise asyncio.CancelledError from gone
    raise AssertionError("abort always raises")


def _forget(aborted: BaseException) -> None:
    aborted.__traceback__ = aborted.__context__ = None


def _retry_after(error: errors.DetectorError) -> float:
    return error.retry_after if isinstance(error, errors.Overloaded) else _RETRY_SECONDS
