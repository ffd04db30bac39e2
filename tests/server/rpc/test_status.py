import asyncio
from typing import Any, cast

import grpc
import pytest
from google.rpc import error_details_pb2

from server import errors
from server.rpc.status import CODES, abort, to_status
from tests.server.test_errors import ERRORS


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
def test_every_error_has_a_status_with_its_code_and_what_to_do(error: type[errors.DetectorError]) -> None:
    status = to_status(error("reason"))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert status.code == CODES[error].value[0]
    assert (status.message, info.reason, info.domain) == ("reason", error.code, "deepfake.v1")
    assert info.metadata["hint"]


@pytest.mark.parametrize(
    ("error", "code", "milliseconds"),
    [
        (errors.Overloaded("full", retry_after=2.5), grpc.StatusCode.RESOURCE_EXHAUSTED, "2500"),
        (errors.RateLimited("too many", retry_after=0.5), grpc.StatusCode.RESOURCE_EXHAUSTED, "500"),
        (errors.ShuttingDown("stopping"), grpc.StatusCode.UNAVAILABLE, "1000"),
        (errors.SourceUnavailable("away"), grpc.StatusCode.UNAVAILABLE, "1000"),
        (errors.SourceNotFound("gone"), grpc.StatusCode.NOT_FOUND, None),
        (errors.SourceDenied("no"), grpc.StatusCode.PERMISSION_DENIED, None),
        (errors.DeadlineExceeded("late"), grpc.StatusCode.DEADLINE_EXCEEDED, None),
        (errors.EngineFailed("dead"), grpc.StatusCode.INTERNAL, None),
        (errors.MediaLimitExceeded("large"), grpc.StatusCode.INVALID_ARGUMENT, None),
    ],
)
async def test_clients_are_told_whether_and_when_to_try_again(
    error: errors.DetectorError, code: grpc.StatusCode, milliseconds: str | None
) -> None:
    told: list[Any] = []

    class Open:
        async def abort(self, *status: object) -> None:
            told.extend(status)
            raise grpc.aio.AbortError

    with pytest.raises(grpc.aio.AbortError):
        await abort(Open(), error)
    assert told[0] == code
    assert dict(told[2]).get("grpc-retry-pushback-ms") == milliseconds
    retry = error_details_pb2.RetryInfo()
    delays = [
        detail.Unpack(retry) and retry.retry_delay.ToMilliseconds() for detail in to_status(error).details
    ]
    assert delays[1:] == ([] if milliseconds is None else [int(milliseconds)])


def test_a_message_fits_into_the_trailers() -> None:
    assert to_status(errors.InvalidRequest("é" * 100_000)).message == "é" * 750


def test_a_surprise_is_internal_and_tells_no_secrets() -> None:
    status = to_status(KeyError("/etc/secret"))
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert "secret" not in str(status)


async def test_a_call_that_has_ended_cannot_be_told_and_that_is_no_failure() -> None:
    class Ended:
        async def abort(self, *_: object) -> None:
            raise grpc.aio.InternalError("the call is over")

    with pytest.raises(asyncio.CancelledError):
        await abort(cast("grpc.aio.ServicerContext[object, object]", Ended()), errors.CorruptMedia("x"))


def test_a_name_that_is_not_utf8_can_be_told() -> None:
    assert to_status(errors.SourceNotFound("no file /\udcff.jpg")).message == r"no file /\udcff.jpg"
