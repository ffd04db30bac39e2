"""What a failed call says."""

from typing import Any, cast

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


def failure(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    """Status and stable code of a failed call, which must also have a hint."""
    assert hint(error)
    return cast("grpc.Call", error).code(), _info(error).reason


def outcome(call: Any) -> tuple[grpc.StatusCode, str] | None:
    """What the call fails with, as `failure` tells it; None if it has an answer."""
    return None if call.code() == grpc.StatusCode.OK else failure(call)


def pushback_milliseconds(call: Any) -> int:
    """How long a refused call makes gRPC's own retry policy wait."""
    return int(dict(call.trailing_metadata())["grpc-retry-pushback-ms"])


def hint(error: grpc.RpcError) -> str:
    """What a failed call advises."""
    return str(_info(error).metadata["hint"])


def _info(error: grpc.RpcError) -> error_details_pb2.ErrorInfo:
    # What the stubs raise is both, which the type stubs cannot say.
    status = rpc_status.from_call(cast("grpc.Call", error))
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info
