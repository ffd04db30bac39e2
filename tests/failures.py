"""What a failed call says."""

from typing import cast

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


def failure(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    """Status and stable code of a failed call, which must also have a hint."""
    # What the stubs raise is both, which the type stubs cannot say.
    call = cast("grpc.Call", error)
    status = rpc_status.from_call(call)
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.metadata["hint"]
    return call.code(), info.reason
