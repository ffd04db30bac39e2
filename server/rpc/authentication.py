"""Lets in only calls with a valid token, each token's name within its share."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, cast

import grpc

from server.detect.media_bytes import caller
from server.errors import DetectorError, InvalidRequest, TooSlow, Unauthenticated
from server.rpc.messages import Handler, Refused, arriving, refuse
from server.rpc.share import Share
from server.rpc.status import Context, abort
from server.rpc.tokens import Tokens
from server.settings import Settings
from server.telemetry import Telemetry

# Those who watch over the server have no token.
_OPEN = (
    "/grpc.health.v1.Health/",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
)
_SCHEME = "bearer "

Next = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]


class Authentication(grpc.aio.ServerInterceptor):
    """Refuses a call before any of its messages is received.

    Args:
        tokens: the valid ones.
        settings: of which each token's share is used, and how long a message may take to arrive.
        telemetry: where refused calls are recorded.
    """

    def __init__(self, tokens: Tokens, settings: Settings, telemetry: Telemetry) -> None:
        self._tokens = tokens
        self._settings = settings
        self._telemetry = telemetry
        limits = settings.max_calls_per_token, settings.max_calls_per_second_per_token
        self._shares = defaultdict[str, Share](lambda: Share(*limits))

    async def intercept_service(self, continuation: Next, details: grpc.HandlerCallDetails) -> Handler:
        handler = await continuation(details)
        if handler is None:
            return handler
        refused = partial(refuse, self._telemetry, details.method.rpartition("/")[2])
        if details.method.startswith(_OPEN):
            # Whoever sends a large message slowly would keep it in memory.
            return _unary(handler, self._settings.open_receive_timeout_seconds, refused)
        try:
            share = self._enter(details)
        except DetectorError as error:
            return _refusal(error, refused)
        # gRPC runs interceptors in the task of their call.
        call = cast("asyncio.Task[None]", asyncio.current_task())
        call.add_done_callback(lambda _: share.leave())
        if handler.unary_unary:
            return _unary(handler, self._settings.receive_timeout_seconds, refused)
        if handler.stream_stream:
            return self._stream(handler, share, _token(details))
        return handler

    def _enter(self, details: grpc.HandlerCallDetails) -> Share:
        name = self._name_of(_token(details))
        share = self._shares[name]
        share.enter()
        caller.set(name)
        return share

    def _name_of(self, token: str) -> str:
        """Raises Unauthenticated."""
        name = self._tokens.name_of(token)
        if name is None:
            raise Unauthenticated("this server needs a valid bearer token")
        return name

    def _stream(self, handler: Handler, share: Share, token: str) -> Handler:
        """The same method, but each message needs the token to be valid still, and waits for its turn.

        Waiting holds a fast caller back. Other calls end soon, so that one look at their token is enough.
        """

        async def paced(messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
            async for message in messages:
                self._name_of(token)
                await share.turn()
                yield message
                del message

        async def answer(messages: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            try:
                async for response in handler.stream_stream(paced(arriving(messages, context)), context):
                    yield response
            except Unauthenticated as error:
                await abort(context, error.with_traceback(None))

        return grpc.stream_stream_rpc_method_handler(
            answer, handler.request_deserializer, handler.response_serializer
        )


def _token(details: grpc.HandlerCallDetails) -> str:
    for key, value in details.invocation_metadata or ():
        if key == "authorization" and isinstance(value, str) and value.lower().startswith(_SCHEME):
            return value[len(_SCHEME) :].strip()
    return ""


def _refusal(error: DetectorError, refused: Refused) -> Handler:
    async def answer(_: object, context: Context) -> None:
        await refused(context, error)

    # As a stream, since gRPC would first receive the message of any other kind of call.
    return grpc.stream_stream_rpc_method_handler(answer)


def _unary(handler: Handler, seconds: float, refused: Refused) -> Handler:
    """The same method of one message, but waiting for that has an end."""
    method = handler.unary_unary or handler.unary_stream
    kind = grpc.stream_unary_rpc_method_handler
    if handler.unary_stream:
        kind = grpc.stream_stream_rpc_method_handler

    async def receive(_: object, context: Context) -> Any:
        return await method(await _message(context, seconds, refused), context)

    return kind(receive, handler.request_deserializer, handler.response_serializer)


async def _message(context: Context, seconds: float, refused: Refused) -> Any:
    try:
        async with asyncio.timeout(seconds):
            message = await context.read()
    except TimeoutError:
        await refused(context, TooSlow(f"no whole message arrived within {seconds:g} seconds"))
    if message is grpc.aio.EOF:
        # Not recorded: so ends as well a call that its caller gives up, or whose message is over the limit.
        await abort(context, InvalidRequest("the call ended without a message"))
    return message
