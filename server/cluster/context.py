"""Ray Serve's gRPC context, as the servicer of `deepfake.v1` knows it from grpc.aio."""

from collections.abc import Sequence
from typing import Any, NoReturn

import grpc
from ray.serve.grpc_util import RayServegRPCContext


class Aborted(Exception):
    """The call has its status; an answer of any kind completes it."""


class ServeContext:
    """The part of `grpc.aio.ServicerContext` that the servicer uses.

    Args:
        context: what Serve handed to the replica, and takes back with the answer.
    """

    def __init__(self, context: RayServegRPCContext) -> None:
        self._context = context

    def time_remaining(self) -> None:
        """Unknown: Serve's proxy keeps the caller's deadline, and cancels the call when it has passed."""

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        return self._context.invocation_metadata()

    async def abort(
        self, code: grpc.StatusCode, details: str, trailing_metadata: Sequence[tuple[str, Any]] = ()
    ) -> NoReturn:
        """Raises Aborted, always."""
        self._context.set_code(code)
        self._context.set_details(details)
        self._context.set_trailing_metadata(list(trailing_metadata))
        raise Aborted
